//! Locks: `Lock`, `Event`, `Condition`, `Semaphore`, `BoundedSemaphore`.
//!
//! Each class holds the state of asyncio's class of that name, which stands behind it in the method resolution order,
//! and shows it under asyncio's names (`_locked`, `_waiters`, `_loop`, …). What is asked for and is there costs no
//! future and no turn of the loop; who must wait is parked in a queue (`waiters.rs`). When asyncio's own functions must
//! do the work, they do it on the same state (`primitive.rs`).
//!
//! Thread: the loop's.

mod condition;
mod event;
mod lock;
mod method;
mod primitive;
mod semaphore;
mod version;
mod waiters;

use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::awaitable::{Parameters, Step};
use crate::interop::imports::Imports;

/// Those of `__aexit__`: what the body raised, which a lock does not look at.
const EXIT_PARAMETERS: Parameters =
    Parameters { is_method: true, names: &[], required: 3, positional: 3 };

/// Adds the classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let asyncio_locks = py.import("asyncio.locks")?;
    // Before `install()` can put oxio's names there.
    version::Version::of(py)?;
    module.add_class::<primitive::Primitive>()?;
    lock::add_to(module, &asyncio_locks)?;
    event::add_to(module, &asyncio_locks)?;
    condition::add_to(module, &asyncio_locks)?;
    semaphore::add_to(module, &asyncio_locks)
}

fn returned_none(py: Python<'_>) -> Step<'_> {
    Step::Return(py.None().into_bound(py))
}

fn returned_true(py: Python<'_>) -> Step<'_> {
    Step::Return(PyBool::new(py, true).to_owned().into_any())
}

fn is_cancellation(error: &PyErr, py: Python<'_>) -> PyResult<bool> {
    Ok(error.is_instance(py, Imports::of(py)?.cancelled_error.bind(py)))
}
