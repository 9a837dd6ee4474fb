//! What the document of the plane says of many paths at once.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema as _};

use crate::openapi::problems::sort;
use crate::openapi::texts::{Nothing, Tag, Tags};

sort! {
    /// Of whoever is signed in.
    OfPerson: [MissingToken, TooManyRequests], [SessionOver]
}

sort! {
    /// Of what has a query.
    OfQuery: [MalformedDocument], []
}

sort! {
    /// Of what has names in its path: no such thing, or another tenant's.
    OfNamed: [MalformedDocument], [NotFound]
}

sort! {
    /// Of what needs a role.
    OfRole: [], [Forbidden]
}

sort! {
    /// Of what replaces or removes something.
    OfChange: [PreconditionRequired], [EtagMismatch]
}

sort! {
    /// Of what gives a name that is one of a list for all tenants.
    OfNewName: [], [AlreadyExists]
}

sort! {
    /// Of what removes something that something else may still need.
    OfRemoval: [], [InUse]
}

sort! {
    /// Of what changes where a cluster stands.
    OfTurn: [], [NotAccepted, KeyMismatch, Tombstoned]
}

sort! {
    /// Of whoever puts in an API token.
    OfToken: [], [CredentialRefused, EtagMismatch]
}

sort! {
    /// Of whoever signs in by a token.
    OfTokenSignIn: [TooManyRequests, IdentityProviderUnavailable], [SignInRefused, Forbidden, Invalid]
}

sort! {
    /// Of what is asked without a session.
    OfStranger: [TooManyRequests], []
}

sort! {
    /// Of whoever signs in.
    OfSignIn: [TooManyRequests], [SignInRefused, TooManyAttempts]
}

/// `If-Match`, for what replaces or removes.
pub(super) enum Seen {}

/// `If-Match` and `If-None-Match`, for what also makes.
pub(super) enum SeenOrNew {}

impl IntoParams for Seen {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "The ETag of what was read. What is there is neither replaced nor removed without it (428), and not where it is another one by now (412).";
        vec![header("If-Match", about, Tags::schema())]
    }
}

impl IntoParams for SeenOrNew {
    fn into_params(within: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "`*`: it is only made, and refused where it is there already (412).";
        let mut all = Seen::into_params(within);
        all.push(header("If-None-Match", about, Nothing::schema()));
        all
    }
}

fn header(name: &str, about: &str, schema: RefOr<Schema>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

/// Who asks, and what there is to say of all.
pub(super) fn finished(mut api: OpenApi) -> OpenApi {
    let session = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "The token that somebody signed in for (RFC 6750). What is done needs a role of theirs, and what they do not see is not there.",
        ))
        .build();
    let about = "What people ask a broker: operators and their programs. Unknown fields are refused. What is refused or fails is a \
                 problem (RFC 9457), whose `type` is for programs and keeps its meaning. Whoever replaces or removes something says which \
                 one they saw, by its ETag. What belongs to a tenant that somebody does not see is answered like what is not there.";
    let info = InfoBuilder::new()
        .title("Broker: the plane for people")
        .version("1")
        .description(Some(about))
        .build();
    // Headers of answers alone name it.
    let components = api.components.get_or_insert_default();
    let tag = (Tag::name().into_owned(), Tag::schema());
    components.schemas.extend([tag]);
    crate::openapi::finished(api, info, [("session", SecurityScheme::Http(session))])
}
