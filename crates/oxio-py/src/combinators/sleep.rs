//! `sleep(delay, result=None)`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use crate::awaitable::{
    Alarm, AwaitableView, Operation, Parameters, Resumed, Step, cancel_alarm, wake_after,
};

/// Source: CPython `tasks.sleep`. The timer is an entry of its own in the turn in which the time has come, and the task
/// is woken in the next one, as there.
///
/// # Cancel safety
/// Cancelled, the timer is gone.
pub static SLEEP: Operation = Operation {
    name: "sleep",
    parameters: Parameters {
        is_method: false,
        names: &["delay", "result"],
        required: 1,
        positional: 2,
    },
    resume,
};

/// What [`Awaitable::number`](crate::awaitable::Awaitable::number) says of a sleeping one.
const ALARM_SET: usize = 1;

fn resume<'py>(view: AwaitableView<'_, 'py>, resumed: Resumed<'py>) -> PyResult<Step<'py>> {
    let py = view.py();
    let state = view.state();
    match resumed {
        Resumed::Start => {
            let Some(delay) = state.first.get(py) else {
                return Ok(Step::Yield);
            };
            if !is_positive(&delay)? {
                return Ok(Step::Yield);
            }
            if let Alarm::Handle(handle) = wake_after(view, &delay)? {
                drop(state.third.set(handle));
            }
            state.number.set(py, ALARM_SET);
            Ok(Step::Park)
        }
        Resumed::Value(_none) => {
            let result = state.second.take(py);
            if let Some(handle) = state.third.get(py) {
                cancel_alarm(view, Some(&handle))?;
            }
            Ok(Step::Return(result.unwrap_or_else(|| py.None().into_bound(py))))
        }
        Resumed::Error(error) => {
            if state.number.get(py) == ALARM_SET {
                cancel_alarm(view, state.third.get(py).as_ref())?;
            }
            Err(error)
        }
    }
}

/// `delay > 0`, and not NaN.
fn is_positive(delay: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(delay) = delay.cast_exact::<PyFloat>() {
        if cfg!(Py_3_13) && delay.value().is_nan() {
            return Err(PyValueError::new_err("Invalid delay: NaN (not a number)"));
        }
        return Ok(delay.value() > 0.0);
    }
    if let Ok(delay) = delay.cast_exact::<PyInt>() {
        return match delay.extract::<i64>() {
            Ok(delay) => Ok(delay > 0),
            Err(_too_long) => delay.gt(0),
        };
    }
    // asyncio asks `delay <= 0` first, in Python.
    if delay.le(0)? {
        return Ok(false);
    }
    if cfg!(Py_3_13) && delay.extract::<f64>()?.is_nan() {
        return Err(PyValueError::new_err("Invalid delay: NaN (not a number)"));
    }
    Ok(true)
}
