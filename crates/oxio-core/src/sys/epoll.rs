//! Readiness by epoll.

#![expect(
    unsafe_code,
    reason = "rustix offers epoll_pwait2 only as a compile-time choice without a fall-back"
)]

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};

use super::borrow;
use crate::reactor::{Interest, Readiness};

#[derive(Debug)]
pub(crate) struct Selector {
    epoll: OwnedFd,
}

impl Selector {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll })
    }

    pub(crate) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        epoll::add(&self.epoll, borrow(fd)?, data, flags(interest))?;
        Ok(())
    }

    pub(crate) fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        epoll::modify(&self.epoll, borrow(fd)?, data, flags(interest))?;
        Ok(())
    }

    pub(crate) fn delete(&self, fd: RawFd) -> io::Result<()> {
        epoll::delete(&self.epoll, borrow(fd)?)?;
        Ok(())
    }

    pub(crate) fn wait(
        &self,
        buffer: &mut EventBuffer,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        buffer.events.clear();
        let Some(timeout) = timeout else {
            return self.wait_millis(buffer, None);
        };
        if timeout.is_zero() {
            return self.wait_millis(buffer, Some(0));
        }
        if !PWAIT2_IS_MISSING.load(Ordering::Relaxed) {
            match self.wait_nanos(buffer, timeout) {
                // ENOSYS before Linux 5.11. EPERM from container runtimes whose filter does not know the call; the
                // call itself has no such error.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    PWAIT2_IS_MISSING.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        self.wait_millis(buffer, Some(round_up_to_millis(timeout)))
    }

    fn wait_millis(&self, buffer: &mut EventBuffer, millis: Option<i32>) -> io::Result<()> {
        let timeout = millis.map(|millis| Timespec {
            tv_sec: i64::from(millis / 1000),
            tv_nsec: (millis % 1000 * 1_000_000).into(),
        });
        epoll::wait(&self.epoll, spare_capacity(&mut buffer.events), timeout.as_ref())?;
        Ok(())
    }

    fn wait_nanos(&self, buffer: &mut EventBuffer, timeout: Duration) -> io::Result<()> {
        let timeout = libc::timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let spare = buffer.events.spare_capacity_mut();
        let capacity = libc::c_int::try_from(spare.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: the kernel writes at most `capacity` events, and the buffer has room for them; rustix's `Event` has
        // the kernel's layout (its own calls pass it the same way). `timeout` lives through the call. The signal mask
        // is null, so its size is not used. All arguments are as wide as the kernel reads them, or sign-extended.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                spare.as_mut_ptr(),
                capacity,
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return Err(io::Error::last_os_error());
        };
        // SAFETY: the buffer was empty, and the kernel has filled its first `count` events.
        unsafe { buffer.events.set_len(count) };
        Ok(())
    }
}

// `epoll_pwait2` reads two 64-bit words. On a 32-bit platform libc's type is shorter.
const _: () = assert!(size_of::<libc::timespec>() == 16);

/// Found out by the first wait that needs it; a property of the kernel, so of the process.
static PWAIT2_IS_MISSING: AtomicBool = AtomicBool::new(false);

/// Rounded down, a deadline less than a millisecond away would spin until it comes. At most 24 days.
fn round_up_to_millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

fn flags(interest: Interest) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    flags.set(epoll::EventFlags::IN, interest.contains(Interest::READABLE));
    flags.set(epoll::EventFlags::OUT, interest.contains(Interest::WRITABLE));
    flags
}

/// The events of one wait.
pub(crate) struct EventBuffer {
    events: Vec<epoll::Event>,
}

// SAFETY: the kernel only gives back the `u64`s that `add` and `modify` put in; the pointer form of the union, which
// keeps the compiler from deriving this, is never written. Storing a real pointer there would break it.
unsafe impl Send for EventBuffer {}

impl EventBuffer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { events: Vec::with_capacity(capacity) }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Readiness)> {
        self.events.iter().map(decode)
    }

    /// Removes the event of `token`; whether there was one. The others keep their order.
    pub(crate) fn remove(&mut self, token: u64) -> bool {
        let position = self.events.iter().position(|event| event.data.u64() == token);
        position.map(|index| self.events.remove(index)).is_some()
    }
}

impl std::fmt::Debug for EventBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn decode(event: &epoll::Event) -> (u64, Readiness) {
    let flags = event.flags;
    let readiness = [
        (epoll::EventFlags::IN, Readiness::READABLE),
        (epoll::EventFlags::OUT, Readiness::WRITABLE),
        (epoll::EventFlags::HUP, Readiness::HANGUP),
        (epoll::EventFlags::ERR, Readiness::ERROR),
    ]
    .into_iter()
    .filter(|&(flag, _)| flags.contains(flag))
    .fold(Readiness::NONE, |sum, (_, bit)| sum.union(bit));
    (event.data.u64(), readiness)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Instant;

    use super::*;

    fn wait(selector: &Selector, timeout: Option<Duration>) -> Vec<(u64, Readiness)> {
        let mut buffer = EventBuffer::with_capacity(4);
        selector.wait(&mut buffer, timeout).expect("wait");
        buffer.iter().collect()
    }

    #[test]
    fn a_timed_wait_is_never_early_and_not_rounded_to_milliseconds() {
        let selector = Selector::new().expect("epoll");
        for micros in [1, 300, 1_200] {
            let timeout = Duration::from_micros(micros);
            // The best of many: one wait can be late by any time on a busy machine, but never early.
            let best = (0..20)
                .map(|_| {
                    let start = Instant::now();
                    assert!(wait(&selector, Some(timeout)).is_empty());
                    start.elapsed()
                })
                .min()
                .expect("twenty waits");
            assert!(best >= timeout, "{best:?} for {timeout:?}");
            let is_precise = !PWAIT2_IS_MISSING.load(Ordering::Relaxed);
            let late = Duration::from_micros(if is_precise { 500 } else { 1_500 });
            assert!(best < timeout + late, "{best:?} for {timeout:?}");
        }
    }

    #[test]
    fn the_fall_back_rounds_up_to_milliseconds() {
        let selector = Selector::new().expect("epoll");
        let mut buffer = EventBuffer::with_capacity(4);
        let start = Instant::now();
        selector
            .wait_millis(&mut buffer, Some(round_up_to_millis(Duration::from_nanos(1))))
            .expect("wait");
        assert!(start.elapsed() >= Duration::from_millis(1));
        assert_eq!(round_up_to_millis(Duration::from_millis(2)), 2);
        assert_eq!(round_up_to_millis(Duration::from_micros(2001)), 3);
        assert_eq!(round_up_to_millis(Duration::MAX), i32::MAX);
    }

    #[test]
    fn a_signal_ends_a_wait_with_interrupted() {
        extern "C" fn ignore(_signal: libc::c_int) {}
        let handler: extern "C" fn(libc::c_int) = ignore;
        // SAFETY: the handler does nothing, so it may run at any point. No other test uses this signal.
        unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        // SAFETY: has no preconditions.
        let waiting_thread = unsafe { libc::pthread_self() };
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Again and again, because the first ones may come before the wait.
                while !is_over.load(Ordering::Relaxed) {
                    // SAFETY: the thread lives until the scope has joined this one.
                    unsafe { libc::pthread_kill(waiting_thread, libc::SIGUSR1) };
                    std::thread::yield_now();
                }
            });
            let selector = Selector::new().expect("epoll");
            let mut buffer = EventBuffer::with_capacity(4);
            for timeout in [Some(Duration::from_secs(10)), None] {
                let error = selector.wait(&mut buffer, timeout).expect_err("a signal");
                assert_eq!(error.kind(), io::ErrorKind::Interrupted);
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn both_waits_report_the_same_events() {
        let selector = Selector::new().expect("epoll");
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().expect("socketpair");
        selector.add(ours.as_raw_fd(), 0x0123_4567_89ab_cdef, Interest::WRITABLE).expect("add");
        let polled = wait(&selector, Some(Duration::ZERO));
        assert_eq!(polled, [(0x0123_4567_89ab_cdef, Readiness::WRITABLE)]);
        assert_eq!(wait(&selector, Some(Duration::MAX)), polled);
        assert_eq!(wait(&selector, None), polled);
    }
}
