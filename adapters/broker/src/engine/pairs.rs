//! Certificates with their keys, as clusters sent them: sealed on the way into the store, opened where they are uploaded.

use std::sync::Arc;

use async_trait::async_trait;
use domain::broker::ClusterName;
use domain::broker::certificates::SealedPair;
use domain::broker::cluster::Cluster;
use domain::broker::ports::{Purpose, Seal, Store, StoreError};
use domain::certificate::Fingerprint;
use domain::edge::certificates::CertificateIntent;
use domain::ports::{Certificates, PortError, PortErrorKind};
use domain::secret::CertificatePair;
use domain::{Hostname, ObjectKey};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeSet;

fn purpose<'s>(
    cluster: &'s Cluster,
    gateway: &'s ObjectKey,
    fingerprint: &'s Fingerprint,
) -> Purpose<'s> {
    Purpose::Pair {
        tenant: &cluster.tenant,
        cluster: &cluster.name,
        gateway,
        fingerprint,
    }
}

/// Seals what a cluster sent for a Gateway. `names` are those in its chain.
pub(crate) async fn sealed(
    seal: &dyn Seal,
    cluster: &Cluster,
    gateway: &ObjectKey,
    pair: &CertificatePair,
    names: BTreeSet<Hostname>,
) -> Result<SealedPair, PortError> {
    let purpose = purpose(cluster, gateway, &pair.fingerprint);
    let sealed = seal.seal(purpose, &written(pair)).await?;
    Ok(SealedPair {
        fingerprint: pair.fingerprint.clone(),
        names,
        sealed,
    })
}

/// Those of one cluster, out of the store.
pub(super) struct StoredPairs {
    pub(super) cluster: ClusterName,
    pub(super) store: Arc<dyn Store>,
    pub(super) seal: Arc<dyn Seal>,
}

fn without() -> PortError {
    let message = "the broker does not have the certificate's key at present";
    PortError::new(PortErrorKind::NotFound, message)
}

fn failed(error: &StoreError) -> PortError {
    PortError::unavailable(error.to_string())
}

#[async_trait]
impl Certificates for StoredPairs {
    async fn pair(&self, _: &ObjectKey) -> Result<CertificatePair, PortError> {
        Err(without())
    }

    async fn of_gateway(
        &self,
        gateway: &ObjectKey,
        one: &CertificateIntent,
    ) -> Result<CertificatePair, PortError> {
        let (store, fingerprint) = (&self.store, &one.fingerprint);
        let found = store.sealed_pair(&self.cluster, gateway, fingerprint).await;
        let found = found.map_err(|error| failed(&error))?;
        let sealed = found.ok_or_else(without)?;
        let cluster = store.cluster(&self.cluster).await;
        let cluster = cluster.map_err(|error| failed(&error))?;
        let purpose = purpose(&cluster, gateway, fingerprint);
        match self.seal.open(purpose, &sealed).await {
            Ok(text) => read(&text).ok_or_else(without),
            // It is sent again.
            Err(error) if error.kind == PortErrorKind::Credentials => Err(without()),
            Err(error) => Err(error),
        }
    }
}

/// Chain and key as one text: how long the chain is, and both.
fn written(pair: &CertificatePair) -> SecretString {
    let (chain, key) = (&pair.chain, pair.key.expose_secret());
    SecretString::from(format!("{}\n{chain}{key}", chain.len()))
}

fn read(text: &SecretString) -> Option<CertificatePair> {
    let (length, both) = text.expose_secret().split_once('\n')?;
    let (chain, key) = both.split_at_checked(length.parse().ok()?)?;
    Some(CertificatePair {
        fingerprint: Fingerprint::of(chain.as_bytes()),
        chain: chain.to_owned(),
        key: SecretString::from(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_and_key_are_read_as_they_were_written() {
        for (chain, key) in [
            ("chain", "key"),
            ("", "key"),
            ("a\nb\n", "1\nc\n"),
            ("é", ""),
        ] {
            let pair = CertificatePair {
                fingerprint: Fingerprint::of(chain.as_bytes()),
                chain: chain.to_owned(),
                key: SecretString::from(key),
            };
            let found = read(&written(&pair)).unwrap();
            assert_eq!((&*found.chain, found.key.expose_secret()), (chain, key));
            assert_eq!(found.fingerprint, pair.fingerprint);
        }
        for other in ["", "chain", "9\nchain", "-1\nchain", "1\né"] {
            assert!(read(&SecretString::from(other)).is_none(), "{other}");
        }
    }
}
