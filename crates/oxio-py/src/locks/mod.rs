//! Locks: `Lock`, `Event`.
//!
//! Each class holds the state of asyncio's class of that name, which stands behind it in the method resolution order,
//! and shows it under asyncio's names (`_locked`, `_waiters`, `_loop`, …). What is asked for and is there costs no
//! future and no turn of the loop; who must wait is parked in a queue (`waiters.rs`). When asyncio's own functions must
//! do the work, they do it on the same state (`method.rs`).
//!
//! Thread: the loop's.

mod event;
mod lock;
mod method;
mod waiters;

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::awaitable::{Parameters, Step};
use crate::interop::cell::GilSlot;
use crate::interop::imports::Imports;

/// Those of `__aexit__`: what the body raised, which a lock does not look at.
const EXIT_PARAMETERS: Parameters =
    Parameters { is_method: true, names: &[], required: 3, positional: 3 };

/// Adds the classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let asyncio_locks = module.py().import("asyncio.locks")?;
    lock::add_to(module, &asyncio_locks)?;
    event::add_to(module, &asyncio_locks)
}

fn nothing(py: Python<'_>) -> Step<'_> {
    Step::Return(py.None().into_bound(py))
}

fn is_cancellation(error: &PyErr, py: Python<'_>) -> PyResult<bool> {
    Ok(error.is_instance(py, Imports::of(py)?.cancelled_error.bind(py)))
}

/// asyncio's `__init__`, for arguments that the native one leaves to it.
fn inherited_init<T: PyTypeInfo>(
    object: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let class = object.py().get_type::<T>();
    method::inherited(&class, object, "__init__")?.call(args, kwargs).map(drop)
}

/// Sets `_loop`, where None stands for no loop yet.
fn assign_loop(bound: &GilSlot, value: Bound<'_, PyAny>) {
    let old = if value.is_none() { bound.take(value.py()) } else { bound.set(value) };
    drop(old);
}
