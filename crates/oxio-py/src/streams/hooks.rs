//! Which of an object's methods are somebody else's.
//!
//! asyncio's functions call each other through the object: `read()` calls `self._wait_for_data()`, `feed_data()` calls
//! `self._wakeup_waiter()`. The native code asks nobody, so it must know what a subclass overrides and what is replaced
//! on an instance. That is looked up when the object is made and when an attribute is set, and then costs one bit.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple, PyType};

use crate::awaitable::{Operation, call_template, remember_template};
use crate::interop::native_function::{Callable, new_native_function};

/// A set of overridden methods, by their place in the list of [`Hooks`].
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Overridden(u16);

impl Overridden {
    pub const fn has(self, hook: usize) -> bool {
        self.0 & (1 << hook) != 0
    }

    #[must_use]
    pub const fn with(self, hook: usize) -> Self {
        Self(self.0 | (1 << hook))
    }
}

/// The methods of a class by which asyncio's functions reach each other.
pub struct Hooks {
    methods: &'static [&'static str],
    /// Attributes that the native half keeps. A class that has its own keeps all of its state itself: it is as if a
    /// method in the place behind the last one was overridden.
    state: &'static [&'static str],
    /// What the names mean when nobody has overridden them.
    own: PyOnceLock<Vec<(Py<PyString>, Py<PyAny>)>>,
}

impl Hooks {
    pub const fn new(methods: &'static [&'static str], state: &'static [&'static str]) -> Self {
        Self { methods, state, own: PyOnceLock::new() }
    }

    /// Remembers what the names mean in `native`, and those that it lacks in `asyncios`.
    pub fn load(&self, native: &Bound<'_, PyType>, asyncios: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = native.py();
        let mut own = Vec::new();
        for name in self.methods.iter().chain(self.state) {
            let name = PyString::intern(py, name);
            let found = match native.getattr_opt(&name)? {
                Some(found) => found,
                None => asyncios.getattr(&name)?,
            };
            own.push((name.unbind(), found.unbind()));
        }
        // A second import of the module in this process finds the same classes.
        let _ = self.own.set(py, own);
        Ok(())
    }

    /// What `class` overrides.
    pub fn of(&self, class: &Bound<'_, PyType>) -> PyResult<Overridden> {
        let py = class.py();
        let mut overridden = Overridden::default();
        for (place, (name, own)) in self.own.get(py).into_iter().flatten().enumerate() {
            // The native class itself lacks what asyncio's half brings.
            if class.getattr_opt(name.bind(py))?.is_some_and(|found| !found.is(own)) {
                overridden = overridden.with(place.min(self.methods.len()));
            }
        }
        Ok(overridden)
    }

    /// The place of a method that is being replaced on an instance.
    pub fn place_of(&self, name: &Bound<'_, PyString>) -> Option<usize> {
        let name = name.to_str().ok()?;
        self.methods.iter().position(|method| *method == name)
    }
}

/// A coroutine method that is native on objects whose state is, and asyncio's own on all others.
pub struct Method {
    pub operation: Operation,
    pub is_native: fn(&Bound<'_, PyAny>) -> bool,
}

impl Method {
    /// Makes it a method of `class` that looks like `asyncios.name`.
    pub fn add_to(
        &'static self,
        class: &Bound<'_, PyType>,
        name: &str,
        asyncios: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let template = asyncios.getattr(name)?;
        remember_template(&self.operation, &template);
        class.setattr(name, new_native_function(&template, "oxio.streams", self)?)
    }
}

impl Callable for Method {
    fn call<'py>(
        &'static self,
        template: &Bound<'py, PyAny>,
        args: &[Bound<'py, PyAny>],
        keywords: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if args.first().is_some_and(self.is_native) {
            return self.operation.call(template, args, keywords);
        }
        call_template(template, args, keywords)
    }
}
