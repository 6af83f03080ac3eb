//! How fast things go just now: averages over the latest samples of counters that only grow.
//!
//! One per process. The background thread samples several times a second; INFO reads.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Samples that an average covers: at ten a second, 1.6 seconds.
const SAMPLES_MAX: usize = 16;

/// What is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    Commands,
    InputBytes,
    OutputBytes,
    Batches,
}

const RATES: usize = 4;

#[derive(Default)]
pub struct Rates(Mutex<[Series; RATES]>);

#[derive(Default)]
struct Series {
    last: Option<(u64, u64)>,
    per_second: VecDeque<u64>,
}

impl Rates {
    /// Notes what a counter has reached at `now_ms`.
    pub fn sample(&self, rate: Rate, now_ms: u64, reached: u64) {
        let series = &mut self.0.lock()[rate as usize];
        if let Some((last_ms, last)) = series.last.replace((now_ms, reached))
            && now_ms > last_ms
        {
            if series.per_second.len() == SAMPLES_MAX {
                series.per_second.pop_front();
            }
            // A counter that was set back to zero starts over.
            let grown = reached.saturating_sub(last);
            series.per_second.push_back(grown * 1000 / (now_ms - last_ms));
        }
    }

    /// The average of the latest samples, per second.
    pub fn per_second(&self, rate: Rate) -> u64 {
        let series = &self.0.lock()[rate as usize];
        // Until there are enough samples, the missing ones count as nothing.
        series.per_second.iter().sum::<u64>() / SAMPLES_MAX as u64
    }

    pub fn reset(&self) {
        *self.0.lock() = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_the_counter() {
        let rates = Rates::default();
        (0..=40).for_each(|step| rates.sample(Rate::Commands, 1000 + step * 100, step * 50));
        assert_eq!(rates.per_second(Rate::Commands), 500);
        assert_eq!(rates.per_second(Rate::InputBytes), 0);
        // Set back to zero, and no time passing.
        rates.sample(Rate::Commands, 5100, 0);
        rates.sample(Rate::Commands, 5100, 10);
        assert!(rates.per_second(Rate::Commands) < 500);
        rates.reset();
        assert_eq!(rates.per_second(Rate::Commands), 0);
    }
}
