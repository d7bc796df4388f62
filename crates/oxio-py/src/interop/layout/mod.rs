//! The memory of asyncio's C classes, as the running CPython lays it out.
//!
//! oxio's objects *are* asyncio's objects: `oxio.Task` is a subclass of `_asyncio.Task` that keeps its
//! state in the base's own fields. So every inherited getter, `repr`, `cancel` and debugger that reads
//! those fields sees the truth, and a task may be driven by oxio's step or by CPython's without either
//! noticing. The price is that the layout must be known. It is private to CPython and differs per minor
//! version, so it is written down here and *checked when oxio is imported* ([`verify`]). When the check
//! fails for Future or Task, oxio uses CPython's own classes instead: slower, never wrong (docs/decisions/0001). For
//! `Handle`, a Python class whose slots have not changed since 3.7, the import fails with a sentence.
//!
//! Sources: CPython 3.11–3.14 `Modules/_asynciomodule.c` (`FutureObj_HEAD`, `TaskObj`) and
//! `Lib/asyncio/events.py` (`Handle.__slots__`; a class's slots are laid out in sorted order).
//!
//! Thread: all views are used on a thread that holds the interpreter; they borrow the object, so it lives.

#![expect(unsafe_code, reason = "moves references in and out of fields of CPython's structs")]

mod future;
mod handle;
mod task;

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;

pub use future::{FUTURE_SIZE, FutureView, KnownClasses, State, dies_quietly};
pub use handle::{
    HANDLE_SIZE, HANDLE_SLOTS, HandleView, TIMER_HANDLE_SIZE, TIMER_HANDLE_SLOTS, TimerHandleView,
    handle_is_cancelled, hide_from_collector, show_to_collector, visit_hidden_handle,
};
pub use task::{OXIO_TASK_SIZE, TASK_SIZE, TaskView};

/// Takes the reference out of `field`, leaving NULL.
///
/// # Safety
/// `field` points to an owned-or-NULL reference of a live object, and the caller is attached.
unsafe fn take<'py>(py: Python<'py>, field: *mut *mut ffi::PyObject) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the caller's promise; ownership moves out as NULL is written before anything can run.
    unsafe {
        let value = field.replace(ptr::null_mut());
        Bound::from_owned_ptr_or_opt(py, value)
    }
}

/// # Safety
/// As for [`take`].
unsafe fn peek<'py>(
    py: Python<'py>,
    field: *const *mut ffi::PyObject,
) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the caller's promise; a new reference is made before the field can change.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, *field) }
}

/// Stores `value` and returns what was there, for the caller to drop when its own state is consistent.
///
/// # Safety
/// As for [`take`].
unsafe fn put<'py>(
    py: Python<'py>,
    field: *mut *mut ffi::PyObject,
    value: Bound<'py, PyAny>,
) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the caller's promise; the new reference's ownership moves in, the old one's out.
    unsafe {
        let old = field.replace(value.into_ptr());
        Bound::from_owned_ptr_or_opt(py, old)
    }
}

/// `isinstance` by the type's real bases, without `__class__` and `__instancecheck__`.
fn is_instance_of_type(object: &Bound<'_, PyAny>, base: &Bound<'_, PyAny>) -> bool {
    let kind = object.get_type_ptr();
    let base: *mut ffi::PyTypeObject = base.as_ptr().cast();
    // SAFETY: both are live types: one is the type of a live object, the other is borrowed and was made by
    // `rawtype` or looked up as a class in `imports`.
    kind == base || unsafe { ffi::PyType_IsSubtype(kind, base) } != 0
}

/// What [`verify`] read back from objects that CPython itself made.
pub struct Layout {
    /// Future and Task are as written above.
    pub futures: bool,
    /// Handle and `TimerHandle` are as written above.
    pub handles: bool,
}

/// Compares this file with objects that the running CPython makes.
///
/// `python/oxio/_probe.py` makes a future, a task and a timer handle together with the very objects that must be found
/// in their fields: loop, first callback and its context, result, state and flags; coroutine, context, waiter. The other
/// fields stand between these, so that a layout in which they moved has another size or fails on a neighbour.
pub fn verify(
    py: Python<'_>,
    c_future: &Bound<'_, PyAny>,
    c_task: &Bound<'_, PyAny>,
    handle: &Bound<'_, PyAny>,
    timer_handle: &Bound<'_, PyAny>,
) -> PyResult<Layout> {
    let sizes = basic_size(c_future)? == FUTURE_SIZE && basic_size(c_task)? == TASK_SIZE;
    let futures = sizes && futures_match(py, c_future, c_task)?;
    let handles = basic_size(handle)? == HANDLE_SIZE
        && basic_size(timer_handle)? == TIMER_HANDLE_SIZE
        && handles_match(py, timer_handle)?;
    Ok(Layout { futures, handles })
}

fn basic_size(class: &Bound<'_, PyAny>) -> PyResult<usize> {
    class.getattr("__basicsize__")?.extract()
}

fn futures_match(
    py: Python<'_>,
    c_future: &Bound<'_, PyAny>,
    c_task: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let probe = py.import("oxio._probe")?;
    let parts = probe.call_method1("future_parts", (c_future,))?;
    let (pending, event_loop, callback, context): (
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
    ) = parts.extract()?;
    let Some(view) = FutureView::of(&pending, c_future) else {
        return Ok(false);
    };
    let loop_found = view.belongs_to(&event_loop);
    // The `blocking` flag: set by the attribute, read by us, and cleared where the attribute sees it.
    pending.setattr("_asyncio_future_blocking", true)?;
    let blocking_found =
        view.take_blocking() && !pending.getattr("_asyncio_future_blocking")?.is_truthy()?;
    let pending_found = view.state() == State::Pending && !view.has_exception();
    let taken = view.take_callbacks();
    let callbacks_found = taken.first.is_some_and(|found| found.is(&callback))
        && taken.first_context.is_some_and(|found| found.is(&context))
        && taken.rest.is_none();
    view.finish(callback.clone());
    let result_found = view.state() == State::Finished
        && pending.call_method0("done")?.is_truthy()?
        && pending.call_method0("result")?.is(&callback);

    let parts = probe.call_method1("task_parts", (c_task,))?;
    let (task, coro, context, waiter): (
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
    ) = parts.extract()?;
    let Some(future) = FutureView::of(&task, c_task) else {
        return Ok(false);
    };
    let view = TaskView { future };
    let task_found = view.coro().is_some_and(|found| found.is(&coro))
        && view.context().is_some_and(|found| found.is(&context));
    view.set_waiter(waiter.clone());
    let waiter_found = task.getattr("_fut_waiter")?.is(&waiter);
    drop(view.take_waiter());
    task.call_method0("cancel")?;
    let cancel_found = view.must_cancel();
    view.clear_must_cancel();
    let cancel_cleared = !task.getattr("_must_cancel")?.is_truthy()?;
    // What `fill` writes must be what the getter shows.
    task.setattr("_log_destroy_pending", false)?;
    let name = task.call_method0("get_name")?;
    view.fill(event_loop, coro.clone(), name, context);
    let destroy_found = task.getattr("_log_destroy_pending")?.is_truthy()?;
    task.setattr("_log_destroy_pending", false)?;
    coro.call_method0("close")?;
    Ok(loop_found
        && blocking_found
        && pending_found
        && callbacks_found
        && result_found
        && task_found
        && waiter_found
        && cancel_found
        && cancel_cleared
        && destroy_found)
}

fn handles_match(py: Python<'_>, timer_handle: &Bound<'_, PyAny>) -> PyResult<bool> {
    let probe = py.import("oxio._probe")?;
    let handle = probe.call_method1("timer_handle", (timer_handle,))?;
    let Some(view) = TimerHandleView::of(&handle, timer_handle) else {
        return Ok(false);
    };
    let base = view.handle();
    let same = |found: Option<Bound<'_, PyAny>>, name: &str| -> PyResult<bool> {
        let expected = handle.getattr(name)?;
        Ok(found.is_some_and(|found| found.is(&expected)))
    };
    let found = same(base.callback(), "_callback")?
        && same(base.args(), "_args")?
        && same(base.context(), "_context")?
        && same(base.event_loop(), "_loop")?
        && !base.is_cancelled()
        && !view.is_scheduled();
    view.set_scheduled(true);
    let when = 7.0_f64.into_pyobject(py)?.into_any();
    view.set_when(when.clone());
    let timed =
        handle.getattr("_scheduled")?.is_truthy()? && handle.call_method0("when")?.is(&when);
    base.cancel();
    let cancelled = handle.call_method0("cancelled")?.is_truthy()? && base.is_cancelled();
    Ok(found && timed && cancelled)
}
