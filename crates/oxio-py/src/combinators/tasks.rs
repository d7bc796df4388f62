//! `create_task` and `ensure_future`: the short way from a coroutine to a task of the running loop.
//!
//! Everything that is not the usual case is asyncio's own function.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::stock::stock;
use crate::future::plain;
use crate::interop::call::is_native_coroutine;
use crate::interop::imports::interned;
use crate::scheduler::{Loop, running_native_loop};
use crate::task::{NewTask, native_start, new_task};

/// Schedule a coroutine as a task of the running loop.
#[pyfunction]
#[pyo3(signature = (coro, **kwargs))]
pub fn create_task<'py>(
    coro: &Bound<'py, PyAny>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    if let Some(event_loop) = usual_loop(py)
        && let Some(eager_start) = native_start(&event_loop)?
        && let Some(new) = plain_keywords(coro, kwargs, eager_start)?
    {
        event_loop.get().check_closed(py)?;
        return new_task(&event_loop, new);
    }
    stock(py)?.create_task.bind(py).call((coro,), kwargs)
}

/// Wrap a coroutine or an awaitable in a future; a future is returned as it is.
#[pyfunction]
#[pyo3(signature = (coro_or_future, *, r#loop = None))]
pub fn ensure_future<'py>(
    coro_or_future: &Bound<'py, PyAny>,
    r#loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro_or_future.py();
    if r#loop.is_none() {
        if is_native_coroutine(coro_or_future)
            && let Some(event_loop) = usual_loop(py)
        {
            return crate::task::create_task(&event_loop, coro_or_future);
        }
        if plain(coro_or_future).is_some() {
            return Ok(coro_or_future.clone());
        }
    }
    let kwargs = PyDict::new(py);
    kwargs.set_item(interned!(py, "loop"), r#loop)?;
    stock(py)?.ensure_future.bind(py).call((coro_or_future,), Some(&kwargs))
}

/// The running loop when it is ours, has asyncio's `create_task` and is not in debug mode.
fn usual_loop(py: Python<'_>) -> Option<Bound<'_, Loop>> {
    running_native_loop(py).filter(|event_loop| {
        let state = event_loop.get();
        state.native().create_task && !state.is_debug(py)
    })
}

/// `name` and `context` as a new task takes them; `None` when there are other keywords.
fn plain_keywords<'a, 'py>(
    coro: &'a Bound<'py, PyAny>,
    kwargs: Option<&Bound<'py, PyDict>>,
    eager_start: bool,
) -> PyResult<Option<NewTask<'a, 'py>>> {
    let mut new = NewTask { coro, name: None, context: None, eager_start };
    for (key, value) in kwargs.into_iter().flat_map(PyDictMethods::iter) {
        let value = Some(value).filter(|value| !value.is_none());
        match key.cast_into::<PyString>()?.to_str()? {
            "name" => new.name = value,
            "context" => new.context = value,
            _ => return Ok(None),
        }
    }
    Ok(Some(new))
}
