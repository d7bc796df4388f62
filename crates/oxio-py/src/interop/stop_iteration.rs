//! How an awaitable returns a value to `await`.
//!
//! From 3.12 on `await` calls `tp_iternext`, and a value comes back as `StopIteration(value)`, which `await` takes apart
//! at once. Making one the usual way costs more than the rest of a short await, so it is made of the memory of the last
//! one. The class is a subclass of `StopIteration`, for the sake of its deallocator.
//!
//! Thread: whichever is attached.

#![expect(unsafe_code, reason = "a type spec, and the fields of CPython's StopIteration")]

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

#[cfg(Py_3_12)]
use super::rawtype::new_reference;

/// Our subclass of `StopIteration`; NULL before [`prepare`], and when the layout of `StopIteration` is not the known one.
static CLASS: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(ptr::null_mut());

/// Memory of the last instance that died, or NULL.
static FREED: AtomicPtr<ffi::PyObject> = AtomicPtr::new(ptr::null_mut());

/// Sets what the interpreter expects from an iterator that returns `value`: nothing at all for None, else
/// `StopIteration(value)`.
pub fn return_value(value: Bound<'_, PyAny>) {
    if value.is_none() {
        return;
    }
    let py = value.py();
    #[cfg(Py_3_12)]
    if !CLASS.load(Ordering::Relaxed).is_null() {
        match new_stop(value) {
            // SAFETY: an exception that nobody else refers to; the reference is taken over.
            Ok(stop) => unsafe { ffi::PyErr_SetRaisedException(stop.into_ptr()) },
            Err(error) => error.restore(py),
        }
        return;
    }
    // As the only argument, so that a tuple or an exception as the value is not taken apart.
    match py.get_type::<PyStopIteration>().call1((value,)) {
        Ok(stop) => PyErr::from_value(stop).restore(py),
        Err(error) => error.restore(py),
    }
}

/// `StopIteration(value)`.
#[cfg(Py_3_12)]
fn new_stop<'py>(value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let args = PyTuple::new(py, [&value])?;
    let kept = FREED.swap(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: `kept` is memory of a dead instance (only `dealloc` puts it there), cleared and untracked; fresh memory
    // comes zeroed and tracked. Both fields are NULL before they are written, and the size was compared in `prepare`.
    unsafe {
        let object = if kept.is_null() {
            let made = ffi::PyType_GenericAlloc(CLASS.load(Ordering::Relaxed), 0);
            if made.is_null() {
                return Err(PyErr::fetch(py));
            }
            made
        } else {
            new_reference(kept);
            kept
        };
        let stop: *mut ffi::PyStopIterationObject = object.cast();
        (*stop).args = args.into_ptr();
        (*stop).value = value.into_ptr();
        if !kept.is_null() {
            ffi::PyObject_GC_Track(object.cast());
        }
        Ok(Bound::from_owned_ptr(py, object))
    }
}

unsafe extern "C" fn dealloc(slf: *mut ffi::PyObject) {
    // SAFETY: called once, attached, with an instance that nobody can reach. Every reference is taken out before it is
    // dropped. The memory goes either into the empty place, where it keeps its reference to the class, or back to the
    // allocator.
    unsafe {
        ffi::PyObject_GC_UnTrack(slf.cast());
        let stop: *mut ffi::PyStopIterationObject = slf.cast();
        for field in [
            &raw mut (*stop).dict,
            &raw mut (*stop).args,
            &raw mut (*stop).notes,
            &raw mut (*stop).traceback,
            &raw mut (*stop).context,
            &raw mut (*stop).cause,
            &raw mut (*stop).value,
        ] {
            ffi::Py_XDECREF(field.replace(ptr::null_mut()));
        }
        let is_kept = FREED
            .compare_exchange(ptr::null_mut(), slf, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if !is_kept {
            let class = ffi::Py_TYPE(slf);
            ffi::PyObject_GC_Del(slf.cast());
            ffi::Py_DECREF(class.cast());
        }
    }
}

/// Makes the class. Until then, and on 3.11, where `await` needs no exception, StopIteration is made the usual way.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    let base = py.get_type::<PyStopIteration>();
    let size: usize = base.getattr("__basicsize__")?.extract()?;
    if cfg!(not(Py_3_12))
        || size != size_of::<ffi::PyStopIterationObject>()
        || !CLASS.load(Ordering::Relaxed).is_null()
    {
        return Ok(());
    }
    let doc = c"What ends an awaitable that returns a value.";
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    let mut slots = [
        slot(ffi::Py_tp_doc, doc.as_ptr().cast_mut().cast()),
        slot(ffi::Py_tp_dealloc, dealloc as ffi::destructor as *mut c_void),
        slot(0, ptr::null_mut()),
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"builtins.StopIteration".as_ptr(),
        basicsize: c_int::try_from(size)
            .map_err(|_| PyTypeError::new_err("a class of this size cannot be made"))?,
        itemsize: 0,
        #[expect(clippy::cast_possible_truncation, reason = "the flags of specs are 32 bits")]
        flags: ffi::Py_TPFLAGS_DEFAULT as _,
        slots: slots.as_mut_ptr(),
    };
    let bases = PyTuple::new(py, [base])?;
    // SAFETY: the spec and its slots live until the call returns. Collection is inherited: the instances hold nothing
    // that the base does not know.
    let class = unsafe {
        let made = ffi::PyType_FromSpecWithBases(&raw mut spec, bases.as_ptr());
        Bound::from_owned_ptr_or_err(py, made)
    }?;
    // Never freed.
    CLASS.store(class.into_ptr().cast(), Ordering::Relaxed);
    Ok(())
}
