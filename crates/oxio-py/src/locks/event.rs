//! `Event`: a flag, and those who wait for it.
//!
//! Thread: the loop's, but for what needs no waiting.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::method::{Method, inherited_init};
use super::primitive::{Hooks, Primitive};
use super::returned_true;
use crate::awaitable::{AwaitableView, Operation, Parameters, Resumed, Step};
use crate::interop::cell::GilFlag;

/// The state of an `asyncio.Event`, and what is called often.
#[pyclass(extends = Primitive, subclass, frozen, module = "oxio._oxio")]
pub struct Event {
    value: GilFlag<bool>,
}

/// asyncio's `wait`, `set`, `clear` and `is_set` call nothing else.
static HOOKS: Hooks = Hooks::new(&["_get_loop"], true);

/// Source: CPython `locks.Event.wait`.
static WAIT: Method = Method {
    operation: Operation { name: "Event.wait", parameters: Parameters::NONE, resume: wait },
    is_native: |object| {
        let py = object.py();
        object.cast::<Event>().is_ok_and(|event| event.as_super().get().is_native(py))
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
    let event = owner.cast::<Event>()?;
    match resumed {
        Resumed::Start => {
            if !event.get().value.get(py) {
                Primitive::enqueue(event.as_super(), view)?;
                return Ok(Step::Park);
            }
        }
        // The flag is not asked again: who was woken has seen it, whatever became of it since.
        Resumed::Value(_none) => event.as_super().get().dequeue(view),
        Resumed::Error(error) => {
            event.as_super().get().dequeue(view);
            return Err(error);
        }
    }
    Ok(returned_true(py))
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
    ) -> PyResult<PyClassInitializer<Self>> {
        let event = Self { value: GilFlag::new(false) };
        Ok(PyClassInitializer::from(Primitive::new(class, &HOOKS)?).add_subclass(event))
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        if !args.is_empty() || kwargs.is_some_and(|kwargs| !kwargs.is_empty()) {
            return inherited_init(&py.get_type::<Self>(), slf, args, kwargs);
        }
        slf.get().value.set(py, false);
        slf.as_super().get().reset(py);
        Ok(())
    }

    /// Return True if and only if the internal flag is true.
    fn is_set(&self, py: Python<'_>) -> bool {
        self.value.get(py)
    }

    /// Set the internal flag to true and wake all who wait for it.
    fn set(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().value.get(py) {
            return Ok(());
        }
        slf.get().value.set(py, true);
        match slf.as_super().get().waiters(py) {
            Some(waiters) => waiters.get().wake_all(py),
            None => Ok(()),
        }
    }

    /// Reset the internal flag to false.
    fn clear(&self, py: Python<'_>) {
        self.value.set(py, false);
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
}
