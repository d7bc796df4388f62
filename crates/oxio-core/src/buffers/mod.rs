//! What a transport keeps while its socket is slower than its user. Pure: no system calls, no sockets.
//!
//! Thread: the loop's.

mod write_queue;

pub use write_queue::{Slices, WriteQueue};
