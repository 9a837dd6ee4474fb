//! What the document of the plane says of many paths at once.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{Info, InfoBuilder, OpenApi, RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema};

use crate::openapi::problems::sort;
use crate::openapi::texts::{Place, Version};

sort! {
    /// Of whoever has a key, and no session yet.
    OfStranger: [ProofRefused], []
}

sort! {
    /// Of whoever redeems a code.
    OfEnrolment: [], [CodeInvalid, KeyMismatch, AttestationRefused]
}

sort! {
    /// Of whoever opens a session.
    OfSession: [], [Forbidden, NotAccepted, ClusterRevoked, IdentityConflict, Tombstoned, AttestationRequired, AttestationRefused]
}

sort! {
    /// Of whoever has a session.
    OfMember: [MissingToken, ProofRefused, TooManyRequests], [SessionOver]
}

sort! {
    /// Of what only the controller may do that leads.
    OfLeader: [MalformedDocument], [StaleTerm]
}

sort! {
    /// Of what states something of a Gateway.
    OfStatement: [MalformedDocument], [StaleTerm, StaleStatement, EtagMismatch, TooManyGateways]
}

sort! {
    /// Of what has a query.
    OfQuery: [MalformedDocument], []
}

/// `Statement-Place`.
pub(super) enum Placed {}

/// `Statement-Place`, `If-Match` and `Prefer`.
pub(super) enum Stated {}

/// `Prefer`.
pub(super) enum Awaiting {}

impl IntoParams for Placed {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "The term of the controller that asks, and the number of its statement: what comes late is refused.";
        vec![header(
            "Statement-Place",
            about,
            Required::True,
            Place::schema(),
        )]
    }
}

impl IntoParams for Stated {
    fn into_params(within: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about =
            "The version that this is about; refused where another one was stated meanwhile.";
        let version = header("If-Match", about, Required::False, Version::schema());
        let mut all = Placed::into_params(&within);
        all.push(version);
        all.extend(Awaiting::into_params(within));
        all
    }
}

impl IntoParams for Awaiting {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "`wait=10`: for so many seconds, at most 25, the answer waits for what was stated to be done (RFC 7240).";
        let text = ObjectBuilder::new().schema_type(Type::String).into();
        vec![header("Prefer", about, Required::False, text)]
    }
}

fn header(name: &str, about: &str, required: Required, schema: RefOr<Schema>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(required)
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

/// Who asks, and what there is to say of all.
pub(super) fn finished(api: OpenApi) -> OpenApi {
    let session =
        "`DPoP` and the token of a session (RFC 9449, section 7.1), which says which cluster asks.";
    let proof = "A proof of the cluster's P-256 key for method, URL and session (RFC 9449, section 4), good once and for a minute.";
    let key = |name, about| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, about)))
    };
    let schemes = [
        ("session", key("Authorization", session)),
        ("proof", key("DPoP", proof)),
    ];
    crate::openapi::finished(api, info(), schemes)
}

fn info() -> Info {
    let about = "What clusters ask a broker. No path, query, header or document names a cluster, an account or a zone: each cluster finds \
                 nothing but its own. Unknown fields are refused. What is refused or fails is a problem (RFC 9457), whose `type` is for \
                 programs and keeps its meaning.";
    InfoBuilder::new()
        .title("Broker: the plane for clusters")
        .version("1")
        .description(Some(about))
        .build()
}
