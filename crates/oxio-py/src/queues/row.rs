//! Objects in a row: native until somebody looks at them.
//!
//! asyncio keeps its items and waiters in plain attributes, and programs reach for them: `queue._queue.appendleft(x)`,
//! `len(queue._getters)`. So the first who asks for the attribute gets a real `deque`, into which everything moves, and
//! which is used from then on. As long as nobody asks, a step costs a few instructions and no call.

use std::collections::VecDeque;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::names::Names;
use crate::awaitable::AwaitableView;
use crate::interop::cell::{GilCell, GilFlag, GilSlot};
use crate::interop::imports::interned;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The attribute is not set.
    Nowhere,
    Native,
    /// In a Python object: a deque, a list, or whatever a subclass has chosen.
    Object,
}

/// States: nowhere → native → object; `reset` and `put_in` lead to their state from each.
pub struct Row {
    place: GilFlag<Place>,
    native: GilCell<VecDeque<Py<PyAny>>>,
    object: GilSlot,
}

impl Row {
    pub const fn new() -> Self {
        Self {
            place: GilFlag::new(Place::Nowhere),
            native: GilCell::new(VecDeque::new()),
            object: GilSlot::new(None),
        }
    }

    /// Empty and native.
    pub fn reset(&self, py: Python<'_>) {
        self.place.set(py, Place::Native);
        self.drop_all(py);
    }

    /// Somebody has set the attribute, or deleted it.
    pub fn put_in(&self, py: Python<'_>, object: Option<Bound<'_, PyAny>>) {
        self.place.set(py, if object.is_some() { Place::Object } else { Place::Nowhere });
        let before = match object {
            Some(object) => self.object.set(object),
            None => self.object.take(py),
        };
        let native = std::mem::take(&mut *self.native.borrow(py));
        drop((before, native));
    }

    pub fn drop_all(&self, py: Python<'_>) {
        let native = std::mem::take(&mut *self.native.borrow(py));
        drop((native, self.object.take(py)));
    }

    #[inline]
    pub fn is_native(&self, py: Python<'_>) -> bool {
        self.place.get(py) == Place::Native
    }

    /// The object that the attribute is; `None` when it is not set.
    pub fn in_the_open<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.is_native(py) {
            // Made first: a collection in between may run code that changes the row.
            let deque = Names::of(py)?.deque.bind(py).call0()?;
            if self.is_native(py) {
                drop(self.object.set(deque.clone()));
                self.place.set(py, Place::Object);
                let objects = std::mem::take(&mut *self.native.borrow(py));
                for object in objects {
                    deque.call_method1(interned!(py, "append"), (object,))?;
                }
            }
        }
        Ok(self.object.get(py))
    }

    /// Takes the first out when that is known without Python; `None` as well when there is none.
    #[inline]
    pub fn pop_first_natively<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if !self.is_native(py) {
            return None;
        }
        let first = self.native.borrow(py).pop_front();
        first.map(|object| object.into_bound(py))
    }

    /// Adds it when the row is native and shorter than `limit`; else hands it back.
    #[inline]
    pub fn push_below<'py>(
        &self,
        limit: usize,
        object: Bound<'py, PyAny>,
    ) -> Option<Bound<'py, PyAny>> {
        let py = object.py();
        if !self.is_native(py) {
            return Some(object);
        }
        let mut native = self.native.borrow(py);
        if native.len() >= limit {
            return Some(object);
        }
        native.push_back(object.unbind());
        None
    }

    /// How many there are, when that is known without Python.
    #[inline]
    pub fn native_len(&self, py: Python<'_>) -> Option<usize> {
        self.is_native(py).then(|| self.native.borrow(py).len())
    }

    /// The same for a list as well.
    pub fn known_len(&self, py: Python<'_>) -> Option<usize> {
        self.native_len(py).or_else(|| {
            let object = self.object.get(py)?;
            object.cast_exact::<PyList>().ok().map(PyListMethods::len)
        })
    }

    pub fn len(&self, py: Python<'_>) -> PyResult<usize> {
        match (self.native_len(py), self.object.get(py)) {
            (Some(length), _) => Ok(length),
            (None, Some(object)) => object.len(),
            (None, None) => Ok(0),
        }
    }

    /// What is in a native row, in order.
    pub fn snapshot(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.native.borrow(py).iter().map(|object| object.clone_ref(py)).collect()
    }

    #[inline]
    pub fn push(&self, object: Bound<'_, PyAny>) -> PyResult<()> {
        let py = object.py();
        if self.is_native(py) {
            self.native.borrow(py).push_back(object.unbind());
            return Ok(());
        }
        if let Some(row) = self.object.get(py) {
            return row.call_method1(interned!(py, "append"), (object,)).map(drop);
        }
        self.reset(py);
        self.native.borrow(py).push_back(object.unbind());
        Ok(())
    }

    /// Takes the first out; `None` when there is none.
    pub fn pop_first<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.is_native(py) {
            return Ok(self.pop_first_natively(py));
        }
        match self.object.get(py) {
            Some(row) if row.is_truthy()? => {
                row.call_method0(interned!(py, "popleft")).map(Some).or_else(|error| {
                    if error.is_instance_of::<PyIndexError>(py) { Ok(None) } else { Err(error) }
                })
            }
            _ => Ok(None),
        }
    }

    /// Takes `object` out, if it is in.
    pub fn remove(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = object.py();
        if self.is_native(py) {
            let mut native = self.native.borrow(py);
            let found = native.iter().position(|other| other.is(object));
            let taken = found.and_then(|position| native.remove(position));
            drop(native);
            drop(taken);
            return Ok(());
        }
        let Some(row) = self.object.get(py) else {
            return Ok(());
        };
        match row.call_method1(interned!(py, "remove"), (object,)) {
            Err(error) if !error.is_instance_of::<PyValueError>(py) => Err(error),
            _ => Ok(()),
        }
    }

    /// Wakes the first waiter that waits still, and takes out all up to it.
    ///
    /// Source: CPython `Queue._wakeup_next`.
    #[inline]
    pub fn wake_first(&self, py: Python<'_>) -> PyResult<()> {
        if self.native_len(py) == Some(0) { Ok(()) } else { self.wake_first_of_some(py) }
    }

    fn wake_first_of_some(&self, py: Python<'_>) -> PyResult<()> {
        while let Some(waiter) = self.pop_first(py)? {
            if let Some(view) = AwaitableView::of(&waiter) {
                if view.wake()? {
                    break;
                }
            } else if !waiter.call_method0(interned!(py, "done"))?.is_truthy()? {
                waiter.call_method1(interned!(py, "set_result"), (py.None(),))?;
                break;
            }
        }
        Ok(())
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.object.traverse(visit)?;
        self.native
            .try_peek(|native| native.iter().try_for_each(|object| visit.call(object)))
            .unwrap_or(Ok(()))
    }
}
