//! The one way from a system error to the exception a Python program catches.
//!
//! Everything else that oxio raises is asyncio's own exception, raised by asyncio's own code or with its words.

use std::io;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

/// `OSError(errno, strerror)`: Python picks the subclass (`ConnectionResetError` …) from the number.
///
/// An error that is no system error, like a reactor that cannot be used after `fork`, keeps its text.
pub fn os_error(py: Python<'_>, error: &io::Error) -> PyErr {
    let Some(errno) = error.raw_os_error() else {
        return PyOSError::new_err(error.to_string());
    };
    let text = py.import("os").and_then(|os| os.call_method1("strerror", (errno,)));
    match text {
        Ok(text) => PyOSError::new_err((errno, text.unbind())),
        Err(error) => error,
    }
}
