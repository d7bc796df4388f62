//! Functions over awaitables: `sleep`, `gather`.
//!
//! Thread: the loop's.

mod gather;
mod sleep;

use pyo3::prelude::*;

use crate::awaitable::coroutine_function;

/// Adds the functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let tasks = py.import("asyncio.tasks")?;
    let sleep = coroutine_function(&tasks.getattr("sleep")?, "oxio.tasks", &sleep::SLEEP)?;
    module.add("sleep", sleep)?;
    gather::prepare(py)?;
    module.add_function(wrap_pyfunction!(gather::gather, module)?)
}
