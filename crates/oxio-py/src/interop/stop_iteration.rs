//! How an awaitable returns a value to `await`.

#![expect(unsafe_code, reason = "sets the exception that carries a returned value")]

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::prelude::*;

/// Sets what the interpreter expects from an iterator that returns `value`: nothing at all for None, else
/// `StopIteration(value)`.
pub fn return_value(value: Bound<'_, PyAny>) {
    if value.is_none() {
        return;
    }
    let py = value.py();
    // SAFETY: attached; the type is alive, and `args` is a tuple, so that a tuple or an exception as the value is not
    // taken apart. Errors (no memory) stay set.
    unsafe {
        let stop = ffi::PyObject_CallOneArg(ffi::PyExc_StopIteration, value.as_ptr());
        if !stop.is_null() {
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, stop);
            ffi::Py_DECREF(stop);
        }
    }
    let _ = (py, std::marker::PhantomData::<PyStopIteration>);
}
