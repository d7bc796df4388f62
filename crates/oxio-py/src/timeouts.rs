//! `timeout`, `timeout_at` and entering and leaving a `Timeout`: a limit on the time that a block of code may take.
//!
//! The class is Python's, `oxio.Timeout`, with asyncio's behind it; its attributes are slots that both sides use
//! (`interop/slots.rs`). Native is what happens when nothing expires: making one, entering it, leaving it. The rest
//! (`reschedule`, leaving a block that has expired, refusing wrong use) is asyncio's own code on the same state. An
//! instance of a subclass runs asyncio's code throughout, for it may have overridden what that code calls.
//!
//! States: created → entered → exited; or entered → expiring → expired. A timer is set while it is entered.
//!
//! Thread: the loop's.

use oxio_core::clock::Deadline;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyFloat, PyInt, PyTuple, PyType};

use crate::awaitable::{
    AwaitableView, Operation, Parameters, PlainFunction, Resumed, Step, call_template,
    coroutine_function, plain_function,
};
use crate::interop::cell::GilSlot;
use crate::interop::imports::interned;
use crate::interop::instance::{Held, InstanceClass, held, look_at, make_class, new_instance_of};
use crate::interop::rawtype::method_noargs;
use crate::interop::slots::{SlotClass, SlotView};
use crate::scheduler::{Loop, NativeTimer, running_loop, running_native_loop};
use crate::task::{cancelling, current_task};

/// The attributes of `asyncio.Timeout`, sorted.
const NAMES: [&str; 5] = ["_cancelling", "_state", "_task", "_timeout_handler", "_when"];
const CANCELLING: usize = 0;
const STATE: usize = 1;
const TASK: usize = 2;
const TIMER: usize = 3;
const WHEN: usize = 4;

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

/// Adds the functions to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let methods = vec![method_noargs(c"cancel", c"Never expire.", |slf| {
        if let Some(expiry) = held::<Expiry>(slf) {
            expiry.cancel(slf.py());
        }
        Ok(slf.py().None())
    })];
    make_class::<Expiry>(
        module.py(),
        c"oxio._oxio.Expiry",
        c"The timer of a Timeout, in the place of a TimerHandle.",
        methods,
    )?;
    module.add_function(wrap_pyfunction!(adopt_timeout, module)?)?;
    let asyncios = module.py().import("asyncio.timeouts")?;
    for (name, function) in [("timeout", &TIMEOUT), ("timeout_at", &TIMEOUT_AT)] {
        module.add(name, plain_function(&asyncios.getattr(name)?, "oxio.timeouts", function)?)?;
    }
    Ok(())
}

/// `oxio.Timeout`, and asyncio's code for what is not native.
struct Timeouts {
    class: Py<PyType>,
    /// `None` when it is not laid out as expected: then all is asyncio's.
    slots: Option<SlotClass>,
    enter: Py<PyAny>,
    exit: Py<PyAny>,
    /// Members of `_State`.
    created: Py<PyAny>,
    entered: Py<PyAny>,
    expiring: Py<PyAny>,
    exited: Py<PyAny>,
}

static TIMEOUTS: PyOnceLock<Timeouts> = PyOnceLock::new();

fn timeouts(py: Python<'_>) -> PyResult<&'static Timeouts> {
    TIMEOUTS.get(py).ok_or_else(|| PyRuntimeError::new_err("oxio.timeouts is not imported"))
}

/// Makes the class that `oxio.timeouts` has defined a native one.
#[pyfunction]
#[pyo3(name = "_adopt_timeout")]
fn adopt_timeout<'py>(class: Bound<'py, PyType>) -> PyResult<Bound<'py, PyType>> {
    let py = class.py();
    let states = py.import("asyncio.timeouts")?.getattr("_State")?;
    let member = |name: &str| PyResult::Ok(states.getattr(name)?.unbind());
    let (enter, exit) = (class.getattr("__aenter__")?, class.getattr("__aexit__")?);
    class.setattr("__aenter__", coroutine_function(&enter, "oxio.timeouts", &ENTER)?)?;
    class.setattr("__aexit__", coroutine_function(&exit, "oxio.timeouts", &EXIT)?)?;
    let adopted = Timeouts {
        class: class.clone().unbind(),
        slots: SlotClass::of(&class, &NAMES)?,
        enter: enter.unbind(),
        exit: exit.unbind(),
        created: member("CREATED")?,
        entered: member("ENTERED")?,
        expiring: member("EXPIRING")?,
        exited: member("EXITED")?,
    };
    // A module that is imported a second time in this process defines another class, which stays Python's.
    let _ = TIMEOUTS.set(py, adopted);
    Ok(class)
}

/// `timeout(delay)`: `delay` in seconds, None for no limit.
static TIMEOUT: PlainFunction = PlainFunction(|template, args, keywords| {
    let py = template.py();
    let Some(delay) = only_argument(args, keywords, "delay")? else {
        return call_template(template, args, keywords);
    };
    let running = running_loop(py)?;
    new_timeout(py, if delay.is_none() { delay.clone() } else { after(&running, delay)? })
});

/// `timeout_at(when)`: `when` in seconds of `loop.time()`.
static TIMEOUT_AT: PlainFunction =
    PlainFunction(|template, args, keywords| match only_argument(args, keywords, "when")? {
        Some(when) => new_timeout(template.py(), when.clone()),
        None => call_template(template, args, keywords),
    });

/// The one argument, by position or by `name`.
fn only_argument<'a, 'py>(
    args: &'a [Bound<'py, PyAny>],
    keywords: Option<&Bound<'py, PyTuple>>,
    name: &str,
) -> PyResult<Option<&'a Bound<'py, PyAny>>> {
    let [argument] = args else {
        return Ok(None);
    };
    let is_known = match keywords {
        None => true,
        Some(keywords) => keywords.get_item(0)?.eq(name)?,
    };
    Ok(is_known.then_some(argument))
}

/// `Timeout(when)`.
fn new_timeout<'py>(py: Python<'py>, when: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let known = timeouts(py)?;
    let Some(slots) = &known.slots else {
        return known.class.bind(py).call1((when,));
    };
    let made = slots.new_instance(py)?;
    if let Some(view) = slots.view(&made) {
        let none = py.None().into_bound(py);
        let unset = (
            view.set(STATE, known.created.bind(py).clone()),
            view.set(TASK, none.clone()),
            view.set(TIMER, none),
            view.set(WHEN, when),
        );
        debug_assert!(matches!(unset, (None, None, None, None)), "a new instance was not empty");
    }
    Ok(made)
}

/// A float, or an int that is one: what nearly all delays are.
pub fn seconds(number: &Bound<'_, PyAny>) -> Option<f64> {
    if let Ok(number) = number.cast_exact::<PyFloat>() {
        return Some(number.value());
    }
    let number = number.cast_exact::<PyInt>().ok()?;
    number.extract::<i32>().ok().map(f64::from)
}

/// `loop.time() + delay`.
fn after<'py>(
    running: &Bound<'py, PyAny>,
    delay: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = delay.py();
    match running.cast::<Loop>() {
        Ok(event_loop) if event_loop.get().native(py).timers => {
            let now = Deadline::now().as_secs_f64();
            match seconds(delay) {
                Some(delay) => Ok(PyFloat::new(py, now + delay).into_any()),
                // Python's own addition decides what else may be a delay.
                None => PyFloat::new(py, now).add(delay),
            }
        }
        _ => running.call_method0(interned!(py, "time"))?.add(delay),
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
    if !enter_natively(py, &owner)? {
        return Ok(Step::Delegate(timeouts(py)?.enter.bind(py).call1((owner,))?));
    }
    Ok(Step::Return(owner))
}

/// False when asyncio must do it.
fn enter_natively(py: Python<'_>, owner: &Bound<'_, PyAny>) -> PyResult<bool> {
    let known = timeouts(py)?;
    let Some(timeout) = known.slots.as_ref().and_then(|slots| slots.view(owner)) else {
        return Ok(false);
    };
    let Some(event_loop) = running_native_loop(py) else {
        return Ok(false);
    };
    if !event_loop.get().has_native_timers(py) || !timeout.holds(STATE, known.created.bind(py)) {
        return Ok(false);
    }
    let when = timeout.get(WHEN);
    let when = match &when {
        None => return Ok(false),
        Some(when) if when.is_none() => None,
        Some(when) => match when.cast_exact::<PyFloat>() {
            Ok(when) => Some(when.value()),
            Err(_number) => return Ok(false),
        },
    };
    let Some(task) = current_task(event_loop.as_any())? else {
        return Ok(false);
    };
    let count = cancelling(&task)?.into_pyobject(py)?.into_any();
    let old = (
        timeout.set(STATE, known.entered.bind(py).clone()),
        timeout.set(CANCELLING, count),
        timeout.set(TASK, task),
    );
    drop(old);
    if let Some(when) = when {
        let expiry = Expiry { timeout: GilSlot::new(Some(owner.clone().unbind())) };
        let expiry = new_instance_of(py, expiry)?;
        event_loop.get().start_timer(py, when, expiry.clone().unbind(), &EXPIRY);
        drop(timeout.set(TIMER, expiry));
    }
    Ok(true)
}

fn exit<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    match resumed {
        Resumed::Start => {}
        Resumed::Value(value) => return Ok(Step::Return(value)),
        Resumed::Error(error) => return Err(error),
    }
    let owner = view.owner()?;
    let known = timeouts(py)?;
    let timeout = known.slots.as_ref().and_then(|slots| slots.view(&owner));
    if let Some(timeout) = timeout.filter(|view| view.holds(STATE, known.entered.bind(py))) {
        cancel_timer(timeout)?;
        drop(timeout.set(STATE, known.exited.bind(py).clone()));
        return Ok(Step::Return(py.None().into_bound(py)));
    }
    let given = view.state();
    let args = (owner, given.first.get(py), given.second.get(py), given.third.get(py));
    Ok(Step::Delegate(known.exit.bind(py).call1(args)?))
}

fn cancel_timer(timeout: SlotView<'_, '_>) -> PyResult<()> {
    if timeout.is_none(TIMER) {
        return Ok(());
    }
    let Some(timer) = timeout.get(TIMER) else {
        return Ok(());
    };
    let py = timer.py();
    match held::<Expiry>(&timer) {
        Some(expiry) => expiry.cancel(py),
        // asyncio's own `reschedule` has set it.
        None => timer.call_method0(interned!(py, "cancel")).map(drop)?,
    }
    drop(timeout.set(TIMER, py.None().into_bound(py)));
    Ok(())
}

/// A timer without a handle. It is not the timeout itself: the loop's queue keeps a cancelled timer for a while, and
/// must neither keep the timeout alive nor take the old timer for the new one after `reschedule`.
struct Expiry {
    /// Empty when it was cancelled, or has expired.
    timeout: GilSlot,
}

static CLASS: InstanceClass = InstanceClass::new();

static EXPIRY: NativeTimer = NativeTimer {
    is_cancelled: |object| look_at::<Expiry>(object, |py, expiry| expiry.timeout.is_empty(py)),
    on_time: |object| match held::<Expiry>(object) {
        Some(expiry) => expiry.expire(object.py()),
        None => Ok(()),
    },
};

impl Expiry {
    fn cancel(&self, py: Python<'_>) {
        if let Some(timeout) = self.timeout.take(py)
            && let Some(event_loop) = running_native_loop(py)
        {
            let removed = event_loop.get().timers.borrow(py).note_cancelled();
            drop((removed, timeout));
        }
    }

    /// Source: CPython `timeouts.Timeout._on_timeout`.
    fn expire(&self, py: Python<'_>) -> PyResult<()> {
        let Some(owner) = self.timeout.take(py) else {
            return Ok(());
        };
        let known = timeouts(py)?;
        let timeout = known.slots.as_ref().and_then(|slots| slots.view(&owner));
        let Some(timeout) = timeout.filter(|view| view.holds(STATE, known.entered.bind(py))) else {
            return Err(PyAssertionError::new_err(()));
        };
        if let Some(task) = timeout.get(TASK) {
            task.call_method0(interned!(py, "cancel"))?;
        }
        let old = (
            timeout.set(STATE, known.expiring.bind(py).clone()),
            timeout.set(TIMER, py.None().into_bound(py)),
        );
        drop(old);
        Ok(())
    }
}

impl Held for Expiry {
    const IS_AWAITABLE: bool = false;

    fn class() -> &'static InstanceClass {
        &CLASS
    }

    fn slots(&self) -> impl Iterator<Item = &GilSlot> {
        std::iter::once(&self.timeout)
    }

    fn repr(&self, slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let state = if self.timeout.is_empty(slf.py()) { " cancelled" } else { "" };
        Ok(format!("<Expiry{state}>").into_pyobject(slf.py())?.into_any().unbind())
    }
}
