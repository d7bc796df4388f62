//! `timeout`, `timeout_at` and `Timeout`: a limit on the time that a block of code may take.
//!
//! States: created → entered → exited; or entered → expiring → expired. A timer is set while it is entered. When the
//! time has come the timer cancels the task and the timeout is expiring; what that means for the block is settled
//! when the block is left.
//!
//! Native is what happens when nothing expires. Leaving a block that has expired, and refusing wrong use, is asyncio's
//! own code on the same state, which is shown under asyncio's names. An instance of a Python subclass runs asyncio's
//! code throughout: it may have overridden what that code calls.
//!
//! Thread: the loop's.

use oxio_core::clock::Deadline;
use pyo3::exceptions::{PyAttributeError, PyRuntimeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyTuple, PyType};

use crate::awaitable::{AwaitableView, Operation, Parameters, Resumed, Step, coroutine_function};
use crate::interop::cell::{GilFlag, GilSlot};
use crate::interop::imports::interned;
use crate::interop::instance::look_at_class;
use crate::scheduler::{Loop, NativeTimer, running_loop, running_native_loop};
use crate::task::{cancelling, current_task};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    Entered,
    Expiring,
    Expired,
    Exited,
}

/// All states with their names in asyncio's `_State`, in the order of the discriminants.
const STATES: [(State, &str); 5] = [
    (State::Created, "CREATED"),
    (State::Entered, "ENTERED"),
    (State::Expiring, "EXPIRING"),
    (State::Expired, "EXPIRED"),
    (State::Exited, "EXITED"),
];

/// The state of an `asyncio.Timeout`, and what is called often.
#[pyclass(subclass, frozen, module = "oxio._oxio")]
pub struct Timeout {
    state: GilFlag<State>,
    /// It is an `oxio.Timeout`, not an instance of a program's subclass.
    is_exact: bool,
    /// Empty for no limit.
    when: GilSlot,
    task: GilSlot,
    /// What will cancel the task: an [`Expiry`], or a handle of the loop.
    timer: GilSlot,
    /// `task.cancelling()` when it was entered.
    cancelling: GilFlag<Option<i64>>,
}

/// A native timer of a timeout, without a handle. An object of its own: the loop's queue keeps a cancelled timer for a
/// while, and must neither keep the timeout nor take the timer for the next one after `reschedule`.
#[pyclass(frozen, module = "oxio._oxio")]
pub struct Expiry {
    /// Empty when it was cancelled.
    timeout: GilSlot,
    when: f64,
}

static EXPIRY: NativeTimer = NativeTimer {
    is_cancelled: |object| look_at_class::<Expiry>(object, |py, expiry| expiry.timeout.is_empty(py)),
    on_time: |object| object.cast::<Expiry>()?.get().expire(object.py()),
};

/// Source: CPython `timeouts.Timeout.__aenter__`.
static ENTER: Operation =
    Operation { name: "Timeout.__aenter__", parameters: Parameters::NONE, resume: enter };

/// Source: CPython `timeouts.Timeout.__aexit__`.
///
/// # Cancel safety
/// It does not wait.
static EXIT: Operation = Operation {
    name: "Timeout.__aexit__",
    parameters: Parameters {
        is_method: true,
        names: &["exc_type", "exc_val", "exc_tb"],
        required: 3,
        positional: 3,
    },
    resume: exit,
};

/// Adds the class and the functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add_class::<Timeout>()?;
    let class = py.get_type::<Timeout>();
    let stock = stock(py)?;
    class.setattr("__aenter__", coroutine_function(stock.enter.bind(py), "oxio.timeouts", &ENTER)?)?;
    class.setattr("__aexit__", coroutine_function(stock.exit.bind(py), "oxio.timeouts", &EXIT)?)?;
    module.add_function(wrap_pyfunction!(timeout, module)?)?;
    module.add_function(wrap_pyfunction!(timeout_at, module)?)
}

/// Limit the time of a block: `async with timeout(delay):`.
///
/// After `delay` seconds the block is cancelled, and leaving it raises `TimeoutError`. None is no limit.
#[pyfunction]
fn timeout<'py>(delay: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = delay.py();
    let running = running_loop(py)?;
    let when = if delay.is_none() { delay.clone() } else { time(&running)?.after(delay)? };
    timeout_class(py)?.call1((when,))
}

/// Like `timeout()`, until `when` in seconds of `loop.time()`.
#[pyfunction]
fn timeout_at<'py>(when: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    timeout_class(when.py())?.call1((when,))
}

/// `loop.time()`.
enum Time<'py> {
    Ours(f64),
    Foreign(Bound<'py, PyAny>),
}

fn time<'py>(running: &Bound<'py, PyAny>) -> PyResult<Time<'py>> {
    match running.cast::<Loop>() {
        Ok(event_loop) if event_loop.get().native().timers => {
            Ok(Time::Ours(Deadline::now().as_secs_f64()))
        }
        _ => Ok(Time::Foreign(running.call_method0(interned!(running.py(), "time"))?)),
    }
}

impl<'py> Time<'py> {
    /// `time + delay`, by Python's own addition when `delay` is no float.
    fn after(self, delay: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = delay.py();
        match (self, delay.cast_exact::<PyFloat>()) {
            (Self::Ours(now), Ok(delay)) => Ok(PyFloat::new(py, now + delay.value()).into_any()),
            (Self::Ours(now), Err(_)) => PyFloat::new(py, now).add(delay),
            (Self::Foreign(now), _) => now.add(delay),
        }
    }
}

fn enter<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    match resumed {
        Resumed::Start => {}
        Resumed::Value(value) => return Ok(Step::Return(value)),
        Resumed::Error(error) => return Err(error),
    }
    let owner = view.owner()?;
    let timeout = owner.cast::<Timeout>()?;
    let state = timeout.get();
    let running = running_loop(py)?;
    let task = current_task(&running)?;
    let Some(task) = task.filter(|_| state.is_exact && state.state.get(py) == State::Created)
    else {
        return Ok(Step::Delegate(stock(py)?.enter.bind(py).call1((owner,))?));
    };
    state.state.set(py, State::Entered);
    state.cancelling.set(py, Some(cancelling(&task)?));
    drop(state.task.set(task));
    if let Some(when) = state.when.get(py) {
        Timeout::start_timer(timeout, &running, &when)?;
    }
    Ok(Step::Return(owner))
}

fn exit<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    match resumed {
        Resumed::Start => {}
        Resumed::Value(value) => return Ok(Step::Return(value)),
        Resumed::Error(error) => return Err(error),
    }
    let owner = view.owner()?;
    let state = owner.cast::<Timeout>()?.get();
    if state.is_exact && state.state.get(py) == State::Entered {
        state.cancel_timer(py)?;
        state.state.set(py, State::Exited);
        return Ok(Step::Return(py.None().into_bound(py)));
    }
    let given = view.state();
    let args = (owner, given.first.get(py), given.second.get(py), given.third.get(py));
    Ok(Step::Delegate(stock(py)?.exit.bind(py).call1(args)?))
}

impl Timeout {
    /// Sets the timer, by `loop.call_at` where a program could tell the difference.
    fn start_timer<'py>(
        slf: &Bound<'py, Self>,
        running: &Bound<'py, PyAny>,
        when: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let state = slf.get();
        if state.is_exact
            && let Ok(event_loop) = running.cast::<Loop>()
            && event_loop.get().has_native_timers(py)
            && let Ok(when) = when.cast_exact::<PyFloat>()
        {
            let timeout = GilSlot::new(Some(slf.clone().into_any().unbind()));
            let expiry = Bound::new(py, Expiry { timeout, when: when.value() })?.into_any();
            event_loop.get().start_timer(py, when.value(), expiry.clone().unbind(), &EXPIRY);
            drop(state.timer.set(expiry));
            return Ok(());
        }
        let on_timeout = slf.getattr(interned!(py, "_on_timeout"))?;
        let now = running.call_method0(interned!(py, "time"))?;
        let handle = if when.le(now)? {
            running.call_method1(interned!(py, "call_soon"), (on_timeout,))?
        } else {
            running.call_method1(interned!(py, "call_at"), (when, on_timeout))?
        };
        drop(state.timer.set(handle));
        Ok(())
    }

    fn cancel_timer(&self, py: Python<'_>) -> PyResult<()> {
        let Some(timer) = self.timer.take(py) else {
            return Ok(());
        };
        match timer.cast::<Expiry>() {
            Ok(expiry) => expiry.get().cancel(py),
            Err(_handle) => {
                timer.call_method0(interned!(py, "cancel"))?;
            }
        }
        Ok(())
    }
}

#[pymethods]
impl Timeout {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(when)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(Self {
            state: GilFlag::new(State::Created),
            is_exact: class.is(timeout_class(class.py())?),
            when: GilSlot::default(),
            task: GilSlot::default(),
            timer: GilSlot::default(),
            cancelling: GilFlag::new(None),
        })
    }

    fn __init__(&self, when: Bound<'_, PyAny>) {
        let py = when.py();
        self.state.set(py, State::Created);
        drop((self.timer.take(py), self.task.take(py)));
        self.assign_when(when);
    }

    /// Return the current deadline.
    fn when<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.when.get(py)
    }

    /// Reschedule the timeout: `when` is a time of `loop.time()`, or None for no limit.
    fn reschedule<'py>(slf: &Bound<'py, Self>, when: Bound<'py, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let state = slf.get();
        match state.state.get(py) {
            State::Entered => {}
            State::Created => {
                return Err(PyRuntimeError::new_err("Timeout has not been entered"));
            }
            other => {
                let name = stock(py)?.states[other as usize].bind(py);
                let name = name.getattr(interned!(py, "value"))?;
                return Err(PyRuntimeError::new_err(format!("Cannot change state of {name} Timeout")));
            }
        }
        state.assign_when(when.clone());
        state.cancel_timer(py)?;
        if when.is_none() {
            return Ok(());
        }
        Self::start_timer(slf, &running_loop(py)?, &when)
    }

    /// Is timeout expired during execution?
    fn expired(&self, py: Python<'_>) -> bool {
        matches!(self.state.get(py), State::Expiring | State::Expired)
    }

    #[getter(_state)]
    fn show_state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(stock(py)?.states[self.state.get(py) as usize].clone_ref(py))
    }

    #[setter(_state)]
    fn assign_state(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let known = stock(py)?.states.iter().zip(STATES).find(|(state, _)| state.is(value));
        let Some((_, (state, _))) = known else {
            return Err(PyTypeError::new_err(format!("not a state of a Timeout: {value:?}")));
        };
        self.state.set(py, state);
        Ok(())
    }

    #[getter(_when)]
    fn show_when<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.when.get(py)
    }

    #[setter(_when)]
    fn assign_when(&self, value: Bound<'_, PyAny>) {
        assign(&self.when, value);
    }

    #[getter(_task)]
    fn show_task<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.task.get(py)
    }

    #[setter(_task)]
    fn assign_task(&self, value: Bound<'_, PyAny>) {
        assign(&self.task, value);
    }

    #[getter(_timeout_handler)]
    fn show_timer<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.timer.get(py)
    }

    #[setter(_timeout_handler)]
    fn assign_timer(&self, value: Bound<'_, PyAny>) {
        assign(&self.timer, value);
    }

    #[getter(_cancelling)]
    fn show_cancelling(&self, py: Python<'_>) -> PyResult<i64> {
        let missing = || PyAttributeError::new_err("'Timeout' object has no attribute '_cancelling'");
        self.cancelling.get(py).ok_or_else(missing)
    }

    #[setter(_cancelling)]
    fn assign_cancelling(&self, py: Python<'_>, value: i64) {
        self.cancelling.set(py, Some(value));
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.when.traverse(&visit)?;
        self.task.traverse(&visit)?;
        self.timer.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop((self.when.take(py), self.task.take(py), self.timer.take(py)));
    }
}

/// Sets an attribute that is None when its slot is empty.
fn assign(slot: &GilSlot, value: Bound<'_, PyAny>) {
    let old = if value.is_none() { slot.take(value.py()) } else { slot.set(value) };
    drop(old);
}

impl Expiry {
    /// The time has come.
    ///
    /// Source: CPython `timeouts.Timeout._on_timeout`.
    fn expire(&self, py: Python<'_>) -> PyResult<()> {
        let Some(timeout) = self.timeout.take(py) else {
            return Ok(());
        };
        let timeout = timeout.cast_into::<Timeout>()?;
        let state = timeout.get();
        if let Some(task) = state.task.get(py) {
            task.call_method0(interned!(py, "cancel"))?;
        }
        state.state.set(py, State::Expiring);
        drop(state.timer.take(py));
        Ok(())
    }
}

/// What a handle of the loop offers, for asyncio's code.
#[pymethods]
impl Expiry {
    /// The time at which it expires, in seconds of `loop.time()`.
    fn when(&self) -> f64 {
        self.when
    }

    fn cancel(&self, py: Python<'_>) {
        if let Some(timeout) = self.timeout.take(py)
            && let Some(event_loop) = running_native_loop(py)
        {
            let removed = event_loop.get().timers.borrow(py).note_cancelled();
            drop((removed, timeout));
        }
    }

    fn cancelled(&self, py: Python<'_>) -> bool {
        self.timeout.is_empty(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.timeout.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.timeout.take(py));
    }
}

/// asyncio's own code, for what is not native.
struct Stock {
    enter: Py<PyAny>,
    exit: Py<PyAny>,
    /// The members of `_State`, in the order of [`STATES`].
    states: Vec<Py<PyAny>>,
}

fn stock(py: Python<'_>) -> PyResult<&'static Stock> {
    static STOCK: PyOnceLock<Stock> = PyOnceLock::new();
    STOCK.get_or_try_init(py, || {
        let timeouts = py.import("asyncio.timeouts")?;
        let (class, states) = (timeouts.getattr("Timeout")?, timeouts.getattr("_State")?);
        let member = |(_, name): &(State, &str)| PyResult::Ok(states.getattr(*name)?.unbind());
        Ok(Stock {
            enter: class.getattr("__aenter__")?.unbind(),
            exit: class.getattr("__aexit__")?.unbind(),
            states: STATES.iter().map(member).collect::<PyResult<_>>()?,
        })
    })
}

/// The class `oxio.Timeout`. It is made in Python, long before the first instance.
fn timeout_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS.get_or_try_init(py, || {
        PyResult::Ok(py.import("oxio.timeouts")?.getattr("Timeout")?.unbind())
    })?;
    Ok(class.bind(py))
}
