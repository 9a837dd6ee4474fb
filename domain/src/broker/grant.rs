//! Which cluster may have which hostnames, and in which Cloudflare account they are then.

use std::collections::BTreeSet;

use super::names::{AccountName, ClusterName, GrantName, TenantName};
use super::refusal::{Code, Refusal};
use crate::names::{AccountId, AllowedHostnames, Hostname, HostnamePatterns, Timestamp};

/// A permission that whoever runs the broker gave. Without one a cluster may have nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub name: GrantName,
    pub tenant: TenantName,
    pub clusters: Clusters,
    /// `*.example.com` is the wildcard and every name below it.
    pub hostnames: AllowedHostnames,
    /// Names among these that are not granted all the same.
    pub except: HostnamePatterns,
    /// Where their tunnels and records are; `None` for the account of the tenant whose zone is the longest above a name.
    pub account: Option<AccountName>,
    /// Of one cluster, by this grant.
    pub max_hostnames: Option<u32>,
    /// Of one cluster that has this grant; the largest of its grants counts.
    pub max_gateways: Option<u32>,
    /// Whether certificates for its hostnames may be uploaded.
    pub certificates: bool,
    pub expires: Option<Timestamp>,
}

/// Clusters of a grant's tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clusters {
    All,
    Named(BTreeSet<ClusterName>),
}

impl Grant {
    /// Whether it gives anything to this cluster now.
    pub fn is_for(&self, cluster: &ClusterName, now: Timestamp) -> bool {
        let named = match &self.clusters {
            Clusters::All => true,
            Clusters::Named(names) => names.contains(cluster),
        };
        named && self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether its hostnames may be in an account.
    fn may_use(&self, account: &Account) -> bool {
        match &self.account {
            Some(name) => {
                account.name == *name && (account.tenant == self.tenant || account.shared)
            }
            None => account.tenant == self.tenant,
        }
    }

    /// How specifically it names a hostname ([`Hostname::specificity`]); `None` where the hostname is not granted.
    fn names(&self, hostname: &Hostname) -> Option<(bool, usize)> {
        if !self.hostnames.allows(hostname) || self.except.allow(hostname) {
            return None;
        }
        let AllowedHostnames::Listed(patterns) = &self.hostnames else {
            return Some((false, 0));
        };
        let covering = patterns
            .iter()
            .filter(|pattern| pattern.intersection(hostname).as_ref() == Some(hostname));
        covering.map(Hostname::specificity).max()
    }
}

/// All that a cluster was given.
#[derive(Debug, Clone, Copy)]
pub struct Granted<'g> {
    grants: &'g [Grant],
    cluster: &'g ClusterName,
    now: Timestamp,
}

impl<'g> Granted<'g> {
    /// `grants` are those of the cluster's tenant.
    pub fn new(grants: &'g [Grant], cluster: &'g ClusterName, now: Timestamp) -> Self {
        Self {
            grants,
            cluster,
            now,
        }
    }

    fn own(self) -> impl Iterator<Item = &'g Grant> {
        let grants = self.grants.iter();
        grants.filter(move |grant| grant.is_for(self.cluster, self.now))
    }

    /// The grant that a hostname is by: the one that names it most specifically, and the first by name of several.
    pub fn of(self, hostname: &Hostname) -> Result<&'g Grant, Refusal> {
        let matching = self
            .own()
            .filter_map(|grant| Some((grant.names(hostname)?, grant)));
        let best = matching.max_by(|(one, first), (other, second)| {
            one.cmp(other).then(second.name.cmp(&first.name))
        });
        best.map(|(_, grant)| grant)
            .ok_or_else(|| self.refuse(hostname))
    }

    /// Whether a grant names exactly this hostname, and not only a wildcard above it.
    pub fn names(self, hostname: &Hostname) -> bool {
        let exactly = Some(hostname.specificity());
        self.own().any(|grant| grant.names(hostname) == exactly)
    }

    /// Accounts in which its Gateways may be, of these.
    pub fn accounts(self, accounts: &[Account]) -> BTreeSet<&AccountName> {
        let of = |grant: &Grant| {
            let accounts = accounts.iter().filter(|account| grant.may_use(account));
            accounts.map(|account| &account.name).collect::<Vec<_>>()
        };
        self.own().flat_map(of).collect()
    }

    /// Whether any of its grants is with certificates.
    pub fn has_certificates(self) -> bool {
        self.own().any(|grant| grant.certificates)
    }

    /// How many Gateways the cluster may have; `None` for as many as it likes.
    pub fn max_gateways(self) -> Option<u32> {
        let limits: Option<Vec<u32>> = self.own().map(|grant| grant.max_gateways).collect();
        // Where one of them has no limit, or there is none at all, nothing limits the number: without a grant no
        // hostname is given.
        limits.and_then(|limits| limits.into_iter().max())
    }

    fn refuse(self, hostname: &Hostname) -> Refusal {
        let listed = self.own().filter_map(|grant| match &grant.hostnames {
            AllowedHostnames::Any => None,
            AllowedHostnames::Listed(patterns) => Some(patterns.iter().cloned()),
        });
        let patterns: HostnamePatterns = listed.flatten().collect();
        Refusal::new(
            Code::HostnameNotGranted,
            format!(
                "hostname {hostname}: the broker grants {patterns} to this cluster; use one of these, or ask whoever runs the broker for a grant"
            ),
        )
    }
}

/// A Cloudflare account whose API token the broker keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: AccountName,
    pub tenant: TenantName,
    /// Its id at Cloudflare. No cluster is told it.
    pub cloudflare: AccountId,
    /// Whether grants of other tenants may name it, as for names in a zone of the platform.
    pub shared: bool,
    /// Zones that its token could see when it was tried last; `None` where it may not list them.
    pub zones: Option<BTreeSet<String>>,
}

/// The account that a hostname of this grant belongs to: the one that the grant names, else the tenant's account with the
/// longest zone above the hostname, and the first by name of several.
pub fn account_of<'a>(
    grant: &Grant,
    accounts: &'a [Account],
    hostname: &Hostname,
) -> Option<&'a Account> {
    let zone = |account: &Account| {
        let Some(zones) = &account.zones else {
            // It may have one.
            return Some(0);
        };
        let above = zones.iter().filter(|zone| hostname.is_within(zone));
        above.map(String::len).max()
    };
    let candidates = accounts.iter().filter(|account| grant.may_use(account));
    let candidates = candidates.filter_map(|account| Some((zone(account)?, account)));
    let best = candidates
        .max_by(|(one, first), (other, second)| one.cmp(other).then(second.name.cmp(&first.name)));
    best.map(|(_, account)| account)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(names: &[&str]) -> HostnamePatterns {
        names
            .iter()
            .map(|name| Hostname::parse(name).unwrap())
            .collect()
    }

    fn grant(name: &str, hostnames: &[&str]) -> Grant {
        Grant {
            name: GrantName::parse(name).unwrap(),
            tenant: TenantName::parse("acme").unwrap(),
            clusters: Clusters::All,
            hostnames: AllowedHostnames::Listed(patterns(hostnames)),
            except: HostnamePatterns::default(),
            account: None,
            max_hostnames: None,
            max_gateways: None,
            certificates: false,
            expires: None,
        }
    }

    fn account(name: &str, tenant: &str, zones: &[&str]) -> Account {
        Account {
            name: AccountName::parse(name).unwrap(),
            tenant: TenantName::parse(tenant).unwrap(),
            cloudflare: AccountId::new(name),
            shared: false,
            zones: Some(zones.iter().map(|zone| (*zone).to_owned()).collect()),
        }
    }

    fn east() -> ClusterName {
        ClusterName::parse("east").unwrap()
    }

    fn found(grants: &[Grant], hostname: &str) -> Result<String, Code> {
        let (hostname, cluster) = (Hostname::parse(hostname).unwrap(), east());
        let granted = Granted::new(grants, &cluster, Timestamp(100));
        let found = granted.of(&hostname);
        found
            .map(|grant| grant.name.to_string())
            .map_err(|it| it.code)
    }

    #[test]
    fn a_hostname_is_by_the_grant_that_names_it_most_specifically() {
        let narrow = Grant {
            except: patterns(&["secret.shop.example.com"]),
            ..grant("narrow", &["*.shop.example.com"])
        };
        let wide = Grant {
            except: patterns(&["secret.shop.example.com"]),
            ..grant("wide", &["*.example.com", "example.org"])
        };
        let grants = [wide, narrow, grant("also", &["example.org"])];
        for (hostname, expected) in [
            ("a.example.com", Ok("wide")),
            ("a.shop.example.com", Ok("narrow")),
            ("*.shop.example.com", Ok("narrow")),
            ("shop.example.com", Ok("wide")),
            ("example.org", Ok("also")),
            ("example.com", Err(Code::HostnameNotGranted)),
            ("secret.shop.example.com", Err(Code::HostnameNotGranted)),
            ("a.example.org", Err(Code::HostnameNotGranted)),
            ("*.com", Err(Code::HostnameNotGranted)),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(found(&grants, hostname), expected, "{hostname}");
        }
    }

    #[test]
    fn a_grant_of_every_hostname_is_the_last_that_is_looked_at() {
        let any = Grant {
            hostnames: AllowedHostnames::Any,
            ..grant("any", &[])
        };
        let grants = [any, grant("com", &["*.com"])];
        for (hostname, expected) in [("a.example.com", "com"), ("a.example.org", "any")] {
            assert_eq!(found(&grants, hostname), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn a_grant_is_for_its_clusters_until_it_expires() {
        let named = |name: &str| Clusters::Named([ClusterName::parse(name).unwrap()].into());
        for (clusters, expires, is_given) in [
            (Clusters::All, None, true),
            (named("east"), None, true),
            (named("west"), None, false),
            (Clusters::All, Some(101), true),
            (Clusters::All, Some(100), false),
        ] {
            let grants = [Grant {
                clusters: clusters.clone(),
                expires: expires.map(Timestamp),
                ..grant("one", &["a.example.com"])
            }];
            let given = found(&grants, "a.example.com").is_ok();
            assert_eq!(given, is_given, "{clusters:?} {expires:?}");
        }
    }

    #[test]
    fn the_largest_limit_of_gateways_counts() {
        let cluster = east();
        for (limits, expected) in [
            (vec![], None),
            (vec![Some(2)], Some(2)),
            (vec![Some(2), Some(5)], Some(5)),
            (vec![Some(2), None], None),
        ] {
            let grants: Vec<Grant> = limits
                .iter()
                .map(|max_gateways| Grant {
                    max_gateways: *max_gateways,
                    ..grant("one", &["a.example.com"])
                })
                .collect();
            let granted = Granted::new(&grants, &cluster, Timestamp(0));
            assert_eq!(granted.max_gateways(), expected, "{limits:?}");
        }
    }

    #[test]
    fn a_hostname_is_in_the_account_with_the_longest_zone_above_it_or_in_the_one_that_is_named() {
        let shared = Account {
            shared: true,
            ..account(
                "platform",
                "platform",
                &["preview.example.net", "example.com"],
            )
        };
        let accounts = [
            account("main", "acme", &["example.com", "example.org"]),
            account("second", "acme", &["shop.example.com", "example.org"]),
            account("foreign", "other", &["a.shop.example.com"]),
            shared,
        ];
        let unknown = [Account {
            zones: None,
            ..account("unknown", "acme", &[])
        }];
        let hostname = Hostname::parse("a.example.com").unwrap();
        assert!(account_of(&grant("one", &["*.com"]), &unknown, &hostname).is_some());
        let by = |account: Option<&str>| Grant {
            account: account.map(|name| AccountName::parse(name).unwrap()),
            ..grant("one", &["*.com"])
        };
        for (named, hostname, expected) in [
            (None, "a.example.com", Some("main")),
            (None, "a.shop.example.com", Some("second")),
            (None, "*.shop.example.com", Some("second")),
            (None, "example.org", Some("main")),
            (None, "a.preview.example.net", None),
            (Some("main"), "a.shop.example.com", Some("main")),
            (Some("platform"), "a.preview.example.net", Some("platform")),
            (Some("foreign"), "a.shop.example.com", None),
            (Some("second"), "example.com", None),
        ] {
            let hostname = Hostname::parse(hostname).unwrap();
            let found = account_of(&by(named), &accounts, &hostname);
            let found = found.map(|account| account.name.as_str());
            assert_eq!(found, expected, "{named:?} {hostname}");
        }
    }
}
