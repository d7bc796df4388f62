//! Where the next record ends.
//!
//! A search begins where the last one of the same read ended: bytes known to hold no separator are not looked at again.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyTuple};

/// The separators of one `readuntil`, the shortest first.
pub enum Separators<'py> {
    Newline,
    One(Bound<'py, PyBytes>),
    Several(Vec<Bound<'py, PyBytes>>),
}

impl<'py> Separators<'py> {
    /// `None` for what asyncio's own function is to judge.
    ///
    /// # Errors
    /// `ValueError` for several of which one is empty, or none: up to 3.12 asyncio takes one only.
    pub fn of(separator: Option<&Bound<'py, PyAny>>) -> PyResult<Option<Self>> {
        let Some(separator) = separator else {
            return Ok(Some(Self::Newline));
        };
        if let Ok(separator) = separator.cast::<PyBytes>() {
            let is_empty = separator.as_bytes().is_empty();
            return Ok((!is_empty).then(|| Self::One(separator.clone())));
        }
        let Ok(several) = separator.cast::<PyTuple>() else {
            return Ok(None);
        };
        let mut found = Vec::with_capacity(several.len());
        for separator in several.iter() {
            match constant(separator)? {
                Some(separator) => found.push(separator),
                None => return Ok(None),
            }
        }
        found.sort_by_key(|separator| separator.as_bytes().len());
        match found.first() {
            None => Err(PyValueError::new_err("Separator should contain at least one element")),
            Some(shortest) if shortest.as_bytes().is_empty() => {
                Err(PyValueError::new_err("Separator should be at least one-byte string"))
            }
            Some(_) => Ok(Some(Self::Several(found))),
        }
    }

    fn shortest(&self) -> usize {
        match self {
            Self::Newline => 1,
            Self::One(separator) => separator.as_bytes().len(),
            Self::Several(all) => all.first().map_or(1, |separator| separator.as_bytes().len()),
        }
    }

    fn longest(&self) -> usize {
        match self {
            Self::Several(all) => all.last().map_or(1, |separator| separator.as_bytes().len()),
            one => one.shortest(),
        }
    }

    /// Where the first separator in `bytes[from..]` begins and ends. Of several the one that ends first, and of those
    /// the shortest.
    fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        match self {
            Self::Newline => find_one(bytes, from, b"\n"),
            Self::One(separator) => find_one(bytes, from, separator.as_bytes()),
            Self::Several(all) => {
                let mut best: Option<(usize, usize)> = None;
                for separator in all {
                    let separator = separator.as_bytes();
                    // One that is to win ends before the best one does.
                    let end = best.map_or(bytes.len(), |(_, end)| end - 1);
                    best = find_one(&bytes[..end], from, separator).or(best);
                }
                best
            }
        }
    }

    /// Looks on from `scanned`, the bytes that hold no separator for sure.
    pub fn search(&self, bytes: &[u8], scanned: usize) -> Found {
        // `scanned` may lie behind the end: another read, or a holder of the buffer, has taken bytes meanwhile.
        let left = bytes.len().saturating_sub(scanned);
        if left < self.shortest() {
            return Found::Nothing { scanned };
        }
        match self.find(bytes, scanned) {
            Some((start, end)) => Found::At { start, end },
            None => Found::Nothing { scanned: (bytes.len() + 1).saturating_sub(self.longest()) },
        }
    }
}

/// What a separator is now; `None` for what is no bytes.
fn constant<'py>(separator: Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = separator.py();
    if separator.is_instance_of::<PyByteArray>() || separator.is_instance_of::<PyMemoryView>() {
        let copy = py.get_type::<PyBytes>().call1((separator,))?;
        return Ok(copy.cast_into::<PyBytes>().ok());
    }
    Ok(separator.cast_into::<PyBytes>().ok())
}

/// The answer of a search.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    At {
        start: usize,
        end: usize,
    },
    /// Not in the first `scanned` bytes, whatever follows them.
    Nothing {
        scanned: usize,
    },
}

fn find_one(bytes: &[u8], from: usize, separator: &[u8]) -> Option<(usize, usize)> {
    let rest = bytes.get(from..)?;
    let at = match separator {
        [byte] => memchr::memchr(*byte, rest)?,
        _ => memchr::memmem::find(rest, separator)?,
    };
    Some((from + at, from + at + separator.len()))
}
