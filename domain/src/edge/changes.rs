//! What was changed at the edge, for people.

use std::fmt;

/// Writes of one reconcile that succeeded, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// E.g. `made record app.example.com`; at most [`Changes::LISTED`].
    pub listed: Vec<String>,
    /// How many there were besides.
    pub more: usize,
}

impl Changes {
    /// How many changes are listed at most.
    pub const LISTED: usize = 16;

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    pub(crate) fn add(&mut self, change: impl fmt::Display) {
        match self.listed.len() < Self::LISTED {
            true => self.listed.push(change.to_string()),
            false => self.more += 1,
        }
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.listed.join("; "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_listed_up_to_a_limit_and_then_counted() {
        for (made, listed, more, told) in [
            (0, 0, 0, ""),
            (2, 2, 0, "1; 2"),
            (Changes::LISTED, Changes::LISTED, 0, "; 16"),
            (Changes::LISTED + 2, Changes::LISTED, 2, "; 16; and 2 more"),
        ] {
            let mut changes = Changes::default();
            (1..=made).for_each(|number| changes.add(number));
            assert_eq!((changes.listed.len(), changes.more), (listed, more));
            assert_eq!(changes.is_empty(), made == 0);
            assert!(changes.to_string().ends_with(told), "{changes}");
        }
    }
}
