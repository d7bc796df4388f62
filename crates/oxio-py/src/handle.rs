//! `Handle` and `TimerHandle`: asyncio's own classes with their memory filled and read by Rust.
//!
//! `repr`, `get_context`, ordering and debugging are inherited from asyncio. In debug mode handles are made by
//! asyncio's own `__init__`, which records where they were scheduled.
//!
//! Thread: the loop's, but for `call_soon_threadsafe`.

use oxio_core::clock::Deadline;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use crate::interop::call::copy_context;
use crate::interop::imports::{Imports, interned};
use crate::interop::layout::{
    HANDLE_SIZE, HANDLE_SLOTS, HandleView, TIMER_HANDLE_SIZE, TIMER_HANDLE_SLOTS, TimerHandleView,
};
use crate::interop::rawtype::{ClassSpec, Memory, method_noargs, new_class, new_instance};
use crate::scheduler::{Loop, Timer};

struct Classes {
    handle: Py<PyAny>,
    timer_handle: Py<PyAny>,
}

static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

fn classes(py: Python<'_>) -> PyResult<&'static Classes> {
    CLASSES.get_or_try_init(py, || {
        let imports = Imports::of(py)?;
        if !imports.layout.handles {
            return Err(PyImportError::new_err(
                "this interpreter's asyncio.Handle is laid out in a way that this oxio does not know; \
                 use a CPython 3.11 to 3.14 release, or a newer oxio",
            ));
        }
        let handle = new_class(
            imports.handle.bind(py),
            None,
            ClassSpec {
                name: c"oxio._oxio.Handle",
                doc: c"What call_soon() returns: a callback that has not run yet.",
                basic_size: HANDLE_SIZE,
                methods: vec![method_noargs(c"cancel", CANCEL_DOC, cancel)],
                init: None,
                memory: Memory::Handle(HANDLE_SLOTS),
            },
        )?;
        let timer_handle = new_class(
            imports.timer_handle.bind(py),
            None,
            ClassSpec {
                name: c"oxio._oxio.TimerHandle",
                doc: c"What call_later() and call_at() return: a callback that waits for its time.",
                basic_size: TIMER_HANDLE_SIZE,
                methods: vec![method_noargs(c"cancel", CANCEL_DOC, cancel_timer)],
                init: None,
                memory: Memory::TimerHandle(TIMER_HANDLE_SLOTS),
            },
        )?;
        Ok(Classes {
            handle: handle.into_any().unbind(),
            timer_handle: timer_handle.into_any().unbind(),
        })
    })
}

const CANCEL_DOC: &std::ffi::CStr =
    c"cancel($self)\n--\n\nNever call the callback; callback and arguments are let go at once.\n\nLoop thread only.";

/// The class `oxio.Handle`.
///
/// # Errors
/// `ImportError` when the interpreter's `asyncio.Handle` has an unknown layout.
pub fn handle_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(classes(py)?.handle.bind(py).clone())
}

/// The class `oxio.TimerHandle`.
///
/// # Errors
/// As [`handle_class`].
pub fn timer_handle_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(classes(py)?.timer_handle.bind(py).clone())
}

/// A handle for `callback(*args)`; `context` defaults to a copy of the current one.
pub fn new_handle<'py>(
    event_loop: &Bound<'py, Loop>,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let class = classes(py)?.handle.bind(py);
    if event_loop.get().is_debug(py) {
        return class.call1((callback, args, event_loop, context));
    }
    let handle = new_instance(class)?;
    fill(&handle, event_loop, callback, args, context)?;
    Ok(handle)
}

/// A timer handle for `callback(*args)` at `when`, in the queue of its loop.
pub fn new_timer<'py>(
    event_loop: &Bound<'py, Loop>,
    when: Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let class = classes(py)?.timer_handle.bind(py);
    let deadline = Deadline::from_secs_f64(when.extract()?);
    let timer = if event_loop.get().is_debug(py) {
        class.call1((when, callback, args, event_loop, context))?
    } else {
        let timer = new_instance(class)?;
        fill(&timer, event_loop, callback, args, context)?;
        if let Some(view) = TimerHandleView::of(&timer, class) {
            view.set_when(when);
        }
        timer
    };
    if let Some(view) = TimerHandleView::of(&timer, class) {
        view.set_scheduled(true);
    }
    event_loop.get().timers.borrow(py).insert(deadline, Timer::Handle(timer.clone().unbind()));
    Ok(timer)
}

fn fill<'py>(
    handle: &Bound<'py, PyAny>,
    event_loop: &Bound<'py, Loop>,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = handle.py();
    let context = match context {
        Some(context) => context.clone(),
        None => copy_context(py)?,
    };
    if let Some(view) = HandleView::of(handle, Imports::of(py)?.handle.bind(py)) {
        view.fill(
            callback.clone(),
            args.clone().into_any(),
            event_loop.clone().into_any(),
            context,
        );
    }
    Ok(())
}

/// The fields of `object`, when it is an asyncio or oxio handle.
pub fn view<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<Option<HandleView<'a, 'py>>> {
    let py = object.py();
    Ok(HandleView::of(object, Imports::of(py)?.handle.bind(py)))
}

/// Notes that a timer is no longer in the queue.
pub fn mark_unscheduled(timer: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = timer.py();
    if let Some(view) = TimerHandleView::of(timer, Imports::of(py)?.timer_handle.bind(py)) {
        view.set_scheduled(false);
    }
    Ok(())
}

/// Counts a cancelled timer, so that the queue is compacted when most of it is cancelled.
///
/// Source: CPython `BaseEventLoop._timer_handle_cancelled`.
pub fn note_timer_cancelled(event_loop: &Loop, timer: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = timer.py();
    let scheduled = TimerHandleView::of(timer, Imports::of(py)?.timer_handle.bind(py))
        .is_some_and(TimerHandleView::is_scheduled);
    if scheduled {
        let removed = event_loop.timers.borrow(py).note_cancelled();
        for timer in &removed {
            mark_unscheduled(timer.object().bind(py))?;
        }
    }
    Ok(())
}

fn cancel(slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let Some(view) = view(slf)? else {
        return Ok(py.None());
    };
    if view.is_cancelled() {
        return Ok(py.None());
    }
    if is_debug(view)? {
        // asyncio's own keeps the repr for the reports of debug mode.
        return Ok(Imports::of(py)?
            .handle
            .bind(py)
            .call_method1(interned!(py, "cancel"), (slf,))?
            .unbind());
    }
    view.cancel();
    Ok(py.None())
}

fn cancel_timer(slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let Some(view) = view(slf)? else {
        return Ok(py.None());
    };
    if view.is_cancelled() {
        return Ok(py.None());
    }
    if let Some(event_loop) = view.event_loop()
        && let Ok(event_loop) = event_loop.cast::<Loop>()
    {
        note_timer_cancelled(event_loop.get(), slf)?;
    }
    cancel(slf)
}

fn is_debug(view: HandleView<'_, '_>) -> PyResult<bool> {
    let py = view.object().py();
    match view.event_loop() {
        Some(event_loop) => match event_loop.cast::<Loop>() {
            Ok(event_loop) => Ok(event_loop.get().is_debug(py)),
            Err(_) => event_loop.call_method0(interned!(py, "get_debug"))?.is_truthy(),
        },
        None => Ok(false),
    }
}
