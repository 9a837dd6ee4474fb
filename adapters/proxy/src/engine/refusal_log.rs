//! One line in the log for each refusal, never with anything that the client or the endpoint sent, and no
//! more lines than a person can read: a client that sends bad requests by the thousand must not fill the disk.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lines in any one [`WINDOW`].
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

/// Writes about refusals.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    withheld: u64,
}

impl RefusalLog {
    /// Writes a line, unless there were too many of late; the next line then says how many were left out.
    pub(super) fn note(&self, gateway: Option<&str>, reason: &str) {
        let withheld = self.0.lock().admit(Instant::now());
        if let Some(withheld) = withheld {
            let gateway = gateway.unwrap_or_default();
            let reason = reason.trim_end();
            tracing::info!(gateway, reason, withheld, "request refused");
        }
    }
}

impl Window {
    /// The number of lines left out before this one; `None` where this one is left out.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self
            .began
            .is_none_or(|began| now.duration_since(began) >= WINDOW)
        {
            self.began = Some(now);
            self.lines = 0;
        }
        if self.lines == LINES {
            self.withheld += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_few_lines_and_its_number() {
        let mut window = Window::default();
        let start = Instant::now();
        let written = (0..1000).filter_map(|_| window.admit(start)).count();
        assert_eq!(written, 20);
        assert_eq!(window.admit(start + WINDOW), Some(980));
        assert_eq!(window.admit(start + WINDOW), Some(0));
    }
}
