//! `Semaphore` and `BoundedSemaphore`: so many holders, the others in a queue.
//!
//! A released slot is handed over: who wakes a waiter takes the slot for it, so a waiter that was woken and then
//! cancelled must give it back.
//!
//! asyncio takes any number for a value. The native code counts whole ones; with another value asyncio's own functions
//! do the work.
//!
//! Thread: the loop's, but for what needs no waiting.

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple, PyType};

use super::method::{Method, inherited, inherited_init};
use super::primitive::{Hooks, Primitive};
use super::version::Version;
use super::{EXIT_PARAMETERS, is_cancellation, returned_none, returned_true};
use crate::awaitable::{AwaitableView, Operation, Parameters, Resumed, Step};
use crate::interop::cell::{GilFlag, GilSlot};

/// The state of an `asyncio.Semaphore`, and what is called often.
#[pyclass(extends = Primitive, subclass, frozen, module = "oxio._oxio")]
pub struct Semaphore {
    value: GilFlag<i64>,
    /// In place of `value`: one that is no `int`, or a huge one.
    odd_value: GilSlot,
}

/// What `asyncio.BoundedSemaphore` adds.
#[pyclass(extends = Semaphore, subclass, frozen, module = "oxio._oxio")]
pub struct BoundedSemaphore {
    bound: GilSlot,
}

const HOOK_NAMES: &[&str] = &["acquire", "release", "locked", "_wake_up_next", "_get_loop"];
static HOOKS: Hooks = Hooks::new(HOOK_NAMES, false);
static BOUNDED_HOOKS: Hooks = Hooks::new(HOOK_NAMES, false);

/// Source: CPython `locks.Semaphore.acquire`.
///
/// # Cancel safety
/// Cancelled, it holds nothing; a slot that it had been given goes to the next.
static ACQUIRE: Method = Method {
    operation: Operation {
        name: "Semaphore.acquire",
        parameters: Parameters::NONE,
        resume: acquire,
    },
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

/// Adds the classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>, asyncio_locks: &Bound<'_, PyAny>) -> PyResult<()> {
    module.add_class::<Semaphore>()?;
    module.add_class::<BoundedSemaphore>()?;
    let class = module.py().get_type::<Semaphore>();
    let asyncios = asyncio_locks.getattr("Semaphore")?;
    ACQUIRE.add_to(&class, "acquire", &asyncios)?;
    ENTER.add_to(&class, "__aenter__", &asyncios)?;
    EXIT.add_to(&class, "__aexit__", &asyncios)?;
    HOOKS.load(&class, &asyncios)?;
    let bounded = module.py().get_type::<BoundedSemaphore>();
    BOUNDED_HOOKS.load(&bounded, &asyncio_locks.getattr("BoundedSemaphore")?)
}

fn is_native(object: &Bound<'_, PyAny>) -> bool {
    object.cast::<Semaphore>().is_ok_and(Semaphore::is_native)
}

fn acquire<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let owner = view.owner()?;
    let is_taken = Semaphore::take(owner.cast()?, view, resumed)?;
    Ok(if is_taken { returned_true(view.py()) } else { Step::Park })
}

fn enter<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let owner = view.owner()?;
    let is_taken = Semaphore::take(owner.cast()?, view, resumed)?;
    Ok(if is_taken { returned_none(view.py()) } else { Step::Park })
}

fn exit<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    if let Resumed::Error(error) = resumed {
        return Err(error);
    }
    let owner = view.owner()?;
    match owner.cast::<BoundedSemaphore>() {
        Ok(bounded) => BoundedSemaphore::release(bounded)?,
        Err(_plain) => Semaphore::release(owner.cast()?)?,
    }
    Ok(returned_none(view.py()))
}

impl Semaphore {
    fn is_native(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        slf.as_super().get().is_native(py) && slf.get().odd_value.is_empty(py)
    }

    /// `acquire` in steps: true when `view` has a slot, false when it must park until it is resumed.
    fn take(
        slf: &Bound<'_, Self>,
        view: AwaitableView<'_, '_>,
        resumed: Resumed<'_>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let semaphore = slf.get();
        match resumed {
            Resumed::Start => {
                if Self::is_locked(slf)? {
                    Primitive::enqueue(slf.as_super(), view)?;
                    return Ok(false);
                }
                semaphore.add(py, -1);
            }
            Resumed::Value(_none) => {
                slf.as_super().get().dequeue(view);
                Self::hand_on(slf)?;
            }
            Resumed::Error(error) => {
                slf.as_super().get().dequeue(view);
                Self::give_back(slf, view, &error)?;
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Whether a newcomer must wait: no slot is free, or somebody stands in the queue who still wants one.
    fn is_locked(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if slf.get().value.get(py) == 0 {
            return Ok(true);
        }
        match slf.as_super().get().waiters(py) {
            None => Ok(false),
            Some(waiters) => Ok(!waiters.get().all_cancelled(py)?),
        }
    }

    /// After a wait that brought a slot: newcomers may have queued up behind it although slots are free.
    fn hand_on(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        while slf.get().value.get(py) > 0 {
            if !Self::wake_next(slf)? || !Version::of(py)?.semaphore_wakes_all {
                break;
            }
        }
        Ok(())
    }

    /// After a wait that `error` has ended.
    fn give_back(
        slf: &Bound<'_, Self>,
        view: AwaitableView<'_, '_>,
        error: &PyErr,
    ) -> PyResult<()> {
        let py = slf.py();
        let had_slot = is_cancellation(error, py)? && view.state().was_woken(py);
        if had_slot {
            slf.get().add(py, 1);
        }
        if Version::of(py)?.semaphore_wakes_all {
            return Self::hand_on(slf);
        }
        if had_slot {
            Self::wake_next(slf)?;
        }
        Ok(())
    }

    /// Gives a slot to the first who still waits. False when there is nobody.
    fn wake_next(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let Some(waiters) = slf.as_super().get().waiters(py) else {
            return Ok(false);
        };
        let mut passed = 0;
        while let Some(waiter) = waiters.get().at(py, passed) {
            if !waiter.is_done()? {
                slf.get().add(py, -1);
                waiter.wake(true)?;
                return Ok(true);
            }
            passed += 1;
        }
        Ok(false)
    }

    fn add(&self, py: Python<'_>, change: i64) {
        self.value.set(py, self.value.get(py) + change);
    }

    /// `release()` without a bound.
    fn give(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().add(slf.py(), 1);
        Self::wake_next(slf).map(drop)
    }

    fn inherited<'py>(slf: &Bound<'py, Self>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        inherited(&slf.py().get_type::<Self>(), slf, name)
    }
}

/// A value that can be counted in an `i64`, with room to go on.
fn whole(value: &Bound<'_, PyAny>) -> Option<i64> {
    let value: i64 = value.cast_exact::<PyInt>().ok()?.extract().ok()?;
    (value.unsigned_abs() < 1 << 62).then_some(value)
}

/// The value in `__init__`'s arguments, if it is one that the native code can count from.
fn initial_value(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> Option<i64> {
    if kwargs.is_some_and(|kwargs| !kwargs.is_empty()) || args.len() > 1 {
        return None;
    }
    let value = args.get_borrowed_item(0).map_or(Some(1), |value| whole(&value))?;
    (value >= 0).then_some(value)
}

#[pymethods]
impl Semaphore {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(value=1)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let semaphore = Self { value: GilFlag::new(1), odd_value: GilSlot::default() };
        Ok(PyClassInitializer::from(Primitive::new(class, &HOOKS)?).add_subclass(semaphore))
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(value) = initial_value(args, kwargs) else {
            return inherited_init(&py.get_type::<Self>(), slf, args, kwargs);
        };
        slf.get().value.set(py, value);
        drop(slf.get().odd_value.take(py));
        slf.as_super().get().reset(py);
        Ok(())
    }

    /// Returns True if semaphore cannot be acquired immediately.
    fn locked<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        if Self::is_native(slf) {
            let locked = Self::is_locked(slf)?;
            return Ok(locked.into_pyobject(slf.py())?.to_owned().into_any());
        }
        Self::inherited(slf, "locked")?.call0()
    }

    /// Release a slot: the first who waits gets it.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        if Self::is_native(slf) {
            return Self::give(slf);
        }
        Self::inherited(slf, "release")?.call0().map(drop)
    }

    #[getter(_value)]
    fn show_value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.odd_value.get(py) {
            Some(value) => Ok(value),
            None => Ok(self.value.get(py).into_pyobject(py)?.into_any()),
        }
    }

    #[setter(_value)]
    fn assign_value(&self, value: Bound<'_, PyAny>) {
        let py = value.py();
        let old = match whole(&value) {
            Some(value) => {
                self.value.set(py, value);
                self.odd_value.take(py)
            }
            None => self.odd_value.set(value),
        };
        drop(old);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.odd_value.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.odd_value.take(py));
    }
}

#[pymethods]
impl BoundedSemaphore {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(value=1)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let semaphore = Semaphore { value: GilFlag::new(1), odd_value: GilSlot::default() };
        Ok(PyClassInitializer::from(Primitive::new(class, &BOUNDED_HOOKS)?)
            .add_subclass(semaphore)
            .add_subclass(Self { bound: GilSlot::default() }))
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        if let Some(value) = initial_value(args, kwargs) {
            drop(slf.get().bound.set(value.into_pyobject(slf.py())?.into_any()));
        }
        Semaphore::__init__(slf.as_super(), args, kwargs)
    }

    /// Release a slot. `ValueError` when it would become more than there were at first.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let semaphore = slf.as_super();
        let bound = slf.get().bound.get(py).and_then(|bound| whole(&bound));
        let Some(bound) = bound.filter(|_| Semaphore::is_native(semaphore)) else {
            return Semaphore::inherited(semaphore, "release")?.call0().map(drop);
        };
        if semaphore.get().value.get(py) >= bound {
            return Err(PyValueError::new_err("BoundedSemaphore released too many times"));
        }
        Semaphore::give(semaphore)
    }

    #[getter(_bound_value)]
    fn show_bound<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.bound.get(py)
    }

    #[setter(_bound_value)]
    fn assign_bound(&self, value: Bound<'_, PyAny>) {
        drop(self.bound.set(value));
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.bound.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.bound.take(py));
    }
}
