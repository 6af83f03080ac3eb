//! A bar on the terminal that says how far something is. Where standard error is no terminal there is none.

use std::io::{IsTerminal, Write};

use crate::base::clock::{self, Ticks};

const BAR_CHARACTERS: u64 = 40;
const REDRAW_NANOS: u64 = 100_000_000;

pub struct Progress {
    label: &'static str,
    total: u64,
    done: u64,
    is_shown: bool,
    drawn: Option<Ticks>,
}

impl Progress {
    pub fn new(label: &'static str, total: u64) -> Progress {
        let is_shown = std::io::stderr().is_terminal();
        Progress { label, total, done: 0, is_shown, drawn: None }
    }

    pub fn set_total(&mut self, total: u64) {
        self.total = total;
    }

    pub fn advance(&mut self, by: u64) {
        self.set(self.done + by);
    }

    pub fn set(&mut self, done: u64) {
        self.done = done;
        let now = clock::ticks();
        if self.is_shown && self.drawn.is_none_or(|drawn| now.nanos_since(drawn) >= REDRAW_NANOS) {
            self.drawn = Some(now);
            show(&format!("\r{}", self.line()));
        }
    }

    fn line(&self) -> String {
        let done = self.done.min(self.total);
        let share = |of: u64| (u128::from(done) * u128::from(of) / u128::from(self.total.max(1))) as u64;
        let filled = share(BAR_CHARACTERS) as usize;
        let bar = "#".repeat(filled) + &"-".repeat(BAR_CHARACTERS as usize - filled);
        format!("{} [{bar}] {:3}%", self.label, share(100))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            show("\r\x1b[K");
        }
    }
}

/// A bar that cannot be shown is no reason to end.
fn show(text: &str) {
    let mut terminal = std::io::stderr();
    let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_never_leaves_its_bounds() {
        let mut progress = Progress { label: "Reading", total: 200, done: 0, is_shown: false, drawn: None };
        assert_eq!(progress.line(), format!("Reading [{}]   0%", "-".repeat(40)));
        progress.advance(100);
        assert_eq!(progress.line(), format!("Reading [{}{}]  50%", "#".repeat(20), "-".repeat(20)));
        progress.advance(500);
        assert_eq!(progress.line(), format!("Reading [{}] 100%", "#".repeat(40)));
        progress.set_total(0);
        assert_eq!(progress.line(), format!("Reading [{}]   0%", "-".repeat(40)));
    }
}
