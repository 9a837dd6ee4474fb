//! Credentials that are asked for one by one.

use crate::edge::Partial;
use crate::error::PortError;
use crate::secret::CloudflareCredentials;

/// Sets of credentials that are asked for one by one: each is kept once, and one that cannot be had hides no
/// other.
#[derive(Default)]
pub struct CredentialSets {
    found: Vec<CloudflareCredentials>,
    failed: Option<PortError>,
}

impl CredentialSets {
    /// Takes one more set, or why it cannot be had.
    pub fn add(&mut self, set: Result<CloudflareCredentials, PortError>) {
        match set {
            Ok(set) if self.found.iter().any(|known| known.is_same(&set)) => {}
            Ok(set) => self.found.push(set),
            Err(error) => self.failed = self.failed.take().or(Some(error)),
        }
    }

    /// All of them, or those that could be had and the first failure.
    pub fn all(self) -> Result<Vec<CloudflareCredentials>, Partial<Vec<CloudflareCredentials>>> {
        let found = self.found;
        match self.failed {
            None => Ok(found),
            Some(error) => Err(Partial { found, error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::AccountId;

    #[test]
    fn each_set_is_kept_once_and_the_first_failure_is_told() {
        let set = |token: &str| CloudflareCredentials {
            account: AccountId::new("acme"),
            token: token.to_owned().into(),
        };
        let mut sets = CredentialSets::default();
        for token in ["a", "b", "a"] {
            sets.add(Ok(set(token)));
        }
        for message in ["first", "second"] {
            sets.add(Err(PortError::unavailable(message)));
        }
        let Partial { found, error } = sets.all().unwrap_err();
        assert_eq!(error, PortError::unavailable("first"));
        assert_eq!(found.len(), 2);
        assert!(found[0].is_same(&set("a")) && found[1].is_same(&set("b")));
    }
}
