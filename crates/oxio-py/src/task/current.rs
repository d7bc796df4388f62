//! The current task, as `asyncio.current_task()` sees it.
//!
//! Setting and clearing it around every step costs a third of a step on 3.11–3.13, where it is a dict entry. So it
//! stays set after a step, is overwritten by the next task's, and is cleared before anything that is not a task runs.

use pyo3::prelude::*;

use crate::interop::imports::{Imports, TaskBook};
use crate::scheduler::Loop;

/// Makes `task` the current task of `event_loop`.
pub fn enter_current<'py>(event_loop: &Bound<'py, Loop>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    let state = event_loop.get();
    if state.current.borrow(py).as_ref().is_some_and(|current| current.is(task)) {
        return Ok(());
    }
    set(event_loop, Some(task))?;
    let previous = state.current.borrow(py).replace(task.clone().unbind());
    drop(previous);
    Ok(())
}

/// Makes no task the current one. Called before a callback, an I/O event or a sleep.
pub fn leave_current(event_loop: &Bound<'_, Loop>) -> PyResult<()> {
    let py = event_loop.py();
    let previous = event_loop.get().current.borrow(py).take();
    if previous.is_none() {
        return Ok(());
    }
    set(event_loop, None)
}

/// The current task as this loop has set it.
pub fn current<'py>(event_loop: &Bound<'py, Loop>) -> Option<Bound<'py, PyAny>> {
    let py = event_loop.py();
    event_loop.get().current.borrow(py).as_ref().map(|task| task.bind(py).clone())
}

#[cfg(not(Py_3_14))]
fn set<'py>(event_loop: &Bound<'py, Loop>, task: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
    let py = event_loop.py();
    let TaskBook::Shared { current, .. } = &Imports::of(py)?.tasks;
    let current = current.bind(py);
    match task {
        Some(task) => current.set_item(event_loop, task),
        // Somebody may have left it already (`_leave_task`): then there is nothing to do.
        None if current.contains(event_loop)? => current.del_item(event_loop),
        None => Ok(()),
    }
}

#[cfg(Py_3_14)]
fn set<'py>(event_loop: &Bound<'py, Loop>, task: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
    let py = event_loop.py();
    let TaskBook::PerThread { swap_current, .. } = &Imports::of(py)?.tasks;
    swap_current.bind(py).call1((event_loop, task))?;
    Ok(())
}
