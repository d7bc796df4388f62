//! Waking an awaitable after some time.

use oxio_core::clock::Deadline;
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::{Awaitable, AwaitableView, Wait};
use crate::interop::imports::interned;
use crate::interop::instance::look_at;
use crate::scheduler::{Loop, NativeTimer, Timer, running_loop, running_native_loop};

static WAKE: NativeTimer = NativeTimer {
    is_cancelled: |object| {
        look_at::<Awaitable>(object, |py, held| held.wait.get(py) != Wait::Pending)
    },
    on_time: |object| match AwaitableView::of(object) {
        Some(view) => view.wake().map(drop),
        None => Ok(()),
    },
};

/// What will wake an awaitable.
pub enum Alarm<'py> {
    /// An entry of our loop's timers; it looks whether the awaitable still waits.
    Native,
    /// A handle of a loop that makes its timers itself.
    Handle(Bound<'py, PyAny>),
}

/// Wakes `view`, which is about to park, after `delay` seconds of the running loop's time.
///
/// # Errors
/// `RuntimeError` without a running loop; `TypeError` for a delay that is no number.
pub fn wake_after<'py>(
    view: AwaitableView<'_, 'py>,
    delay: &Bound<'py, PyAny>,
) -> PyResult<Alarm<'py>> {
    let py = view.py();
    let running = running_loop(py)?;
    if let Some(event_loop) = Loop::native_of(&running)
        && event_loop.get().native(py).timers
        && !event_loop.get().is_debug(py)
    {
        event_loop.get().check_closed(py)?;
        let now = Deadline::now().as_secs_f64();
        let when = match delay.cast_exact::<PyFloat>() {
            Ok(delay) => now + delay.value(),
            Err(_) => PyFloat::new(py, now).add(delay)?.extract()?,
        };
        let timer = Timer::Native { object: view.object().clone().unbind(), kind: &WAKE };
        event_loop.get().timers.borrow(py).insert(Deadline::from_secs_f64(when), timer);
        return Ok(Alarm::Native);
    }
    let wake = view.object().getattr(interned!(py, "_wake"))?;
    let handle = running.call_method1(interned!(py, "call_later"), (delay, wake))?;
    Ok(Alarm::Handle(handle))
}

/// For a wait that ended before its time.
pub fn cancel_alarm(
    view: AwaitableView<'_, '_>,
    handle: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = view.py();
    if let Some(handle) = handle {
        handle.call_method0(interned!(py, "cancel"))?;
    } else if let Some(event_loop) = running_native_loop(py) {
        // The entry itself sees that nobody waits; it is only counted. With no loop running there is nothing to count.
        let removed = event_loop.get().timers.borrow(py).note_cancelled();
        drop(removed);
    }
    Ok(())
}
