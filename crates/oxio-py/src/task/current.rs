//! The current task, as `asyncio.current_task()` sees it.
//!
//! Setting and clearing it around every step costs a third of a step on 3.11–3.13, where it is a dict entry. So it
//! stays set after a step, is overwritten by the next task's, and is cleared before anything that is not a task runs.

use pyo3::prelude::*;

use crate::interop::imports::{Imports, TaskBook};
use crate::scheduler::Loop;

/// `asyncio.current_task(event_loop)`: also the task that somebody else steps on our loop.
#[cfg(not(Py_3_14))]
pub fn current_task<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = event_loop.py();
    let TaskBook::Shared { current, .. } = &Imports::of(py)?.tasks;
    Ok(current.bind(py).get_item(event_loop)?.filter(|task| !task.is_none()))
}

#[cfg(Py_3_14)]
pub fn current_task<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = event_loop.py();
    let TaskBook::PerThread { current_task, .. } = &Imports::of(py)?.tasks;
    let task = current_task.bind(py).call1((event_loop,))?;
    Ok(Some(task).filter(|task| !task.is_none()))
}

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

/// What [`interrupt`] has put aside.
pub struct Interrupted<'py> {
    /// The current task as the interpreter had it: another task's step may be CPython's.
    registered: Option<Bound<'py, PyAny>>,
    /// The current task as this loop had set it.
    ours: Option<Py<PyAny>>,
}

/// Makes `task` the current task inside another task's step; [`resume`] undoes it.
pub fn interrupt<'py>(
    event_loop: &Bound<'py, Loop>,
    task: &Bound<'py, PyAny>,
) -> PyResult<Interrupted<'py>> {
    let py = event_loop.py();
    let registered = swap(event_loop, Some(task))?;
    let ours = event_loop.get().current.borrow(py).replace(task.clone().unbind());
    Ok(Interrupted { registered, ours })
}

/// Makes the task that was interrupted the current one again.
pub fn resume<'py>(event_loop: &Bound<'py, Loop>, outer: Interrupted<'py>) -> PyResult<()> {
    let py = event_loop.py();
    set(event_loop, outer.registered.as_ref())?;
    let inner = std::mem::replace(&mut *event_loop.get().current.borrow(py), outer.ours);
    drop(inner);
    Ok(())
}

/// As [`set`], giving back what was set before.
fn swap<'py>(
    event_loop: &Bound<'py, Loop>,
    task: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = event_loop.py();
    match &Imports::of(py)?.tasks {
        #[cfg(not(Py_3_14))]
        TaskBook::Shared { current, .. } => {
            let before = current.bind(py).get_item(event_loop)?;
            set(event_loop, task)?;
            Ok(before)
        }
        #[cfg(Py_3_14)]
        TaskBook::PerThread { swap_current, .. } => {
            let before = swap_current.bind(py).call1((event_loop, task))?;
            Ok(Some(before).filter(|before| !before.is_none()))
        }
    }
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
