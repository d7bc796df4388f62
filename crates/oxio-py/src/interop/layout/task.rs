//! The memory of `_asyncio.Task`, and what `oxio.Task` has behind it; see [`super`].

#![expect(unsafe_code, reason = "reads and writes fields of CPython's structs")]

use std::ffi::c_int;
#[cfg(Py_3_14)]
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;

#[cfg(Py_3_13)]
use super::future::bits;
use super::future::{FutureObject, FutureView};
use super::{is_instance_of_type, peek, put, take};

#[cfg(not(Py_3_13))]
#[repr(C)]
struct TaskObject {
    future: FutureObject,
    fut_waiter: *mut ffi::PyObject,
    coro: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
    must_cancel: c_int,
    log_destroy_pending: c_int,
    num_cancels_requested: c_int,
}

#[cfg(Py_3_13)]
#[repr(C)]
struct TaskObject {
    future: FutureObject,
    num_cancels_requested: c_int,
    fut_waiter: *mut ffi::PyObject,
    coro: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    context: *mut ffi::PyObject,
    #[cfg(Py_3_14)]
    node: ListNode,
}

/// `struct llist_node` of `pycore_llist.h`.
#[cfg(Py_3_14)]
#[repr(C)]
struct ListNode {
    next: *mut ListNode,
    prev: *mut ListNode,
}

/// What oxio adds behind `_asyncio.Task`'s own fields.
#[repr(C)]
pub struct TaskExtra {
    /// Place in the loop's registry of pending tasks, plus one; 0 while not registered.
    registered: usize,
}

/// Bytes of an instance of `_asyncio.Task`, and of `oxio.Task`.
pub const TASK_SIZE: usize = size_of::<TaskObject>();
pub const OXIO_TASK_SIZE: usize = TASK_SIZE + size_of::<TaskExtra>();

/// A borrowed object that is known to be an `oxio.Task`: the memory of `_asyncio.Task` and [`TaskExtra`].
#[derive(Clone, Copy)]
pub struct TaskView<'a, 'py> {
    pub(super) future: FutureView<'a, 'py>,
}

impl<'a, 'py> TaskView<'a, 'py> {
    /// `None` when `object` is not an instance of `task_type`, which must be `oxio.Task`.
    pub fn of(object: &'a Bound<'py, PyAny>, task_type: &Bound<'py, PyAny>) -> Option<Self> {
        is_instance_of_type(object, task_type).then_some(Self { future: FutureView { object } })
    }

    fn raw(self) -> *mut TaskObject {
        self.future.object.as_ptr().cast()
    }

    fn py(self) -> Python<'py> {
        self.future.object.py()
    }

    pub fn future(self) -> FutureView<'a, 'py> {
        self.future
    }

    pub fn object(self) -> &'a Bound<'py, PyAny> {
        self.future.object
    }

    /// Fills a new, zeroed task: what `_asyncio_Task___init___impl` does before it schedules the first step.
    pub fn fill(
        self,
        event_loop: Bound<'py, PyAny>,
        coro: Bound<'py, PyAny>,
        name: Bound<'py, PyAny>,
        context: Bound<'py, PyAny>,
    ) {
        let py = self.py();
        self.future.set_event_loop(event_loop);
        // SAFETY: `raw` is a live task of the verified layout; the old values of a new task are NULL.
        unsafe {
            let raw = self.raw();
            drop(put(py, &raw mut (*raw).coro, coro));
            drop(put(py, &raw mut (*raw).name, name));
            drop(put(py, &raw mut (*raw).context, context));
            #[cfg(not(Py_3_13))]
            {
                (*raw).log_destroy_pending = 1;
            }
            #[cfg(Py_3_13)]
            {
                (*raw).future.flags |= bits::LOG_DESTROY_PENDING;
            }
            #[cfg(Py_3_14)]
            {
                (*raw).future.is_task = 1;
            }
        }
    }

    /// For a task that nobody but its maker knows: no report when it is destroyed while pending.
    pub fn log_no_destroy(self) {
        // SAFETY: as in `fill`.
        #[cfg(not(Py_3_13))]
        unsafe {
            (*self.raw()).log_destroy_pending = 0;
        }
        // SAFETY: as in `fill`.
        #[cfg(Py_3_13)]
        unsafe {
            (*self.raw()).future.flags &= !bits::LOG_DESTROY_PENDING;
        }
    }

    pub fn coro(self) -> Option<Bound<'py, PyAny>> {
        // SAFETY: as in `fill`.
        unsafe { peek(self.py(), &raw const (*self.raw()).coro) }
    }

    pub fn context(self) -> Option<Bound<'py, PyAny>> {
        // SAFETY: as in `fill`.
        unsafe { peek(self.py(), &raw const (*self.raw()).context) }
    }

    pub fn clear_coro(self) {
        // SAFETY: as in `fill`.
        drop(unsafe { take(self.py(), &raw mut (*self.raw()).coro) });
    }

    pub fn take_waiter(self) -> Option<Bound<'py, PyAny>> {
        // SAFETY: as in `fill`.
        unsafe { take(self.py(), &raw mut (*self.raw()).fut_waiter) }
    }

    pub fn set_waiter(self, future: Bound<'py, PyAny>) {
        // SAFETY: as in `fill`.
        drop(unsafe { put(self.py(), &raw mut (*self.raw()).fut_waiter, future) });
    }

    pub fn must_cancel(self) -> bool {
        // SAFETY: as in `fill`.
        #[cfg(not(Py_3_13))]
        unsafe {
            (*self.raw()).must_cancel != 0
        }
        // SAFETY: as in `fill`.
        #[cfg(Py_3_13)]
        unsafe {
            (*self.raw()).future.flags & bits::MUST_CANCEL != 0
        }
    }

    pub fn clear_must_cancel(self) {
        // SAFETY: as in `fill`.
        #[cfg(not(Py_3_13))]
        unsafe {
            (*self.raw()).must_cancel = 0;
        }
        // SAFETY: as in `fill`.
        #[cfg(Py_3_13)]
        unsafe {
            (*self.raw()).future.flags &= !bits::MUST_CANCEL;
        }
    }

    /// `cancelling()`: how many cancellations were requested and not taken back.
    pub fn cancelling(self) -> c_int {
        // SAFETY: as in `fill`.
        unsafe { (*self.raw()).num_cancels_requested }
    }

    fn extra(self) -> *mut TaskExtra {
        // SAFETY: an `oxio.Task` is `OXIO_TASK_SIZE` bytes, so the extra lies inside the object.
        unsafe { self.raw().add(1).cast() }
    }

    /// Place in the loop's registry of pending tasks.
    pub fn registered(self) -> Option<usize> {
        // SAFETY: `extra` lies inside the live object and starts zeroed.
        unsafe { (*self.extra()).registered }.checked_sub(1)
    }

    pub fn set_registered(self, place: Option<usize>) {
        // SAFETY: as in `registered`.
        unsafe { (*self.extra()).registered = place.map_or(0, |place| place + 1) }
    }

    /// Takes a finished task out of the interpreter's list of tasks, as `future_schedule_callbacks` does.
    #[cfg(Py_3_14)]
    pub fn unlink(self) {
        // SAFETY: a linked node's neighbours are live tasks or the list's head: each task unlinks itself
        // when it is done or freed. Only the owning thread links and unlinks (GIL builds).
        unsafe {
            let node = &raw mut (*self.raw()).node;
            if (*node).next.is_null() {
                return;
            }
            (*(*node).prev).next = (*node).next;
            (*(*node).next).prev = (*node).prev;
            (*node).next = ptr::null_mut();
            (*node).prev = ptr::null_mut();
        }
    }
}
