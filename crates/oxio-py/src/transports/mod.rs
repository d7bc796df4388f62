//! The native half of transports: what happens per packet.
//!
//! The other half is `python/oxio/transports.py`, on asyncio's own transport classes: making a connection, extra
//! info, flow control's calls into the protocol, closing. It happens once per connection or when the socket is full.
//!
//! ```text
//! made → reading ⇄ paused → closing (flushing) → lost
//!            └── eof ──┘          abort, error ──┘
//! ```

mod stream;

pub use stream::StreamIo;
