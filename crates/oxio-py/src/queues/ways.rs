//! Which of a queue's methods are native and which are a subclass's.
//!
//! asyncio's queue calls its own methods by name: `put` asks `self.full()`, then calls `self.put_nowait(item)`, and that
//! `self._put(item)`. A subclass may override each, and a test may put a mock in its place, on the class or on the
//! instance. All of that is obeyed. What the class has is looked up once for each version of the class; an instance
//! on which one of the names was set is asked by name for all.

use pyo3::prelude::*;
use pyo3::types::PyType;

use super::Queue;
use super::names::Names;
use crate::interop::attributes::class_version;
use crate::interop::cell::GilFlag;
use crate::interop::imports::interned;

/// How an item gets into the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PutWay {
    /// `_put` by name.
    Called,
    Append,
    Heap,
}

/// How an item gets out of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum GetWay {
    /// `_get` by name.
    Called,
    First,
    Last,
    Smallest,
}

/// What the store is at first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum InitWay {
    /// `_init` by name.
    Called,
    Deque,
    List,
}

/// A bit for each name that is asked by name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Called(u16);

impl Called {
    pub const NOTHING: Self = Self(0);
    pub const FULL: Self = Self(1);
    pub const EMPTY: Self = Self(1 << 1);
    pub const QSIZE: Self = Self(1 << 2);
    pub const PUT_NOWAIT: Self = Self(1 << 3);
    pub const GET_NOWAIT: Self = Self(1 << 4);
    pub const WAKEUP_NEXT: Self = Self(1 << 5);
    pub const QUEUE: Self = Self(1 << 6);
    pub const MAXSIZE: Self = Self(1 << 7);
    pub const EVERYTHING: Self = Self(u16::MAX);
}

#[derive(Clone, Copy)]
pub struct Ways {
    called: Called,
    pub init: InitWay,
    pub put: PutWay,
    pub get: GetWay,
}

/// Those of the class that was looked at last, with its version: programs make many queues of one class.
static LATEST: GilFlag<(u32, Ways)> = GilFlag::new((0, Ways::BY_NAME));

impl Ways {
    /// Everything is asked by name.
    pub const BY_NAME: Self = Self {
        called: Called::EVERYTHING,
        init: InitWay::Called,
        put: PutWay::Called,
        get: GetWay::Called,
    };

    /// Whether an instance as it is made does all without a call.
    #[inline]
    pub fn are_native(self) -> bool {
        self.called == Called::NOTHING && self.put == PutWay::Append && self.get == GetWay::First
    }

    #[inline]
    pub fn calls(self, what: Called) -> bool {
        self.called.0 & what.0 != 0
    }

    /// Those of `queue`'s class, and the version that they are of; 0 when they must be looked up each time.
    pub fn of(queue: &Bound<'_, Queue>) -> PyResult<(u32, Self)> {
        let py = queue.py();
        let latest = LATEST.get(py);
        if latest.0 != 0 && latest.0 == class_version(queue) {
            return Ok(latest);
        }
        let ways = Self::look_up(&queue.get_type())?;
        // Looking up is what gives a class its number.
        let found = (class_version(queue), ways);
        LATEST.set(py, found);
        Ok(found)
    }

    fn look_up(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let py = class.py();
        let names = Names::of(py)?;
        let native = names.native.bind(py);
        let mut called = Called::NOTHING;
        for (name, bit) in [
            (interned!(py, "full"), Called::FULL),
            (interned!(py, "empty"), Called::EMPTY),
            (interned!(py, "qsize"), Called::QSIZE),
            (interned!(py, "put_nowait"), Called::PUT_NOWAIT),
            (interned!(py, "get_nowait"), Called::GET_NOWAIT),
            (interned!(py, "_queue"), Called::QUEUE),
            (interned!(py, "_maxsize"), Called::MAXSIZE),
        ] {
            if !class.getattr(name)?.is(&native.getattr(name)?) {
                called = Called(called.0 | bit.0);
            }
        }
        if !class.getattr(interned!(py, "_wakeup_next"))?.is(&names.wakeup_next) {
            called = Called(called.0 | Called::WAKEUP_NEXT.0);
        }
        let init = class.getattr(interned!(py, "_init"))?;
        let put = class.getattr(interned!(py, "_put"))?;
        let get = class.getattr(interned!(py, "_get"))?;
        Ok(Self {
            called,
            init: match () {
                () if init.is(&names.queue.init) => InitWay::Deque,
                () if init.is(&names.lifo_queue.init) => InitWay::List,
                () if init.is(&names.priority_queue.init) => InitWay::List,
                () => InitWay::Called,
            },
            put: match () {
                () if put.is(&names.queue.put) => PutWay::Append,
                () if put.is(&names.lifo_queue.put) => PutWay::Append,
                () if put.is(&names.priority_queue.put) => PutWay::Heap,
                () => PutWay::Called,
            },
            get: match () {
                () if get.is(&names.queue.get) => GetWay::First,
                () if get.is(&names.lifo_queue.get) => GetWay::Last,
                () if get.is(&names.priority_queue.get) => GetWay::Smallest,
                () => GetWay::Called,
            },
        })
    }
}

/// Whether setting this name on an instance puts something in the place of a method.
pub fn is_called_by_name(name: &str) -> bool {
    matches!(
        name,
        "full" | "empty" | "qsize" | "put_nowait" | "get_nowait" | "_put" | "_get" | "_wakeup_next"
    )
}
