//! Where kinds are at the API server.

use adapter_gateway_api::Kind;
use kube::api::{ApiResource, GroupVersionKind};

/// Where a kind is at the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) api_version: String,
    /// Path of the collection over all namespaces.
    pub(crate) path: String,
}

/// The kinds that are listed and watched as a whole. Of Secrets only the metadata is watched.
pub(crate) fn watched() -> impl Iterator<Item = Kind> {
    Kind::ALL
        .iter()
        .copied()
        .filter(|kind| *kind != Kind::Secret)
}

/// Where to look for a kind, in this order.
pub(crate) fn endpoints(kind: Kind) -> impl Iterator<Item = Endpoint> {
    kind.api_versions().map(move |api_version| {
        let plural = kind.plural();
        let path = match api_version.contains('/') {
            true => format!("/apis/{api_version}/{plural}"),
            false => format!("/api/{api_version}/{plural}"),
        };
        Endpoint { api_version, path }
    })
}

/// A kind in the version in which it is written.
pub(crate) fn resource(kind: Kind) -> ApiResource {
    let named = GroupVersionKind::gvk(kind.group(), kind.version(), kind.as_str());
    ApiResource::from_gvk_with_plural(&named, kind.plural())
}
