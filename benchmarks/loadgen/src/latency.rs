use std::fmt;
use std::time::Duration;

/// What one run saw. Units: nanoseconds.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    pub requests: usize,
    pub elapsed: Duration,
    pub p50: Duration,
    pub p99: Duration,
}

impl Report {
    /// Sorts `latencies` in place. An empty run has zero percentiles and zero requests; the driver refuses it.
    pub fn new(latencies: &mut [Duration], elapsed: Duration) -> Self {
        latencies.sort_unstable();
        Self {
            requests: latencies.len(),
            elapsed,
            p50: nearest_rank(latencies, 50),
            p99: nearest_rank(latencies, 99),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            elapsed,
            p50,
            p99,
        } = self;
        let (elapsed, p50, p99) = (elapsed.as_nanos(), p50.as_nanos(), p99.as_nanos());
        write!(
            f,
            "requests={requests} nanoseconds={elapsed} p50={p50} p99={p99}"
        )
    }
}

/// The smallest value that at least `percent` of the values do not exceed.
fn nearest_rank(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut latencies: Vec<_> = (1..=200).rev().map(Duration::from_nanos).collect();
        let report = Report::new(&mut latencies, Duration::from_secs(1));
        assert_eq!(
            report.to_string(),
            "requests=200 nanoseconds=1000000000 p50=100 p99=198"
        );
    }

    #[test]
    fn an_empty_run_has_no_requests() {
        assert_eq!(Report::new(&mut [], Duration::ZERO).requests, 0);
    }
}
