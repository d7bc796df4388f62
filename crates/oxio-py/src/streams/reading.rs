//! The reads: `read`, `readexactly`, `readuntil`, `readline`, and a reader as an async iterator.
//!
//! Each is a loop of asyncio's, cut where it waits: look at the buffer; enough → take it and return; the end → what is
//! there; else wait, and look again. What is left in the buffer by an error or a cancelled read is there for the next.
//!
//! Source: CPython `streams.StreamReader`.

use pyo3::exceptions::{PyRuntimeError, PyStopAsyncIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList, PyType};

use super::Stock;
use super::hooks::Method;
use super::reader::{HOOKS, StreamReader, hook};
use super::search::{Found, Separators};
use crate::awaitable::{AwaitableView, Operation, Parameters, Resumed, Step};
use crate::interop::call::{is_native_coroutine, raise};
use crate::interop::imports::interned;

/// # Cancel safety
/// What is not returned stays in the buffer; but `read(-1)` loses what it has gathered, as asyncio's does.
static READ: Method = Method {
    operation: Operation {
        name: "StreamReader.read",
        parameters: Parameters { is_method: true, names: &["n"], required: 0, positional: 1 },
        resume: read,
    },
    is_native,
};

/// # Cancel safety
/// Nothing is taken before all is there.
static READEXACTLY: Method = Method {
    operation: Operation {
        name: "StreamReader.readexactly",
        parameters: Parameters { is_method: true, names: &["n"], required: 1, positional: 1 },
        resume: readexactly,
    },
    is_native,
};

/// # Cancel safety
/// Nothing is taken before a separator is there.
static READUNTIL: Method = Method {
    operation: Operation {
        name: "StreamReader.readuntil",
        parameters: Parameters {
            is_method: true,
            names: &["separator"],
            required: 0,
            positional: 1,
        },
        resume: readuntil,
    },
    is_native,
};

/// # Cancel safety
/// Nothing is taken before a whole line is there.
static READLINE: Method = Method {
    operation: Operation {
        name: "StreamReader.readline",
        parameters: Parameters::NONE,
        resume: readline,
    },
    is_native,
};

static ANEXT: Method = Method {
    operation: Operation {
        name: "StreamReader.__anext__",
        parameters: Parameters::NONE,
        resume: anext,
    },
    is_native,
};

/// Sets the reads on the native class.
pub fn add_methods(class: &Bound<'_, PyType>, asyncios: &Bound<'_, PyAny>) -> PyResult<()> {
    READ.add_to(class, "read", asyncios)?;
    READEXACTLY.add_to(class, "readexactly", asyncios)?;
    READUNTIL.add_to(class, "readuntil", asyncios)?;
    READLINE.add_to(class, "readline", asyncios)?;
    ANEXT.add_to(class, "__anext__", asyncios)?;
    HOOKS.load(class, asyncios)
}

fn is_native(object: &Bound<'_, PyAny>) -> bool {
    object
        .cast::<StreamReader>()
        .is_ok_and(|reader| !reader.get().overrides(object.py(), hook::STATE))
}

/// What a method of somebody else's or of asyncio's is to do in place of the native one.
fn delegate<'py>(awaitable: Bound<'py, PyAny>) -> PyResult<Step<'py>> {
    if is_native_coroutine(&awaitable) {
        return Ok(Step::Delegate(awaitable));
    }
    Ok(Step::Delegate(awaitable.call_method0(interned!(awaitable.py(), "__await__"))?))
}

/// A number of bytes as asyncio's comparisons take it; `None` for what its own code is to judge.
enum Count {
    Negative,
    Of(usize),
}

impl Count {
    fn of(given: &Bound<'_, PyAny>) -> Option<Self> {
        let number = given.cast::<PyInt>().ok()?;
        match number.extract::<isize>() {
            Ok(count) => Some(usize::try_from(count).map_or(Self::Negative, Self::Of)),
            Err(_too_long) if number.gt(0).ok()? => Some(Self::Of(usize::MAX)),
            Err(_too_long) => Some(Self::Negative),
        }
    }
}

impl StreamReader {
    /// Raises the error that the connection ended with.
    fn check(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().exception.get(slf.py()) {
            Some(error) => Err(raise(&error)),
            None => Ok(()),
        }
    }

    /// Waits for bytes or the end. `name` is that of asyncio's method, for its error.
    ///
    /// Source: CPython `streams.StreamReader._wait_for_data`.
    fn wait<'py>(
        slf: &Bound<'py, Self>,
        view: AwaitableView<'_, 'py>,
        name: &str,
    ) -> PyResult<Step<'py>> {
        let py = slf.py();
        let this = slf.get();
        if this.overrides(py, hook::WAIT_FOR_DATA) || this.eof.get(py) || !this.may_park(py) {
            return delegate(slf.call_method1(interned!(py, "_wait_for_data"), (name,))?);
        }
        if !this.waiter.is_empty(py) {
            return Err(PyRuntimeError::new_err(format!(
                "{name}() called while another coroutine is already waiting for incoming data"
            )));
        }
        if this.paused.get(py) {
            // Else it would wait for ever: a record may be longer than what a paused transport has left here.
            this.resume(py)?;
        }
        drop(this.waiter.set(view.object().clone()));
        Ok(Step::Park)
    }

    /// The wait is over, one way or the other.
    fn waited(
        slf: &Bound<'_, Self>,
        view: AwaitableView<'_, '_>,
        resumed: Resumed<'_>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if view.state().has_parked.get(py) {
            // Also when another read waits by now: asyncio's `finally` looks at nothing.
            drop(this.waiter.take(py));
        }
        let failed = view.state().third.take(py);
        if let Resumed::Error(error) = resumed {
            // Cancelled after `set_exception`: as asyncio's task, which looks at the future it wakes from.
            if let Some(failed) = failed {
                failed.call_method0(interned!(py, "exception"))?;
            }
            return Err(error);
        }
        match failed {
            // Of `set_exception`: it raises.
            Some(failed) => failed.call_method0(interned!(py, "result")).map(drop),
            None => Ok(()),
        }
    }

    fn take<'py>(slf: &Bound<'py, Self>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
        let taken = slf.get().buffer.take(slf.py(), count)?;
        Self::maybe_resume(slf)?;
        Ok(taken)
    }
}

/// True at the first step, false after a wait.
fn is_start<'py>(
    reader: &Bound<'py, StreamReader>,
    view: AwaitableView<'_, 'py>,
    resumed: Resumed<'py>,
) -> PyResult<bool> {
    match resumed {
        Resumed::Start => Ok(true),
        resumed => StreamReader::waited(reader, view, resumed).map(|()| false),
    }
}

/// What [`Awaitable::number`](crate::awaitable::Awaitable::number) says of an awaitable that has handed its work to
/// asyncio's own method; for the searches it is the number of bytes that were looked at.
const HANDED_OVER: usize = usize::MAX;

/// Lets asyncio's own method do the rest: the argument is one that it refuses, or knows what to do with.
fn hand_over<'py>(
    reader: &Bound<'py, StreamReader>,
    view: AwaitableView<'_, 'py>,
    name: &str,
) -> PyResult<Step<'py>> {
    let py = reader.py();
    view.state().number.set(py, HANDED_OVER);
    let coroutine = match view.state().first.get(py) {
        Some(argument) => StreamReader::stock(reader, name, (argument,))?,
        None => StreamReader::stock(reader, name, ())?,
    };
    delegate(coroutine)
}

fn read<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let owner = view.owner()?;
    let reader = owner.cast::<StreamReader>()?;
    let state = view.state();
    let count = match state.first.get(py) {
        None => Some(Count::Negative),
        Some(given) => Count::of(&given),
    };
    let is_start = match (count.is_some(), resumed) {
        (false, Resumed::Start) => {
            StreamReader::check(reader)?;
            return hand_over(reader, view, "read");
        }
        (false, Resumed::Value(value)) => return Ok(Step::Return(value)),
        (false, Resumed::Error(error)) => return Err(error),
        (true, resumed) => {
            if state.number.get(py) == HANDED_OVER {
                return gather_overridden(reader, view, resumed);
            }
            is_start(reader, view, resumed)?
        }
    };
    if is_start {
        StreamReader::check(reader)?;
    }
    let wanted = match count {
        Some(Count::Of(0)) => return Ok(Step::Return(PyBytes::new(py, b"").into_any())),
        Some(Count::Of(wanted)) => wanted,
        _ if is_start && reader.get().overrides(py, hook::READ) => {
            state.number.set(py, HANDED_OVER);
            return gather_overridden(reader, view, Resumed::Start);
        }
        _ => return gather(reader, view, is_start),
    };
    let this = reader.get();
    if is_start && !this.eof.get(py) && this.buffer.is_empty(py) {
        return StreamReader::wait(reader, view, "read");
    }
    Ok(Step::Return(StreamReader::take(reader, wanted)?.into_any()))
}

/// `read(-1)`: blocks of at most the limit until the end, so that a paused transport is let go on.
fn gather<'py>(
    reader: &Bound<'py, StreamReader>,
    view: AwaitableView<'_, 'py>,
    mut is_start: bool,
) -> PyResult<Step<'py>> {
    let py = reader.py();
    let this = reader.get();
    loop {
        if is_start {
            StreamReader::check(reader)?;
            if !this.eof.get(py) && this.buffer.is_empty(py) {
                return StreamReader::wait(reader, view, "read");
            }
        }
        is_start = true;
        let block = StreamReader::take(reader, this.limit.get(py))?;
        if block.as_bytes().is_empty() {
            return joined(view);
        }
        blocks(view)?.append(block)?;
    }
}

/// The same for a subclass that overrides `read`: it is asked for each block.
fn gather_overridden<'py>(
    reader: &Bound<'py, StreamReader>,
    view: AwaitableView<'_, 'py>,
    resumed: Resumed<'py>,
) -> PyResult<Step<'py>> {
    let py = reader.py();
    match resumed {
        Resumed::Start => {}
        Resumed::Value(block) if block.is_truthy()? => blocks(view)?.append(block)?,
        Resumed::Value(_end) => return joined(view),
        Resumed::Error(error) => return Err(error),
    }
    let limit = reader.getattr(interned!(py, "_limit"))?;
    delegate(reader.call_method1(interned!(py, "read"), (limit,))?)
}

/// What a `read(-1)` has gathered.
fn blocks<'py>(view: AwaitableView<'_, 'py>) -> PyResult<Bound<'py, PyList>> {
    let py = view.py();
    if let Some(blocks) = view.state().second.get(py) {
        return Ok(blocks.cast_into::<PyList>()?);
    }
    let blocks = PyList::empty(py);
    drop(view.state().second.set(blocks.clone().into_any()));
    Ok(blocks)
}

fn joined<'py>(view: AwaitableView<'_, 'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let blocks = blocks(view)?;
    let joined = PyBytes::new(py, b"").call_method1(interned!(py, "join"), (blocks,))?;
    Ok(Step::Return(joined))
}

fn readexactly<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let owner = view.owner()?;
    let reader = owner.cast::<StreamReader>()?;
    let this = reader.get();
    let given = view.state().first.get(py);
    let wanted = match (given.as_ref().and_then(Count::of), resumed) {
        (None, Resumed::Start) => return hand_over(reader, view, "readexactly"),
        (None, Resumed::Value(value)) => return Ok(Step::Return(value)),
        (None, Resumed::Error(error)) => return Err(error),
        (Some(count), resumed) => {
            let is_start = is_start(reader, view, resumed)?;
            let Count::Of(wanted) = count else {
                return Err(PyValueError::new_err("readexactly size can not be less than zero"));
            };
            if is_start {
                StreamReader::check(reader)?;
            }
            wanted
        }
    };
    if wanted == 0 {
        return Ok(Step::Return(PyBytes::new(py, b"").into_any()));
    }
    if this.buffer.len(py) >= wanted {
        return Ok(Step::Return(StreamReader::take(reader, wanted)?.into_any()));
    }
    if !this.eof.get(py) {
        return StreamReader::wait(reader, view, "readexactly");
    }
    let partial = this.buffer.take(py, usize::MAX)?;
    Err(incomplete(&partial, given.as_ref())?)
}

/// `IncompleteReadError(partial, expected)`.
fn incomplete(
    partial: &Bound<'_, PyBytes>,
    expected: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyErr> {
    let class = Stock::of(partial.py())?.incomplete_read.bind(partial.py());
    Ok(raise(&class.call1((partial, expected))?))
}

/// How far a search has come.
enum Searched<'py> {
    Record(Bound<'py, PyBytes>),
    /// The end, and this before it.
    Incomplete(Bound<'py, PyBytes>),
    /// `LimitOverrunError`'s arguments.
    Overrun(&'static str, usize),
    Waiting(Step<'py>),
}

/// Looks for a record in what is buffered.
fn search<'py>(
    reader: &Bound<'py, StreamReader>,
    view: AwaitableView<'_, 'py>,
    separators: &Separators<'_>,
) -> PyResult<Searched<'py>> {
    let py = reader.py();
    let this = reader.get();
    let scanned = view.state().number.get(py);
    match this.buffer.look_at(py, |bytes| separators.search(bytes, scanned))? {
        Found::At { start, end } if start <= this.limit.get(py) => {
            return StreamReader::take(reader, end).map(Searched::Record);
        }
        Found::At { start, .. } => {
            let text = "Separator is found, but chunk is longer than limit";
            return Ok(Searched::Overrun(text, start));
        }
        Found::Nothing { scanned } => {
            if scanned > this.limit.get(py) {
                let text = "Separator is not found, and chunk exceed the limit";
                return Ok(Searched::Overrun(text, scanned));
            }
            view.state().number.set(py, scanned);
        }
    }
    if this.eof.get(py) {
        return this.buffer.take(py, usize::MAX).map(Searched::Incomplete);
    }
    StreamReader::wait(reader, view, "readuntil").map(Searched::Waiting)
}

fn overrun(py: Python<'_>, text: &str, consumed: usize) -> PyResult<PyErr> {
    let class = Stock::of(py)?.limit_overrun.bind(py);
    Ok(raise(&class.call1((text, consumed))?))
}

fn readuntil<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let owner = view.owner()?;
    let reader = owner.cast::<StreamReader>()?;
    let separator = view.state().first.get(py);
    let separators = match (Separators::of(separator.as_ref())?, resumed) {
        (None, Resumed::Start) => return hand_over(reader, view, "readuntil"),
        (None, Resumed::Value(value)) => return Ok(Step::Return(value)),
        (None, Resumed::Error(error)) => return Err(error),
        (Some(separators), resumed) => {
            if is_start(reader, view, resumed)? {
                StreamReader::check(reader)?;
            }
            separators
        }
    };
    match search(reader, view, &separators)? {
        Searched::Record(record) => Ok(Step::Return(record.into_any())),
        Searched::Incomplete(partial) => Err(incomplete(&partial, None)?),
        Searched::Overrun(text, consumed) => Err(overrun(py, text, consumed)?),
        Searched::Waiting(step) => Ok(step),
    }
}

fn readline<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let owner = view.owner()?;
    let reader = owner.cast::<StreamReader>()?;
    line(reader, view, resumed, "readline")
}

/// The steps of `readline()`, or of asyncio's method `name` when a subclass has its own `readuntil`.
fn line<'py>(
    reader: &Bound<'py, StreamReader>,
    view: AwaitableView<'_, 'py>,
    resumed: Resumed<'py>,
    name: &str,
) -> PyResult<Step<'py>> {
    let py = view.py();
    if view.state().number.get(py) == HANDED_OVER {
        return match resumed {
            Resumed::Start => hand_over(reader, view, name),
            Resumed::Value(value) => Ok(Step::Return(value)),
            Resumed::Error(error) => Err(error),
        };
    }
    if is_start(reader, view, resumed)? {
        if reader.get().overrides(py, hook::READUNTIL) {
            return hand_over(reader, view, name);
        }
        StreamReader::check(reader)?;
    }
    match search(reader, view, &Separators::Newline)? {
        Searched::Record(line) | Searched::Incomplete(line) => Ok(Step::Return(line.into_any())),
        Searched::Overrun(text, consumed) => Err(too_long(reader, text, consumed)?),
        Searched::Waiting(step) => Ok(step),
    }
}

/// A line beyond the limit is dropped, or what there is of it, and `ValueError` says so.
fn too_long(
    reader: &Bound<'_, StreamReader>,
    text: &'static str,
    consumed: usize,
) -> PyResult<PyErr> {
    let py = reader.py();
    let buffer = &reader.get().buffer;
    if buffer.look_at(py, |bytes| bytes.get(consumed) == Some(&b'\n'))? {
        buffer.drop_first(py, consumed + 1)?;
    } else {
        buffer.clear(py)?;
    }
    StreamReader::maybe_resume(reader)?;
    let error = PyValueError::new_err(text);
    error
        .value(py)
        .setattr(interned!(py, "__context__"), overrun(py, text, consumed)?.value(py))?;
    Ok(error)
}

fn anext<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let owner = view.owner()?;
    let reader = owner.cast::<StreamReader>()?;
    if matches!(resumed, Resumed::Start) && reader.get().overrides(py, hook::READLINE) {
        view.state().number.set(py, HANDED_OVER);
    }
    match line(reader, view, resumed, "__anext__")? {
        Step::Return(line) if is_empty(&line) => Err(PyStopAsyncIteration::new_err(())),
        step => Ok(step),
    }
}

fn is_empty(line: &Bound<'_, PyAny>) -> bool {
    line.cast::<PyBytes>().is_ok_and(|line| line.as_bytes().is_empty())
}
