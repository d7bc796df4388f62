//! The only place where the loop is woken from another thread.
//!
//! ```text
//!              try_park                    notify (writes)
//!   RUNNING ──────────────► PARKED ──────────────────────────► NOTIFIED
//!    ▲  │ ▲                   │                                  │  ▲ │
//!    │  │ └────── unpark ─────┘                                  │  └─┘ notify (writes nothing)
//!    │  └───────────────── notify (writes nothing) ─────────────►│
//!    └───────────────────────────── unpark ──────────────────────┘
//! ```
//!
//! RUNNING: the loop's thread is not blocked and will look at its inbox before it blocks. PARKED: it is blocked or
//! about to be, and only a write to the eventfd ends that. NOTIFIED: somebody wants it to look at the inbox.
//!
//! Any thread may `notify`. Only the poller's thread may `try_park` and `unpark`.
//!
//! Why no wake-up is lost. A writer puts its item into the inbox, then swaps in NOTIFIED. If it found PARKED, it
//! writes, and the wait ends. If it found RUNNING, `try_park` will fail, and the wait becomes a poll. If it found
//! NOTIFIED, one of these two is still to come. In each case `unpark` reads the writer's NOTIFIED and with it sees
//! the item, and then the loop looks at the inbox. The write of a slow writer can arrive in a later wait: that costs
//! one empty turn. `loom_tests` tries every order of this.
//!
//! A plain "already signalled" flag would be simpler, but it writes and reads the eventfd once per turn when the
//! loop's own thread uses `call_soon_threadsafe`, or another one while the loop is busy. Here both cost no system call.

use std::io;

use crate::{
    loom::{AtomicU8, Ordering},
    sys::EventFd,
};

/// Ends the wait of a [`Poller`](super::Poller).
#[derive(Debug)]
pub struct Waker {
    pub(super) state: WakeState,
    pub(super) eventfd: EventFd,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { state: WakeState::new(), eventfd: EventFd::new()? })
    }

    /// Makes the wait that runs now, or else the next one, return at once.
    ///
    /// Thread: any. Costs an atomic swap, and one `write` if the loop is really blocked and nobody woke it yet.
    /// Safe in a signal handler.
    pub fn wake(&self) {
        if self.state.notify() {
            self.eventfd.signal();
        }
    }
}

/// The states above, apart from the system call, so that loom can model them.
#[derive(Debug)]
pub(crate) struct WakeState(AtomicU8);

const RUNNING: u8 = 0;
const PARKED: u8 = 1;
const NOTIFIED: u8 = 2;

impl WakeState {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(RUNNING))
    }

    /// True: the poller is parked and the caller must write to the eventfd.
    pub(crate) fn notify(&self) -> bool {
        // Release pairs with `unpark`: this thread has queued something before.
        self.0.swap(NOTIFIED, Ordering::AcqRel) == PARKED
    }

    /// Runs `wait`, telling it whether it may block. It shall drain the eventfd if it finds it readable.
    ///
    /// Thread: the poller's. The caller looks at its inbox afterwards.
    pub(crate) fn around_wait<R>(&self, blocks: bool, wait: impl FnOnce(bool) -> R) -> R {
        let may_block = blocks && self.try_park();
        let result = wait(may_block);
        self.unpark();
        result
    }

    /// False: somebody has notified us, so we must not block.
    fn try_park(&self) -> bool {
        self.0.compare_exchange(RUNNING, PARKED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn unpark(&self) {
        // A stale RUNNING is harmless: the next `try_park` finds what this load missed.
        if self.0.load(Ordering::Relaxed) != RUNNING {
            // Acquire pairs with `notify`: what its thread queued is visible from here on.
            self.0.swap(RUNNING, Ordering::AcqRel);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_running_loop_costs_no_write_and_does_not_block_next() {
        let state = WakeState::new();
        assert!(!state.notify());
        state.around_wait(true, |may_block| assert!(!may_block));
        state.around_wait(true, |may_block| assert!(may_block));
    }

    #[test]
    fn a_parked_loop_is_written_to_once() {
        let state = WakeState::new();
        state.around_wait(true, |may_block| {
            assert!(may_block);
            assert!(state.notify());
            assert!(!state.notify());
        });
        assert!(!state.notify());
    }

    #[test]
    fn a_poll_takes_the_notification_along() {
        let state = WakeState::new();
        state.notify();
        state.around_wait(false, |may_block| assert!(!may_block));
        state.around_wait(true, |may_block| assert!(may_block));
    }
}
