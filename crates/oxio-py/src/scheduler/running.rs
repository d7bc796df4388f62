//! Which loop runs on this thread.
//!
//! `asyncio.get_running_loop()` costs a call, and on some versions a system call (it looks whether the process has
//! forked). A loop of ours that is inside its turns is the running one, so it says so in a thread-local.

use std::cell::RefCell;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::Loop;
use crate::interop::cell::GilSlot;
use crate::interop::imports::Imports;

thread_local!(static RUNNING: RefCell<Option<Py<Loop>>> = const { RefCell::new(None) });

/// While it lives, `event_loop` is the one that runs on this thread.
pub struct Running {
    outer: Option<Py<Loop>>,
}

impl Running {
    pub fn enter(event_loop: &Bound<'_, Loop>) -> Self {
        Self { outer: RUNNING.replace(Some(event_loop.clone().unbind())) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let inner = RUNNING.replace(self.outer.take());
        drop(inner);
    }
}

/// The running loop of this thread: ours, or whatever asyncio says.
///
/// # Errors
/// `RuntimeError` when no loop is running.
pub fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let ours = RUNNING.with_borrow(|running| running.as_ref().map(|found| found.bind(py).clone()));
    match ours {
        Some(event_loop) => Ok(event_loop.into_any()),
        None => Imports::of(py)?.get_running_loop.bind(py).call0(),
    }
}

/// The running loop of this thread when it is one of ours.
pub fn running_native_loop(py: Python<'_>) -> Option<Bound<'_, Loop>> {
    RUNNING.with_borrow(|running| running.as_ref().map(|found| found.bind(py).clone()))
}

/// Binds a lock or queue to the loop it first waits on.
///
/// # Errors
/// `RuntimeError` when `owner` belongs to another loop already, or when no loop is running.
///
/// Source: CPython `mixins._LoopBoundMixin._get_loop`.
pub fn bind_loop(owner: &Bound<'_, PyAny>, bound: &GilSlot) -> PyResult<()> {
    let running = running_loop(owner.py())?;
    if bound.holds(&running) {
        return Ok(());
    }
    if bound.is_empty(owner.py()) {
        drop(bound.set(running));
        return Ok(());
    }
    let owner = owner.repr()?;
    Err(PyRuntimeError::new_err(format!("{owner} is bound to a different event loop")))
}
