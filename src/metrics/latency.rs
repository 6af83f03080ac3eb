//! Latency events: per kind of event the latest 160 moments in which something took longer than
//! `latency-monitor-threshold`, and the worst. One per process; only slow events and LATENCY take the lock.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

/// Samples kept per event; at most one a second.
pub const SAMPLES_MAX: usize = 160;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub unix_seconds: u64,
    pub latency_ms: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Series {
    pub samples: VecDeque<Sample>,
    /// The worst since the event was reset.
    pub max_ms: u64,
}

#[derive(Default)]
pub struct LatencyEvents(Mutex<BTreeMap<&'static str, Series>>);

impl LatencyEvents {
    pub fn record(&self, event: &'static str, latency_ms: u64, unix_seconds: u64) {
        let mut events = self.0.lock();
        let series = events.entry(event).or_default();
        series.max_ms = series.max_ms.max(latency_ms);
        match series.samples.back_mut() {
            Some(last) if last.unix_seconds == unix_seconds => last.latency_ms = last.latency_ms.max(latency_ms),
            _ => {
                if series.samples.len() == SAMPLES_MAX {
                    series.samples.pop_front();
                }
                series.samples.push_back(Sample { unix_seconds, latency_ms });
            }
        }
    }

    /// Every event with its series, by name.
    pub fn all(&self) -> Vec<(&'static str, Series)> {
        self.0.lock().iter().map(|(event, series)| (*event, series.clone())).collect()
    }

    pub fn series(&self, event: &[u8]) -> Option<Series> {
        std::str::from_utf8(event).ok().and_then(|event| self.0.lock().get(event).cloned())
    }

    /// Forgets one event, or all; tells how many were forgotten.
    pub fn reset(&self, event: Option<&[u8]>) -> usize {
        let mut events = self.0.lock();
        let before = events.len();
        events.retain(|name, _| event.is_some_and(|event| event != name.as_bytes()));
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_a_second_and_a_lasting_maximum() {
        let events = LatencyEvents::default();
        events.record("command", 5, 1);
        events.record("command", 9, 1);
        events.record("command", 2, 2);
        (0..200).for_each(|second| events.record("expire-cycle", 1, second));
        let series = events.series(b"command").unwrap();
        assert_eq!(
            series.samples,
            [Sample { unix_seconds: 1, latency_ms: 9 }, Sample { unix_seconds: 2, latency_ms: 2 }]
        );
        assert_eq!(series.max_ms, 9);
        assert_eq!(events.series(b"expire-cycle").unwrap().samples.len(), SAMPLES_MAX);
        assert_eq!(events.reset(Some(b"command")), 1);
        assert_eq!(events.reset(None), 1);
    }
}
