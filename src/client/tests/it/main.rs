//! The client against servers of other makers, and against a socket that misbehaves.
