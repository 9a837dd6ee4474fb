//! Texts and numbers of a certain form, as schemas. Each pattern takes what the parser takes, and no more than a regular expression can tell.

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

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
    Namespace: "A namespace of Kubernetes.", 63, r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
    ObjectName: "The name of an object of Kubernetes.", 253,
        r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$";
    Instance: "A UUID in lower case.", 36, r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
    Sha256: "A SHA-256 in hexadecimal digits.", 64, r"^[0-9A-Fa-f]{64}$";
    ControllerVersion: "The version of a program.", 64, r"^[!-~]{1,64}$";
    Place: "Term and number of a statement, as `3.17`.", 39, r"^[0-9]{1,19}\.[0-9]{1,19}$";
    Version: "A version in quotation marks, as `\"17\"`.", 21, "^\"[0-9]{1,19}\"$";
}

fn text(description: &str, longest: usize, pattern: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .max_length(Some(longest))
        .pattern(Some(pattern))
        .into()
}

/// A version, or how many there are of something: a number of 64 bits.
pub(crate) enum Number {}

impl PartialSchema for Number {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .maximum(Some(u64::MAX))
            .into()
    }
}

impl ToSchema for Number {}
