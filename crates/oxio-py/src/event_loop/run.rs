//! THE place where a callback is called.
//!
//! One turn: time-out ← 0 if anything is ready, else the next deadline │ poll │ queue what I/O asks for │ queue the
//! timers that are due │ run exactly as many entries as were ready then.
//!
//! While work is always ready the poll is skipped for a bounded number of turns and a bounded time: a program that
//! yields a lot does not pay a system call a turn, and I/O waits at most [`POLL_AT_LEAST_EVERY`] longer.

use std::io::ErrorKind;
use std::time::Duration;

use oxio_core::clock::Deadline;
use oxio_core::reactor::Events;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors::os_error;
use crate::handle::{self, new_handle};
use crate::interop::attach::{check_signals, detached};
use crate::interop::call::{call_with_tuple, in_context};
use crate::interop::imports::{Imports, interned};
use crate::interop::layout::show_to_collector;
use crate::scheduler::{Loop, Pacing, Runnable, Running, Timer};
use crate::task::{leave_current, step, throw_into, wake};

/// Turns in a row that poll although work is ready, before any is skipped: code that yields a few times to let
/// I/O happen sees it happen.
const STRICT_TURNS: u32 = 16;

/// At most so many turns without a poll.
const SKIPPED_TURNS: u32 = 64;

/// At most so long without a poll. A turn that takes longer is followed by one.
const POLL_AT_LEAST_EVERY: Duration = Duration::from_micros(100);

/// Runs turns until the loop is told to stop, or one turn when nobody runs the loop.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit` from callbacks and signal handlers. What was ready stays ready.
pub fn run_once(event_loop: &Bound<'_, Loop>) -> PyResult<()> {
    let py = event_loop.py();
    let state = event_loop.get();
    let _running = Running::enter(event_loop);
    loop {
        let result = turn(event_loop);
        let one_turn = state.running_thread(py).is_none() || !state.native(py).run_once;
        if one_turn || result.is_err() || state.is_stopping(py) {
            // Nobody runs any more, so there is no current task.
            leave_current(event_loop)?;
            state.show_ready(py);
            return result;
        }
    }
}

fn turn(event_loop: &Bound<'_, Loop>) -> PyResult<()> {
    let py = event_loop.py();
    let state = event_loop.get();
    let is_ready = state.ready_len(py) > 0 || state.is_stopping(py);
    if !is_ready || poll_is_due(state, py) {
        let timeout = if is_ready { Some(Duration::ZERO) } else { time_to_next_timer(event_loop)? };
        poll(event_loop, timeout)?;
        let mut pacing = state.pacing.get(py);
        pacing.busy_turns = if is_ready { pacing.busy_turns.saturating_add(1) } else { 0 };
        state.pacing.set(py, pacing);
    }
    expire_timers(event_loop)?;
    for _ in 0..state.ready_len(py) {
        match state.pop_ready(py) {
            Some(runnable) => run(event_loop, runnable)?,
            // The loop was closed by a callback.
            None => break,
        }
    }
    Ok(())
}

/// Whether a turn with ready work should look at I/O.
fn poll_is_due(state: &Loop, py: Python<'_>) -> bool {
    let pacing = state.pacing.get(py);
    if pacing.busy_turns < STRICT_TURNS {
        return true;
    }
    let now = Deadline::now();
    let due = pacing.turns_since_poll >= SKIPPED_TURNS
        || now.saturating_duration_since(pacing.last_poll) >= POLL_AT_LEAST_EVERY;
    let pacing = if due {
        Pacing { turns_since_poll: 0, last_poll: now, ..pacing }
    } else {
        Pacing { turns_since_poll: pacing.turns_since_poll + 1, ..pacing }
    };
    state.pacing.set(py, pacing);
    due
}

fn time_to_next_timer(event_loop: &Bound<'_, Loop>) -> PyResult<Option<Duration>> {
    let (py, state) = (event_loop.py(), event_loop.get());
    let mut discarded = Vec::new();
    let deadline = state.timers.borrow(py).next_deadline(&mut discarded);
    drop(discarded);
    match deadline.filter(|deadline| *deadline != Deadline::NEVER) {
        Some(deadline) => Ok(Some(deadline.saturating_duration_since(now(event_loop)?))),
        None => Ok(None),
    }
}

/// Waits for I/O and wake-ups, without the interpreter when the wait may block.
fn poll(event_loop: &Bound<'_, Loop>, timeout: Option<Duration>) -> PyResult<()> {
    let py = event_loop.py();
    let state = event_loop.get();
    let blocks = timeout != Some(Duration::ZERO);
    if blocks {
        // Other threads may ask for the current task now: there is none.
        leave_current(event_loop)?;
    }
    let mut events = state.events.borrow(py).take().unwrap_or_else(|| Events::with_capacity(1));
    let waited = if blocks {
        let poller = &state.poller;
        detached(py, || poller.wait(&mut events, timeout))
    } else {
        state.poller.wait(&mut events, timeout)
    };
    let result = match waited {
        Ok(()) => {
            state.deliver(py, &events);
            // Also when it did not block: callbacks written in C run no Python code that would look.
            check_signals(py)
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => check_signals(py),
        Err(error) => Err(os_error(py, &error)),
    };
    *state.events.borrow(py) = Some(events);
    result
}

fn expire_timers(event_loop: &Bound<'_, Loop>) -> PyResult<()> {
    let (py, state) = (event_loop.py(), event_loop.get());
    if state.timers.borrow(py).is_empty() {
        return Ok(());
    }
    let now = now(event_loop)?;
    loop {
        let timer = state.timers.borrow(py).pop_due(now);
        let Some(timer) = timer else { return Ok(()) };
        match timer {
            Timer::Handle(handle) => {
                handle::mark_unscheduled(handle.bind(py))?;
                state.push(py, Runnable::Handle(handle));
            }
            Timer::Native { object, kind } => {
                state.push(py, Runnable::Native { object, call: kind.on_time });
            }
        }
    }
}

/// The loop's time; a subclass may have a clock of its own, as loops for tests do.
fn now(event_loop: &Bound<'_, Loop>) -> PyResult<Deadline> {
    let py = event_loop.py();
    if event_loop.get().native(py).timers {
        return Ok(Deadline::now());
    }
    Ok(Deadline::from_secs_f64(event_loop.call_method0(interned!(py, "time"))?.extract()?))
}

/// Runs one entry. In debug mode it is timed, and reported when it was slow.
fn run(event_loop: &Bound<'_, Loop>, runnable: Runnable) -> PyResult<()> {
    let py = event_loop.py();
    if !event_loop.get().is_debug(py) {
        return run_now(event_loop, runnable);
    }
    let subject = subject(py, &runnable);
    let started = Deadline::now();
    let result = run_now(event_loop, runnable);
    let seconds = Deadline::now().saturating_duration_since(started).as_secs_f64();
    let report = Imports::of(py)?.report_slow_callback.bind(py);
    report.call1((event_loop, subject, seconds))?;
    result
}

/// What a report about a slow entry names: its handle or task.
fn subject(py: Python<'_>, runnable: &Runnable) -> Py<PyAny> {
    match runnable {
        Runnable::Handle(handle) | Runnable::ForeignHandle(handle) => handle.clone_ref(py),
        Runnable::Step { task }
        | Runnable::StepError { task, .. }
        | Runnable::Wake { task, .. } => task.clone_ref(py),
        Runnable::Callback { callback, .. } => callback.clone_ref(py),
        Runnable::Done { object, .. } | Runnable::Native { object, .. } => object.clone_ref(py),
        Runnable::Io { source, .. } => source.object.clone_ref(py),
    }
}

fn run_now(event_loop: &Bound<'_, Loop>, runnable: Runnable) -> PyResult<()> {
    let py = event_loop.py();
    match runnable {
        Runnable::Step { task } => {
            let task = task.into_bound(py);
            step(event_loop, &task).or_else(|error| report_step(event_loop, &task, error))
        }
        Runnable::StepError { task, error } => {
            let task = task.into_bound(py);
            throw_into(event_loop, &task, error.into_bound(py))
                .or_else(|error| report_step(event_loop, &task, error))
        }
        Runnable::Wake { task, future } => {
            let task = task.into_bound(py);
            wake(event_loop, &task, future.bind(py))
                .or_else(|error| report_step(event_loop, &task, error))
        }
        Runnable::Callback { callback, future, context } => {
            leave_current(event_loop)?;
            let (callback, future, context) =
                (callback.into_bound(py), future.into_bound(py), context.into_bound(py));
            in_context(&context, || callback.call1((&future,)).map(drop)).or_else(|error| {
                let args = PyTuple::new(py, [&future])?;
                let handle = new_handle(event_loop, &callback, &args, Some(&context))?;
                report(event_loop, &handle, error)
            })
        }
        Runnable::Handle(handle) => {
            leave_current(event_loop)?;
            run_handle(event_loop, &handle.into_bound(py))
        }
        Runnable::ForeignHandle(handle) => {
            leave_current(event_loop)?;
            let handle = handle.into_bound(py);
            if !handle.getattr(interned!(py, "_cancelled"))?.is_truthy()? {
                handle.call_method0(interned!(py, "_run"))?;
            }
            Ok(())
        }
        Runnable::Done { object, future, call } => {
            leave_current(event_loop)?;
            let (object, future) = (object.into_bound(py), future.into_bound(py));
            match call(&object, &future) {
                Ok(nothing) => {
                    drop(nothing.into_bound(py));
                    Ok(())
                }
                Err(error) => {
                    let args = PyTuple::new(py, [&future])?;
                    let handle = new_handle(event_loop, &object, &args, None)?;
                    report(event_loop, &handle, error)
                }
            }
        }
        Runnable::Native { object, call } => {
            leave_current(event_loop)?;
            let object = object.into_bound(py);
            call(&object).or_else(|error| {
                let handle = new_handle(event_loop, &object, &PyTuple::empty(py), None)?;
                report(event_loop, &handle, error)
            })
        }
        Runnable::Io { source, side } => {
            leave_current(event_loop)?;
            let (object, context) = (source.object.into_bound(py), source.context.into_bound(py));
            in_context(&context, || (source.on_ready)(&object, side)).or_else(|error| {
                let handle = new_handle(event_loop, &object, &PyTuple::empty(py), None)?;
                report(event_loop, &handle, error)
            })
        }
    }
}

fn run_handle(event_loop: &Bound<'_, Loop>, handle: &Bound<'_, PyAny>) -> PyResult<()> {
    let Some(view) = handle::view(handle)? else {
        return Ok(());
    };
    if view.is_cancelled() {
        return Ok(());
    }
    // Own references: the callback may cancel its own handle, which lets go of them.
    let (Some(callback), Some(args), Some(context)) =
        (view.callback(), view.args(), view.context())
    else {
        return Ok(());
    };
    in_context(&context, || call_with_tuple(&callback, args.cast::<PyTuple>()?).map(drop))
        .or_else(|error| report(event_loop, handle, error))
}

/// Gives a callback's error to the loop's exception handler, with asyncio's context keys.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit`: they leave the loop.
fn report(event_loop: &Bound<'_, Loop>, handle: &Bound<'_, PyAny>, error: PyErr) -> PyResult<()> {
    let py = event_loop.py();
    if leaves_the_loop(py, &error) {
        return Err(error);
    }
    let report = Imports::of(py)?.report_callback_error.bind(py);
    report.call1((event_loop, handle, error.into_value(py)))?;
    // The exception handler saw the handle, and may keep it.
    show_to_collector(handle.as_unbound(), py);
    Ok(())
}

/// The same for an error that a step lets out: the task itself was in no state to take it.
fn report_step(
    event_loop: &Bound<'_, Loop>,
    task: &Bound<'_, PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    if leaves_the_loop(py, &error) {
        return Err(error);
    }
    leave_current(event_loop)?;
    let step = task.getattr(interned!(py, "__class__"))?;
    let args = PyTuple::new(py, [task])?;
    let handle = new_handle(event_loop, &step, &args, None)?;
    report(event_loop, &handle, error)
}

fn leaves_the_loop(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py)
}
