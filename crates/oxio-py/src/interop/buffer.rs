//! Bytes between Rust and Python: new `bytes`, and memory that Python code owns (`BufferedProtocol.get_buffer()`).

#![expect(unsafe_code, reason = "the buffer protocol")]

use std::mem::MaybeUninit;
use std::slice;

use pyo3::exceptions::PyOverflowError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Lends the writable memory of `object` to `fill`.
///
/// Not guaranteed, as nowhere in CPython: that no other thread writes to the same memory meanwhile. `fill` runs
/// attached and must not call Python, so only code that ignores the interpreter lock could.
///
/// # Errors
/// `TypeError` or `BufferError` when `object` has no writable, contiguous memory.
pub fn with_writable<T>(
    object: &Bound<'_, PyAny>,
    fill: impl FnOnce(&mut [u8]) -> T,
) -> PyResult<T> {
    let mut view = MaybeUninit::<ffi::Py_buffer>::uninit();
    // SAFETY: `object` is alive and `view` is memory for one Py_buffer, which a result of 0 has initialised.
    if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_WRITABLE) }
        != 0
    {
        return Err(PyErr::fetch(object.py()));
    }
    // SAFETY: initialised, as PyObject_GetBuffer succeeded.
    let mut view = unsafe { view.assume_init() };
    let filled = match usize::try_from(view.len) {
        Ok(0) => Ok(fill(&mut [])),
        // SAFETY: while the view is held, `buf` points to `len` writable bytes that the exporter keeps in
        // place. No Python code runs inside `fill`, so nobody else touches them through the interpreter.
        Ok(len) => Ok(fill(unsafe { slice::from_raw_parts_mut(view.buf.cast::<u8>(), len) })),
        Err(_) => Err(PyOverflowError::new_err("buffer of negative length")),
    };
    // SAFETY: taken above and released once.
    unsafe { ffi::PyBuffer_Release(&raw mut view) };
    filled
}

/// A `bytes` with a copy of `data`.
///
/// # Errors
/// `MemoryError`, where `PyBytes::new` would panic.
pub fn new_bytes<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    // A slice is never longer than `isize::MAX` bytes.
    let len = data.len().cast_signed();
    // SAFETY: `data` is valid for `len` bytes; the result is a new `bytes` or NULL with an error set.
    unsafe {
        let made = ffi::PyBytes_FromStringAndSize(data.as_ptr().cast(), len);
        Ok(Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked::<PyBytes>())
    }
}

/// Whether `object` is the only reference: nobody else can see or change what it refers to.
pub fn is_only_reference<T>(object: &Py<T>, _py: Python<'_>) -> bool {
    // SAFETY: a live object, attached.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}
