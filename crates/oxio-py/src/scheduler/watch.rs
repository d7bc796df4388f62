//! Who wants to know that a file descriptor can be read or written.
//!
//! One registration per descriptor, with up to one watcher a side, as asyncio has it. A side is watched by a
//! handle (`add_reader`) or by a transport's native half.

use std::io;
use std::os::fd::RawFd;

use oxio_core::reactor::{Interest, Reactor, Readiness, Token};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::runnable::{IoSource, Runnable};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Read,
    Write,
}

impl Side {
    fn interest(self) -> Interest {
        match self {
            Self::Read => Interest::READABLE,
            Self::Write => Interest::WRITABLE,
        }
    }
}

pub enum Watcher {
    Handle(Py<PyAny>),
    Io(IoSource),
}

impl Watcher {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Handle(handle) => Self::Handle(handle.clone_ref(py)),
            Self::Io(source) => Self::Io(source.clone_ref(py)),
        }
    }

    fn into_runnable(self, side: Side) -> Runnable {
        match self {
            Self::Handle(handle) => Runnable::Handle(handle),
            Self::Io(source) => Runnable::Io { source, side },
        }
    }
}

/// The watchers of one descriptor.
#[derive(Default)]
pub struct Watched {
    reader: Option<Watcher>,
    writer: Option<Watcher>,
}

impl Watched {
    fn side(&mut self, side: Side) -> &mut Option<Watcher> {
        match side {
            Side::Read => &mut self.reader,
            Side::Write => &mut self.writer,
        }
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for watcher in [&self.reader, &self.writer].into_iter().flatten() {
            match watcher {
                Watcher::Handle(handle) => visit.call(handle)?,
                Watcher::Io(source) => source.traverse(visit)?,
            }
        }
        Ok(())
    }
}

/// Watches `side` of `fd`; returns the watcher that this one replaces.
///
/// # Errors
/// `EPERM` for descriptors that cannot be polled (regular files), `EBADF`, and what `epoll_ctl` says else; with the
/// watcher, for the caller to drop when its borrow of the reactor has ended.
pub fn watch(
    reactor: &mut Reactor<Watched>,
    fd: RawFd,
    side: Side,
    watcher: Watcher,
) -> Result<Option<Watcher>, (io::Error, Option<Watcher>)> {
    let Some(token) = reactor.lookup(fd) else {
        let mut watched = Watched::default();
        *watched.side(side) = Some(watcher);
        return match reactor.register(fd, side.interest(), watched) {
            Ok(_token) => Ok(None),
            Err((error, mut watched)) => Err((error, watched.side(side).take())),
        };
    };
    let before = reactor.interest(token).unwrap_or(Interest::NONE);
    let wanted = reactor.set_interest(token, before.union(side.interest()));
    // The number may have been closed behind our back and given out again: then the kernel has forgotten it
    // while our slot says that nothing changed.
    let wanted = wanted.and_then(|()| {
        if before.contains(side.interest()) { reactor.refresh(token) } else { Ok(()) }
    });
    if let Err(error) = wanted {
        return Err((error, Some(watcher)));
    }
    Ok(reactor.source_mut(token).and_then(|watched| watched.side(side).replace(watcher)))
}

/// What [`unwatch`] took out; dropped by the caller when its borrow of the reactor has ended.
#[derive(Default)]
pub struct Unwatched {
    /// The watcher of the side that was asked for.
    pub watcher: Option<Watcher>,
    /// The other side, when the descriptor turned out to be closed: nobody can be told about it any more.
    pub orphans: Option<Watched>,
}

/// Stops watching `side` of `fd`.
pub fn unwatch(reactor: &mut Reactor<Watched>, fd: RawFd, side: Side) -> Unwatched {
    let mut unwatched = Unwatched::default();
    let Some(token) = reactor.lookup(fd) else {
        return unwatched;
    };
    unwatched.watcher = reactor.source_mut(token).and_then(|watched| watched.side(side).take());
    if unwatched.watcher.is_none() {
        return unwatched;
    }
    let before = reactor.interest(token).unwrap_or(Interest::NONE);
    let left = before.without(side.interest());
    if left.is_empty() || reactor.set_interest(token, left).is_err() {
        unwatched.orphans = reactor.deregister(token);
    }
    unwatched
}

/// The entries that an event makes: the reader's before the writer's. Stale events make none.
pub fn runnables(
    py: Python<'_>,
    reactor: &Reactor<Watched>,
    token: Token,
    readiness: Readiness,
) -> [Option<Runnable>; 2] {
    let Some(watched) = reactor.source(token) else {
        return [None, None];
    };
    let wanted = |watcher: &Option<Watcher>, ready: bool, side: Side| {
        let watcher = watcher.as_ref().filter(|_| ready)?;
        Some(watcher.clone_ref(py).into_runnable(side))
    };
    [
        wanted(&watched.reader, readiness.is_readable(), Side::Read),
        wanted(&watched.writer, readiness.is_writable(), Side::Write),
    ]
}
