//! What is kept as JSON: values that are read and written whole. An intent and a status have the form that they have on the
//! wire.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use adapter_broker::wire::{IntentDocument, StatusDocument};
use domain::broker::attestation::{Attestation, PublicKey, PublicKeys, ServiceAccount};
use domain::broker::grant::{Clusters, Grant};
use domain::broker::held::{Done, Errands, Held, Place, Wanted};
use domain::broker::ports::StoreError;
use domain::broker::{AccountName, ClusterName, GrantName, TenantName};
use domain::certificate::Fingerprint;
use domain::ports::{PortError, PortErrorKind};
use domain::secret::TokenHash;
use domain::{AllowedHostnames, Hostname, ObjectKey, Timestamp};
use serde::{Deserialize, Serialize};

use crate::malformed;

fn text(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("a document of texts and numbers can be written")
}

/// An [`Attestation`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttestationDocument {
    issuer: String,
    subject: String,
    keys: BTreeMap<String, PublicKey>,
}

impl AttestationDocument {
    pub(crate) fn of(attestation: &Attestation) -> String {
        let keys = attestation.keys.iter();
        text(&Self {
            issuer: attestation.issuer.clone(),
            subject: attestation.subject.to_string(),
            keys: keys.map(|(id, key)| (id.to_owned(), key.clone())).collect(),
        })
    }

    pub(crate) fn read(self) -> Result<Attestation, StoreError> {
        let wrong = || malformed("how a cluster is attested");
        Ok(Attestation {
            issuer: self.issuer,
            subject: ServiceAccount::parse(&self.subject).ok_or_else(wrong)?,
            keys: PublicKeys::new(self.keys).map_err(|_| wrong())?,
        })
    }
}

/// A [`Grant`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantDocument {
    name: GrantName,
    tenant: TenantName,
    /// `None` for all.
    clusters: Option<Vec<String>>,
    /// `None` for every one.
    hostnames: Option<Vec<Hostname>>,
    except: Vec<Hostname>,
    account: Option<AccountName>,
    max_hostnames: Option<u32>,
    max_gateways: Option<u32>,
    certificates: bool,
    expires: Option<Timestamp>,
}

impl GrantDocument {
    pub(crate) fn of(grant: &Grant) -> Self {
        Self {
            name: grant.name.clone(),
            tenant: grant.tenant.clone(),
            clusters: match &grant.clusters {
                Clusters::All => None,
                Clusters::Named(names) => Some(names.iter().map(ToString::to_string).collect()),
            },
            hostnames: match &grant.hostnames {
                AllowedHostnames::Any => None,
                AllowedHostnames::Listed(patterns) => Some(patterns.iter().cloned().collect()),
            },
            except: grant.except.iter().cloned().collect(),
            account: grant.account.clone(),
            max_hostnames: grant.max_hostnames,
            max_gateways: grant.max_gateways,
            certificates: grant.certificates,
            expires: grant.expires,
        }
    }

    pub(crate) fn text(&self) -> String {
        text(self)
    }

    pub(crate) fn read(self) -> Grant {
        let named = |names: Vec<String>| {
            let names = names
                .iter()
                .filter_map(|name| ClusterName::parse(name).ok());
            Clusters::Named(names.collect())
        };
        Grant {
            name: self.name,
            tenant: self.tenant,
            clusters: self.clusters.map_or(Clusters::All, named),
            hostnames: self
                .hostnames
                .map_or(AllowedHostnames::Any, AllowedHostnames::listed),
            except: self.except.into_iter().collect(),
            account: self.account,
            max_hostnames: self.max_hostnames,
            max_gateways: self.max_gateways,
            certificates: self.certificates,
            expires: self.expires,
        }
    }
}

/// A [`Held`], its accounts excepted, which are columns.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeldDocument {
    /// `None` where no hostname is wanted.
    intent: Option<IntentDocument>,
    /// Whether its tunnel is wanted all the same.
    tunnel: bool,
    retire: Option<TokenHash>,
    close: bool,
    shut_out: bool,
    noted: BTreeSet<TokenHash>,
    version: u64,
    term: u64,
    sequence: u64,
    names: BTreeSet<Hostname>,
    proven: BTreeMap<Fingerprint, BTreeSet<Hostname>>,
    pairs: BTreeSet<Fingerprint>,
    passes: u64,
    done: Option<DoneDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DoneDocument {
    version: u64,
    at: Timestamp,
    status: Option<StatusDocument>,
    error: Option<ErrorDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorDocument {
    kind: PortErrorKind,
    message: String,
    retry_after_ms: Option<u64>,
}

impl ErrorDocument {
    fn of(error: &PortError) -> Self {
        let milliseconds = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self {
            kind: error.kind,
            message: error.message.clone(),
            retry_after_ms: error.retry_after.map(milliseconds),
        }
    }

    fn read(self) -> PortError {
        PortError {
            kind: self.kind,
            message: self.message,
            retry_after: self.retry_after_ms.map(Duration::from_millis),
        }
    }
}

impl DoneDocument {
    fn of(done: &Done) -> Self {
        Self {
            version: done.version,
            at: done.at,
            status: done.outcome.clone().ok().map(StatusDocument::of),
            error: done.outcome.as_ref().err().map(ErrorDocument::of),
        }
    }

    fn read(self) -> Result<Done, StoreError> {
        let unreadable = |_| malformed("a status");
        let outcome = match (self.status, self.error) {
            (Some(status), None) => Ok(status.read().map_err(unreadable)?),
            (None, Some(error)) => Err(error.read()),
            _ => return Err(malformed("a status")),
        };
        Ok(Done {
            version: self.version,
            outcome,
            at: self.at,
        })
    }
}

impl HeldDocument {
    pub(crate) fn of(held: &Held) -> Self {
        Self {
            intent: match &held.wanted {
                Wanted::Present(intent) => Some(IntentDocument::of(intent)),
                Wanted::Tunnel | Wanted::Gone => None,
            },
            tunnel: held.wanted == Wanted::Tunnel,
            retire: held.errands.retire,
            close: held.errands.close,
            shut_out: held.errands.shut_out,
            noted: held.errands.noted.clone(),
            version: held.version,
            term: held.place.term,
            sequence: held.place.sequence,
            names: held.names.clone(),
            proven: held.proven.clone(),
            pairs: held.pairs.clone(),
            passes: held.passes,
            done: held.done.as_ref().map(DoneDocument::of),
        }
    }

    pub(crate) fn text(&self) -> String {
        text(self)
    }

    pub(crate) fn read(
        self,
        gateway: ObjectKey,
        accounts: BTreeSet<AccountName>,
        former: BTreeSet<AccountName>,
    ) -> Result<Held, StoreError> {
        let wanted = match self.intent {
            None if self.tunnel => Wanted::Tunnel,
            None => Wanted::Gone,
            Some(intent) => {
                let intent = intent.read(gateway.clone());
                Wanted::Present(Box::new(intent.map_err(|_| malformed("an intent"))?))
            }
        };
        Ok(Held {
            gateway,
            wanted,
            errands: Errands {
                retire: self.retire,
                close: self.close,
                shut_out: self.shut_out,
                noted: self.noted,
            },
            version: self.version,
            place: Place {
                term: self.term,
                sequence: self.sequence,
            },
            accounts,
            former,
            names: self.names,
            proven: self.proven,
            pairs: self.pairs,
            passes: self.passes,
            done: self.done.map(DoneDocument::read).transpose()?,
        })
    }
}
