//! All system calls.
//!
//! # The contract with a platform
//!
//! Linux is the only platform today. Another one brings a file with these names, and nothing outside of this folder
//! changes.
//!
//! `Selector`: a level-triggered readiness queue, close-on-exec.
//! * `new() -> io::Result`
//! * `add(fd, token, Interest)`: watches `fd`. Fails with an error that `is_already_added` recognises if it is watched.
//! * `modify(fd, token, Interest)`: replaces token and interest. Fails with one that `is_not_added` recognises if the
//!   file behind `fd` is not watched. The interest is never empty in either.
//! * `delete(fd)`: stops watching.
//! * `wait(&mut EventBuffer, Option<Duration>)`: clears the buffer, then waits. Zero polls. Never early but for an event or a
//!   signal. A signal is `Interrupted`.
//! * `add` on a file that has no readiness (a regular file) fails with `EPERM`.
//! * Dropping it closes it and changes nothing else, so that a forked child can drop an inherited one.
//!
//! `EventBuffer`: the events of one wait. An event is the `u64` token and a [`Readiness`](crate::reactor::Readiness), in which a hang-up (kqueue's
//! `EV_EOF`) or an error counts for both sides.
//!
//! `EventFd`: something that `signal` makes readable from any thread and `drain` unreadable. `fd()` is watched by the
//! selector. (kqueue has `EVFILT_USER`, or a pipe.)
//!
//! `clock::monotonic_nanos`: the clock of `time.monotonic()`.
//!
//! [`socket`]: calls on connected sockets. They do not block if the fd does not, retry nothing, and never raise SIGPIPE.
//!
//! # File descriptors by number
//!
//! The numbers come from Python, where anyone can close any fd at any time. Functions here take a [`RawFd`] for that
//! reason, and hold the kernel to be the judge: a closed number gives `EBADF`, a reused one acts on the new file, as
//! `os.read` would. No memory is at stake. Whoever owns a socket object keeps it open while its number is in use.

#![expect(unsafe_code, reason = "a BorrowedFd of a number from Python can be made in no other way")]

pub(crate) mod clock;
mod epoll;
mod eventfd;
pub mod socket;

use std::{
    io,
    os::fd::{BorrowedFd, RawFd},
};

pub(crate) use epoll::{EventBuffer, Selector};
pub(crate) use eventfd::EventFd;
use rustix::io::Errno;

/// Whether `fd` is open at all.
pub(crate) fn check_open(fd: RawFd) -> io::Result<()> {
    rustix::io::fcntl_getfd(borrow(fd)?)?;
    Ok(())
}

/// What the kernel says about a number that is not open.
pub(crate) fn not_open() -> io::Error {
    Errno::BADF.into()
}

pub(crate) fn is_already_added(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EXIST.raw_os_error())
}

pub(crate) fn is_not_added(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOENT.raw_os_error())
}

fn borrow<'fd>(fd: RawFd) -> io::Result<BorrowedFd<'fd>> {
    if fd < 0 {
        return Err(not_open());
    }
    // SAFETY: the number is not -1: checked above. That it is open for `'fd` is not guaranteed, see "File descriptors
    // by number": every use is one system call, which validates it. No borrow is kept after the call.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}
