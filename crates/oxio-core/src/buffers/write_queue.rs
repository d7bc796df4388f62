//! Bytes that wait for the socket.

use std::{collections::VecDeque, io::IoSlice, ops::Deref};

/// Chunks in the order in which they were written, and how far each is sent.
///
/// A chunk is kept as it came (for Python a reference to a `bytes`), never copied. Its bytes must not change while it
/// is in here.
#[derive(Debug)]
pub struct WriteQueue<C> {
    chunks: VecDeque<Chunk<C>>,
    len_bytes: usize,
}

#[derive(Debug)]
struct Chunk<C> {
    data: C,
    /// Only the first chunk can have some of it sent, except for [`WriteQueue::push_partial`].
    sent: usize,
}

impl<C: AsRef<[u8]>> WriteQueue<C> {
    pub const fn new() -> Self {
        Self { chunks: VecDeque::new(), len_bytes: 0 }
    }

    pub fn push(&mut self, data: C) {
        self.push_partial(data, 0);
    }

    /// Queues `data` without its first `already_sent` bytes: the rest of a send that was tried at once.
    ///
    /// # Panics
    /// If `data` is shorter than that.
    pub fn push_partial(&mut self, data: C, already_sent: usize) {
        let len = data.as_ref().len();
        assert!(already_sent <= len, "{already_sent} bytes sent of a chunk of {len}");
        self.len_bytes += len - already_sent;
        self.chunks.push_back(Chunk { data, sent: already_sent });
    }

    /// How many bytes wait. asyncio's `get_write_buffer_size()`.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Whether no chunk is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The first bytes to send, from up to 64 chunks, for one vectored send.
    pub fn slices(&self) -> Slices<'_> {
        let mut slices = Slices::empty();
        for (slice, chunk) in slices.slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk.unsent());
            slices.len += 1;
        }
        slices
    }

    /// Notes that the next `count` bytes are sent. Chunks sent to their end move to `done`, for the caller to drop
    /// outside of its borrow.
    ///
    /// # Panics
    /// If fewer bytes wait.
    pub fn advance(&mut self, mut count: usize, done: &mut Vec<C>) {
        assert!(count <= self.len_bytes, "{count} bytes sent of {} that wait", self.len_bytes);
        self.len_bytes -= count;
        while let Some(first) = self.chunks.front_mut() {
            let unsent = first.unsent().len();
            if count < unsent {
                first.sent += count;
                return;
            }
            count -= unsent;
            done.extend(self.chunks.pop_front().map(|chunk| chunk.data));
        }
    }

    /// Empties the queue. The caller drops the chunks once its borrow has ended.
    pub fn take(&mut self) -> Vec<C> {
        self.len_bytes = 0;
        let chunks = std::mem::take(&mut self.chunks);
        chunks.into_iter().map(|chunk| chunk.data).collect()
    }

    /// The chunks, whole, first to be sent first.
    pub fn chunks(&self) -> impl Iterator<Item = &C> {
        self.chunks.iter().map(|chunk| &chunk.data)
    }
}

impl<C: AsRef<[u8]>> Default for WriteQueue<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: AsRef<[u8]>> Chunk<C> {
    fn unsent(&self) -> &[u8] {
        &self.data.as_ref()[self.sent..]
    }
}

/// The slices of one vectored send, on the stack.
#[derive(Debug)]
pub struct Slices<'a> {
    slices: [IoSlice<'a>; MAX_SLICES],
    len: usize,
}

impl Slices<'_> {
    fn empty() -> Self {
        Self { slices: [IoSlice::new(&[]); MAX_SLICES], len: 0 }
    }
}

impl<'a> Deref for Slices<'a> {
    type Target = [IoSlice<'a>];

    fn deref(&self) -> &Self::Target {
        &self.slices[..self.len]
    }
}

/// 1 KiB of stack. The kernel takes 1024, but a socket that is behind seldom has room for more than a few chunks.
const MAX_SLICES: usize = 64;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn bytes(queue: &WriteQueue<&[u8]>) -> Vec<u8> {
        queue.slices().iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn sent_chunks_are_handed_back_and_the_rest_stays() {
        let mut queue = WriteQueue::<&[u8]>::new();
        queue.push(b"abc");
        queue.push(b"defg");
        let mut done = Vec::new();

        queue.advance(5, &mut done);
        assert_eq!(done, [b"abc"]);
        assert_eq!(bytes(&queue), b"fg");
        assert_eq!(queue.len_bytes(), 2);
        assert_eq!(queue.chunks().collect::<Vec<_>>(), [b"defg"]);

        queue.advance(2, &mut done);
        assert!(queue.is_empty());
        assert_eq!(done.len(), 2);
    }

    #[test]
    fn the_rest_of_a_partial_send_is_queued() {
        let mut queue = WriteQueue::<&[u8]>::new();
        queue.push_partial(b"hello", 3);
        queue.push_partial(b"world", 4);
        assert_eq!(bytes(&queue), b"lod");
        assert_eq!(queue.len_bytes(), 3);
        assert_eq!(queue.take(), [b"hello", b"world"]);
        assert_eq!(queue.len_bytes(), 0);
    }

    #[test]
    fn empty_chunks_leave_with_the_next_send() {
        let mut queue = WriteQueue::<&[u8]>::default();
        queue.push(b"");
        queue.push(b"x");
        queue.push(b"");
        let mut done = Vec::new();
        queue.advance(0, &mut done);
        assert_eq!(done.len(), 1);
        queue.advance(1, &mut done);
        assert!(queue.is_empty());
        assert_eq!(done.len(), 3);
    }

    #[test]
    fn one_send_takes_at_most_64_chunks() {
        let mut queue = WriteQueue::<&[u8]>::new();
        (0..100).for_each(|_| queue.push(b"x"));
        assert_eq!(queue.slices().len(), 64);
        queue.advance(64, &mut Vec::new());
        assert_eq!(queue.slices().len(), 36);
    }

    #[test]
    #[should_panic(expected = "3 bytes sent of 2 that wait")]
    fn more_cannot_be_sent_than_waits() {
        let mut queue = WriteQueue::<&[u8]>::new();
        queue.push(b"ab");
        queue.advance(3, &mut Vec::new());
    }

    #[test]
    #[should_panic(expected = "3 bytes sent of a chunk of 2")]
    fn no_more_can_be_sent_of_a_chunk_than_it_has() {
        WriteQueue::<&[u8]>::new().push_partial(b"ab", 3);
    }
}
