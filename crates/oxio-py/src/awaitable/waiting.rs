//! A parked awaitable as what a task waits for.
//!
//! States: idle → pending → woken | cancelled → idle again when it is resumed. They are those of a future, and so is
//! the protocol for foreign tasks; one `wake` or `cancel` makes one entry of the ready queue for each who waits, as
//! asyncio's futures do.

use pyo3::exceptions::{PyAttributeError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::{Awaitable, AwaitableView, Resumed, Wait, view};
use crate::interop::call::copy_context;
use crate::interop::imports::{Imports, interned};
use crate::interop::layout::FutureView;
use crate::scheduler::{Loop, Runnable, running_loop};

impl<'py> AwaitableView<'_, 'py> {
    /// Parks `task`, one of oxio's, until the wait is over. False when it does not block: somebody yielded it who was
    /// not waiting.
    pub fn park(self, event_loop: &Bound<'py, Loop>, task: &Bound<'py, PyAny>) -> bool {
        let py = self.py();
        let wait = self.state().wait.get(py);
        if wait == Wait::Idle || !self.state().blocking.get(py) {
            return false;
        }
        self.state().blocking.set(py, false);
        if wait == Wait::Pending {
            drop(self.state().task.set(task.clone()));
        } else {
            self.push_wake(event_loop, task.clone().unbind());
        }
        true
    }

    /// Ends the wait. False when it had ended before: woken or cancelled.
    ///
    /// # Errors
    /// `RuntimeError` when the loop of who waits is closed.
    pub fn wake(self) -> PyResult<bool> {
        self.end(Wait::Woken)
    }

    pub fn is_cancelled(self) -> bool {
        self.state().wait.get(self.py()) == Wait::Cancelled
    }

    /// Whether the wait is over, one way or the other, and its task has not run yet.
    pub fn is_done(self) -> bool {
        matches!(self.state().wait.get(self.py()), Wait::Woken | Wait::Cancelled)
    }

    /// The error that a cancelled wait ends with.
    pub fn cancelled_error(self) -> PyErr {
        let py = self.py();
        let made = Imports::of(py).and_then(|imports| {
            let class = imports.cancelled_error.bind(py);
            match self.state().cancel_message.get(py) {
                Some(message) => class.call1((message,)),
                None => class.call0(),
            }
        });
        match made {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    }

    /// What the operation is told when it is resumed after a wait.
    pub(super) fn end_of_wait(self, error: Option<PyErr>) -> Resumed<'py> {
        let py = self.py();
        let state = self.state();
        let resumed = match (error, state.wait.get(py)) {
            (Some(error), _) => Resumed::Error(error),
            (None, Wait::Cancelled) => Resumed::Error(self.cancelled_error()),
            (None, Wait::Pending) => {
                Resumed::Error(PyRuntimeError::new_err("await wasn't used with future"))
            }
            (None, Wait::Idle | Wait::Woken) => Resumed::Value(py.None().into_bound(py)),
        };
        // An operation that wants to know whether it was woken before an error came asks `was_woken`.
        state.was_woken.set(py, state.wait.get(py) == Wait::Woken);
        state.wait.set(py, Wait::Idle);
        drop((state.task.take(py), state.callbacks.take(py), state.cancel_message.take(py)));
        resumed
    }

    fn end(self, wait: Wait) -> PyResult<bool> {
        let py = self.py();
        let state = self.state();
        if state.wait.get(py) != Wait::Pending {
            return Ok(false);
        }
        state.wait.set(py, wait);
        if let Some(task) = state.task.take(py) {
            let event_loop = FutureView::of(&task, Imports::of(py)?.c_future.bind(py))
                .and_then(FutureView::event_loop);
            let Some(event_loop) = event_loop.as_ref().and_then(|found| found.cast::<Loop>().ok())
            else {
                return Err(PyRuntimeError::new_err("a task of another loop is parked here"));
            };
            event_loop.get().check_closed(py)?;
            self.push_wake(event_loop, task.unbind());
        }
        if let Some(callbacks) = state.callbacks.take(py) {
            for entry in callbacks.cast::<PyList>()?.iter() {
                let (callback, context, event_loop): (
                    Bound<'_, PyAny>,
                    Bound<'_, PyAny>,
                    Bound<'_, PyAny>,
                ) = entry.extract()?;
                self.schedule(&callback, &context, &event_loop)?;
            }
        }
        Ok(true)
    }

    fn push_wake(self, event_loop: &Bound<'py, Loop>, task: Py<PyAny>) {
        let future = self.object().clone().unbind();
        event_loop.get().push(self.py(), Runnable::Wake { task, future });
    }

    /// Calls a foreign task's callback in the next turn.
    fn schedule(
        self,
        callback: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        event_loop: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = self.py();
        let kwargs = PyDict::new(py);
        kwargs.set_item(interned!(py, "context"), context)?;
        event_loop.call_method(
            interned!(py, "call_soon"),
            (callback, self.object()),
            Some(&kwargs),
        )?;
        Ok(())
    }
}

/// `oxio.Future`, which is asyncio's by inheritance, and `asyncio.Future` itself when installed. Set by the module that
/// makes the class.
pub static FUTURE_CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The attributes by which a parked awaitable passes for a future, and an idle one does not.
pub(super) fn attribute<'py>(
    view: AwaitableView<'_, 'py>,
    name: &str,
) -> Option<PyResult<Bound<'py, PyAny>>> {
    let py = view.py();
    let is_idle = view.state().wait.get(py) == Wait::Idle;
    match name {
        // anyio and others ask isinstance(task._fut_waiter, asyncio.Future) before they look at it.
        "__class__" if !is_idle => {
            let class = FUTURE_CLASS.get(py)?;
            Some(Ok(class.bind(py).clone()))
        }
        "_asyncio_future_blocking" if !is_idle => {
            let blocking = view.state().blocking.get(py).into_pyobject(py).ok()?;
            Some(Ok(blocking.to_owned().into_any()))
        }
        "get_loop"
        | "add_done_callback"
        | "remove_done_callback"
        | "set_result"
        | "cancel"
        | "cancelled"
        | "done"
        | "result"
        | "exception"
            if is_idle =>
        {
            let message = format!("'coroutine' object has no attribute '{name}'");
            Some(Err(PyAttributeError::new_err(message)))
        }
        _ => None,
    }
}

/// The callback of a timer of a loop that is not ours.
pub(super) fn wake_method(slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    view(slf)?.wake()?;
    Ok(slf.py().None())
}

/// For Python code that wakes waiters itself, as overridden `_wakeup_next`s do.
pub(super) fn set_result(
    slf: &Bound<'_, PyAny>,
    _result: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    if !view(slf)?.wake()? {
        let class = Imports::of(py)?.invalid_state_error.bind(py);
        return Err(PyErr::from_value(class.call1(("invalid state",))?));
    }
    Ok(py.None())
}

pub(super) fn get_loop(slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    Ok(running_loop(slf.py())?.unbind())
}

/// `add_done_callback(callback, *, context=None)`.
pub(super) fn add_done_callback(
    slf: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let view = view(slf)?;
    let callback = args.get_item(0)?;
    let context = match kwargs {
        Some(kwargs) => kwargs.get_item(interned!(py, "context"))?,
        None => None,
    };
    let context = match context.filter(|context| !context.is_none()) {
        Some(context) => context,
        None => copy_context(py)?,
    };
    // The task that waits runs now; it may be woken or cancelled while no loop runs.
    let event_loop = running_loop(py)?;
    if view.state().wait.get(py) != Wait::Pending {
        view.schedule(&callback, &context, &event_loop)?;
        return Ok(py.None());
    }
    let callbacks = match view.state().callbacks.get(py) {
        Some(callbacks) => callbacks.cast_into::<PyList>()?,
        None => PyList::empty(py),
    };
    callbacks.append((callback, context, event_loop))?;
    drop(view.state().callbacks.set(callbacks.into_any()));
    Ok(py.None())
}

/// `remove_done_callback(callback)`: how many were removed.
pub(super) fn remove_done_callback(
    slf: &Bound<'_, PyAny>,
    callback: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let view = view(slf)?;
    let kept = PyList::empty(py);
    let mut removed = 0_usize;
    if let Some(callbacks) = view.state().callbacks.get(py) {
        for pair in callbacks.cast::<PyList>()?.iter() {
            if pair.get_item(0)?.eq(callback)? {
                removed += 1;
            } else {
                kept.append(pair)?;
            }
        }
    }
    drop(view.state().callbacks.set(kept.into_any()));
    Ok(removed.into_pyobject(py)?.into_any().unbind())
}

/// `cancel(msg=None)`.
pub(super) fn cancel(
    slf: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let view = view(slf)?;
    if args.len() > 1 {
        return Err(PyTypeError::new_err("cancel() takes at most 1 argument"));
    }
    let named = match kwargs {
        Some(kwargs) => kwargs.get_item(interned!(py, "msg"))?,
        None => None,
    };
    let message = args.get_item(0).ok().or(named).filter(|message| !message.is_none());
    if view.state().wait.get(py) == Wait::Pending
        && let Some(message) = message
    {
        drop(view.state().cancel_message.set(message));
    }
    let cancelled = view.end(Wait::Cancelled)?;
    Ok(cancelled.into_pyobject(py)?.to_owned().into_any().unbind())
}

pub(super) fn cancelled(slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let cancelled = view(slf)?.is_cancelled();
    Ok(cancelled.into_pyobject(slf.py())?.to_owned().into_any().unbind())
}

pub(super) fn done(slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let done = view(slf)?.is_done();
    Ok(done.into_pyobject(slf.py())?.to_owned().into_any().unbind())
}

/// `result()` and `exception()`: a wait has neither, but it may be cancelled or not over.
pub(super) fn result(slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let view = view(slf)?;
    if view.is_cancelled() {
        return Err(view.cancelled_error());
    }
    if !view.is_done() {
        let class = Imports::of(py)?.invalid_state_error.bind(py);
        return Err(PyErr::from_value(class.call1(("Result is not set.",))?));
    }
    Ok(py.None())
}

impl Awaitable {
    /// Whether the wait that an error has just ended had been woken before: what it was given is to be given back.
    pub fn was_woken(&self, py: Python<'_>) -> bool {
        self.was_woken.get(py)
    }
}
