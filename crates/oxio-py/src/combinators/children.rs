//! Futures that a combinator waits for: asked by their fields when nobody can have changed their methods.

use pyo3::prelude::*;

use crate::future::plain;
use crate::interop::imports::interned;
use crate::interop::layout::State;
use crate::task::add_done_callback;

pub fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match plain(future) {
        Some(view) => Ok(view.state() != State::Pending),
        None => future.call_method0(interned!(future.py(), "done"))?.is_truthy(),
    }
}

pub fn is_cancelled(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match plain(future) {
        Some(view) => Ok(view.state() == State::Cancelled),
        None => future.call_method0(interned!(future.py(), "cancelled"))?.is_truthy(),
    }
}

/// Has `callback` told when `future` is done; the next turn at the earliest.
pub fn watch<'py>(
    future: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
) -> PyResult<()> {
    if let Some(view) = plain(future)
        && view.try_set_first_callback(callback.clone(), context.clone()).is_ok()
    {
        return Ok(());
    }
    add_done_callback(future, callback, context)
}

/// Undoes [`watch`]. What is done has let go of its callbacks.
pub fn unwatch(future: &Bound<'_, PyAny>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
    if plain(future)
        .is_some_and(|view| view.state() != State::Pending || view.remove_only(callback))
    {
        return Ok(());
    }
    future.call_method1(interned!(future.py(), "remove_done_callback"), (callback,))?;
    Ok(())
}
