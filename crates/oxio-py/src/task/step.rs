//! THE place where a coroutine is advanced.
//!
//! One step: the current task is set, the context entered, the coroutine sent `None` or thrown an error; what it
//! then yields, returns or raises decides where the task goes. The order of effects is that of CPython's
//! `task_step_impl`, `task_step_handle_result_impl` and `task_wakeup`.

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::current::enter_current;
use super::{task_class, unregister};
use crate::awaitable::AwaitableView;
#[cfg(Py_3_14)]
use crate::future::view as future_view;
use crate::future::{WAKEUP, plain as plain_future, schedule_callbacks};
use crate::interop::call::{Sent, in_context, send_none, throw};
use crate::interop::imports::{Imports, interned};
use crate::interop::layout::{FutureView, State, TaskView};
use crate::interop::rawtype::bind_builtin;
use crate::scheduler::{Loop, Runnable};

/// Sends `None` into the task's coroutine.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit`, which must leave the loop; `InvalidStateError` for a task that is done.
pub fn step<'py>(event_loop: &Bound<'py, Loop>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    advance(event_loop, task, None)
}

/// Raises `error` inside the task's coroutine.
///
/// # Errors
/// As [`step`].
pub fn throw_into<'py>(
    event_loop: &Bound<'py, Loop>,
    task: &Bound<'py, PyAny>,
    error: Bound<'py, PyAny>,
) -> PyResult<()> {
    advance(event_loop, task, Some(error))
}

/// Resumes a task whose awaited `future` is done: with `None`, or with its error.
///
/// # Errors
/// As [`step`].
pub fn wake<'py>(
    event_loop: &Bound<'py, Loop>,
    task: &Bound<'py, PyAny>,
    future: &Bound<'py, PyAny>,
) -> PyResult<()> {
    if let Some(awaitable) = AwaitableView::of(future) {
        return if awaitable.is_cancelled() {
            let error = awaitable.cancelled_error().into_value(future.py());
            throw_into(event_loop, task, error.into_bound(future.py()).into_any())
        } else {
            step(event_loop, task)
        };
    }
    forget_awaited_by(future, task)?;
    let py = future.py();
    if plain_future(future).is_some_and(FutureView::has_succeeded) {
        return step(event_loop, task);
    }
    match future.call_method0(interned!(py, "result")) {
        Ok(_result) => step(event_loop, task),
        Err(error) => throw_into(event_loop, task, error.into_value(py).into_bound(py).into_any()),
    }
}

/// `task_wakeup(future)`, for loops and futures that call the callback themselves.
pub fn task_wakeup(task: &Bound<'_, PyAny>, future: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = task.py();
    let class = task_class(py)?;
    let event_loop = TaskView::of(task, class).and_then(|view| view.future().event_loop());
    match event_loop.as_ref().and_then(|event_loop| event_loop.cast::<Loop>().ok()) {
        Some(event_loop) => wake(event_loop, task, future)?,
        None => {
            return Err(PyRuntimeError::new_err("task_wakeup() of a task that is not oxio's"));
        }
    }
    Ok(py.None())
}

fn advance<'py>(
    event_loop: &Bound<'py, Loop>,
    task: &Bound<'py, PyAny>,
    error: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = event_loop.py();
    let class = task_class(py)?;
    let Some(view) = TaskView::of(task, class) else {
        return Err(PyRuntimeError::new_err("uninitialized Task object"));
    };
    let error = if view.must_cancel() { Some(cancellation(view, error)?) } else { error };
    if view.future().state() != State::Pending {
        return Err(already_done(view, error));
    }
    drop(view.take_waiter());
    let (Some(coro), Some(context)) = (view.coro(), view.context()) else {
        return Err(PyRuntimeError::new_err("uninitialized Task object"));
    };
    let state = event_loop.get();
    if state.stepping.get(py) {
        return Err(nested(event_loop, task));
    }
    enter_current(event_loop, task)?;
    state.stepping.set(py, true);
    // Like asyncio's handles, the context covers the handling of the result too: an `add_done_callback` of a
    // foreign future may look at it.
    let handled = in_context(&context, || {
        let sent = match error {
            None => send_none(&coro),
            Some(error) => throw(&coro, &error),
        };
        settle(event_loop, view, &context, sent)
    });
    state.stepping.set(py, false);
    unregister(event_loop, view);
    handled
}

/// The error that carries out a cancellation requested while the task was not waiting.
fn cancellation<'py>(
    view: TaskView<'_, 'py>,
    error: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = view.object().py();
    if view.future().state() != State::Pending {
        // `advance` reports it; nothing may change.
        return Ok(error.unwrap_or_else(|| py.None().into_bound(py)));
    }
    let cancelled_error = Imports::of(py)?.cancelled_error.bind(py);
    let error = match error {
        Some(error) if error.is_instance(cancelled_error)? => error,
        _ => view.object().call_method0(interned!(py, "_make_cancelled_error"))?,
    };
    view.clear_must_cancel();
    Ok(error)
}

/// Somebody called a wake-up inside another task's step.
fn nested(event_loop: &Bound<'_, Loop>, task: &Bound<'_, PyAny>) -> PyErr {
    let py = event_loop.py();
    let current = event_loop.get().current.borrow(py).as_ref().map(|task| task.clone_ref(py));
    let current = current.map_or_else(String::new, |current| repr(current.bind(py)));
    let task = repr(task);
    PyRuntimeError::new_err(format!(
        "Cannot enter into task {task} while another task {current} is being executed."
    ))
}

fn already_done<'py>(view: TaskView<'_, 'py>, error: Option<Bound<'py, PyAny>>) -> PyErr {
    let py = view.object().py();
    let error = error.unwrap_or_else(|| py.None().into_bound(py));
    let message = format!("__step(): already done: {:?} {error:?}", view.object());
    match Imports::of(py).and_then(|imports| imports.invalid_state_error.bind(py).call1((message,)))
    {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

fn settle<'py>(
    event_loop: &Bound<'py, Loop>,
    view: TaskView<'_, 'py>,
    context: &Bound<'py, PyAny>,
    sent: Sent<'py>,
) -> PyResult<()> {
    match sent {
        Sent::Yielded(value) => suspend(event_loop, view, context, &value),
        Sent::Returned(value) => finish(event_loop, view, value),
        Sent::Raised(error) => fail(view, error),
    }
}

/// The coroutine returned.
fn finish<'py>(
    event_loop: &Bound<'py, Loop>,
    view: TaskView<'_, 'py>,
    result: Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = result.py();
    let imports = Imports::of(py)?;
    if view.must_cancel() {
        // Cancelled right before it returned.
        view.clear_must_cancel();
        return cancel_future(view, view.future().cancel_message());
    }
    let state = event_loop.get();
    let is_pending = view.future().state() == State::Pending;
    if !is_pending || state.is_debug(py) || state.is_closed(py) {
        // Somebody finished it by force meanwhile (refused there), or debug mode wants handles.
        imports.future_set_result.bind(py).call1((view.object(), result))?;
        return Ok(());
    }
    #[cfg(Py_3_14)]
    view.unlink();
    view.future().finish(result);
    schedule_callbacks(event_loop, view.future())
}

/// The coroutine raised.
fn fail(view: TaskView<'_, '_>, error: PyErr) -> PyResult<()> {
    let py = view.object().py();
    let imports = Imports::of(py)?;
    let leaves_the_loop =
        error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py);
    let error = error.into_value(py).into_bound(py).into_any();
    if error.is_instance(imports.cancelled_error.bind(py))? {
        view.future().set_cancelled_error(error);
        return cancel_future(view, None);
    }
    imports.future_set_exception.bind(py).call1((view.object(), &error))?;
    if leaves_the_loop {
        return Err(PyErr::from_value(error));
    }
    Ok(())
}

/// Makes the task itself cancelled, as `Future.cancel` does; `Task.cancel` only requests it.
fn cancel_future<'py>(view: TaskView<'_, 'py>, message: Option<Bound<'py, PyAny>>) -> PyResult<()> {
    let py = view.object().py();
    let cancel = Imports::of(py)?.future_cancel.bind(py);
    match message {
        Some(message) if !message.is_none() => {
            let kwargs = PyDict::new(py);
            kwargs.set_item(interned!(py, "msg"), message)?;
            cancel.call((view.object(),), Some(&kwargs))?;
        }
        _ => {
            cancel.call1((view.object(),))?;
        }
    }
    Ok(())
}

/// The coroutine yielded `value`: what it awaits, or `None` to be run again in the next turn.
fn suspend<'py>(
    event_loop: &Bound<'py, Loop>,
    view: TaskView<'_, 'py>,
    context: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = value.py();
    if value.is_none() {
        event_loop.get().push(py, Runnable::Step { task: view.object().clone().unbind() });
        return Ok(());
    }
    if let Some(awaitable) = AwaitableView::of(value)
        && awaitable.park(event_loop, view.object())
    {
        return wait_for(view, value);
    }
    if value.is(view.object()) {
        refuse(event_loop, view, format!("Task cannot await on itself: {}", repr(value)));
        return Ok(());
    }
    if let Some(future) = plain_future(value) {
        if !future.belongs_to(event_loop.as_any()) {
            refuse(event_loop, view, different_loop(view, value));
            return Ok(());
        }
        if !future.take_blocking() {
            refuse(event_loop, view, yield_instead(view, value));
            return Ok(());
        }
        note_awaited_by(value, view.object())?;
        let wakeup = new_wakeup(view)?;
        if let Err((wakeup, context)) = future.try_set_first_callback(wakeup, context.clone()) {
            add_done_callback(value, &wakeup, &context)?;
        }
        return wait_for(view, value);
    }
    suspend_on_foreign(event_loop, view, context, value)
}

/// `value` is not exactly a future of CPython's or ours: it may be a subclass or a look-alike.
fn suspend_on_foreign<'py>(
    event_loop: &Bound<'py, Loop>,
    view: TaskView<'_, 'py>,
    context: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = value.py();
    let blocking = value.getattr_opt(interned!(py, "_asyncio_future_blocking"))?;
    let Some(blocking) = blocking.filter(|blocking| !blocking.is_none()) else {
        let what = if is_generator(value)? {
            format!(
                "yield was used instead of yield from for generator in task {} with {}",
                repr(view.object()),
                repr(value)
            )
        } else {
            format!("Task got bad yield: {}", repr(value))
        };
        refuse(event_loop, view, what);
        return Ok(());
    };
    let blocking = blocking.is_truthy()?;
    let future_loop = match value.getattr_opt(interned!(py, "get_loop"))? {
        Some(get_loop) => get_loop.call0()?,
        None => value.getattr(interned!(py, "_loop"))?,
    };
    if !future_loop.is(event_loop) {
        refuse(event_loop, view, different_loop(view, value));
        return Ok(());
    }
    if !blocking {
        refuse(event_loop, view, yield_instead(view, value));
        return Ok(());
    }
    note_awaited_by(value, view.object())?;
    value.setattr(interned!(py, "_asyncio_future_blocking"), false)?;
    add_done_callback(value, &new_wakeup(view)?, context)?;
    wait_for(view, value)
}

/// The task now waits for `future`; a cancellation that was requested meanwhile goes on to it.
fn wait_for<'py>(view: TaskView<'_, 'py>, future: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = future.py();
    view.set_waiter(future.clone());
    if view.must_cancel() {
        let kwargs = PyDict::new(py);
        let message = view.future().cancel_message();
        kwargs.set_item(interned!(py, "msg"), message)?;
        if future.call_method(interned!(py, "cancel"), (), Some(&kwargs))?.is_truthy()? {
            view.clear_must_cancel();
        }
    }
    Ok(())
}

/// Raises `RuntimeError(message)` inside the coroutine in the next turn.
fn refuse(event_loop: &Bound<'_, Loop>, view: TaskView<'_, '_>, message: String) {
    let py = event_loop.py();
    let error = PyRuntimeError::new_err(message).into_value(py).into_any();
    let task = view.object().clone().unbind();
    event_loop.get().push(py, Runnable::StepError { task, error });
}

fn different_loop(view: TaskView<'_, '_>, future: &Bound<'_, PyAny>) -> String {
    let (task, future) = (repr(view.object()), repr(future));
    format!("Task {task} got Future {future} attached to a different loop")
}

fn yield_instead(view: TaskView<'_, '_>, future: &Bound<'_, PyAny>) -> String {
    let (task, future) = (repr(view.object()), repr(future));
    format!("yield was used instead of yield from in task {task} with {future}")
}

/// `repr(object)`, or what went wrong with it: a message must not be lost to a broken `__repr__`.
fn repr(object: &Bound<'_, PyAny>) -> String {
    match object.repr() {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(error) => format!("<repr failed: {error}>"),
    }
}

fn new_wakeup<'py>(view: TaskView<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    match WAKEUP.get() {
        Some(wakeup) => bind_builtin(wakeup, view.object()),
        None => Err(PyRuntimeError::new_err("oxio is not initialised")),
    }
}

/// `future.add_done_callback(callback, context=context)`.
pub fn add_done_callback<'py>(
    future: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = future.py();
    let kwargs = PyDict::new(py);
    kwargs.set_item(interned!(py, "context"), context)?;
    future.call_method(interned!(py, "add_done_callback"), (callback,), Some(&kwargs))?;
    Ok(())
}

fn is_generator(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    object.is_instance(&py.import("types")?.getattr("GeneratorType")?)
}

/// 3.14 call graphs: `future` is awaited by `task`.
#[cfg(Py_3_14)]
pub fn note_awaited_by(future: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    use crate::interop::imports::TaskBook;
    let py = future.py();
    let Some(view) = future_view(future)? else {
        return Ok(());
    };
    if !view.try_set_awaited_by(task) {
        let TaskBook::PerThread { add_awaited_by, .. } = &Imports::of(py)?.tasks;
        add_awaited_by.bind(py).call1((future, task))?;
    }
    Ok(())
}

#[cfg(Py_3_14)]
pub fn forget_awaited_by(future: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    use crate::interop::imports::TaskBook;
    let py = future.py();
    let Some(view) = future_view(future)? else {
        return Ok(());
    };
    if !view.try_clear_awaited_by(task) {
        let TaskBook::PerThread { discard_awaited_by, .. } = &Imports::of(py)?.tasks;
        discard_awaited_by.bind(py).call1((future, task))?;
    }
    Ok(())
}

#[cfg(not(Py_3_14))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as on 3.14")]
pub fn note_awaited_by(_future: &Bound<'_, PyAny>, _task: &Bound<'_, PyAny>) -> PyResult<()> {
    Ok(())
}

#[cfg(not(Py_3_14))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as on 3.14")]
pub fn forget_awaited_by(_future: &Bound<'_, PyAny>, _task: &Bound<'_, PyAny>) -> PyResult<()> {
    Ok(())
}
