//! THE place where bytes reach a protocol.
//!
//! A protocol's methods are looked up at each call, as asyncio does: a program may replace `data_received` on a
//! live protocol.
//!
//! A protocol of ours can take bytes without a call of Python and without a `bytes` object: through the direct door,
//! which `streams/` opens when the module is imported. So transports need not know streams.
//!
//! Thread: the loop's.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::interop::imports::interned;

/// A protocol with the way it wants its bytes.
pub struct Receiver {
    pub protocol: Py<PyAny>,
    pub way: Way,
}

#[derive(Clone, Copy)]
pub enum Way {
    /// `data_received`.
    Bytes,
    /// `get_buffer` and `buffer_updated`.
    Buffer,
    /// The direct door, and `data_received` when that is shut.
    Direct(&'static Direct),
}

/// A way past Python for protocols of one native class.
pub struct Direct {
    /// Whether the protocol is of that class.
    pub is_open: fn(&Bound<'_, PyAny>) -> bool,
    /// Takes bytes; false when `data_received` must be called, and then nothing has happened.
    pub feed: fn(&Bound<'_, PyAny>, &[u8]) -> PyResult<bool>,
}

static DIRECT: OnceLock<Direct> = OnceLock::new();

/// Protocols that `direct` is open to get their bytes by it from now on.
pub fn open_direct_door(direct: Direct) {
    // A second import of the module in this process opens the same door.
    let _ = DIRECT.set(direct);
}

impl Receiver {
    pub fn new(protocol: &Bound<'_, PyAny>, is_buffered: bool) -> Self {
        let way = match DIRECT.get() {
            _ if is_buffered => Way::Buffer,
            Some(direct) if (direct.is_open)(protocol) => Way::Direct(direct),
            _ => Way::Bytes,
        };
        Self { protocol: protocol.clone().unbind(), way }
    }
}

/// Hands `bytes` to `protocol.data_received`.
pub fn data_received(protocol: &Bound<'_, PyAny>, bytes: &Bound<'_, PyBytes>) -> PyResult<()> {
    let py = protocol.py();
    protocol.call_method1(interned!(py, "data_received"), (bytes,))?;
    Ok(())
}

/// Asks a `BufferedProtocol` where to put bytes of an unknown number.
pub fn next_buffer<'py>(protocol: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = protocol.py();
    protocol.call_method1(interned!(py, "get_buffer"), (-1,))
}

/// Tells a `BufferedProtocol` that `count` bytes are in the buffer it gave.
pub fn buffer_updated(protocol: &Bound<'_, PyAny>, count: usize) -> PyResult<()> {
    let py = protocol.py();
    protocol.call_method1(interned!(py, "buffer_updated"), (count,))?;
    Ok(())
}
