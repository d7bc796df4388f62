//! `call_soon` and its family, futures and tasks.
//!
//! Source of the behaviour: CPython `BaseEventLoop`.

use oxio_core::clock::Deadline;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyTuple};

use crate::future::{future_class, native_callback, new_future, woken_task};
use crate::handle::{new_handle, new_timer};
use crate::interop::imports::{Imports, Replaceable, interned};
use crate::interop::layout::hide_from_collector;
use crate::scheduler::{Loop, Runnable};
use crate::task::{NewTask, native_start, new_task};

/// `call_soon(callback, *args, context=None)`.
pub fn call_soon<'py>(
    event_loop: &Bound<'py, Loop>,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let state = event_loop.get();
    state.check_closed(py)?;
    if state.is_debug(py) {
        event_loop.call_method0(interned!(py, "_check_thread"))?;
        check_callback(event_loop, callback, "call_soon")?;
    }
    // A done future wakes one of our tasks. The step enters the task's context itself, so no handle may.
    if let Some(task) = woken_task(callback)
        && args.len() == 1
    {
        let future = args.get_item(0)?.unbind();
        state.push(py, Runnable::Wake { task: task.unbind(), future });
        return new_handle(event_loop, callback, args, context);
    }
    // Likewise a callback of ours, for which the loop needs no context: what it calls may enter one.
    if let Some((object, call)) = native_callback(callback)
        && args.len() == 1
    {
        let future = args.get_item(0)?.unbind();
        state.push(py, Runnable::Done { object: object.unbind(), future, call });
        return new_handle(event_loop, callback, args, context);
    }
    let handle = new_handle(event_loop, callback, args, context)?;
    hide_while_running(state, &handle);
    state.push(py, Runnable::Handle(handle.clone().unbind()));
    Ok(handle)
}

/// A running loop is alive, and so is what its queue refers to: the collector need not look. When the loop stops it
/// shows what is left (`run::run_once`).
fn hide_while_running(state: &Loop, handle: &Bound<'_, PyAny>) {
    if state.running_thread(handle.py()).is_some() {
        hide_from_collector(handle);
    }
}

/// `call_soon_threadsafe(callback, *args, context=None)`.
pub fn call_soon_threadsafe<'py>(
    event_loop: &Bound<'py, Loop>,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let state = event_loop.get();
    state.check_closed(py)?;
    if state.is_debug(py) {
        check_callback(event_loop, callback, "call_soon_threadsafe")?;
    }
    let (handle, runnable) = if let Some(class) = &Imports::of(py)?.thread_safe_handle {
        let handle = class.bind(py).call1((callback, args, event_loop, context))?;
        if state.is_debug(py) {
            // Where it was scheduled, without the frame of the handle's own `__init__`.
            handle.getattr(interned!(py, "_source_traceback"))?.del_item(-1)?;
        }
        (handle.clone(), Runnable::ForeignHandle(handle.unbind()))
    } else {
        let handle = new_handle(event_loop, callback, args, context)?;
        hide_while_running(state, &handle);
        (handle.clone(), Runnable::Handle(handle.unbind()))
    };
    state.push_threadsafe(py, runnable);
    Ok(handle)
}

/// `call_later(delay, callback, *args, context=None)`; `delay` in seconds.
pub fn call_later<'py>(
    event_loop: &Bound<'py, Loop>,
    delay: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    if !event_loop.get().native(py).timers {
        // The subclass has its own clock, or makes its timers itself.
        let when = event_loop.call_method0(interned!(py, "time"))?.add(delay)?;
        let call: Vec<_> = [when, callback.clone()].into_iter().chain(args.iter()).collect();
        let kwargs = PyDict::new(py);
        kwargs.set_item(interned!(py, "context"), context)?;
        let call = PyTuple::new(py, call)?;
        return event_loop.call_method(interned!(py, "call_at"), call, Some(&kwargs));
    }
    let now = Deadline::now().as_secs_f64();
    // Python's own addition decides what else may be a delay: an int may, a Decimal may not.
    let when = match delay.cast_exact::<PyFloat>() {
        Ok(delay) => (now + delay.value()).into_pyobject(py)?.into_any(),
        Err(_) => PyFloat::new(py, now).add(delay)?,
    };
    call_at(event_loop, when, callback, args, context, "call_later")
}

/// `call_at(when, callback, *args, context=None)`; `when` is a float of the loop's clock.
pub fn call_at<'py>(
    event_loop: &Bound<'py, Loop>,
    when: Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    context: Option<&Bound<'py, PyAny>>,
    method: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let state = event_loop.get();
    state.check_closed(py)?;
    if state.is_debug(py) {
        event_loop.call_method0(interned!(py, "_check_thread"))?;
        check_callback(event_loop, callback, method)?;
    }
    new_timer(event_loop, when, callback, args, context)
}

/// `_add_callback(handle)`: runs a handle that somebody else made.
pub fn add_callback(event_loop: &Bound<'_, Loop>, handle: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    if !handle.getattr(interned!(py, "_cancelled"))?.is_truthy()? {
        event_loop.get().push_threadsafe(py, Runnable::ForeignHandle(handle.clone().unbind()));
    }
    Ok(())
}

fn check_callback(
    event_loop: &Bound<'_, Loop>,
    callback: &Bound<'_, PyAny>,
    method: &str,
) -> PyResult<()> {
    let py = event_loop.py();
    event_loop.call_method1(interned!(py, "_check_callback"), (callback, method))?;
    Ok(())
}

/// `create_task(coro, *, name=None, context=None, **kwargs)`.
pub fn create_task<'py>(
    event_loop: &Bound<'py, Loop>,
    coro: &Bound<'py, PyAny>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let state = event_loop.get();
    state.check_closed(py)?;
    let Some(eager_start) = native_start(event_loop)? else {
        return stock_create_task(event_loop, coro, kwargs);
    };
    let mut new = NewTask { coro, name: None, context: None, eager_start };
    for (key, value) in kwargs.into_iter().flat_map(PyDictMethods::iter) {
        let value = Some(value).filter(|value| !value.is_none());
        if key.eq("name")? {
            new.name = value;
        } else if key.eq("context")? {
            new.context = value;
        } else if key.eq("eager_start")? {
            // `eager_start=None` means the factory's choice, which is this one.
            if let Some(value) = value {
                new.eager_start = value.is_truthy()?;
            }
        } else {
            let key = key.str()?;
            return Err(PyTypeError::new_err(format!(
                "create_task() got an unexpected keyword argument '{key}'"
            )));
        }
    }
    new_task(event_loop, new)
}

/// `create_future()`.
pub fn create_future<'py>(event_loop: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    if !Imports::of(py)?.is_native_in_use(Replaceable::Future, future_class(py)?)? {
        let base = py.import("asyncio.base_events")?.getattr("BaseEventLoop")?;
        return base.call_method1(interned!(py, "create_future"), (event_loop,));
    }
    new_future(event_loop)
}

/// asyncio's own `create_task`, which knows what the running version passes to a factory.
fn stock_create_task<'py>(
    event_loop: &Bound<'py, Loop>,
    coro: &Bound<'py, PyAny>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    // As a tuple of positional arguments, with the loop first: it is a plain function.
    Imports::of(py)?.base_create_task.bind(py).call((event_loop, coro), kwargs)
}
