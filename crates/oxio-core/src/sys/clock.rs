//! The monotonic clock.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`; read from memory by the vDSO, without a system call.
#[inline]
pub(crate) fn monotonic_nanos() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // It starts near zero at boot and never goes back, so both parts are non-negative.
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_kernel_about_uptime() {
        // CLOCK_BOOTTIME is CLOCK_MONOTONIC plus the time spent suspended.
        let boot = clock_gettime(ClockId::Boottime).tv_sec.cast_unsigned();
        let monotonic = monotonic_nanos() / 1_000_000_000;
        assert!(monotonic > 0 && monotonic <= boot + 1);
    }
}
