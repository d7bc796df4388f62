//! `create_task` and `ensure_future`: the short way from a coroutine to a task of the running loop.
//!
//! Everything that is not the usual case is asyncio's own function.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::awaitable::{PlainFunction, call_template};
use crate::future::plain;
use crate::interop::call::is_native_coroutine;
use crate::scheduler::{Loop, running_native_loop};
use crate::task::{NewTask, create_task, native_start, new_task};

/// `create_task(coro, *, name=None, context=None)`.
pub static CREATE_TASK: PlainFunction = PlainFunction(|template, args, keywords| {
    let py = template.py();
    let named = keywords.map_or(0, PyTupleMethods::len);
    if let Some(event_loop) = usual_loop(py)
        && let ([coro], values) = args.split_at(args.len() - named)
        && let Some(eager_start) = native_start(&event_loop)?
    {
        let mut new = NewTask { coro, name: None, context: None, eager_start };
        if take_keywords(&mut new, keywords, values)? {
            event_loop.get().check_closed(py)?;
            return new_task(&event_loop, new);
        }
    }
    call_template(template, args, keywords)
});

/// `ensure_future(coro_or_future, *, loop=None)`.
pub static ENSURE_FUTURE: PlainFunction = PlainFunction(|template, args, keywords| {
    if let ([argument], None) = (args, keywords) {
        if is_native_coroutine(argument)
            && let Some(event_loop) = usual_loop(argument.py())
        {
            return create_task(&event_loop, argument);
        }
        if plain(argument).is_some() {
            return Ok(argument.clone());
        }
    }
    call_template(template, args, keywords)
});

/// The running loop when it is ours, has asyncio's `create_task` and is not in debug mode.
fn usual_loop(py: Python<'_>) -> Option<Bound<'_, Loop>> {
    running_native_loop(py).filter(|event_loop| {
        let state = event_loop.get();
        state.native(py).create_task && !state.is_debug(py)
    })
}

/// Gives `name` and `context` to a new task; false when there are other keywords.
fn take_keywords<'py>(
    new: &mut NewTask<'_, 'py>,
    keywords: Option<&Bound<'py, PyTuple>>,
    values: &[Bound<'py, PyAny>],
) -> PyResult<bool> {
    for (key, value) in keywords.into_iter().flat_map(PyTupleMethods::iter).zip(values) {
        let value = Some(value.clone()).filter(|value| !value.is_none());
        match key.cast_into::<PyString>()?.to_str()? {
            "name" => new.name = value,
            "context" => new.context = value,
            _ => return Ok(false),
        }
    }
    Ok(true)
}
