//! Latencies over time: for each short period how many there were, their 99th percentile and the longest.
//!
//! A latency counts where it ended. One histogram serves all periods: it is summed up and emptied when the next begins.

use std::time::{Duration, Instant};

use super::histogram::Histogram;

#[derive(Debug)]
struct Period {
    samples: u64,
    p99_ns: u64,
    max_ns: u64,
}

#[derive(Debug)]
pub struct Series {
    start: Instant,
    length: Duration,
    periods: Vec<Period>,
    current: Histogram,
}

impl Series {
    pub fn new(start: Instant, length: Duration) -> Series {
        Series { start, length, periods: Vec::new(), current: Histogram::new() }
    }

    /// Notes a latency that ended at `now`, which never goes back by a whole period.
    pub fn record(&mut self, now: Instant, latency_ns: u64) {
        let index = ((now - self.start).as_nanos() / self.length.as_nanos()) as usize;
        while self.periods.len() < index {
            self.close();
        }
        self.current.record(latency_ns);
    }

    /// Ends the current period. One in which nothing ended has no samples.
    fn close(&mut self) {
        let current = &self.current;
        let p99_ns = if current.total() > 0 { current.quantile_ns(0.99) } else { 0 };
        self.periods.push(Period { samples: current.total(), p99_ns, max_ns: current.max_ns() });
        self.current.clear();
    }

    /// The length of a period in milliseconds, and of each one samples, p99 and longest in microseconds.
    pub fn json(&mut self) -> String {
        self.close();
        let us = |value_ns: u64| value_ns as f64 / 1e3;
        let rows =
            self.periods.iter().map(|one| format!("[{},{:.1},{:.1}]", one.samples, us(one.p99_ns), us(one.max_ns)));
        format!("{{\"period_ms\":{},\"periods\":[{}]}}", self.length.as_millis(), rows.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_count_in_the_period_in_which_they_ended() {
        let start = Instant::now();
        let mut series = Series::new(start, Duration::from_millis(100));
        let at = |ms: u64| start + Duration::from_millis(ms);
        series.record(at(10), 5_000);
        series.record(at(99), 7_000);
        series.record(at(350), 1_000_000);
        assert_eq!(
            series.json(),
            "{\"period_ms\":100,\"periods\":[[2,7.0,7.0],[0,0.0,0.0],[0,0.0,0.0],[1,1000.0,1000.0]]}"
        );
    }
}
