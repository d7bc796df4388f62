//! `oxio.Future`: `_asyncio.Future` whose result goes straight into oxio's ready queue.
//!
//! All but the hot paths is inherited: state, callbacks, messages, reports and `repr` are CPython's own, on the
//! same memory. On a loop that is not oxio's, or in debug mode, the inherited code does everything.
//!
//! Thread: the loop's, as asyncio's futures.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::awaitable::FUTURE_CLASS;
use crate::interop::imports::{Imports, interned};
use crate::interop::layout::{FUTURE_SIZE, FutureView, KnownClasses, State};
use crate::interop::rawtype::{
    ClassSpec, Memory, Method, bound_self, method_onearg, new_class, new_instance,
};
use crate::scheduler::{DoneCall, Loop, Runnable};

static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The table entry of `Task.task_wakeup`, by which a future recognises that a callback is a waiting task.
/// Set by `task/`, which is above this module.
pub static WAKEUP: std::sync::OnceLock<Method> = std::sync::OnceLock::new();

/// The class `oxio.Future`; `_asyncio.Future` itself when its layout is unknown.
pub fn future_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let class = CLASS.get_or_try_init(py, || {
        let imports = Imports::of(py)?;
        let base = imports.c_future.bind(py);
        if !imports.layout.futures {
            FUTURE_CLASS.get_or_init(py, || base.clone().unbind());
            return Ok(base.clone().unbind());
        }
        let class = new_class(
            base,
            None,
            ClassSpec {
                name: c"oxio._oxio.Future",
                doc: c"A result that is not there yet; asyncio.Future in every respect.",
                basic_size: FUTURE_SIZE,
                methods: vec![method_onearg(
                    c"set_result",
                    c"set_result($self, result, /)\n--\n\nMark the future done with this result and schedule its callbacks.",
                    set_result,
                )],
                init: None,
                memory: Memory::Future,
            },
        )?;
        FUTURE_CLASS.get_or_init(py, || class.clone().into_any().unbind());
        PyResult::Ok(class.into_any().unbind())
    })?;
    Ok(class.bind(py))
}

/// `loop.create_future()`.
pub fn new_future<'py>(event_loop: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let class = future_class(py)?;
    if !Imports::of(py)?.layout.futures || event_loop.get().is_debug(py) {
        let kwargs = PyDict::new(py);
        kwargs.set_item(interned!(py, "loop"), event_loop)?;
        return class.call((), Some(&kwargs));
    }
    let future = new_instance(class)?;
    if let Some(view) = FutureView::of(&future, class) {
        view.set_event_loop(event_loop.clone().into_any());
    }
    Ok(future)
}

/// `object` as a future of CPython's or ours (or a subclass), when the layout is known.
pub fn view<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<Option<FutureView<'a, 'py>>> {
    let py = object.py();
    let imports = Imports::of(py)?;
    if !imports.layout.futures {
        return Ok(None);
    }
    Ok(FutureView::of(object, imports.c_future.bind(py)))
}

/// `object`, when it is exactly a Future or Task of CPython's or ours: nobody can have changed its methods, so what its
/// fields say is what its methods would say.
pub fn plain<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<FutureView<'a, 'py>> {
    let classes = PLAIN.get()?;
    FutureView::of_any(object, classes)
}

/// The classes that [`plain`] knows; empty when their layout is unknown. Set by `task/`, which makes the last of them.
pub static PLAIN: std::sync::OnceLock<KnownClasses> = std::sync::OnceLock::new();

/// What runs when a future is done on which oxio itself waits: `gather`, a group, `wait`. Neither a context nor a
/// Python call is needed for it.
pub struct NativeCallback {
    /// As Python sees it: a bound builtin method.
    pub method: Method,
    /// The same for the loop: the object that the method is bound to, and the future.
    pub call: DoneCall,
}

/// One place for each kind of [`NativeCallback`]; set by the modules that own them.
pub static NATIVE_CALLBACKS: [std::sync::OnceLock<NativeCallback>; 4] =
    [const { std::sync::OnceLock::new() }; 4];

/// `future.set_result(result)`, for a future of CPython's or ours.
pub fn set_result(slf: &Bound<'_, PyAny>, result: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let imports = Imports::of(py)?;
    // A task that somebody finishes by force has more to undo: CPython's own code does.
    let is_task = FutureView::of(slf, imports.c_task.bind(py)).is_some();
    if !is_task
        && let Some(view) = FutureView::of(slf, imports.c_future.bind(py))
        && view.state() == State::Pending
        && let Some(event_loop) = view.event_loop()
        && let Some(event_loop) = fast_loop(&event_loop)
    {
        view.finish(result.clone());
        schedule_callbacks(event_loop, view)?;
        return Ok(py.None());
    }
    Ok(imports.future_set_result.bind(py).call1((slf, result))?.unbind())
}

/// `event_loop` when callbacks may go straight into its queue: ours, open, not in debug mode.
pub fn fast_loop<'a, 'py>(event_loop: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Loop>> {
    let py = event_loop.py();
    Loop::native_of(event_loop).filter(|event_loop| {
        let state = event_loop.get();
        !state.is_debug(py) && !state.is_closed(py)
    })
}

/// Queues the callbacks of a future that has just become done, one entry each, in the order they were added.
///
/// Source: CPython `future_schedule_callbacks`.
pub fn schedule_callbacks(
    event_loop: &Bound<'_, Loop>,
    future: FutureView<'_, '_>,
) -> PyResult<()> {
    let callbacks = future.take_callbacks();
    if let (Some(callback), Some(context)) = (callbacks.first, callbacks.first_context) {
        schedule_callback(event_loop, future, callback, context);
    }
    if let Some(rest) = callbacks.rest {
        for pair in rest.cast::<PyList>()?.iter() {
            let pair = pair.cast_into::<PyTuple>()?;
            schedule_callback(event_loop, future, pair.get_item(0)?, pair.get_item(1)?);
        }
    }
    Ok(())
}

fn schedule_callback<'py>(
    event_loop: &Bound<'py, Loop>,
    future: FutureView<'_, '_>,
    callback: Bound<'_, PyAny>,
    context: Bound<'_, PyAny>,
) {
    let future = future.object().clone().unbind();
    let runnable = if let Some(task) = woken_task(&callback) {
        Runnable::Wake { task: task.unbind(), future }
    } else if let Some((object, call)) = native_callback(&callback) {
        Runnable::Done { object: object.unbind(), future, call }
    } else {
        Runnable::Callback { callback: callback.unbind(), future, context: context.unbind() }
    };
    event_loop.get().push(event_loop.py(), runnable);
}

/// The object and the function behind `callback`, when it is a [`NativeCallback`].
pub fn native_callback<'py>(callback: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyAny>, DoneCall)> {
    NATIVE_CALLBACKS.iter().filter_map(std::sync::OnceLock::get).find_map(|native| {
        let object = bound_self(&native.method, callback)?;
        Some((object, native.call))
    })
}

/// The oxio task that `callback` wakes, when it is one's `task_wakeup`.
pub fn woken_task<'py>(callback: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    bound_self(WAKEUP.get()?, callback)
}
