//! A native class whose instances hold one Rust value, made and freed without the allocator most of the time.
//!
//! `#[pyclass]` could do it for a third more time per object; objects of this class are made for every wait. So it is
//! a raw type: the interpreter's slots lead into the safe functions of [`Held`]. A freed instance is kept for the next
//! one, up to [`KEPT`] of them.
//!
//! Thread: whichever is attached.

#![expect(unsafe_code, reason = "a type spec, slots, and memory of instances")]

use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::attributes::set_attribute_plainly;
use super::call::Sent;
use super::cell::{GilCell, GilSlot};
use super::rawtype::{Method, guarded, new_reference};
use super::stop_iteration::return_value;

/// Freed instances that are kept: at about 150 bytes each less than a megabyte.
const KEPT: usize = 4096;

/// What an instance holds, and what it does when the interpreter asks.
pub trait Held: Sized + 'static {
    /// Whether instances are iterators that can be awaited.
    const IS_AWAITABLE: bool;

    /// The class and the freed instances of this type.
    fn class() -> &'static InstanceClass;

    /// All Python objects that it refers to.
    fn slots(&self) -> impl Iterator<Item = &GilSlot>;

    /// Somebody is about to await it; an error when somebody else does already.
    fn begin_await(&self, _py: Python<'_>) -> PyResult<()> {
        Ok(())
    }

    /// Resumed by `await`, `send(None)` or a task. `slf` is the instance that holds `self`.
    fn send<'py>(&self, slf: &Bound<'py, PyAny>, _value: &Bound<'py, PyAny>) -> Sent<'py> {
        Sent::Raised(PyTypeError::new_err(format!("{slf:?} cannot be awaited")))
    }

    /// Whether somebody wants to know that it dies.
    fn has_last_words(&self, _py: Python<'_>) -> bool {
        false
    }

    /// Called once when it dies and [`Held::has_last_words`].
    fn say_last_words(&self, _slf: &Bound<'_, PyAny>) {}

    /// An attribute that depends on the state, before the class is asked; `None` to ask the class.
    fn attribute<'py>(
        &self,
        _slf: &Bound<'py, PyAny>,
        _name: &str,
    ) -> Option<PyResult<Bound<'py, PyAny>>> {
        None
    }

    fn repr(&self, slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>>;

    /// Sets an attribute; `None` for the class to refuse it.
    fn set_attribute(
        &self,
        _name: &str,
        _value: Option<&Bound<'_, PyAny>>,
    ) -> Option<PyResult<()>> {
        None
    }
}

/// The class of one [`Held`] type. Made once, never freed.
pub struct InstanceClass {
    class: AtomicPtr<ffi::PyTypeObject>,
    free: GilCell<Vec<Freed>>,
}

/// Memory of an instance that nobody refers to. It still counts as one reference to its class.
struct Freed(ptr::NonNull<ffi::PyObject>);

// SAFETY: the memory belongs to the list alone, and the list is only touched attached (`GilCell`).
unsafe impl Send for Freed {}

impl InstanceClass {
    pub const fn new() -> Self {
        Self { class: AtomicPtr::new(ptr::null_mut()), free: GilCell::new(Vec::new()) }
    }
}

#[repr(C)]
struct Instance<T> {
    head: ffi::PyObject,
    weakrefs: *mut ffi::PyObject,
    held: T,
}

/// An instance that holds `held`.
///
/// # Errors
/// `MemoryError`; `TypeError` before [`make_class`].
pub fn new_instance_of<T: Held>(py: Python<'_>, held: T) -> PyResult<Bound<'_, PyAny>> {
    let class = T::class();
    let kept = class.free.borrow(py).pop();
    // SAFETY: `kept` is memory of a dead instance of this class (only `dealloc::<T>` puts it there), untracked and with
    // `held` dropped. Fresh memory comes zeroed and tracked from GenericAlloc, and nothing can run before `held` is
    // written. Either way `weakrefs` and `held` are written before the object is visible to anyone.
    unsafe {
        let object = if let Some(Freed(memory)) = kept {
            new_reference(memory.as_ptr());
            memory.as_ptr()
        } else {
            let class = class.class.load(Ordering::Relaxed);
            if class.is_null() {
                return Err(PyTypeError::new_err("oxio is not initialised"));
            }
            let made = ffi::PyType_GenericAlloc(class, 0);
            if made.is_null() {
                return Err(PyErr::fetch(py));
            }
            made
        };
        let instance: *mut Instance<T> = object.cast();
        (&raw mut (*instance).weakrefs).write(ptr::null_mut());
        (&raw mut (*instance).held).write(held);
        if kept.is_some() {
            ffi::PyObject_GC_Track(object.cast());
        }
        Ok(Bound::from_owned_ptr(py, object))
    }
}

/// What `object` holds, when it is an instance of `T`'s class.
pub fn held<'a, T: Held>(object: &'a Bound<'_, PyAny>) -> Option<&'a T> {
    let class = T::class().class.load(Ordering::Relaxed);
    if !ptr::eq(object.get_type_ptr(), class) {
        return None;
    }
    // SAFETY: an object of exactly this class is an `Instance<T>` whose `held` was written when it was made, and it
    // lives as long as the borrow of `object`.
    Some(unsafe { &(*object.as_ptr().cast::<Instance<T>>()).held })
}

/// The same for code that has no token: entries of a queue that is only touched attached (`GilCell`).
pub fn look_at<T: Held>(object: &Py<PyAny>, look: impl FnOnce(Python<'_>, &T) -> bool) -> bool {
    // SAFETY: the object is in a queue of a loop, and whoever looks through that queue holds the interpreter.
    let py = unsafe { Python::assume_attached() };
    held::<T>(object.bind(py)).is_some_and(|held| look(py, held))
}

/// # Safety
/// `slf` is a live instance of `T`'s class, and the caller is attached.
unsafe fn held_of<'a, T: Held>(slf: *mut ffi::PyObject) -> &'a T {
    // SAFETY: the caller's promise.
    unsafe { &(*slf.cast::<Instance<T>>()).held }
}

unsafe extern "C" fn traverse<T: Held>(
    slf: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector passes a live instance and holds the interpreter. A heap type is visited by its instances.
    unsafe {
        let stopped = visit(ffi::Py_TYPE(slf).cast(), arg);
        if stopped != 0 {
            return stopped;
        }
        for slot in held_of::<T>(slf).slots() {
            let object = slot.as_ptr();
            if !object.is_null() {
                let stopped = visit(object, arg);
                if stopped != 0 {
                    return stopped;
                }
            }
        }
    }
    0
}

unsafe extern "C" fn clear<T: Held>(slf: *mut ffi::PyObject) -> c_int {
    // SAFETY: as for `traverse`. Each slot is empty before what it held is dropped.
    unsafe {
        let py = Python::assume_attached();
        for slot in held_of::<T>(slf).slots() {
            drop(slot.take(py));
        }
    }
    0
}

unsafe extern "C" fn finalize<T: Held>(slf: *mut ffi::PyObject) {
    // SAFETY: called once, attached, with a live instance; an exception that is set is put aside.
    unsafe {
        // At its very end the interpreter collects what is left, and there is no warning and nothing to give back to.
        if ffi::Py_IsInitialized() == 0 {
            return;
        }
        let py = Python::assume_attached();
        let held = held_of::<T>(slf);
        if held.has_last_words(py) {
            let raised = PyErr::take(py);
            let slf = Bound::from_borrowed_ptr(py, slf);
            // The panic's own message is all that can be said: a finaliser has no caller.
            let _ = catch_unwind(AssertUnwindSafe(|| held.say_last_words(&slf)));
            if let Some(raised) = raised {
                raised.restore(py);
            }
        }
    }
}

unsafe extern "C" fn dealloc<T: Held>(slf: *mut ffi::PyObject) {
    // SAFETY: called once, attached, with an instance that nobody can reach. When the finaliser makes it reachable
    // again it must not be freed. `held` is dropped once; the memory goes either to the list, where it keeps its
    // reference to the class, or back to the allocator. An instance whose finaliser has run is marked so for good
    // and is not used again.
    unsafe {
        let py = Python::assume_attached();
        let instance: *mut Instance<T> = slf.cast();
        if (*instance).held.has_last_words(py) && ffi::PyObject_CallFinalizerFromDealloc(slf) < 0 {
            return;
        }
        ffi::PyObject_GC_UnTrack(slf.cast());
        if !(*instance).weakrefs.is_null() {
            ffi::PyObject_ClearWeakRefs(slf);
        }
        let is_finalized = ffi::PyObject_GC_IsFinalized(slf) != 0;
        (&raw mut (*instance).held).drop_in_place();
        if !is_finalized {
            let mut free = T::class().free.borrow(py);
            if free.len() < KEPT {
                free.push(Freed(ptr::NonNull::new_unchecked(slf)));
                return;
            }
        }
        let class = ffi::Py_TYPE(slf);
        ffi::PyObject_GC_Del(slf.cast());
        ffi::Py_DECREF(class.cast());
    }
}

/// `am_await`: the instance is its own iterator.
unsafe extern "C" fn begin_await<T: Held>(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the interpreter passes a live instance, attached; the result is a new reference or NULL with an error set.
    unsafe {
        let py = Python::assume_attached();
        if let Err(error) = held_of::<T>(slf).begin_await(py) {
            error.restore(py);
            return ptr::null_mut();
        }
        ffi::Py_NewRef(slf)
    }
}

/// A reference to what `object` points to, without counting it.
///
/// # Safety
/// `object` is alive as long as the result, and the caller is attached.
unsafe fn borrowed<'a, 'py>(
    _py: Python<'py>,
    object: &'a *mut ffi::PyObject,
) -> &'a Bound<'py, PyAny> {
    // SAFETY: `Bound` is a transparent pointer (and a `Python`, which has no size); a shared reference drops nothing.
    unsafe { &*ptr::from_ref(object).cast::<Bound<'py, PyAny>>() }
}

/// A panic must not leave a function that C calls: it becomes an exception of the coroutine.
fn without_panic<'py>(send: impl FnOnce() -> Sent<'py>) -> Sent<'py> {
    catch_unwind(AssertUnwindSafe(send)).unwrap_or_else(|_panic| {
        Sent::Raised(PyRuntimeError::new_err(
            "oxio: internal panic; please report it with the message above",
        ))
    })
}

/// `tp_iternext`: what `await` calls from 3.12 on. NULL without an exception means that None is returned.
unsafe extern "C" fn next<T: Held>(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the interpreter passes a live instance, attached, and holds a reference to it for the call.
    let (py, slf, held) = unsafe {
        let py = Python::assume_attached();
        (py, borrowed(py, &slf), held_of::<T>(slf))
    };
    match without_panic(|| held.send(slf, &py.None().into_bound(py))) {
        Sent::Yielded(value) => value.into_ptr(),
        Sent::Returned(value) => {
            return_value(value);
            ptr::null_mut()
        }
        Sent::Raised(error) => {
            error.restore(py);
            ptr::null_mut()
        }
    }
}

/// `am_send`: what `await` calls on 3.11, and tasks on every version. No `StopIteration` is made.
unsafe extern "C" fn send<T: Held>(
    slf: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: the interpreter passes live objects and a place for the result, attached.
    unsafe {
        let py = Python::assume_attached();
        let held = held_of::<T>(slf);
        match without_panic(|| held.send(borrowed(py, &slf), borrowed(py, &value))) {
            Sent::Yielded(value) => {
                *result = value.into_ptr();
                ffi::PySendResult::PYGEN_NEXT
            }
            Sent::Returned(value) => {
                *result = value.into_ptr();
                ffi::PySendResult::PYGEN_RETURN
            }
            Sent::Raised(error) => {
                error.restore(py);
                *result = ptr::null_mut();
                ffi::PySendResult::PYGEN_ERROR
            }
        }
    }
}

unsafe extern "C" fn getattro<T: Held>(
    slf: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter passes live objects, attached.
    let (slf, name) = unsafe {
        let py = Python::assume_attached();
        (Bound::from_borrowed_ptr(py, slf), Bound::from_borrowed_ptr(py, name))
    };
    guarded(|_py| {
        // SAFETY: as above.
        let held = unsafe { held_of::<T>(slf.as_ptr()) };
        let special = name.extract().ok().and_then(|text: &str| held.attribute(&slf, text));
        if let Some(value) = special {
            return Ok(value?.unbind());
        }
        // SAFETY: live objects; a new reference or NULL with an error set.
        unsafe {
            let value = ffi::PyObject_GenericGetAttr(slf.as_ptr(), name.as_ptr());
            Ok(Bound::from_owned_ptr_or_err(slf.py(), value)?.unbind())
        }
    })
}

unsafe extern "C" fn setattro<T: Held>(
    slf: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: the interpreter passes live objects (`value` may be NULL), attached.
    let (slf, name, value) = unsafe {
        let py = Python::assume_attached();
        (
            Bound::from_borrowed_ptr(py, slf),
            Bound::from_borrowed_ptr(py, name),
            Bound::from_borrowed_ptr_or_opt(py, value),
        )
    };
    let done = guarded(|py| {
        // SAFETY: as above.
        let held = unsafe { held_of::<T>(slf.as_ptr()) };
        let text: &str = name.extract()?;
        if let Some(set) = held.set_attribute(text, value.as_ref()) {
            set?;
            return Ok(py.None());
        }
        // What is no attribute is refused in the interpreter's words.
        set_attribute_plainly(&slf, &name, value.as_ref())?;
        Ok(py.None())
    });
    if done.is_null() {
        return -1;
    }
    // SAFETY: `guarded` returned a new reference (to None).
    unsafe { ffi::Py_DECREF(done) };
    0
}

unsafe extern "C" fn repr<T: Held>(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guarded(|py| {
        // SAFETY: the interpreter passes a live instance, attached.
        let (slf, held) = unsafe { (Bound::from_borrowed_ptr(py, slf), held_of::<T>(slf)) };
        held.repr(&slf)
    })
}

/// Makes the class of `T`. Python code can neither subclass it nor make instances.
pub fn make_class<'py, T: Held>(
    py: Python<'py>,
    name: &'static CStr,
    doc: &'static CStr,
    methods: Vec<Method>,
) -> PyResult<Bound<'py, PyType>> {
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    let members: &'static mut [ffi::PyMemberDef] = vec![
        ffi::PyMemberDef {
            name: c"__weaklistoffset__".as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: offset_of!(Instance<T>, weakrefs).cast_signed(),
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        },
        ffi::PyMemberDef::default(),
    ]
    .leak();
    let mut slots = vec![
        slot(ffi::Py_tp_doc, doc.as_ptr().cast_mut().cast()),
        slot(ffi::Py_tp_methods, Method::table(methods).cast()),
        slot(ffi::Py_tp_members, members.as_mut_ptr().cast()),
        slot(ffi::Py_tp_repr, repr::<T> as ffi::reprfunc as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse::<T> as ffi::traverseproc as *mut c_void),
        slot(ffi::Py_tp_clear, clear::<T> as ffi::inquiry as *mut c_void),
        slot(ffi::Py_tp_finalize, finalize::<T> as ffi::destructor as *mut c_void),
        slot(ffi::Py_tp_dealloc, dealloc::<T> as ffi::destructor as *mut c_void),
        slot(ffi::Py_tp_getattro, getattro::<T> as ffi::getattrofunc as *mut c_void),
        slot(ffi::Py_tp_setattro, setattro::<T> as ffi::setattrofunc as *mut c_void),
    ];
    if T::IS_AWAITABLE {
        slots.extend([
            slot(ffi::Py_tp_iternext, next::<T> as ffi::iternextfunc as *mut c_void),
            slot(ffi::Py_am_await, begin_await::<T> as ffi::unaryfunc as *mut c_void),
            slot(ffi::Py_am_send, send::<T> as ffi::sendfunc as *mut c_void),
        ]);
    }
    slots.push(slot(0, ptr::null_mut()));
    let mut spec = ffi::PyType_Spec {
        name: name.as_ptr(),
        basicsize: c_int::try_from(size_of::<Instance<T>>())
            .map_err(|_| PyTypeError::new_err("a class of this size cannot be made"))?,
        itemsize: 0,
        #[expect(clippy::cast_possible_truncation, reason = "the flags of specs are 32 bits")]
        flags: (ffi::Py_TPFLAGS_DEFAULT
            | ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION) as _,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec and its slots live until the call returns; the tables they point to are leaked. The size is
    // that of what the slots read and write.
    let class = unsafe {
        let made = ffi::PyType_FromSpec(&raw mut spec);
        Bound::from_owned_ptr_or_err(py, made)
    }?;
    let class = class.cast_into::<PyType>()?;
    T::class().class.store(class.as_type_ptr(), Ordering::Relaxed);
    // The class lives as long as the process: its address is compared with from now on.
    std::mem::forget(class.clone());
    Ok(class)
}
