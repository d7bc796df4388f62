//! `wait(fs, *, timeout=None, return_when=ALL_COMPLETED)`.
//!
//! Source: CPython `tasks.wait` and `tasks._wait`. One callback counts the futures; the awaitable itself is the waiter.

use std::sync::OnceLock;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PySet, PyTuple};

use super::children::{is_cancelled, is_done, unwatch, watch};
use super::stock::stock;
use crate::awaitable::{
    Alarm, AwaitableView, Operation, Parameters, Resumed, Step, cancel_alarm, wake_after,
};
use crate::future::{NATIVE_CALLBACKS, NativeCallback, plain};
use crate::interop::call::copy_context;
use crate::interop::imports::{Imports, interned};
use crate::interop::layout::FutureView;
use crate::interop::rawtype::{bind_builtin, method_onearg};
use crate::scheduler::running_loop;
use crate::task::{current_task, forget_awaited_by, note_awaited_by};

/// # Cancel safety
/// Cancelled, the futures go on; nothing of `wait` stays on them.
pub static WAIT: Operation = Operation {
    name: "wait",
    parameters: Parameters {
        is_method: false,
        names: &["fs", "timeout", "return_when"],
        required: 1,
        positional: 1,
    },
    resume,
};

/// The callback of all futures, in its place among the loop's native ones.
static DONE: &OnceLock<NativeCallback> = &NATIVE_CALLBACKS[1];

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    All,
    First,
    FirstError,
}

fn resume<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let state = view.state();
    match resumed {
        Resumed::Start => {
            let Some(given) = state.first.get(py) else {
                return Err(PyTypeError::new_err("wait() needs futures"));
            };
            let futures = check(&given, state.third.get(py).as_ref())?;
            running_loop(py)?;
            drop(state.first.set(futures.clone().into_any()));
            begin(view, &futures)?;
            Ok(Step::Park)
        }
        Resumed::Value(_none) => {
            let futures = end(view)?;
            let (done, pending) = (PySet::empty(py)?, PySet::empty(py)?);
            for future in futures.iter() {
                if is_done(&future)? { done.add(future)? } else { pending.add(future)? }
            }
            Ok(Step::Return(PyTuple::new(py, [done, pending])?.into_any()))
        }
        Resumed::Error(error) => {
            end(view)?;
            Err(error)
        }
    }
}

/// The set of futures to wait for.
fn check<'py>(
    given: &Bound<'py, PyAny>,
    return_when: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PySet>> {
    let py = given.py();
    let iscoroutine = |object: &Bound<'py, PyAny>| -> PyResult<bool> {
        if plain(object).is_some() {
            return Ok(false);
        }
        Imports::of(py)?.iscoroutine.bind(py).call1((object,))?.is_truthy()
    };
    if stock(py)?.isfuture.bind(py).call1((given,))?.is_truthy()? || iscoroutine(given)? {
        let kind = given.get_type().name()?;
        return Err(PyTypeError::new_err(format!("expect a list of futures, not {kind}")));
    }
    if !given.is_truthy()? {
        return Err(PyValueError::new_err("Set of Tasks/Futures is empty."));
    }
    when(return_when)?;
    let futures = py.get_type::<PySet>().call1((given,))?.cast_into::<PySet>()?;
    for future in futures.iter() {
        if iscoroutine(&future)? {
            return Err(PyTypeError::new_err(
                "Passing coroutines is forbidden, use tasks explicitly.",
            ));
        }
    }
    Ok(futures)
}

fn when(return_when: Option<&Bound<'_, PyAny>>) -> PyResult<When> {
    let Some(return_when) = return_when else {
        return Ok(When::All);
    };
    for (name, when) in [
        ("ALL_COMPLETED", When::All),
        ("FIRST_COMPLETED", When::First),
        ("FIRST_EXCEPTION", When::FirstError),
    ] {
        if return_when.eq(name)? {
            return Ok(when);
        }
    }
    Err(PyValueError::new_err(format!("Invalid return_when value: {return_when}")))
}

/// Arms the time-out and puts the callback on every future.
fn begin<'py>(view: AwaitableView<'_, 'py>, futures: &Bound<'py, PySet>) -> PyResult<()> {
    let py = view.py();
    let state = view.state();
    state.number.set(py, futures.len());
    // The callback in the place of the number of waits; the alarm takes the place of the time-out.
    let timeout = state.second.take(py).filter(|timeout| !timeout.is_none());
    let native = DONE.get_or_init(|| NativeCallback {
        method: method_onearg(
            c"_on_completion",
            c"Counts a future of wait() that is done.",
            one_done,
        ),
        call: one_done,
    });
    let mut alarm = None;
    if let Some(timeout) = timeout {
        alarm = Some(wake_after(view, &timeout)?);
    }
    let callback = bind_builtin(&native.method, view.object())?;
    let context = copy_context(py)?;
    let caller = caller(py)?;
    for future in futures.iter() {
        watch(&future, &callback, &context)?;
        if let Some(caller) = &caller {
            note_awaited_by(&future, caller)?;
        }
    }
    let alarm = match alarm {
        None => py.None().into_bound(py),
        Some(Alarm::Native) => true.into_pyobject(py)?.to_owned().into_any(),
        Some(Alarm::Handle(handle)) => handle,
    };
    drop(state.second.set(PyTuple::new(py, [callback, alarm])?.into_any()));
    Ok(())
}

/// 3.14: the task that the futures are shown to be awaited by.
fn caller(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    if cfg!(not(Py_3_14)) {
        return Ok(None);
    }
    match running_loop(py) {
        Ok(running) => current_task(&running),
        // Closed when no loop runs any more: by the collector, or at the end of the process.
        Err(_none) => Ok(None),
    }
}

/// Takes everything back; returns the futures.
fn end<'py>(view: AwaitableView<'_, 'py>) -> PyResult<Bound<'py, PySet>> {
    let py = view.py();
    let state = view.state();
    let futures = match state.first.get(py) {
        Some(futures) => futures.cast_into::<PySet>()?,
        None => PySet::empty(py)?,
    };
    if let Some(parts) = state.second.take(py) {
        let (callback, alarm): (Bound<'_, PyAny>, Bound<'_, PyAny>) = parts.extract()?;
        if alarm.is_exact_instance_of::<pyo3::types::PyBool>() {
            cancel_alarm(view, None)?;
        } else if !alarm.is_none() {
            cancel_alarm(view, Some(&alarm))?;
        }
        let caller = caller(py)?;
        for future in futures.iter() {
            unwatch(&future, &callback)?;
            if let Some(caller) = &caller {
                forget_awaited_by(&future, caller)?;
            }
        }
    }
    Ok(futures)
}

/// The callback of every future.
fn one_done(slf: &Bound<'_, PyAny>, future: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let Some(view) = AwaitableView::of(slf) else {
        return Err(PyTypeError::new_err("this callback needs an awaitable"));
    };
    let left = view.state().number.get(py).saturating_sub(1);
    view.state().number.set(py, left);
    let is_enough = left == 0
        || match when(view.state().third.get(py).as_ref())? {
            When::All => false,
            When::First => true,
            When::FirstError => has_failed(future)?,
        };
    if is_enough {
        view.wake()?;
    }
    Ok(py.None())
}

fn has_failed(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    if plain(future).is_some_and(FutureView::has_succeeded) || is_cancelled(future)? {
        return Ok(false);
    }
    Ok(!future.call_method0(interned!(future.py(), "exception"))?.is_none())
}
