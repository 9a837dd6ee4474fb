//! Texts and numbers of a certain form, as schemas. Each pattern takes what the parser takes, and no more than a regular expression can tell.

use domain::broker::cluster::WhenExpired;
use domain::broker::role::Role;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::people::LONGEST_LIST;

macro_rules! texts {
    ($($name:ident: $description:literal, $longest:literal, $pattern:literal;)*) => {$(
        #[doc = $description]
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                text($description, $longest, $pattern)
            }
        }

        impl ToSchema for $name {}
    )*};
}

texts! {
    DnsName: "A DNS name, or a wildcard such as `*.example.com`.", 253,
        r"^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$";
    GrantedName: "A DNS name, a wildcard such as `*.example.com`, or `*` for every name.", 253,
        r"^(\*|(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)$";
    Namespace: "A namespace of Kubernetes.", 63, r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
    ObjectName: "The name of an object of Kubernetes.", 253,
        r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$";
    Instance: "A UUID in lower case.", 36, r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
    Fingerprint: "The first half of a SHA-256 in hexadecimal digits.", 32, r"^[0-9a-f]{32}$";
    Sha256: "A SHA-256 in hexadecimal digits.", 64, r"^[0-9A-Fa-f]{64}$";
    ControllerVersion: "The version of a program.", 64, r"^[!-~]{1,64}$";
    Place: "Term and number of a statement, as `3.17`.", 39, r"^[0-9]{1,19}\.[0-9]{1,19}$";
    Version: "A version in quotation marks, as `\"17\"`.", 21, "^\"[0-9]{1,19}\"$";
    TenantName: "The name of a tenant.", 63, r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
    ClusterName: "The name of a cluster, one list for all tenants.", 63, r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
    AccountName: "The name of a Cloudflare account, one list for all tenants.", 63, r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
    GrantName: "The name of a grant of its tenant.", 63, r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
    ProviderName: "The name of an identity provider.", 63, r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
    CloudflareId: "The id of an account at Cloudflare.", 32, r"^[0-9A-Fa-f]{32}$";
    Thumbprint: "The thumbprint of a key (RFC 7638).", 43, r"^[A-Za-z0-9_-]{43}$";
    ApiToken: "An API token of Cloudflare.", 1024, r"^[!-~]{1,1024}$";
    Tag: "An ETag: a new one for every other document.", 34, "^\"[0-9a-f]{32}\"$";
    Tags: "ETags, one of which is that of what is there; `*` is whatever is there.", 1024,
        "^(\\*|\"[0-9A-Za-z]{1,64}\"(, \"[0-9A-Za-z]{1,64}\")*)$";
    Nothing: "`*` alone.", 1, r"^\*$";
}

fn text(description: &str, longest: usize, pattern: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .max_length(Some(longest))
        .pattern(Some(pattern))
        .into()
}

/// A text that is one of these words.
fn word(description: &str, words: impl IntoIterator<Item = &'static str>) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(words))
        .into()
}

/// What somebody may do.
pub(crate) enum RoleWord {}

impl PartialSchema for RoleWord {
    fn schema() -> RefOr<Schema> {
        let roles = Role::ALL.into_iter().map(Role::as_str);
        word("What somebody may do.", roles)
    }
}

impl ToSchema for RoleWord {}

/// What becomes of a cluster once it has expired.
pub(crate) enum WhenExpiredWord {}

impl PartialSchema for WhenExpiredWord {
    fn schema() -> RefOr<Schema> {
        let all = WhenExpired::ALL.into_iter().map(WhenExpired::as_str);
        word("What becomes of a cluster once it has expired.", all)
    }
}

impl ToSchema for WhenExpiredWord {}

/// A moment.
pub(crate) enum Moment {}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A moment (RFC 3339)."))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Moment {}

/// How many items an answer has at most.
pub(crate) enum PartLimit {}

impl PartialSchema for PartLimit {
    fn schema() -> RefOr<Schema> {
        number(1, u64::try_from(LONGEST_LIST).unwrap_or(u64::MAX))
    }
}

impl ToSchema for PartLimit {}

/// How many there may be of something, or which version it is: a number of 32 bits.
pub(crate) enum Limit {}

impl PartialSchema for Limit {
    fn schema() -> RefOr<Schema> {
        number(0, u32::MAX.into())
    }
}

impl ToSchema for Limit {}

fn number(least: u64, most: u64) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least))
        .maximum(Some(most))
        .into()
}

/// A version, or how many there are of something: a number of 64 bits.
pub(crate) enum Number {}

impl PartialSchema for Number {
    fn schema() -> RefOr<Schema> {
        number(0, u64::MAX)
    }
}

impl ToSchema for Number {}
