//! Gatehouse: one program in which devices prove who they are, get an identity and find their cloud.
