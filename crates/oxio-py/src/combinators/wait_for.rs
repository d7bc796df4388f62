//! `wait_for(fut, timeout)`, from 3.12 on: `async with timeout(timeout): return await fut` in one awaitable.
//!
//! The awaitable is its own timer. Native is a time that does not run out, on a running loop of ours with a number of
//! seconds; anything else is asyncio's own function. On 3.11 it always is: there it makes a task of a coroutine.
//!
//! States, in the low bits of the awaitable's number: handed over to asyncio; waiting, with or without a timer;
//! expiring, when the timer has cancelled the task. The bits above hold `task.cancelling()` as it was at the start.

use oxio_core::clock::Deadline;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::stock::stock;
use crate::awaitable::{
    Awaitable, AwaitableView, Operation, Parameters, Resumed, Step, coroutine_function,
};
use crate::future::plain;
use crate::interop::call::is_native_coroutine;
use crate::interop::imports::interned;
use crate::interop::instance::look_at;
use crate::scheduler::{Loop, NativeTimer, running_native_loop};
use crate::task::{cancelling, current_task};
use crate::timeouts::seconds;

/// Source: CPython `tasks.wait_for`.
///
/// # Cancel safety
/// As `await fut`: the cancellation goes to what is awaited, and the timer is gone.
static WAIT_FOR: Operation = Operation {
    name: "wait_for",
    parameters: Parameters {
        is_method: false,
        names: &["fut", "timeout"],
        required: 2,
        positional: 2,
    },
    resume,
};

const HANDED_OVER: usize = 0;
const UNLIMITED: usize = 1;
const LIMITED: usize = 2;
const EXPIRING: usize = 3;
const STATE_BITS: usize = 2;
const STATE: usize = (1 << STATE_BITS) - 1;

static TIMER: NativeTimer = NativeTimer {
    is_cancelled: |object| {
        look_at::<Awaitable>(object, |py, held| held.number.get(py) & STATE != LIMITED)
    },
    on_time: expire,
};

/// The function for the running version: native where asyncio's own is built on `timeout()`.
pub fn function<'py>(asyncios: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let names = asyncios.getattr("__code__")?.getattr("co_names")?;
    if names.contains("timeouts")? {
        return coroutine_function(asyncios, "oxio.tasks", &WAIT_FOR);
    }
    Ok(asyncios.clone())
}

fn resume<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let state = view.state();
    match resumed {
        Resumed::Start => start(view),
        Resumed::Value(value) => {
            if let Some(task) = leave(view) {
                // It came to an end although it was cancelled.
                task.call_method0(interned!(py, "uncancel"))?;
            }
            Ok(Step::Return(value))
        }
        Resumed::Error(error) => {
            let count = state.number.get(py) >> STATE_BITS;
            match leave(view) {
                None => Err(error),
                Some(task) => {
                    let args = (error.into_value(py), task, count);
                    Ok(Step::Delegate(rare(py)?.leave_expired.bind(py).call1(args)?))
                }
            }
        }
    }
}

fn start<'py>(view: AwaitableView<'_, 'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let state = view.state();
    let (Some(awaited), Some(timeout)) = (state.first.take(py), state.second.take(py)) else {
        return Err(PyTypeError::new_err("wait_for() needs an awaitable and a timeout"));
    };
    let running = running_native_loop(py).filter(|running| running.get().has_native_timers(py));
    let delay = if timeout.is_none() { None } else { seconds(&timeout) };
    let is_native = timeout.is_none() || delay.is_some_and(|delay| delay > 0.0);
    if is_native
        && let Some(event_loop) = running
        && let Some(task) = current_task(event_loop.as_any())?
    {
        set_timer(view, &event_loop, &task, delay)?;
        drop(state.third.set(task));
        return match iterator(&awaited) {
            Ok(iterator) => Ok(Step::Delegate(iterator)),
            Err(error) => {
                leave(view);
                Err(error)
            }
        };
    }
    Ok(Step::Delegate(stock(py)?.wait_for.bind(py).call1((awaited, timeout))?))
}

fn set_timer<'py>(
    view: AwaitableView<'_, 'py>,
    event_loop: &Bound<'py, Loop>,
    task: &Bound<'py, PyAny>,
    delay: Option<f64>,
) -> PyResult<()> {
    let py = view.py();
    let count = usize::try_from(cancelling(task)?).unwrap_or_default() << STATE_BITS;
    let Some(delay) = delay else {
        view.state().number.set(py, count | UNLIMITED);
        return Ok(());
    };
    view.state().number.set(py, count | LIMITED);
    let when = Deadline::now().as_secs_f64() + delay;
    event_loop.get().start_timer(py, when, view.object().clone().unbind(), &TIMER);
    Ok(())
}

/// What `await awaited` would send to.
fn iterator<'py>(awaited: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = awaited.py();
    if AwaitableView::of(awaited).is_some() {
        return Ok(awaited.clone());
    }
    if is_native_coroutine(awaited) {
        // One that is being awaited already is refused by `await` itself.
        if awaited.getattr(interned!(py, "cr_await"))?.is_none() {
            return Ok(awaited.clone());
        }
    } else if plain(awaited).is_some() {
        return awaited.call_method0(interned!(py, "__await__"));
    }
    rare(py)?.just_await.bind(py).call1((awaited,))
}

/// The wait is over. The task that the timer has cancelled, if it has; else there is no timer any more.
fn leave<'py>(view: AwaitableView<'_, 'py>) -> Option<Bound<'py, PyAny>> {
    let py = view.py();
    let state = view.state();
    let task = state.third.take(py);
    let before = state.number.get(py) & STATE;
    state.number.set(py, HANDED_OVER);
    match before {
        EXPIRING => task,
        LIMITED => {
            if let Some(event_loop) = running_native_loop(py) {
                let removed = event_loop.get().timers.borrow(py).note_cancelled();
                drop(removed);
            }
            None
        }
        _ => None,
    }
}

/// The time has come.
fn expire(object: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    let Some(view) = AwaitableView::of(object) else {
        return Ok(());
    };
    let number = view.state().number.get(py);
    if number & STATE != LIMITED {
        return Ok(());
    }
    if let Some(task) = view.state().third.get(py) {
        task.call_method0(interned!(py, "cancel"))?;
    }
    view.state().number.set(py, number & !STATE | EXPIRING);
    Ok(())
}

/// Functions of `oxio.timeouts`, for what is rare.
struct Rare {
    just_await: Py<PyAny>,
    leave_expired: Py<PyAny>,
}

fn rare(py: Python<'_>) -> PyResult<&'static Rare> {
    static RARE: PyOnceLock<Rare> = PyOnceLock::new();
    RARE.get_or_try_init(py, || {
        let timeouts = py.import("oxio.timeouts")?;
        Ok(Rare {
            just_await: timeouts.getattr("_just_await")?.unbind(),
            leave_expired: timeouts.getattr("_leave_expired")?.unbind(),
        })
    })
}
