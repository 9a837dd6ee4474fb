//! Of which Gateways all stays when they go, as a Secret of the controller: it is there already permitted to keep one.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::ObjectKey;
use domain::ports::{Orphans, PortError, PortErrorKind};
use tokio::sync::Mutex;

use crate::kept_secret::{KeptSecret, KeptSecretError, KeptSecretErrorKind};
use crate::object_name::is_possible;

/// The key of the Secret: a Gateway on each line, as `namespace/name`.
const KEY: &str = "gateways";

/// Longest list. The API server takes a Secret of 1 MiB.
const LONGEST: usize = 1_000_000;

/// [`Orphans`] in a Secret.
#[derive(Debug)]
pub struct KeptOrphans {
    secret: KeptSecret,
    /// One reads and writes at a time.
    turn: Mutex<()>,
}

impl KeptOrphans {
    /// In this Secret. No call is made.
    pub fn new(secret: KeptSecret) -> Self {
        Self {
            secret,
            turn: Mutex::default(),
        }
    }

    async fn read(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let found = self
            .secret
            .read()
            .await
            .map_err(|error| port_error(&error))?;
        let list = found
            .and_then(|mut values| values.remove(KEY))
            .unwrap_or_default();
        parse(&list)
    }

    /// Reads, changes and writes, if that is a change.
    async fn change(
        &self,
        change: impl FnOnce(&mut BTreeSet<ObjectKey>) -> bool + Send,
    ) -> Result<(), PortError> {
        let _turn = self.turn.lock().await;
        let mut gateways = self.read().await?;
        if !change(&mut gateways) {
            return Ok(());
        }
        let lines = gateways.iter().map(|gateway| format!("{gateway}\n"));
        let list: String = lines.collect();
        if list.len() > LONGEST {
            let message = format!(
                "{} Gateways that leave what they have are more than one Secret can name; set deletionPolicy Delete for some, or make Gateways that are gone again and delete them so",
                gateways.len()
            );
            return Err(PortError::new(PortErrorKind::Invalid, message));
        }
        let values = BTreeMap::from([(KEY.to_owned(), list.into_bytes())]);
        self.secret
            .write(values)
            .await
            .map_err(|error| port_error(&error))
    }
}

/// What cannot be read is not known to be empty.
fn parse(list: &[u8]) -> Result<BTreeSet<ObjectKey>, PortError> {
    let lines = String::from_utf8_lossy(list);
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    let gateway = |line: &str| {
        let (namespace, name) = line.trim().split_once('/')?;
        let key = ObjectKey::new(namespace, name);
        is_possible(&key).then_some(key)
    };
    let read = lines.map(|line| {
        gateway(line).ok_or_else(|| {
            let message = format!("key {KEY}: a line is not namespace/name; correct it");
            PortError::new(PortErrorKind::Invalid, message)
        })
    });
    read.collect()
}

fn port_error(error: &KeptSecretError) -> PortError {
    let kind = match error.kind {
        KeptSecretErrorKind::Conflict => PortErrorKind::Conflict,
        KeptSecretErrorKind::Refused => PortErrorKind::Forbidden,
        KeptSecretErrorKind::Unavailable => PortErrorKind::Unavailable,
    };
    PortError::new(kind, error.to_string())
}

#[async_trait]
impl Orphans for KeptOrphans {
    async fn all(&self) -> Result<BTreeSet<ObjectKey>, PortError> {
        let _turn = self.turn.lock().await;
        self.read().await
    }

    async fn add(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.change(|gateways| gateways.insert(gateway.clone()))
            .await
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.change(|gateways| gateways.remove(gateway)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_line_by_line_and_a_line_that_is_none_makes_all_unknown() {
        let keys = |names: &[&str]| {
            names
                .iter()
                .map(|name| ObjectKey::new("shop", *name))
                .collect()
        };
        for (list, expected) in [
            ("", Some(&[][..])),
            ("\n \n", Some(&[][..])),
            ("shop/web\n", Some(&["web"][..])),
            ("shop/web\n\nshop/api", Some(&["api", "web"][..])),
            ("shop/web\nshop\n", None),
            ("shop/\n", None),
            ("shop/a/b\n", None),
            ("\u{fffd}\n", None),
        ] {
            assert_eq!(parse(list.as_bytes()).ok(), expected.map(keys), "{list:?}");
        }
    }
}
