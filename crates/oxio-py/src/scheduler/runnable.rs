//! What waits in the ready queue: one entry is one hop of asyncio's ordering.

use oxio_core::timers::Cancelled;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::watch::Side;
use crate::interop::layout::{handle_is_cancelled, show_to_collector, visit_hidden_handle};

/// A function that is told of a done future; what it returns is dropped.
pub type DoneCall = fn(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> PyResult<Py<PyAny>>;

/// An entry of the ready queue. It owns what it will run.
pub enum Runnable {
    /// A callback that somebody scheduled and may still cancel: an oxio `Handle` or `TimerHandle`.
    Handle(Py<PyAny>),
    /// Any other object with asyncio's `_cancelled` and `_run()`.
    ForeignHandle(Py<PyAny>),
    /// A task to be sent `None`: its first step, or the one after a bare `yield`.
    Step { task: Py<PyAny> },
    /// A task into which `error` is raised: it yielded something that cannot be awaited.
    StepError { task: Py<PyAny>, error: Py<PyAny> },
    /// A task whose awaited `future` is done.
    Wake { task: Py<PyAny>, future: Py<PyAny> },
    /// A done callback of `future`. Nobody can see or cancel it any more, so it needs no handle.
    Callback { callback: Py<PyAny>, future: Py<PyAny>, context: Py<PyAny> },
    /// A done callback of `future` that is oxio's own, with the object that it belongs to.
    Done { object: Py<PyAny>, future: Py<PyAny>, call: DoneCall },
    /// A call of ours that nobody can see or cancel: what asyncio would schedule a Python function of its own for.
    Native { object: Py<PyAny>, call: fn(&Bound<'_, PyAny>) -> PyResult<()> },
    /// One side of a socket that a transport watches is ready.
    Io { source: IoSource, side: Side },
}

impl Runnable {
    /// Call when the queue gives up its reference: somebody may hold the handle on.
    pub fn release(&self, py: Python<'_>) {
        if let Self::Handle(handle) = self {
            show_to_collector(handle, py);
        }
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Handle(handle) => {
                visit.call(handle)?;
                visit_hidden_handle(handle, visit)
            }
            Self::ForeignHandle(handle) => visit.call(handle),
            Self::Step { task } => visit.call(task),
            Self::StepError { task, error } => {
                visit.call(task)?;
                visit.call(error)
            }
            Self::Wake { task, future } => {
                visit.call(task)?;
                visit.call(future)
            }
            Self::Callback { callback, future, context } => {
                visit.call(callback)?;
                visit.call(future)?;
                visit.call(context)
            }
            Self::Done { object, future, .. } => {
                visit.call(object)?;
                visit.call(future)
            }
            Self::Native { object, .. } => visit.call(object),
            Self::Io { source, .. } => source.traverse(visit),
        }
    }
}

/// Something that the loop tells about readiness without knowing what it is: a transport's native half.
pub struct IoSource {
    pub object: Py<PyAny>,
    /// The context in which the watching began; asyncio's reader and writer handles have one each.
    pub context: Py<PyAny>,
    pub on_ready: fn(&Bound<'_, PyAny>, Side) -> PyResult<()>,
}

impl IoSource {
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)?;
        visit.call(&self.context)
    }

    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            object: self.object.clone_ref(py),
            context: self.context.clone_ref(py),
            on_ready: self.on_ready,
        }
    }
}

/// An entry of the timer queue.
pub enum Timer {
    /// An oxio `TimerHandle`.
    Handle(Py<PyAny>),
    /// An object of ours that waits for its time, without a handle.
    Native { object: Py<PyAny>, kind: &'static NativeTimer },
}

/// What the loop must know of an object that waits for its time.
pub struct NativeTimer {
    /// Whether it waits no more. A plain read.
    pub is_cancelled: fn(&Py<PyAny>) -> bool,
    /// Called in the turn in which the time has come, as the callback of a handle would be.
    pub on_time: fn(&Bound<'_, PyAny>) -> PyResult<()>,
}

impl Timer {
    pub fn object(&self) -> &Py<PyAny> {
        match self {
            Self::Handle(object) | Self::Native { object, .. } => object,
        }
    }
}

impl Cancelled for Timer {
    fn is_cancelled(&self) -> bool {
        match self {
            Self::Handle(handle) => handle_is_cancelled(handle),
            Self::Native { object, kind } => (kind.is_cancelled)(object),
        }
    }
}
