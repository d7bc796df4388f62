//! What is asked of the kernel, and what it answers.

/// What we want to know about a file descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Interest(u8);

impl Interest {
    pub const NONE: Self = Self(0);
    pub const READABLE: Self = Self(1);
    pub const WRITABLE: Self = Self(2);

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is in `self`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What the kernel said about a file descriptor.
///
/// A hang-up or an error makes both sides ready, as in `select` and asyncio: whoever waits, reader or writer, tries
/// its system call and gets the end of file or the errno from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Readiness(u8);

impl Readiness {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const READABLE: Self = Self(1);
    pub(crate) const WRITABLE: Self = Self(2);
    pub(crate) const HANGUP: Self = Self(4);
    pub(crate) const ERROR: Self = Self(8);

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub const fn is_readable(self) -> bool {
        self.intersects(Self::READABLE.union(Self::HANGUP).union(Self::ERROR))
    }

    #[inline]
    pub const fn is_writable(self) -> bool {
        self.intersects(Self::WRITABLE.union(Self::HANGUP).union(Self::ERROR))
    }

    #[inline]
    pub const fn is_hangup(self) -> bool {
        self.intersects(Self::HANGUP)
    }

    #[inline]
    pub const fn is_error(self) -> bool {
        self.intersects(Self::ERROR)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn interests_are_sets() {
        let both = Interest::READABLE.union(Interest::WRITABLE);
        assert!(both.contains(Interest::READABLE) && both.contains(Interest::WRITABLE));
        assert!(both.contains(both) && !Interest::READABLE.contains(both));
        assert_eq!(both.without(Interest::READABLE), Interest::WRITABLE);
        assert!(both.without(both).is_empty());
        assert_eq!(Interest::NONE.without(both), Interest::NONE);
    }

    #[test]
    fn hangups_and_errors_make_both_sides_ready() {
        for readiness in [Readiness::HANGUP, Readiness::ERROR] {
            assert!(readiness.is_readable() && readiness.is_writable());
        }
        assert!(Readiness::READABLE.is_readable() && !Readiness::READABLE.is_writable());
        assert!(Readiness::WRITABLE.is_writable() && !Readiness::WRITABLE.is_readable());
        assert!(Readiness::HANGUP.is_hangup() && !Readiness::HANGUP.is_error());
        assert!(Readiness::ERROR.is_error() && !Readiness::ERROR.is_hangup());
    }
}
