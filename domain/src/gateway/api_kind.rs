//! The Gateway API's own kinds, as the cluster has them.

/// Releases of the Gateway API, by their first two numbers, whose fields are all acted upon or refused by name.
pub const SERVED_RELEASES: [&str; 2] = ["v1.6", "v1.7"];

/// A CustomResourceDefinition of the Gateway API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKind {
    /// Plural and group, as `httproutes.gateway.networking.k8s.io`.
    pub name: String,
    /// The release that it is from, by its annotation `gateway.networking.k8s.io/bundle-version`.
    pub release: Option<String>,
}

impl ApiKind {
    /// Whether it is of one of [`SERVED_RELEASES`].
    pub fn is_served(&self) -> bool {
        self.release.as_ref().is_some_and(|release| {
            let mut served = SERVED_RELEASES.iter();
            served.any(|served| {
                let rest = release.strip_prefix(served);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_known_by_its_first_two_numbers() {
        for (release, is_served) in [
            ("v1.6.0", true),
            ("v1.6.3", true),
            ("v1.7.0", true),
            ("v1.7.0-rc.1", true),
            ("v1.7", true),
            ("v1.5.1", false),
            ("v1.8.0", false),
            ("v1.70.0", false),
            ("v2.0.0", false),
            ("1.7.0", false),
            ("", false),
        ] {
            let kind = |release: Option<&str>| ApiKind {
                name: "gateways.gateway.networking.k8s.io".to_owned(),
                release: release.map(str::to_owned),
            };
            assert_eq!(kind(Some(release)).is_served(), is_served, "{release:?}");
            assert!(!kind(None).is_served());
        }
    }
}
