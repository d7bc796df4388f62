//! The timer queue: a heap ordered by (deadline, sequence).

use std::{cmp::Ordering, collections::BinaryHeap};

use super::Cancelled;
use crate::clock::Deadline;

/// Entries by deadline; equal deadlines in the order of insertion.
///
/// A cancelled entry stays inside until it reaches the head or until a compaction. The entry's owner frees what it
/// holds at the moment of the cancel; what stays here is an empty shell.
#[derive(Debug)]
pub struct TimerQueue<T> {
    heap: BinaryHeap<Entry<T>>,
    next_sequence: u64,
    /// How many entries of the heap are cancelled, as far as [`note_cancelled`](Self::note_cancelled) told us.
    cancelled: usize,
}

impl<T: Cancelled> TimerQueue<T> {
    pub const fn new() -> Self {
        Self { heap: BinaryHeap::new(), next_sequence: 0, cancelled: 0 }
    }

    pub fn insert(&mut self, deadline: Deadline, item: T) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.heap.push(Entry { deadline, sequence, item });
    }

    /// How many entries there are, cancelled ones included.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The deadline of the first entry that is not cancelled.
    ///
    /// Cancelled entries before it move to `discarded`, for the caller to drop outside of its borrow.
    pub fn next_deadline(&mut self, discarded: &mut Vec<T>) -> Option<Deadline> {
        while self.heap.peek()?.item.is_cancelled() {
            discarded.extend(self.pop());
        }
        self.heap.peek().map(|entry| entry.deadline)
    }

    /// Takes the first entry if its deadline has come.
    ///
    /// It may be a cancelled one: the caller checks, as it must anyway, because an entry run before this one can
    /// cancel it.
    pub fn pop_due(&mut self, now: Deadline) -> Option<T> {
        if self.heap.peek()?.deadline > now {
            return None;
        }
        self.pop()
    }

    /// Counts one more cancelled entry; call it once per cancel of an entry that is still in the queue.
    ///
    /// When more than 100 entries are more than half cancelled, removes all cancelled ones and returns
    /// them for the caller to drop. Otherwise the `Vec` is empty and has not allocated.
    pub fn note_cancelled(&mut self) -> Vec<T> {
        self.cancelled += 1;
        let len = self.heap.len();
        if len <= COMPACT_ABOVE || self.cancelled * 2 <= len {
            return Vec::new();
        }
        self.cancelled = 0;
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        let removed = entries
            .extract_if(.., |entry| entry.item.is_cancelled())
            .map(|entry| entry.item)
            .collect();
        self.heap = entries.into();
        removed
    }

    /// All entries in no particular order, cancelled ones included.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.heap.iter().map(|entry| &entry.item)
    }

    /// Empties the queue, in no particular order.
    pub fn take(&mut self) -> Vec<T> {
        self.cancelled = 0;
        let entries = std::mem::take(&mut self.heap).into_vec();
        entries.into_iter().map(|entry| entry.item).collect()
    }

    fn pop(&mut self) -> Option<T> {
        let item = self.heap.pop()?.item;
        if item.is_cancelled() {
            // Saturating: an entry may be cancelled already while its `note_cancelled` is still to come.
            self.cancelled = self.cancelled.saturating_sub(1);
        }
        Some(item)
    }
}

impl<T: Cancelled> Default for TimerQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
struct Entry<T> {
    deadline: Deadline,
    sequence: u64,
    item: T,
}

impl<T> Entry<T> {
    fn key(&self) -> (Deadline, u64) {
        (self.deadline, self.sequence)
    }
}

// Backwards, because `BinaryHeap` keeps the greatest first.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

/// CPython's rule (`_MIN_SCHEDULED_TIMER_HANDLES` = 100, `_MIN_CANCELLED_TIMER_HANDLES_FRACTION` = 0.5): below a
/// hundred entries a compaction frees less than it costs.
const COMPACT_ABOVE: usize = 100;

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    #[derive(Debug, Clone)]
    struct Timer {
        name: u32,
        is_cancelled: Rc<Cell<bool>>,
    }

    impl Timer {
        fn new(name: u32) -> Self {
            Self { name, is_cancelled: Rc::default() }
        }

        fn cancel_in(&self, queue: &mut TimerQueue<Timer>) -> Vec<Timer> {
            self.is_cancelled.set(true);
            queue.note_cancelled()
        }
    }

    impl Cancelled for Timer {
        fn is_cancelled(&self) -> bool {
            self.is_cancelled.get()
        }
    }

    fn at(nanos: u64) -> Deadline {
        Deadline::from_nanos(nanos)
    }

    #[test]
    fn equal_deadlines_stay_in_order_of_insertion() {
        let mut queue = TimerQueue::new();
        for name in 0..50 {
            queue.insert(at(7), Timer::new(name));
        }
        queue.insert(at(6), Timer::new(99));
        let names = std::iter::from_fn(|| queue.pop_due(at(7))).map(|timer| timer.name);
        assert_eq!(names.collect::<Vec<_>>(), [vec![99], (0..50).collect()].concat());
    }

    #[test]
    fn nothing_is_due_before_its_deadline() {
        let mut queue = TimerQueue::new();
        queue.insert(at(10), Timer::new(1));
        assert!(queue.pop_due(at(9)).is_none());
        assert!(queue.pop_due(at(10)).is_some());
        assert!(queue.pop_due(Deadline::NEVER).is_none());
    }

    #[test]
    fn a_cancelled_head_does_not_set_the_next_deadline() {
        let mut queue = TimerQueue::new();
        let head = Timer::new(1);
        queue.insert(at(1), head.clone());
        queue.insert(at(2), Timer::new(2));
        assert!(head.cancel_in(&mut queue).is_empty());

        let mut discarded = Vec::new();
        assert_eq!(queue.next_deadline(&mut discarded), Some(at(2)));
        assert_eq!(discarded.iter().map(|timer| timer.name).collect::<Vec<_>>(), [1]);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn compacts_when_more_than_half_of_more_than_100_are_cancelled() {
        let mut queue = TimerQueue::new();
        let timers: Vec<_> = (0..101).map(Timer::new).collect();
        for timer in &timers {
            queue.insert(at(u64::from(timer.name)), timer.clone());
        }
        for timer in &timers[..50] {
            assert!(timer.cancel_in(&mut queue).is_empty());
        }
        assert_eq!(timers[50].cancel_in(&mut queue).len(), 51);
        assert_eq!(queue.len(), 50);
        assert_eq!(queue.next_deadline(&mut Vec::new()), Some(at(51)));
        // Below the limit now: the rest stays where it is.
        assert!(timers[51].cancel_in(&mut queue).is_empty());
        assert_eq!(queue.len(), 50);
    }

    #[test]
    fn timers_that_were_popped_do_not_count_as_cancelled_later() {
        let mut queue = TimerQueue::new();
        let timers: Vec<_> = (0..200).map(Timer::new).collect();
        for timer in &timers {
            queue.insert(at(u64::from(timer.name)), timer.clone());
        }
        for timer in &timers[..90] {
            assert!(timer.cancel_in(&mut queue).is_empty());
        }
        while queue.pop_due(at(89)).is_some() {}
        // 110 left: 55 cancelled are not more than half of them.
        for timer in &timers[90..145] {
            assert!(timer.cancel_in(&mut queue).is_empty());
        }
        assert_eq!(timers[145].cancel_in(&mut queue).len(), 56);
    }

    #[test]
    fn take_empties_the_queue() {
        let mut queue = TimerQueue::default();
        queue.insert(at(2), Timer::new(2));
        queue.insert(at(1), Timer::new(1));
        assert_eq!(queue.iter().count(), 2);
        assert_eq!(queue.take().len(), 2);
        assert!(queue.is_empty());
    }
}
