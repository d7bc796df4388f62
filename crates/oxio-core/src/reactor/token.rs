//! The name of one registration.

use std::os::fd::RawFd;

/// Names one registration of one file descriptor.
///
/// The slot is the fd's number. The generation grows with each registration in that slot, so an event that the
/// kernel reported for an earlier file of the same number carries an old generation, and finds nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token {
    slot: u32,
    /// Wraps after 2^32 registrations of one fd; a stale event lives for one turn.
    generation: u32,
}

impl Token {
    /// The reactor's own eventfd. No fd has this number: the greatest is `i32::MAX`.
    pub(super) const WAKER: Self = Self { slot: u32::MAX, generation: u32::MAX };

    /// `None` when `fd` is negative.
    pub(super) fn new(fd: RawFd, generation: u32) -> Option<Self> {
        let slot = u32::try_from(fd).ok()?;
        Some(Self { slot, generation })
    }

    pub const fn to_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes the two halves apart")]
    pub const fn from_u64(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }

    pub(super) const fn generation(self) -> u32 {
        self.generation
    }

    pub(super) const fn index(self) -> usize {
        self.slot as usize
    }

    pub(super) const fn fd(self) -> RawFd {
        self.slot.cast_signed()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn survives_the_way_through_the_kernel() {
        let token = Token::new(7, 0xdead_beef).expect("not negative");
        assert_eq!(Token::from_u64(token.to_u64()), token);
        assert_eq!((token.fd(), token.generation()), (7, 0xdead_beef));
    }

    #[test]
    fn no_fd_has_the_token_of_the_waker() {
        let last = Token::new(RawFd::MAX, u32::MAX).expect("not negative");
        assert_ne!(last, Token::WAKER);
        assert_eq!(Token::new(-1, 0), None);
    }
}
