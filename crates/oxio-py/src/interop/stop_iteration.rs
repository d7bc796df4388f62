//! How an awaitable returns a value to `await`.
//!
//! From 3.12 on `await` calls `tp_iternext`, which can only return a value by raising `StopIteration(value)`. Making one
//! costs more than taking a lock does, and `True` is what most locks return. So the one that carries `True` is kept and
//! raised again, as long as nobody else has it.

#![expect(unsafe_code, reason = "sets the exception that carries a returned value")]

use pyo3::ffi;
use pyo3::prelude::*;

/// Sets what the interpreter expects from an iterator that returns `value`: nothing at all for None, else
/// `StopIteration(value)`.
pub fn return_value(value: &Bound<'_, PyAny>) {
    if value.is_none() {
        return;
    }
    #[cfg(Py_3_12)]
    if kept::raise_again(value) {
        return;
    }
    // SAFETY: attached; the type is alive. Errors (no memory) stay set.
    unsafe {
        let stop = ffi::PyObject_CallOneArg(ffi::PyExc_StopIteration, value.as_ptr());
        if !stop.is_null() {
            raise(stop);
        }
    }
}

/// Sets `stop` as the current exception.
///
/// # Safety
/// Attached, no exception is set, and `stop` is an exception, whose reference is given away.
unsafe fn raise(stop: *mut ffi::PyObject) {
    // SAFETY: the caller's promise.
    unsafe {
        // Without a look at what is being handled: the interpreter takes the value out at once.
        #[cfg(Py_3_12)]
        ffi::PyErr_SetRaisedException(stop);
        #[cfg(not(Py_3_12))]
        {
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, stop);
            ffi::Py_DECREF(stop);
        }
    }
}

#[cfg(Py_3_12)]
mod kept {
    use std::ptr;

    use pyo3::ffi;
    use pyo3::prelude::*;

    use crate::interop::cell::GilSlot;

    static STOP_TRUE: GilSlot = GilSlot::new(None);

    /// Raises the kept exception when `value` is True.
    pub fn raise_again(value: &Bound<'_, PyAny>) -> bool {
        let py = value.py();
        // SAFETY: attached; True is alive. A reference is taken for `raise`, which gives it away; an exception that is
        // held by nobody but the slot, and was never caught in Python code (that sets a traceback), is as new.
        unsafe {
            if !ptr::eq(value.as_ptr(), ffi::Py_True()) {
                return false;
            }
            let stop = STOP_TRUE.as_ptr();
            if !stop.is_null() && ffi::Py_REFCNT(stop) == 1 {
                let traceback = ffi::PyException_GetTraceback(stop);
                if traceback.is_null() {
                    super::raise(ffi::Py_NewRef(stop));
                    return true;
                }
                ffi::Py_DECREF(traceback);
            }
            let stop = ffi::PyObject_CallOneArg(ffi::PyExc_StopIteration, value.as_ptr());
            let Some(stop) = Bound::from_owned_ptr_or_opt(py, stop) else {
                // The error is set, which is what the caller of the iterator looks at.
                return true;
            };
            drop(STOP_TRUE.set(stop.clone()));
            super::raise(stop.into_ptr());
            true
        }
    }
}
