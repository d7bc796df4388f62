//! Readers and writers of file descriptors, as `add_reader` and asyncio's own transports use them.
//!
//! Source of the behaviour: CPython `BaseSelectorEventLoop._add_reader` and its neighbours.

use std::os::fd::RawFd;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::handle::new_handle;
use crate::interop::imports::interned;
use crate::scheduler::{Loop, Side, Watcher};

/// Calls `callback(*args)` whenever `side` of `fd` is ready; cancels the handle that did before.
pub fn add<'py>(
    event_loop: &Bound<'py, Loop>,
    fd: &Bound<'py, PyAny>,
    side: Side,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let state = event_loop.get();
    state.check_closed(py)?;
    let fd = descriptor(fd)?;
    let handle = new_handle(event_loop, callback, args, None)?;
    let watcher = Watcher::Handle(handle.clone().unbind());
    let replaced = state.watch(py, fd, side, watcher)?;
    cancel(py, replaced)?;
    Ok(handle)
}

/// Stops it; true when there was a reader or writer.
pub fn remove(event_loop: &Bound<'_, Loop>, fd: &Bound<'_, PyAny>, side: Side) -> PyResult<bool> {
    let py = event_loop.py();
    let state = event_loop.get();
    if state.is_closed(py) {
        return Ok(false);
    }
    let watcher = state.unwatch(py, descriptor(fd)?, side);
    let removed = watcher.is_some();
    cancel(py, watcher)?;
    Ok(removed)
}

fn cancel(py: Python<'_>, watcher: Option<Watcher>) -> PyResult<()> {
    if let Some(Watcher::Handle(handle)) = watcher {
        handle.call_method0(py, interned!(py, "cancel"))?;
    }
    Ok(())
}

/// The number behind an int or an object with `fileno()`.
///
/// # Errors
/// `ValueError("Invalid file object …")` and `ValueError("Invalid file descriptor …")`, as `selectors` has them.
pub fn descriptor(fd: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    let py = fd.py();
    if let Ok(number) = fd.extract::<RawFd>()
        && number >= 0
    {
        return Ok(number);
    }
    py.import("selectors")?.call_method1("_fileobj_to_fd", (fd,))?.extract()
}
