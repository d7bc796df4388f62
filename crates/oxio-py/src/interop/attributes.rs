//! Who answers when a method is called by its name: has the class changed, has the instance got one of its own.
//!
//! A native method that stands in for Python code must call what a subclass overrides. Looking the names up each time
//! would cost more than the method. So it looks once, and again when the class has another version.

#![expect(
    unsafe_code,
    reason = "a field of the class object, and the plain way to set an attribute"
)]

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;

/// A number of the present state of `object`'s class; another one once the class or a base of it has been changed.
/// 0: the interpreter has given it none, and nothing may be concluded.
///
/// Source: CPython `PyType_Modified`, which sets `tp_version_tag` to 0; the next look-up gives it a number that no
/// class had before.
#[inline]
pub fn class_version(object: &Bound<'_, PyAny>) -> u32 {
    // SAFETY: every live object has a live type, and the field is only written attached.
    unsafe { (*object.get_type_ptr()).tp_version_tag }
}

/// Sets an attribute as `object.__setattr__` does, `None` to delete it.
///
/// # Errors
/// `AttributeError`, or what a data descriptor raises.
pub fn set_attribute_plainly(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let value = value.map_or(ptr::null_mut(), Bound::as_ptr);
    // SAFETY: live objects (borrowed); NULL deletes.
    if unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value) } < 0 {
        return Err(PyErr::fetch(object.py()));
    }
    Ok(())
}
