//! The memory of `_asyncio.Future`; see [`super`].

#![expect(unsafe_code, reason = "reads and writes fields of CPython's structs")]

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;

use super::{is_instance_of_type, peek, put, take};

/// `fut_state` of `_asynciomodule.c`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Pending,
    Cancelled,
    Finished,
}

#[cfg(not(Py_3_13))]
#[repr(C)]
pub(super) struct FutureObject {
    pub(super) head: ffi::PyObject,
    pub(super) fut_loop: *mut ffi::PyObject,
    pub(super) callback0: *mut ffi::PyObject,
    pub(super) context0: *mut ffi::PyObject,
    pub(super) callbacks: *mut ffi::PyObject,
    pub(super) exception: *mut ffi::PyObject,
    pub(super) exception_tb: *mut ffi::PyObject,
    pub(super) result: *mut ffi::PyObject,
    pub(super) source_tb: *mut ffi::PyObject,
    pub(super) cancel_msg: *mut ffi::PyObject,
    pub(super) state: c_int,
    pub(super) log_tb: c_int,
    pub(super) blocking: c_int,
    pub(super) dict: *mut ffi::PyObject,
    pub(super) weakreflist: *mut ffi::PyObject,
    pub(super) cancelled_exc: *mut ffi::PyObject,
}

/// From 3.13 the flags of Future and Task are bits of one byte; 3.14 put two bytes before it.
#[cfg(Py_3_13)]
pub(super) mod bits {
    pub const LOG_TB: u8 = 1;
    pub const BLOCKING: u8 = 1 << 1;
    pub const MUST_CANCEL: u8 = 1 << 2;
    pub const LOG_DESTROY_PENDING: u8 = 1 << 3;
}

#[cfg(Py_3_13)]
#[repr(C)]
pub(super) struct FutureObject {
    pub(super) head: ffi::PyObject,
    pub(super) fut_loop: *mut ffi::PyObject,
    pub(super) callback0: *mut ffi::PyObject,
    pub(super) context0: *mut ffi::PyObject,
    pub(super) callbacks: *mut ffi::PyObject,
    pub(super) exception: *mut ffi::PyObject,
    pub(super) exception_tb: *mut ffi::PyObject,
    pub(super) result: *mut ffi::PyObject,
    pub(super) source_tb: *mut ffi::PyObject,
    pub(super) cancel_msg: *mut ffi::PyObject,
    pub(super) cancelled_exc: *mut ffi::PyObject,
    #[cfg(Py_3_14)]
    pub(super) awaited_by: *mut ffi::PyObject,
    pub(super) state: c_int,
    #[cfg(Py_3_14)]
    pub(super) is_task: u8,
    #[cfg(Py_3_14)]
    pub(super) awaited_by_is_set: u8,
    pub(super) flags: u8,
}

/// Bytes of an instance of `_asyncio.Future`.
pub const FUTURE_SIZE: usize = size_of::<FutureObject>();

/// Whether a dying future or task has nothing to report: it is done, and its exception, if any, was looked at.
///
/// # Safety
/// `object` has the memory of `_asyncio.Future`, of the verified layout.
pub unsafe fn dies_quietly(object: *mut ffi::PyObject) -> bool {
    let raw: *mut FutureObject = object.cast();
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(not(Py_3_13))]
        let logs = (*raw).log_tb != 0;
        #[cfg(Py_3_13)]
        let logs = (*raw).flags & bits::LOG_TB != 0;
        (*raw).state != 0 && !logs
    }
}

/// The addresses of classes whose instances have the memory of `_asyncio.Future`. The classes are never freed.
pub struct KnownClasses([usize; 4]);

impl KnownClasses {
    /// The classes are `_asyncio.Future`, subclasses of it, or of a layout that [`super::verify`] has confirmed.
    pub fn new(classes: [&Bound<'_, PyAny>; 4]) -> Self {
        Self(classes.map(|class| {
            // Their address must stay theirs.
            std::mem::forget(class.clone());
            class.as_ptr() as usize
        }))
    }
}

/// A borrowed object that is known to have the memory of `_asyncio.Future`.
#[derive(Clone, Copy)]
pub struct FutureView<'a, 'py> {
    pub(super) object: &'a Bound<'py, PyAny>,
}

impl<'a, 'py> FutureView<'a, 'py> {
    /// `None` when `object` is not an instance of `base`, which must be `_asyncio.Future` or a subclass of it
    /// whose layout [`super::verify`] has confirmed.
    pub fn of(object: &'a Bound<'py, PyAny>, base: &Bound<'py, PyAny>) -> Option<Self> {
        is_instance_of_type(object, base).then_some(Self { object })
    }

    /// `None` when the class of `object` is none of `classes`.
    pub fn of_any(object: &'a Bound<'py, PyAny>, classes: &KnownClasses) -> Option<Self> {
        let class = object.get_type_ptr() as usize;
        classes.0.contains(&class).then_some(Self { object })
    }

    fn raw(self) -> *mut FutureObject {
        self.object.as_ptr().cast()
    }

    pub fn object(self) -> &'a Bound<'py, PyAny> {
        self.object
    }

    /// The loop, or `None` while `__init__` has not run.
    pub fn event_loop(self) -> Option<Bound<'py, PyAny>> {
        // SAFETY: `raw` is a live future (borrowed) of the verified layout.
        unsafe { peek(self.object.py(), &raw const (*self.raw()).fut_loop) }
    }

    pub fn belongs_to(self, event_loop: &Bound<'py, PyAny>) -> bool {
        // SAFETY: as in `event_loop`.
        unsafe { (*self.raw()).fut_loop == event_loop.as_ptr() }
    }

    pub fn set_event_loop(self, event_loop: Bound<'py, PyAny>) {
        // SAFETY: as in `event_loop`.
        drop(unsafe { put(self.object.py(), &raw mut (*self.raw()).fut_loop, event_loop) });
    }

    pub fn state(self) -> State {
        // SAFETY: as in `event_loop`.
        match unsafe { (*self.raw()).state } {
            0 => State::Pending,
            1 => State::Cancelled,
            _ => State::Finished,
        }
    }

    pub fn has_exception(self) -> bool {
        // SAFETY: as in `event_loop`.
        unsafe { !(*self.raw()).exception.is_null() }
    }

    /// The result of a future that is finished without an exception.
    pub fn result(self) -> Option<Bound<'py, PyAny>> {
        // SAFETY: as in `event_loop`.
        unsafe { peek(self.object.py(), &raw const (*self.raw()).result) }
    }

    /// Finished, and not by an exception.
    pub fn has_succeeded(self) -> bool {
        self.state() == State::Finished && !self.has_exception()
    }

    /// Pending becomes finished with `result`. The callbacks are the caller's to schedule.
    pub fn finish(self, result: Bound<'py, PyAny>) {
        // SAFETY: as in `event_loop`; callers have checked that the future is pending, so its result is NULL.
        unsafe {
            (*self.raw()).state = 2;
            drop(put(self.object.py(), &raw mut (*self.raw()).result, result));
        }
    }

    pub fn set_cancelled_error(self, error: Bound<'py, PyAny>) {
        // SAFETY: as in `event_loop`.
        drop(unsafe { put(self.object.py(), &raw mut (*self.raw()).cancelled_exc, error) });
    }

    pub fn cancel_message(self) -> Option<Bound<'py, PyAny>> {
        // SAFETY: as in `event_loop`.
        unsafe { peek(self.object.py(), &raw const (*self.raw()).cancel_msg) }
    }

    /// Takes the first callback with its context, and the list of further `(callback, context)` pairs.
    pub fn take_callbacks(self) -> Callbacks<'py> {
        let py = self.object.py();
        // SAFETY: as in `event_loop`; all three leave together, so no half-taken state is ever seen.
        unsafe {
            let raw = self.raw();
            Callbacks {
                first: take(py, &raw mut (*raw).callback0),
                first_context: take(py, &raw mut (*raw).context0),
                rest: take(py, &raw mut (*raw).callbacks),
            }
        }
    }

    /// Adds a callback when there is none yet; gives both back otherwise.
    pub fn try_set_first_callback(
        self,
        callback: Bound<'py, PyAny>,
        context: Bound<'py, PyAny>,
    ) -> Result<(), (Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = self.object.py();
        // SAFETY: as in `event_loop`. Only a pending future with no callback at all is touched.
        unsafe {
            let raw = self.raw();
            if (*raw).state != 0 || !(*raw).callback0.is_null() || !(*raw).callbacks.is_null() {
                return Err((callback, context));
            }
            drop(put(py, &raw mut (*raw).callback0, callback));
            drop(put(py, &raw mut (*raw).context0, context));
        }
        Ok(())
    }

    /// Removes `callback` when it is the only one. False when somebody else must look for it.
    pub fn remove_only(self, callback: &Bound<'py, PyAny>) -> bool {
        let py = self.object.py();
        // SAFETY: as in `event_loop`; the context goes with its callback.
        unsafe {
            let raw = self.raw();
            if (*raw).callback0 != callback.as_ptr() || !(*raw).callbacks.is_null() {
                return false;
            }
            drop((take(py, &raw mut (*raw).callback0), take(py, &raw mut (*raw).context0)));
        }
        true
    }

    #[cfg(not(Py_3_13))]
    pub fn take_blocking(self) -> bool {
        // SAFETY: as in `event_loop`.
        unsafe {
            let was = (*self.raw()).blocking != 0;
            (*self.raw()).blocking = 0;
            was
        }
    }

    /// Reads and clears `_asyncio_future_blocking`: true after `yield from future`, false after a bare `yield`.
    #[cfg(Py_3_13)]
    pub fn take_blocking(self) -> bool {
        // SAFETY: as in `event_loop`.
        unsafe {
            let was = (*self.raw()).flags & bits::BLOCKING != 0;
            (*self.raw()).flags &= !bits::BLOCKING;
            was
        }
    }

    /// 3.14 call graphs: notes that `waiter` awaits this future. False when it must be asked of
    /// `_asyncio.future_add_to_awaited_by`, because somebody awaits it already.
    #[cfg(Py_3_14)]
    pub fn try_set_awaited_by(self, waiter: &Bound<'py, PyAny>) -> bool {
        // SAFETY: as in `event_loop`; a NULL field takes a new reference.
        unsafe {
            let raw = self.raw();
            if !(*raw).awaited_by.is_null() {
                return false;
            }
            (*raw).awaited_by_is_set = 0;
            drop(put(self.object.py(), &raw mut (*raw).awaited_by, waiter.clone()));
        }
        true
    }

    /// The opposite; false when `waiter` is not the only one known.
    #[cfg(Py_3_14)]
    pub fn try_clear_awaited_by(self, waiter: &Bound<'py, PyAny>) -> bool {
        // SAFETY: as in `event_loop`.
        unsafe {
            let raw = self.raw();
            if (*raw).awaited_by_is_set != 0 || (*raw).awaited_by != waiter.as_ptr() {
                return (*raw).awaited_by.is_null();
            }
            drop(take(self.object.py(), &raw mut (*raw).awaited_by));
        }
        true
    }
}

/// What [`FutureView::take_callbacks`] took.
pub struct Callbacks<'py> {
    pub first: Option<Bound<'py, PyAny>>,
    pub first_context: Option<Bound<'py, PyAny>>,
    pub rest: Option<Bound<'py, PyAny>>,
}
