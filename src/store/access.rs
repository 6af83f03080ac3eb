//! The access clock of an entry: 24 bits that tell when its key was last used, or how often.
//!
//! ```text
//! by time       24 bits   seconds of the Unix time, wrapping around
//! by frequency  16 bits   minutes of the Unix time when the counter last decayed, wrapping around
//!                8 bits   a counter that grows with the logarithm of the uses
//! ```
//! Which of the two it is, the eviction policy says; after a change of policy the clocks right themselves with use.

const CLOCK_MASK: u32 = 0x00ff_ffff;
/// What the counter of a new key shows, so that it is not the first to go.
const FRESH_COUNTER: u8 = 5;

/// How uses are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequency {
    /// Larger needs more uses for the same count.
    pub log_factor: u32,
    /// The counter loses one in so many minutes; 0 means never.
    pub decay_minutes: u32,
}

impl Frequency {
    /// As one word, which is never 0.
    pub fn pack(self) -> u64 {
        1 << 63 | u64::from(self.log_factor & 0x7fff_ffff) << 32 | u64::from(self.decay_minutes)
    }

    pub fn unpack(word: u64) -> Option<Frequency> {
        (word != 0).then_some(Frequency { log_factor: (word >> 32) as u32 & 0x7fff_ffff, decay_minutes: word as u32 })
    }
}

/// One moment, as access clocks see it.
#[derive(Clone, Copy, Debug)]
pub struct AccessClock {
    seconds: u32,
    minutes: u16,
    frequency: Option<Frequency>,
}

impl AccessClock {
    #[inline]
    pub fn at(now_ms: u64, frequency: Option<Frequency>) -> AccessClock {
        let seconds = (now_ms / 1000) as u32;
        AccessClock { seconds: seconds & CLOCK_MASK, minutes: (now_ms / 60_000) as u16, frequency }
    }

    /// The clock of a key that is made now.
    #[inline]
    pub fn fresh(self) -> u32 {
        match self.frequency {
            None => self.seconds,
            Some(_) => self.counted(FRESH_COUNTER),
        }
    }

    /// The clock of a key that is used now, given what it showed. `draw` gives a random number below its argument.
    #[inline]
    pub fn used(self, before: u32, draw: impl FnOnce(u64) -> u64) -> u32 {
        match self.frequency {
            None => self.seconds,
            Some(frequency) => self.counted(grown(self.decayed(before), frequency.log_factor, draw)),
        }
    }

    /// The clock of a key that was used so often.
    pub fn counted(self, counter: u8) -> u32 {
        u32::from(self.minutes) << 8 | u32::from(counter)
    }

    /// Seconds since the last use, by a clock that shows time.
    pub fn idle_seconds(self, shown: u32) -> u32 {
        self.seconds.wrapping_sub(shown) & CLOCK_MASK
    }

    /// The counter now, by a clock that shows frequency.
    pub fn decayed(self, shown: u32) -> u8 {
        let counter = shown as u8;
        let minutes = u32::from(self.minutes.wrapping_sub((shown >> 8) as u16));
        match self.frequency {
            Some(Frequency { decay_minutes: 1.., .. }) => {
                let periods = minutes / self.frequency.map_or(1, |frequency| frequency.decay_minutes);
                counter.saturating_sub(periods.min(255) as u8)
            }
            _ => counter,
        }
    }

    /// How much sooner a key should go than others: larger is sooner.
    pub fn coldness(self, shown: u32) -> u32 {
        match self.frequency {
            None => self.idle_seconds(shown),
            Some(_) => 255 - u32::from(self.decayed(shown)),
        }
    }
}

/// A use grows the counter by one with a probability that falls as it grows.
fn grown(counter: u8, log_factor: u32, draw: impl FnOnce(u64) -> u64) -> u8 {
    let above_fresh = u64::from(counter.saturating_sub(FRESH_COUNTER));
    if counter < u8::MAX && draw(above_fresh * u64::from(log_factor) + 1) == 0 { counter + 1 } else { counter }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Rng;

    const MINUTE_MS: u64 = 60_000;

    #[test]
    fn clocks_of_time() {
        let clock = |ms| AccessClock::at(ms, None);
        let shown = clock(5000).fresh();
        assert_eq!(clock(65_000).idle_seconds(shown), 60);
        assert_eq!(clock(65_000).coldness(shown), 60);
        assert_eq!(clock(7000).used(shown, |_| 0), clock(7000).fresh());
        let late = clock(u64::from(CLOCK_MASK) * 1000).fresh();
        assert_eq!(clock((u64::from(CLOCK_MASK) + 3) * 1000).idle_seconds(late), 3, "it wraps around");
    }

    #[test]
    fn counters_grow_ever_slower_and_decay() {
        let frequency = Frequency { log_factor: 10, decay_minutes: 1 };
        assert_eq!(Frequency::unpack(frequency.pack()), Some(frequency));
        assert_eq!(Frequency::unpack(0), None);
        let clock = AccessClock::at(7 * MINUTE_MS, Some(frequency));
        let mut rng = Rng::from_seed(1);
        let mut shown = clock.fresh();
        let mut after = |uses: u32| {
            (0..uses).for_each(|_| shown = clock.used(shown, |bound| rng.below(bound)));
            clock.decayed(shown)
        };
        // What Redis documents for factor 10: 10 after 100 uses, 18 after 1,000, 142 after 100,000.
        let counts = [after(100), after(900), after(99_000)];
        assert!((7..=13).contains(&counts[0]) && (14..=24).contains(&counts[1]), "{counts:?}");
        assert!((125..=160).contains(&counts[2]), "{counts:?}");
        let shown = clock.counted(20);
        let later = |minutes: u64, decay_minutes| {
            let frequency = Frequency { log_factor: 10, decay_minutes };
            AccessClock::at((7 + minutes) * MINUTE_MS, Some(frequency)).decayed(shown)
        };
        assert_eq!([later(0, 1), later(3, 1), later(30, 1), later(3, 2), later(30, 0)], [20, 17, 0, 19, 20]);
        assert!(clock.coldness(clock.counted(5)) > clock.coldness(clock.counted(6)));
    }
}
