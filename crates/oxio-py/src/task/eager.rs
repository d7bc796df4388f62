//! Eager start: the first step runs inside `create_task`, in the middle of another task's step.

use pyo3::prelude::*;

use super::current::{interrupt, resume};
use super::{step, task_class};
use crate::interop::layout::{State, TaskView};
use crate::scheduler::Loop;

/// Runs the first step now; the task that is running stays the current one afterwards.
///
/// Source: CPython `task_eager_start`.
pub fn start<'py>(event_loop: &Bound<'py, Loop>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    let state = event_loop.get();
    let outer = interrupt(event_loop, task)?;
    let was_stepping = state.stepping.get(py);
    state.stepping.set(py, false);
    let stepped = step(event_loop, task);
    state.stepping.set(py, was_stepping);
    resume(event_loop, outer)?;
    stepped?;
    let class = task_class(py)?;
    if let Some(view) = TaskView::of(task, class)
        && view.future().state() != State::Pending
    {
        view.clear_coro();
    }
    Ok(())
}
