//! The queue of what is ready to run.

use std::collections::{VecDeque, vec_deque};

/// First in, first out.
///
/// A turn runs exactly [`len`](Self::len) entries as counted at its start, so that entries which queue themselves
/// again cannot keep the loop from polling.
#[derive(Debug)]
pub struct ReadyQueue<T> {
    entries: VecDeque<T>,
}

impl<T> ReadyQueue<T> {
    pub const fn new() -> Self {
        Self { entries: VecDeque::new() }
    }

    #[inline]
    pub fn push(&mut self, entry: T) {
        self.entries.push_back(entry);
    }

    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.entries.pop_front()
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn iter(&self) -> vec_deque::Iter<'_, T> {
        self.entries.iter()
    }

    /// Empties the queue. The caller drops the entries once its borrow of the queue has ended.
    pub fn take(&mut self) -> VecDeque<T> {
        std::mem::take(&mut self.entries)
    }

    /// The storage itself, for [`Inbox::drain_into`](crate::inbox::Inbox::drain_into).
    #[inline]
    pub fn as_deque_mut(&mut self) -> &mut VecDeque<T> {
        &mut self.entries
    }
}

impl<T> Default for ReadyQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T> IntoIterator for &'a ReadyQueue<T> {
    type Item = &'a T;
    type IntoIter = vec_deque::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn entries_leave_in_the_order_they_came() {
        let mut queue = ReadyQueue::new();
        queue.push(1);
        queue.push(2);
        assert_eq!(queue.pop(), Some(1));
        queue.push(3);
        assert_eq!(queue.iter().copied().collect::<Vec<_>>(), [2, 3]);
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(2), Some(3), None));
    }

    #[test]
    fn take_hands_out_everything_and_leaves_an_empty_queue() {
        let mut queue = ReadyQueue::default();
        queue.push("a");
        queue.push("b");
        assert_eq!(queue.take(), ["a", "b"]);
        assert!(queue.is_empty());
        queue.push("c");
        assert_eq!(queue.len(), 1);
    }
}
