//! The Python objects that the hot paths need, looked up once when the module is imported.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::layout;

/// An interned attribute or method name.
macro_rules! interned {
    ($py:expr, $name:literal) => {
        pyo3::intern!($py, $name)
    };
}
pub(crate) use interned;

/// asyncio's own classes and functions, as the running version has them.
pub struct Imports {
    pub c_future: Py<PyAny>,
    pub c_task: Py<PyAny>,
    pub handle: Py<PyAny>,
    pub timer_handle: Py<PyAny>,
    /// 3.14: the handle of `call_soon_threadsafe`, whose `cancel` waits for a running callback.
    pub thread_safe_handle: Option<Py<PyAny>>,
    pub iscoroutine: Py<PyAny>,
    pub get_running_loop: Py<PyAny>,
    /// `types.SimpleNamespace`.
    pub simple_namespace: Py<PyAny>,
    pub cancelled_error: Py<PyAny>,
    pub invalid_state_error: Py<PyAny>,
    /// `_asyncio.Future.set_result` and friends, unbound: the way to finish a task the way CPython does.
    pub future_set_result: Py<PyAny>,
    pub future_set_exception: Py<PyAny>,
    pub future_cancel: Py<PyAny>,
    pub eager_task_factory: Option<Py<PyAny>>,
    /// `BaseEventLoop.create_task`, which knows what the running version passes to a factory.
    pub base_create_task: Py<PyAny>,
    pub tasks: TaskBook,
    /// Functions of `oxio._support`, the Python half of reporting.
    pub report_callback_error: Py<PyAny>,
    pub report_slow_callback: Py<PyAny>,
    pub layout: layout::Layout,
    /// The namespaces of `asyncio.tasks` and `asyncio.futures`, where a program may put classes of its own.
    tasks_namespace: Py<PyDict>,
    futures_namespace: Py<PyDict>,
}

/// A class that asyncio's loop looks up by name whenever it makes an instance.
#[derive(Clone, Copy)]
pub enum Replaceable {
    Task,
    Future,
}

/// Where the running version keeps the current task and the set of all tasks.
pub enum TaskBook {
    /// Up to 3.13: `{loop: task}`, and what enters a task into the weak set.
    #[cfg(not(Py_3_14))]
    Shared { current: Py<PyDict>, register: Py<PyAny> },
    /// 3.14: both are fields of the thread, reached by functions.
    #[cfg(Py_3_14)]
    PerThread {
        current_task: Py<PyAny>,
        swap_current: Py<PyAny>,
        register: Py<PyAny>,
        add_awaited_by: Py<PyAny>,
        discard_awaited_by: Py<PyAny>,
    },
}

static IMPORTS: PyOnceLock<Imports> = PyOnceLock::new();

impl Imports {
    /// The table, loaded on first use.
    ///
    /// # Errors
    /// `ImportError` or `AttributeError` when the interpreter's asyncio lacks a part that oxio builds on.
    pub fn of(py: Python<'_>) -> PyResult<&'static Self> {
        IMPORTS.get_or_try_init(py, || Self::load(py))
    }

    /// Whether `asyncio.tasks.Task` (or `asyncio.futures.Future`) is CPython's or `own`, which `install()` puts there:
    /// not one that a program or a test wants all loops to use, as `nest_asyncio` does.
    ///
    /// # Errors
    /// None in practice: a namespace lookup by an interned name.
    pub fn is_native_in_use(&self, which: Replaceable, own: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = own.py();
        let (namespace, name, stock) = match which {
            Replaceable::Task => (&self.tasks_namespace, interned!(py, "Task"), &self.c_task),
            Replaceable::Future => {
                (&self.futures_namespace, interned!(py, "Future"), &self.c_future)
            }
        };
        let Some(class) = namespace.bind(py).get_item(name)? else {
            return Ok(true);
        };
        Ok(class.is(stock) || class.is(own))
    }

    fn load(py: Python<'_>) -> PyResult<Self> {
        let native = py.import("_asyncio").map_err(|_| {
            PyRuntimeError::new_err(
                "oxio builds on CPython's _asyncio extension module, which this interpreter lacks; use CPython 3.11 to 3.14",
            )
        })?;
        let events = py.import("asyncio.events")?;
        let exceptions = py.import("asyncio.exceptions")?;
        let tasks = py.import("asyncio.tasks")?;
        let support = py.import("oxio._support")?;
        let base_create_task =
            py.import("asyncio.base_events")?.getattr("BaseEventLoop")?.getattr("create_task")?;
        let c_future = native.getattr("Future")?;
        let c_task = native.getattr("Task")?;
        let handle = events.getattr("Handle")?;
        let timer_handle = events.getattr("TimerHandle")?;
        let layout = layout::verify(py, &c_future, &c_task, &handle, &timer_handle)?;
        Ok(Self {
            thread_safe_handle: events.getattr("_ThreadSafeHandle").ok().map(Bound::unbind),
            iscoroutine: py.import("asyncio.coroutines")?.getattr("iscoroutine")?.unbind(),
            simple_namespace: py.import("types")?.getattr("SimpleNamespace")?.unbind(),
            get_running_loop: native.getattr("get_running_loop")?.unbind(),
            cancelled_error: exceptions.getattr("CancelledError")?.unbind(),
            invalid_state_error: exceptions.getattr("InvalidStateError")?.unbind(),
            future_set_result: c_future.getattr("set_result")?.unbind(),
            future_set_exception: c_future.getattr("set_exception")?.unbind(),
            future_cancel: c_future.getattr("cancel")?.unbind(),
            eager_task_factory: tasks.getattr("eager_task_factory").ok().map(Bound::unbind),
            base_create_task: base_create_task.unbind(),
            tasks: TaskBook::load(&native)?,
            report_callback_error: support.getattr("report_callback_error")?.unbind(),
            report_slow_callback: support.getattr("report_slow_callback")?.unbind(),
            tasks_namespace: tasks.getattr("__dict__")?.cast_into::<PyDict>()?.unbind(),
            futures_namespace: py
                .import("asyncio.futures")?
                .getattr("__dict__")?
                .cast_into::<PyDict>()?
                .unbind(),
            c_future: c_future.unbind(),
            c_task: c_task.unbind(),
            handle: handle.unbind(),
            timer_handle: timer_handle.unbind(),
            layout,
        })
    }
}

impl TaskBook {
    #[cfg(not(Py_3_14))]
    fn load(native: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self::Shared {
            current: native.getattr("_current_tasks")?.cast_into::<PyDict>()?.unbind(),
            register: native.getattr("_register_task")?.unbind(),
        })
    }

    #[cfg(Py_3_14)]
    fn load(native: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self::PerThread {
            current_task: native.getattr("current_task")?.unbind(),
            swap_current: native.getattr("_swap_current_task")?.unbind(),
            register: native.getattr("_register_task")?.unbind(),
            add_awaited_by: native.getattr("future_add_to_awaited_by")?.unbind(),
            discard_awaited_by: native.getattr("future_discard_from_awaited_by")?.unbind(),
        })
    }

    /// Leaves a pending task to asyncio: its loop was closed and keeps it no longer.
    ///
    /// Errors cannot matter: the task is only forgotten earlier.
    pub fn hand_over(&self, task: &Bound<'_, PyAny>) {
        #[cfg(not(Py_3_14))]
        {
            let Self::Shared { register, .. } = self;
            let _ = register.bind(task.py()).call1((task,));
        }
        // From 3.14 on the interpreter's own list holds no reference, and a dying task unlinks itself.
        #[cfg(Py_3_14)]
        let _ = task;
    }
}
