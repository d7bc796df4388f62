//! What all classes of this folder have: a queue, a loop, and the question whether the native code may run.
//!
//! asyncio's functions call each other through the object: `async with lock` calls `self.acquire()`, `release` calls
//! `self._wake_up_first()`. A subclass that overrides one of them, or an instance on which one is replaced, must be
//! asked. The native code asks nobody. So an object of whose [`Hooks`] one is replaced has asyncio's own functions,
//! on the same state; that is decided when it is made and when an attribute is set.
//!
//! Thread: the loop's.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

use super::waiters::{Waiters, WaitersSlot};
use crate::awaitable::AwaitableView;
use crate::interop::attributes::set_attribute_plainly;
use crate::interop::cell::{GilFlag, GilSlot};
use crate::scheduler::bind_loop;

/// The base of the native classes.
#[pyclass(subclass, frozen, module = "oxio._oxio")]
pub struct Primitive {
    hooks: &'static Hooks,
    is_native: GilFlag<bool>,
    waiters: WaitersSlot,
    event_loop: GilSlot,
}

impl Primitive {
    /// For an instance of `class`.
    pub fn new(class: &Bound<'_, PyType>, hooks: &'static Hooks) -> PyResult<Self> {
        Ok(Self {
            hooks,
            is_native: GilFlag::new(hooks.are_inherited(class)?),
            waiters: WaitersSlot::default(),
            event_loop: GilSlot::default(),
        })
    }

    pub fn is_native(&self, py: Python<'_>) -> bool {
        self.is_native.get(py)
    }

    pub fn waiters<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Waiters>> {
        self.waiters.get(py)
    }

    /// As `__init__` leaves it.
    pub fn reset(&self, py: Python<'_>) {
        self.waiters.clear(py);
    }

    /// Puts `view`, which is about to park, at the end of the queue.
    ///
    /// # Errors
    /// `RuntimeError` when it belongs to another loop, or when no loop is running.
    pub fn enqueue(slf: &Bound<'_, Self>, view: AwaitableView<'_, '_>) -> PyResult<()> {
        Self::bind(slf)?;
        slf.get().waiters.push(view.object())
    }

    /// Binds it to the running loop.
    ///
    /// # Errors
    /// As [`Self::enqueue`].
    pub fn bind(slf: &Bound<'_, Self>) -> PyResult<()> {
        bind_loop(slf.as_any(), &slf.get().event_loop)
    }

    /// Takes `view`, whose wait is over, out of the queue.
    pub fn dequeue(&self, view: AwaitableView<'_, '_>) {
        self.waiters.remove(view.object());
    }

    /// Sets or deletes an attribute, and looks whether it is one of the hooks.
    pub fn set_attribute(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let primitive = slf.get();
        if primitive.hooks.contain(name) {
            primitive.is_native.set(slf.py(), false);
        }
        set_attribute_plainly(slf, name, value)
    }
}

#[pymethods]
impl Primitive {
    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        Self::set_attribute(slf, name, Some(value))
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        Self::set_attribute(slf, name, None)
    }

    #[getter(_waiters)]
    fn show_waiters<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Waiters>>> {
        if self.hooks.shows_empty_queue {
            return self.waiters.get_or_make(py).map(Some);
        }
        Ok(self.waiters.get(py))
    }

    #[setter(_waiters)]
    fn assign_waiters(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.waiters.assign(value)
    }

    #[getter(_loop)]
    fn show_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.event_loop.get(py)
    }

    #[setter(_loop)]
    fn assign_loop(&self, value: Bound<'_, PyAny>) {
        let old = if value.is_none() {
            self.event_loop.take(value.py())
        } else {
            self.event_loop.set(value)
        };
        drop(old);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.waiters.traverse(&visit)?;
        self.event_loop.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        self.waiters.clear(py);
        drop(self.event_loop.take(py));
    }
}

/// The methods of a class by which asyncio's functions reach each other.
pub struct Hooks {
    names: &'static [&'static str],
    /// Whether asyncio's class has a queue from the beginning on; else `_waiters` is None until somebody waits.
    shows_empty_queue: bool,
    /// What these names mean when nobody has overridden them.
    own: PyOnceLock<Vec<(Py<PyString>, Py<PyAny>)>>,
}

impl Hooks {
    pub const fn new(names: &'static [&'static str], shows_empty_queue: bool) -> Self {
        Self { names, shows_empty_queue, own: PyOnceLock::new() }
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

    fn are_inherited(&self, class: &Bound<'_, PyType>) -> PyResult<bool> {
        let py = class.py();
        for (name, own) in self.own.get(py).into_iter().flatten() {
            if class.getattr_opt(name.bind(py))?.is_some_and(|found| !found.is(own)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn contain(&self, name: &Bound<'_, PyString>) -> bool {
        name.to_str().is_ok_and(|name| self.names.contains(&name))
    }
}
