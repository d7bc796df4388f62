//! A file descriptor that any thread can make readable.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use rustix::event::{EventfdFlags, eventfd};

#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(eventfd(0, flags)?))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(crate) fn signal(&self) {
        // The only error of a non-blocking eventfd is EAGAIN: its counter is full, so it is readable already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    pub(crate) fn drain(&self) {
        // EAGAIN: it was not readable. One read takes the whole counter.
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn draining_takes_all_signals_and_never_blocks() {
        let eventfd = EventFd::new().expect("eventfd");
        eventfd.signal();
        eventfd.signal();
        let readable = || {
            let mut fds = [rustix::event::PollFd::new(&eventfd.0, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default())).expect("poll")
        };
        assert_eq!(readable(), 1);
        eventfd.drain();
        assert_eq!(readable(), 0);
        eventfd.drain();
    }
}
