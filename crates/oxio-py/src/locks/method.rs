//! Methods that are native on native objects, and asyncio's own on all others.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PySuper, PyTuple, PyType};

use crate::awaitable::{Operation, call_template, new_awaitable, remember_template};
use crate::interop::native_function::{Callable, new_native_function};

/// A method that is a coroutine function: native on native objects, else asyncio's own.
pub struct Method {
    pub operation: Operation,
    pub is_native: fn(&Bound<'_, PyAny>) -> bool,
}

impl Method {
    /// Makes it a method of `class` that looks like the one of that name in `asyncios`.
    pub fn add_to(
        &'static self,
        class: &Bound<'_, PyType>,
        name: &str,
        asyncios: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let template = asyncios.getattr(name)?;
        remember_template(&self.operation, &template);
        class.setattr(name, new_native_function(&template, "oxio.locks", self)?)
    }
}

impl Callable for Method {
    fn call<'py>(
        &'static self,
        template: &Bound<'py, PyAny>,
        args: &[Bound<'py, PyAny>],
        keywords: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some((owner, given)) = args.split_first() else {
            return call_template(template, args, keywords);
        };
        let is_plain = keywords.is_none() && given.len() == self.operation.parameters.positional;
        if !is_plain || !(self.is_native)(owner) {
            return call_template(template, args, keywords);
        }
        let mut arguments = [const { None }; 3];
        for (place, value) in arguments.iter_mut().zip(given) {
            *place = Some(value.clone());
        }
        new_awaitable(template.py(), &self.operation, Some(owner.clone()), arguments)
    }
}

/// What asyncio's class, behind the native one, has under `name`.
pub fn inherited<'py>(
    native: &Bound<'py, PyType>,
    object: &Bound<'py, PyAny>,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    PySuper::new(native, object)?.getattr(name)
}

/// asyncio's `__init__`, for arguments that the native one leaves to it.
pub fn inherited_init(
    native: &Bound<'_, PyType>,
    object: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    inherited(native, object, "__init__")?.call(args, kwargs).map(drop)
}
