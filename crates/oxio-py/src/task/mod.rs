//! `oxio.Task`: `_asyncio.Task` that oxio's loop steps itself.
//!
//! States: pending → finished | cancelled, in the base's own `state` field. While oxio drives it, a pending task is
//! in exactly one of these places: the ready queue (`Step`, `StepError`, `Wake`), the callbacks of the future it awaits, or on the
//! stack inside [`step`]. The loop's registry holds a reference from creation until it is done.
//!
//! Everything that is not per step is inherited and works on the same memory: `cancel`, `uncancel`, names,
//! `get_stack`, `repr`, reports. On a loop that is not oxio's, and in debug mode, CPython's own step drives the
//! task. Which of the two drives a task is decided when it is made.
//!
//! Thread: the loop's.

mod current;
mod eager;
mod step;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};

pub use current::{current_task, leave_current};
pub use step::{add_done_callback, forget_awaited_by, note_awaited_by, step, throw_into, wake};

use crate::future::{PLAIN, WAKEUP, fast_loop, future_class, plain};
use crate::interop::call::{copy_context, is_coroutine};
#[cfg(Py_3_14)]
use crate::interop::imports::TaskBook;
use crate::interop::imports::{Imports, Replaceable, interned};
use crate::interop::layout::{KnownClasses, OXIO_TASK_SIZE, State, TaskView};
#[cfg(not(Py_3_12))]
use crate::interop::rawtype::method_noargs;
use crate::interop::rawtype::{ClassSpec, Memory, method_onearg, new_class, new_instance};
use crate::scheduler::{Loop, Runnable};

static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The class `oxio.Task`; `_asyncio.Task` itself when its layout is unknown.
pub fn task_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let class = CLASS.get_or_try_init(py, || {
        let imports = Imports::of(py)?;
        let base = imports.c_task.bind(py);
        if !imports.layout.futures {
            return Ok(base.clone().unbind());
        }
        WAKEUP.get_or_init(|| {
            method_onearg(
                c"task_wakeup",
                c"Resume the task that awaited this future.",
                step::task_wakeup,
            )
        });
        let class = new_class(
            base,
            Some(future_class(py)?),
            ClassSpec {
                name: c"oxio._oxio.Task",
                doc: c"A coroutine that the loop runs; asyncio.Task in every respect.",
                basic_size: OXIO_TASK_SIZE,
                methods: vec![
                    // asyncio's own from 3.12 on.
                    #[cfg(not(Py_3_12))]
                    method_noargs(
                        c"get_context",
                        c"get_context($self, /)\n--\n\nThe context that the task runs in.",
                        get_context,
                    ),
                ],
                init: Some(init),
                memory: Memory::Task,
            },
        )?;
        let class = class.into_any();
        let own_future = future_class(py)?;
        PLAIN.get_or_init(|| {
            KnownClasses::new([&class, own_future, base, imports.c_future.bind(py)])
        });
        PyResult::Ok(class.unbind())
    })?;
    Ok(class.bind(py))
}

/// `task.cancelling()`.
pub fn cancelling(task: &Bound<'_, PyAny>) -> PyResult<i64> {
    if let Some(view) = plain(task).and_then(|_| TaskView::of(task, task_class(task.py()).ok()?)) {
        return Ok(view.cancelling().into());
    }
    task.call_method0(interned!(task.py(), "cancelling"))?.extract()
}

/// What a new task is made from.
pub struct NewTask<'a, 'py> {
    pub coro: &'a Bound<'py, PyAny>,
    pub name: Option<Bound<'py, PyAny>>,
    pub context: Option<Bound<'py, PyAny>>,
    pub eager_start: bool,
}

/// A task of `event_loop`, scheduled for its first step (or, eager, already past it).
///
/// # Errors
/// `TypeError` when `coro` is not a coroutine; what an eager first step lets out.
pub fn new_task<'py>(
    event_loop: &Bound<'py, Loop>,
    new: NewTask<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let class = task_class(py)?;
    if fast_loop(event_loop.as_any()).is_none() || !Imports::of(py)?.layout.futures {
        return construct(class, event_loop, new);
    }
    let task = new_instance(class)?;
    start(event_loop, &task, new)?;
    Ok(task)
}

/// How `event_loop.create_task(coro)` starts a task of ours: eagerly or not. `None` when the program has a say in what
/// it makes: by a factory, an overridden method, or another class in the place of `asyncio.Task`.
pub fn native_start(event_loop: &Bound<'_, Loop>) -> PyResult<Option<bool>> {
    let py = event_loop.py();
    let imports = Imports::of(py)?;
    if !imports.is_native_in_use(Replaceable::Task, task_class(py)?)? {
        return Ok(None);
    }
    let factory = event_loop.get().task_factory.borrow(py);
    Ok(match factory.as_ref() {
        None => Some(false),
        // asyncio's own eager factory makes tasks of CPython's class: ours start eagerly as well.
        Some(factory) => {
            let is_eager = |eager: &Py<PyAny>| eager.is(factory);
            let asyncios = imports.eager_task_factory.as_ref().is_some_and(is_eager);
            (asyncios || OWN_EAGER_FACTORY.get(py).is_some_and(is_eager)).then_some(true)
        }
    })
}

/// `oxio.eager_task_factory`, told by the Python half when it has made it.
static OWN_EAGER_FACTORY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Says that a task factory makes tasks of ours that start eagerly, and nothing else.
#[pyfunction]
#[pyo3(name = "_know_eager_factory")]
pub fn know_eager_factory(py: Python<'_>, factory: Py<PyAny>) -> Py<PyAny> {
    OWN_EAGER_FACTORY.get_or_init(py, || factory).clone_ref(py)
}

/// `event_loop.create_task(coro)`.
///
/// # Errors
/// `RuntimeError` when the loop is closed; `TypeError` when `coro` is not a coroutine.
pub fn create_task<'py>(
    event_loop: &Bound<'py, Loop>,
    coro: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let state = event_loop.get();
    if state.native(event_loop.py()).create_task && !state.is_debug(event_loop.py()) {
        state.check_closed(event_loop.py())?;
        if let Some(eager_start) = native_start(event_loop)? {
            return new_task(event_loop, NewTask { coro, name: None, context: None, eager_start });
        }
    }
    event_loop.call_method1(interned!(event_loop.py(), "create_task"), (coro,))
}

/// Makes a task the way a Python caller would: CPython's `__init__` may drive it.
fn construct<'py>(
    class: &Bound<'py, PyAny>,
    event_loop: &Bound<'py, Loop>,
    new: NewTask<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let kwargs = PyDict::new(py);
    kwargs.set_item(interned!(py, "loop"), event_loop)?;
    if let Some(name) = new.name {
        kwargs.set_item(interned!(py, "name"), name)?;
    }
    if let Some(context) = new.context {
        kwargs.set_item(interned!(py, "context"), context)?;
    }
    if new.eager_start {
        kwargs.set_item(interned!(py, "eager_start"), true)?;
    }
    class.call((new.coro,), Some(&kwargs))
}

/// `Task.__init__`: ours when the loop is ours, CPython's otherwise.
fn init(
    slf: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let py = slf.py();
    let class = task_class(py)?;
    let fresh = TaskView::of(slf, class).is_some_and(|view| view.future().event_loop().is_none());
    let event_loop = match kwargs {
        Some(kwargs) => kwargs.get_item(interned!(py, "loop"))?,
        None => None,
    };
    if fresh
        && args.len() == 1
        && let Some(event_loop) = event_loop.filter(|event_loop| !event_loop.is_none())
        && let Some(fast) = fast_loop(&event_loop)
        && let Some(new) = parse(&args.get_item(0)?, kwargs)?
    {
        return start(fast, slf, new);
    }
    // A wrong call, a foreign loop or debug mode: CPython's own code checks, reports and drives.
    let base_init = Imports::of(py)?.c_task.bind(py).getattr(interned!(py, "__init__"))?;
    let with_self: Vec<_> = std::iter::once(slf.clone()).chain(args.iter()).collect();
    let kwargs = kwargs.map(known_to_cpython).transpose()?;
    base_init.call(PyTuple::new(py, with_self)?, kwargs.as_ref())?;
    Ok(())
}

/// CPython 3.11 knows no `eager_start`: where its own code drives a task, the task starts with the next turn.
fn known_to_cpython<'py>(kwargs: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    if cfg!(Py_3_12) || !kwargs.contains("eager_start")? {
        return Ok(kwargs.clone());
    }
    let kwargs = kwargs.copy()?;
    kwargs.del_item("eager_start")?;
    Ok(kwargs)
}

/// `Task.get_context()`.
#[cfg(not(Py_3_12))]
fn get_context(slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let class = task_class(py)?;
    let context = TaskView::of(slf, class).and_then(TaskView::context);
    Ok(context.map_or_else(|| py.None(), Bound::unbind))
}

/// The keywords of `Task(coro, *, loop, name, context, eager_start)`; `None` when there are others, so that
/// CPython's own `__init__` refuses them in its own words.
fn parse<'a, 'py>(
    coro: &'a Bound<'py, PyAny>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Option<NewTask<'a, 'py>>> {
    let mut new = NewTask { coro, name: None, context: None, eager_start: false };
    for (key, value) in kwargs.into_iter().flat_map(PyDictMethods::iter) {
        let key = key.cast_into::<PyString>()?;
        match key.to_str()? {
            "loop" => {}
            "name" => new.name = Some(value).filter(|name| !name.is_none()),
            "context" => new.context = Some(value).filter(|context| !context.is_none()),
            "eager_start" => new.eager_start = value.is_truthy()?,
            _ => return Ok(None),
        }
    }
    Ok(Some(new))
}

/// Fills a new task and schedules its first step, or takes it now when it is eager.
///
/// Source: CPython `_asyncio_Task___init___impl`.
fn start<'py>(
    event_loop: &Bound<'py, Loop>,
    task: &Bound<'py, PyAny>,
    new: NewTask<'_, 'py>,
) -> PyResult<()> {
    let py = event_loop.py();
    let class = task_class(py)?;
    let Some(view) = TaskView::of(task, class) else {
        return Err(PyTypeError::new_err("oxio.Task.__init__() needs an oxio.Task"));
    };
    if !is_coroutine(new.coro)? {
        return Err(PyTypeError::new_err(format!(
            "a coroutine was expected, got {}",
            new.coro.repr()?
        )));
    }
    let context = match new.context {
        Some(context) => context,
        None => copy_context(py)?,
    };
    let name = match new.name {
        Some(name) if name.is_exact_instance_of::<PyString>() => name,
        Some(name) => name.str()?.into_any(),
        None => next_name(py)?,
    };
    view.fill(event_loop.clone().into_any(), new.coro.clone(), name, context);
    register(event_loop, view)?;
    if new.eager_start && event_loop.get().running_thread(py).is_some() {
        return eager::start(event_loop, task);
    }
    event_loop.get().push(py, Runnable::Step { task: task.clone().unbind() });
    Ok(())
}

/// `Task-1`, `Task-2` …; from 3.13 the number alone, which CPython's `get_name` formats when it is asked.
fn next_name(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    // Relaxed: only uniqueness matters.
    let number = COUNTER.fetch_add(1, Ordering::Relaxed) + 1;
    if cfg!(Py_3_13) {
        return Ok(number.into_pyobject(py)?.into_any());
    }
    Ok(format!("Task-{number}").into_pyobject(py)?.into_any())
}

/// Makes a task visible to `asyncio.all_tasks` and keeps it alive until it is done.
#[cfg_attr(not(Py_3_14), expect(clippy::unnecessary_wraps, reason = "fails on 3.14"))]
fn register<'py>(event_loop: &Bound<'py, Loop>, view: TaskView<'_, 'py>) -> PyResult<()> {
    let py = event_loop.py();
    // Up to 3.13 the loop's registry is shown in asyncio's book (`python/oxio/_task_book.py`).
    #[cfg(Py_3_14)]
    {
        let TaskBook::PerThread { register, .. } = &Imports::of(py)?.tasks;
        register.bind(py).call1((view.object(),))?;
    }
    let place = event_loop.get().pending.borrow(py).insert(view.object().clone().unbind());
    view.set_registered(Some(place));
    Ok(())
}

/// The opposite, once a task is done. A no-op for a task that is not registered.
fn unregister<'py>(event_loop: &Bound<'py, Loop>, view: TaskView<'_, 'py>) {
    let py = event_loop.py();
    if view.future().state() == State::Pending {
        return;
    }
    let Some(place) = view.registered() else {
        return;
    };
    view.set_registered(None);
    let kept = event_loop.get().pending.borrow(py).remove(place, view.object());
    drop(kept.map(|kept| kept.into_bound(py)));
}
