//! `Lock`: one holder, the others in a queue.
//!
//! Invariant: when it is not locked and somebody waits, the first in the queue has been woken or cancelled. Nothing is
//! handed over: who is woken takes the lock when it runs, and nobody can get in before because somebody stands in the
//! queue.
//!
//! Thread: the loop's, but for what needs no waiting.

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple, PyType};

use super::method::{Hooks, Method, inherited};
use super::waiters::{Waiters, WaitersSlot};
use super::{is_cancellation, nothing};
use crate::awaitable::{AwaitableView, Operation, Parameters, Resumed, Step};
use crate::interop::attribute::set_attribute;
use crate::interop::cell::{GilFlag, GilSlot};
use crate::scheduler::bind_loop;

/// The state of an `asyncio.Lock`, and what is called often.
#[pyclass(subclass, frozen, module = "oxio._oxio")]
pub struct Lock {
    locked: GilFlag<bool>,
    is_native: GilFlag<bool>,
    waiters: WaitersSlot,
    event_loop: GilSlot,
}

static HOOKS: Hooks = Hooks::new(&["acquire", "release", "_wake_up_first", "_get_loop"]);

/// Source: CPython `locks.Lock.acquire`.
///
/// # Cancel safety
/// Cancelled, it holds nothing; if it had been woken, the next one is.
static ACQUIRE: Method = Method {
    operation: Operation { name: "Lock.acquire", parameters: Parameters::NONE, resume: acquire },
    is_native,
};

/// Source: CPython `locks._ContextManagerMixin.__aenter__`.
static ENTER: Method = Method {
    operation: Operation {
        name: "_ContextManagerMixin.__aenter__",
        parameters: Parameters::NONE,
        resume: enter,
    },
    is_native,
};

/// Source: CPython `locks._ContextManagerMixin.__aexit__`.
static EXIT: Method = Method {
    operation: Operation {
        name: "_ContextManagerMixin.__aexit__",
        parameters: super::EXIT_PARAMETERS,
        resume: exit,
    },
    is_native,
};

/// Adds the class to the module.
pub fn add_to(module: &Bound<'_, PyModule>, asyncio_locks: &Bound<'_, PyAny>) -> PyResult<()> {
    module.add_class::<Lock>()?;
    let class = module.py().get_type::<Lock>();
    let asyncios = asyncio_locks.getattr("Lock")?;
    ACQUIRE.add_to(&class, "acquire", &asyncios)?;
    ENTER.add_to(&class, "__aenter__", &asyncios)?;
    EXIT.add_to(&class, "__aexit__", &asyncios)?;
    HOOKS.load(&class, &asyncios)
}

fn is_native(object: &Bound<'_, PyAny>) -> bool {
    object.cast::<Lock>().is_ok_and(|lock| lock.get().is_native(object.py()))
}

fn acquire<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let owner = view.owner()?;
    let lock = owner.cast::<Lock>()?;
    if Lock::take(lock, view, resumed)? {
        return Ok(Step::Return(PyBool::new(view.py(), true).to_owned().into_any()));
    }
    Ok(Step::Park)
}

fn enter<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let owner = view.owner()?;
    let lock = owner.cast::<Lock>()?;
    Ok(if Lock::take(lock, view, resumed)? { nothing(view.py()) } else { Step::Park })
}

fn exit<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let owner = view.owner()?;
    if let Resumed::Error(error) = resumed {
        return Err(error);
    }
    owner.cast::<Lock>()?.get().unlock(view.py())?;
    Ok(nothing(view.py()))
}

impl Lock {
    pub fn is_native(&self, py: Python<'_>) -> bool {
        self.is_native.get(py)
    }

    pub fn is_locked(&self, py: Python<'_>) -> bool {
        self.locked.get(py)
    }

    /// `acquire` in steps: true when `view` has the lock, false when it must park until it is resumed.
    ///
    /// # Errors
    /// What ended the wait; the lock is as if nobody had asked.
    pub fn take(
        slf: &Bound<'_, Self>,
        view: AwaitableView<'_, '_>,
        resumed: Resumed<'_>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let lock = slf.get();
        match resumed {
            Resumed::Start => {
                if !lock.is_open(py)? {
                    bind_loop(slf.as_any(), &lock.event_loop)?;
                    lock.waiters.push(view.object())?;
                    return Ok(false);
                }
            }
            Resumed::Value(_none) => lock.waiters.remove(view.object()),
            Resumed::Error(error) => {
                lock.waiters.remove(view.object());
                if is_cancellation(&error, py)? && !lock.locked.get(py) {
                    lock.wake_first(py)?;
                }
                return Err(error);
            }
        }
        lock.locked.set(py, true);
        Ok(true)
    }

    /// Whether a newcomer may have it: jumping the queue is right only when nobody in it wants the lock any more.
    fn is_open(&self, py: Python<'_>) -> PyResult<bool> {
        if self.locked.get(py) {
            return Ok(false);
        }
        match self.waiters.get(py) {
            None => Ok(true),
            Some(waiters) => waiters.get().all_cancelled(py),
        }
    }

    /// `release()`.
    pub fn unlock(&self, py: Python<'_>) -> PyResult<()> {
        if !self.locked.get(py) {
            return Err(PyRuntimeError::new_err("Lock is not acquired."));
        }
        self.locked.set(py, false);
        self.wake_first(py)
    }

    fn wake_first(&self, py: Python<'_>) -> PyResult<()> {
        match self.waiters.get(py) {
            Some(waiters) => waiters.get().wake_first(py),
            None => Ok(()),
        }
    }
}

#[pymethods]
impl Lock {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(Self {
            locked: GilFlag::new(false),
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
        slf.get().locked.set(py, false);
        slf.get().waiters.clear(py);
        Ok(())
    }

    /// Return True if lock is acquired.
    fn locked(&self, py: Python<'_>) -> bool {
        self.is_locked(py)
    }

    /// Release a lock: the first who waits is woken. `RuntimeError` when it is not locked.
    fn release<'py>(slf: &Bound<'py, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().is_native(py) {
            return slf.get().unlock(py);
        }
        inherited(&py.get_type::<Self>(), slf, "release")?.call0().map(drop)
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

    #[getter(_locked)]
    fn show_locked(&self, py: Python<'_>) -> bool {
        self.is_locked(py)
    }

    #[setter(_locked)]
    fn assign_locked(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.locked.set(value.py(), value.is_truthy()?);
        Ok(())
    }

    #[getter(_waiters)]
    fn show_waiters<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Waiters>> {
        self.waiters.get(py)
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
