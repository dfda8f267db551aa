//! The test kit's own promises: the recorder misses nothing, and the suite finds what is planted.

mod recorder;
mod services;
mod store;
