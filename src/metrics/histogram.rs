//! A latency histogram with bounded relative error: 16 steps per power of two, in nanoseconds.

use super::counter::Counter;

const STEPS_BITS: u32 = 4;
const STEPS: usize = 1 << STEPS_BITS;
/// Durations up to 2^36 ns (69 s) have a step of their own; longer ones share the last.
const POWERS: usize = 36;
const BUCKETS: usize = (POWERS - STEPS_BITS as usize + 1) * STEPS;

/// Counts of durations; one writer.
pub struct Histogram(Box<[Counter; BUCKETS]>);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram(Box::new([const { Counter::zero() }; BUCKETS]))
    }
}

#[inline]
fn bucket(nanos: u64) -> usize {
    if nanos < STEPS as u64 {
        return nanos as usize;
    }
    let power = nanos.ilog2();
    let step = (nanos >> (power - STEPS_BITS)) as usize & (STEPS - 1);
    ((power - STEPS_BITS + 1) as usize * STEPS + step).min(BUCKETS - 1)
}

/// The largest duration that falls into a bucket.
fn upper_bound_ns(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let (power, step) = (bucket / STEPS - 1, bucket % STEPS);
    (((STEPS + step + 1) as u64) << power) - 1
}

impl Histogram {
    #[inline]
    pub fn record(&self, nanos: u64) {
        self.0[bucket(nanos)].add(1);
    }

    pub fn reset(&self) {
        self.0.iter().for_each(Counter::reset);
    }
}

/// Several histograms (one a worker) added up.
pub struct Summary {
    counts: Vec<u64>,
    total: u64,
}

impl Summary {
    pub fn of<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Summary {
        let mut counts = vec![0; BUCKETS];
        for histogram in histograms {
            for (count, counter) in counts.iter_mut().zip(histogram.0.iter()) {
                *count += counter.get();
            }
        }
        let total = counts.iter().sum();
        Summary { counts, total }
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration in nanoseconds that `percent` of the samples do not exceed; zero without samples.
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        let wanted = ((percent / 100.0) * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_bound_ns(bucket);
            }
        }
        0
    }

    /// For LATENCY HISTOGRAM: how many samples do not exceed each power of two of microseconds, cumulative, from the
    /// first power that holds a sample to the last.
    pub fn cumulative_by_power_us(&self) -> Vec<(u64, u64)> {
        let mut powers = Vec::new();
        let (mut seen, mut bucket, mut limit_us) = (0, 0, 1u64);
        while seen < self.total {
            let before = seen;
            while bucket < BUCKETS && upper_bound_ns(bucket) <= limit_us * 1024 {
                seen += self.counts[bucket];
                bucket += 1;
            }
            if bucket == BUCKETS {
                seen = self.total;
            }
            if seen > before {
                powers.push((limit_us, seen));
            }
            limit_us *= 2;
        }
        powers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_within_its_bucket() {
        for nanos in (0..1000).chain([4095, 4096, 65_535, 1_000_000, 999_999_999]) {
            let bound = upper_bound_ns(bucket(nanos));
            assert!(bound >= nanos && bound <= nanos + nanos / 16 + 1, "{nanos} -> {bound}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_and_powers() {
        let histogram = Histogram::default();
        (1..=100u64).for_each(|us| histogram.record(us * 1000));
        let summary = Summary::of([&histogram].into_iter());
        assert_eq!(summary.total(), 100);
        assert!((50_000..54_000).contains(&summary.percentile_ns(50.0)));
        assert!((99_000..106_000).contains(&summary.percentile_ns(99.0)));
        assert_eq!(summary.cumulative_by_power_us().last().unwrap().1, 100);
        histogram.reset();
        assert_eq!(Summary::of([&histogram].into_iter()).total(), 0);
    }
}
