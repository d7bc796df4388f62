//! Who waits, first come first served.
//!
//! asyncio keeps a `collections.deque` of futures in `_waiters`. Here it is a queue of parked awaitables. Python sees the
//! queue itself, not a copy: the running version's own functions work on it when a subclass brings them in, and then
//! futures of asyncio's stand in it too. Both kinds are woken in their turn.
//!
//! Thread: the loop's. A waiter stays until it takes itself out when it is resumed, so what `len` says is what asyncio's
//! says. No borrow is open while a waiter is asked or woken: a foreign one runs Python.

use std::collections::VecDeque;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList};

use crate::awaitable::AwaitableView;
use crate::interop::cell::GilCell;
use crate::interop::imports::interned;

/// A queue of waiters; what `_waiters` shows.
#[pyclass(frozen, module = "oxio._oxio")]
#[derive(Default)]
pub struct Waiters {
    queue: GilCell<VecDeque<Py<PyAny>>>,
}

/// Where an object keeps its waiters: `None` until somebody waits, as in asyncio's locks and semaphores.
#[derive(Default)]
pub struct WaitersSlot(GilCell<Option<Py<Waiters>>>);

impl WaitersSlot {
    pub fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Waiters>> {
        self.0.borrow(py).as_ref().map(|waiters| waiters.bind(py).clone())
    }

    /// Puts `waiter` at the end.
    pub fn push(&self, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = waiter.py();
        self.get_or_make(py)?.get().queue.borrow(py).push_back(waiter.clone().unbind());
        Ok(())
    }

    pub fn get_or_make<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Waiters>> {
        match self.get(py) {
            Some(waiters) => Ok(waiters),
            None => Ok(self.reset(Bound::new(py, Waiters::default())?)),
        }
    }

    /// Takes `waiter` out, wherever it stands.
    pub fn remove(&self, waiter: &Bound<'_, PyAny>) {
        if let Some(waiters) = self.get(waiter.py()) {
            drop(waiters.get().take(waiter));
        }
    }

    fn reset<'py>(&self, waiters: Bound<'py, Waiters>) -> Bound<'py, Waiters> {
        let old = self.0.borrow(waiters.py()).replace(waiters.clone().unbind());
        drop(old);
        waiters
    }

    /// Sets what `_waiters` was set to: None, or anything with futures in it.
    pub fn assign(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        if value.is_none() {
            let old = self.0.borrow(py).take();
            drop(old);
            return Ok(());
        }
        if let Ok(waiters) = value.cast::<Waiters>() {
            self.reset(waiters.clone());
            return Ok(());
        }
        let queue: VecDeque<Py<PyAny>> =
            value.try_iter()?.map(|waiter| waiter.map(Bound::unbind)).collect::<PyResult<_>>()?;
        self.reset(Bound::new(py, Waiters { queue: GilCell::new(queue) })?);
        Ok(())
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0
            .try_peek(|waiters| waiters.as_ref().map_or(Ok(()), |held| visit.call(held)))
            .unwrap_or(Ok(()))
    }

    pub fn clear(&self, py: Python<'_>) {
        let old = self.0.borrow(py).take();
        drop(old);
    }
}

impl Waiters {
    /// The one at this place, from the first on.
    pub fn at<'py>(&self, py: Python<'py>, index: usize) -> Option<Waiter<'py>> {
        self.queue.borrow(py).get(index).map(|waiter| Waiter(waiter.bind(py).clone()))
    }

    fn take(&self, waiter: &Bound<'_, PyAny>) -> Option<Py<PyAny>> {
        let mut queue = self.queue.borrow(waiter.py());
        // Mostly it is the first: who was woken runs in the order of the queue.
        if queue.front().is_some_and(|first| first.is(waiter)) {
            return queue.pop_front();
        }
        let index = queue.iter().position(|other| other.is(waiter))?;
        queue.remove(index)
    }

    pub fn len(&self, py: Python<'_>) -> usize {
        self.queue.borrow(py).len()
    }

    /// Whether nobody stands here who still wants it.
    pub fn all_cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        let mut index = 0;
        while let Some(waiter) = self.at(py, index) {
            if !waiter.is_cancelled()? {
                return Ok(false);
            }
            index += 1;
        }
        Ok(true)
    }

    /// Wakes the first, if it is not on its way already.
    pub fn wake_first(&self, py: Python<'_>) -> PyResult<()> {
        match self.at(py, 0) {
            Some(waiter) if !waiter.is_done()? => waiter.wake(true),
            _ => Ok(()),
        }
    }

    /// Wakes all who still wait, from the first on.
    pub fn wake_all(&self, py: Python<'_>) -> PyResult<()> {
        self.wake(py, usize::MAX, true)
    }

    /// Wakes `count` of those who still wait, from the first on.
    pub fn wake_some(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        self.wake(py, count, false)
    }

    fn wake(&self, py: Python<'_>, mut count: usize, result: bool) -> PyResult<()> {
        let mut index = 0;
        while count > 0
            && let Some(waiter) = self.at(py, index)
        {
            if !waiter.is_done()? {
                waiter.wake(result)?;
                count -= 1;
            }
            index += 1;
        }
        Ok(())
    }
}

/// One who waits: a parked awaitable, or a future that asyncio's own function has put there.
pub struct Waiter<'py>(Bound<'py, PyAny>);

impl Waiter<'_> {
    pub fn is_cancelled(&self) -> PyResult<bool> {
        match AwaitableView::of(&self.0) {
            Some(view) => Ok(view.is_cancelled()),
            None => self.0.call_method0(interned!(self.0.py(), "cancelled"))?.is_truthy(),
        }
    }

    /// Whether it is on its way already, woken or cancelled.
    pub fn is_done(&self) -> PyResult<bool> {
        match AwaitableView::of(&self.0) {
            Some(view) => Ok(view.is_done()),
            None => self.0.call_method0(interned!(self.0.py(), "done"))?.is_truthy(),
        }
    }

    /// Wakes it; a future gets this result.
    pub fn wake(&self, result: bool) -> PyResult<()> {
        match AwaitableView::of(&self.0) {
            Some(view) => view.wake().map(drop),
            None => self.0.call_method1(interned!(self.0.py(), "set_result"), (result,)).map(drop),
        }
    }
}

/// As much of a deque as asyncio's own functions and those who look on use.
#[pymethods]
impl Waiters {
    fn __len__(&self, py: Python<'_>) -> usize {
        self.len(py)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.list(py)?.try_iter()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        let index = if index < 0 { index + self.len(py).cast_signed() } else { index };
        let waiter = usize::try_from(index).ok().and_then(|index| self.at(py, index));
        waiter
            .map(|waiter| waiter.0)
            .ok_or_else(|| PyIndexError::new_err("deque index out of range"))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("deque({})", self.list(py)?.repr()?))
    }

    /// Put it at the end.
    fn append(&self, waiter: Bound<'_, PyAny>) {
        let py = waiter.py();
        self.queue.borrow(py).push_back(waiter.unbind());
    }

    /// Take it out.
    fn remove(&self, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.take(waiter) {
            Some(taken) => {
                drop(taken);
                Ok(())
            }
            None => Err(PyValueError::new_err("deque.remove(x): x not in deque")),
        }
    }

    /// Take the first out.
    fn popleft(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let first = self.queue.borrow(py).pop_front();
        first.ok_or_else(|| PyIndexError::new_err("pop from an empty deque"))
    }

    /// Take all out.
    fn clear(&self, py: Python<'_>) {
        let old = std::mem::take(&mut *self.queue.borrow(py));
        drop(old);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.queue
            .try_peek(|queue| queue.iter().try_for_each(|waiter| visit.call(waiter)))
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.clear(py);
    }
}

impl Waiters {
    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let waiters: Vec<_> =
            self.queue.borrow(py).iter().map(|waiter| waiter.clone_ref(py)).collect();
        PyList::new(py, waiters)
    }
}
