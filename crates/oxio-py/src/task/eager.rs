//! Eager start: the first step runs inside `create_task`, in the middle of another task's step.

use pyo3::prelude::*;

use super::current::{current, enter_current, leave_current};
use super::{step, task_class};
use crate::interop::layout::{State, TaskView};
use crate::scheduler::Loop;

/// Runs the first step now; the task that is running stays the current one afterwards.
///
/// Source: CPython `task_eager_start`.
pub fn start<'py>(event_loop: &Bound<'py, Loop>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    let outer = current(event_loop);
    let stepped = step(event_loop, task);
    match outer {
        Some(outer) => enter_current(event_loop, &outer)?,
        None => leave_current(event_loop)?,
    }
    stepped?;
    let class = task_class(py)?;
    if let Some(view) = TaskView::of(task, &class)
        && view.future().state() != State::Pending
    {
        view.clear_coro();
    }
    Ok(())
}
