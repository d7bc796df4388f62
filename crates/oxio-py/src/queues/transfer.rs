//! Items in and out, at once or not at all.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::asking::{is_empty, is_full, store};
use super::names::{Names, raised, shut_down_error};
use super::row::Row;
use super::ways::{Called, GetWay, PutWay, Ways};
use super::{Limit, Queue};
use crate::awaitable::{Call, Method, Parameters};
use crate::interop::imports::interned;

pub static PUT_NOWAIT: Method = Method {
    parameters: Parameters { is_method: true, names: &["item"], required: 1, positional: 1 },
    call: |Call { owner, arguments }| {
        let slf = owner.cast::<Queue>()?;
        let ways = slf.get().ways(slf)?;
        if let Some(item) = put_quickly(slf, ways, arguments[0].clone())? {
            put_natively(slf, ways, item)?;
        }
        Ok(owner.py().None().into_bound(owner.py()))
    },
};

pub static GET_NOWAIT: Method = Method {
    parameters: Parameters::NONE,
    call: |Call { owner, .. }| {
        let slf = owner.cast::<Queue>()?;
        let ways = slf.get().ways(slf)?;
        match get_quickly(slf, ways)? {
            Some(item) => Ok(item),
            None => get_natively(slf, ways),
        }
    },
};

pub static TASK_DONE: Method = Method {
    parameters: Parameters::NONE,
    call: |Call { owner, .. }| {
        let (py, this) = (owner.py(), owner.cast::<Queue>()?.get());
        let unfinished = this.unfinished.get(py);
        if unfinished <= 0 {
            return Err(PyValueError::new_err("task_done() called too many times"));
        }
        this.unfinished.set(py, unfinished - 1);
        if unfinished == 1 {
            this.finish(py)?;
        }
        Ok(py.None().into_bound(py))
    },
};

/// An item, if all is native and there is one: what `get_natively` does, without asking the same questions twice.
#[inline]
pub fn get_quickly<'py>(
    slf: &Bound<'py, Queue>,
    ways: Ways,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (py, this) = (slf.py(), slf.get());
    if !ways.are_native() {
        return Ok(None);
    }
    let Some(item) = this.items.pop_first_natively(py) else {
        return Ok(None);
    };
    this.putters.wake_first(py)?;
    Ok(Some(item))
}

/// Puts the item in, if all is native and there is room; else hands it back.
#[inline]
pub fn put_quickly<'py>(
    slf: &Bound<'py, Queue>,
    ways: Ways,
    item: Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (py, this) = (slf.py(), slf.get());
    let room = match this.limit.get(py) {
        Limit::Endless => usize::MAX,
        Limit::Items(items) => items,
        Limit::Odd => 0,
    };
    if !ways.are_native() || this.is_shutdown.get(py) {
        return Ok(Some(item));
    }
    if let Some(item) = this.items.push_below(room, item) {
        return Ok(Some(item));
    }
    this.unfinished.set(py, this.unfinished.get(py) + 1);
    this.begin(py)?;
    this.getters.wake_first(py)?;
    Ok(None)
}

/// `self.put_nowait(item)`.
pub fn put<'py>(
    slf: &Bound<'py, Queue>,
    ways: Ways,
    item: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    if ways.calls(Called::PUT_NOWAIT) {
        return slf.call_method1(interned!(py, "put_nowait"), (item,));
    }
    put_natively(slf, ways, item)?;
    Ok(py.None().into_bound(py))
}

/// `self.get_nowait()`.
pub fn get<'py>(slf: &Bound<'py, Queue>, ways: Ways) -> PyResult<Bound<'py, PyAny>> {
    if ways.calls(Called::GET_NOWAIT) {
        return slf.call_method0(interned!(slf.py(), "get_nowait"));
    }
    get_natively(slf, ways)
}

fn put_natively(slf: &Bound<'_, Queue>, ways: Ways, item: Bound<'_, PyAny>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    if this.is_shutdown.get(py) {
        return Err(shut_down_error(py));
    }
    if is_full(slf, ways)? {
        return Err(raised(py, &Names::of(py)?.queue_full));
    }
    put_in(slf, ways, item)?;
    this.unfinished.set(py, this.unfinished.get(py) + 1);
    this.begin(py)?;
    wake_next(slf, ways, &this.getters, "_getters")
}

fn get_natively<'py>(slf: &Bound<'py, Queue>, ways: Ways) -> PyResult<Bound<'py, PyAny>> {
    let (py, this) = (slf.py(), slf.get());
    if is_empty(slf, ways)? {
        if this.is_shutdown.get(py) {
            return Err(shut_down_error(py));
        }
        return Err(raised(py, &Names::of(py)?.queue_empty));
    }
    let item = take_out(slf, ways)?;
    wake_next(slf, ways, &this.putters, "_putters")?;
    Ok(item)
}

/// `self._put(item)`.
fn put_in<'py>(slf: &Bound<'py, Queue>, ways: Ways, item: Bound<'py, PyAny>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    match ways.put {
        PutWay::Called => slf.call_method1(interned!(py, "_put"), (item,)).map(drop),
        PutWay::Append if !ways.calls(Called::QUEUE) && this.items.is_native(py) => {
            this.items.push(item)
        }
        PutWay::Append => {
            let items = store(slf, ways)?;
            match items.cast_exact::<PyList>() {
                Ok(list) => list.append(item),
                Err(_deque) => items.call_method1(interned!(py, "append"), (item,)).map(drop),
            }
        }
        PutWay::Heap => {
            let items = store(slf, ways)?;
            Names::of(py)?.heappush.bind(py).call1((items, item)).map(drop)
        }
    }
}

/// `self._get()`.
fn take_out<'py>(slf: &Bound<'py, Queue>, ways: Ways) -> PyResult<Bound<'py, PyAny>> {
    let (py, this) = (slf.py(), slf.get());
    match ways.get {
        GetWay::Called => slf.call_method0(interned!(py, "_get")),
        GetWay::First => {
            if !ways.calls(Called::QUEUE)
                && this.items.is_native(py)
                && let Some(item) = this.items.pop_first(py)?
            {
                return Ok(item);
            }
            // Also when an overridden `empty()` is wrong about an empty store: the deque's error is asyncio's.
            store(slf, ways)?.call_method0(interned!(py, "popleft"))
        }
        GetWay::Last => {
            let items = store(slf, ways)?;
            if let Ok(list) = items.cast_exact::<PyList>()
                && let Some(last) = list.len().checked_sub(1)
            {
                let item = list.get_item(last)?;
                list.del_item(last)?;
                return Ok(item);
            }
            items.call_method0(interned!(py, "pop"))
        }
        GetWay::Smallest => Names::of(py)?.heappop.bind(py).call1((store(slf, ways)?,)),
    }
}

/// `self._wakeup_next(waiters)`.
pub fn wake_next(
    slf: &Bound<'_, Queue>,
    ways: Ways,
    waiters: &Row,
    name: &'static str,
) -> PyResult<()> {
    let py = slf.py();
    if ways.calls(Called::WAKEUP_NEXT) {
        let waiters = slf.getattr(name)?;
        return slf.call_method1(interned!(py, "_wakeup_next"), (waiters,)).map(drop);
    }
    waiters.wake_first(py)
}

impl Queue {
    /// The event that `join()` waits for, made when somebody asks.
    pub(super) fn event<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(event) = self.finished.get(py) {
            return Ok(event);
        }
        let event = py.import("oxio.locks")?.getattr(interned!(py, "Event"))?.call0()?;
        if self.is_finished.get(py) {
            event.call_method0(interned!(py, "set"))?;
        }
        drop(self.finished.set(event.clone()));
        Ok(event)
    }

    /// `self._finished.clear()`.
    #[inline]
    fn begin(&self, py: Python<'_>) -> PyResult<()> {
        self.is_finished.set(py, false);
        if self.finished.is_empty(py) {
            return Ok(());
        }
        self.event(py)?.call_method0(interned!(py, "clear")).map(drop)
    }

    /// `self._finished.set()`.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.is_finished.set(py, true);
        match self.finished.get(py) {
            Some(event) => event.call_method0(interned!(py, "set")).map(drop),
            None => Ok(()),
        }
    }
}
