//! Whose a hostname is, over all tenants of a broker: at most one cluster's. Between the Gateways of one cluster its
//! controller decides.

use super::grant::Granted;
use super::names::{ClusterName, TenantName};
use super::refusal::{Code, Refusal};
use crate::names::Hostname;

/// A hostname that a cluster has. It keeps it until the record is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub hostname: Hostname,
    pub tenant: TenantName,
    pub cluster: ClusterName,
}

/// Whether a cluster may take a hostname. `claims`: at least those of this hostname and of every wildcard above it.
///
/// An exact name below a wildcard of another tenant would take requests away from that tenant, so it needs a grant that
/// names it exactly. Nobody is told whose a name is.
pub fn decide(
    hostname: &Hostname,
    tenant: &TenantName,
    cluster: &ClusterName,
    claims: &[Claim],
    granted: Granted<'_>,
) -> Result<(), Refusal> {
    for claim in claims {
        let same_name = claim.hostname == *hostname;
        let covers = claim.hostname.intersection(hostname).as_ref() == Some(hostname);
        let is_foreign = claim.tenant != *tenant;
        if same_name && (is_foreign || claim.cluster != *cluster) {
            return Err(taken(hostname));
        }
        if covers && is_foreign && !granted.names(hostname) {
            return Err(taken(hostname));
        }
    }
    Ok(())
}

fn taken(hostname: &Hostname) -> Refusal {
    Refusal::new(
        Code::HostnameTaken,
        format!(
            "hostname {hostname}: another cluster has it; choose another one, or ask whoever runs the broker"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::grant::{Clusters, Grant};
    use crate::broker::names::GrantName;
    use crate::names::{AllowedHostnames, HostnamePatterns, Timestamp};

    #[test]
    fn a_hostname_is_one_clusters_and_nothing_is_taken_out_of_a_wildcard_of_another_tenant() {
        let name = |text: &str| Hostname::parse(text).unwrap();
        let tenant = |text: &str| TenantName::parse(text).unwrap();
        let cluster = |text: &str| ClusterName::parse(text).unwrap();
        let grants = [Grant {
            name: GrantName::parse("one").unwrap(),
            tenant: tenant("acme"),
            clusters: Clusters::All,
            hostnames: AllowedHostnames::listed(["*.example.com", "listed.example.com"].map(name)),
            except: HostnamePatterns::default(),
            account: None,
            max_hostnames: None,
            max_gateways: None,
            certificates: false,
            expires: None,
        }];
        let east = cluster("east");
        let granted = Granted::new(&grants, &east, Timestamp(0));
        for (claimed, by, wanted, is_free) in [
            ("a.example.com", ("acme", "east"), "a.example.com", true),
            ("a.example.com", ("acme", "west"), "a.example.com", false),
            ("a.example.com", ("other", "north"), "a.example.com", false),
            ("a.example.com", ("other", "east"), "a.example.com", false),
            ("b.example.com", ("other", "north"), "a.example.com", true),
            ("*.example.com", ("acme", "west"), "a.example.com", true),
            ("*.example.com", ("other", "north"), "a.example.com", false),
            (
                "*.example.com",
                ("other", "north"),
                "*.b.example.com",
                false,
            ),
            (
                "*.example.com",
                ("other", "north"),
                "listed.example.com",
                true,
            ),
            (
                "listed.example.com",
                ("other", "north"),
                "listed.example.com",
                false,
            ),
            ("a.example.com", ("other", "north"), "*.example.com", true),
        ] {
            let claims = [Claim {
                hostname: name(claimed),
                tenant: tenant(by.0),
                cluster: cluster(by.1),
            }];
            let found = decide(&name(wanted), &tenant("acme"), &east, &claims, granted);
            assert_eq!(found.is_ok(), is_free, "{claimed} of {by:?}, {wanted}");
        }
    }
}
