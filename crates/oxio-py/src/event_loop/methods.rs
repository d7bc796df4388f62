//! The single list of what Python can call on a loop, one line each where possible.
//!
//! The names with an underscore are asyncio's own: the Python classes above call them, and data descriptors stand
//! where asyncio keeps plain attributes, so that both halves always see the same state.

use std::os::fd::RawFd;

use oxio_core::clock::Deadline;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::{run, scheduling, watchers};
use crate::handle::note_timer_cancelled;
use crate::scheduler::{Loop, Native, Side};

#[pymethods]
impl Loop {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let (py, own) = (class.py(), class.py().get_type::<Self>());
        let inherited = |name: &str| PyResult::Ok(class.getattr(name)?.is(&own.getattr(name)?));
        let native = Native {
            call_soon: inherited("call_soon")?,
            timers: inherited("time")? && inherited("call_at")? && inherited("call_later")?,
            create_task: inherited("create_task")?,
            run_once: inherited("_run_once")?,
        };
        Self::create(py, native)
    }

    /// Call `callback(*args)` in the next turn. Returns a Handle. Loop thread only.
    #[pyo3(signature = (callback, *args, context = None))]
    fn call_soon<'py>(
        slf: &Bound<'py, Self>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        context: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        scheduling::call_soon(slf, callback, args, context)
    }

    /// Like `call_soon()`, from any thread; wakes the loop.
    #[pyo3(signature = (callback, *args, context = None))]
    fn call_soon_threadsafe<'py>(
        slf: &Bound<'py, Self>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        context: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        scheduling::call_soon_threadsafe(slf, callback, args, context)
    }

    /// Call `callback(*args)` after `delay` seconds: never early. Returns a `TimerHandle`. Loop thread only.
    #[pyo3(signature = (delay, callback, *args, context = None))]
    fn call_later<'py>(
        slf: &Bound<'py, Self>,
        delay: Option<&Bound<'py, PyAny>>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        context: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(delay) = delay else {
            return Err(PyTypeError::new_err("delay must not be None"));
        };
        scheduling::call_later(slf, delay, callback, args, context)
    }

    /// Call `callback(*args)` at `when`, in seconds of `time()`: never early. Returns a `TimerHandle`. Loop thread only.
    #[pyo3(signature = (when, callback, *args, context = None))]
    fn call_at<'py>(
        slf: &Bound<'py, Self>,
        when: Option<Bound<'py, PyAny>>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        context: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(when) = when else {
            return Err(PyTypeError::new_err("when cannot be None"));
        };
        scheduling::call_at(slf, when, callback, args, context, "call_at")
    }

    /// The loop's clock: seconds, monotonic; equal to `time.monotonic()`.
    #[expect(clippy::unused_self, reason = "a method of every loop")]
    fn time(&self) -> f64 {
        Deadline::now().as_secs_f64()
    }

    /// A Future of this loop.
    fn create_future<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        scheduling::create_future(slf)
    }

    /// Run `coro` as a Task of this loop.
    #[pyo3(signature = (coro, **kwargs))]
    fn create_task<'py>(
        slf: &Bound<'py, Self>,
        coro: &Bound<'py, PyAny>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        scheduling::create_task(slf, coro, kwargs)
    }

    /// Leave `run_forever()` at the end of this turn.
    fn stop(&self, py: Python<'_>) {
        self.set_stopping(py, true);
    }

    /// True between the start and the end of `run_forever()`.
    #[pyo3(name = "is_running")]
    fn py_is_running(&self, py: Python<'_>) -> bool {
        self.running_thread(py).is_some()
    }

    /// True after `close()`.
    #[pyo3(name = "is_closed")]
    fn py_is_closed(&self, py: Python<'_>) -> bool {
        self.is_closed(py)
    }

    /// Whether debug mode is on.
    fn get_debug(&self, py: Python<'_>) -> bool {
        self.is_debug(py)
    }

    fn _check_closed(&self, py: Python<'_>) -> PyResult<()> {
        self.check_closed(py)
    }

    /// Turns until `stop()`, inside `run_forever()`; one turn otherwise.
    fn _run_once(slf: &Bound<'_, Self>) -> PyResult<()> {
        run::run_once(slf)
    }

    fn _add_callback(slf: &Bound<'_, Self>, handle: &Bound<'_, PyAny>) -> PyResult<()> {
        scheduling::add_callback(slf, handle)
    }

    fn _timer_handle_cancelled(slf: &Bound<'_, Self>, handle: &Bound<'_, PyAny>) -> PyResult<()> {
        note_timer_cancelled(slf.get(), handle)
    }

    fn _write_to_self(&self) {
        self.wake();
    }

    #[pyo3(signature = (fd, callback, *args))]
    fn _add_reader<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        watchers::add(slf, fd, Side::Read, callback, args)
    }

    fn _remove_reader(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        watchers::remove(slf, fd, Side::Read)
    }

    #[pyo3(signature = (fd, callback, *args))]
    fn _add_writer<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        watchers::add(slf, fd, Side::Write, callback, args)
    }

    fn _remove_writer(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        watchers::remove(slf, fd, Side::Write)
    }

    /// Whether `(reading, writing)` of `fd` is watched.
    fn _watched_sides(&self, py: Python<'_>, fd: RawFd) -> (bool, bool) {
        self.watched_sides(py, fd)
    }

    fn _close_reactor(&self, py: Python<'_>) {
        self.close_reactor(py);
    }

    fn _abandon_reactor(&self, py: Python<'_>) {
        self.abandon_reactor(py);
    }

    /// A program has put something of its own in the place of a method of this loop: it is called from now on.
    fn _overridden(&self, py: Python<'_>, name: &str) {
        let mut native = self.native(py);
        match name {
            "call_soon" => native.call_soon = false,
            "time" | "call_at" | "call_later" => native.timers = false,
            "create_task" => native.create_task = false,
            "_run_once" => native.run_once = false,
            _ => {}
        }
        self.set_native(py, native);
    }

    /// The tasks that are not done.
    fn _pending_tasks(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.pending.borrow(py).iter().map(|task| task.clone_ref(py)).collect()
    }

    #[getter(_closed)]
    fn get_closed(&self, py: Python<'_>) -> bool {
        self.is_closed(py)
    }

    #[setter(_closed)]
    fn assign_closed(&self, py: Python<'_>, closed: bool) {
        self.set_closed(py, closed);
    }

    #[getter(_stopping)]
    fn get_stopping(&self, py: Python<'_>) -> bool {
        self.is_stopping(py)
    }

    #[setter(_stopping)]
    fn assign_stopping(&self, py: Python<'_>, stopping: bool) {
        self.set_stopping(py, stopping);
    }

    #[getter(_debug)]
    fn get_debug_attribute(&self, py: Python<'_>) -> bool {
        self.is_debug(py)
    }

    #[setter(_debug)]
    fn assign_debug(&self, py: Python<'_>, debug: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_debug(py, debug.is_truthy()?);
        Ok(())
    }

    #[getter(_thread_id)]
    fn get_thread_id(&self, py: Python<'_>) -> Option<u64> {
        self.running_thread(py)
    }

    #[setter(_thread_id)]
    fn assign_thread_id(&self, py: Python<'_>, ident: Option<u64>) {
        self.set_running_thread(py, ident);
    }

    #[getter(_task_factory)]
    fn get_task_factory_attribute(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.task_factory.borrow(py).as_ref().map(|factory| factory.clone_ref(py))
    }

    #[setter(_task_factory)]
    fn assign_task_factory(&self, py: Python<'_>, factory: Option<Py<PyAny>>) {
        let replaced = std::mem::replace(&mut *self.task_factory.borrow(py), factory);
        drop(replaced);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.traverse(&visit)
    }

    fn __clear__(slf: &Bound<'_, Self>) {
        slf.get().clear(slf.py());
    }
}
