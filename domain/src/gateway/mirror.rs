//! RequestMirror (Gateway API, `HTTPRequestMirrorFilter`).

use std::num::NonZeroU32;

use super::FilterRef;

/// A copy of some requests goes to another backend, whose answers nobody gets. `T` is where: in a route what its author wrote,
/// in a table what that resolves to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Mirror<T = FilterRef> {
    pub to: T,
    pub share: Share,
}

/// A part of all requests: none, some or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Share {
    numerator: u32,
    denominator: NonZeroU32,
}

impl Share {
    /// All requests.
    pub const ALL: Self = Self {
        numerator: 1,
        denominator: NonZeroU32::MIN,
    };

    /// So many of so many; `None` where that is more than all, or of none.
    pub fn new(numerator: u32, denominator: u32) -> Option<Self> {
        let share = Self {
            numerator,
            denominator: NonZeroU32::new(denominator)?,
        };
        (numerator <= denominator).then_some(share)
    }

    /// Whether it is every request.
    pub fn is_all(self) -> bool {
        self.numerator >= self.denominator.get()
    }

    /// Whether a request belongs to it for which this number was drawn, evenly spread over all of `u64`.
    pub fn takes(self, drawn: u64) -> bool {
        let of = u128::from(self.denominator.get());
        (u128::from(drawn) * of) >> 64 < u128::from(self.numerator)
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.numerator, self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_its_part_of_the_numbers_drawn() {
        for (numerator, denominator, expected) in [
            (0, 100, 0),
            (1, 1, 10_000),
            (1, 100, 100),
            (50, 100, 5_000),
            (99, 100, 9_900),
            (100, 100, 10_000),
            (1, 3, 3_333),
            (u32::MAX, u32::MAX, 10_000),
        ] {
            let share = Share::new(numerator, denominator).unwrap();
            let drawn = (0..10_000).map(|step| u64::MAX / 10_000 * step + 7);
            let taken = drawn.filter(|drawn| share.takes(*drawn)).count();
            assert!(taken.abs_diff(expected) <= 1, "{share}: {taken}");
            assert_eq!(share.is_all(), expected == 10_000, "{share}");
            assert_eq!(share.takes(u64::MAX), share.is_all(), "{share}");
        }
        for (numerator, denominator) in [(0, 0), (2, 1), (101, 100)] {
            assert_eq!(Share::new(numerator, denominator), None);
        }
    }
}
