//! `StreamReaderProtocol`: bytes straight into the reader, and the flags that `drain` looks at.
//!
//! Connections made and lost, and waiting in `drain`, are asyncio's own code; it finds the flags as attributes.
//!
//! Thread: the loop's.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference};

use super::Stock;
use super::hooks::{Hooks, Method, Overridden};
use super::reader::{StreamReader, put};
use super::writer::{connection_lost, none};
use crate::awaitable::{AwaitableView, Operation, Parameters, Resumed, Step};
use crate::interop::attributes::set_attribute_plainly;
use crate::interop::cell::{GilFlag, GilSlot};
use crate::interop::imports::interned;
use crate::protocol::{Direct, open_direct_door};

/// The flags of asyncio's `FlowControlMixin`.
#[pyclass(subclass, frozen, module = "oxio._oxio")]
pub struct FlowControl {
    overridden: GilFlag<Overridden>,
    paused: GilFlag<bool>,
    connection_lost: GilFlag<bool>,
}

static HOOKS: Hooks =
    Hooks::new(&["_drain_helper", "data_received"], &["_paused", "_connection_lost"]);
/// The same for the subclass below, which has more of them.
static PROTOCOL_HOOKS: Hooks = Hooks::new(
    &["_drain_helper", "data_received"],
    &["_paused", "_connection_lost", "_stream_reader_wr", "_stream_reader"],
);
const DRAIN_HELPER: usize = 0;
const DATA_RECEIVED: usize = 1;
const STATE: usize = 2;

/// # Cancel safety
/// As asyncio's, whose code waits.
static DRAIN: Method = Method {
    operation: Operation {
        name: "FlowControlMixin._drain_helper",
        parameters: Parameters::NONE,
        resume: drain_helper,
    },
    is_native,
};

/// Sets the coroutine methods on the native classes, and opens the way from transports.
pub(super) fn add_methods(py: Python<'_>, stock: &Stock) -> PyResult<()> {
    let flow_control = py.get_type::<FlowControl>();
    DRAIN.add_to(&flow_control, "_drain_helper", stock.flow_control.bind(py))?;
    HOOKS.load(&flow_control, stock.flow_control.bind(py))?;
    PROTOCOL_HOOKS.load(&py.get_type::<StreamReaderProtocol>(), stock.protocol.bind(py))?;
    open_direct_door(Direct { is_open, feed: feed_directly });
    Ok(())
}

fn is_native(object: &Bound<'_, PyAny>) -> bool {
    object
        .cast::<FlowControl>()
        .is_ok_and(|protocol| !protocol.get().overridden.get(object.py()).has(STATE))
}

fn drain_helper<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let owner = view.owner()?;
    match resumed {
        Resumed::Error(error) => return Err(error),
        Resumed::Value(value) => return Ok(Step::Return(value)),
        Resumed::Start => {}
    }
    let flow_control = owner.cast::<FlowControl>()?.get();
    if flow_control.connection_lost.get(py) {
        return Err(connection_lost());
    }
    if !flow_control.paused.get(py) {
        return Ok(none(py));
    }
    let helper = Stock::of(py)?.flow_control.bind(py).getattr(interned!(py, "_drain_helper"))?;
    Ok(Step::Delegate(helper.call1((owner,))?))
}

impl FlowControl {
    fn new_for(class: &Bound<'_, PyType>, hooks: &Hooks) -> PyResult<Self> {
        Ok(Self {
            overridden: GilFlag::new(hooks.of(class)?),
            paused: GilFlag::new(false),
            connection_lost: GilFlag::new(false),
        })
    }

    /// What `_drain_helper` would answer at once; `None` when it would wait or is somebody else's.
    pub fn drained(&self, py: Python<'_>) -> Option<PyResult<()>> {
        let overridden = self.overridden.get(py);
        if overridden.has(DRAIN_HELPER) || overridden.has(STATE) {
            return None;
        }
        if self.connection_lost.get(py) {
            return Some(Err(connection_lost()));
        }
        (!self.paused.get(py)).then_some(Ok(()))
    }
}

#[pymethods]
impl FlowControl {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(loop=None)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Self::new_for(class, &HOOKS)
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if let Some(place) = HOOKS.place_of(name) {
            let overridden = &slf.get().overridden;
            overridden.set(slf.py(), overridden.get(slf.py()).with(place));
        }
        set_attribute_plainly(slf, name, Some(value))
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        set_attribute_plainly(slf, name, None)
    }

    #[getter(_paused)]
    fn show_paused(&self, py: Python<'_>) -> bool {
        self.paused.get(py)
    }

    #[setter(_paused)]
    fn assign_paused(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.paused.set(value.py(), value.is_truthy()?);
        Ok(())
    }

    #[getter(_connection_lost)]
    fn show_connection_lost(&self, py: Python<'_>) -> bool {
        self.connection_lost.get(py)
    }

    #[setter(_connection_lost)]
    fn assign_connection_lost(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.connection_lost.set(value.py(), value.is_truthy()?);
        Ok(())
    }
}

/// The native half of `asyncio.StreamReaderProtocol`.
#[pyclass(extends = FlowControl, subclass, frozen, module = "oxio._oxio")]
pub struct StreamReaderProtocol {
    /// A weak reference to the reader: who drops the reader wants no more bytes.
    reader: GilSlot,
}

impl StreamReaderProtocol {
    fn reader<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.reader.get(py) {
            None => Ok(None),
            Some(reference) => match reference.cast::<PyWeakrefReference>() {
                Ok(reference) => Ok(reference.upgrade()),
                Err(_other) => Ok(Some(reference.call0()?).filter(|reader| !reader.is_none())),
            },
        }
    }
}

/// Whether bytes for `protocol` may come through the door.
fn is_open(protocol: &Bound<'_, PyAny>) -> bool {
    protocol.cast::<StreamReaderProtocol>().is_ok()
}

/// Bytes from a transport: into the reader, or nothing has happened.
fn feed_directly(protocol: &Bound<'_, PyAny>, bytes: &[u8]) -> PyResult<bool> {
    let py = protocol.py();
    let protocol = protocol.cast::<StreamReaderProtocol>()?;
    let overridden = protocol.as_super().get().overridden.get(py);
    if overridden.has(DATA_RECEIVED) || overridden.has(STATE) {
        return Ok(false);
    }
    match protocol.get().reader(py)? {
        None => Ok(true),
        Some(reader) => match reader.cast::<StreamReader>() {
            Ok(reader) => StreamReader::feed_slice(reader, bytes),
            Err(_foreign) => Ok(false),
        },
    }
}

#[pymethods]
impl StreamReaderProtocol {
    #[new]
    #[classmethod]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(stream_reader, client_connected_cb=None, loop=None)"
    )]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let flow_control = FlowControl::new_for(class, &PROTOCOL_HOOKS)?;
        let protocol = Self { reader: GilSlot::default() };
        Ok(PyClassInitializer::from(flow_control).add_subclass(protocol))
    }

    /// Bytes have come: they are the reader's, if it is still there.
    fn data_received(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let reader = if slf.as_super().get().overridden.get(py).has(STATE) {
            Some(slf.getattr(interned!(py, "_stream_reader"))?).filter(|reader| !reader.is_none())
        } else {
            slf.get().reader(py)?
        };
        match reader {
            Some(reader) => reader.call_method1(interned!(py, "feed_data"), (data,)).map(drop),
            None => Ok(()),
        }
    }

    #[getter]
    fn _stream_reader<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.reader(py)
    }

    #[getter(_stream_reader_wr)]
    fn show_reference<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.reader.get(py)
    }

    #[setter(_stream_reader_wr)]
    fn assign_reference(&self, value: Bound<'_, PyAny>) {
        put(&self.reader, value);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.reader.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.reader.take(py));
    }
}
