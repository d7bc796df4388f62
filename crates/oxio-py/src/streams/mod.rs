//! The native half of `StreamReader`, `StreamWriter` and `StreamReaderProtocol`: what happens per packet and per read.
//!
//! The other half is the running version's own code on the same state (`python/oxio/streams.py`): connecting, closing,
//! TLS, repr of oddities, and all that a subclass or an unusual argument asks for.
//!
//! ```text
//! bytes in   transports → protocol.rs: the direct door → protocol.rs here → reader.rs: into the buffer, wake who waits
//!            → reading.rs: the read goes on
//! bytes out  writer.rs → the transport's own write; drain looks at flags, and waits in asyncio's code
//! ```
//!
//! Thread: the loop's.

mod buffer;
mod hooks;
mod protocol;
mod reader;
mod reading;
mod search;
mod writer;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Adds the classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let stock = Stock::of(py)?;
    module.add_class::<reader::StreamReader>()?;
    reading::add_methods(&py.get_type::<reader::StreamReader>(), stock.reader.bind(py))?;
    module.add_class::<writer::StreamWriter>()?;
    writer::add_methods(&py.get_type::<writer::StreamWriter>(), stock.writer.bind(py))?;
    module.add_class::<protocol::FlowControl>()?;
    module.add_class::<protocol::StreamReaderProtocol>()?;
    protocol::add_methods(py, stock)
}

/// asyncio's own classes, looked up while they still are asyncio's: `install()` puts ours in their place.
struct Stock {
    reader: Py<PyAny>,
    writer: Py<PyAny>,
    flow_control: Py<PyAny>,
    protocol: Py<PyAny>,
    /// The method of socket transports that returns `_closing`.
    is_closing: Py<PyAny>,
    incomplete_read: Py<PyAny>,
    limit_overrun: Py<PyAny>,
}

static STOCK: PyOnceLock<Stock> = PyOnceLock::new();

impl Stock {
    fn of(py: Python<'_>) -> PyResult<&'static Self> {
        STOCK.get_or_try_init(py, || {
            let streams = py.import("asyncio.streams")?;
            let socket_transport =
                py.import("asyncio.selector_events")?.getattr("_SelectorSocketTransport")?;
            let exceptions = py.import("asyncio.exceptions")?;
            Ok(Self {
                reader: streams.getattr("StreamReader")?.unbind(),
                writer: streams.getattr("StreamWriter")?.unbind(),
                flow_control: streams.getattr("FlowControlMixin")?.unbind(),
                protocol: streams.getattr("StreamReaderProtocol")?.unbind(),
                is_closing: socket_transport.getattr("is_closing")?.unbind(),
                incomplete_read: exceptions.getattr("IncompleteReadError")?.unbind(),
                limit_overrun: exceptions.getattr("LimitOverrunError")?.unbind(),
            })
        })
    }
}
