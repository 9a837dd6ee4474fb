//! The slots of an account's API token: a new one is tried before it counts, and the old one is kept for a while after.

use std::time::Duration;

use crate::names::Timestamp;

/// How long a replaced token is kept to fall back to.
pub const GRACE: Duration = Duration::from_secs(3600);

/// Which of the tokens that an account ever had; counts up from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Version(pub u32);

/// The tokens of an account by their versions. The tokens themselves are sealed elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Slots {
    /// What calls are made with.
    pub active: Option<Version>,
    /// Not tried yet.
    pub next: Option<Version>,
    /// Replaced, and kept until then.
    pub previous: Option<(Version, Timestamp)>,
    /// Whether calls are made with the previous one, because Cloudflare refuses the active one.
    pub fell_back: bool,
    /// The last version that was given out.
    last: u32,
}

impl Slots {
    /// The version that the next token gets.
    pub fn next_version(&self) -> Version {
        Version(self.last + 1)
    }

    /// A token was put in; its version. One that waited to be tried is forgotten.
    pub fn offer(&mut self) -> Version {
        let version = self.next_version();
        self.last = version.0;
        self.next = Some(version);
        version
    }

    /// The token was tried and does all that is needed. Nothing changes where another one was put in meanwhile.
    pub fn activate(&mut self, version: Version, now: Timestamp) {
        if self.next != Some(version) {
            return;
        }
        let grace = i64::try_from(GRACE.as_secs()).unwrap_or(i64::MAX);
        let until = Timestamp(now.0.saturating_add(grace));
        // One that Cloudflare refuses is nothing to fall back to.
        let replaced = self.active.filter(|_| !self.fell_back);
        self.previous = replaced.map(|replaced| (replaced, until));
        self.active = Some(version);
        self.next = None;
        self.fell_back = false;
    }

    /// The token was tried and cannot be used.
    pub fn reject(&mut self, version: Version) {
        if self.next == Some(version) {
            self.next = None;
        }
    }

    /// Cloudflare does not accept a token any more. Whether there is another one to fall back to, which happens once.
    pub fn refused(&mut self, version: Version, now: Timestamp) -> bool {
        let can = self.active == Some(version)
            && !self.fell_back
            && self.previous.is_some_and(|(_, until)| now < until);
        self.fell_back |= can;
        can
    }

    /// The token to make a call with.
    pub fn in_use(&self) -> Option<Version> {
        match self.previous {
            Some((previous, _)) if self.fell_back => Some(previous),
            _ => self.active,
        }
    }

    /// Drops what is kept no longer. One that is in use stays, whatever its time.
    pub fn expire(&mut self, now: Timestamp) {
        if !self.fell_back && self.previous.is_some_and(|(_, until)| until <= now) {
            self.previous = None;
        }
    }

    /// Versions whose tokens must be kept.
    pub fn kept(&self) -> impl Iterator<Item = Version> {
        let previous = self.previous.map(|(version, _)| version);
        [self.active, self.next, previous].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1000);

    /// With version 1 replaced by version 2.
    fn replaced() -> Slots {
        let mut slots = Slots::default();
        for _ in 0..2 {
            let version = slots.offer();
            slots.activate(version, NOW);
        }
        slots
    }

    #[test]
    fn a_token_counts_once_it_was_tried() {
        let mut slots = Slots::default();
        let first = slots.offer();
        assert_eq!(slots.in_use(), None);
        slots.activate(first, NOW);
        assert_eq!(slots.in_use(), Some(first));

        let bad = slots.offer();
        assert_eq!(slots.in_use(), Some(first));
        slots.reject(bad);
        assert_eq!((slots.in_use(), slots.next), (Some(first), None));

        let (late, newest) = (slots.offer(), slots.offer());
        slots.activate(late, NOW);
        assert_eq!(
            slots.in_use(),
            Some(first),
            "another one was put in meanwhile"
        );
        slots.activate(newest, NOW);
        assert_eq!(slots.in_use(), Some(newest));
        assert_eq!(slots.kept().collect::<Vec<_>>(), [newest, first]);
    }

    #[test]
    fn a_refused_token_falls_back_to_the_one_before_once_and_in_time() {
        let until = Timestamp(NOW.0 + GRACE.as_secs() as i64);
        let before = Timestamp(until.0 - 1);
        for (refused, at, falls_back) in [
            (Version(2), before, true),
            (Version(2), until, false),
            (Version(1), before, false),
        ] {
            let mut slots = replaced();
            assert_eq!(slots.refused(refused, at), falls_back, "{refused:?} {at:?}");
            let expected = if falls_back { Version(1) } else { Version(2) };
            assert_eq!(slots.in_use(), Some(expected));
            assert!(!falls_back || !slots.refused(Version(2), at), "once");
        }
    }

    #[test]
    fn what_cloudflare_refuses_is_nothing_to_fall_back_to() {
        let mut slots = replaced();
        assert!(slots.refused(Version(2), NOW));
        slots.expire(Timestamp(i64::MAX));
        assert_eq!(slots.in_use(), Some(Version(1)), "it is in use");
        let third = slots.offer();
        slots.activate(third, NOW);
        assert_eq!(slots.in_use(), Some(third));
        assert_eq!(slots.previous, None);
    }

    #[test]
    fn a_replaced_token_is_dropped_in_time() {
        let mut slots = replaced();
        slots.expire(NOW);
        assert_eq!(slots.kept().count(), 2);
        slots.expire(Timestamp(NOW.0 + GRACE.as_secs() as i64));
        assert_eq!(slots.kept().collect::<Vec<_>>(), [Version(2)]);
    }
}
