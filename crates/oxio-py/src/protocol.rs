//! THE place where bytes reach a protocol.
//!
//! A protocol's methods are looked up at each call, as asyncio does: a program may replace `data_received` on a
//! live protocol.
//!
//! Thread: the loop's.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::interop::imports::interned;

/// A protocol with the way it wants its bytes.
pub struct Receiver {
    pub protocol: Py<PyAny>,
    pub buffered: bool,
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
