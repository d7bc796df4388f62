//! Native subclasses of asyncio's classes.
//!
//! `#[pyclass]` cannot extend a class it does not know at compile time, and the classes here must be real
//! subclasses of `_asyncio.Task`, `asyncio.Handle` and so on: isinstance, debuggers and other libraries look
//! at the memory. So they are made from type specs, with methods that are plain safe Rust functions behind
//! the trampolines of this file. A trampoline catches a panic and raises `RuntimeError`.

#![expect(unsafe_code, reason = "type specs, method tables and extern trampolines")]

use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::cell::GilCell;
use super::layout::dies_quietly;

/// A method that takes only `self`.
pub trait NoArgs: Fn(&Bound<'_, PyAny>) -> PyResult<Py<PyAny>> + Copy + 'static {}
impl<F: Fn(&Bound<'_, PyAny>) -> PyResult<Py<PyAny>> + Copy + 'static> NoArgs for F {}

/// A method that takes `self` and one positional argument.
pub trait OneArg:
    Fn(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> + Copy + 'static
{
}
impl<F: Fn(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> + Copy + 'static> OneArg
    for F
{
}

/// A method table entry. Its function is a function item, so it has no state.
pub struct Method(ffi::PyMethodDef);

// SAFETY: holds pointers to functions and to `'static` strings only; nothing is ever written through them.
unsafe impl Sync for Method {}
// SAFETY: as above.
unsafe impl Send for Method {}

/// An entry for a method without arguments.
pub fn method_noargs<F: NoArgs>(name: &'static CStr, doc: &'static CStr, _function: F) -> Method {
    const {
        assert!(size_of::<F>() == 0, "only function items, which have no state");
    };
    Method(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: noargs_trampoline::<F> },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: doc.as_ptr(),
    })
}

/// An entry for a method with exactly one positional argument.
pub fn method_onearg<F: OneArg>(name: &'static CStr, doc: &'static CStr, _function: F) -> Method {
    const {
        assert!(size_of::<F>() == 0, "only function items, which have no state");
    };
    Method(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: onearg_trampoline::<F> },
        ml_flags: ffi::METH_O,
        ml_doc: doc.as_ptr(),
    })
}

/// A method with any arguments, given as a tuple and a dict.
pub trait AnyArgs:
    Fn(&Bound<'_, PyAny>, &Bound<'_, PyTuple>, Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>>
    + Copy
    + 'static
{
}
impl<F> AnyArgs for F where
    F: Fn(
            &Bound<'_, PyAny>,
            &Bound<'_, PyTuple>,
            Option<&Bound<'_, PyDict>>,
        ) -> PyResult<Py<PyAny>>
        + Copy
        + 'static
{
}

/// An entry for a method that looks at its arguments itself; not for hot paths.
pub fn method_anyargs<F: AnyArgs>(name: &'static CStr, doc: &'static CStr, _function: F) -> Method {
    const {
        assert!(size_of::<F>() == 0, "only function items, which have no state");
    };
    Method(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionWithKeywords: anyargs_trampoline::<F> },
        ml_flags: ffi::METH_VARARGS | ffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    })
}

impl Method {
    /// The table that a type spec takes. It lives as long as its type: for ever.
    pub(super) fn table(methods: Vec<Self>) -> *mut ffi::PyMethodDef {
        let mut table: Vec<ffi::PyMethodDef> = methods.into_iter().map(|method| method.0).collect();
        table.push(ffi::PyMethodDef::zeroed());
        table.leak().as_mut_ptr()
    }
}

/// The one value of a zero-sized function item type.
fn function_item<F: Copy + 'static>() -> F {
    const {
        assert!(size_of::<F>() == 0, "only function items, which have no state");
    };
    // SAFETY: a function item is zero-sized and inhabited (a value of it was passed to `method_*`), so there
    // are no bytes to read. The assertion above keeps closures with state out.
    unsafe { ptr::NonNull::<F>::dangling().read() }
}

unsafe extern "C" fn noargs_trampoline<F: NoArgs>(
    slf: *mut ffi::PyObject,
    _unused: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guarded(|py| {
        // SAFETY: the interpreter passes a live `self` and holds it for the call.
        let slf = unsafe { Bound::from_borrowed_ptr(py, slf) };
        function_item::<F>()(&slf)
    })
}

unsafe extern "C" fn onearg_trampoline<F: OneArg>(
    slf: *mut ffi::PyObject,
    arg: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guarded(|py| {
        // SAFETY: the interpreter passes live objects and holds them for the call.
        let (slf, arg) =
            unsafe { (Bound::from_borrowed_ptr(py, slf), Bound::from_borrowed_ptr(py, arg)) };
        function_item::<F>()(&slf, &arg)
    })
}

unsafe extern "C" fn anyargs_trampoline<F: AnyArgs>(
    slf: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guarded(|py| {
        // SAFETY: the interpreter passes a live `self`, a tuple, and a dict or NULL, all held for the call.
        let (slf, args, kwargs) = unsafe {
            (
                Bound::from_borrowed_ptr(py, slf),
                Bound::from_borrowed_ptr(py, args).cast_into_unchecked::<PyTuple>(),
                Bound::from_borrowed_ptr_or_opt(py, kwargs)
                    .map(|kwargs| kwargs.cast_into_unchecked::<PyDict>()),
            )
        };
        function_item::<F>()(&slf, &args, kwargs.as_ref())
    })
}

/// Runs `body` attached; an error or a panic becomes the Python error that a NULL return announces.
pub(super) fn guarded(body: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>>) -> *mut ffi::PyObject {
    // SAFETY: trampolines are only called by the interpreter, on a thread that is attached.
    let py = unsafe { Python::assume_attached() };
    match catch_unwind(AssertUnwindSafe(|| body(py))) {
        Ok(Ok(value)) => value.into_ptr(),
        Ok(Err(error)) => {
            error.restore(py);
            ptr::null_mut()
        }
        Err(_panic) => {
            PyRuntimeError::new_err(
                "oxio: internal panic; please report it with the message above",
            )
            .restore(py);
            ptr::null_mut()
        }
    }
}

/// `__init__` as a plain function.
pub type Init =
    fn(&Bound<'_, PyAny>, &Bound<'_, PyTuple>, Option<&Bound<'_, PyDict>>) -> PyResult<()>;

static TASK_INIT: OnceLock<Init> = OnceLock::new();

unsafe extern "C" fn task_init(
    slf: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> c_int {
    let done = guarded(|py| {
        // SAFETY: tp_init gets a live object, a tuple, and a dict or NULL, all held for the call.
        let (slf, args, kwargs) = unsafe {
            (
                Bound::from_borrowed_ptr(py, slf),
                Bound::from_borrowed_ptr(py, args).cast_into_unchecked::<PyTuple>(),
                Bound::from_borrowed_ptr_or_opt(py, kwargs)
                    .map(|kwargs| kwargs.cast_into_unchecked::<PyDict>()),
            )
        };
        let init =
            TASK_INIT.get().ok_or_else(|| PyRuntimeError::new_err("oxio is not initialised"))?;
        init(&slf, &args, kwargs.as_ref())?;
        Ok(py.None())
    });
    if done.is_null() {
        return -1;
    }
    // SAFETY: `guarded` returned a new reference (to None).
    unsafe { ffi::Py_DECREF(done) };
    0
}

/// Which of the base's C functions a deallocator goes on to.
static BASE_DEALLOC: [OnceLock<ffi::destructor>; 2] = [OnceLock::new(), OnceLock::new()];

/// The two classes made with `Memory::Future` and `Memory::Task`, and the memory of dead instances of each. A task is
/// made and freed more often than anything else; keeping a thousand costs a quarter of a megabyte.
static RECYCLED: [Recycled; 2] = [Recycled::new(), Recycled::new()];

const KEPT: usize = 1024;

struct Recycled {
    /// Address of the class, 0 before it is made.
    class: AtomicUsize,
    memory: GilCell<Vec<Freed>>,
}

/// Zeroed but for its head; it still counts as a reference to its class.
struct Freed(ptr::NonNull<ffi::PyObject>);

// SAFETY: the memory belongs to the list alone, which is only touched attached (`GilCell`).
unsafe impl Send for Freed {}

impl Recycled {
    const fn new() -> Self {
        Self { class: AtomicUsize::new(0), memory: GilCell::new(Vec::new()) }
    }

    /// Takes the memory of a dead instance, unless it may be in use yet or there is enough.
    ///
    /// # Safety
    /// `slf` is a dying instance of a class made with `Memory::Future` or `Memory::Task`, and the caller is attached.
    unsafe fn take_in(&self, slf: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise. An instance of a Python subclass, one whose finaliser has run and one that has
        // something to report go the usual way. `tp_clear` is the base's: afterwards no field holds a reference, and
        // the rest is zeroed as the allocator would. The object is untracked before, so nobody sees it half cleared.
        unsafe {
            let py = Python::assume_attached();
            let class = ffi::Py_TYPE(slf);
            if class as usize != self.class.load(Ordering::Relaxed)
                || !dies_quietly(slf)
                || ffi::PyObject_GC_IsFinalized(slf) != 0
                || self.memory.borrow(py).len() >= KEPT
            {
                return false;
            }
            let Some(clear) = (*class).tp_clear else { return false };
            ffi::PyObject_GC_UnTrack(slf.cast());
            ffi::PyObject_ClearWeakRefs(slf);
            clear(slf);
            let head = size_of::<ffi::PyObject>();
            let size = (*class).tp_basicsize.cast_unsigned();
            slf.cast::<u8>().add(head).write_bytes(0, size - head);
            self.memory.borrow(py).push(Freed(ptr::NonNull::new_unchecked(slf)));
        }
        true
    }

    /// Memory for a new instance of `class`, zeroed and tracked, when there is any.
    fn give_out<'py>(&self, class: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        if class.as_ptr() as usize != self.class.load(Ordering::Relaxed) {
            return None;
        }
        let Freed(memory) = self.memory.borrow(class.py()).pop()?;
        // SAFETY: memory of a dead instance of exactly this class, with NULL in every field.
        unsafe {
            new_reference(memory.as_ptr());
            ffi::PyObject_GC_Track(memory.as_ptr().cast());
            Some(Bound::from_owned_ptr(class.py(), memory.as_ptr()))
        }
    }
}

unsafe extern "C" {
    /// Sets the reference count of memory that was used before to one. Exported by every CPython; `object.h`.
    fn _Py_NewReference(object: *mut ffi::PyObject);
}

/// # Safety
/// `object` is memory of a dead object, with its class still in its head.
pub(super) unsafe fn new_reference(object: *mut ffi::PyObject) {
    // SAFETY: the caller's promise.
    unsafe { _Py_NewReference(object) }
}

/// Frees an instance of a class made with `Memory::Future` or `Memory::Task`.
///
/// CPython's own deallocators call the finaliser (the "never retrieved" and "destroyed but pending"
/// reports) only for exact instances on some versions, so it is called here; a second call does nothing.
unsafe extern "C" fn finalizing_dealloc<const WHICH: usize>(slf: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this once, with a dying object that nobody else can reach. When the
    // finaliser resurrects it (negative result) it must not be freed. The type is read before the object goes.
    unsafe {
        if RECYCLED[WHICH].take_in(slf) {
            return;
        }
        if ffi::PyObject_CallFinalizerFromDealloc(slf) < 0 {
            return;
        }
        let class = ffi::Py_TYPE(slf);
        if let Some(base) = BASE_DEALLOC[WHICH].get() {
            base(slf);
        }
        if cfg!(not(Py_3_12)) {
            // Up to 3.11 the base is a static type, whose deallocator knows no reference to its instances' type.
            ffi::Py_DECREF(class.cast());
        }
    }
}

/// The traversals of `_asyncio.Future` and `_asyncio.Task`.
#[cfg(not(Py_3_12))]
static BASE_TRAVERSE: [OnceLock<ffi::traverseproc>; 2] = [OnceLock::new(), OnceLock::new()];

/// Up to 3.11 the base is a static type, whose traversal does not visit its instances' type; ours are heap types.
#[cfg(not(Py_3_12))]
unsafe extern "C" fn typed_traverse<const WHICH: usize>(
    slf: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector passes a live instance, which has the base's memory.
    unsafe {
        let stopped = visit(ffi::Py_TYPE(slf).cast(), arg);
        match BASE_TRAVERSE[WHICH].get() {
            Some(base) if stopped == 0 => base(slf, visit, arg),
            _ => stopped,
        }
    }
}

/// Where the slots of a class with `__slots__` are: `count` references from `first` on. A weakref list between them,
/// as in 3.11's `TimerHandle`, is left out by `gap` (its index, or past the end).
#[derive(Clone, Copy)]
pub struct Slots {
    pub first: usize,
    pub count: usize,
    pub gap: usize,
}

/// The slots of the two classes made with `Memory::Handle` and `Memory::TimerHandle`.
static SLOTS: [OnceLock<Slots>; 2] = [OnceLock::new(), OnceLock::new()];

/// Calls `each` with the address of every slot of `slf`.
///
/// # Safety
/// `slf` is an instance of the class that `SLOTS[WHICH]` was set for.
unsafe fn for_each_slot<const WHICH: usize>(
    slf: *mut ffi::PyObject,
    mut each: impl FnMut(*mut *mut ffi::PyObject) -> c_int,
) -> c_int {
    let Some(slots) = SLOTS[WHICH].get() else {
        return 0;
    };
    for index in (0..slots.count).filter(|index| *index != slots.gap) {
        // SAFETY: the caller's promise; `first` and `count` were taken from the class's own layout.
        let stopped =
            each(unsafe { slf.byte_add(slots.first).cast::<*mut ffi::PyObject>().add(index) });
        if stopped != 0 {
            return stopped;
        }
    }
    0
}

/// Python's own traversal looks up the slots of every base of every instance; this one knows them. It is most of
/// the cost of scheduling many callbacks, because handles are what the collector then finds most of.
unsafe extern "C" fn slots_traverse<const WHICH: usize>(
    slf: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector passes a live instance; a heap type is visited by its instances.
    unsafe {
        let stopped = visit(ffi::Py_TYPE(slf).cast(), arg);
        if stopped != 0 {
            return stopped;
        }
        for_each_slot::<WHICH>(slf, |slot| if (*slot).is_null() { 0 } else { visit(*slot, arg) })
    }
}

unsafe extern "C" fn slots_clear<const WHICH: usize>(slf: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector passes a live instance. Each slot is NULL before its reference is dropped.
    unsafe {
        for_each_slot::<WHICH>(slf, |slot| {
            ffi::Py_XDECREF(slot.replace(ptr::null_mut()));
            0
        })
    }
}

unsafe extern "C" fn slots_dealloc<const WHICH: usize>(slf: *mut ffi::PyObject) {
    // SAFETY: called once, with an object that nobody can reach. It is untracked before its slots go, and its type
    // outlives the call to tp_free because the instance's reference to it is dropped last.
    unsafe {
        ffi::PyObject_GC_UnTrack(slf.cast());
        ffi::PyObject_ClearWeakRefs(slf);
        slots_clear::<WHICH>(slf);
        let class = ffi::Py_TYPE(slf);
        if let Some(free) = (*class).tp_free {
            free(slf.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

/// How the collector sees instances, and how they die.
#[derive(Clone, Copy)]
pub enum Memory {
    /// As `asyncio.Handle`, with these slots.
    Handle(Slots),
    /// As `asyncio.TimerHandle`, with these slots.
    TimerHandle(Slots),
    /// By the finaliser and then `_asyncio.Future`'s own deallocator.
    Future,
    /// By the finaliser and then `_asyncio.Task`'s own deallocator.
    Task,
}

/// A native class to make.
pub struct ClassSpec {
    /// With its module, NUL-terminated.
    pub name: &'static CStr,
    pub doc: &'static CStr,
    pub basic_size: usize,
    pub methods: Vec<Method>,
    pub init: Option<Init>,
    pub memory: Memory,
}

fn finalizing_functions<const WHICH: usize>(base: &Bound<'_, PyType>) -> Vec<ffi::PyType_Slot> {
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    // SAFETY: `base` is a live, ready type, so its function slots are set for good.
    let base = unsafe { &*base.as_type_ptr() };
    base.tp_dealloc.map(|dealloc| *BASE_DEALLOC[WHICH].get_or_init(|| dealloc));
    let dealloc = finalizing_dealloc::<WHICH> as ffi::destructor;
    let functions = vec![slot(ffi::Py_tp_dealloc, dealloc as *mut c_void)];
    #[cfg(not(Py_3_12))]
    let functions = {
        base.tp_traverse.map(|traverse| *BASE_TRAVERSE[WHICH].get_or_init(|| traverse));
        let traverse = typed_traverse::<WHICH> as ffi::traverseproc;
        let clear = base.tp_clear.map_or(ptr::null_mut(), |clear| clear as *mut c_void);
        [
            functions,
            vec![slot(ffi::Py_tp_traverse, traverse as *mut c_void), slot(ffi::Py_tp_clear, clear)],
        ]
        .concat()
    };
    functions
}

fn slots_functions<const WHICH: usize>() -> [ffi::PyType_Slot; 3] {
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    [
        slot(ffi::Py_tp_traverse, slots_traverse::<WHICH> as ffi::traverseproc as *mut c_void),
        slot(ffi::Py_tp_clear, slots_clear::<WHICH> as ffi::inquiry as *mut c_void),
        slot(ffi::Py_tp_dealloc, slots_dealloc::<WHICH> as ffi::destructor as *mut c_void),
    ]
}

/// Makes a subclass of `base`, and of `mixin` whose memory is a beginning of `base`'s. It may be subclassed in Python.
///
/// Garbage collection is inherited: `spec` may only add memory that owns no Python object.
pub fn new_class<'py>(
    base: &Bound<'py, PyAny>,
    mixin: Option<&Bound<'py, PyAny>>,
    spec: ClassSpec,
) -> PyResult<Bound<'py, PyType>> {
    let py = base.py();
    let base_type = base.cast::<PyType>()?;
    let bases: Vec<_> = std::iter::once(base).chain(mixin).collect();
    let bases = PyTuple::new(py, bases)?;
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    let mut slots = vec![
        slot(ffi::Py_tp_methods, Method::table(spec.methods).cast()),
        slot(ffi::Py_tp_doc, spec.doc.as_ptr().cast_mut().cast()),
    ];
    if let Some(init) = spec.init {
        TASK_INIT.get_or_init(|| init);
        slots.push(slot(ffi::Py_tp_init, task_init as ffi::initproc as *mut c_void));
    }
    // Without functions of its own a class inherits the flag together with its base's.
    let collected = match spec.memory {
        Memory::Handle(_) | Memory::TimerHandle(_) => ffi::Py_TPFLAGS_HAVE_GC,
        Memory::Future | Memory::Task if cfg!(not(Py_3_12)) => ffi::Py_TPFLAGS_HAVE_GC,
        Memory::Future | Memory::Task => 0,
    };
    match spec.memory {
        Memory::Handle(layout) => {
            SLOTS[0].get_or_init(|| layout);
            slots.extend(slots_functions::<0>());
        }
        Memory::TimerHandle(layout) => {
            SLOTS[1].get_or_init(|| layout);
            slots.extend(slots_functions::<1>());
        }
        Memory::Future => {
            slots.extend(finalizing_functions::<0>(base_type));
        }
        Memory::Task => {
            slots.extend(finalizing_functions::<1>(base_type));
        }
    }
    slots.push(slot(0, ptr::null_mut()));
    let basicsize = c_int::try_from(spec.basic_size)
        .map_err(|_| PyTypeError::new_err("a class of this size cannot be made"))?;
    let mut type_spec = ffi::PyType_Spec {
        name: spec.name.as_ptr(),
        basicsize,
        itemsize: 0,
        #[expect(clippy::cast_possible_truncation, reason = "the flags of specs are 32 bits")]
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | collected) as _,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec and its slots live until the call returns, the methods for ever; the result is a new
    // reference to a type or NULL with an error set. `basic_size` covers the base's memory: `layout::verify`
    // compared it before the class is made.
    let class = unsafe {
        let made = ffi::PyType_FromSpecWithBases(&raw mut type_spec, bases.as_ptr());
        Bound::from_owned_ptr_or_err(py, made)
    }?;
    let class = class.cast_into::<PyType>()?;
    match spec.memory {
        Memory::Future => RECYCLED[0].class.store(class.as_ptr() as usize, Ordering::Relaxed),
        Memory::Task => RECYCLED[1].class.store(class.as_ptr() as usize, Ordering::Relaxed),
        Memory::Handle(_) | Memory::TimerHandle(_) => {}
    }
    Ok(class)
}

/// A new, zeroed instance of a class made by [`new_class`], without calling `__new__` or `__init__`.
///
/// All references in it are NULL; its owner fills it before Python code can see it.
pub fn new_instance<'py>(class: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let class_ptr: *mut ffi::PyTypeObject = class.as_ptr().cast();
    if let Some(recycled) = RECYCLED.iter().find_map(|recycled| recycled.give_out(class)) {
        return Ok(recycled);
    }
    // SAFETY: `class` was made by `new_class` (its owner's promise) and is alive; GenericAlloc zeroes what
    // it returns, and zeroed is a valid state for the layouts of this crate: NULL references.
    unsafe {
        let made = ffi::PyType_GenericAlloc(class_ptr, 0);
        Bound::from_owned_ptr_or_err(class.py(), made)
    }
}

/// A builtin function bound to an object: `method` with `slf` as its `__self__`.
///
/// Looks like CPython's own bound C methods: a task's wake-up is shown as `Task.task_wakeup()` by either.
pub fn bind_builtin<'py>(
    method: &'static Method,
    slf: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the method table entry is `'static`; the result is a new reference or NULL with an error set.
    unsafe {
        let made =
            ffi::PyCFunction_NewEx((&raw const method.0).cast_mut(), slf.as_ptr(), ptr::null_mut());
        Bound::from_owned_ptr_or_err(slf.py(), made)
    }
}

/// The same for a done callback: its `__module__` tells call graphs that somebody waits behind it.
pub fn bind_callback<'py>(
    method: &'static Method,
    slf: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let module = pyo3::intern!(slf.py(), "oxio._oxio");
    // SAFETY: as in `bind_builtin`; the function keeps a reference to the module's name.
    unsafe {
        let method = (&raw const method.0).cast_mut();
        let made = ffi::PyCFunction_NewEx(method, slf.as_ptr(), module.as_ptr());
        Bound::from_owned_ptr_or_err(slf.py(), made)
    }
}

/// The object that `function` was bound to by [`bind_builtin`] with this very `method`.
pub fn bound_self<'py>(
    method: &'static Method,
    function: &Bound<'py, PyAny>,
) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the exact type is checked before the fields of a builtin function are read.
    unsafe {
        let object = function.as_ptr();
        if ffi::PyCFunction_CheckExact(object) == 0 {
            return None;
        }
        let builtin: *mut ffi::PyCFunctionObject = object.cast();
        if !ptr::eq((*builtin).m_ml, &raw const method.0) {
            return None;
        }
        Bound::from_borrowed_ptr_or_opt(function.py(), (*builtin).m_self)
    }
}
