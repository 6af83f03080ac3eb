//! A log-linear latency histogram: 64 steps per power of two, so a quantile is off by less than 1.6 %.
//!
//! One thread owns a histogram; recording is two shifts and one add, cheap enough to sit in the measured loop.

/// Steps per power of two, as a power of two itself.
const STEP_BITS: u32 = 6;
const STEPS: usize = 1 << STEP_BITS;
const BUCKETS: usize = STEPS * (64 - STEP_BITS as usize + 1);

/// Latencies at or over this count as a pause in the report.
const PAUSE_NS: u64 = 1_000_000;

#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
    pauses: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Histogram { counts: vec![0; BUCKETS], total: 0, max_ns: 0, pauses: 0 }
    }

    #[inline]
    pub fn record(&mut self, value_ns: u64) {
        self.counts[bucket_of(value_ns)] += 1;
        self.total += 1;
        if value_ns > self.max_ns {
            self.max_ns = value_ns;
        }
        self.pauses += u64::from(value_ns >= PAUSE_NS);
    }

    /// All of them in one.
    pub fn sum(parts: &[Histogram]) -> Histogram {
        let mut whole = Histogram::new();
        for part in parts {
            whole.counts.iter_mut().zip(&part.counts).for_each(|(count, more)| *count += more);
            whole.total += part.total;
            whole.max_ns = whole.max_ns.max(part.max_ns);
            whole.pauses += part.pauses;
        }
        whole
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        (self.total, self.max_ns, self.pauses) = (0, 0, 0);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// The smallest bucket bound that at least `share` of all recorded values do not exceed.
    pub fn quantile_ns(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_bound_of(index).min(self.max_ns);
            }
        }
        self.max_ns
    }

    /// The summary as a JSON object, in microseconds.
    pub fn json(&self) -> String {
        let us = |value_ns: u64| value_ns as f64 / 1e3;
        format!(
            "{{\"samples\":{},\"p50\":{:.2},\"p99\":{:.2},\"p999\":{:.2},\"p9999\":{:.2},\"max\":{:.2},\"over_1ms\":{}}}",
            self.total,
            us(self.quantile_ns(0.50)),
            us(self.quantile_ns(0.99)),
            us(self.quantile_ns(0.999)),
            us(self.quantile_ns(0.9999)),
            us(self.max_ns),
            self.pauses,
        )
    }
}

#[inline]
fn bucket_of(value_ns: u64) -> usize {
    if value_ns < STEPS as u64 {
        return value_ns as usize;
    }
    let shift = value_ns.ilog2() - STEP_BITS;
    // The value's top STEP_BITS + 1 bits are in STEPS..2*STEPS, so each octave follows on the one below.
    (shift as usize) * STEPS + (value_ns >> shift) as usize
}

fn upper_bound_of(index: usize) -> u64 {
    if index < 2 * STEPS {
        return index as u64;
    }
    let shift = (index / STEPS - 1) as u32;
    let top = (index - shift as usize * STEPS) as u64;
    (top << shift) + ((1u64 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_continuous_and_tight() {
        let mut last = 0;
        for value in (0..5_000_000u64).step_by(7) {
            let index = bucket_of(value);
            assert!(index >= last);
            last = index;
            let bound = upper_bound_of(index);
            assert!(bound >= value && (bound - value) as f64 <= value as f64 / 63.0);
        }
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }

    #[test]
    fn a_sum_has_the_values_of_all_parts() {
        let mut parts = [Histogram::new(), Histogram::new()];
        (1..=10).for_each(|value| parts[0].record(value));
        (1..=10).for_each(|value| parts[1].record(value * PAUSE_NS));
        let sum = Histogram::sum(&parts);
        assert_eq!((sum.total, sum.max_ns, sum.pauses), (20, 10 * PAUSE_NS, 10));
        assert_eq!(sum.quantile_ns(0.5), 10);
        parts[1].clear();
        assert_eq!(Histogram::sum(&parts).quantile_ns(1.0), 10);
    }

    #[test]
    fn quantiles_follow_the_values() {
        let mut histogram = Histogram::new();
        for value in 1..=1000 {
            histogram.record(value * 1000);
        }
        let near = |share: f64, wanted: f64| {
            let got = histogram.quantile_ns(share) as f64;
            assert!((got / wanted - 1.0).abs() < 0.02, "{got} for {wanted}");
        };
        near(0.5, 500_000.0);
        near(0.99, 990_000.0);
        assert_eq!(histogram.quantile_ns(1.0), 1_000_000);
    }
}
