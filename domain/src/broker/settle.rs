//! Which of the hostnames that a Gateway wants it gets, and where.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::{self, Claim};
use super::grant::{self, Account, Grant, Granted};
use super::names::{AccountName, ClusterName, GrantName, TenantName};
use super::refusal::{Code, Refusal};
use crate::names::{Hostname, ObjectKey, Timestamp};

/// Gateways of one cluster, at most, whatever it was granted: as many as Cloudflare has tunnels for one account.
pub const LARGEST_CLUSTER: usize = 1000;

/// Hostnames of one cluster, at most, whatever it was granted.
pub const MOST_HOSTNAMES: usize = 10_000;

/// All that counts for the decision, as it is at one moment.
#[derive(Debug, Clone)]
pub struct Seen<'s> {
    pub tenant: &'s TenantName,
    pub cluster: &'s ClusterName,
    pub now: Timestamp,
    /// Of the cluster's tenant.
    pub grants: &'s [Grant],
    /// Of the tenant, and those that are shared.
    pub accounts_of_tenant: &'s [Account],
    /// At least all of the cluster, and those of every wanted hostname and of every wildcard above one.
    pub claims: &'s [Claim],
    /// Other Gateways of the cluster that have something or are to have it.
    pub others: &'s BTreeSet<ObjectKey>,
    /// Where the Gateway's tunnels are.
    pub accounts: &'s BTreeSet<AccountName>,
    /// Whether it keeps those in which it wants no name any more.
    pub keeps: bool,
}

/// What a Gateway gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// Hostnames that it has or gets, by the account that each is in, as a record leads to tunnels of its own account alone. Each
    /// is claimed for its cluster. It has a tunnel in each of these accounts; none where no hostname says where, and there is none.
    pub parts: BTreeMap<AccountName, BTreeSet<Hostname>>,
    pub refused: BTreeMap<Hostname, Refusal>,
}

impl Settled {
    /// All hostnames that it has or gets.
    pub fn permitted(&self) -> BTreeSet<Hostname> {
        self.parts.values().flatten().cloned().collect()
    }
}

impl Seen<'_> {
    /// Decides on each hostname by itself. `is_new`: whether the Gateway has nothing yet.
    pub fn settle(&self, wanted: &BTreeSet<Hostname>, is_new: bool) -> Result<Settled, Refusal> {
        let granted = Granted::new(self.grants, self.cluster, self.now);
        if let Some(limit) = granted.max_gateways()
            && is_new
            && self.others.len() >= limit as usize
        {
            return Err(too_many_gateways(limit));
        }
        let mut settled = Settled::default();
        let mut room = Room::new(self.claims, self.cluster, granted);
        // What the cluster has already comes first, so that a new name never takes the place of an old one.
        let (had, new): (Vec<_>, Vec<_>) = wanted.iter().partition(|name| room.has(name));
        for hostname in had.into_iter().chain(new) {
            match self.decide(hostname, granted, &mut room) {
                Ok(account) => {
                    let names = settled.parts.entry(account.clone()).or_default();
                    names.insert(hostname.clone());
                }
                Err(refusal) => {
                    settled.refused.insert(hostname.clone(), refusal);
                }
            }
        }
        let kept = self.accounts.iter().filter(|_| self.keeps);
        for account in kept {
            settled.parts.entry(account.clone()).or_default();
        }
        if settled.parts.is_empty() {
            let home = self
                .home(wanted, granted)
                .map(|account| (account, BTreeSet::new()));
            settled.parts.extend(home);
        }
        Ok(settled)
    }

    /// The account that a hostname is in, if the Gateway gets it.
    fn decide(
        &self,
        hostname: &Hostname,
        granted: Granted<'_>,
        room: &mut Room<'_>,
    ) -> Result<&AccountName, Refusal> {
        let grant = granted.of(hostname)?;
        claim::decide(hostname, self.tenant, self.cluster, self.claims, granted)?;
        let account = grant::account_of(grant, self.accounts_of_tenant, hostname);
        let account = account.ok_or_else(|| no_zone(hostname))?;
        room.take(hostname, grant)?;
        Ok(&account.name)
    }

    /// Where a Gateway is that gets no hostname: where it is, else where a hostname belongs that it wants, or the one account
    /// that there is for it.
    fn home(&self, wanted: &BTreeSet<Hostname>, granted: Granted<'_>) -> Option<AccountName> {
        let account_of = |hostname| {
            let grant = granted.of(hostname).ok()?;
            Some(&grant::account_of(grant, self.accounts_of_tenant, hostname)?.name)
        };
        let mut all = granted.accounts(self.accounts_of_tenant).into_iter();
        let only = all.next().filter(|_| all.next().is_none());
        let is_there = self.accounts.first();
        is_there
            .or_else(|| wanted.iter().find_map(account_of))
            .or(only)
            .cloned()
    }
}

/// How many hostnames of each grant a cluster has.
struct Room<'s> {
    has: BTreeSet<&'s Hostname>,
    taken: BTreeMap<GrantName, usize>,
    /// How many more it may have, whatever the grant.
    more: usize,
}

impl<'s> Room<'s> {
    fn new(claims: &'s [Claim], cluster: &ClusterName, granted: Granted<'_>) -> Self {
        let own = claims.iter().filter(|claim| claim.cluster == *cluster);
        let has: BTreeSet<&Hostname> = own.map(|claim| &claim.hostname).collect();
        let mut taken = BTreeMap::new();
        for grant in has.iter().filter_map(|name| granted.of(name).ok()) {
            *taken.entry(grant.name.clone()).or_insert(0) += 1;
        }
        let more = MOST_HOSTNAMES.saturating_sub(has.len());
        Self { has, taken, more }
    }

    fn has(&self, hostname: &Hostname) -> bool {
        self.has.contains(hostname)
    }

    fn take(&mut self, hostname: &Hostname, grant: &Grant) -> Result<(), Refusal> {
        if self.has(hostname) {
            return Ok(());
        }
        let taken = self.taken.entry(grant.name.clone()).or_insert(0);
        if let Some(limit) = grant.max_hostnames
            && *taken >= limit as usize
        {
            return Err(too_many_hostnames(hostname, &grant.name, limit));
        }
        if self.more == 0 {
            return Err(most_hostnames(hostname));
        }
        self.more -= 1;
        *taken += 1;
        Ok(())
    }
}

fn too_many_gateways(limit: u32) -> Refusal {
    Refusal::new(
        Code::TooManyGateways,
        format!(
            "the broker grants {limit} Gateways to this cluster, and there are as many; delete one of them, or ask whoever runs the broker to raise maxGateways of a grant"
        ),
    )
}

fn too_many_hostnames(hostname: &Hostname, grant: &GrantName, limit: u32) -> Refusal {
    Refusal::new(
        Code::TooManyHostnames,
        format!(
            "hostname {hostname}: the broker's grant {grant} is for {limit} hostnames of this cluster, and there are as many; remove one of them, or ask whoever runs the broker to raise maxHostnames"
        ),
    )
}

fn most_hostnames(hostname: &Hostname) -> Refusal {
    Refusal::new(
        Code::TooManyHostnames,
        format!(
            "hostname {hostname}: a broker takes {MOST_HOSTNAMES} hostnames of one cluster, and there are as many; remove one of them"
        ),
    )
}

fn no_zone(hostname: &Hostname) -> Refusal {
    Refusal::new(
        Code::NotFound,
        format!("hostname {hostname}: no zone of the granted accounts covers it"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::grant::Clusters;
    use super::*;
    use crate::names::{AccountId, AllowedHostnames, HostnamePatterns};

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn names(texts: &[&str]) -> BTreeSet<Hostname> {
        texts.iter().map(|text| name(text)).collect()
    }

    fn tenant(text: &str) -> TenantName {
        TenantName::parse(text).unwrap()
    }

    fn cluster(text: &str) -> ClusterName {
        ClusterName::parse(text).unwrap()
    }

    fn grant(text: &str, hostnames: &[&str]) -> Grant {
        Grant {
            name: GrantName::parse(text).unwrap(),
            tenant: tenant("acme"),
            clusters: Clusters::All,
            hostnames: AllowedHostnames::listed(hostnames.iter().map(|text| name(text))),
            except: HostnamePatterns::default(),
            account: None,
            max_hostnames: None,
            max_gateways: Some(2),
            certificates: false,
            expires: None,
        }
    }

    fn account(text: &str, zone: &str) -> Account {
        Account {
            name: AccountName::parse(text).unwrap(),
            tenant: tenant("acme"),
            cloudflare: AccountId::new(text),
            shared: false,
            zones: Some([zone.to_owned()].into()),
        }
    }

    fn claim(text: &str, by: (&str, &str)) -> Claim {
        Claim {
            hostname: name(text),
            tenant: tenant(by.0),
            cluster: cluster(by.1),
        }
    }

    /// A cluster with what it was given, and what is to be seen of others.
    struct Given {
        tenant: TenantName,
        cluster: ClusterName,
        grants: Vec<Grant>,
        accounts: Vec<Account>,
        claims: Vec<Claim>,
        others: BTreeSet<ObjectKey>,
        has: BTreeSet<AccountName>,
        keeps: bool,
    }

    impl Given {
        fn new() -> Self {
            Self {
                tenant: tenant("acme"),
                cluster: cluster("east"),
                grants: vec![grant("one", &["*.example.com", "*.example.org"])],
                accounts: vec![account("com", "example.com"), account("org", "example.org")],
                claims: Vec::new(),
                others: BTreeSet::new(),
                has: BTreeSet::new(),
                keeps: false,
            }
        }

        fn settle(&self, wanted: &[&str], is_new: bool) -> Result<Settled, Refusal> {
            let seen = Seen {
                tenant: &self.tenant,
                cluster: &self.cluster,
                now: Timestamp(0),
                grants: &self.grants,
                accounts_of_tenant: &self.accounts,
                claims: &self.claims,
                others: &self.others,
                accounts: &self.has,
                keeps: self.keeps,
            };
            seen.settle(&names(wanted), is_new)
        }

        fn codes(&self, wanted: &[&str]) -> Vec<(String, Option<Code>)> {
            let settled = self.settle(wanted, false).unwrap();
            let code = |name: &Hostname| settled.refused.get(name).map(|it| it.code);
            let wanted = names(wanted).into_iter();
            wanted.map(|name| (name.to_string(), code(&name))).collect()
        }
    }

    #[test]
    fn one_hostname_that_is_refused_takes_nothing_from_the_others() {
        let mut given = Given::new();
        given.claims = vec![
            claim("taken.example.com", ("other", "north")),
            claim("west.example.com", ("acme", "west")),
            claim("own.example.com", ("acme", "east")),
        ];
        let expected = [
            ("a.example.com", None),
            ("a.example.net", Some(Code::HostnameNotGranted)),
            ("a.example.org", None),
            ("own.example.com", None),
            ("taken.example.com", Some(Code::HostnameTaken)),
            ("west.example.com", Some(Code::HostnameTaken)),
        ];
        let wanted = expected.map(|(name, _)| name);
        let expected = expected.map(|(name, code)| (name.to_owned(), code));
        assert_eq!(given.codes(&wanted), expected);
    }

    #[test]
    fn a_name_without_a_zone_is_refused_as_that() {
        let mut given = Given::new();
        given.grants.push(grant("two", &["*.example.net"]));
        let expected = [("a.example.net".to_owned(), Some(Code::NotFound))];
        assert_eq!(given.codes(&["a.example.net"]), expected);
    }

    #[test]
    fn a_gateway_is_in_each_account_that_a_name_of_it_is_in() {
        let (com, org) = ("a.example.com", "a.example.org");
        for (has, wanted, keeps, expected) in [
            (vec![], vec![com, org], false, vec![("com", 1), ("org", 1)]),
            (
                vec!["org"],
                vec![com, org],
                false,
                vec![("com", 1), ("org", 1)],
            ),
            (vec!["org"], vec![com], false, vec![("com", 1)]),
            (vec!["org"], vec![com], true, vec![("com", 1), ("org", 0)]),
            (vec!["org"], vec![], false, vec![("org", 0)]),
            (vec!["com", "org"], vec![], false, vec![("com", 0)]),
            (
                vec!["com", "org"],
                vec![],
                true,
                vec![("com", 0), ("org", 0)],
            ),
            (vec!["org"], vec!["a.example.net"], false, vec![("org", 0)]),
            (vec![], vec![], false, vec![]),
        ] {
            let mut given = Given::new();
            let account = |text: &&str| AccountName::parse(text).unwrap();
            given.has = has.iter().map(account).collect();
            given.keeps = keeps;
            let settled = given.settle(&wanted, false).unwrap();
            let parts = settled.parts.iter();
            let found: Vec<_> = parts
                .map(|(it, names)| (it.as_str(), names.len()))
                .collect();
            assert_eq!(found, expected, "{has:?} {wanted:?} {keeps}");
        }
        let mut given = Given::new();
        // Granted, and another cluster's.
        given.claims = vec![claim(com, ("acme", "west"))];
        let settled = given.settle(&[com], true).unwrap();
        assert!(settled.parts.keys().map(AccountName::as_str).eq(["com"]));
        given.accounts.pop();
        let settled = given.settle(&[], true).unwrap();
        let found = settled.parts.keys().map(AccountName::as_str);
        assert!(found.eq(["com"]), "there is no other one");
    }

    #[test]
    fn a_new_name_never_takes_the_place_of_one_that_is_there() {
        let mut given = Given::new();
        given.grants[0].max_hostnames = Some(2);
        given.claims = vec![claim("z.example.com", ("acme", "east"))];
        let expected = [
            ("a.example.com".to_owned(), None),
            ("b.example.com".to_owned(), Some(Code::TooManyHostnames)),
            ("z.example.com".to_owned(), None),
        ];
        let wanted = ["a.example.com", "b.example.com", "z.example.com"];
        assert_eq!(given.codes(&wanted), expected);
        // Names of another Gateway of the cluster count as well.
        given.claims.push(claim("y.example.com", ("acme", "east")));
        let expected = [("a.example.com".to_owned(), Some(Code::TooManyHostnames))];
        assert_eq!(given.codes(&["a.example.com"]), expected);
    }

    #[test]
    fn a_cluster_has_so_many_hostnames_whatever_it_was_granted() {
        let mut given = Given::new();
        let had = (1..MOST_HOSTNAMES).map(|number| format!("n{number}.example.com"));
        given.claims = had.map(|name| claim(&name, ("acme", "east"))).collect();
        let expected = [
            ("a.example.com".to_owned(), None),
            ("b.example.com".to_owned(), Some(Code::TooManyHostnames)),
            ("n1.example.com".to_owned(), None),
        ];
        let wanted = ["a.example.com", "b.example.com", "n1.example.com"];
        assert_eq!(given.codes(&wanted), expected);
    }

    #[test]
    fn a_gateway_more_than_is_granted_gets_nothing_and_those_that_are_there_stay() {
        let mut given = Given::new();
        for (others, is_new, is_refused) in [(1, true, false), (2, true, true), (3, false, false)] {
            given.others = (0..others)
                .map(|index| ObjectKey::new("default", format!("other-{index}")))
                .collect();
            let found = given.settle(&["a.example.com"], is_new);
            let code = found.err().map(|refusal| refusal.code);
            assert_eq!(
                code,
                is_refused.then_some(Code::TooManyGateways),
                "{others} {is_new}"
            );
        }
    }
}
