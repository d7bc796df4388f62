//! What the running version's semaphores and conditions do differently.
//!
//! Patch releases may change it, so asyncio's own functions are looked at, not the version's number.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Found once.
pub struct Version {
    /// Who gets a slot, or fails to, wakes as many as there are free slots; before 3.13 one, or none when it is
    /// cancelled without a slot. Source: gh-111693.
    pub semaphore_wakes_all: bool,
}

static VERSION: PyOnceLock<Version> = PyOnceLock::new();

impl Version {
    pub fn of(py: Python<'_>) -> PyResult<&'static Self> {
        VERSION.get_or_try_init(py, || Self::look(py))
    }

    fn look(py: Python<'_>) -> PyResult<Self> {
        let asyncio_locks = py.import("asyncio.locks")?;
        // It says whether it has woken somebody, which only the newer `acquire` wants to know.
        let semaphore = asyncio_locks.getattr("Semaphore")?.call1((0,))?;
        let woken = semaphore.call_method0("_wake_up_next")?;
        Ok(Self { semaphore_wakes_all: !woken.is_none() })
    }
}
