//! `Condition`: waiting for something that another task says, with a lock that is given away meanwhile.
//!
//! A wait is two waits of one awaitable: in the condition's queue until it is notified, then in the lock's until it has
//! that again. It does not end without the lock, however often it is cancelled.
//!
//! asyncio's condition calls `acquire`, `release` and `locked` of its own instance, which are the lock's bound methods
//! unless somebody puts others there; any object that has the three may be the lock. The native code runs when they are
//! those of a native `Lock`, and is asyncio's own otherwise.
//!
//! Thread: the loop's.

use pyo3::exceptions::{PyAttributeError, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::lock::Lock;
use super::method::{Method, inherited};
use super::primitive::{Hooks, Primitive};
use super::version::Version;
use super::{EXIT_PARAMETERS, is_cancellation, returned_none, returned_true};
use crate::awaitable::{AwaitableView, Operation, Parameters, Resumed, Step};
use crate::interop::cell::{GilFlag, GilSlot};
use crate::interop::imports::{Imports, interned};

/// The state of an `asyncio.Condition`, and what is called often.
#[pyclass(extends = Primitive, subclass, frozen, module = "oxio._oxio")]
pub struct Condition {
    lock: GilSlot,
    /// Which of [`EXPORTS`] are the lock's own, a bit each.
    exported: GilFlag<u8>,
}

/// The lock's methods on the condition's instance.
const EXPORTS: [&str; 3] = ["locked", "acquire", "release"];
const ALL_EXPORTED: u8 = 0b111;

static HOOKS: Hooks = Hooks::new(&["wait", "notify", "_notify", "_get_loop"], true);

/// Source: CPython `locks.Condition.wait`.
///
/// # Cancel safety
/// Cancelled, it holds the lock; from 3.13 on a notification that it may have got goes to another waiter.
static WAIT: Method = Method {
    operation: Operation { name: "Condition.wait", parameters: Parameters::NONE, resume: wait },
    is_native,
};

/// Source: CPython `locks.Condition.wait_for`.
static WAIT_FOR: Method = Method {
    operation: Operation {
        name: "Condition.wait_for",
        parameters: Parameters {
            is_method: true,
            names: &["predicate"],
            required: 1,
            positional: 1,
        },
        resume: wait_for,
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

/// Adds the class to the module.
pub fn add_to(module: &Bound<'_, PyModule>, asyncio_locks: &Bound<'_, PyAny>) -> PyResult<()> {
    module.add_class::<Condition>()?;
    let class = module.py().get_type::<Condition>();
    let asyncios = asyncio_locks.getattr("Condition")?;
    WAIT.add_to(&class, "wait", &asyncios)?;
    WAIT_FOR.add_to(&class, "wait_for", &asyncios)?;
    ENTER.add_to(&class, "__aenter__", &asyncios)?;
    EXIT.add_to(&class, "__aexit__", &asyncios)?;
    HOOKS.load(&class, &asyncios)
}

fn is_native(object: &Bound<'_, PyAny>) -> bool {
    object.cast::<Condition>().is_ok_and(Condition::is_native)
}

fn wait<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let owner = view.owner()?;
    let is_over = Wait { condition: owner.cast()?, view }.go_on(resumed)?;
    Ok(if is_over { returned_true(view.py()) } else { Step::Park })
}

fn wait_for<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let owner = view.owner()?;
    let wait = Wait { condition: owner.cast()?, view };
    if !matches!(resumed, Resumed::Start) && !wait.go_on(resumed)? {
        return Ok(Step::Park);
    }
    let Some(predicate) = view.state().first.get(view.py()) else {
        return Err(PyRuntimeError::new_err("wait_for() has lost its predicate"));
    };
    loop {
        let result = predicate.call0()?;
        if result.is_truthy()? {
            return Ok(Step::Return(result));
        }
        if !wait.go_on(Resumed::Start)? {
            return Ok(Step::Park);
        }
    }
}

fn enter<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let lock = Condition::lock(view.owner()?.cast()?)?;
    let is_taken = Lock::take(&lock, view, resumed)?;
    Ok(if is_taken { returned_none(view.py()) } else { Step::Park })
}

fn exit<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    if let Resumed::Error(error) = resumed {
        return Err(error);
    }
    Lock::give(&Condition::lock(view.owner()?.cast()?)?)?;
    Ok(returned_none(view.py()))
}

/// One `wait()`, as far as it is. What it remembers is in the awaitable: where it waits in `number`, how the wait for the
/// notification ended in `second` (an error or nothing), the latest cancellation since in `third`.
struct Wait<'a, 'py> {
    condition: &'a Bound<'py, Condition>,
    view: AwaitableView<'a, 'py>,
}

const FOR_NOTIFICATION: usize = 1;
const FOR_LOCK: usize = 2;

impl<'py> Wait<'_, 'py> {
    /// True when it is over, false when the awaitable must park.
    fn go_on(&self, resumed: Resumed<'py>) -> PyResult<bool> {
        let py = self.view.py();
        match resumed {
            Resumed::Start => self.begin(),
            resumed if self.view.state().number.get(py) == FOR_LOCK => self.reacquire(resumed),
            resumed => {
                self.condition.as_super().get().dequeue(self.view);
                self.reacquire_after(resumed)
            }
        }
    }

    fn begin(&self) -> PyResult<bool> {
        let py = self.view.py();
        let lock = Condition::lock(self.condition)?;
        if !lock.get().is_locked(py) {
            return Err(PyRuntimeError::new_err("cannot wait on un-acquired lock"));
        }
        if Version::of(py)?.condition_binds_first {
            Primitive::bind(self.condition.as_super())?;
        }
        Lock::give(&lock)?;
        match Primitive::enqueue(self.condition.as_super(), self.view) {
            Ok(()) => {
                self.view.state().number.set(py, FOR_NOTIFICATION);
                Ok(false)
            }
            Err(error) => self.reacquire_after(Resumed::Error(error)),
        }
    }

    fn reacquire_after(&self, end: Resumed<'py>) -> PyResult<bool> {
        if let Resumed::Error(error) = end {
            drop(self.view.state().second.set(into_object(error, self.view.py())));
        }
        self.reacquire(Resumed::Start)
    }

    /// Takes the lock. Cancellations are kept for later; any other error ends it.
    fn reacquire(&self, mut resumed: Resumed<'py>) -> PyResult<bool> {
        let py = self.view.py();
        let state = self.view.state();
        let lock = Condition::lock(self.condition)?;
        loop {
            match Lock::take(&lock, self.view, resumed) {
                Ok(true) => return self.end(),
                Ok(false) => {
                    state.number.set(py, FOR_LOCK);
                    return Ok(false);
                }
                Err(error) if is_cancellation(&error, py)? => {
                    drop(state.third.set(into_object(error, py)));
                    resumed = Resumed::Start;
                }
                Err(error) => return self.fail(error),
            }
        }
    }

    fn end(&self) -> PyResult<bool> {
        let py = self.view.py();
        let state = self.view.state();
        if let Some(cancellation) = state.third.take(py) {
            let cancellation = if Version::of(py)?.condition_keeps_cancellation {
                cancellation
            } else {
                Imports::of(py)?.cancelled_error.bind(py).call0()?
            };
            return self.fail(PyErr::from_value(cancellation));
        }
        match state.second.take(py) {
            Some(error) => self.fail_with(PyErr::from_value(error)),
            None => Ok(true),
        }
    }

    /// Fails with `error`, which was raised while another one, if there is one, was on its way.
    fn fail(&self, error: PyErr) -> PyResult<bool> {
        let py = self.view.py();
        if let Some(context) = self.view.state().second.take(py)
            && !error.value(py).is(&context)
        {
            error.value(py).setattr(interned!(py, "__context__"), context)?;
        }
        self.fail_with(error)
    }

    /// The notification may have been meant for this one: another gets it. It may be one too many, which is allowed.
    fn fail_with(&self, error: PyErr) -> PyResult<bool> {
        if Version::of(self.view.py())?.condition_passes_on {
            Condition::wake(self.condition, 1)?;
        }
        Err(error)
    }
}

fn into_object(error: PyErr, py: Python<'_>) -> Bound<'_, PyAny> {
    error.into_value(py).into_bound(py).into_any()
}

/// How many to notify.
#[derive(FromPyObject)]
enum Count<'py> {
    Whole(i64),
    Odd(Bound<'py, PyAny>),
}

impl Condition {
    fn is_native(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().get().is_native(slf.py())
            && slf.get().exported.get(slf.py()) == ALL_EXPORTED
            && Self::lock(slf).is_ok_and(|lock| Lock::is_native(&lock))
    }

    fn lock<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Lock>> {
        match slf.get().lock.get(slf.py()) {
            Some(lock) => Ok(lock.cast_into()?),
            None => Err(no_lock()),
        }
    }

    /// `notify(count)`.
    fn notify_some(slf: &Bound<'_, Self>, count: usize) -> PyResult<()> {
        if !Self::lock(slf)?.get().is_locked(slf.py()) {
            return Err(PyRuntimeError::new_err("cannot notify on un-acquired lock"));
        }
        Self::wake(slf, count)
    }

    fn wake(slf: &Bound<'_, Self>, count: usize) -> PyResult<()> {
        match slf.as_super().get().waiters(slf.py()) {
            Some(waiters) => waiters.get().wake_some(slf.py(), count),
            None => Ok(()),
        }
    }

    /// Remembers whether what stands under `name` now is the lock's method.
    fn note_export(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(index) = EXPORTS.iter().position(|export| name == export) else {
            return Ok(());
        };
        let is_locks = match (value, Self::lock(slf)) {
            (Some(value), Ok(lock)) => value.eq(lock.getattr(name)?)?,
            _ => false,
        };
        let others = slf.get().exported.get(py) & !(1 << index);
        slf.get().exported.set(py, others | u8::from(is_locks) << index);
        Ok(())
    }

    fn inherited<'py>(slf: &Bound<'py, Self>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        inherited(&slf.py().get_type::<Self>(), slf, name)
    }
}

fn no_lock() -> PyErr {
    PyAttributeError::new_err("'Condition' object has no attribute '_lock'")
}

#[pymethods]
impl Condition {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(lock=None)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let condition = Self { lock: GilSlot::default(), exported: GilFlag::new(0) };
        Ok(PyClassInitializer::from(Primitive::new(class, &HOOKS)?).add_subclass(condition))
    }

    /// Wake up `n` of those who wait. `RuntimeError` when the lock is not held.
    #[pyo3(signature = (n = Count::Whole(1)), text_signature = "($self, n=1)")]
    fn notify(slf: &Bound<'_, Self>, n: Count<'_>) -> PyResult<()> {
        match n {
            Count::Whole(n) if Self::is_native(slf) => {
                Self::notify_some(slf, usize::try_from(n).unwrap_or(0))
            }
            Count::Whole(n) => Self::inherited(slf, "notify")?.call1((n,)).map(drop),
            Count::Odd(n) => Self::inherited(slf, "notify")?.call1((n,)).map(drop),
        }
    }

    /// Wake up all who wait. `RuntimeError` when the lock is not held.
    fn notify_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        if Self::is_native(slf) {
            return Self::notify_some(slf, usize::MAX);
        }
        Self::inherited(slf, "notify_all")?.call0().map(drop)
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        Primitive::set_attribute(slf.as_super(), name, Some(value))?;
        Self::note_export(slf, name, Some(value))
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        Primitive::set_attribute(slf.as_super(), name, None)?;
        Self::note_export(slf, name, None)
    }

    #[getter(_lock)]
    fn show_lock<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.lock.get(py).ok_or_else(no_lock)
    }

    #[setter(_lock)]
    fn assign_lock(&self, lock: Bound<'_, PyAny>) {
        self.exported.set(lock.py(), 0);
        drop(self.lock.set(lock));
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.lock.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.lock.take(py));
    }
}
