//! How many items there are, whether that is none or all there can be, and how to say so.

use std::fmt::Write;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyList};

use super::ways::{Called, Ways};
use super::{Limit, Queue, no_attribute};
use crate::awaitable::{Call, Method, Parameters};
use crate::interop::imports::interned;

pub static QSIZE: Method = Method {
    parameters: Parameters::NONE,
    call: |Call { owner, .. }| {
        let slf = owner.cast::<Queue>()?;
        let size = qsize_natively(slf, slf.get().ways(slf)?)?;
        Ok(PyInt::new(owner.py(), size).into_any())
    },
};

pub static EMPTY: Method = Method {
    parameters: Parameters::NONE,
    call: |Call { owner, .. }| {
        let slf = owner.cast::<Queue>()?;
        let is_empty = is_empty_natively(slf, slf.get().ways(slf)?)?;
        Ok(PyBool::new(owner.py(), is_empty).to_owned().into_any())
    },
};

pub static FULL: Method = Method {
    parameters: Parameters::NONE,
    call: |Call { owner, .. }| {
        let slf = owner.cast::<Queue>()?;
        let is_full = is_full_natively(slf, slf.get().ways(slf)?)?;
        Ok(PyBool::new(owner.py(), is_full).to_owned().into_any())
    },
};

/// The store as Python sees it.
///
/// # Errors
/// `AttributeError` when a subclass keeps its items elsewhere.
pub fn store<'py>(slf: &Bound<'py, Queue>, ways: Ways) -> PyResult<Bound<'py, PyAny>> {
    if ways.calls(Called::QUEUE) {
        return slf.getattr(interned!(slf.py(), "_queue"));
    }
    let items = slf.get().items.in_the_open(slf.py())?;
    items.ok_or_else(|| no_attribute(slf, "_queue"))
}

/// How many items there are, when that needs no call.
fn known_len(slf: &Bound<'_, Queue>, ways: Ways) -> Option<usize> {
    if ways.calls(Called::QUEUE) { None } else { slf.get().items.known_len(slf.py()) }
}

fn qsize_natively(slf: &Bound<'_, Queue>, ways: Ways) -> PyResult<usize> {
    match known_len(slf, ways) {
        Some(length) => Ok(length),
        None => store(slf, ways)?.len(),
    }
}

fn is_empty_natively(slf: &Bound<'_, Queue>, ways: Ways) -> PyResult<bool> {
    match known_len(slf, ways) {
        Some(length) => Ok(length == 0),
        None => Ok(!store(slf, ways)?.is_truthy()?),
    }
}

fn is_full_natively(slf: &Bound<'_, Queue>, ways: Ways) -> PyResult<bool> {
    let py = slf.py();
    let limit = slf.get().limit.get(py);
    match limit {
        Limit::Endless if !ways.calls(Called::MAXSIZE) => Ok(false),
        Limit::Items(limit) if !ways.calls(Called::MAXSIZE) && !ways.calls(Called::QSIZE) => {
            Ok(qsize_natively(slf, ways)? >= limit)
        }
        _ => {
            if slf.getattr(interned!(py, "_maxsize"))?.le(0)? {
                return Ok(false);
            }
            let size = slf.call_method0(interned!(py, "qsize"))?;
            size.ge(slf.getattr(interned!(py, "_maxsize"))?)
        }
    }
}

/// `self.empty()`.
pub fn is_empty(slf: &Bound<'_, Queue>, ways: Ways) -> PyResult<bool> {
    if ways.calls(Called::EMPTY) {
        return slf.call_method0(interned!(slf.py(), "empty"))?.is_truthy();
    }
    is_empty_natively(slf, ways)
}

/// `self.full()`.
pub fn is_full(slf: &Bound<'_, Queue>, ways: Ways) -> PyResult<bool> {
    if ways.calls(Called::FULL) {
        return slf.call_method0(interned!(slf.py(), "full"))?.is_truthy();
    }
    is_full_natively(slf, ways)
}

/// What `repr` and `str` say of its state. The store stays native.
///
/// Source: CPython 3.13 `Queue._format`.
pub fn format(slf: &Bound<'_, Queue>) -> PyResult<String> {
    let (py, this) = (slf.py(), slf.get());
    let ways = this.ways(slf)?;
    let mut text = format!("maxsize={}", slf.getattr(interned!(py, "_maxsize"))?.repr()?);
    let items = if !ways.calls(Called::QUEUE) && this.items.is_native(py) {
        Some(PyList::new(py, this.items.snapshot(py))?)
    } else {
        match slf.getattr_opt(interned!(py, "_queue"))? {
            Some(items) if items.is_truthy()? => {
                Some(py.get_type::<PyList>().call1((items,))?.cast_into::<PyList>()?)
            }
            _ => None,
        }
    };
    let mut say = |what: std::fmt::Arguments<'_>| {
        text.write_fmt(what).expect("writing to a String does not fail");
    };
    if let Some(items) = items.filter(|items| !items.is_empty()) {
        say(format_args!(" _queue={}", items.repr()?));
    }
    let (getters, putters) = (this.getters.len(py)?, this.putters.len(py)?);
    if getters > 0 {
        say(format_args!(" _getters[{getters}]"));
    }
    if putters > 0 {
        say(format_args!(" _putters[{putters}]"));
    }
    let unfinished = this.unfinished.get(py);
    if unfinished != 0 {
        say(format_args!(" tasks={unfinished}"));
    }
    if this.is_shutdown.get(py) {
        say(format_args!(" shutdown"));
    }
    Ok(text)
}
