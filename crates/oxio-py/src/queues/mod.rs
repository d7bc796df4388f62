//! Queues: `Queue`, `PriorityQueue`, `LifoQueue`.
//!
//! One native class serves all three. Which one an instance is, its hooks say (`_init`, `_put`, `_get`), which are
//! asyncio's own functions of these classes: the native code does what they do, and calls whatever else it finds there
//! ([`ways`]). The store and both rows of waiters are native until somebody looks at them ([`row`]).
//!
//! What is rare is asyncio's code on this state, which the data descriptors below show: `shutdown`, `repr`, and all that
//! a subclass does.
//!
//! Thread: the loop's; what does not wait may be called without a loop. Invariant, as in asyncio: whoever is woken is
//! out of its row, and it looks again when it runs, for a newcomer may have been faster.

mod asking;
mod names;
mod row;
mod transfer;
mod waiting;
mod ways;

use pyo3::exceptions::PyAttributeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyString, PyTuple};

use crate::awaitable::{coroutine_function, method_function};
use crate::interop::attributes::{class_version, set_attribute_plainly};
use crate::interop::cell::{GilFlag, GilSlot};
use crate::interop::imports::interned;
use names::Names;
use row::Row;
use ways::{InitWay, Ways, is_called_by_name};

/// `_maxsize` as a number, when it is one.
#[derive(Clone, Copy)]
enum Limit {
    Endless,
    Items(usize),
    /// To be compared in Python: a float, or not set at all.
    Odd,
}

#[pyclass(subclass, frozen, module = "oxio._oxio")]
pub struct Queue {
    items: Row,
    getters: Row,
    putters: Row,
    maxsize: GilSlot,
    limit: GilFlag<Limit>,
    unfinished: GilFlag<isize>,
    /// The Event, once somebody has asked for it; until then `is_finished` is its flag.
    finished: GilSlot,
    is_finished: GilFlag<bool>,
    is_shutdown: GilFlag<bool>,
    event_loop: GilSlot,
    /// Of the class in its version.
    ways: GilFlag<(u32, Ways)>,
    /// A method was put on the instance: everything is called by name.
    is_patched: GilFlag<bool>,
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            items: Row::new(),
            getters: Row::new(),
            putters: Row::new(),
            maxsize: GilSlot::new(None),
            limit: GilFlag::new(Limit::Odd),
            unfinished: GilFlag::new(0),
            finished: GilSlot::new(None),
            is_finished: GilFlag::new(true),
            is_shutdown: GilFlag::new(false),
            event_loop: GilSlot::new(None),
            ways: GilFlag::new((0, Ways::BY_NAME)),
            is_patched: GilFlag::new(false),
        }
    }

    /// What `__init__` does.
    fn _start(slf: &Bound<'_, Self>, maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        this.set_maxsize(maxsize);
        this.getters.reset(py);
        this.putters.reset(py);
        this.unfinished.set(py, 0);
        drop(this.finished.take(py));
        this.is_finished.set(py, true);
        match this.ways(slf)?.init {
            InitWay::Deque => this.items.reset(py),
            InitWay::List => this.items.put_in(py, Some(PyList::empty(py).into_any())),
            InitWay::Called => drop(slf.call_method1(interned!(py, "_init"), (maxsize,))?),
        }
        this.is_shutdown.set(py, false);
        Ok(())
    }

    /// The maximum number of items in it; zero or less: no maximum.
    #[getter]
    fn maxsize<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.getattr(interned!(slf.py(), "_maxsize"))
    }

    fn _format(slf: &Bound<'_, Self>) -> PyResult<String> {
        asking::format(slf)
    }

    /// How many `get()` and how many `put()` wait.
    fn _count_waiters(&self, py: Python<'_>) -> PyResult<(usize, usize)> {
        Ok((self.getters.len(py)?, self.putters.len(py)?))
    }

    #[getter(_maxsize)]
    fn shown_maxsize<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().maxsize.get(slf.py()).ok_or_else(|| no_attribute(slf, "_maxsize"))
    }

    #[setter(_maxsize)]
    fn set_maxsize(&self, maxsize: &Bound<'_, PyAny>) {
        let limit = match maxsize.cast_exact::<PyInt>().ok().map(|number| number.extract::<isize>())
        {
            Some(Ok(items)) if items > 0 => Limit::Items(items.unsigned_abs()),
            Some(Ok(_)) => Limit::Endless,
            _ => Limit::Odd,
        };
        self.limit.set(maxsize.py(), limit);
        drop(self.maxsize.set(maxsize.clone()));
    }

    #[getter(_queue)]
    fn shown_items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let items = slf.get().items.in_the_open(slf.py())?;
        items.ok_or_else(|| no_attribute(slf, "_queue"))
    }

    #[setter(_queue)]
    fn set_items(&self, items: Bound<'_, PyAny>) {
        self.items.put_in(items.py(), Some(items));
    }

    #[deleter(_queue)]
    fn delete_items(&self, py: Python<'_>) {
        self.items.put_in(py, None);
    }

    #[getter(_getters)]
    fn shown_getters<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let getters = slf.get().getters.in_the_open(slf.py())?;
        getters.ok_or_else(|| no_attribute(slf, "_getters"))
    }

    #[setter(_getters)]
    fn set_getters(&self, getters: Bound<'_, PyAny>) {
        self.getters.put_in(getters.py(), Some(getters));
    }

    #[getter(_putters)]
    fn shown_putters<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let putters = slf.get().putters.in_the_open(slf.py())?;
        putters.ok_or_else(|| no_attribute(slf, "_putters"))
    }

    #[setter(_putters)]
    fn set_putters(&self, putters: Bound<'_, PyAny>) {
        self.putters.put_in(putters.py(), Some(putters));
    }

    #[getter(_unfinished_tasks)]
    fn unfinished_tasks(&self, py: Python<'_>) -> isize {
        self.unfinished.get(py)
    }

    #[setter(_unfinished_tasks)]
    fn set_unfinished_tasks(&self, py: Python<'_>, count: isize) {
        self.unfinished.set(py, count);
    }

    /// The event that `join()` waits for.
    #[getter(_finished)]
    fn shown_finished<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.event(py)
    }

    #[setter(_finished)]
    fn set_finished(&self, event: Bound<'_, PyAny>) {
        drop(self.finished.set(event));
    }

    #[getter(_is_shutdown)]
    fn shown_shutdown(&self, py: Python<'_>) -> bool {
        self.is_shutdown.get(py)
    }

    #[setter(_is_shutdown)]
    fn set_shutdown(&self, is_shutdown: &Bound<'_, PyAny>) -> PyResult<()> {
        self.is_shutdown.set(is_shutdown.py(), is_shutdown.is_truthy()?);
        Ok(())
    }

    #[getter(_loop)]
    fn shown_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.event_loop.get(py)
    }

    #[setter(_loop)]
    fn set_loop(&self, py: Python<'_>, event_loop: Option<Bound<'_, PyAny>>) {
        let before = match event_loop {
            Some(event_loop) => self.event_loop.set(event_loop),
            None => self.event_loop.take(py),
        };
        drop(before);
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        set_attribute_plainly(slf, name, Some(value))?;
        if name.cast::<PyString>()?.to_str().is_ok_and(is_called_by_name) {
            slf.get().is_patched.set(slf.py(), true);
            slf.get().ways.set(slf.py(), (0, Ways::BY_NAME));
        }
        Ok(())
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        set_attribute_plainly(slf, name, None)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for row in [&self.items, &self.getters, &self.putters] {
            row.traverse(&visit)?;
        }
        for slot in [&self.maxsize, &self.finished, &self.event_loop] {
            slot.traverse(&visit)?;
        }
        Ok(())
    }

    fn __clear__(slf: &Bound<'_, Self>) {
        let (py, this) = (slf.py(), slf.get());
        for row in [&this.items, &this.getters, &this.putters] {
            row.drop_all(py);
        }
        drop((this.maxsize.take(py), this.finished.take(py), this.event_loop.take(py)));
    }
}

impl Queue {
    /// Which of its methods are native now.
    #[inline]
    fn ways(&self, slf: &Bound<'_, Self>) -> PyResult<Ways> {
        let py = slf.py();
        let (version, ways) = self.ways.get(py);
        if version != 0 && version == class_version(slf) {
            return Ok(ways);
        }
        self.look_up_ways(slf)
    }

    fn look_up_ways(&self, slf: &Bound<'_, Self>) -> PyResult<Ways> {
        let py = slf.py();
        if self.is_patched.get(py) {
            return Ok(Ways::BY_NAME);
        }
        let found = Ways::of(slf)?;
        self.ways.set(py, found);
        Ok(found.1)
    }
}

fn no_attribute(slf: &Bound<'_, Queue>, name: &str) -> PyErr {
    let class = slf.get_type().name().map_or_else(|_| "Queue".to_owned(), |name| name.to_string());
    PyAttributeError::new_err(format!("'{class}' object has no attribute '{name}'"))
}

/// Adds the class to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add_class::<Queue>()?;
    let class = py.get_type::<Queue>();
    let asyncio_queue = py.import("asyncio.queues")?.getattr("Queue")?;
    for (name, operation) in
        [("put", &waiting::PUT), ("get", &waiting::GET), ("join", &waiting::JOIN)]
    {
        let template = asyncio_queue.getattr(name)?;
        class.setattr(name, coroutine_function(&template, "oxio.queues", operation)?)?;
    }
    for (name, method) in [
        ("qsize", &asking::QSIZE),
        ("empty", &asking::EMPTY),
        ("full", &asking::FULL),
        ("put_nowait", &transfer::PUT_NOWAIT),
        ("get_nowait", &transfer::GET_NOWAIT),
        ("task_done", &transfer::TASK_DONE),
    ] {
        let template = asyncio_queue.getattr(name)?;
        class.setattr(name, method_function(&template, "oxio.queues", method)?)?;
    }
    Names::of(py).map(drop)
}
