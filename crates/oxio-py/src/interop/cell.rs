//! Interior mutability for state that is only touched while attached to the interpreter.

#![expect(unsafe_code, reason = "Sync impls and a peek, argued below")]

use std::cell::{Cell, RefCell, RefMut};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

/// A `RefCell` in a `#[pyclass(frozen)]`: whoever holds a `Python` token may borrow it.
///
/// A borrow must end before anything that can run Python code (a call, a drop of a `Py`): Python
/// may re-enter the loop, and a second borrow would panic.
#[derive(Default)]
pub struct GilCell<T>(RefCell<T>);

// SAFETY: all access goes through `borrow`/`with`, which demand a `Python` token: on builds with a GIL one
// thread has it at a time. The module does not claim to run without a GIL (`gil_used = true`), so a
// free-threaded interpreter turns its GIL on when it imports oxio. Claiming otherwise would break this.
unsafe impl<T: Send> Sync for GilCell<T> {}

impl<T> GilCell<T> {
    pub const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    pub fn borrow(&self, _py: Python<'_>) -> RefMut<'_, T> {
        self.0.borrow_mut()
    }

    /// For `tp_traverse`, which has no token and may come while a borrow is open: then it sees nothing,
    /// which only keeps objects alive until the next collection.
    pub fn try_peek<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.try_borrow().ok().map(|value| look(&value))
    }
}

/// A `Cell` in a `#[pyclass(frozen)]`, under the same rule.
#[derive(Default)]
pub struct GilFlag<T: Copy>(Cell<T>);

// SAFETY: as for `GilCell`; the values are `Copy`, so a read or write is complete before the token can move.
unsafe impl<T: Copy + Send> Sync for GilFlag<T> {}

impl<T: Copy> GilFlag<T> {
    pub const fn new(value: T) -> Self {
        Self(Cell::new(value))
    }

    pub fn get(&self, _py: Python<'_>) -> T {
        self.0.get()
    }

    pub fn set(&self, _py: Python<'_>, value: T) {
        self.0.set(value);
    }
}

/// A place for one Python object, without the borrow flag of a [`GilCell`].
///
/// Whatever leaves it is handed to the caller, to be dropped when the caller's own state is consistent.
#[derive(Default)]
pub struct GilSlot(Cell<Option<Py<PyAny>>>);

// SAFETY: as for `GilCell`.
unsafe impl Sync for GilSlot {}

impl GilSlot {
    pub const fn new(object: Option<Py<PyAny>>) -> Self {
        Self(Cell::new(object))
    }

    fn peek(&self) -> Option<&Py<PyAny>> {
        // SAFETY: nothing writes to the cell while the reference lives: all writers need the interpreter, which this
        // thread has, and the two callers neither call Python nor write before they let go of the reference.
        unsafe { (*self.0.as_ptr()).as_ref() }
    }

    pub fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.peek().map(|object| object.bind(py).clone())
    }

    /// Whether it holds exactly `object`.
    pub fn holds(&self, object: &Bound<'_, PyAny>) -> bool {
        self.peek().is_some_and(|held| held.as_ptr() == object.as_ptr())
    }

    pub fn is_empty(&self, _py: Python<'_>) -> bool {
        self.peek().is_none()
    }

    pub fn set<'py>(&self, object: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let py = object.py();
        // As `Bound`: dropping a `Py` looks whether the thread is attached.
        self.0.replace(Some(object.unbind())).map(|held| held.into_bound(py))
    }

    pub fn take<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.0.take().map(|held| held.into_bound(py))
    }

    /// What it holds, borrowed: for slots of the interpreter, which have no token. NULL when empty.
    pub(super) fn as_ptr(&self) -> *mut pyo3::ffi::PyObject {
        self.peek().map_or(std::ptr::null_mut(), Py::as_ptr)
    }

    /// For `tp_traverse`, which runs attached but has no token.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.peek() {
            Some(object) => visit.call(object),
            None => Ok(()),
        }
    }
}
