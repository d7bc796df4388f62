//! Native functions that pass for functions of asyncio, also for `async def` ones.
//!
//! Libraries ask `inspect.iscoroutinefunction(lock.acquire)` to decide how to call something, and people ask `help()`.
//! So a `NativeFunction` carries the function of asyncio's that it replaces, its template, and answers with that
//! one's attributes: code flags, signature, name, documentation. Calling it is Rust.
//!
//! It is a descriptor like a function: reached through an instance it becomes a bound method, and a call `x.f()` makes
//! no bound method at all (`Py_TPFLAGS_METHOD_DESCRIPTOR`).

#![expect(unsafe_code, reason = "a type spec with vectorcall, and its trampolines")]

use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::{ptr, slice};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple, PyType};

use super::rawtype::{Method, guarded, method_noargs};

unsafe extern "C" {
    /// A bound method; exported by every CPython, `classobject.h`.
    fn PyMethod_New(
        function: *mut ffi::PyObject,
        instance: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

/// What runs when a `NativeFunction` is called.
pub trait Callable: Sync + 'static {
    /// `args` begin with the instance when it is a method. The last `keywords.len()` of them are keyword arguments.
    fn call<'py>(
        &'static self,
        template: &Bound<'py, PyAny>,
        args: &[Bound<'py, PyAny>],
        keywords: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>>;
}

#[repr(C)]
struct FunctionObject {
    head: ffi::PyObject,
    vectorcall: Option<ffi::vectorcallfunc>,
    template: *mut ffi::PyObject,
    module: *mut ffi::PyObject,
    callable: Option<&'static dyn Callable>,
}

static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The class `NativeFunction`.
pub fn native_function_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    CLASS.get_or_try_init(py, || make_class(py)).map(|class| class.bind(py))
}

/// A function that looks like `template`, of `module`, and calls `callable`.
pub fn new_native_function<'py>(
    template: &Bound<'py, PyAny>,
    module: &str,
    callable: &'static dyn Callable,
) -> PyResult<Bound<'py, PyAny>> {
    let py = template.py();
    let class = native_function_class(py)?;
    let module = PyString::intern(py, module);
    // SAFETY: GenericAlloc returns a zeroed object of this class or NULL with an error set; all fields are written
    // before anyone sees it.
    unsafe {
        let made = ffi::PyType_GenericAlloc(class.as_type_ptr(), 0);
        let made = Bound::from_owned_ptr_or_err(py, made)?;
        let function: *mut FunctionObject = made.as_ptr().cast();
        (*function).vectorcall = Some(vectorcall);
        (*function).template = template.clone().into_ptr();
        (*function).module = module.into_ptr();
        (*function).callable = Some(callable);
        Ok(made)
    }
}

/// # Safety
/// `slf` is a live `NativeFunction`, and the caller is attached.
unsafe fn template_of<'py>(py: Python<'py>, slf: *mut ffi::PyObject) -> Bound<'py, PyAny> {
    // SAFETY: the caller's promise; the template is set when the object is made and never changes.
    unsafe { Bound::from_borrowed_ptr(py, (*slf.cast::<FunctionObject>()).template) }
}

unsafe extern "C" fn vectorcall(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guarded(|py| {
        // SAFETY: the vectorcall protocol: `args` are that many live references, held for the call, followed by one for
        // each name in `keywords`, a tuple or NULL. `Bound` is a transparent pointer, and a shared slice drops nothing.
        let (template, callable, args, keywords) = unsafe {
            let keywords = Bound::from_borrowed_ptr_or_opt(py, keywords)
                .map(|keywords| keywords.cast_into_unchecked::<PyTuple>());
            let named = keywords.as_ref().map_or(0, PyTupleMethods::len);
            let count = ffi::PyVectorcall_NARGS(nargsf).cast_unsigned() + named;
            let args: &[Bound<'_, PyAny>] =
                if count == 0 { &[] } else { slice::from_raw_parts(args.cast(), count) };
            let callable = (*slf.cast::<FunctionObject>()).callable;
            // The function is alive for the call, and with it its template.
            let template = &*(&raw const (*slf.cast::<FunctionObject>()).template).cast();
            (template, callable, args, keywords)
        };
        let callable = callable.ok_or_else(|| PyTypeError::new_err("oxio is not initialised"))?;
        Ok(callable.call(template, args, keywords.as_ref())?.unbind())
    })
}

unsafe extern "C" fn descr_get(
    slf: *mut ffi::PyObject,
    instance: *mut ffi::PyObject,
    _owner: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: live objects, attached; `instance` is NULL when it is reached through the class.
    unsafe {
        if instance.is_null() || instance == ffi::Py_None() {
            return ffi::Py_NewRef(slf);
        }
        PyMethod_New(slf, instance)
    }
}

unsafe extern "C" fn getattro(
    slf: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guarded(|py| {
        // SAFETY: the interpreter passes live objects, attached.
        let (name, template) =
            unsafe { (Bound::from_borrowed_ptr(py, name), template_of(py, slf)) };
        let name = name.cast_into::<PyString>()?;
        match name.to_str()? {
            "__module__" => {
                // SAFETY: the module's name is set when the object is made and never changes.
                let module = unsafe { (*slf.cast::<FunctionObject>()).module };
                // SAFETY: as above.
                return Ok(unsafe { Bound::from_borrowed_ptr(py, module) }.unbind());
            }
            // The class has these as well, about itself.
            "__doc__" => return Ok(template.getattr(name)?.unbind()),
            _ => {}
        }
        // SAFETY: live objects; a new reference or NULL with an error set.
        let own = unsafe {
            let value = ffi::PyObject_GenericGetAttr(slf, name.as_ptr());
            Bound::from_owned_ptr_or_err(py, value)
        };
        match own {
            Ok(value) => Ok(value.unbind()),
            Err(_missing) => Ok(template.getattr(name)?.unbind()),
        }
    })
}

unsafe extern "C" fn repr(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guarded(|py| {
        // SAFETY: the interpreter passes a live object, attached.
        let template = unsafe { template_of(py, slf) };
        let name = template.getattr("__qualname__")?;
        Ok(format!("<native function {name} at {slf:p}>").into_pyobject(py)?.into_any().unbind())
    })
}

unsafe extern "C" fn dealloc(slf: *mut ffi::PyObject) {
    // SAFETY: called once with an object that nobody can reach; its type outlives the call to tp_free.
    unsafe {
        let function: *mut FunctionObject = slf.cast();
        ffi::Py_XDECREF((*function).template);
        ffi::Py_XDECREF((*function).module);
        let class = ffi::Py_TYPE(slf);
        if let Some(free) = (*class).tp_free {
            free(slf.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

/// Pickled and copied by name, as functions are.
fn reduce(slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    Ok(slf.getattr("__qualname__")?.unbind())
}

fn make_class(py: Python<'_>) -> PyResult<Py<PyType>> {
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    let members: &'static mut [ffi::PyMemberDef] = vec![
        ffi::PyMemberDef {
            name: c"__vectorcalloffset__".as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: offset_of!(FunctionObject, vectorcall).cast_signed(),
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        },
        ffi::PyMemberDef::default(),
    ]
    .leak();
    let methods = vec![method_noargs(c"__reduce__", c"Pickled by name, as functions are.", reduce)];
    let doc = c"A native function that returns an awaitable; asyncio's own of that name in all that can be asked of it.";
    let mut slots = [
        slot(ffi::Py_tp_doc, doc.as_ptr().cast_mut().cast()),
        slot(ffi::Py_tp_members, members.as_mut_ptr().cast()),
        slot(ffi::Py_tp_methods, Method::table(methods).cast()),
        slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
        slot(ffi::Py_tp_descr_get, descr_get as ffi::descrgetfunc as *mut c_void),
        slot(ffi::Py_tp_getattro, getattro as ffi::getattrofunc as *mut c_void),
        slot(ffi::Py_tp_repr, repr as ffi::reprfunc as *mut c_void),
        slot(ffi::Py_tp_dealloc, dealloc as ffi::destructor as *mut c_void),
        slot(0, ptr::null_mut()),
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"oxio._oxio.NativeFunction".as_ptr(),
        basicsize: c_int::try_from(size_of::<FunctionObject>())
            .map_err(|_| PyTypeError::new_err("a class of this size cannot be made"))?,
        itemsize: 0,
        #[expect(clippy::cast_possible_truncation, reason = "the flags of specs are 32 bits")]
        flags: (ffi::Py_TPFLAGS_DEFAULT
            | ffi::Py_TPFLAGS_HAVE_VECTORCALL
            | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR
            // Else the interpreter does not specialise a look-up that finds one.
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION) as _,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec and its slots live until the call returns; the tables they point to are leaked.
    let class = unsafe {
        let made = ffi::PyType_FromSpec(&raw mut spec);
        Bound::from_owned_ptr_or_err(py, made)
    }?;
    Ok(class.cast_into::<PyType>()?.unbind())
}
