//! `Lock`: one holder, the others in a queue.
//!
//! Invariant: when it is not locked and somebody waits, the first in the queue has been woken or cancelled. Nothing is
//! handed over: who is woken takes the lock when it runs, and nobody can get in before because somebody stands in the
//! queue.
//!
//! Thread: the loop's, but for what needs no waiting.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::method::{Method, inherited, inherited_init};
use super::primitive::{Hooks, Primitive};
use super::{EXIT_PARAMETERS, is_cancellation, returned_none, returned_true};
use crate::awaitable::{AwaitableView, Operation, Parameters, Resumed, Step};
use crate::interop::cell::GilFlag;

/// The state of an `asyncio.Lock`, and what is called often.
#[pyclass(extends = Primitive, subclass, frozen, module = "oxio._oxio")]
pub struct Lock {
    locked: GilFlag<bool>,
}

static HOOKS: Hooks = Hooks::new(&["acquire", "release", "_wake_up_first", "_get_loop"], false);

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
        parameters: EXIT_PARAMETERS,
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
    object.cast::<Lock>().is_ok_and(Lock::is_native)
}

fn acquire<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let owner = view.owner()?;
    let is_taken = Lock::take(owner.cast()?, view, resumed)?;
    Ok(if is_taken { returned_true(view.py()) } else { Step::Park })
}

fn enter<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let owner = view.owner()?;
    let is_taken = Lock::take(owner.cast()?, view, resumed)?;
    Ok(if is_taken { returned_none(view.py()) } else { Step::Park })
}

fn exit<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    if let Resumed::Error(error) = resumed {
        return Err(error);
    }
    let owner = view.owner()?;
    Lock::give(owner.cast()?)?;
    Ok(returned_none(view.py()))
}

impl Lock {
    pub fn is_native(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().get().is_native(slf.py())
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
        match resumed {
            Resumed::Start => {
                if !Self::is_open(slf)? {
                    Primitive::enqueue(slf.as_super(), view)?;
                    return Ok(false);
                }
            }
            Resumed::Value(_none) => slf.as_super().get().dequeue(view),
            Resumed::Error(error) => {
                slf.as_super().get().dequeue(view);
                if is_cancellation(&error, py)? && !slf.get().locked.get(py) {
                    Self::wake_first(slf)?;
                }
                return Err(error);
            }
        }
        slf.get().locked.set(py, true);
        Ok(true)
    }

    /// Whether a newcomer may have it: jumping the queue is right only when nobody in it wants the lock any more.
    fn is_open(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if slf.get().locked.get(py) {
            return Ok(false);
        }
        match slf.as_super().get().waiters(py) {
            None => Ok(true),
            Some(waiters) => waiters.get().all_cancelled(py),
        }
    }

    /// `release()`.
    ///
    /// # Errors
    /// `RuntimeError` when it is not locked.
    pub fn give(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf.get().locked.get(py) {
            return Err(PyRuntimeError::new_err("Lock is not acquired."));
        }
        slf.get().locked.set(py, false);
        Self::wake_first(slf)
    }

    fn wake_first(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.as_super().get().waiters(slf.py()) {
            Some(waiters) => waiters.get().wake_first(slf.py()),
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
    ) -> PyResult<PyClassInitializer<Self>> {
        let lock = Self { locked: GilFlag::new(false) };
        Ok(PyClassInitializer::from(Primitive::new(class, &HOOKS)?).add_subclass(lock))
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
        slf.get().locked.set(py, false);
        slf.as_super().get().reset(py);
        Ok(())
    }

    /// Return True if lock is acquired.
    fn locked(&self, py: Python<'_>) -> bool {
        self.is_locked(py)
    }

    /// Release a lock: the first who waits is woken. `RuntimeError` when it is not locked.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        if Self::is_native(slf) {
            return Self::give(slf);
        }
        inherited(&slf.py().get_type::<Self>(), slf, "release")?.call0().map(drop)
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
}
