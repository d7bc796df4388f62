//! `StreamReader`: its state, and what feeds it.
//!
//! At most one coroutine waits for bytes. It is `waiter`: the parked awaitable of a native read, or a future of
//! asyncio's own code.
//!
//! Thread: the loop's.

use pyo3::exceptions::PyNotImplementedError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyInt, PyString, PyTuple, PyType};

use super::Stock;
use super::buffer::Buffer;
use super::hooks::{Hooks, Overridden};
use crate::awaitable::AwaitableView;
use crate::interop::attributes::set_attribute_plainly;
use crate::interop::cell::{GilFlag, GilSlot};
use crate::interop::imports::interned;
use crate::scheduler::{Loop, running_native_loop};

/// asyncio's `_DEFAULT_LIMIT`, in bytes.
const DEFAULT_LIMIT: usize = 64 * 1024;

/// The state of an `asyncio.StreamReader`, and what happens per packet.
#[pyclass(subclass, frozen, module = "oxio._oxio")]
pub struct StreamReader {
    overridden: GilFlag<Overridden>,
    pub(super) buffer: Buffer,
    pub(super) limit: GilFlag<usize>,
    /// The limit as it was given, when it is no number of this size.
    odd_limit: GilSlot,
    pub(super) eof: GilFlag<bool>,
    pub(super) paused: GilFlag<bool>,
    pub(super) waiter: GilSlot,
    pub(super) exception: GilSlot,
    pub(super) transport: GilSlot,
    event_loop: GilSlot,
}

pub(super) static HOOKS: Hooks = Hooks::new(
    &[
        "_wait_for_data",
        "_maybe_resume_transport",
        "_wakeup_waiter",
        "read",
        "readuntil",
        "readline",
        "feed_data",
        "exception",
    ],
    &["_buffer", "_limit", "_eof", "_paused", "_waiter", "_exception", "_transport", "_loop"],
);

/// Places in [`HOOKS`].
pub(super) mod hook {
    pub const WAIT_FOR_DATA: usize = 0;
    pub const MAYBE_RESUME_TRANSPORT: usize = 1;
    pub const WAKEUP_WAITER: usize = 2;
    pub const READ: usize = 3;
    pub const READUNTIL: usize = 4;
    pub const READLINE: usize = 5;
    pub const FEED_DATA: usize = 6;
    pub const EXCEPTION: usize = 7;
    /// Not a method: the native state is not the state.
    pub const STATE: usize = 8;
}

impl StreamReader {
    pub(super) fn overrides(&self, py: Python<'_>, hook: usize) -> bool {
        self.overridden.get(py).has(hook)
    }

    /// The usual `StreamReader(limit, loop)`; false for asyncio's own to look at it.
    fn set_up(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let py = args.py();
        if self.overrides(py, hook::STATE) {
            return Ok(false);
        }
        let mut given = [args.get_item(0).ok(), args.get_item(1).ok()];
        let mut count = args.len();
        for (place, name) in [interned!(py, "limit"), interned!(py, "loop")].into_iter().enumerate()
        {
            if let Some(value) = kwargs.map_or(Ok(None), |kwargs| kwargs.get_item(name))?
                && given[place].is_none()
            {
                given[place] = Some(value);
                count += 1;
            }
        }
        if count != args.len() + kwargs.map_or(0, PyDictMethods::len) || args.len() > 2 {
            return Ok(false);
        }
        let [limit, event_loop] = given;
        let limit = match limit {
            Some(limit) => limit.extract::<usize>().unwrap_or(0),
            None => DEFAULT_LIMIT,
        };
        // Debug mode keeps the stack of who made it.
        let event_loop = event_loop.filter(|given| {
            given.cast::<Loop>().is_ok_and(|event_loop| !event_loop.get().is_debug(py))
        });
        let (Some(event_loop), 1..) = (event_loop, limit) else {
            return Ok(false);
        };
        self.limit.set(py, limit);
        self.eof.set(py, false);
        self.paused.set(py, false);
        drop((self.waiter.take(py), self.exception.take(py), self.transport.take(py)));
        drop(self.odd_limit.take(py));
        drop(self.event_loop.set(event_loop));
        self.buffer.clear(py)?;
        Ok(true)
    }

    /// A method may have been replaced on this instance.
    fn note(&self, name: &Bound<'_, PyString>) {
        if let Some(place) = HOOKS.place_of(name) {
            let py = name.py();
            self.overridden.set(py, self.overridden.get(py).with(place));
        }
    }

    /// From now on asyncio's own code works, on the attributes.
    fn leave_to_asyncio(&self, py: Python<'_>) {
        self.overridden.set(py, self.overridden.get(py).with(hook::STATE));
    }

    /// Whether a native read may park: its loop is one of ours, is the running one and not in debug mode. Else asyncio's
    /// own future is made, by that loop.
    pub(super) fn may_park(&self, py: Python<'_>) -> bool {
        running_native_loop(py).is_some_and(|running| {
            self.event_loop.holds(running.as_any()) && !running.get().is_debug(py)
        })
    }

    /// The error that reads and `drain` are to raise, as `exception()` says.
    pub(super) fn error<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        if !slf.get().overrides(py, hook::EXCEPTION) && !slf.get().overrides(py, hook::STATE) {
            return Ok(slf.get().exception.get(py));
        }
        let error = slf.call_method0(interned!(py, "exception"))?;
        Ok(Some(error).filter(|error| !error.is_none()))
    }

    /// Ends the wait of who waits for bytes or the end.
    ///
    /// Source: CPython `streams.StreamReader._wakeup_waiter`.
    pub(super) fn wake(&self, py: Python<'_>) -> PyResult<()> {
        let Some(waiter) = self.waiter.take(py) else {
            return Ok(());
        };
        if let Some(parked) = AwaitableView::of(&waiter) {
            return parked.wake().map(drop);
        }
        if !waiter.call_method0(interned!(py, "cancelled"))?.is_truthy()? {
            waiter.call_method1(interned!(py, "set_result"), (py.None(),))?;
        }
        Ok(())
    }

    /// Takes bytes that have come from a transport; false when they must come by `feed_data`, which somebody overrides
    /// or which is to refuse them.
    pub(super) fn feed_slice(slf: &Bound<'_, Self>, bytes: &[u8]) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        if this.overrides(py, hook::FEED_DATA)
            || this.overrides(py, hook::STATE)
            || this.eof.get(py)
        {
            return Ok(false);
        }
        this.buffer.push(py, bytes)?;
        Self::fed(slf).map(|()| true)
    }

    /// Bytes have been added.
    fn fed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.overrides(py, hook::WAKEUP_WAITER) {
            slf.call_method0(interned!(py, "_wakeup_waiter"))?;
        } else {
            this.wake(py)?;
        }
        if this.paused.get(py) || this.buffer.len(py) <= this.limit.get(py).saturating_mul(2) {
            return Ok(());
        }
        let Some(transport) = this.transport.get(py) else {
            return Ok(());
        };
        match transport.call_method0(interned!(py, "pause_reading")) {
            Ok(_) => this.paused.set(py, true),
            Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => {
                // It cannot be paused: asked once, and all is buffered.
                drop(this.transport.take(py));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Lets the transport read on when few enough bytes are left.
    ///
    /// Source: CPython `streams.StreamReader._maybe_resume_transport`.
    pub(super) fn maybe_resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.overrides(py, hook::MAYBE_RESUME_TRANSPORT) {
            slf.call_method0(interned!(py, "_maybe_resume_transport"))?;
            return Ok(());
        }
        if this.paused.get(py) && this.buffer.len(py) <= this.limit.get(py) {
            return this.resume(py);
        }
        Ok(())
    }

    /// Lets the paused transport read on.
    pub(super) fn resume(&self, py: Python<'_>) -> PyResult<()> {
        self.paused.set(py, false);
        let transport = self.transport.get(py).unwrap_or_else(|| py.None().into_bound(py));
        transport.call_method0(interned!(py, "resume_reading"))?;
        Ok(())
    }

    /// asyncio's own method, on this object.
    pub(super) fn stock<'py, A>(
        slf: &Bound<'py, Self>,
        name: &str,
        arguments: A,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        A: pyo3::call::PyCallArgs<'py>,
    {
        let py = slf.py();
        let function = Stock::of(py)?.reader.bind(py).getattr(name)?;
        function.call_method1("__get__", (slf,))?.call1(arguments)
    }
}

/// `repr(object)`; a parked read as the future that asyncio waits with.
fn shown(object: &Bound<'_, PyAny>) -> PyResult<String> {
    match AwaitableView::of(object) {
        Some(parked) if parked.is_cancelled() => Ok("<Future cancelled>".into()),
        Some(_parked) => Ok("<Future pending cb=[Task.task_wakeup()]>".into()),
        None => Ok(object.repr()?.to_str()?.to_owned()),
    }
}

/// `None` in an attribute is an empty slot.
pub(super) fn put(slot: &GilSlot, value: Bound<'_, PyAny>) {
    let old = if value.is_none() { slot.take(value.py()) } else { slot.set(value) };
    drop(old);
}

/// What `bytearray.extend(data)` would add.
fn as_bytes<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = data.py();
    if let Ok(bytes) = data.cast_exact::<PyBytes>() {
        return Ok(bytes.clone());
    }
    let added = PyByteArray::new(py, &[]);
    added.call_method1(interned!(py, "extend"), (data,))?;
    Ok(PyBytes::new(py, &added.to_vec()))
}

#[pymethods]
impl StreamReader {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(limit=65536, loop=None)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(Self {
            overridden: GilFlag::new(HOOKS.of(class)?),
            buffer: Buffer::default(),
            limit: GilFlag::new(DEFAULT_LIMIT),
            odd_limit: GilSlot::default(),
            eof: GilFlag::new(false),
            paused: GilFlag::new(false),
            waiter: GilSlot::default(),
            exception: GilSlot::default(),
            transport: GilSlot::default(),
            event_loop: GilSlot::default(),
        })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        if slf.get().set_up(args, kwargs)? {
            return Ok(());
        }
        let init = Stock::of(py)?.reader.bind(py).getattr(interned!(py, "__init__"))?;
        init.call_method1(interned!(py, "__get__"), (slf,))?.call(args, kwargs).map(drop)
    }

    /// Add bytes that have come, and wake the read that waits for them.
    fn feed_data(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.overrides(py, hook::STATE) || this.eof.get(py) {
            return Self::stock(slf, "feed_data", (data,)).map(drop);
        }
        if !data.is_truthy()? {
            return Ok(());
        }
        this.buffer.push_bytes(&as_bytes(data)?)?;
        Self::fed(slf)
    }

    /// No more bytes will come.
    fn feed_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.overrides(py, hook::STATE) || this.overrides(py, hook::WAKEUP_WAITER) {
            return Self::stock(slf, "feed_eof", ()).map(drop);
        }
        this.eof.set(py, true);
        this.wake(py)
    }

    /// True when all has been read and no more will come.
    fn at_eof(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        if this.overrides(py, hook::STATE) {
            return Self::stock(slf, "at_eof", ())?.is_truthy();
        }
        Ok(this.eof.get(py) && this.buffer.is_empty(py))
    }

    /// The error that reads raise, or None.
    fn exception<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.getattr(interned!(slf.py(), "_exception"))
    }

    /// Let all reads raise `exc`, also the one that waits.
    fn set_exception(slf: &Bound<'_, Self>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let waiter = this.waiter.get(py);
        let Some(parked) = waiter.as_ref().and_then(AwaitableView::of) else {
            return Self::stock(slf, "set_exception", (exc,)).map(drop);
        };
        put(&this.exception, exc.clone());
        drop(this.waiter.take(py));
        if parked.is_done() {
            return Ok(());
        }
        // A future raises and reports it as asyncio's would: `StopIteration`, classes, nobody who takes it.
        let failed =
            slf.getattr(interned!(py, "_loop"))?.call_method0(interned!(py, "create_future"))?;
        failed.call_method1(interned!(py, "set_exception"), (exc,))?;
        drop(parked.state().third.set(failed));
        parked.wake().map(drop)
    }

    #[pyo3(name = "_wakeup_waiter")]
    fn wakeup_waiter(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().overrides(slf.py(), hook::STATE) {
            return Self::stock(slf, "_wakeup_waiter", ()).map(drop);
        }
        slf.get().wake(slf.py())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        if this.overrides(py, hook::STATE) {
            return Self::stock(slf, "__repr__", ())?.extract();
        }
        let mut words = vec!["StreamReader".to_owned()];
        let len = this.buffer.len(py);
        if len > 0 {
            words.push(format!("{len} bytes"));
        }
        if this.eof.get(py) {
            words.push("eof".into());
        }
        if this.limit.get(py) != DEFAULT_LIMIT {
            words.push(format!("limit={}", this.show_limit(py)?.str()?.to_str()?));
        }
        let slots = [
            ("waiter", &this.waiter),
            ("exception", &this.exception),
            ("transport", &this.transport),
        ];
        for (name, slot) in slots {
            if let Some(object) = slot.get(py)
                && object.is_truthy()?
            {
                words.push(format!("{name}={}", shown(&object)?));
            }
        }
        if this.paused.get(py) {
            words.push("paused".into());
        }
        Ok(format!("<{}>", words.join(" ")))
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        slf.get().note(name);
        set_attribute_plainly(slf, name, Some(value))
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        set_attribute_plainly(slf, name, None)
    }

    /// How many bytes are buffered.
    #[getter]
    fn _buffered(&self, py: Python<'_>) -> usize {
        self.buffer.len(py)
    }

    #[getter(_buffer)]
    fn show_buffer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        self.buffer.share(py)
    }

    #[setter(_buffer)]
    fn assign_buffer(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = match value.cast_exact::<PyByteArray>() {
            Ok(value) => value.clone(),
            // Whatever else has bytes: what it can do beyond is not asked of a reader's buffer.
            Err(_other) => PyByteArray::from(value)?,
        };
        slf.get().buffer.replace(value);
        Ok(())
    }

    #[getter(_limit)]
    fn show_limit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.odd_limit.get(py) {
            Some(limit) => Ok(limit),
            None => Ok(self.limit.get(py).into_pyobject(py)?.into_any()),
        }
    }

    #[setter(_limit)]
    fn assign_limit(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        if let Ok(limit) = value.extract() {
            self.limit.set(py, limit);
            drop(self.odd_limit.take(py));
            return Ok(());
        }
        drop(self.odd_limit.set(value.clone()));
        if value.is_instance_of::<PyInt>() && value.gt(0)? {
            self.limit.set(py, usize::MAX);
        } else {
            self.leave_to_asyncio(py);
        }
        Ok(())
    }

    #[getter(_eof)]
    fn show_eof(&self, py: Python<'_>) -> bool {
        self.eof.get(py)
    }

    #[setter(_eof)]
    fn assign_eof(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.eof.set(value.py(), value.is_truthy()?);
        Ok(())
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

    #[getter(_waiter)]
    fn show_waiter<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.waiter.get(py)
    }

    #[setter(_waiter)]
    fn assign_waiter(&self, value: Bound<'_, PyAny>) {
        put(&self.waiter, value);
    }

    #[getter(_exception)]
    fn show_exception<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.exception.get(py)
    }

    #[setter(_exception)]
    fn assign_exception(&self, value: Bound<'_, PyAny>) {
        put(&self.exception, value);
    }

    #[getter(_transport)]
    fn show_transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.transport.get(py)
    }

    #[setter(_transport)]
    fn assign_transport(&self, value: Bound<'_, PyAny>) {
        put(&self.transport, value);
    }

    #[getter(_loop)]
    fn show_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.event_loop.get(py)
    }

    #[setter(_loop)]
    fn assign_loop(&self, value: Bound<'_, PyAny>) {
        put(&self.event_loop, value);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.buffer.traverse(&visit)?;
        self.waiter.traverse(&visit)?;
        self.odd_limit.traverse(&visit)?;
        self.exception.traverse(&visit)?;
        self.transport.traverse(&visit)?;
        self.event_loop.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop((
            self.waiter.take(py),
            self.exception.take(py),
            self.transport.take(py),
            self.event_loop.take(py),
        ));
    }
}
