//! `get()`, `put()` and `join()`.
//!
//! Source: CPython `queues.Queue`. What can be done at once is done at the first send: no future, no turn of the loop.

use pyo3::prelude::*;

use super::Queue;
use super::asking::{is_empty, is_full};
use super::names::shut_down_error;
use super::row::Row;
use super::transfer::{get, get_quickly, put, put_quickly, wake_next};
use crate::awaitable::{AwaitableView, Operation, Parameters, Resumed, Step};
use crate::interop::imports::interned;
use crate::scheduler::bind_loop;

/// # Cancel safety
/// Cancelled, the item is in the queue for somebody else: who was woken for it before wakes the next.
pub static GET: Operation =
    Operation { name: "Queue.get", parameters: Parameters::NONE, resume: resume_get };

/// # Cancel safety
/// Cancelled, the item is not in the queue, and the place that it was woken for is somebody else's.
pub static PUT: Operation = Operation {
    name: "Queue.put",
    parameters: Parameters { is_method: true, names: &["item"], required: 1, positional: 1 },
    resume: resume_put,
};

pub static JOIN: Operation =
    Operation { name: "Queue.join", parameters: Parameters::NONE, resume: resume_join };

fn resume_get<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let owner = view.owner()?;
    let slf = owner.cast::<Queue>()?;
    let this = slf.get();
    let ways = this.ways(slf)?;
    if let Resumed::Error(error) = resumed {
        return Err(leave(view, &this.getters, error, || {
            if !is_empty(slf, ways)? && view.state().was_woken(py) {
                wake_next(slf, ways, &this.getters, "_getters")?;
            }
            Ok(())
        }));
    }
    if let Some(item) = get_quickly(slf, ways)? {
        return Ok(Step::Return(item));
    }
    if !is_empty(slf, ways)? {
        return Ok(Step::Return(get(slf, ways)?));
    }
    if this.is_shutdown.get(py) && is_empty(slf, ways)? {
        return Err(shut_down_error(py));
    }
    wait_in(view, slf, &this.getters)
}

fn resume_put<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let owner = view.owner()?;
    let slf = owner.cast::<Queue>()?;
    let this = slf.get();
    let ways = this.ways(slf)?;
    if let Resumed::Error(error) = resumed {
        return Err(leave(view, &this.putters, error, || {
            if !is_full(slf, ways)? && view.state().was_woken(py) {
                wake_next(slf, ways, &this.putters, "_putters")?;
            }
            Ok(())
        }));
    }
    // Held by the coroutine until it is in the queue.
    let item = view.state().first.take(py).unwrap_or_else(|| py.None().into_bound(py));
    let Some(item) = put_quickly(slf, ways, item)? else {
        return Ok(Step::Return(py.None().into_bound(py)));
    };
    if !is_full(slf, ways)? {
        return Ok(Step::Return(put(slf, ways, item)?));
    }
    drop(view.state().first.set(item));
    if this.is_shutdown.get(py) {
        return Err(shut_down_error(py));
    }
    wait_in(view, slf, &this.putters)
}

fn wait_in<'py>(
    view: AwaitableView<'_, 'py>,
    slf: &Bound<'py, Queue>,
    waiters: &Row,
) -> PyResult<Step<'py>> {
    bind_loop(slf, &slf.get().event_loop)?;
    waiters.push(view.object().clone())?;
    Ok(Step::Park)
}

/// An error has ended the wait: out of the row, and what it was woken for goes to the next.
fn leave(
    view: AwaitableView<'_, '_>,
    waiters: &Row,
    error: PyErr,
    pass_on: impl FnOnce() -> PyResult<()>,
) -> PyErr {
    match waiters.remove(view.object()).and_then(|()| pass_on()) {
        Ok(()) => error,
        Err(other) => {
            other.set_context(view.py(), Some(error));
            other
        }
    }
}

fn resume_join<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    match resumed {
        Resumed::Start => {
            let owner = view.owner()?;
            let this = owner.cast::<Queue>()?.get();
            if this.unfinished.get(py) <= 0 {
                return Ok(Step::Return(py.None().into_bound(py)));
            }
            let event = owner.getattr(interned!(py, "_finished"))?;
            Ok(Step::Delegate(event.call_method0(interned!(py, "wait"))?))
        }
        Resumed::Value(_true) => Ok(Step::Return(py.None().into_bound(py))),
        Resumed::Error(error) => Err(error),
    }
}
