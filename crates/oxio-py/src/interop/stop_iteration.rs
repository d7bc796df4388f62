//! How an awaitable returns a value to `await`.
//!
//! From 3.12 on `await` calls `tp_iternext` of what is no coroutine, and a value can only come out of that by
//! `StopIteration(value)`. Making one takes longer than most awaitables. So it is an instance of a subclass whose memory
//! is used again: `await` takes the value out and drops it at once. To Python code it is a `StopIteration`.
//!
//! Thread: whichever is attached.

#![expect(unsafe_code, reason = "the memory of an exception, a type spec, and the error indicator")]

use std::ptr;

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use super::cell::GilCell;
use super::rawtype::new_reference;

/// More than one is in use only when Python code keeps one or values are returned inside each other.
const KEPT: usize = 8;

/// Memory of an instance that nobody refers to; it still counts as one reference to its class. It is as a new one with
/// no arguments is, but for `value`, which is NULL.
struct Freed(ptr::NonNull<ffi::PyStopIterationObject>);

// SAFETY: the memory belongs to the list alone, and the list is only touched attached (`GilCell`).
unsafe impl Send for Freed {}

static FREE: GilCell<Vec<Freed>> = GilCell::new(Vec::new());
static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Sets what the interpreter expects from an iterator that returns `value`: nothing at all for None, else
/// `StopIteration(value)`.
pub fn return_value(value: Bound<'_, PyAny>) {
    if value.is_none() {
        return;
    }
    let py = value.py();
    match new_stop_iteration(value) {
        Ok(stop) => raise(stop),
        Err(error) => error.restore(py),
    }
}

#[cfg(Py_3_12)]
fn raise(stop: Bound<'_, PyAny>) {
    // SAFETY: an exception; the call takes the reference over.
    unsafe { ffi::PyErr_SetRaisedException(stop.into_ptr()) }
}

#[cfg(not(Py_3_12))]
fn raise(stop: Bound<'_, PyAny>) {
    let py = stop.py();
    PyErr::from_value(stop).restore(py);
}

fn new_stop_iteration(value: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let py = value.py();
    let kept = FREE.borrow(py).pop();
    // SAFETY: `kept` is the memory of a dead instance, untracked, with all fields as a new one has them (only `dealloc`
    // puts it there). A fresh one is alive, of a class that has a StopIteration's memory. The old value (NULL or None)
    // is replaced by a reference that the instance then owns.
    unsafe {
        let made = match kept {
            Some(Freed(memory)) => {
                let object: *mut ffi::PyObject = memory.as_ptr().cast();
                new_reference(object);
                ffi::PyObject_GC_Track(object.cast());
                Bound::from_owned_ptr(py, object)
            }
            None => class(py)?.call0()?,
        };
        let stop: *mut ffi::PyStopIterationObject = made.as_ptr().cast();
        let before = (&raw mut (*stop).value).replace(value.into_ptr());
        ffi::Py_XDECREF(before);
        Ok(made)
    }
}

fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    let made = CLASS.get_or_try_init(py, || {
        let base = py.get_type::<PyStopIteration>();
        let mut slots = [
            ffi::PyType_Slot {
                slot: ffi::Py_tp_dealloc,
                pfunc: dealloc as ffi::destructor as *mut std::ffi::c_void,
            },
            ffi::PyType_Slot { slot: 0, pfunc: ptr::null_mut() },
        ];
        let mut spec = ffi::PyType_Spec {
            // What a traceback or repr should say.
            name: c"builtins.StopIteration".as_ptr(),
            basicsize: 0,
            itemsize: 0,
            #[expect(clippy::cast_possible_truncation, reason = "the flags of specs are 32 bits")]
            flags: ffi::Py_TPFLAGS_DEFAULT as _,
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: the spec and its slots live until the call returns. A size of 0 is the base's.
        let class = unsafe {
            let made = ffi::PyType_FromSpecWithBases(&raw mut spec, base.as_ptr());
            Bound::from_owned_ptr_or_err(py, made)
        }?;
        PyResult::Ok(class.cast_into::<PyType>()?.unbind())
    })?;
    Ok(made.bind(py))
}

unsafe extern "C" fn dealloc(slf: *mut ffi::PyObject) {
    // SAFETY: called once, attached, with an instance that nobody can reach. Its fields are its own. What Python code has
    // given it (a traceback, attributes, …) is cleared by the base's own function before it is freed. The memory goes
    // either to the list, where it keeps its reference to the class, or back to the allocator.
    unsafe {
        let py = Python::assume_attached();
        ffi::PyObject_GC_UnTrack(slf.cast());
        let stop: *mut ffi::PyStopIterationObject = slf.cast();
        let value = (&raw mut (*stop).value).replace(ptr::null_mut());
        if is_as_new(stop) {
            let mut free = FREE.borrow(py);
            if free.len() < KEPT {
                free.push(Freed(ptr::NonNull::new_unchecked(stop)));
                drop(free);
                ffi::Py_XDECREF(value);
                return;
            }
        }
        ffi::Py_XDECREF(value);
        let class = ffi::Py_TYPE(slf);
        if let Some(clear) = (*class).tp_clear {
            clear(slf);
        }
        if let Some(free) = (*class).tp_free {
            free(slf.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

/// # Safety
/// `stop` has the memory of a `StopIteration`, and nobody writes to it.
unsafe fn is_as_new(stop: *const ffi::PyStopIterationObject) -> bool {
    // SAFETY: the caller's promise. `suppress_context` is one byte in C, whatever its type is called here.
    unsafe {
        (*stop).dict.is_null()
            && (*stop).notes.is_null()
            && (*stop).traceback.is_null()
            && (*stop).context.is_null()
            && (*stop).cause.is_null()
            && (&raw const (*stop).suppress_context).cast::<u8>().read() == 0
            && !(*stop).args.is_null()
            && ffi::PyTuple_Size((*stop).args) == 0
    }
}
