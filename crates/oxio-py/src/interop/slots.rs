//! Python classes with `__slots__` whose slots Rust reads and writes.
//!
//! `oxio.Timeout` and `oxio.TaskGroup` are such classes, behind asyncio's of the same name: what asyncio keeps in
//! attributes is in the slots. So asyncio's own methods and ours work on the same state, neither converts anything,
//! and an instance costs one allocation.
//!
//! Where the slots are is what `type.__new__` does with `__slots__`: behind the base's memory, in the order of their
//! names. That is checked on an instance before anything relies on it.
//!
//! Thread: whichever is attached.

#![expect(unsafe_code, reason = "reads and writes slots of instances")]

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

/// A class of which the slots are known. Never freed.
pub struct SlotClass {
    class: Py<PyType>,
    /// Bytes before the first slot.
    first: usize,
    count: usize,
}

impl SlotClass {
    /// `None` when the slots of `class` are not exactly `names`, or not where they are expected.
    pub fn of(class: &Bound<'_, PyType>, names: &[&str]) -> PyResult<Option<Self>> {
        let base: usize = class.getattr("__base__")?.getattr("__basicsize__")?.extract()?;
        let size: usize = class.getattr("__basicsize__")?.extract()?;
        if size != base + names.len() * size_of::<*mut ffi::PyObject>() || !names.is_sorted() {
            return Ok(None);
        }
        let known = Self { class: class.clone().unbind(), first: base, count: names.len() };
        // A Python call: it may look at its class while it is being made.
        let instance = class.call_method1("__new__", (class,))?;
        let Some(view) = known.view(&instance) else {
            return Ok(None);
        };
        for (index, name) in names.iter().enumerate() {
            let value = PyList::empty(class.py());
            instance.setattr(*name, &value)?;
            if !view.holds(index, value.as_any()) {
                return Ok(None);
            }
        }
        Ok(Some(known))
    }

    /// `None` for an instance of another class, be it a subclass.
    pub fn view<'a, 'py>(&self, object: &'a Bound<'py, PyAny>) -> Option<SlotView<'a, 'py>> {
        let is_exact = ptr::eq(object.get_type_ptr().cast(), self.class.as_ptr());
        is_exact.then_some(SlotView { object, first: self.first, count: self.count })
    }

    /// A new instance with empty slots, without `__init__`.
    pub fn new_instance<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let class = self.class.bind(py).as_type_ptr();
        // SAFETY: what `object.__new__` does for a class that does not override it: GenericAlloc, which up to 3.12
        // leaves the instance's dict to be prepared by `object.__new__` itself. NULL slots are unset attributes.
        unsafe {
            #[cfg(Py_3_13)]
            let made = ffi::PyType_GenericAlloc(class, 0);
            #[cfg(not(Py_3_13))]
            let made = match (*class).tp_new {
                Some(new) => {
                    let nothing = pyo3::types::PyTuple::empty(py);
                    new(class, nothing.as_ptr(), ptr::null_mut())
                }
                None => ptr::null_mut(),
            };
            Bound::from_owned_ptr_or_err(py, made)
        }
    }
}

/// The slots of an instance, by their index among the sorted names.
#[derive(Clone, Copy)]
pub struct SlotView<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    first: usize,
    count: usize,
}

impl<'a, 'py> SlotView<'a, 'py> {
    pub fn object(self) -> &'a Bound<'py, PyAny> {
        self.object
    }

    /// # Panics
    /// When there is no such slot.
    fn field(self, index: usize) -> *mut *mut ffi::PyObject {
        assert!(index < self.count, "slot {index} of {}", self.count);
        // SAFETY: the slots lie inside the object, as `SlotClass::of` has checked for its class.
        unsafe { self.object.as_ptr().byte_add(self.first).cast::<*mut ffi::PyObject>().add(index) }
    }

    /// `None` when the attribute is not set.
    pub fn get(self, index: usize) -> Option<Bound<'py, PyAny>> {
        // SAFETY: `field` is a reference or NULL, of a live object.
        unsafe { Bound::from_borrowed_ptr_or_opt(self.object.py(), *self.field(index)) }
    }

    /// Sets it and returns what was there, for the caller to drop when its own state is consistent.
    pub fn set(self, index: usize, value: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: as in `get`; the reference of `value` moves in, that of the old one out.
        unsafe {
            let old = self.field(index).replace(value.into_ptr());
            Bound::from_owned_ptr_or_opt(self.object.py(), old)
        }
    }

    /// Whether it is exactly `object`.
    pub fn holds(self, index: usize, object: &Bound<'_, PyAny>) -> bool {
        // SAFETY: as in `get`; compared only.
        unsafe { *self.field(index) == object.as_ptr() }
    }

    pub fn is_none(self, index: usize) -> bool {
        // SAFETY: as in `get`; compared only.
        unsafe { *self.field(index) == ffi::Py_None() }
    }

    pub fn is_true(self, index: usize) -> bool {
        // SAFETY: as in `get`; compared only.
        unsafe { *self.field(index) == ffi::Py_True() }
    }

    pub fn is_false(self, index: usize) -> bool {
        // SAFETY: as in `get`; compared only.
        unsafe { *self.field(index) == ffi::Py_False() }
    }
}
