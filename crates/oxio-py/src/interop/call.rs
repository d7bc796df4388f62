//! Calls into the interpreter that PyO3 has no safe form of: sending into coroutines, entering contexts.

#![expect(unsafe_code, reason = "C API calls without a safe binding in PyO3")]

use std::ptr;

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::imports::{Imports, interned};

/// What a coroutine did with what it was sent.
pub enum Sent<'py> {
    /// It suspended and yielded this.
    Yielded(Bound<'py, PyAny>),
    /// It returned this.
    Returned(Bound<'py, PyAny>),
    /// It raised.
    Raised(PyErr),
}

/// Sends `None` into `coro`; no `StopIteration` is made when it returns.
///
/// The interpreter's own task does this with the same call (`task_step_impl`).
pub fn send_none<'py>(coro: &Bound<'py, PyAny>) -> Sent<'py> {
    let py = coro.py();
    let mut result: *mut ffi::PyObject = ptr::null_mut();
    // SAFETY: `coro` is alive (borrowed) and `result` receives a new reference or NULL.
    let (sent, result) = unsafe {
        let sent = ffi::PyIter_Send(coro.as_ptr(), ffi::Py_None(), &raw mut result);
        (sent, Bound::from_owned_ptr_or_opt(py, result))
    };
    match (sent, result) {
        (ffi::PySendResult::PYGEN_NEXT, Some(value)) => Sent::Yielded(value),
        (ffi::PySendResult::PYGEN_RETURN, Some(value)) => Sent::Returned(value),
        _ => Sent::Raised(PyErr::fetch(py)),
    }
}

/// Raises `error` inside `coro` at its suspension point.
pub fn throw<'py>(coro: &Bound<'py, PyAny>, error: &Bound<'py, PyAny>) -> Sent<'py> {
    let py = coro.py();
    match coro.call_method1(interned!(py, "throw"), (error,)) {
        Ok(value) => Sent::Yielded(value),
        Err(raised) if raised.is_instance_of::<PyStopIteration>(py) => {
            match raised.value(py).getattr(interned!(py, "value")) {
                Ok(value) => Sent::Returned(value),
                Err(raised) => Sent::Raised(raised),
            }
        }
        Err(raised) => Sent::Raised(raised),
    }
}

/// What `raise error` does in Python: an error that is being handled now becomes its `__context__`.
///
/// An error that only passes through is not to be raised again by this.
pub fn raise(error: &Bound<'_, PyAny>) -> PyErr {
    let py = error.py();
    // SAFETY: an exception and its class, both alive; the call sets an error, which is then taken.
    unsafe { ffi::PyErr_SetObject(error.get_type().as_ptr(), error.as_ptr()) };
    PyErr::fetch(py)
}

/// Runs `body` inside `context`, as `contextvars.Context.run` does.
///
/// # Errors
/// `RuntimeError` when the context is entered already, or `body`'s error.
pub fn in_context<T>(
    context: &Bound<'_, PyAny>,
    body: impl FnOnce() -> PyResult<T>,
) -> PyResult<T> {
    let py = context.py();
    // SAFETY: `context` is alive (borrowed); PyContext_Enter checks that it is a Context.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    let result = body();
    // SAFETY: entered above on this thread. No error is set: `body` gives its error as a value.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
        let exit_error = PyErr::fetch(py);
        return result.and(Err(exit_error));
    }
    result
}

/// A copy of the thread's current context; costs about 30 ns.
pub fn copy_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached; returns a new reference or NULL with an error set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// `callback(*args)`, without making a tuple or a dict.
pub fn call_with_tuple<'py>(
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: both are alive (borrowed); returns a new reference or NULL with an error set.
    unsafe {
        let result = ffi::PyObject_Call(callback.as_ptr(), args.as_ptr(), ptr::null_mut());
        Bound::from_owned_ptr_or_err(callback.py(), result)
    }
}

/// True for what `async def` makes, exactly; other awaitables are asked of `asyncio.iscoroutine`.
pub fn is_native_coroutine(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: only compares the type of a live object.
    unsafe { ffi::PyCoro_CheckExact(object.as_ptr()) != 0 }
}

/// True for a task's `coro` argument that asyncio accepts.
pub fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if is_native_coroutine(object) {
        return Ok(true);
    }
    let py = object.py();
    Imports::of(py)?.iscoroutine.bind(py).call1((object,))?.is_truthy()
}

/// A number that is equal for two calls exactly when they come from the same living thread.
pub fn thread_token() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| ptr::from_ref(here) as usize)
}
