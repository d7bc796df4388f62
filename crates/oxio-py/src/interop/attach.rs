//! The one door through which oxio lets go of the interpreter, and where signals are looked at.

use pyo3::prelude::*;

/// Runs `wait` without the interpreter, for a wait that may block.
///
/// Thread: any attached thread. `wait` must not touch Python objects; the `Send` bound keeps
/// `Bound` and `Python` out of it.
#[expect(clippy::disallowed_methods, reason = "this is the one place that detaches")]
pub fn detached<T: Send>(py: Python<'_>, wait: impl FnOnce() -> T + Send) -> T {
    py.detach(wait)
}

/// Runs the Python-level handlers of signals that have arrived.
///
/// # Errors
/// What a handler raised, `KeyboardInterrupt` for a Ctrl-C. It must leave the loop.
pub fn check_signals(py: Python<'_>) -> PyResult<()> {
    py.check_signals()
}
