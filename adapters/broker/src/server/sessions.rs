//! Enrolments, sessions and terms.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::broker::attestation::{Attestation, Attested};
use domain::broker::audit::Event;
use domain::broker::cluster::{Identity, LONGEST_SESSION, Thumbprint};
use domain::broker::ports::{Session, StoreError};
use domain::broker::{Code, Refusal};
use domain::{InstanceId, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use super::ClusterPlane;
use super::admission::{Member, Stranger};
use super::answer::{malformed, read_document};
use super::described::{OfEnrolment, OfMember, OfSession, OfStranger};
use crate::openapi::problems::{OfAny, OfDocument, Refused};
use crate::problem::Problem;
use crate::wire::{
    AttestationDocument, EnrolledDocument, EnrolmentDocument, SessionDocument, SessionRequest,
    TermDocument, TermRequest,
};
use crate::{attestation, identity};

/// Redeems a code, with the key that the proof is of.
#[utoipa::path(
    post,
    path = "/v1/enrolments",
    request_body = EnrolmentDocument,
    responses(
        (status = 201, description = "The cluster asks to be accepted", body = EnrolledDocument),
        Refused<(OfAny, OfStranger, OfDocument, OfEnrolment)>,
    ),
    security(("proof" = [])),
)]
pub(super) async fn enrol(
    State(plane): State<Arc<ClusterPlane>>,
    stranger: Stranger,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<EnrolledDocument>), Problem> {
    let document: EnrolmentDocument = read_document(&headers, body).await?;
    let instance = InstanceId::parse(&document.instance).map_err(malformed)?;
    let code = identity::digest(&SecretString::from(document.code));
    let (key, now) = (stranger.proof.key.clone(), plane.clock.now());
    let attestation = offered(document.attestation, now)?;
    let attested = attestation.as_ref().map(|it| it.thumbprint().to_string());
    let in_words = attested.as_deref().unwrap_or("no");
    let event = Event {
        at: now,
        actor: "stranger".to_owned(),
        source: stranger.source,
        action: "cluster.redeem".to_owned(),
        result: "done".to_owned(),
        detail: format!("key {key}, instance {instance}, attested: {in_words}"),
        ..Event::default()
    };
    let shown = Identity {
        key: key.clone(),
        instance,
    };
    let public_key = &stranger.proof.public_key;
    let redeemed = plane
        .store
        .redeem(&code, shown, attestation, public_key, now, event);
    let cluster = redeemed.await?;
    let enrolled = EnrolledDocument {
        cluster: cluster.name.to_string(),
        key: key.to_string(),
        attested,
    };
    Ok((StatusCode::CREATED, Json(enrolled)))
}

/// What a cluster is to be attested by from its enrolment on.
fn offered(
    document: Option<AttestationDocument>,
    now: Timestamp,
) -> Result<Option<Attestation>, Problem> {
    let shown = document.map(attestation::shown).transpose();
    let offered = shown.and_then(|shown| shown.map(|shown| shown.offered(now)).transpose());
    offered.map_err(|refusal| {
        let detail = format!(
            "{}; or enrol it without: leave edge.broker.service_account_token_file empty",
            refusal.detail
        );
        Problem::decided(&Refusal::new(refusal.code, detail))
    })
}

/// Opens a session, for whoever has the key of a cluster.
#[utoipa::path(
    post,
    path = "/v1/sessions",
    request_body = SessionRequest,
    responses(
        (status = 200, description = "A session of ten minutes", body = SessionDocument),
        Refused<(OfAny, OfStranger, OfDocument, OfSession)>,
    ),
    security(("proof" = [])),
)]
pub(super) async fn open(
    State(plane): State<Arc<ClusterPlane>>,
    stranger: Stranger,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SessionDocument>, Problem> {
    let document: SessionRequest = read_document(&headers, body).await?;
    let instance = InstanceId::parse(&document.instance).map_err(malformed)?;
    let attestation = document.attestation.map(attestation::shown).transpose();
    let attestation = attestation.map_err(|refusal| Problem::decided(&refusal))?;
    let token = identity::unpredictable(&*plane.entropy);
    let now = plane.clock.now();
    let lasts = LONGEST_SESSION.as_secs();
    let session = Session {
        token: identity::digest(&token),
        expires: Timestamp(now.0.saturating_add_unsigned(lasts)),
    };
    let shown = Identity {
        key: stranger.proof.key,
        instance,
    };
    let event = Event {
        at: now,
        actor: "stranger".to_owned(),
        source: stranger.source,
        action: "session.open".to_owned(),
        result: "done".to_owned(),
        detail: format!("key {}, instance {instance}", shown.key),
        ..Event::default()
    };
    let attestation = attestation.as_ref();
    let opened = plane
        .store
        .open_session(session, &shown, attestation, event.clone());
    let (cluster, attested) = match opened.await {
        Err(StoreError::Refused(refusal)) => {
            plane.tell_refusal(&shown.key, &refusal, event).await?;
            return Err(Problem::decided(&refusal));
        }
        opened => opened?,
    };
    Ok(Json(SessionDocument {
        cluster: cluster.name.to_string(),
        token: token.expose_secret().to_owned(),
        expires_in: lasts,
        attested: cluster.attestation.is_some(),
        offered: match attested {
            Attested::Not(offered) => offered.map(|print| print.to_string()),
            _ => None,
        },
    }))
}

/// Begins a term: whoever led the cluster before writes nothing any more.
#[utoipa::path(
    post,
    path = "/v1/terms",
    request_body = TermRequest,
    responses(
        (status = 200, description = "The number of the term", body = TermDocument),
        Refused<(OfAny, OfMember, OfDocument)>,
    ),
    security(("session" = [], "proof" = [])),
)]
pub(super) async fn begin_term(
    State(plane): State<Arc<ClusterPlane>>,
    member: Member,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TermDocument>, Problem> {
    let TermRequest {} = read_document(&headers, body).await?;
    let event = plane.event(&member, "term.begin", member.cluster.name.as_str());
    let term = plane.store.begin_term(&member.cluster.name, event).await?;
    Ok(Json(TermDocument { term }))
}

impl ClusterPlane {
    /// Something that a cluster does, and that is done.
    pub(super) fn event(&self, member: &Member, action: &str, object: &str) -> Event {
        Event {
            at: self.clock.now(),
            actor: format!("cluster {}", member.cluster.name),
            source: member.source.clone(),
            action: action.to_owned(),
            object: object.to_owned(),
            result: "done".to_owned(),
            ..Event::default()
        }
    }

    /// A refusal of a cluster that is known is in the audit before it is answered, once an hour. Those of strangers are not:
    /// they could fill it.
    async fn tell_refusal(
        &self,
        key: &Thumbprint,
        refusal: &Refusal,
        event: Event,
    ) -> Result<(), StoreError> {
        let is_known = [
            Code::IdentityConflict,
            Code::ClusterRevoked,
            Code::Tombstoned,
            Code::AttestationRequired,
            Code::AttestationRefused,
        ];
        if is_known.contains(&refusal.code)
            && self.refusals.is_news((key.clone(), refusal.code), event.at)
        {
            let result = refusal.code.to_string();
            let detail = match refusal.code {
                Code::AttestationRefused => format!("{}: {}", event.detail, refusal.detail),
                _ => event.detail.clone(),
            };
            let event = Event {
                result,
                detail,
                ..event
            };
            self.store.append(event).await?;
        }
        Ok(())
    }
}
