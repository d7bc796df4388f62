//! The memory of asyncio's C classes, as the running CPython lays it out.
//!
//! oxio's objects *are* asyncio's objects: `oxio.Task` is a subclass of `_asyncio.Task` that keeps its
//! state in the base's own fields. So every inherited getter, `repr`, `cancel` and debugger that reads
//! those fields sees the truth, and a task may be driven by oxio's step or by CPython's without either
//! noticing. The price is that the layout must be known. It is private to CPython and differs per minor
//! version, so it is written down here and *checked when oxio is imported* ([`verify`]). When the check
//! fails for Future or Task, oxio uses CPython's own classes instead: slower, never wrong (docs/decisions/0001). For
//! `Handle`, a Python class whose slots have not changed since 3.7, the import fails with a sentence.
//!
//! Sources: CPython 3.11–3.14 `Modules/_asynciomodule.c` (`FutureObj_HEAD`, `TaskObj`) and
//! `Lib/asyncio/events.py` (`Handle.__slots__`; a class's slots are laid out in sorted order).
//!
//! Thread: all views are used on a thread that holds the interpreter; they borrow the object, so it lives.

#![expect(unsafe_code, reason = "reads and writes fields of CPython's structs")]

use std::ffi::c_int;
use std::mem::offset_of;
use std::ptr;

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::rawtype::Slots;

/// `fut_state` of `_asynciomodule.c`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Pending,
    Cancelled,
    Finished,
}

#[cfg(not(Py_3_13))]
#[repr(C)]
struct FutureObject {
    head: ffi::PyObject,
    fut_loop: *mut ffi::PyObject,
    callback0: *mut ffi::PyObject,
    context0: *mut ffi::PyObject,
    callbacks: *mut ffi::PyObject,
    exception: *mut ffi::PyObject,
    exception_tb: *mut ffi::PyObject,
    result: *mut ffi::PyObject,
    source_tb: *mut ffi::PyObject,
    cancel_msg: *mut ffi::PyObject,
    state: c_int,
    log_tb: c_int,
    blocking: c_int,
    dict: *mut ffi::PyObject,
    weakreflist: *mut ffi::PyObject,
    cancelled_exc: *mut ffi::PyObject,
}

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

/// From 3.13 the flags of Future and Task are bits of one byte; 3.14 put two bytes before it.
#[cfg(Py_3_13)]
mod bits {
    pub const BLOCKING: u8 = 1 << 1;
    pub const MUST_CANCEL: u8 = 1 << 2;
    pub const LOG_DESTROY_PENDING: u8 = 1 << 3;
}

#[cfg(Py_3_13)]
#[repr(C)]
struct FutureObject {
    head: ffi::PyObject,
    fut_loop: *mut ffi::PyObject,
    callback0: *mut ffi::PyObject,
    context0: *mut ffi::PyObject,
    callbacks: *mut ffi::PyObject,
    exception: *mut ffi::PyObject,
    exception_tb: *mut ffi::PyObject,
    result: *mut ffi::PyObject,
    source_tb: *mut ffi::PyObject,
    cancel_msg: *mut ffi::PyObject,
    cancelled_exc: *mut ffi::PyObject,
    #[cfg(Py_3_14)]
    awaited_by: *mut ffi::PyObject,
    state: c_int,
    #[cfg(Py_3_14)]
    is_task: u8,
    #[cfg(Py_3_14)]
    awaited_by_is_set: u8,
    flags: u8,
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

/// Bytes of an instance of `_asyncio.Future`, `_asyncio.Task`, and of `oxio.Task`.
pub const FUTURE_SIZE: usize = size_of::<FutureObject>();
pub const TASK_SIZE: usize = size_of::<TaskObject>();
pub const OXIO_TASK_SIZE: usize = TASK_SIZE + size_of::<TaskExtra>();

/// Takes the reference out of `field`, leaving NULL.
///
/// # Safety
/// `field` points to an owned-or-NULL reference of a live object, and the caller is attached.
unsafe fn take<'py>(py: Python<'py>, field: *mut *mut ffi::PyObject) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the caller's promise; ownership moves out as NULL is written before anything can run.
    unsafe {
        let value = field.replace(ptr::null_mut());
        Bound::from_owned_ptr_or_opt(py, value)
    }
}

/// # Safety
/// As for [`take`].
unsafe fn peek<'py>(
    py: Python<'py>,
    field: *const *mut ffi::PyObject,
) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the caller's promise; a new reference is made before the field can change.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, *field) }
}

/// Stores `value` and returns what was there, for the caller to drop when its own state is consistent.
///
/// # Safety
/// As for [`take`].
unsafe fn put<'py>(
    py: Python<'py>,
    field: *mut *mut ffi::PyObject,
    value: Bound<'py, PyAny>,
) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the caller's promise; the new reference's ownership moves in, the old one's out.
    unsafe {
        let old = field.replace(value.into_ptr());
        Bound::from_owned_ptr_or_opt(py, old)
    }
}

/// A borrowed object that is known to have the memory of `_asyncio.Future`.
#[derive(Clone, Copy)]
pub struct FutureView<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
}

impl<'a, 'py> FutureView<'a, 'py> {
    /// `None` when `object` is not an instance of `base`, which must be `_asyncio.Future` or a subclass of it
    /// whose layout [`verify`] has confirmed.
    pub fn of(object: &'a Bound<'py, PyAny>, base: &Bound<'py, PyAny>) -> Option<Self> {
        is_instance_of_type(object, base).then_some(Self { object })
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

/// A borrowed object that is known to be an `oxio.Task`: the memory of `_asyncio.Task` and [`TaskExtra`].
#[derive(Clone, Copy)]
pub struct TaskView<'a, 'py> {
    future: FutureView<'a, 'py>,
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

/// `isinstance` by the type's real bases, without `__class__` and `__instancecheck__`.
fn is_instance_of_type(object: &Bound<'_, PyAny>, base: &Bound<'_, PyAny>) -> bool {
    let kind = object.get_type_ptr();
    let base: *mut ffi::PyTypeObject = base.as_ptr().cast();
    // SAFETY: both are live types: one is the type of a live object, the other is borrowed and was made by
    // `rawtype` or looked up as a class in `imports`.
    kind == base || unsafe { ffi::PyType_IsSubtype(kind, base) } != 0
}

/// What [`verify`] read back from objects that CPython itself made.
pub struct Layout {
    /// Future and Task are as written above.
    pub futures: bool,
    /// Handle and `TimerHandle` are as written above.
    pub handles: bool,
}

/// Compares this file with objects that the running CPython makes.
///
/// `python/oxio/_probe.py` makes a future, a task and a timer handle together with the very objects that must be found
/// in their fields: loop, first callback and its context, result, state and flags; coroutine, context, waiter. The other
/// fields stand between these, so that a layout in which they moved has another size or fails on a neighbour.
pub fn verify(
    py: Python<'_>,
    c_future: &Bound<'_, PyAny>,
    c_task: &Bound<'_, PyAny>,
    handle: &Bound<'_, PyAny>,
    timer_handle: &Bound<'_, PyAny>,
) -> PyResult<Layout> {
    let sizes = basic_size(c_future)? == FUTURE_SIZE && basic_size(c_task)? == TASK_SIZE;
    let futures = sizes && futures_match(py, c_future, c_task)?;
    let handles = basic_size(handle)? == HANDLE_SIZE
        && basic_size(timer_handle)? == TIMER_HANDLE_SIZE
        && handles_match(py, timer_handle)?;
    Ok(Layout { futures, handles })
}

fn basic_size(class: &Bound<'_, PyAny>) -> PyResult<usize> {
    class.getattr("__basicsize__")?.extract()
}

fn futures_match(
    py: Python<'_>,
    c_future: &Bound<'_, PyAny>,
    c_task: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let probe = py.import("oxio._probe")?;
    let parts = probe.call_method1("future_parts", (c_future,))?;
    let (pending, event_loop, callback, context): (
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
    ) = parts.extract()?;
    let Some(view) = FutureView::of(&pending, c_future) else {
        return Ok(false);
    };
    let loop_found = view.belongs_to(&event_loop);
    // The `blocking` flag: set by the attribute, read by us, and cleared where the attribute sees it.
    pending.setattr("_asyncio_future_blocking", true)?;
    let blocking_found =
        view.take_blocking() && !pending.getattr("_asyncio_future_blocking")?.is_truthy()?;
    let pending_found = view.state() == State::Pending && !view.has_exception();
    let taken = view.take_callbacks();
    let callbacks_found = taken.first.is_some_and(|found| found.is(&callback))
        && taken.first_context.is_some_and(|found| found.is(&context))
        && taken.rest.is_none();
    view.finish(callback.clone());
    let result_found = view.state() == State::Finished
        && pending.call_method0("done")?.is_truthy()?
        && pending.call_method0("result")?.is(&callback);

    let parts = probe.call_method1("task_parts", (c_task,))?;
    let (task, coro, context, waiter): (
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
    ) = parts.extract()?;
    let Some(future) = FutureView::of(&task, c_task) else {
        return Ok(false);
    };
    let view = TaskView { future };
    let task_found = view.coro().is_some_and(|found| found.is(&coro))
        && view.context().is_some_and(|found| found.is(&context));
    view.set_waiter(waiter.clone());
    let waiter_found = task.getattr("_fut_waiter")?.is(&waiter);
    drop(view.take_waiter());
    task.call_method0("cancel")?;
    let cancel_found = view.must_cancel();
    view.clear_must_cancel();
    let cancel_cleared = !task.getattr("_must_cancel")?.is_truthy()?;
    // What `fill` writes must be what the getter shows.
    task.setattr("_log_destroy_pending", false)?;
    let name = task.call_method0("get_name")?;
    view.fill(event_loop, coro.clone(), name, context);
    let destroy_found = task.getattr("_log_destroy_pending")?.is_truthy()?;
    task.setattr("_log_destroy_pending", false)?;
    coro.call_method0("close")?;
    Ok(loop_found
        && blocking_found
        && pending_found
        && callbacks_found
        && result_found
        && task_found
        && waiter_found
        && cancel_found
        && cancel_cleared
        && destroy_found)
}

fn handles_match(py: Python<'_>, timer_handle: &Bound<'_, PyAny>) -> PyResult<bool> {
    let probe = py.import("oxio._probe")?;
    let handle = probe.call_method1("timer_handle", (timer_handle,))?;
    let Some(view) = TimerHandleView::of(&handle, timer_handle) else {
        return Ok(false);
    };
    let base = view.handle();
    let same = |found: Option<Bound<'_, PyAny>>, name: &str| -> PyResult<bool> {
        let expected = handle.getattr(name)?;
        Ok(found.is_some_and(|found| found.is(&expected)))
    };
    let found = same(base.callback(), "_callback")?
        && same(base.args(), "_args")?
        && same(base.context(), "_context")?
        && same(base.event_loop(), "_loop")?
        && !base.is_cancelled()
        && !view.is_scheduled();
    view.set_scheduled(true);
    let when = 7.0_f64.into_pyobject(py)?.into_any();
    view.set_when(when.clone());
    let timed =
        handle.getattr("_scheduled")?.is_truthy()? && handle.call_method0("when")?.is(&when);
    base.cancel();
    let cancelled = handle.call_method0("cancelled")?.is_truthy()? && base.is_cancelled();
    Ok(found && timed && cancelled)
}
