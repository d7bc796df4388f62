//! The memory of `asyncio.Handle` and `asyncio.TimerHandle`, Python classes with `__slots__`; see [`super`].

#![expect(unsafe_code, reason = "reads and writes slots of asyncio's classes")]

use std::mem::offset_of;

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::super::rawtype::Slots;
use super::{is_instance_of_type, peek, put};

/// Memory of `asyncio.Handle` (slots in sorted order) and, behind it, of `asyncio.TimerHandle`.
#[repr(C)]
struct HandleObject {
    head: ffi::PyObject,
    args: *mut ffi::PyObject,
    callback: *mut ffi::PyObject,
    cancelled: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
    event_loop: *mut ffi::PyObject,
    repr: *mut ffi::PyObject,
    source_traceback: *mut ffi::PyObject,
    #[cfg(not(Py_3_12))]
    weakreflist: *mut ffi::PyObject,
}

#[repr(C)]
struct TimerHandleObject {
    handle: HandleObject,
    scheduled: *mut ffi::PyObject,
    when: *mut ffi::PyObject,
}

/// Where the slots of `asyncio.Handle` are.
pub const HANDLE_SLOTS: Slots =
    Slots { first: offset_of!(HandleObject, args), count: 7, gap: usize::MAX };

/// Where the slots of `asyncio.TimerHandle` are; up to 3.11 its base's weakref list stands between them.
#[cfg(Py_3_12)]
pub const TIMER_HANDLE_SLOTS: Slots = Slots { count: 9, ..HANDLE_SLOTS };
#[cfg(not(Py_3_12))]
pub const TIMER_HANDLE_SLOTS: Slots = Slots { count: 10, gap: 7, ..HANDLE_SLOTS };

pub const HANDLE_SIZE: usize = size_of::<HandleObject>();
pub const TIMER_HANDLE_SIZE: usize = size_of::<TimerHandleObject>();

/// A borrowed object that is known to have the memory of `asyncio.Handle`.
#[derive(Clone, Copy)]
pub struct HandleView<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
}

impl<'a, 'py> HandleView<'a, 'py> {
    /// `None` when `object` is not an instance of `base`, which must be `asyncio.Handle` or a subclass.
    pub fn of(object: &'a Bound<'py, PyAny>, base: &Bound<'py, PyAny>) -> Option<Self> {
        is_instance_of_type(object, base).then_some(Self { object })
    }

    fn raw(self) -> *mut HandleObject {
        self.object.as_ptr().cast()
    }

    pub fn object(self) -> &'a Bound<'py, PyAny> {
        self.object
    }

    /// Fills a new, zeroed handle: what `Handle.__init__` does outside debug mode.
    pub fn fill(
        self,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyAny>,
        event_loop: Bound<'py, PyAny>,
        context: Bound<'py, PyAny>,
    ) {
        let py = self.object.py();
        let none = || py.None().into_ptr();
        // SAFETY: `raw` is a live handle of the verified layout whose slots are still NULL.
        unsafe {
            let raw = self.raw();
            (*raw).args = args.into_ptr();
            (*raw).callback = callback.into_ptr();
            (*raw).cancelled = PyBool::new(py, false).to_owned().into_ptr();
            (*raw).context = context.into_ptr();
            (*raw).event_loop = event_loop.into_ptr();
            (*raw).repr = none();
            (*raw).source_traceback = none();
        }
    }

    pub fn is_cancelled(self) -> bool {
        // SAFETY: as in `fill`; compared with the immortal `True`, not dereferenced.
        unsafe { (*self.raw()).cancelled == ffi::Py_True() }
    }

    /// Sets `_cancelled` and lets go of callback and arguments at once.
    pub fn cancel(self) {
        let py = self.object.py();
        let none = py.None().into_bound(py);
        // SAFETY: as in `fill`. What is dropped is dropped after all three fields are consistent.
        let dropped = unsafe {
            let raw = self.raw();
            (
                put(py, &raw mut (*raw).cancelled, PyBool::new(py, true).to_owned().into_any()),
                put(py, &raw mut (*raw).callback, none.clone()),
                put(py, &raw mut (*raw).args, none),
            )
        };
        drop(dropped);
    }

    pub fn callback(self) -> Option<Bound<'py, PyAny>> {
        // SAFETY: as in `fill`.
        unsafe { peek(self.object.py(), &raw const (*self.raw()).callback) }
    }

    pub fn args(self) -> Option<Bound<'py, PyAny>> {
        // SAFETY: as in `fill`.
        unsafe { peek(self.object.py(), &raw const (*self.raw()).args) }
    }

    pub fn context(self) -> Option<Bound<'py, PyAny>> {
        // SAFETY: as in `fill`.
        unsafe { peek(self.object.py(), &raw const (*self.raw()).context) }
    }

    pub fn event_loop(self) -> Option<Bound<'py, PyAny>> {
        // SAFETY: as in `fill`.
        unsafe { peek(self.object.py(), &raw const (*self.raw()).event_loop) }
    }
}

/// A borrowed object that is known to have the memory of `asyncio.TimerHandle`.
#[derive(Clone, Copy)]
pub struct TimerHandleView<'a, 'py> {
    handle: HandleView<'a, 'py>,
}

impl<'a, 'py> TimerHandleView<'a, 'py> {
    pub fn of(object: &'a Bound<'py, PyAny>, base: &Bound<'py, PyAny>) -> Option<Self> {
        is_instance_of_type(object, base).then_some(Self { handle: HandleView { object } })
    }

    pub fn handle(self) -> HandleView<'a, 'py> {
        self.handle
    }

    fn raw(self) -> *mut TimerHandleObject {
        self.handle.object.as_ptr().cast()
    }

    pub fn set_when(self, when: Bound<'py, PyAny>) {
        // SAFETY: `raw` is a live timer handle of the verified layout.
        drop(unsafe { put(self.handle.object.py(), &raw mut (*self.raw()).when, when) });
    }

    pub fn set_scheduled(self, scheduled: bool) {
        let py = self.handle.object.py();
        let value = PyBool::new(py, scheduled).to_owned().into_any();
        // SAFETY: as in `set_when`.
        drop(unsafe { put(py, &raw mut (*self.raw()).scheduled, value) });
    }

    pub fn is_scheduled(self) -> bool {
        // SAFETY: as in `set_when`; compared, not dereferenced.
        unsafe { (*self.raw()).scheduled == ffi::Py_True() }
    }
}

/// True when a handle with the memory of `asyncio.Handle` is cancelled; for the timer queue, which has no token.
///
/// The object must have passed [`HandleView::of`] before.
pub fn handle_is_cancelled(handle: &Py<PyAny>) -> bool {
    // SAFETY: the queue only holds objects that were made as handles; a pointer-sized read of a live object
    // (the queue owns a reference). The queue is only used while attached.
    unsafe { (*handle.as_ptr().cast::<HandleObject>()).cancelled == ffi::Py_True() }
}

/// Hides a queued handle from the collector, which would look at each of a hundred thousand queued handles again and
/// again. Whoever owns it shows it again with [`show_to_collector`] when it may be shared, and until then visits its
/// slots on its behalf with [`visit_hidden_handle`].
///
/// `handle` must be an instance of oxio's Handle itself, not of a subclass with memory of its own.
pub fn hide_from_collector(handle: &Bound<'_, PyAny>) {
    // SAFETY: a live object of a type with the collector's header; untracking twice does nothing.
    unsafe { ffi::PyObject_GC_UnTrack(handle.as_ptr().cast()) };
}

/// Tracks a handle that somebody else holds too: from now on it may be part of a cycle that only the collector sees.
pub fn show_to_collector(handle: &Py<PyAny>, _py: Python<'_>) {
    // SAFETY: a live object of a type with the collector's header, all of whose slots are valid or NULL.
    unsafe {
        let object = handle.as_ptr();
        if ffi::Py_REFCNT(object) > 1 && ffi::PyObject_GC_IsTracked(object) == 0 {
            ffi::PyObject_GC_Track(object.cast());
        }
    }
}

/// Visits what a hidden handle refers to, for its only owner.
///
/// With a second owner nothing is visited: what the handle refers to is then kept alive, which is right while that
/// owner may use it.
pub fn visit_hidden_handle(handle: &Py<PyAny>, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
    let object = handle.as_ptr();
    // SAFETY: the queue owns a reference; no reference count changes while the collector traverses.
    unsafe {
        if ffi::PyObject_GC_IsTracked(object) != 0 || ffi::Py_REFCNT(object) > 1 {
            return Ok(());
        }
        let first = object.byte_add(HANDLE_SLOTS.first).cast::<Option<Py<PyAny>>>();
        for index in 0..HANDLE_SLOTS.count {
            // A slot is a reference or NULL, which is what `Option<Py>` is made of; it is only borrowed here.
            visit.call(&*first.add(index))?;
        }
    }
    Ok(())
}
