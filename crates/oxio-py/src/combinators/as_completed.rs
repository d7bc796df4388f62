//! `as_completed(fs, *, timeout=None)`: an iterator, and an asynchronous one, on every version.
//!
//! What is done waits in `done` for those who ask, and those who ask too early wait in `waiters`: asyncio uses a queue.
//!
//! Up to 3.12 asyncio's is a generator, which makes its tasks when it is first asked; so does this one there.
//!
//! Source: CPython `tasks._AsCompletedIterator` (3.13), `tasks.as_completed` (before).

use std::collections::VecDeque;
use std::sync::OnceLock;

use pyo3::exceptions::{PyStopAsyncIteration, PyTimeoutError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySet};

use super::children::{unwatch, watch};
use super::stock::stock;
use crate::awaitable::{
    AwaitableView, Operation, Parameters, PlainFunction, Resumed, Step, call_template,
    new_awaitable, remember_template,
};
use crate::future::{NATIVE_CALLBACKS, NativeCallback, plain};
use crate::interop::call::copy_context;
use crate::interop::cell::{GilCell, GilFlag, GilSlot};
use crate::interop::imports::interned;
use crate::interop::layout::FutureView;
use crate::interop::rawtype::{bind_builtin, method_onearg};
use crate::scheduler::running_loop;

/// What `as_completed` returns.
#[pyclass(frozen, module = "oxio._oxio", name = "AsCompleted")]
pub struct AsCompleted {
    /// The awaitables, until they have been made futures.
    given: GilSlot,
    timeout: GilSlot,
    /// The set of futures that are not done.
    todo: GilSlot,
    /// How many have not been asked for.
    left: GilFlag<usize>,
    /// Done and not fetched yet, the first one first; empty slots for those that the time-out has cut off.
    done: GilCell<VecDeque<Option<Py<PyAny>>>>,
    /// Awaitables parked until there is something in `done`.
    waiters: GilCell<VecDeque<Py<PyAny>>>,
    callback: GilSlot,
    timer: GilSlot,
}

/// The callback of all futures, in its place among the loop's native ones.
static DONE: &OnceLock<NativeCallback> = &NATIVE_CALLBACKS[2];

/// The function `as_completed`.
pub static AS_COMPLETED: PlainFunction = PlainFunction(|template, args, keywords| {
    let py = template.py();
    let (given, timeout) = match (args, keywords) {
        ([given], None) => (given, None),
        ([given, timeout], Some(names))
            if names.len() == 1 && names.get_item(0)?.eq("timeout")? =>
        {
            (given, Some(timeout).filter(|timeout| !timeout.is_none()))
        }
        _ => return call_template(template, args, keywords),
    };
    let iterator = Bound::new(
        py,
        AsCompleted {
            given: GilSlot::new(Some(given.clone().unbind())),
            timeout: GilSlot::new(timeout.map(|timeout| timeout.clone().unbind())),
            todo: GilSlot::new(None),
            left: GilFlag::new(0),
            done: GilCell::new(VecDeque::new()),
            waiters: GilCell::new(VecDeque::new()),
            callback: GilSlot::new(None),
            timer: GilSlot::new(None),
        },
    )?;
    if cfg!(Py_3_13) {
        begin(&iterator)?;
    }
    Ok(iterator.into_any())
});

/// For those who inspect the coroutines: they are in no function of asyncio's that exists on all versions.
pub fn remember_templates(as_completed: &Bound<'_, PyAny>) {
    remember_template(&RESULT_OF_NEXT, as_completed);
    remember_template(&NEXT, as_completed);
}

fn refuse_awaitables(given: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = given.py();
    let is_awaitable = py.import("inspect")?.call_method1("isawaitable", (given,))?.is_truthy()?;
    if !is_awaitable {
        return Ok(());
    }
    let kind = given.get_type().name()?;
    Err(PyTypeError::new_err(if cfg!(Py_3_13) {
        format!("expects an iterable of awaitables, not {kind}")
    } else {
        format!("expect an iterable of futures, not {kind}")
    }))
}

/// Makes futures of the awaitables and watches them; once.
fn begin(iterator: &Bound<'_, AsCompleted>) -> PyResult<()> {
    let py = iterator.py();
    let state = iterator.get();
    let Some(given) = state.given.take(py) else {
        return Ok(());
    };
    refuse_awaitables(&given)?;
    let event_loop = match running_loop(py) {
        Ok(event_loop) => event_loop,
        Err(_none) => py.import("asyncio.events")?.call_method0("get_event_loop")?,
    };
    let ensure_future = stock(py)?.ensure_future.bind(py);
    let kwargs = PyDict::new(py);
    kwargs.set_item(interned!(py, "loop"), &event_loop)?;
    let todo = PySet::empty(py)?;
    for awaitable in py.get_type::<PySet>().call1((given,))?.cast::<PySet>()?.iter() {
        todo.add(ensure_future.call((awaitable,), Some(&kwargs))?)?;
    }
    let native = DONE.get_or_init(|| NativeCallback {
        method: method_onearg(
            c"_handle_completion",
            c"Takes in a future of as_completed() that is done.",
            one_done,
        ),
        call: one_done,
    });
    let callback = bind_builtin(&native.method, iterator.as_any())?;
    let context = copy_context(py)?;
    for future in todo.iter() {
        watch(&future, &callback, &context)?;
    }
    if !todo.is_empty()
        && let Some(timeout) = state.timeout.take(py)
    {
        let expire = iterator.getattr(interned!(py, "_handle_timeout"))?;
        let timer = event_loop.call_method1(interned!(py, "call_later"), (timeout, expire))?;
        drop(state.timer.set(timer));
    }
    state.left.set(py, todo.len());
    drop((state.callback.set(callback), state.todo.set(todo.into_any())));
    Ok(())
}

/// The callback of every future.
fn one_done(slf: &Bound<'_, PyAny>, future: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let Ok(iterator) = slf.cast::<AsCompleted>() else {
        return Err(PyTypeError::new_err("this callback needs an AsCompleted"));
    };
    let state = iterator.get();
    let Some(todo) = state.todo.get(py) else {
        return Ok(py.None());
    };
    let todo = todo.cast::<PySet>()?;
    if todo.is_empty() {
        // The time-out was first.
        return Ok(py.None());
    }
    todo.discard(future)?;
    state.hand_out(py, Some(future.clone().unbind()))?;
    if todo.is_empty()
        && let Some(timer) = state.timer.take(py)
    {
        timer.call_method0(interned!(py, "cancel"))?;
    }
    Ok(py.None())
}

impl AsCompleted {
    /// Adds to `done` and wakes who has waited longest.
    fn hand_out(&self, py: Python<'_>, future: Option<Py<PyAny>>) -> PyResult<()> {
        self.done.borrow(py).push_back(future);
        self.wake_next(py)
    }

    fn wake_next(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let waiter = self.waiters.borrow(py).pop_front();
            let Some(waiter) = waiter else { return Ok(()) };
            let waiter = waiter.into_bound(py);
            if AwaitableView::of(&waiter).map_or(Ok(false), AwaitableView::wake)? {
                return Ok(());
            }
        }
    }

    fn forget(&self, waiter: &Bound<'_, PyAny>) {
        let py = waiter.py();
        let mut waiters = self.waiters.borrow(py);
        let place = waiters.iter().position(|known| known.is(waiter));
        let forgotten = place.and_then(|place| waiters.remove(place));
        drop(waiters);
        drop(forgotten);
    }
}

#[pymethods]
impl AsCompleted {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// A coroutine that returns the result, or raises the exception, of the next one that is done.
    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        begin(slf)?;
        let state = slf.get();
        let Some(left) = state.left.get(py).checked_sub(1) else {
            return Ok(None);
        };
        state.left.set(py, left);
        new_awaitable(py, &RESULT_OF_NEXT, Some(slf.clone().into_any()), [None, None, None])
            .map(Some)
    }

    /// The next one that is done: a future or task that was given, or the task made of what was given.
    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        new_awaitable(slf.py(), &NEXT, Some(slf.clone().into_any()), [None, None, None])
    }

    /// Who waits for the next one; as on asyncio's queue, for `oxio.graph`.
    #[getter]
    fn _getters(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.waiters.borrow(py).iter().map(|waiter| waiter.clone_ref(py)).collect()
    }

    fn _handle_timeout(&self, py: Python<'_>) -> PyResult<()> {
        let (Some(todo), Some(callback)) = (self.todo.get(py), self.callback.get(py)) else {
            return Ok(());
        };
        let todo = todo.cast::<PySet>()?;
        for future in todo.iter() {
            unwatch(&future, &callback)?;
            self.hand_out(py, None)?;
        }
        todo.clear();
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let slots = [&self.given, &self.timeout, &self.todo, &self.callback, &self.timer];
        slots.iter().try_for_each(|slot| slot.traverse(&visit))?;
        self.done
            .try_peek(|done| done.iter().flatten().try_for_each(|future| visit.call(future)))
            .unwrap_or(Ok(()))?;
        self.waiters
            .try_peek(|waiters| waiters.iter().try_for_each(|waiter| visit.call(waiter)))
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        for slot in [&self.given, &self.timeout, &self.todo, &self.callback, &self.timer] {
            drop(slot.take(py));
        }
        let done = std::mem::take(&mut *self.done.borrow(py));
        let waiters = std::mem::take(&mut *self.waiters.borrow(py));
        drop((done, waiters));
    }
}

/// # Cancel safety
/// What was going to be handed to a cancelled one goes to the next.
static RESULT_OF_NEXT: Operation = Operation {
    name: "_AsCompletedIterator._wait_for_one",
    parameters: Parameters::NONE,
    resume: |view, resumed| match wait_for_one(view, resumed)? {
        Step::Return(future) => result_of(&future).map(Step::Return),
        step => Ok(step),
    },
};

static NEXT: Operation = Operation {
    name: "_AsCompletedIterator.__anext__",
    parameters: Parameters::NONE,
    resume: |view, resumed| {
        if matches!(resumed, Resumed::Start) {
            let owner = view.owner()?;
            let iterator = owner.cast::<AsCompleted>()?;
            begin(iterator)?;
            let state = iterator.get();
            let Some(left) = state.left.get(view.py()).checked_sub(1) else {
                return Err(PyStopAsyncIteration::new_err(()));
            };
            state.left.set(view.py(), left);
        }
        wait_for_one(view, resumed)
    },
};

/// Returns the next future that is done.
fn wait_for_one<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let owner = view.owner()?;
    let state = owner.cast::<AsCompleted>()?.get();
    if let Resumed::Error(error) = resumed {
        state.forget(view.object());
        if view.state().was_woken(py) && !state.done.borrow(py).is_empty() {
            state.wake_next(py)?;
        }
        return Err(error);
    }
    let next = state.done.borrow(py).pop_front();
    match next {
        Some(Some(future)) => Ok(Step::Return(future.into_bound(py))),
        Some(None) => Err(PyTimeoutError::new_err(())),
        None => {
            state.waiters.borrow(py).push_back(view.object().clone().unbind());
            Ok(Step::Park)
        }
    }
}

fn result_of<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let succeeded = plain(future).filter(|view| view.has_succeeded());
    match succeeded.and_then(FutureView::result) {
        Some(result) => Ok(result),
        None => future.call_method0(interned!(future.py(), "result")),
    }
}
