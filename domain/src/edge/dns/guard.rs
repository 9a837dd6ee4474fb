//! A removal of many names at once is more often a mistake than a wish, so it waits until somebody confirms it.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::names::{Hostname, ObjectKey};

/// So many names of a Gateway may go in one pass, whatever share of them that is.
const FEW: usize = 5;

/// And this share of them, in percent.
const SHARE: usize = 30;

/// Names whose records were not removed, because they are too many at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    pub names: BTreeSet<Hostname>,
    /// How many names of the Gateway have a record.
    pub of: usize,
    /// What confirms the removal of exactly these names.
    pub code: String,
}

impl HeldBack {
    /// A removal of these names of a Gateway, if it is to be held back.
    pub(super) fn guard(
        gateway: &ObjectKey,
        names: BTreeSet<Hostname>,
        of: usize,
        confirmed: Option<&str>,
    ) -> Option<Self> {
        if names.len() <= FEW || names.len() * 100 <= of * SHARE {
            return None;
        }
        let gateway = gateway.to_string();
        let parts = names.iter().map(Hostname::as_str);
        let code = code(std::iter::once(gateway.as_str()).chain(parts));
        (confirmed != Some(code.as_str())).then_some(Self { names, of, code })
    }
}

/// Twelve hexadecimal digits that stand for these texts in this order.
pub(super) fn code<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> BTreeSet<Hostname> {
        let names = (0..count).map(|n| Hostname::parse(&format!("n{n}.example.com")).unwrap());
        names.collect()
    }

    #[test]
    fn more_than_five_names_and_more_than_a_third_of_them_wait() {
        let gateway = ObjectKey::new("default", "gw");
        for (removed, of, is_held) in [
            (0, 0, false),
            (5, 5, false),
            (6, 6, true),
            (6, 19, true),
            (6, 20, false),
            (30, 100, false),
            (31, 100, true),
            (500, 10_000, false),
        ] {
            let held = HeldBack::guard(&gateway, names(removed), of, None);
            assert_eq!(held.is_some(), is_held, "{removed} of {of}");
        }
    }

    #[test]
    fn a_code_confirms_one_removal_and_no_other() {
        let gateway = ObjectKey::new("default", "gw");
        let held = HeldBack::guard(&gateway, names(8), 8, None).unwrap();
        let code = held.code.as_str();
        let again = |gateway: &ObjectKey, count| {
            HeldBack::guard(gateway, names(count), 9, Some(code)).is_some()
        };
        assert!(!again(&gateway, 8));
        assert!(again(&gateway, 9), "a name more");
        assert!(
            again(&ObjectKey::new("default", "other"), 8),
            "another Gateway"
        );
    }
}
