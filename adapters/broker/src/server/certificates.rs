//! Certificates with their keys, which clusters send where the broker asks for them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::ObjectKey;
use domain::broker::certificates::{MOST_NAMES, SealedPair};
use domain::broker::held::Statement;
use domain::secret::CertificatePair;
use secrecy::ExposeSecret;

use super::ClusterPlane;
use super::admission::Member;
use super::answer::{failed, malformed, read_document};
use super::described::{OfMember, OfStatement, Stated as Headers};
use super::gateways::{Names, gateway_of};
use crate::engine::pairs;
use crate::openapi::problems::{OfAny, OfDocument, OfEdge, Refused};
use crate::problem::Problem;
use crate::wire::{Malformed, PairsDocument, PendingDocument, StatusDocument};

/// Sends certificates with their keys: those of which the Gateway's status says `without_key`.
///
/// They are kept sealed until they are uploaded. What was not asked for is not kept.
#[utoipa::path(
    put,
    path = "/v1/gateways/{namespace}/{name}/certificates",
    params(Names, Headers),
    request_body = PairsDocument,
    responses(
        (status = 200, description = "What came of it; `ETag` has the version", body = StatusDocument),
        (status = 202, description = "It is written down, and not done yet", body = PendingDocument),
        Refused<(OfAny, OfMember, OfDocument, OfStatement, OfEdge)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn send(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let gateway = gateway_of(&names)?;
    let document: PairsDocument = read_document(&headers, body).await?;
    let pairs = document.read().map_err(malformed)?;
    let sealed = plane.sealed(&member, &gateway, &pairs).await?;
    let statement = Statement::Pairs(sealed);
    plane.take(&member, gateway, statement, &headers).await
}

impl ClusterPlane {
    /// Those that are asked for, sealed.
    async fn sealed(
        &self,
        member: &Member,
        gateway: &ObjectKey,
        pairs: &[CertificatePair],
    ) -> Result<Vec<SealedPair>, Problem> {
        let held = self.require_tunnel(member, gateway).await?;
        let is_asked_for = |pair: &&CertificatePair| held.lacks(&pair.fingerprint);
        let mut all = Vec::new();
        for pair in pairs.iter().filter(is_asked_for) {
            let (chain, key) = (pair.chain.as_bytes(), pair.key.expose_secret().as_bytes());
            let facts = adapter_x509::facts(chain, key).map_err(|problem| {
                malformed(Malformed(format!("pairs[]: Invalid value: {problem}")))
            })?;
            if facts.names.len() > MOST_NAMES {
                let problem = format!(
                    "pairs[].chain: Invalid value: the certificate must have at most {MOST_NAMES} names; use several"
                );
                return Err(malformed(Malformed(problem)));
            }
            let (seal, cluster) = (&*self.seal, &member.cluster);
            let sealed = pairs::sealed(seal, cluster, gateway, pair, facts.names);
            all.push(sealed.await.map_err(failed)?);
        }
        Ok(all)
    }
}
