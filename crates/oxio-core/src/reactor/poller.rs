//! The part of the reactor that blocks.

use std::{io, sync::Arc, time::Duration};

use super::{Readiness, Token, Waker};
use crate::sys::{EventBuffer, Selector};

/// Waits for events.
///
/// It is shared by `Arc` so that the loop can block without a borrow of its [`Reactor`](super::Reactor). One thread
/// at a time may [`wait`](Self::wait).
#[derive(Debug)]
pub struct Poller {
    pub(super) selector: Selector,
    pub(super) waker: Arc<Waker>,
}

impl Poller {
    /// Waits until something is ready, [`Waker::wake`] is called or `timeout` has passed, and fills `events`.
    ///
    /// `None` waits for ever, a zero time-out does not wait. Level-triggered: what is still ready is reported again.
    /// Never returns before the time-out without an event, a wake-up or a signal; late by what the kernel's timers
    /// are late (tens of microseconds; one millisecond more before Linux 5.11).
    ///
    /// Thread: the loop's, detached from the interpreter whenever it may block. The caller looks at its inbox
    /// afterwards, whatever this returned: the wake-up counts as delivered.
    ///
    /// # Errors
    /// `Interrupted` when a signal handler ran. Nothing is retried, so that the caller can run Python's handlers.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let blocks = timeout != Some(Duration::ZERO);
        self.waker.state.around_wait(blocks, |may_block| {
            let timeout = if may_block { timeout } else { Some(Duration::ZERO) };
            let result = self.selector.wait(&mut events.buffer, timeout);
            if events.buffer.remove(Token::WAKER.to_u64()) {
                self.waker.eventfd.drain();
            }
            result
        })
    }
}

/// What one [`Poller::wait`] found. Kept by the loop and used again and again.
#[derive(Debug)]
pub struct Events {
    buffer: EventBuffer,
}

impl Events {
    /// Room for `capacity` events per wait, at least one. When more fds are ready, the kernel reports the others
    /// first in the next wait.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: EventBuffer::with_capacity(capacity.max(1)) }
    }

    /// The events, each with the token of its registration.
    ///
    /// A token may be stale by now, because an event handled before it can deregister it. Then
    /// [`Reactor::source`](super::Reactor::source) knows it no more.
    pub fn iter(&self) -> impl Iterator<Item = (Token, Readiness)> {
        let events = self.buffer.iter();
        events.map(|(token, readiness)| (Token::from_u64(token), readiness))
    }

    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buffer.len() == 0
    }
}
