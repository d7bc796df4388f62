//! `TaskGroup`: making its tasks, counting them off, waiting for the last.
//!
//! The class is Python's, `oxio.TaskGroup`, with asyncio's behind it; its attributes are slots that both sides use
//! (`interop/slots.rs`). Native is what happens when every task succeeds. A task that fails, a block that raises, a
//! cancellation, a loop that makes its tasks itself: all that is asyncio's own code on the same state. An instance of a
//! subclass runs asyncio's code throughout, for it may have overridden what that code calls.
//!
//! Thread: the loop's.

use std::sync::OnceLock;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyList, PySet, PyString, PyTuple, PyType};

use crate::awaitable::{
    AwaitableView, Operation, Parameters, PlainFunction, Resumed, Step, call_template,
    coroutine_function, plain_function,
};
use crate::future::{NATIVE_CALLBACKS, NativeCallback, plain};
use crate::interop::call::copy_context;
use crate::interop::imports::{Imports, interned};
use crate::interop::layout::{FutureView, State};
use crate::interop::rawtype::{bind_callback, method_onearg};
use crate::interop::slots::{SlotClass, SlotView};
use crate::scheduler::{Loop, Runnable, running_native_loop};
use crate::task::{
    NewTask, add_done_callback, current_task, forget_awaited_by, native_start, new_task,
    note_awaited_by,
};

/// The attributes of `asyncio.TaskGroup`, and four of oxio's own, sorted.
const NAMES: [&str; 14] = [
    "_aborting",
    "_base_error",
    "_cancel_called",
    "_cancel_on_enter",
    "_done_callback",
    "_done_context",
    "_entered",
    "_errors",
    "_exiting",
    "_loop",
    "_on_completed_fut",
    "_parent_cancel_requested",
    "_parent_task",
    "_tasks",
];
const ABORTING: usize = 0;
const BASE_ERROR: usize = 1;
const CANCEL_CALLED: usize = 2;
const CANCEL_ON_ENTER: usize = 3;
/// What the tasks have as done callback, shared by all; not set, or None, when there is none.
const DONE_CALLBACK: usize = 4;
/// The context that it would run in if it looked at one: a copy of the first task's maker's.
const DONE_CONTEXT: usize = 5;
const ENTERED: usize = 6;
const ERRORS: usize = 7;
const EXITING: usize = 8;
const LOOP: usize = 9;
const ON_COMPLETED: usize = 10;
const PARENT_CANCEL_REQUESTED: usize = 11;
const PARENT_TASK: usize = 12;
const TASKS: usize = 13;

/// Source: CPython `taskgroups.TaskGroup.__aenter__`.
static ENTER: Operation =
    Operation { name: "TaskGroup.__aenter__", parameters: Parameters::NONE, resume: enter };

/// Source: CPython `taskgroups.TaskGroup.__aexit__`.
///
/// # Cancel safety
/// Cancelled, the tasks are cancelled and waited for.
static EXIT: Operation = Operation {
    name: "TaskGroup.__aexit__",
    parameters: Parameters {
        is_method: true,
        names: &["et", "exc", "tb"],
        required: 3,
        positional: 3,
    },
    resume: exit,
};

/// What the number of an exiting awaitable says: the rest is up to what it has delegated to.
const HANDED_OVER: usize = 0;
const WAITING: usize = 1;

/// The done callback of all tasks, in its place among the loop's native ones.
static DONE: &OnceLock<NativeCallback> = &NATIVE_CALLBACKS[3];

/// Adds what the Python half needs to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    DONE.get_or_init(|| NativeCallback {
        method: method_onearg(c"_on_task_done", c"Counts off a task of a group.", task_done),
        call: task_done,
    });
    module.add_function(wrap_pyfunction!(adopt_task_group, module)?)
}

/// `oxio.TaskGroup`, and asyncio's code for what is not native.
struct TaskGroups {
    /// `None` when it is not laid out as expected: then all is asyncio's.
    slots: Option<SlotClass>,
    enter: Py<PyAny>,
    exit: Py<PyAny>,
    on_task_done: Py<PyAny>,
    version: Version,
    /// Functions of `oxio.taskgroups`.
    rest_of_exit: Py<PyAny>,
    leave_cancelled: Py<PyAny>,
}

/// What differs between versions, and patch releases, of asyncio's group.
struct Version {
    /// A task that is done when it is made (an eager one) is counted off at once, without a callback.
    counts_done_at_once: bool,
    /// The task gets its name when it is made, not afterwards.
    names_at_creation: bool,
    /// A group lets go of its parent and its errors when it is left.
    forgets: bool,
}

static GROUPS: PyOnceLock<TaskGroups> = PyOnceLock::new();

fn groups(py: Python<'_>) -> PyResult<&'static TaskGroups> {
    GROUPS.get(py).ok_or_else(|| PyRuntimeError::new_err("oxio.taskgroups is not imported"))
}

/// Makes the class that `oxio.taskgroups` has defined a native one. The functions are the Python half of exiting.
#[pyfunction]
#[pyo3(name = "_adopt_task_group")]
fn adopt_task_group<'py>(
    class: &Bound<'py, PyType>,
    rest_of_exit: Py<PyAny>,
    leave_cancelled: Py<PyAny>,
) -> PyResult<()> {
    let py = class.py();
    let asyncios = |name: &str| class.getattr(name);
    let (enter, exit) = (asyncios("__aenter__")?, asyncios("__aexit__")?);
    let (create, done) = (asyncios("create_task")?, asyncios("_on_task_done")?);
    let module = "oxio.taskgroups";
    class.setattr("__aenter__", coroutine_function(&enter, module, &ENTER)?)?;
    class.setattr("__aexit__", coroutine_function(&exit, module, &EXIT)?)?;
    class.setattr("create_task", plain_function(&create, module, &CREATE_TASK)?)?;
    class.setattr("_on_task_done", plain_function(&done, module, &ON_TASK_DONE)?)?;
    let names = create.getattr("__code__")?.getattr("co_names")?;
    let adopted = TaskGroups {
        slots: SlotClass::of(class, &NAMES)?,
        version: Version {
            counts_done_at_once: names.contains("done")?,
            names_at_creation: !names.contains("_set_task_name")?,
            forgets: class.hasattr("_aexit")?,
        },
        enter: enter.unbind(),
        exit: exit.unbind(),
        on_task_done: done.unbind(),
        rest_of_exit,
        leave_cancelled,
    };
    // A module that is imported a second time in this process defines another class, which stays Python's.
    let _ = GROUPS.set(py, adopted);
    Ok(())
}

impl TaskGroups {
    fn view<'a, 'py>(&self, group: &'a Bound<'py, PyAny>) -> Option<SlotView<'a, 'py>> {
        self.slots.as_ref()?.view(group)
    }
}

fn enter<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let owner = view.owner()?;
    let known = groups(py)?;
    let group = match resumed {
        Resumed::Start => {
            let Some(group) = known.view(&owner).filter(|group| enter_natively(py, *group)) else {
                return Ok(Step::Delegate(known.enter.bind(py).call1((owner,))?));
            };
            Some(group)
        }
        Resumed::Value(_itself) => known.view(&owner),
        Resumed::Error(error) => return Err(error),
    };
    let is_cancelled = match group {
        Some(group) => group.is_true(CANCEL_ON_ENTER),
        None => is_set(&owner, interned!(py, "_cancel_on_enter"))?,
    };
    if is_cancelled && !has_own_cancel(py)? {
        owner.call_method0(interned!(py, "cancel"))?;
    }
    Ok(Step::Return(owner))
}

/// An attribute of a group of a subclass, false when it was never set.
fn is_set(group: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> PyResult<bool> {
    match group.getattr_opt(name)? {
        Some(value) => value.is_truthy(),
        None => Ok(false),
    }
}

/// Whether the running version's groups can be cancelled, and look themselves whether they were.
fn has_own_cancel(py: Python<'_>) -> PyResult<bool> {
    let enter = groups(py)?.enter.bind(py);
    enter.getattr("__code__")?.getattr("co_names")?.contains("_cancel_on_enter")
}

/// False when asyncio must do it.
fn enter_natively<'py>(py: Python<'py>, group: SlotView<'_, 'py>) -> bool {
    if !group.is_false(ENTERED) || !group.is_none(LOOP) {
        return false;
    }
    let Some(event_loop) = running_native_loop(py) else {
        return false;
    };
    let Ok(Some(task)) = current_task(event_loop.as_any()) else {
        return false;
    };
    let old = (
        group.set(LOOP, event_loop.into_any()),
        group.set(PARENT_TASK, task),
        group.set(ENTERED, PyBool::new(py, true).to_owned().into_any()),
    );
    drop(old);
    true
}

fn exit<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let state = view.state();
    let owner = view.owner()?;
    let known = groups(py)?;
    let group = known.view(&owner);
    match (resumed, group) {
        (Resumed::Start, group) => {
            let is_clean = state.first.get(py).is_some_and(|error| error.is_none());
            match group {
                Some(group) if is_clean && has_no_trouble(group) => {
                    drop(group.set(EXITING, PyBool::new(py, true).to_owned().into_any()));
                    wait_or_finish(view, known, group)
                }
                _ => exit_with_trouble(view, known, &owner),
            }
        }
        (Resumed::Value(_none), Some(group)) if state.number.get(py) == WAITING => {
            drop(group.set(ON_COMPLETED, py.None().into_bound(py)));
            wait_or_finish(view, known, group)
        }
        (Resumed::Error(error), Some(group)) if state.number.get(py) == WAITING => {
            state.number.set(py, HANDED_OVER);
            drop(group.set(ON_COMPLETED, py.None().into_bound(py)));
            let is_cancellation = error.is_instance(py, Imports::of(py)?.cancelled_error.bind(py));
            let error = error.into_value(py);
            let rest = if is_cancellation && group.is_true(CANCEL_CALLED) {
                known.leave_cancelled.bind(py).call1((owner, py.None(), error))?
            } else {
                known.rest_of_exit.bind(py).call1((owner, error))?
            };
            Ok(Step::Delegate(rest))
        }
        (Resumed::Value(value), _) => Ok(Step::Return(value)),
        (Resumed::Error(error), _) => Err(error),
    }
}

/// The block raised, or something else went wrong before its end.
fn exit_with_trouble<'py>(
    view: AwaitableView<'_, 'py>,
    known: &TaskGroups,
    owner: &Bound<'py, PyAny>,
) -> PyResult<Step<'py>> {
    let py = view.py();
    let state = view.state();
    state.number.set(py, HANDED_OVER);
    if let Some(group) = known.view(owner) {
        forget_callback(group);
    }
    if is_set(owner, interned!(py, "_cancel_called"))? {
        let args = (owner, state.second.get(py), py.None());
        return Ok(Step::Delegate(known.leave_cancelled.bind(py).call1(args)?));
    }
    let args = (owner, state.first.get(py), state.second.get(py), state.third.get(py));
    Ok(Step::Delegate(known.exit.bind(py).call1(args)?))
}

/// Nothing has failed and nobody was cancelled.
fn has_no_trouble(group: SlotView<'_, '_>) -> bool {
    let has_errors = match group.get(ERRORS) {
        Some(errors) => errors.cast::<PyList>().map_or(true, |errors| !errors.is_empty()),
        None => true,
    };
    !has_errors
        && group.is_none(BASE_ERROR)
        && group.is_none(ON_COMPLETED)
        && group.is_false(ABORTING)
        && group.is_false(PARENT_CANCEL_REQUESTED)
}

fn wait_or_finish<'py>(
    view: AwaitableView<'_, 'py>,
    known: &TaskGroups,
    group: SlotView<'_, 'py>,
) -> PyResult<Step<'py>> {
    let py = view.py();
    if !is_empty(group)? {
        drop(group.set(ON_COMPLETED, view.object().clone()));
        view.state().number.set(py, WAITING);
        return Ok(Step::Park);
    }
    if !has_no_trouble(group) {
        view.state().number.set(py, HANDED_OVER);
        let owner = view.owner()?;
        return Ok(Step::Delegate(known.rest_of_exit.bind(py).call1((owner, py.None()))?));
    }
    let none = py.None().into_bound(py);
    forget_callback(group);
    if known.version.forgets {
        drop((group.set(PARENT_TASK, none.clone()), group.set(ERRORS, none.clone())));
    }
    Ok(Step::Return(none))
}

fn is_empty(group: SlotView<'_, '_>) -> PyResult<bool> {
    match group.get(TASKS) {
        Some(tasks) => Ok(tasks.cast::<PySet>()?.is_empty()),
        None => Ok(true),
    }
}

/// `group.create_task(coro, …)`.
static CREATE_TASK: PlainFunction =
    PlainFunction(|template, args, keywords| match create_natively(args, keywords)? {
        Some(task) => Ok(task),
        None => call_template(template, args, keywords),
    });

/// `None` when asyncio must do it: make the task another way, or refuse.
fn create_natively<'py>(
    args: &[Bound<'py, PyAny>],
    keywords: Option<&Bound<'py, PyTuple>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let named = keywords.map_or(0, PyTupleMethods::len);
    let [owner, coro, by_name @ ..] = args else {
        return Ok(None);
    };
    let py = owner.py();
    let known = groups(py)?;
    let Some(group) = known.view(owner) else {
        return Ok(None);
    };
    let is_open = group.is_true(ENTERED) && group.is_false(ABORTING);
    if by_name.len() != named || !is_open || group.is_true(EXITING) && is_empty(group)? {
        return Ok(None);
    }
    let event_loop = group.get(LOOP);
    let Some(Ok(event_loop)) = event_loop.as_ref().map(|event_loop| event_loop.cast::<Loop>())
    else {
        return Ok(None);
    };
    let state = event_loop.get();
    if !state.native(py).create_task || state.is_debug(py) || state.is_closed(py) {
        return Ok(None);
    }
    let Some(eager_start) = native_start(event_loop)? else {
        return Ok(None);
    };
    let mut new = NewTask { coro, name: None, context: None, eager_start };
    for (key, value) in keywords.into_iter().flat_map(PyTupleMethods::iter).zip(by_name) {
        let value = Some(value.clone()).filter(|value| !value.is_none());
        match key.cast_into::<PyString>()?.to_str()? {
            "name" => new.name = value,
            "context" => new.context = value,
            "eager_start" => {
                if let Some(value) = value {
                    new.eager_start = value.is_truthy()?;
                }
            }
            _ => return Ok(None),
        }
    }
    let later_name = if known.version.names_at_creation { None } else { new.name.take() };
    let task = new_task(event_loop, new)?;
    if let Some(name) = later_name {
        task.call_method1(interned!(py, "set_name"), (name,))?;
    }
    add(known, event_loop, (owner, group), &task)?;
    Ok(Some(task))
}

/// Counts the new task in.
fn add<'py>(
    known: &TaskGroups,
    event_loop: &Bound<'py, Loop>,
    (owner, group): (&Bound<'py, PyAny>, SlotView<'_, 'py>),
    task: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = task.py();
    if cfg!(Py_3_14)
        && let Some(parent) = group.get(PARENT_TASK)
    {
        note_awaited_by(task, &parent)?;
    }
    let view = plain(task);
    let is_done = view.is_some_and(|view| view.state() != State::Pending);
    if is_done && known.version.counts_done_at_once {
        return task_done(owner, task).map(drop);
    }
    if let Some(tasks) = group.get(TASKS) {
        tasks.cast::<PySet>()?.add(task)?;
    }
    if is_done {
        // As `add_done_callback` does then.
        let (object, future) = (owner.clone().unbind(), task.clone().unbind());
        event_loop.get().push(py, Runnable::Done { object, future, call: task_done });
        return Ok(());
    }
    let (callback, context) = done_callback(owner, group)?;
    match view.map(|view| view.try_set_first_callback(callback.clone(), context.clone())) {
        Some(Ok(())) => Ok(()),
        _ => add_done_callback(task, &callback, &context),
    }
}

/// The callback refers to the group: together they would live until the collector looks.
fn forget_callback(group: SlotView<'_, '_>) {
    let none = group.object().py().None().into_bound(group.object().py());
    drop((group.set(DONE_CALLBACK, none.clone()), group.set(DONE_CONTEXT, none)));
}

/// What is called when a task is done, and its context.
fn done_callback<'py>(
    owner: &Bound<'py, PyAny>,
    group: SlotView<'_, 'py>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let kept = group.get(DONE_CALLBACK).filter(|callback| !callback.is_none());
    if let (Some(callback), Some(context)) = (kept, group.get(DONE_CONTEXT)) {
        return Ok((callback, context));
    }
    let Some(native) = DONE.get() else {
        return Err(PyRuntimeError::new_err("oxio is not initialised"));
    };
    let callback = bind_callback(&native.method, owner)?;
    let context = copy_context(owner.py())?;
    let old =
        (group.set(DONE_CALLBACK, callback.clone()), group.set(DONE_CONTEXT, context.clone()));
    drop(old);
    Ok((callback, context))
}

/// `group._on_task_done(task)`, for tasks that asyncio's own `create_task` has made.
static ON_TASK_DONE: PlainFunction =
    PlainFunction(|template, args, keywords| match (args, keywords) {
        ([owner, task], None) => Ok(task_done(owner, task)?.into_bound(template.py())),
        _ => call_template(template, args, keywords),
    });

/// Counts off a task that is done.
fn task_done(owner: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = owner.py();
    let known = groups(py)?;
    let Some(group) = known.view(owner) else {
        return known.on_task_done.call1(py, (owner, task));
    };
    let waiter = group.get(ON_COMPLETED).filter(|waiter| !waiter.is_none());
    let native_waiter = waiter.as_ref().and_then(AwaitableView::of);
    let has_succeeded = plain(task).is_some_and(FutureView::has_succeeded);
    if let Some(tasks) = group.get(TASKS) {
        tasks.cast::<PySet>()?.discard(task)?;
    }
    if let Some(waiter) = native_waiter
        && is_empty(group)?
    {
        waiter.wake()?;
    }
    if !has_succeeded || waiter.is_some() && native_waiter.is_none() {
        return known.on_task_done.call1(py, (owner, task));
    }
    if cfg!(Py_3_14)
        && let Some(parent) = group.get(PARENT_TASK).filter(|parent| !parent.is_none())
    {
        forget_awaited_by(task, &parent)?;
    }
    Ok(py.None())
}
