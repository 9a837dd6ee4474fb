//! Which cluster a bearer token stands for (RFC 6750).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use domain::ports::Edges;
use domain::{InstallationName, Timestamp};
use sha2::{Digest, Sha256};

use crate::limits::ClusterLimits;
use crate::problem::{ApiError, Problem};

/// SHA-256 of a bearer token: what the broker keeps instead of the token. Tokens are long and random, so a
/// plain hash does not reveal one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterTokenHash([u8; 32]);

impl ClusterTokenHash {
    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Compares in a time that does not depend on where the first difference is.
    fn is_same(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        let difference = pairs.fold(0u8, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
        difference == 0
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 hash has 64 hexadecimal digits")]
pub struct NotAHash;

impl FromStr for ClusterTokenHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotAHash);
        }
        let mut hash = [0; 32];
        for (n, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).map_err(|_| NotAHash)?;
        }
        Ok(Self(hash))
    }
}

/// A cluster that the broker serves.
#[derive(Clone)]
pub struct Cluster {
    /// Its name; the installation name of its edges.
    pub name: InstallationName,
    pub token: ClusterTokenHash,
    /// When the token stops being accepted; `None` for never.
    pub expires: Option<Timestamp>,
    pub limits: ClusterLimits,
    /// The edges that hold this cluster's Gateways and no others: one for each cluster that shows this token.
    pub edges: Arc<dyn Edges>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("name", &self.name)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The place of the cluster whose token the request bears. All clusters are compared, so that the time
/// does not show which one it is.
pub(crate) fn authenticate<'c>(
    clusters: impl Iterator<Item = &'c Cluster>,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<usize, Problem> {
    let borne = ClusterTokenHash::of(bearer(headers)?);
    let mut found = None;
    for (place, cluster) in clusters.enumerate() {
        if cluster.token.is_same(&borne) {
            found = Some((place, cluster.expires));
        }
    }
    match found {
        None => Err(Problem::refused(
            ApiError::UnknownToken,
            "no cluster has this token; ask whoever runs the broker for a new one",
        )),
        Some((_, Some(expires))) if expires <= now => Err(Problem::refused(
            ApiError::ExpiredToken,
            "this cluster's token has expired; ask whoever runs the broker for a new one",
        )),
        Some((place, _)) => Ok(place),
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || {
        Problem::refused(
            ApiError::MissingToken,
            "send the cluster's token once, as `Authorization: Bearer …`",
        )
    };
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(missing());
    };
    let text = value.to_str().map_err(|_| missing())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(missing());
    }
    Ok(token)
}
