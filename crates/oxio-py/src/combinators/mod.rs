//! Functions over awaitables: `sleep`, `gather`, `wait`, `as_completed`, `create_task`, `ensure_future`.
//!
//! The usual case is here; the unusual (another loop, debug mode, odd arguments) is asyncio's own function (`stock`).
//!
//! Thread: the loop's.

mod as_completed;
mod children;
mod gather;
mod sleep;
mod stock;
mod tasks;
mod wait;
mod wait_for;

use pyo3::prelude::*;

pub use gather::{Gathering, adopt_gathering_future};

use crate::awaitable::{coroutine_function, plain_function};

/// Adds the functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    stock::stock(py)?;
    let asyncio_tasks = py.import("asyncio.tasks")?;
    for (name, operation) in [("sleep", &sleep::SLEEP), ("wait", &wait::WAIT)] {
        let function = coroutine_function(&asyncio_tasks.getattr(name)?, "oxio.tasks", operation)?;
        module.add(name, function)?;
    }
    let wait_for = wait_for::function(&asyncio_tasks.getattr("wait_for")?)?;
    module.add("wait_for", wait_for)?;
    as_completed::remember_templates(&asyncio_tasks.getattr("as_completed")?);
    for (name, function) in [
        ("as_completed", &as_completed::AS_COMPLETED),
        ("gather", &gather::GATHER),
        ("create_task", &tasks::CREATE_TASK),
        ("ensure_future", &tasks::ENSURE_FUTURE),
    ] {
        let function = plain_function(&asyncio_tasks.getattr(name)?, "oxio.tasks", function)?;
        module.add(name, function)?;
    }
    Ok(())
}
