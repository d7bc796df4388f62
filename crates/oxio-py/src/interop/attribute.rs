//! The interpreter's own setting of attributes, for classes that only want to know of it.

#![expect(unsafe_code, reason = "a C API call without a safe binding in PyO3")]

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// `object.name = value`, or `del object.name` without a value, as `object.__setattr__` does it.
pub fn set_attribute(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let value = value.map_or(ptr::null_mut(), Bound::as_ptr);
    // SAFETY: live objects (borrowed), attached; a NULL value deletes.
    let done = unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value) };
    if done < 0 { Err(PyErr::fetch(object.py())) } else { Ok(()) }
}
