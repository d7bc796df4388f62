//! Moments on the monotonic clock.

use std::time::Duration;

use crate::sys;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A moment, in nanoseconds of `CLOCK_MONOTONIC`, which is also what Python's `time.monotonic()` reads.
///
/// Seconds as a float exist only at the Python edge: two deadlines that differ by a nanosecond stay apart here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Deadline(u64);

impl Deadline {
    /// Later than every other moment. 584 years of uptime, so no clock reaches it.
    pub const NEVER: Self = Self(u64::MAX);

    /// The current time.
    #[inline]
    pub fn now() -> Self {
        Self(sys::clock::monotonic_nanos())
    }

    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    #[inline]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// This moment as `time.monotonic()` would print it.
    ///
    /// The formula is CPython's (`PyTime_AsSecondsDouble`), so that `loop.time()` and `time.monotonic()` can be
    /// compared. It never decreases when the nanoseconds grow, which [`from_secs_f64`](Self::from_secs_f64) needs.
    #[inline]
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact for the first 104 days of uptime; then 2 ns"
    )]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }

    /// The first moment at which [`as_secs_f64`](Self::as_secs_f64) is not below `secs`, or a few nanoseconds later.
    ///
    /// Rounds up, so a timer is never early: once this moment has come, `loop.time() >= secs` holds.
    /// NaN and negative values are the clock's zero, which is long past. Infinity and whatever does not fit is
    /// [`NEVER`](Self::NEVER).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates as documented above, and what it cuts off is put back"
    )]
    pub fn from_secs_f64(secs: f64) -> Self {
        let mut deadline = Self((secs * 1e9) as u64);
        // A deadline and its float are not one to one. Doubling the step ends this in a few rounds even where floats
        // lie a microsecond apart.
        let mut step = 1;
        while deadline.as_secs_f64() < secs && deadline != Self::NEVER {
            deadline = Self(deadline.0.saturating_add(step));
            step *= 2;
        }
        deadline
    }

    /// How long after `earlier` this moment is; zero when it is not later.
    #[inline]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_back_as_seconds() {
        for (nanos, secs) in [(1_500_000_000, 1.5), (100_000_000, 0.1), (1, 1e-9)] {
            let deadline = Deadline::from_nanos(nanos);
            assert_eq!(deadline.as_secs_f64().to_bits(), f64::to_bits(secs));
            assert_eq!(Deadline::from_secs_f64(secs), deadline);
        }
    }

    #[test]
    fn odd_floats_are_clamped() {
        for past in [f64::NAN, -0.0, 0.0, -1.0, f64::NEG_INFINITY] {
            assert_eq!(Deadline::from_secs_f64(past).nanos(), 0, "{past}");
        }
        for future in [f64::INFINITY, f64::MAX, 1e12, 18_446_744_073.709_553] {
            assert_eq!(Deadline::from_secs_f64(future), Deadline::NEVER, "{future}");
        }
        assert_eq!(Deadline::from_secs_f64(f64::MIN_POSITIVE).nanos(), 1);
    }

    #[test]
    fn the_clock_does_not_go_back() {
        let earlier = Deadline::now();
        let later = Deadline::now();
        assert!(later >= earlier);
        assert!(earlier.nanos() > 0);
        assert_eq!(earlier.saturating_duration_since(Deadline::NEVER), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_timer_is_never_early(secs in 0.0..1.8e10_f64) {
            let deadline = Deadline::from_secs_f64(secs);
            prop_assert!(deadline.as_secs_f64() >= secs);
        }

        #[test]
        fn a_timer_is_at_most_a_nanosecond_late_in_the_first_100_days(secs in 0.0..8.64e6_f64) {
            let before = Deadline::from_nanos(Deadline::from_secs_f64(secs).nanos().saturating_sub(2));
            prop_assert!(before.as_secs_f64() < secs || before.nanos() == 0);
        }

        #[test]
        fn seconds_never_decrease(nanos: u64, step in 0..10_000_u64) {
            let later = Deadline::from_nanos(nanos.saturating_add(step));
            prop_assert!(later.as_secs_f64() >= Deadline::from_nanos(nanos).as_secs_f64());
        }
    }
}
