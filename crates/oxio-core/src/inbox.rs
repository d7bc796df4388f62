//! How other threads hand work to the loop.
//!
//! Many writers, one reader, the loop's thread.
//!
//! A lock and not a lock-free list: a writer holds it for one move of a few words, and the reader looks at a flag
//! before it touches the lock, so a loop that gets nothing from other threads never takes it.
//!
//! Who may touch what: `items` only under its lock. `non_empty` is written only under that lock and says whether
//! `items` has something; anyone may read it at any time, and a stale answer is harmless, because a writer whose
//! [`push`](Inbox::push) returned true wakes the reader afterwards ([`Waker::wake`](crate::reactor::Waker::wake)).
//!
//! Fork: a child inherits the lock as it was. oxio-py pushes only while attached to the interpreter, which holds
//! other threads still during `os.fork()`, so the child finds it open.

use std::{collections::VecDeque, sync::PoisonError};

use crate::loom::{AtomicBool, Mutex, MutexGuard, Ordering};

/// A queue from any thread to the loop's.
#[derive(Debug)]
pub struct Inbox<T> {
    non_empty: AtomicBool,
    items: Mutex<VecDeque<T>>,
}

impl<T> Inbox<T> {
    pub fn new() -> Self {
        Self { non_empty: AtomicBool::new(false), items: Mutex::new(VecDeque::new()) }
    }

    /// Queues `item`. True: it is the first since the reader drained, and the caller must wake the reader.
    ///
    /// Thread: any. When false, the writer of the first item wakes the reader, or has done so.
    #[must_use = "the reader sleeps on unless it is woken for the first item"]
    pub fn push(&self, item: T) -> bool {
        let mut items = self.lock();
        let first = items.is_empty();
        items.push_back(item);
        if first {
            self.non_empty.store(true, Ordering::Release);
        }
        first
    }

    /// Whether there is something to drain: one load, no lock.
    #[inline]
    pub fn has_items(&self) -> bool {
        self.non_empty.load(Ordering::Acquire)
    }

    /// Moves all items to the end of `target`, in order.
    ///
    /// Thread: the reader's.
    pub fn drain_into(&self, target: &mut VecDeque<T>) {
        let mut items = self.lock();
        target.append(&mut items);
        self.non_empty.store(false, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        // Poison would mean a panic inside a move of `VecDeque`, which leaves it whole.
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_item_since_a_drain_asks_for_a_wake_up() {
        let inbox = Inbox::new();
        assert!(!inbox.has_items());
        assert!(inbox.push(1));
        assert!(!inbox.push(2));
        assert!(inbox.has_items());

        let mut target = VecDeque::from([0]);
        inbox.drain_into(&mut target);
        assert_eq!(target, [0, 1, 2]);
        assert!(!inbox.has_items());
        assert!(inbox.push(3));
    }

    #[test]
    fn draining_an_empty_inbox_changes_nothing() {
        let inbox = Inbox::<u8>::default();
        let mut target = VecDeque::new();
        inbox.drain_into(&mut target);
        assert!(target.is_empty());
        assert!(!inbox.has_items());
    }

    #[test]
    fn each_writer_keeps_its_own_order() {
        let inbox = Inbox::new();
        let mut seen = VecDeque::new();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let inbox = &inbox;
                scope.spawn(move || {
                    for item in 0..1000 {
                        // The reader below does not sleep, so it needs no wake-up.
                        let _ = inbox.push((writer, item));
                    }
                });
            }
            while seen.len() < 4000 {
                inbox.drain_into(&mut seen);
                std::thread::yield_now();
            }
        });
        for writer in 0..4 {
            let items = seen.iter().filter(|item| item.0 == writer).map(|item| item.1);
            assert!(items.eq(0..1000));
        }
    }
}
