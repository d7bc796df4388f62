//! What the running version's semaphores and conditions do differently.
//!
//! Patch releases may change it, so asyncio's own functions are looked at, not the version's number.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Found once.
#[expect(clippy::struct_excessive_bools, reason = "differences that came one by one")]
pub struct Version {
    /// Who gets a slot, or fails to, wakes as many as there are free slots; before 3.13 one, or none when it is
    /// cancelled without a slot. Source: gh-111693.
    pub semaphore_wakes_all: bool,
    /// `Condition.wait` looks for its loop before it lets go of the lock.
    pub condition_binds_first: bool,
    /// A wait that was cancelled while it took the lock again raises that very error, not one of its own.
    pub condition_keeps_cancellation: bool,
    /// A wait that fails wakes another waiter. Source: gh-112202.
    pub condition_passes_on: bool,
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
        let condition = asyncio_locks.getattr("Condition")?;
        let wait = condition.getattr("wait")?.getattr("__code__")?;
        // In the order in which they stand in the code.
        let names: Vec<String> = wait.getattr("co_names")?.extract()?;
        let place = |name: &str| names.iter().position(|other| other == name);
        Ok(Self {
            semaphore_wakes_all: !woken.is_none(),
            condition_binds_first: place("_get_loop") < place("release"),
            condition_keeps_cancellation: !wait.getattr("co_varnames")?.contains("cancelled")?,
            condition_passes_on: condition.hasattr("_notify")?,
        })
    }
}
