//! The bytes of a reader between socket and program.
//!
//! ```text
//! native (one piece, or joined) ──somebody asks for `_buffer`──► shared ──empty and let go──► native
//! ```
//!
//! A piece that arrives while nothing is buffered is kept as it came, and a read of all of it returns that very object.
//! More pieces are joined. asyncio's buffer is a `bytearray` in an attribute that programs and tests read, change and
//! replace: from the moment somebody asks for it, there is one, and it is the truth for both sides.
//!
//! Thread: the loop's. No borrow is open while the interpreter may collect garbage: making `bytes` never does so, all
//! work on a shared `bytearray` may.

use std::mem;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PySlice};

use crate::interop::buffer::{is_only_reference, new_bytes, with_writable};
use crate::interop::cell::GilCell;

enum Store {
    /// One piece, of which the bytes from `start` on are left.
    Piece { bytes: Py<PyBytes>, start: usize },
    /// Pieces joined, of which the bytes from `start` on are left.
    Joined { data: Vec<u8>, start: usize },
    /// Somebody may hold it.
    Shared(Py<PyByteArray>),
}

impl Default for Store {
    fn default() -> Self {
        Self::Joined { data: Vec::new(), start: 0 }
    }
}

impl Store {
    /// What is buffered here; `None` when it is shared.
    fn native(&self, py: Python<'_>) -> Option<&[u8]> {
        match self {
            Self::Piece { bytes, start } => Some(&bytes.as_bytes(py)[*start..]),
            Self::Joined { data, start } => Some(&data[*start..]),
            Self::Shared(_) => None,
        }
    }

    fn shared<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyByteArray>> {
        match self {
            Self::Shared(object) => Some(object.bind(py).clone()),
            Self::Piece { .. } | Self::Joined { .. } => None,
        }
    }
}

#[derive(Default)]
pub struct Buffer(GilCell<Store>);

impl Buffer {
    pub fn len(&self, py: Python<'_>) -> usize {
        match &*self.0.borrow(py) {
            Store::Piece { bytes, start } => bytes.as_bytes(py).len() - start,
            Store::Joined { data, start } => data.len() - start,
            Store::Shared(object) => object.bind(py).len(),
        }
    }

    pub fn is_empty(&self, py: Python<'_>) -> bool {
        self.len(py) == 0
    }

    /// Lends what is buffered to `look`, which must not call Python.
    pub fn look_at<T>(&self, py: Python<'_>, look: impl FnOnce(&[u8]) -> T) -> PyResult<T> {
        let shared = {
            let store = self.0.borrow(py);
            match store.native(py) {
                Some(bytes) => return Ok(look(bytes)),
                None => store.shared(py),
            }
        };
        match shared {
            Some(shared) => with_writable(&shared, |bytes| look(bytes)),
            None => Ok(look(&[])),
        }
    }

    /// Adds a copy of `bytes`.
    pub fn push(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<()> {
        self.reclaim(py);
        if self.is_empty_native(py) {
            let bytes = new_bytes(py, bytes)?;
            return self.push_bytes(&bytes);
        }
        let shared = {
            let mut store = self.0.borrow(py);
            if let Store::Piece { bytes: piece, start } = &*store {
                let left = &piece.as_bytes(py)[*start..];
                let mut data = Vec::with_capacity((left.len() + bytes.len()).max(2 * left.len()));
                data.extend_from_slice(left);
                *store = Store::Joined { data, start: 0 };
            }
            match &mut *store {
                Store::Joined { data, start } => {
                    // Moved to the front only when that saves growing, and what is left is the smaller part.
                    if data.len() + bytes.len() > data.capacity() && *start > data.len() / 2 {
                        data.drain(..*start);
                        *start = 0;
                    }
                    data.extend_from_slice(bytes);
                    return Ok(());
                }
                other => other.shared(py),
            }
        };
        if let Some(shared) = shared {
            let old = shared.len();
            shared.resize(old + bytes.len())?;
            with_writable(&shared, |memory| memory[old..].copy_from_slice(bytes))?;
        }
        Ok(())
    }

    /// Adds `bytes`, by reference when nothing is buffered.
    pub fn push_bytes(&self, bytes: &Bound<'_, PyBytes>) -> PyResult<()> {
        let py = bytes.py();
        self.reclaim(py);
        if self.is_empty_native(py) {
            let piece = Store::Piece { bytes: bytes.clone().unbind(), start: 0 };
            drop(mem::replace(&mut *self.0.borrow(py), piece));
            return Ok(());
        }
        self.push(py, bytes.as_bytes())
    }

    /// Takes the first `count` bytes, or all that there are.
    pub fn take<'py>(&self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
        let taken = {
            let store = self.0.borrow(py);
            match &*store {
                Store::Piece { bytes, start: 0 } if bytes.as_bytes(py).len() <= count => {
                    Some(bytes.bind(py).clone())
                }
                other => match other.native(py) {
                    Some(bytes) => Some(new_bytes(py, &bytes[..count.min(bytes.len())])?),
                    None => None,
                },
            }
        };
        let taken = match taken {
            Some(taken) => taken,
            None => self.look_at(py, |bytes| new_bytes(py, &bytes[..count.min(bytes.len())]))??,
        };
        self.drop_first(py, taken.as_bytes().len())?;
        Ok(taken)
    }

    /// Drops the first `count` bytes, or all that there are.
    pub fn drop_first(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        let shared = {
            let mut store = self.0.borrow(py);
            let is_spent = match &mut *store {
                Store::Piece { bytes, start } => {
                    *start += count;
                    *start >= bytes.as_bytes(py).len()
                }
                Store::Joined { data, start } => {
                    *start += count;
                    *start >= data.len()
                }
                Store::Shared(_) => false,
            };
            if is_spent {
                *store = Store::default();
            }
            store.shared(py)
        };
        match shared {
            Some(shared) if count >= shared.len() => shared.resize(0),
            Some(shared) => shared.del_item(PySlice::new(py, 0, count.cast_signed(), 1)),
            None => Ok(()),
        }
    }

    pub fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.drop_first(py, self.len(py))
    }

    /// The buffer as a `bytearray` that whoever has it may change.
    pub fn share<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        if let Some(shared) = self.0.borrow(py).shared(py) {
            return Ok(shared);
        }
        let len = self.len(py);
        let shared = PyByteArray::new(py, &[]);
        shared.resize(len)?;
        // One call after the other: neither the reader nor the array is in anybody else's hands.
        self.look_at(py, |bytes| with_writable(&shared, |memory| memory.copy_from_slice(bytes)))??;
        self.replace(shared.clone());
        Ok(shared)
    }

    /// `bytearray` is the buffer from now on.
    pub fn replace(&self, bytearray: Bound<'_, PyByteArray>) {
        let py = bytearray.py();
        let old = mem::replace(&mut *self.0.borrow(py), Store::Shared(bytearray.unbind()));
        drop(old);
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0
            .try_peek(|store| match store {
                Store::Shared(object) => visit.call(object),
                Store::Piece { .. } | Store::Joined { .. } => Ok(()),
            })
            .unwrap_or(Ok(()))
    }

    fn is_empty_native(&self, py: Python<'_>) -> bool {
        match &*self.0.borrow(py) {
            Store::Piece { bytes, start } => bytes.as_bytes(py).len() == *start,
            Store::Joined { data, start } => data.len() == *start,
            Store::Shared(_) => false,
        }
    }

    /// A `bytearray` that is empty and that nobody else has any more is given up.
    fn reclaim(&self, py: Python<'_>) {
        let old = {
            let mut store = self.0.borrow(py);
            match &*store {
                Store::Shared(object)
                    if is_only_reference(object, py) && object.bind(py).len() == 0 =>
                {
                    Some(mem::take(&mut *store))
                }
                _ => None,
            }
        };
        drop(old);
    }
}
