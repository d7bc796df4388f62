//! When the native code may run, and when asyncio's own must.
//!
//! asyncio's functions call each other through the object: `async with lock` calls `self.acquire()`, `release` calls
//! `self._wake_up_first()`. A subclass that overrides one of them, or an instance on which one is replaced, must be
//! asked. The native code asks nobody. So an object of whose methods one is replaced has asyncio's own functions,
//! on the same state; that is decided when it is made and when an attribute is set.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PySuper, PyTuple, PyType};

use crate::awaitable::{Operation, call_template, new_awaitable};
use crate::interop::coroutine_function::{Callable, new_coroutine_function};

/// The methods of a class by which asyncio's functions reach each other.
pub struct Hooks {
    names: &'static [&'static str],
    /// What these names mean when nobody has overridden them.
    own: PyOnceLock<Vec<(Py<PyString>, Py<PyAny>)>>,
}

impl Hooks {
    pub const fn new(names: &'static [&'static str]) -> Self {
        Self { names, own: PyOnceLock::new() }
    }

    /// Remembers what the names mean in `native`, and those it lacks in `asyncios`. A name that the running version's
    /// asyncio does not have cannot be called by it.
    pub fn load(&self, native: &Bound<'_, PyType>, asyncios: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = native.py();
        let mut own = Vec::new();
        for name in self.names {
            let name = PyString::intern(py, name);
            let found = match native.getattr_opt(&name)? {
                Some(found) => Some(found),
                None => asyncios.getattr_opt(&name)?,
            };
            own.extend(found.map(|found| (name.unbind(), found.unbind())));
        }
        // A second import of the module in this process finds the same classes.
        let _ = self.own.set(py, own);
        Ok(())
    }

    /// Whether `class` overrides none of them.
    pub fn are_inherited(&self, class: &Bound<'_, PyType>) -> PyResult<bool> {
        let py = class.py();
        for (name, own) in self.own.get(py).into_iter().flatten() {
            if class.getattr_opt(name.bind(py))?.is_some_and(|found| !found.is(own)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub fn contain(&self, name: &Bound<'_, PyString>) -> bool {
        name.to_str().is_ok_and(|name| self.names.contains(&name))
    }
}

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
        class.setattr(name, new_coroutine_function(&template, "oxio.locks", self)?)
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
