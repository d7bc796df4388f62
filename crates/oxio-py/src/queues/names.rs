//! asyncio's own queues and what they use, looked up once: before `install()` puts others under these names.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use super::Queue;
use crate::interop::call::raise;

/// The three hooks of one of asyncio's classes.
pub struct Hooks {
    pub init: Py<PyAny>,
    pub get: Py<PyAny>,
    pub put: Py<PyAny>,
}

pub struct Names {
    pub queue_full: Py<PyAny>,
    pub queue_empty: Py<PyAny>,
    pub deque: Py<PyAny>,
    pub heappush: Py<PyAny>,
    pub heappop: Py<PyAny>,
    pub queue: Hooks,
    pub priority_queue: Hooks,
    pub lifo_queue: Hooks,
    pub wakeup_next: Py<PyAny>,
    /// `oxio._oxio.Queue`.
    pub native: Py<PyType>,
}

static NAMES: PyOnceLock<Names> = PyOnceLock::new();

impl Names {
    pub fn of(py: Python<'_>) -> PyResult<&'static Self> {
        NAMES.get_or_try_init(py, || {
            let queues = py.import("asyncio.queues")?;
            let heapq = py.import("heapq")?;
            let hooks = |class: &str| {
                let class = queues.getattr(class)?;
                let hook = |name: &str| class.getattr(name).map(Bound::unbind);
                PyResult::Ok(Hooks { init: hook("_init")?, get: hook("_get")?, put: hook("_put")? })
            };
            Ok(Self {
                queue_full: queues.getattr("QueueFull")?.unbind(),
                queue_empty: queues.getattr("QueueEmpty")?.unbind(),
                deque: py.import("collections")?.getattr("deque")?.unbind(),
                heappush: heapq.getattr("heappush")?.unbind(),
                heappop: heapq.getattr("heappop")?.unbind(),
                queue: hooks("Queue")?,
                priority_queue: hooks("PriorityQueue")?,
                lifo_queue: hooks("LifoQueue")?,
                wakeup_next: queues.getattr("Queue")?.getattr("_wakeup_next")?.unbind(),
                native: py.get_type::<Queue>().unbind(),
            })
        })
    }
}

/// `QueueFull`, `QueueEmpty`.
pub fn raised(py: Python<'_>, class: &Py<PyAny>) -> PyErr {
    match class.bind(py).call0() {
        Ok(error) => raise(&error),
        Err(error) => error,
    }
}

/// asyncio's own where it has one (3.13), else oxio's.
pub fn shut_down_error(py: Python<'_>) -> PyErr {
    let class = py.import("oxio.exceptions").and_then(|module| module.getattr("QueueShutDown"));
    match class {
        Ok(class) => raised(py, &class.unbind()),
        Err(error) => error,
    }
}
