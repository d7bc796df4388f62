//! When a writer is paused and resumed.

use std::fmt;

/// The marks of one transport, and on which side of them it is.
///
/// ```text
///             size > high: pause_writing
///   flowing ─────────────────────────────► paused
///      ▲        size <= low: resume_writing   │
///      └──────────────────────────────────────┘
/// ```
///
/// So pause and resume alternate, beginning with pause.
///
/// Source: CPython 3.13 `transports._FlowControlMixin`.
#[derive(Debug, Clone)]
pub struct FlowControl {
    high: usize,
    low: usize,
    paused: bool,
}

impl FlowControl {
    pub const fn new() -> Self {
        Self { high: DEFAULT_HIGH, low: DEFAULT_HIGH / LOW_TO_HIGH, paused: false }
    }

    /// Sets the marks in bytes, by asyncio's rules for what is left out. Call
    /// [`on_size_grew`](Self::on_size_grew) afterwards: the size may be above the new mark already.
    pub fn set_limits(
        &mut self,
        high: Option<usize>,
        low: Option<usize>,
    ) -> Result<(), LimitsError> {
        let high = match (high, low) {
            (Some(high), _) => high,
            (None, Some(low)) => low.saturating_mul(LOW_TO_HIGH),
            (None, None) => DEFAULT_HIGH,
        };
        let low = low.unwrap_or(high / LOW_TO_HIGH);
        if high < low {
            return Err(LimitsError { high, low });
        }
        (self.high, self.low) = (high, low);
        Ok(())
    }

    /// The low and the high mark, in `get_write_buffer_limits()`'s order.
    pub const fn limits(&self) -> (usize, usize) {
        (self.low, self.high)
    }

    /// Bytes were queued, `size` wait now. True: call `pause_writing`.
    #[inline]
    pub fn on_size_grew(&mut self, size: usize) -> bool {
        let pauses = !self.paused && size > self.high;
        self.paused |= pauses;
        pauses
    }

    /// Bytes were sent, `size` wait now. True: call `resume_writing`.
    #[inline]
    pub fn on_size_shrank(&mut self, size: usize) -> bool {
        let resumes = self.paused && size <= self.low;
        self.paused &= !resumes;
        resumes
    }

    #[inline]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }
}

impl Default for FlowControl {
    fn default() -> Self {
        Self::new()
    }
}

/// The high mark is below the low one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsError {
    pub high: usize,
    pub low: usize,
}

/// asyncio's own sentence.
impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { high, low } = self;
        write!(f, "high ({high:?}) must be >= low ({low:?}) must be >= 0")
    }
}

impl std::error::Error for LimitsError {}

/// asyncio's defaults, on which programs rely: 64 KiB, and a low mark of a quarter of the high one.
const DEFAULT_HIGH: usize = 64 * 1024;
const LOW_TO_HIGH: usize = 4;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn limits_after(
        high: Option<usize>,
        low: Option<usize>,
    ) -> Result<(usize, usize), LimitsError> {
        let mut flow = FlowControl::new();
        flow.set_limits(high, low)?;
        Ok(flow.limits())
    }

    #[test]
    fn the_marks_are_those_of_asyncio() {
        assert_eq!(FlowControl::default().limits(), (16_384, 65_536));
        assert_eq!(limits_after(None, None), Ok((16_384, 65_536)));
        assert_eq!(limits_after(Some(100), None), Ok((25, 100)));
        assert_eq!(limits_after(None, Some(100)), Ok((100, 400)));
        assert_eq!(limits_after(Some(3), Some(3)), Ok((3, 3)));
        assert_eq!(limits_after(Some(0), None), Ok((0, 0)));
        assert_eq!(limits_after(None, Some(usize::MAX)), Ok((usize::MAX, usize::MAX)));
    }

    #[test]
    fn refused_marks_leave_the_old_ones() {
        let mut flow = FlowControl::new();
        let error = flow.set_limits(Some(1), Some(2)).expect_err("1 < 2");
        assert_eq!(error.to_string(), "high (1) must be >= low (2) must be >= 0");
        assert_eq!(flow.limits(), (16_384, 65_536));
    }

    #[test]
    fn pauses_above_the_high_mark_and_resumes_at_the_low_one() {
        let mut flow = FlowControl::new();
        flow.set_limits(Some(10), Some(4)).expect("10 >= 4");
        assert!(!flow.on_size_grew(10));
        assert!(flow.on_size_grew(11));
        assert!(flow.is_paused());
        assert!(!flow.on_size_shrank(5));
        assert!(flow.on_size_shrank(4));
        assert!(!flow.is_paused());
    }

    #[test]
    fn with_high_zero_every_byte_pauses() {
        let mut flow = FlowControl::new();
        flow.set_limits(Some(0), None).expect("0 >= 0");
        assert!(!flow.on_size_grew(0));
        assert!(flow.on_size_grew(1));
        assert!(flow.on_size_shrank(0));
    }

    proptest::proptest! {
        #[test]
        fn pause_and_resume_alternate(sizes: Vec<(bool, u16)>, high: u8, low: u8) {
            let mut flow = FlowControl::new();
            proptest::prop_assume!(flow.set_limits(Some(high.into()), Some(low.into())).is_ok());
            let mut calls = Vec::new();
            for (grew, size) in sizes {
                let size = usize::from(size % 300);
                if grew && flow.on_size_grew(size) {
                    calls.push("pause");
                } else if !grew && flow.on_size_shrank(size) {
                    calls.push("resume");
                }
            }
            let expected = ["pause", "resume"].into_iter().cycle();
            proptest::prop_assert!(calls.iter().copied().eq(expected.take(calls.len())));
        }
    }
}
