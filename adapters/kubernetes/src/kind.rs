//! Where kinds are at the API server.

use std::collections::BTreeSet;

use adapter_gateway_api::{Kind, Scope};
use kube::api::{ApiResource, GroupVersionKind};

/// What one watch covers: a namespace, or all of them.
pub(crate) type Area = Option<String>;

/// These namespaces, each on its own, or all at once.
pub(crate) fn areas(namespaces: Option<&BTreeSet<String>>) -> Vec<Area> {
    match namespaces {
        None => vec![None],
        Some(namespaces) => namespaces.iter().cloned().map(Some).collect(),
    }
}

/// Where a kind is at the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) api_version: String,
    /// Path of the collection, of a namespace or over all.
    pub(crate) path: String,
}

/// The kinds that are listed and watched as a whole. Of Secrets and ConfigMaps only the metadata is watched.
pub(crate) fn watched() -> impl Iterator<Item = Kind> {
    Kind::ALL
        .iter()
        .copied()
        .filter(|kind| !matches!(kind, Kind::Secret | Kind::ConfigMap))
}

/// The areas in which a kind is watched where these namespaces are. What is in no namespace is watched whole.
pub(crate) fn areas_of(kind: Kind, namespaces: Option<&BTreeSet<String>>) -> Vec<Area> {
    areas(namespaces.filter(|_| kind.scope() == Scope::Namespaced))
}

/// Where to look for a kind, in this order.
pub(crate) fn endpoints(kind: Kind, area: &Area) -> impl Iterator<Item = Endpoint> {
    let namespace = area.as_ref();
    let namespace = namespace.map_or_else(String::new, |name| format!("namespaces/{name}/"));
    kind.api_versions().map(move |api_version| {
        let plural = kind.plural();
        let group = match api_version.contains('/') {
            true => "apis",
            false => "api",
        };
        let path = format!("/{group}/{api_version}/{namespace}{plural}");
        Endpoint { api_version, path }
    })
}

/// A kind in the version in which it is written.
pub(crate) fn resource(kind: Kind) -> ApiResource {
    let named = GroupVersionKind::gvk(kind.group(), kind.version(), kind.as_str());
    ApiResource::from_gvk_with_plural(&named, kind.plural())
}
