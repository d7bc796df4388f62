//! `Event`: a flag, and those who wait for it.
//!
//! Thread: the loop's, but for what needs no waiting.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple, PyType};

use super::method::{Hooks, Method};
use super::waiters::{Waiters, WaitersSlot};
use crate::awaitable::{AwaitableView, Operation, Parameters, Resumed, Step};
use crate::interop::attribute::set_attribute;
use crate::interop::cell::{GilFlag, GilSlot};
use crate::scheduler::bind_loop;

/// The state of an `asyncio.Event`, and what is called often.
#[pyclass(subclass, frozen, module = "oxio._oxio")]
pub struct Event {
    value: GilFlag<bool>,
    is_native: GilFlag<bool>,
    waiters: WaitersSlot,
    event_loop: GilSlot,
}

/// asyncio's `wait`, `set`, `clear` and `is_set` call nothing else.
static HOOKS: Hooks = Hooks::new(&["_get_loop"]);

/// Source: CPython `locks.Event.wait`.
static WAIT: Method = Method {
    operation: Operation { name: "Event.wait", parameters: Parameters::NONE, resume: wait },
    is_native: |object| {
        object.cast::<Event>().is_ok_and(|event| event.get().is_native.get(object.py()))
    },
};

/// Adds the class to the module.
pub fn add_to(module: &Bound<'_, PyModule>, asyncio_locks: &Bound<'_, PyAny>) -> PyResult<()> {
    module.add_class::<Event>()?;
    let class = module.py().get_type::<Event>();
    let asyncios = asyncio_locks.getattr("Event")?;
    WAIT.add_to(&class, "wait", &asyncios)?;
    HOOKS.load(&class, &asyncios)
}

fn wait<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let owner = view.owner()?;
    let event = owner.cast::<Event>()?.get();
    match resumed {
        Resumed::Start => {
            if !event.value.get(py) {
                bind_loop(&owner, &event.event_loop)?;
                event.waiters.push(view.object())?;
                return Ok(Step::Park);
            }
        }
        // The flag is not asked again: who was woken has seen it, whatever became of it since.
        Resumed::Value(_none) => event.waiters.remove(view.object()),
        Resumed::Error(error) => {
            event.waiters.remove(view.object());
            return Err(error);
        }
    }
    Ok(Step::Return(PyBool::new(py, true).to_owned().into_any()))
}

#[pymethods]
impl Event {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(Self {
            value: GilFlag::new(false),
            is_native: GilFlag::new(HOOKS.are_inherited(class)?),
            waiters: WaitersSlot::default(),
            event_loop: GilSlot::default(),
        })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        if !args.is_empty() || kwargs.is_some_and(|kwargs| !kwargs.is_empty()) {
            return super::inherited_init::<Self>(slf.as_any(), args, kwargs);
        }
        slf.get().value.set(py, false);
        slf.get().waiters.clear(py);
        Ok(())
    }

    /// Return True if and only if the internal flag is true.
    fn is_set(&self, py: Python<'_>) -> bool {
        self.value.get(py)
    }

    /// Set the internal flag to true and wake all who wait for it.
    fn set(&self, py: Python<'_>) -> PyResult<()> {
        if self.value.get(py) {
            return Ok(());
        }
        self.value.set(py, true);
        match self.waiters.get(py) {
            Some(waiters) => waiters.get().wake_all(py),
            None => Ok(()),
        }
    }

    /// Reset the internal flag to false.
    fn clear(&self, py: Python<'_>) {
        self.value.set(py, false);
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if HOOKS.contain(name) {
            slf.get().is_native.set(slf.py(), false);
        }
        set_attribute(slf, name, Some(value))
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        set_attribute(slf, name, None)
    }

    #[getter(_value)]
    fn show_value(&self, py: Python<'_>) -> bool {
        self.value.get(py)
    }

    #[setter(_value)]
    fn assign_value(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.value.set(value.py(), value.is_truthy()?);
        Ok(())
    }

    #[getter(_waiters)]
    fn show_waiters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Waiters>> {
        self.waiters.get_or_make(py)
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
        super::assign_loop(&self.event_loop, value);
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
