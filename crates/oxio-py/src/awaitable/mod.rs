//! Native awaitables: what `lock.acquire()`, `queue.get()` or `sleep()` return.
//!
//! An `Awaitable` is a coroutine written in Rust. It is *lazy*: nothing happens before the first send. What it does is
//! an [`Operation`], a function that is called with what resumed it and answers with the next [`Step`].
//!
//! Phases, as of every coroutine: created → (running ⇄ suspended) → closed. Never awaited, it warns when it dies.
//!
//! While suspended by [`Step::Park`] it is at the same time what its task waits for. It yields *itself*, and:
//! * oxio's task recognises the class, parks on it and is woken by one entry of the ready queue;
//! * anybody else (CPython's task, debug mode, another loop) finds the future protocol on it ([`waiting`]).
//!
//! So a wait makes no Future and no Handle. The class itself does not look like a future: `asyncio.isfuture` of an
//! awaitable is False, else `wait_for` and `gather` would take it for one.
//!
//! Thread: the loop's. Invariant: an operation leaves its owner's state consistent before it returns a step.

mod function;
mod timer;
mod waiting;

use pyo3::exceptions::{
    PyBaseException, PyGeneratorExit, PyRuntimeError, PyStopIteration, PyTypeError, PyValueError,
};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

pub use function::{
    Call, Method, Operation, Parameters, PlainFunction, call_template, coroutine_function,
    method_function, new_awaitable, plain_function, remember_template,
};
pub use timer::{Alarm, cancel_alarm, wake_after};
pub use waiting::FUTURE_CLASS;

use function::code_of;

use crate::interop::call::{Sent, send_none, throw};
use crate::interop::cell::{GilFlag, GilSlot};
use crate::interop::imports::{Imports, interned};
use crate::interop::instance::{Held, InstanceClass, held, make_class};
use crate::interop::rawtype::{method_anyargs, method_noargs, method_onearg};

/// What resumed an operation.
pub enum Resumed<'py> {
    /// The first send.
    Start,
    /// The wait is over, or what was delegated to has returned this.
    Value(Bound<'py, PyAny>),
    /// This was raised at the point of suspension, or by what was delegated to.
    Error(PyErr),
}

/// What an operation does next.
pub enum Step<'py> {
    /// Wait until somebody calls [`AwaitableView::wake`].
    Park,
    /// Let everything else that is ready run once: a bare `yield`.
    Yield,
    /// Await this iterator: send, throw and what it yields pass through.
    Delegate(Bound<'py, PyAny>),
    /// Return this.
    Return(Bound<'py, PyAny>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Created,
    Running,
    Suspended,
    Closed,
}

/// The waiting of a parked awaitable, the states of a future.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Not parked.
    Idle,
    Pending,
    Woken,
    Cancelled,
}

/// What an instance of `oxio._oxio.Awaitable` holds.
pub struct Awaitable {
    operation: &'static Operation,
    phase: GilFlag<Phase>,
    wait: GilFlag<Wait>,
    was_woken: GilFlag<bool>,
    /// Whether its last wait was its own, and not that of what it had delegated to.
    pub has_parked: GilFlag<bool>,
    /// `_asyncio_future_blocking`: set when it yields itself, cleared by the task that takes it.
    blocking: GilFlag<bool>,
    /// A number for the operation's own use.
    pub number: GilFlag<usize>,
    /// What the operation is a method of.
    owner: GilSlot,
    /// The operation's arguments, and whatever else it wants to remember.
    pub first: GilSlot,
    pub second: GilSlot,
    pub third: GilSlot,
    /// What it has delegated to.
    inner: GilSlot,
    /// The oxio task that is parked on it.
    task: GilSlot,
    /// Done callbacks of foreign tasks: a list of `(callback, context, loop)`.
    callbacks: GilSlot,
    cancel_message: GilSlot,
}

static CLASS: InstanceClass = InstanceClass::new();
static MADE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The class `oxio._oxio.Awaitable`.
pub fn awaitable_class(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let class = MADE.get_or_try_init(py, || {
        let methods = vec![
            method_onearg(c"send", c"Resume it with a value; as of coroutines.", send),
            method_anyargs(
                c"throw",
                c"Raise an error where it waits; as of coroutines.",
                throw_method,
            ),
            method_noargs(c"close", c"End it where it waits; as of coroutines.", close),
            method_noargs(c"_wake", c"End the wait.", waiting::wake_method),
            method_onearg(
                c"set_result",
                c"End the wait, as a future's waker does.",
                waiting::set_result,
            ),
            method_noargs(c"get_loop", c"The running loop.", waiting::get_loop),
            method_anyargs(
                c"add_done_callback",
                c"For a foreign task that waits for it.",
                waiting::add_done_callback,
            ),
            method_onearg(
                c"remove_done_callback",
                c"For a foreign task that waits for it.",
                waiting::remove_done_callback,
            ),
            method_anyargs(
                c"cancel",
                c"Cancel the wait; True when it was pending.",
                waiting::cancel,
            ),
            method_noargs(c"cancelled", c"True when the wait was cancelled.", waiting::cancelled),
            method_noargs(c"done", c"True when the wait is over.", waiting::done),
            method_noargs(c"result", c"None, or CancelledError.", waiting::result),
            method_noargs(c"exception", c"None, or CancelledError.", waiting::result),
        ];
        let class = make_class::<Awaitable>(
            py,
            c"oxio._oxio.Awaitable",
            c"A native coroutine: what awaiting it does is written in Rust.",
            methods,
        )?;
        PyResult::Ok(class.unbind())
    })?;
    Ok(class.bind(py).clone())
}

/// An awaitable in the hands of an operation or a task.
#[derive(Clone, Copy)]
pub struct AwaitableView<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    held: &'a Awaitable,
}

impl<'a, 'py> AwaitableView<'a, 'py> {
    /// `None` for every other object.
    pub fn of(object: &'a Bound<'py, PyAny>) -> Option<Self> {
        held::<Awaitable>(object).map(|held| Self { object, held })
    }

    pub fn object(self) -> &'a Bound<'py, PyAny> {
        self.object
    }

    pub fn py(self) -> Python<'py> {
        self.object.py()
    }

    /// The object that the operation is a method of.
    pub fn owner(self) -> PyResult<Bound<'py, PyAny>> {
        self.held.owner.get(self.py()).ok_or_else(|| {
            PyRuntimeError::new_err(format!(
                "{} has no instance to work on",
                self.held.operation.name
            ))
        })
    }

    pub fn state(self) -> &'a Awaitable {
        self.held
    }

    /// Resumes it, with `None` or by raising an error where it waits.
    pub fn advance(self, error: Option<PyErr>) -> Sent<'py> {
        let py = self.py();
        match self.held.phase.get(py) {
            Phase::Created => match error {
                None => self.run(Resumed::Start),
                Some(error) => {
                    self.finish();
                    Sent::Raised(error)
                }
            },
            Phase::Running => Sent::Raised(PyValueError::new_err("coroutine already executing")),
            Phase::Closed => {
                Sent::Raised(PyRuntimeError::new_err("cannot reuse already awaited coroutine"))
            }
            Phase::Suspended => match self.held.inner.get(py) {
                None => self.run(self.end_of_wait(error)),
                Some(inner) => match self.resume_inner(&inner, error) {
                    Ok(resumed) => self.run(resumed),
                    Err(yielded) => yielded,
                },
            },
        }
    }

    /// The first send. Most operations end with it: nothing but the arguments is to be let go of then.
    #[inline]
    fn start(self) -> Sent<'py> {
        let py = self.py();
        self.held.phase.set(py, Phase::Running);
        match (self.held.operation.resume)(self, Resumed::Start) {
            Ok(Step::Return(value)) => {
                self.held.phase.set(py, Phase::Closed);
                let held = self.held;
                drop((held.owner.take(py), held.first.take(py)));
                drop((held.second.take(py), held.third.take(py)));
                Sent::Returned(value)
            }
            stepped => self.follow(stepped),
        }
    }

    /// Calls the operation until it suspends or ends.
    fn run(self, resumed: Resumed<'py>) -> Sent<'py> {
        self.held.phase.set(self.py(), Phase::Running);
        self.follow((self.held.operation.resume)(self, resumed))
    }

    /// Does what the operation says, and calls it again, until it suspends or ends.
    fn follow(self, mut stepped: PyResult<Step<'py>>) -> Sent<'py> {
        let py = self.py();
        loop {
            let resumed = match stepped {
                Ok(Step::Park) => {
                    self.held.has_parked.set(py, true);
                    self.held.wait.set(py, Wait::Pending);
                    self.held.blocking.set(py, true);
                    self.held.phase.set(py, Phase::Suspended);
                    return Sent::Yielded(self.object.clone());
                }
                Ok(Step::Yield) => {
                    self.held.phase.set(py, Phase::Suspended);
                    return Sent::Yielded(py.None().into_bound(py));
                }
                Ok(Step::Delegate(inner)) => {
                    self.held.has_parked.set(py, false);
                    drop(self.held.inner.set(inner.clone()));
                    match self.resume_inner(&inner, None) {
                        Ok(next) => next,
                        Err(yielded) => return yielded,
                    }
                }
                Ok(Step::Return(value)) => {
                    self.finish();
                    return Sent::Returned(value);
                }
                Err(error) => {
                    self.finish();
                    return Sent::Raised(not_a_return(py, error));
                }
            };
            self.held.phase.set(py, Phase::Running);
            stepped = (self.held.operation.resume)(self, resumed);
        }
    }

    /// Passes a send or a throw on to what it has delegated to. What that yields is the answer; when it ends, the
    /// operation is told.
    fn resume_inner(
        self,
        inner: &Bound<'py, PyAny>,
        error: Option<PyErr>,
    ) -> Result<Resumed<'py>, Sent<'py>> {
        let py = self.py();
        self.held.phase.set(py, Phase::Running);
        let sent = match error {
            None => send_none(inner),
            Some(error) => throw_into(inner, error),
        };
        if let Sent::Yielded(value) = sent {
            self.held.phase.set(py, Phase::Suspended);
            return Err(Sent::Yielded(value));
        }
        drop(self.held.inner.take(py));
        match sent {
            Sent::Returned(value) => Ok(Resumed::Value(value)),
            Sent::Raised(error) => Ok(Resumed::Error(error)),
            Sent::Yielded(_) => unreachable!("returned above"),
        }
    }

    /// Closed: it lets go of everything, as a coroutine does of its frame.
    fn finish(self) {
        let py = self.py();
        self.held.phase.set(py, Phase::Closed);
        self.held.wait.set(py, Wait::Idle);
        for slot in self.held.slots() {
            drop(slot.take(py));
        }
    }
}

/// What a coroutine raises in the place of `error`: a `StopIteration` would say that it has returned.
fn not_a_return(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyStopIteration>(py) {
        return error;
    }
    let raised = PyRuntimeError::new_err("coroutine raised StopIteration");
    raised.set_context(py, Some(error.clone_ref(py)));
    raised.set_cause(py, Some(error));
    raised
}

fn awaited_already() -> PyErr {
    PyRuntimeError::new_err("coroutine is being awaited already")
}

/// Raises `error` where `inner` waits, as `yield from` does: closed by `GeneratorExit`, and without a `throw` of its own
/// the error is raised in its place.
fn throw_into<'py>(inner: &Bound<'py, PyAny>, error: PyErr) -> Sent<'py> {
    let py = inner.py();
    let is_exit = error.is_instance_of::<PyGeneratorExit>(py);
    let name = if is_exit { interned!(py, "close") } else { interned!(py, "throw") };
    match inner.getattr_opt(name) {
        Ok(None) => Sent::Raised(error),
        Ok(Some(close)) if is_exit => match close.call0() {
            Ok(_) => Sent::Raised(error),
            Err(other) => Sent::Raised(other),
        },
        Ok(Some(_throw)) => throw(inner, &error.into_value(py).into_bound(py).into_any()),
        Err(other) => Sent::Raised(other),
    }
}

impl Held for Awaitable {
    const IS_AWAITABLE: bool = true;

    fn class() -> &'static InstanceClass {
        &CLASS
    }

    fn slots(&self) -> impl Iterator<Item = &GilSlot> {
        [
            &self.owner,
            &self.first,
            &self.second,
            &self.third,
            &self.inner,
            &self.task,
            &self.callbacks,
            &self.cancel_message,
        ]
        .into_iter()
    }

    fn begin_await(&self, py: Python<'_>) -> PyResult<()> {
        match self.phase.get(py) {
            Phase::Suspended | Phase::Running => Err(awaited_already()),
            Phase::Created | Phase::Closed => Ok(()),
        }
    }

    fn send<'py>(&self, slf: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> Sent<'py> {
        if self.phase.get(slf.py()) == Phase::Created && !value.is_none() {
            return Sent::Raised(PyTypeError::new_err(
                "can't send non-None value to a just-started coroutine",
            ));
        }
        let view = AwaitableView { object: slf, held: self };
        if self.phase.get(slf.py()) == Phase::Created { view.start() } else { view.advance(None) }
    }

    #[inline]
    fn has_last_words(&self, py: Python<'_>) -> bool {
        matches!(self.phase.get(py), Phase::Created | Phase::Suspended)
    }

    /// Never awaited: a warning. Left in the middle: closed, so that it gives back what it had.
    fn say_last_words(&self, slf: &Bound<'_, PyAny>) {
        let py = slf.py();
        let said = if self.phase.get(py) == Phase::Created {
            py.import("warnings").and_then(|warnings| {
                warnings.call_method1("_warn_unawaited_coroutine", (slf,)).map(drop)
            })
        } else {
            close(slf).map(drop)
        };
        if let Err(error) = said {
            error.write_unraisable(py, Some(slf));
        }
    }

    fn attribute<'py>(
        &self,
        slf: &Bound<'py, PyAny>,
        name: &str,
    ) -> Option<PyResult<Bound<'py, PyAny>>> {
        let py = slf.py();
        let text = |text: &str| Some(Ok(text.into_pyobject(py).ok()?.into_any()));
        match name {
            "__qualname__" => text(self.operation.name),
            "__name__" => text(self.operation.name.rsplit('.').next()?),
            // Call graphs follow it through what has delegated to something else.
            "cr_await" => Some(Ok(self.inner.get(py).unwrap_or_else(|| py.None().into_bound(py)))),
            "cr_origin" => Some(Ok(py.None().into_bound(py))),
            "cr_running" => flag(py, self.phase.get(py) == Phase::Running),
            "cr_suspended" => flag(py, self.phase.get(py) == Phase::Suspended),
            "cr_code" => Some(code_of(py, self.operation)),
            "cr_frame" if self.phase.get(py) == Phase::Closed => Some(Ok(py.None().into_bound(py))),
            "cr_frame" => {
                Some(code_of(py, self.operation).and_then(|code| stand_in_frame(slf, code)))
            }
            // The interpreter asks the type; a program that asks gets something iterable, as from a coroutine.
            "__await__" => Some(
                Bound::new(py, AwaitIterator::of(slf))
                    .and_then(|iterator| iterator.into_any().getattr(interned!(py, "_itself"))),
            ),
            _ => waiting::attribute(AwaitableView { object: slf, held: self }, name),
        }
    }

    fn set_attribute(&self, name: &str, value: Option<&Bound<'_, PyAny>>) -> Option<PyResult<()>> {
        let value = value?;
        if name != "_asyncio_future_blocking" {
            return None;
        }
        Some(value.is_truthy().map(|blocking| self.blocking.set(value.py(), blocking)))
    }

    fn repr(&self, slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let text = format!("<coroutine object {} at {:p}>", self.operation.name, slf.as_ptr());
        Ok(text.into_pyobject(slf.py())?.into_any().unbind())
    }
}

fn flag(py: Python<'_>, flag: bool) -> Option<PyResult<Bound<'_, PyAny>>> {
    Some(Ok(flag.into_pyobject(py).ok()?.to_owned().into_any()))
}

/// What `inspect`, `Task.get_stack()` and debuggers may read of a frame: asyncio's function of that name.
fn stand_in_frame<'py>(
    slf: &Bound<'py, PyAny>,
    code: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = code.py();
    if code.is_none() {
        // An awaitable of our own making, without a function behind it.
        return Ok(code);
    }
    let fields = PyDict::new(py);
    fields.set_item("f_generator", slf)?;
    fields.set_item("f_lineno", code.getattr("co_firstlineno")?)?;
    fields.set_item("f_code", code)?;
    fields.set_item("f_back", py.None())?;
    for name in ["f_globals", "f_locals", "f_builtins"] {
        fields.set_item(name, PyDict::new(py))?;
    }
    Imports::of(py)?.simple_namespace.bind(py).call((), Some(&fields))
}

/// What `awaitable.__await__()` returns: iterable, as the standard library's is.
#[pyclass(frozen, module = "oxio._oxio")]
pub struct AwaitIterator {
    awaitable: GilSlot,
}

impl AwaitIterator {
    fn of(awaitable: &Bound<'_, PyAny>) -> Self {
        Self { awaitable: GilSlot::new(Some(awaitable.clone().unbind())) }
    }

    fn method<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.awaitable.get(py) {
            Some(awaitable) => awaitable.getattr(name),
            None => Err(PyRuntimeError::new_err("this iterator was cleared")),
        }
    }
}

#[pymethods]
impl AwaitIterator {
    fn _itself(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        if let Some(awaitable) = slf.get().awaitable.get(slf.py()) {
            view(&awaitable)?.held.begin_await(slf.py())?;
        }
        Ok(slf)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.method(py, "send")?.call1((py.None(),))
    }

    fn send<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.method(value.py(), "send")?.call1((value,))
    }

    #[pyo3(signature = (*args))]
    fn throw<'py>(&self, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        self.method(args.py(), "throw")?.call1(args)
    }

    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.method(py, "close")?.call0()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.awaitable.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.awaitable.take(py));
    }
}

fn view<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<AwaitableView<'a, 'py>> {
    AwaitableView::of(object)
        .ok_or_else(|| PyTypeError::new_err("this method needs an oxio awaitable"))
}

fn send(slf: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let view = view(slf)?;
    as_method(view.held.send(slf, value))
}

/// What a Python caller of `send` or `throw` gets: a return is `StopIteration`.
fn as_method(sent: Sent<'_>) -> PyResult<Py<PyAny>> {
    match sent {
        Sent::Yielded(value) => Ok(value.unbind()),
        Sent::Returned(value) => Err(PyStopIteration::new_err((value.unbind(),))),
        Sent::Raised(error) => Err(error),
    }
}

/// `throw(error)`, and the old `throw(type, value, traceback)`.
fn throw_method(
    slf: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    _kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<Py<PyAny>> {
    let view = view(slf)?;
    let kind = args.get_item(0)?;
    let given = args.get_item(1).ok().filter(|value| !value.is_none());
    let error = match (kind.is_instance_of::<PyType>(), given) {
        (true, Some(value)) if value.is_instance(&kind)? => value,
        (true, Some(value)) => kind.call1((value,))?,
        (true, None) => kind.call0()?,
        (false, _) => kind,
    };
    if !error.is_instance_of::<PyBaseException>() {
        return Err(PyTypeError::new_err(format!(
            "exceptions must be classes or instances deriving from BaseException, not {}",
            error.get_type().name()?
        )));
    }
    if let Ok(traceback) = args.get_item(2)
        && !traceback.is_none()
    {
        error.setattr(interned!(slf.py(), "__traceback__"), traceback)?;
    }
    as_method(view.advance(Some(PyErr::from_value(error))))
}

fn close(slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let view = view(slf)?;
    match view.held.phase.get(py) {
        Phase::Created => {
            view.finish();
            return Ok(py.None());
        }
        Phase::Closed => return Ok(py.None()),
        Phase::Running | Phase::Suspended => {}
    }
    // Made at once: PyO3 makes a lazy error through a new attachment, and at the interpreter's end there is none.
    let exit = py.get_type::<PyGeneratorExit>().call0()?;
    match view.advance(Some(PyErr::from_value(exit))) {
        Sent::Yielded(_) => Err(PyRuntimeError::new_err("coroutine ignored GeneratorExit")),
        Sent::Returned(_) => Ok(py.None()),
        Sent::Raised(error)
            if error.is_instance_of::<PyGeneratorExit>(py)
                || error.is_instance_of::<PyStopIteration>(py) =>
        {
            Ok(py.None())
        }
        Sent::Raised(error) => Err(error),
    }
}
