//! `StreamWriter`: writes that go straight to the transport, and `drain`.
//!
//! `drain` below the high-water mark is a look at a few flags: it neither suspends nor makes a future. Above it, it waits
//! in the protocol's own `_drain_helper`.
//!
//! Thread: the loop's.

use pyo3::exceptions::{PyAssertionError, PyConnectionResetError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::Stock;
use super::hooks::{Hooks, Method, Overridden};
use super::protocol::FlowControl;
use super::reader::{StreamReader, put};
use crate::awaitable::{AwaitableView, Operation, Parameters, Resumed, Step};
use crate::interop::call::{is_native_coroutine, raise};
use crate::interop::cell::{GilFlag, GilSlot};
use crate::interop::imports::interned;

/// The state of an `asyncio.StreamWriter`, and what happens per write.
#[pyclass(subclass, frozen, module = "oxio._oxio")]
pub struct StreamWriter {
    overridden: Overridden,
    transport: GilSlot,
    /// The transport's `is_closing()` is asyncio's own, which returns `_closing`.
    has_closing_flag: GilFlag<bool>,
    protocol: GilSlot,
    reader: GilSlot,
    event_loop: GilSlot,
    /// asyncio's `_complete_fut`: made when somebody asks for it.
    complete: GilSlot,
}

/// A class that has these as something of its own keeps them itself.
static HOOKS: Hooks = Hooks::new(&[], &["_transport", "_protocol", "_reader", "_loop"]);
const STATE: usize = 0;

/// # Cancel safety
/// It changes nothing.
static DRAIN: Method = Method {
    operation: Operation {
        name: "StreamWriter.drain",
        parameters: Parameters::NONE,
        resume: drain,
    },
    is_native,
};

/// Sets the coroutine methods on the native class.
pub fn add_methods(class: &Bound<'_, PyType>, asyncios: &Bound<'_, PyAny>) -> PyResult<()> {
    DRAIN.add_to(class, "drain", asyncios)?;
    HOOKS.load(class, asyncios)
}

fn is_native(object: &Bound<'_, PyAny>) -> bool {
    object.cast::<StreamWriter>().is_ok_and(|writer| !writer.get().overridden.has(STATE))
}

/// Source: CPython `streams.StreamWriter.drain`.
fn drain<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let owner = view.owner()?;
    let writer = owner.cast::<StreamWriter>()?;
    let has_yielded = view.state().number.get(py) == 1;
    match resumed {
        Resumed::Error(error) => return Err(error),
        Resumed::Value(_) if !has_yielded => return Ok(none(py)),
        Resumed::Value(_) => view.state().number.set(py, 0),
        Resumed::Start => {
            if let Some(reader) = writer.get().reader.get(py)
                && let Some(error) = error_of(&reader)?
            {
                return Err(raise(&error));
            }
            if StreamWriter::is_transport_closing(writer)? {
                // So that `connection_lost()` can come: else a loop of writes would never see that nobody reads.
                view.state().number.set(py, 1);
                return Ok(Step::Yield);
            }
        }
    }
    let protocol = writer.getattr(interned!(py, "_protocol"))?;
    if let Ok(flow_control) = protocol.cast::<FlowControl>()
        && let Some(answer) = flow_control.get().drained(py)
    {
        return answer.map(|()| none(py));
    }
    let helper = protocol.call_method0(interned!(py, "_drain_helper"))?;
    if is_native_coroutine(&helper) {
        return Ok(Step::Delegate(helper));
    }
    Ok(Step::Delegate(helper.call_method0(interned!(py, "__await__"))?))
}

/// The error that the reader, ours or another, has been given.
fn error_of<'py>(reader: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(reader) = reader.cast::<StreamReader>() {
        return StreamReader::error(reader);
    }
    let error = reader.call_method0(interned!(reader.py(), "exception"))?;
    Ok(Some(error).filter(|error| !error.is_none()))
}

pub(super) fn none(py: Python<'_>) -> Step<'_> {
    Step::Return(py.None().into_bound(py))
}

/// What `_drain_helper` raises once the connection is lost.
pub(super) fn connection_lost() -> PyErr {
    PyConnectionResetError::new_err("Connection lost")
}

impl StreamWriter {
    fn transport<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        match slf.get().transport.get(slf.py()) {
            Some(transport) => Ok(transport),
            None => slf.getattr(interned!(slf.py(), "_transport")),
        }
    }

    fn look_at_transport(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = transport.py();
        let stock = &Stock::of(py)?.is_closing;
        let asked = transport.get_type().getattr_opt(interned!(py, "is_closing"))?;
        let has_flag = asked.is_some_and(|asked| asked.is(stock));
        self.has_closing_flag.set(py, has_flag);
        Ok(())
    }

    /// `transport.is_closing()`, without the call where that only reads an attribute.
    fn is_transport_closing(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let transport = Self::transport(slf)?;
        if slf.get().has_closing_flag.get(py) {
            return transport.getattr(interned!(py, "_closing"))?.is_truthy();
        }
        transport.call_method0(interned!(py, "is_closing"))?.is_truthy()
    }
}

#[pymethods]
impl StreamWriter {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(transport, protocol, reader, loop)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(Self {
            overridden: HOOKS.of(class)?,
            transport: GilSlot::default(),
            has_closing_flag: GilFlag::new(false),
            protocol: GilSlot::default(),
            reader: GilSlot::default(),
            event_loop: GilSlot::default(),
            complete: GilSlot::default(),
        })
    }

    #[pyo3(signature = (transport, protocol, reader, r#loop))]
    fn __init__(
        slf: &Bound<'_, Self>,
        transport: Bound<'_, PyAny>,
        protocol: Bound<'_, PyAny>,
        reader: Bound<'_, PyAny>,
        r#loop: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let is_native = !slf.get().overridden.has(STATE);
        let set = |name: &Bound<'_, PyString>, slot, value| {
            if is_native {
                put(slot, value);
                return Ok(());
            }
            slf.setattr(name, value)
        };
        let this = slf.get();
        this.look_at_transport(&transport)?;
        set(interned!(py, "_transport"), &this.transport, transport)?;
        set(interned!(py, "_protocol"), &this.protocol, protocol)?;
        // asyncio's class, and so oxio's too: programs have readers of both.
        if !reader.is_none() && !reader.is_instance(Stock::of(py)?.reader.bind(py))? {
            return Err(PyAssertionError::new_err(()));
        }
        set(interned!(py, "_reader"), &this.reader, reader)?;
        set(interned!(py, "_loop"), &this.event_loop, r#loop)
    }

    /// Send `data`; what the socket does not take now is kept.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::transport(slf)?.call_method1(interned!(slf.py(), "write"), (data,)).map(drop)
    }

    /// Send all pieces of `data`.
    fn writelines(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::transport(slf)?.call_method1(interned!(slf.py(), "writelines"), (data,)).map(drop)
    }

    #[getter(_transport)]
    fn show_transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.transport.get(py)
    }

    #[setter(_transport)]
    fn assign_transport(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.look_at_transport(&value)?;
        put(&self.transport, value);
        Ok(())
    }

    #[getter(_protocol)]
    fn show_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol.get(py)
    }

    #[setter(_protocol)]
    fn assign_protocol(&self, value: Bound<'_, PyAny>) {
        put(&self.protocol, value);
    }

    #[getter(_reader)]
    fn show_reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.reader.get(py)
    }

    #[setter(_reader)]
    fn assign_reader(&self, value: Bound<'_, PyAny>) {
        put(&self.reader, value);
    }

    #[getter(_loop)]
    fn show_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.event_loop.get(py)
    }

    #[setter(_loop)]
    fn assign_loop(&self, value: Bound<'_, PyAny>) {
        put(&self.event_loop, value);
    }

    /// A future that is done.
    #[getter(_complete_fut)]
    fn show_complete<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(complete) = slf.get().complete.get(py) {
            return Ok(complete);
        }
        let event_loop = slf.getattr(interned!(py, "_loop"))?;
        let complete = event_loop.call_method0(interned!(py, "create_future"))?;
        complete.call_method1(interned!(py, "set_result"), (py.None(),))?;
        put(&slf.get().complete, complete.clone());
        Ok(complete)
    }

    #[setter(_complete_fut)]
    fn assign_complete(&self, value: Bound<'_, PyAny>) {
        put(&self.complete, value);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.transport.traverse(&visit)?;
        self.protocol.traverse(&visit)?;
        self.reader.traverse(&visit)?;
        self.event_loop.traverse(&visit)?;
        self.complete.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop((
            self.transport.take(py),
            self.protocol.take(py),
            self.reader.take(py),
            self.event_loop.take(py),
            self.complete.take(py),
        ));
    }
}
