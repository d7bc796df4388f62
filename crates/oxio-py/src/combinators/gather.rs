//! `gather(*coros_or_futures, return_exceptions=False)`.
//!
//! One callback counts the children; the last one makes the list of results. What is returned is asyncio's own
//! `_GatheringFuture` (on oxio's Future), which knows how to cancel the children.
//!
//! Native on a running loop of oxio's. Anywhere else, and in debug mode, asyncio's own gather does everything.
//!
//! Source: CPython `tasks.gather`.

use std::sync::OnceLock;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyList, PyTuple, PyType};

use super::children::{is_cancelled, is_done, watch};
use super::stock::stock;
use crate::awaitable::{PlainFunction, call_template};
use crate::future::{NATIVE_CALLBACKS, NativeCallback, plain, set_result, view as future_view};
use crate::interop::call::{copy_context, is_native_coroutine};
use crate::interop::cell::{GilFlag, GilSlot};
use crate::interop::imports::{Imports, interned};
use crate::interop::layout::{FutureView, State, TaskView};
use crate::interop::rawtype::{bind_builtin, method_onearg};
use crate::interop::slots::SlotClass;
use crate::scheduler::{Loop, running_native_loop};
use crate::task::{create_task, forget_awaited_by, note_awaited_by, task_class};

/// One call of `gather`, shared by the callbacks of its children.
#[pyclass(frozen, module = "oxio._oxio", name = "Gathering")]
pub struct Gathering {
    children: GilSlot,
    /// The future that gather returns; empty until all children are known.
    outer: GilSlot,
    /// 3.14: the task that called gather, which the children are shown to be awaited by.
    caller: GilSlot,
    finished: GilFlag<usize>,
    total: GilFlag<usize>,
    return_exceptions: bool,
}

#[pymethods]
impl Gathering {
    /// The future that gather returned: who waits for a child waits by way of it (`oxio.graph`).
    #[getter]
    fn outer(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.outer.get(py).map(Bound::unbind)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.children.traverse(&visit)?;
        self.outer.traverse(&visit)?;
        self.caller.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop((self.children.take(py), self.outer.take(py), self.caller.take(py)));
    }
}

/// The callback of all children, in its place among the loop's native ones.
static DONE: &OnceLock<NativeCallback> = &NATIVE_CALLBACKS[0];

/// The function `gather`.
pub static GATHER: PlainFunction = PlainFunction(|template, args, keywords| {
    let py = template.py();
    let running = running_native_loop(py).filter(|event_loop| !event_loop.get().is_debug(py));
    if let Some(event_loop) = running
        && let Some((arguments, return_exceptions)) = split(args, keywords)?
        && is_for(&event_loop, arguments)?
    {
        return gather_here(&event_loop, arguments, return_exceptions);
    }
    call_template(template, args, keywords)
});

/// The children, and `return_exceptions`; `None` when there are other keywords.
#[expect(clippy::type_complexity, reason = "a slice and a flag")]
fn split<'a, 'py>(
    args: &'a [Bound<'py, PyAny>],
    keywords: Option<&Bound<'py, PyTuple>>,
) -> PyResult<Option<(&'a [Bound<'py, PyAny>], bool)>> {
    let Some(keywords) = keywords else {
        return Ok(Some((args, false)));
    };
    match args.split_last() {
        Some((value, children))
            if keywords.len() == 1 && keywords.get_item(0)?.eq("return_exceptions")? =>
        {
            Ok(Some((children, value.is_truthy()?)))
        }
        _ => Ok(None),
    }
}

/// Whether the children will be of `event_loop`: the first one decides, and it may be a future of another loop.
fn is_for<'py>(event_loop: &Bound<'py, Loop>, children: &[Bound<'py, PyAny>]) -> PyResult<bool> {
    let Some(first) = children.first() else {
        return Ok(false);
    };
    if is_native_coroutine(first) {
        return Ok(true);
    }
    if let Some(view) = future_view(first)? {
        return Ok(view.belongs_to(event_loop.as_any()));
    }
    let py = event_loop.py();
    Ok(!stock(py)?.isfuture.bind(py).call1((first,))?.is_truthy()?)
}

fn gather_here<'py>(
    event_loop: &Bound<'py, Loop>,
    arguments: &[Bound<'py, PyAny>],
    return_exceptions: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let state = Bound::new(
        py,
        Gathering {
            children: GilSlot::new(None),
            outer: GilSlot::new(None),
            caller: GilSlot::new(None),
            finished: GilFlag::new(0),
            total: GilFlag::new(0),
            return_exceptions,
        },
    )?;
    if cfg!(Py_3_14)
        && let Some(caller) = event_loop.get().current.borrow(py).as_ref()
    {
        drop(state.get().caller.set(caller.bind(py).clone()));
    }
    let (children, done) = start_children(event_loop, &state, arguments)?;
    let outer = new_outer(event_loop, &children)?;
    drop(state.get().children.set(children.into_any()));
    drop(state.get().outer.set(outer.clone()));
    for child in done {
        child_done(state.as_any(), &child)?;
    }
    Ok(outer)
}

/// Makes tasks of coroutines and counts on all; returns the children, and those that were done before (from 3.12 on).
fn start_children<'py>(
    event_loop: &Bound<'py, Loop>,
    state: &Bound<'py, Gathering>,
    arguments: &[Bound<'py, PyAny>],
) -> PyResult<(Bound<'py, PyList>, Vec<Bound<'py, PyAny>>)> {
    let py = event_loop.py();
    let native = DONE.get_or_init(|| NativeCallback {
        method: method_onearg(
            c"_done_callback",
            c"Counts a child of gather() that is done.",
            child_done,
        ),
        call: child_done,
    });
    let callback = bind_builtin(&native.method, state.as_any())?;
    let context = copy_context(py)?;
    let children = PyList::empty(py);
    let mut done = Vec::new();
    let mut seen: Option<Bound<'py, PyDict>> = None;
    let mut total = 0;
    let some_repeat = has_repeats(arguments);
    for argument in arguments {
        // Coroutines and futures are equal only to themselves; other awaitables may think otherwise.
        let may_repeat =
            some_repeat || !(is_native_coroutine(argument) || plain(argument).is_some());
        if may_repeat {
            let known = seen.get_or_insert_with(|| PyDict::new(py)).get_item(argument)?;
            if let Some(child) = known {
                children.append(child)?;
                continue;
            }
        }
        let child = child_of(event_loop, argument)?;
        if may_repeat && let Some(seen) = &seen {
            seen.set_item(argument, &child)?;
        }
        total += 1;
        if cfg!(Py_3_12) && is_done(&child)? {
            done.push(child.clone());
        } else {
            if let Some(caller) = state.get().caller.get(py) {
                note_awaited_by(&child, &caller)?;
            }
            watch(&child, &callback, &context)?;
        }
        children.append(child)?;
    }
    state.get().total.set(py, total);
    Ok((children, done))
}

/// Whether the same object is there twice. Sorting addresses is cheaper than hashing objects.
fn has_repeats(arguments: &[Bound<'_, PyAny>]) -> bool {
    let mut addresses: Vec<usize> =
        arguments.iter().map(|argument| argument.as_ptr() as usize).collect();
    addresses.sort_unstable();
    addresses.windows(2).any(|pair| pair[0] == pair[1])
}

fn child_of<'py>(
    event_loop: &Bound<'py, Loop>,
    argument: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let child = if is_native_coroutine(argument) {
        create_task(event_loop, argument)?
    } else {
        let kwargs = PyDict::new(py);
        kwargs.set_item(interned!(py, "loop"), event_loop)?;
        stock(py)?.ensure_future.bind(py).call((argument,), Some(&kwargs))?
    };
    if !child.is(argument) {
        // The caller cannot control it: no "destroyed but pending".
        match TaskView::of(&child, task_class(py)?) {
            Some(view) => view.log_no_destroy(),
            None => child.setattr(interned!(py, "_log_destroy_pending"), false)?,
        }
    }
    Ok(child)
}

/// Whether what gather returned is not done yet. It is of our own class, which does not change `done`.
fn is_pending(outer: &Bound<'_, PyAny>) -> bool {
    matches!(future_view(outer), Ok(Some(view)) if view.state() == State::Pending)
}

/// The callback of every child.
fn child_done(slf: &Bound<'_, PyAny>, child: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let Ok(gathering) = slf.cast::<Gathering>() else {
        return Err(PyTypeError::new_err("this callback needs a Gathering"));
    };
    let state = gathering.get();
    state.finished.set(py, state.finished.get(py) + 1);
    if let Some(caller) = state.caller.get(py) {
        forget_awaited_by(child, &caller)?;
    }
    let succeeded = plain(child).is_some_and(FutureView::has_succeeded);
    let outer = state.outer.get(py);
    let Some(outer) = outer.filter(|outer| is_pending(outer)) else {
        if !succeeded && !is_cancelled(child)? {
            // Marks the exception retrieved.
            child.call_method0(interned!(py, "exception"))?;
        }
        return Ok(py.None());
    };
    if !succeeded
        && !state.return_exceptions
        && let Some(error) = error_of(child)?
    {
        forget_all(state, py)?;
        outer.call_method1(interned!(py, "set_exception"), (error,))?;
        return Ok(py.None());
    }
    if state.finished.get(py) == state.total.get(py)
        && let Some(children) = state.children.get(py)
    {
        let results = results_of(children.cast::<PyList>()?)?;
        if is_cancel_requested(&outer)? {
            // A cancelled gather is cancelled, whatever `return_exceptions` says.
            let error = last_cancelled(children.cast::<PyList>()?)?;
            outer.call_method1(interned!(py, "set_exception"), (error,))?;
        } else {
            set_result(&outer, results.as_any())?;
        }
    }
    Ok(py.None())
}

/// The error of a child that is done; `None` when it has a result.
fn error_of<'py>(child: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = child.py();
    if is_cancelled(child)? {
        // `exception()` would raise it.
        return Ok(Some(child.call_method0(interned!(py, "_make_cancelled_error"))?));
    }
    let error = child.call_method0(interned!(py, "exception"))?;
    Ok(Some(error).filter(|error| !error.is_none()))
}

/// 3.14: children that outlive a failed gather are no longer shown as awaited by its caller.
fn forget_all(state: &Gathering, py: Python<'_>) -> PyResult<()> {
    if let (Some(caller), Some(children)) = (state.caller.get(py), state.children.get(py)) {
        for child in children.cast::<PyList>()?.iter() {
            forget_awaited_by(&child, &caller)?;
        }
    }
    Ok(())
}

/// The list that gather returns.
fn results_of<'py>(children: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
    let py = children.py();
    let results = PyList::empty(py);
    for child in children.iter() {
        let succeeded = plain(&child).filter(|view| view.has_succeeded());
        let result = match succeeded.and_then(FutureView::result) {
            Some(result) => result,
            None => result_or_error(&child)?,
        };
        results.append(result)?;
    }
    Ok(results)
}

fn result_or_error<'py>(child: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = child.py();
    if is_cancelled(child)? {
        // A new error, not raised: no context, and `_make_cancelled_error` is called at most once.
        let message = child.getattr(interned!(py, "_cancel_message"))?;
        let class = Imports::of(py)?.cancelled_error.bind(py);
        return if message.is_none() { class.call1(("",)) } else { class.call1((message,)) };
    }
    let error = child.call_method0(interned!(py, "exception"))?;
    if error.is_none() { child.call_method0(interned!(py, "result")) } else { Ok(error) }
}

fn last_cancelled<'py>(children: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyAny>> {
    let last = children.get_item(children.len().saturating_sub(1))?;
    last.call_method0(interned!(children.py(), "_make_cancelled_error"))
}

/// The class of what gather returns, and its slots.
struct GatheringFuture {
    class: Py<PyType>,
    /// `None` when they are not where they are expected: then its `__init__` makes it.
    slots: Option<SlotClass>,
}

/// The slots of `_GatheringFuture`, sorted.
const NAMES: [&str; 2] = ["_cancel_requested", "_children"];
const CANCEL_REQUESTED: usize = 0;
const CHILDREN: usize = 1;

static GATHERING_FUTURE: PyOnceLock<GatheringFuture> = PyOnceLock::new();

fn gathering_future(py: Python<'_>) -> PyResult<&'static GatheringFuture> {
    GATHERING_FUTURE.get(py).ok_or_else(|| PyRuntimeError::new_err("oxio.tasks is not imported"))
}

/// Says that gather returns instances of this class, which `oxio.tasks` defines.
#[pyfunction]
#[pyo3(name = "_adopt_gathering_future")]
pub fn adopt_gathering_future(class: Bound<'_, PyType>) -> PyResult<Bound<'_, PyType>> {
    let slots = SlotClass::of(&class, &NAMES)?;
    // A module that is imported a second time in this process defines another class, which is not used.
    let _ =
        GATHERING_FUTURE.set(class.py(), GatheringFuture { class: class.clone().unbind(), slots });
    Ok(class)
}

/// `_GatheringFuture(children, loop=event_loop)`.
fn new_outer<'py>(
    event_loop: &Bound<'py, Loop>,
    children: &Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let known = gathering_future(py)?;
    if let Some(slots) = &known.slots {
        let outer = slots.new_instance(py)?;
        if let (Some(fields), Some(future)) = (slots.view(&outer), future_view(&outer)?) {
            drop(fields.set(CANCEL_REQUESTED, PyBool::new(py, false).to_owned().into_any()));
            drop(fields.set(CHILDREN, children.clone().into_any()));
            future.set_event_loop(event_loop.clone().into_any());
            return Ok(outer);
        }
    }
    let kwargs = PyDict::new(py);
    kwargs.set_item(interned!(py, "loop"), event_loop)?;
    known.class.bind(py).call((children,), Some(&kwargs))
}

fn is_cancel_requested(outer: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = outer.py();
    match gathering_future(py)?.slots.as_ref().and_then(|slots| slots.view(outer)) {
        Some(fields) => Ok(fields.is_true(CANCEL_REQUESTED)),
        None => outer.getattr(interned!(py, "_cancel_requested"))?.is_truthy(),
    }
}
