//! `oxio._oxio`: everything of oxio that touches Python objects.
//!
//! The folders in layer order, each using only those before it: `interop`, `errors`, `scheduler`, `handle`, `future`, `task`,
//! `protocol`, `transports`, `event_loop` (ARCHITECTURE.md has the map; `tools/check_layers.py` keeps the order).

mod awaitable;
mod combinators;
mod errors;
mod event_loop;
mod future;
mod handle;
mod interop;
mod locks;
mod protocol;
mod queues;
mod scheduler;
mod streams;
mod task;
mod task_group;
mod timeouts;
mod transports;

use pyo3::prelude::*;

/// The module: classes and nothing else. `gil_used`: state is guarded by the interpreter lock (`interop/cell.rs`).
#[pymodule(gil_used = true)]
fn _oxio(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add_class::<scheduler::Loop>()?;
    module.add_class::<transports::StreamIo>()?;
    module.add("Future", future::future_class(py)?)?;
    module.add("Task", task::task_class(py)?)?;
    module.add("Handle", handle::handle_class(py)?)?;
    module.add("TimerHandle", handle::timer_handle_class(py)?)?;
    module.add_class::<combinators::Gathering>()?;
    module.add_function(wrap_pyfunction!(combinators::adopt_gathering_future, module)?)?;
    module.add("Awaitable", awaitable::awaitable_class(py)?)?;
    module.add_function(wrap_pyfunction!(task::know_eager_factory, module)?)?;
    timeouts::add_to(module)?;
    task_group::add_to(module)?;
    combinators::add_to(module)?;
    streams::add_to(module)?;
    queues::add_to(module)?;
    locks::add_to(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    // Printed by benchmarks, so that figures of a debug build cannot pass for oxio's.
    module.add("build_profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
    Ok(())
}
