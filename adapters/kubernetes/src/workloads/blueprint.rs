//! What the objects of a Gateway's proxies are made from.

use std::collections::{BTreeMap, BTreeSet};

use domain::secret::ConnectorToken;
use domain::workload::{Replicas, WorkloadSpec};
use domain::{ObjectKey, TunnelId};
use k8s_openapi::ByteString;

use super::WorkloadOptions;
use super::names::ALIKE;

/// Keys of a Gateway's Secret, and names of the files in its pods.
pub(super) const TOKEN_FILE: &str = "tunnel-token";
pub(super) const AUTHORITY_FILE: &str = "controller-ca.crt";
pub(super) const EDGE_ROOTS_FILE: &str = "edge-ca.crt";

/// The Gateway that objects belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) gateway: ObjectKey,
    pub(super) uid: String,
}

/// All that the objects of one Gateway are made from.
pub(super) struct Blueprint<'a> {
    pub(super) options: &'a WorkloadOptions,
    pub(super) owner: &'a Owner,
    pub(super) spec: &'a WorkloadSpec,
    pub(super) tunnel: TunnelId,
    pub(super) token: &'a ConnectorToken,
    /// Tokens of the replicas that keep theirs for now.
    pub(super) kept_tokens: BTreeMap<String, ByteString>,
    /// Replicas that have a Deployment. Those that are to go need a token until others serve.
    pub(super) running: BTreeSet<String>,
    pub(super) authority: &'a str,
}

impl Blueprint<'_> {
    /// The token of each replica, by its key in the Secret.
    pub(super) fn tokens(&self) -> BTreeMap<String, ByteString> {
        let names: Vec<&str> = match &self.spec.replicas {
            Replicas::Alike(_) => vec![ALIKE],
            Replicas::Named(replicas) => replicas.iter().map(|r| r.name.as_str()).collect(),
        };
        let token = |name| {
            let kept = self.kept_tokens.get(name).cloned();
            kept.unwrap_or_else(|| bytes(self.token.expose()))
        };
        let running = self.running.iter().map(String::as_str);
        let tokens = names.into_iter().chain(running);
        tokens.map(|name| (token_key(name), token(name))).collect()
    }

    /// Whether a replica is to have the present token later.
    pub(super) fn keeps_another_token(&self) -> bool {
        let present = bytes(self.token.expose());
        self.kept_tokens.values().any(|kept| *kept != present)
    }
}

/// Key of a replica's token in the Secret.
pub(super) fn token_key(replica: &str) -> String {
    match replica {
        ALIKE => TOKEN_FILE.to_owned(),
        name => format!("{TOKEN_FILE}.{name}"),
    }
}

pub(super) fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}
