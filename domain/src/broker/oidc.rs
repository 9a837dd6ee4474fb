//! People and programs whom somebody else vouches for by a signed token (OpenID Connect Core 1.0): which tokens count, and which
//! rights they give. Nothing in a token gives a right but what a rule names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::names::{ProviderName, TenantName};
use super::refusal::{Code, Refusal};
use super::role::{Person, Rights, Role};
use crate::names::Timestamp;

/// How far the clocks of provider and broker may be apart.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// For how long a token may be valid. What it was used for is remembered for as long.
pub const LONGEST_VALIDITY: Duration = Duration::from_secs(24 * 3600);

/// Characters of a subject, at most (OpenID Connect Core 1.0, section 2).
pub const LONGEST_SUBJECT: usize = 255;

/// Characters of a name that is shown, at most.
pub const LONGEST_NAME: usize = 128;

/// Who vouches, and what that gives here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    pub name: ProviderName,
    /// Its URL, letter by letter as its tokens have it (`iss`).
    pub issuer: String,
    /// Whom a token must be for (`aud`).
    pub audience: String,
    /// The client that a token may be given to (`azp`); people at a terminal sign in as it.
    pub client: Option<String>,
    /// The claim that somebody is shown by, besides the subject.
    pub name_claim: Option<ClaimPath>,
    pub rules: Vec<Rule>,
    /// How long somebody stays signed in.
    pub lasts: Duration,
}

/// Gives roles to whoever has all of these claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// A claim is that text, or a list with it.
    pub when: BTreeMap<ClaimPath, String>,
    pub roles: BTreeSet<Role>,
    /// In that tenant; `None` for all of them.
    pub tenant: Option<TenantName>,
}

/// Where a claim is in a token: its name, or a path to it if it begins with `/` (JSON Pointer, RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// Reads a name, such as `groups` or `https://example.com/groups`, or a path, such as `/realm_access/roles`. `None` for a
    /// path with an empty name.
    pub fn parse(text: &str) -> Option<Self> {
        let names: Vec<String> = match text.strip_prefix('/') {
            None => vec![text.to_owned()],
            Some(path) => {
                let name = |name: &str| name.replace("~1", "/").replace("~0", "~");
                path.split('/').map(name).collect()
            }
        };
        names
            .iter()
            .all(|name| !name.is_empty())
            .then_some(Self(names))
    }

    /// The names on the way to the claim.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Providers let people write whatever address they like, and say in another claim whether they looked at it.
    fn is_email(&self) -> bool {
        self.0 == ["email"]
    }
}

/// What a token says whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub issuer: String,
    pub subject: String,
    pub audience: BTreeSet<String>,
    /// `azp`: the client that it was given to.
    pub authorized_party: Option<String>,
    pub issued: Timestamp,
    pub expires: Timestamp,
    pub not_before: Option<Timestamp>,
    pub nonce: Option<String>,
    pub email_verified: bool,
    /// The texts at [`Provider::paths`], where there are any.
    pub texts: BTreeMap<ClaimPath, BTreeSet<String>>,
}

/// Why a token does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    #[error("the token is of another issuer")]
    OtherIssuer,
    #[error(
        "the token is not for {0}, or for others too; ask the provider for one with that audience alone"
    )]
    OtherAudience(String),
    #[error("the token was given to another client")]
    OtherClient,
    #[error("the token is over; ask the provider for another one")]
    Expired,
    #[error(
        "the token is of a later time; the clocks of provider and broker must not be more than 60 s apart"
    )]
    NotYet,
    #[error(
        "the token is valid for more than 24 hours; ask the provider for one that is valid for less"
    )]
    TooLong,
    #[error("the token belongs to another sign-in: its nonce is not the one that was asked for")]
    OtherNonce,
    #[error("the token has a subject that is not 1 to 255 characters of ASCII")]
    Subject,
}

impl From<ClaimsError> for Refusal {
    fn from(error: ClaimsError) -> Self {
        Self::new(Code::SignInRefused, error.to_string())
    }
}

/// The refusal of a token that somebody signed in by already.
pub fn used() -> Refusal {
    Refusal::new(
        Code::SignInRefused,
        "the token was used already, and is good once; ask the provider for another one",
    )
}

/// Somebody, as a provider knows them. The name is what people read; issuer and id together are nobody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub issuer: String,
    pub id: String,
    pub name: Option<String>,
}

/// No name of a person of the broker has blanks, so nobody else is shown like this.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, id, name } = self;
        match name {
            Some(name) => write!(f, "{name} ({issuer} {id})"),
            None => write!(f, "({issuer} {id})"),
        }
    }
}

/// Stands for the settings of a provider. Other settings have other terms, and what somebody was signed in by under others is over.
pub type Terms = [u8; 32];

/// Somebody who is signed in because a provider vouched for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    pub subject: Subject,
    pub rights: Rights,
    pub terms: Terms,
}

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedIn {
    Person(Person),
    Vouched(Vouched),
}

impl SignedIn {
    /// What they may do.
    pub fn rights(&self) -> &Rights {
        match self {
            Self::Person(person) => &person.rights,
            Self::Vouched(vouched) => &vouched.rights,
        }
    }
}

impl fmt::Display for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(person) => person.name.fmt(f),
            Self::Vouched(vouched) => vouched.subject.fmt(f),
        }
    }
}

impl Provider {
    /// The claims that decide anything.
    pub fn paths(&self) -> BTreeSet<&ClaimPath> {
        let rules = self.rules.iter().flat_map(|rule| rule.when.keys());
        rules.chain(&self.name_claim).collect()
    }

    /// Who it is that a token vouches for. `nonce` is what this sign-in asked for, if it asked for one: a token that was given out
    /// for a sign-in in a browser is good for nothing else.
    pub fn identify(
        &self,
        claims: &Claims,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<Subject, ClaimsError> {
        if claims.issuer != self.issuer {
            return Err(ClaimsError::OtherIssuer);
        }
        self.check_audience(claims)?;
        check_times(claims, now, LONGEST_VALIDITY)?;
        if claims.nonce.as_deref() != nonce {
            return Err(ClaimsError::OtherNonce);
        }
        let id = &claims.subject;
        let is_subject = (1..=LONGEST_SUBJECT).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if !is_subject {
            return Err(ClaimsError::Subject);
        }
        let name = self.name_claim.as_ref();
        let mut name = name.and_then(|path| claims.at(path)).into_iter().flatten();
        Ok(Subject {
            issuer: self.issuer.clone(),
            id: id.clone(),
            name: name.next().filter(|name| is_shown(name)).cloned(),
        })
    }

    /// A token for several is good for one of them only if it names the client, so that none of the others can use it here
    /// (OpenID Connect Core 1.0, section 3.1.3.7).
    fn check_audience(&self, claims: &Claims) -> Result<(), ClaimsError> {
        let is_alone = claims.audience.len() == 1 || claims.authorized_party.is_some();
        if !claims.audience.contains(&self.audience) || !is_alone {
            return Err(ClaimsError::OtherAudience(self.audience.clone()));
        }
        match &claims.authorized_party {
            Some(party) if Some(party) != self.client.as_ref() => Err(ClaimsError::OtherClient),
            _ => Ok(()),
        }
    }

    /// What the rules give, in all tenants or in one. Where they give roles in several tenants and in none of them all,
    /// `tenant` has to say in which.
    pub fn rights(&self, claims: &Claims, tenant: Option<&TenantName>) -> Result<Rights, Refusal> {
        let mut given: BTreeMap<Option<&TenantName>, BTreeSet<Role>> = BTreeMap::new();
        for rule in self.rules.iter().filter(|rule| rule.is_for(claims)) {
            let roles = given.entry(rule.tenant.as_ref()).or_default();
            roles.extend(&rule.roles);
        }
        let of = |tenant| given.get(&tenant).cloned().unwrap_or_default();
        let mut tenants = given.keys().flatten();
        let (tenant, roles) = match (tenant, tenants.next(), tenants.next()) {
            (Some(tenant), ..) => (Some(tenant), &of(None) | &of(Some(tenant))),
            (None, ..) if given.contains_key(&None) => (None, of(None)),
            (None, Some(only), None) => (Some(*only), of(Some(only))),
            (None, None, _) => (None, BTreeSet::new()),
            (None, Some(_), Some(_)) => {
                let names = given.keys().flatten().map(|name| name.as_str());
                let names: Vec<&str> = names.collect();
                let detail = format!(
                    "tenant: Required value: you have roles in {}; say in which of them",
                    names.join(", ")
                );
                return Err(Refusal::new(Code::Invalid, detail));
            }
        };
        if roles.is_empty() {
            return Err(self.no_role(tenant));
        }
        let tenant = tenant.cloned();
        Ok(Rights { roles, tenant })
    }

    fn no_role(&self, tenant: Option<&TenantName>) -> Refusal {
        let place = tenant.map_or(String::new(), |tenant| format!(" in tenant {tenant}"));
        let detail = format!(
            "the provider {} knows you, and no rule gives you a role here{place}; whoever runs the broker writes rules, in people.oidc",
            self.name
        );
        Refusal::new(Code::Forbidden, detail)
    }
}

/// Why a token does not count now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untimely {
    Expired,
    NotYet,
    TooLong,
}

impl From<Untimely> for ClaimsError {
    fn from(error: Untimely) -> Self {
        match error {
            Untimely::Expired => Self::Expired,
            Untimely::NotYet => Self::NotYet,
            Untimely::TooLong => Self::TooLong,
        }
    }
}

/// Whether a token counts now, and is valid for no longer than that.
pub(super) fn check_times(
    claims: &Claims,
    now: Timestamp,
    longest: Duration,
) -> Result<(), Untimely> {
    if now >= claims.until() {
        return Err(Untimely::Expired);
    }
    let latest = now.0.saturating_add_unsigned(CLOCK_SKEW.as_secs());
    let begins = claims.not_before.unwrap_or(claims.issued);
    if claims.issued.0 > latest || begins.0 > latest {
        return Err(Untimely::NotYet);
    }
    let latest_end = claims.issued.0.saturating_add_unsigned(longest.as_secs());
    match claims.expires.0 > latest_end {
        true => Err(Untimely::TooLong),
        false => Ok(()),
    }
}

/// Names are one word of ASCII without brackets, so that none looks like another one with its issuer.
fn is_shown(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_graphic() && !b"()<>\"\\".contains(&b);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits)
}

impl Rule {
    fn is_for(&self, claims: &Claims) -> bool {
        let mut when = self.when.iter();
        // A rule without a claim would be for everybody.
        !self.when.is_empty()
            && when.all(|(path, text)| claims.at(path).is_some_and(|texts| texts.contains(text)))
    }
}

impl Claims {
    /// Until when a token could be used, by the clock of the broker.
    pub fn until(&self) -> Timestamp {
        Timestamp(self.expires.0.saturating_add_unsigned(CLOCK_SKEW.as_secs()))
    }

    /// The texts of a claim that counts.
    fn at(&self, path: &ClaimPath) -> Option<&BTreeSet<String>> {
        let counts = !path.is_email() || self.email_verified;
        self.texts.get(path).filter(|_| counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn path(text: &str) -> ClaimPath {
        ClaimPath::parse(text).unwrap()
    }

    fn tenant(name: &str) -> TenantName {
        TenantName::parse(name).unwrap()
    }

    fn rule(when: &[(&str, &str)], role: Role, of: Option<&str>) -> Rule {
        let when = when.iter().map(|(at, text)| (path(at), (*text).to_owned()));
        Rule {
            when: when.collect(),
            roles: [role].into(),
            tenant: of.map(tenant),
        }
    }

    fn provider() -> Provider {
        Provider {
            name: ProviderName::parse("work").unwrap(),
            issuer: "https://login.example.com".to_owned(),
            audience: "broker".to_owned(),
            client: Some("cfgwctl".to_owned()),
            name_claim: Some(path("email")),
            rules: vec![
                rule(&[("groups", "platform")], Role::Operator, None),
                rule(&[("groups", "look")], Role::Viewer, None),
                rule(&[("groups", "acme")], Role::Operator, Some("acme")),
                rule(&[("groups", "beta")], Role::Viewer, Some("beta")),
                rule(&[("email", "ada@example.com")], Role::Auditor, None),
                rule(
                    &[("repository", "acme/site"), ("/deep/ref", "main")],
                    Role::CredentialAdmin,
                    Some("acme"),
                ),
                rule(&[], Role::Auditor, None),
            ],
            lasts: Duration::from_secs(3600),
        }
    }

    fn claims(texts: &[(&str, &str)]) -> Claims {
        let mut all: BTreeMap<ClaimPath, BTreeSet<String>> = BTreeMap::new();
        for (at, text) in texts {
            all.entry(path(at)).or_default().insert((*text).to_owned());
        }
        Claims {
            issuer: "https://login.example.com".to_owned(),
            subject: "1234".to_owned(),
            audience: ["broker".to_owned()].into(),
            authorized_party: None,
            issued: NOW,
            expires: Timestamp(NOW.0 + 300),
            not_before: None,
            nonce: None,
            email_verified: true,
            texts: all,
        }
    }

    type Change = fn(&mut Claims);

    #[test]
    fn a_token_counts_for_whom_it_was_made_in_its_time_and_for_nobody_else() {
        use ClaimsError::*;
        let other_audience = Err(OtherAudience("broker".to_owned()));
        let cases: [(Change, Result<(), ClaimsError>); 22] = [
            (|_| (), Ok(())),
            (|it| it.issuer.push('/'), Err(OtherIssuer)),
            (
                |it| it.audience = ["other".into()].into(),
                other_audience.clone(),
            ),
            (|it| it.audience.clear(), other_audience.clone()),
            (|it| _ = it.audience.insert("other".into()), other_audience),
            (
                |it| {
                    it.audience.insert("other".into());
                    it.authorized_party = Some("cfgwctl".into());
                },
                Ok(()),
            ),
            (|it| it.authorized_party = Some("cfgwctl".into()), Ok(())),
            (
                |it| it.authorized_party = Some("other".into()),
                Err(OtherClient),
            ),
            (|it| it.expires.0 = NOW.0 - 59, Ok(())),
            (|it| it.expires.0 = NOW.0 - 60, Err(Expired)),
            (|it| it.expires.0 = i64::MIN, Err(Expired)),
            (|it| it.issued.0 = NOW.0 + 60, Ok(())),
            (|it| it.issued.0 = NOW.0 + 61, Err(NotYet)),
            (|it| it.not_before = Some(Timestamp(NOW.0 + 60)), Ok(())),
            (
                |it| it.not_before = Some(Timestamp(NOW.0 + 61)),
                Err(NotYet),
            ),
            (|it| it.expires.0 = NOW.0 + 24 * 3600, Ok(())),
            (|it| it.expires.0 = NOW.0 + 24 * 3600 + 1, Err(TooLong)),
            (|it| it.expires.0 = i64::MAX, Err(TooLong)),
            (|it| it.nonce = Some("of a browser".into()), Err(OtherNonce)),
            (|it| it.subject.clear(), Err(super::ClaimsError::Subject)),
            (
                |it| it.subject = "a\nb".into(),
                Err(super::ClaimsError::Subject),
            ),
            (
                |it| it.subject = "a".repeat(256),
                Err(super::ClaimsError::Subject),
            ),
        ];
        for (change, expected) in cases {
            let mut claims = claims(&[]);
            change(&mut claims);
            let found = provider().identify(&claims, None, NOW).map(|_| ());
            assert_eq!(found, expected, "{claims:?}");
        }
    }

    #[test]
    fn a_sign_in_that_asked_for_a_nonce_takes_a_token_with_it_alone() {
        let mut claims = claims(&[]);
        for (nonce, good) in [(None, false), (Some("other"), false), (Some("one"), true)] {
            claims.nonce = nonce.map(str::to_owned);
            let found = provider().identify(&claims, Some("one"), NOW);
            assert_eq!(found.is_ok(), good, "{nonce:?}");
        }
    }

    #[test]
    fn somebody_is_shown_by_issuer_and_subject_and_by_a_name_that_was_verified() {
        for (email, verified, shown) in [
            (
                "ada@example.com",
                true,
                "ada@example.com (https://login.example.com 1234)",
            ),
            ("ada@example.com", false, "(https://login.example.com 1234)"),
            (
                "ada (https://other)",
                true,
                "(https://login.example.com 1234)",
            ),
            ("", true, "(https://login.example.com 1234)"),
        ] {
            let mut claims = claims(&[("email", email)]);
            claims.email_verified = verified;
            let subject = provider().identify(&claims, None, NOW).unwrap();
            assert_eq!(subject.to_string(), shown, "{email} {verified}");
        }
    }

    #[test]
    fn rules_give_roles_in_all_tenants_or_in_one_and_nothing_else_does() {
        type Texts<'t> = &'t [(&'t str, &'t str)];
        type Found<'f> = Result<(&'f [Role], Option<&'f str>), Code>;
        let cases: [(Texts<'_>, Option<&str>, Found<'_>); 15] = [
            (&[], None, Err(Code::Forbidden)),
            (&[("groups", "Platform")], None, Err(Code::Forbidden)),
            (&[("roles", "operator")], None, Err(Code::Forbidden)),
            (
                &[("groups", "platform")],
                None,
                Ok((&[Role::Operator], None)),
            ),
            (
                &[("groups", "platform"), ("groups", "look")],
                None,
                Ok((&[Role::Viewer, Role::Operator], None)),
            ),
            (
                &[("groups", "acme")],
                None,
                Ok((&[Role::Operator], Some("acme"))),
            ),
            (
                &[("groups", "acme")],
                Some("acme"),
                Ok((&[Role::Operator], Some("acme"))),
            ),
            (&[("groups", "acme")], Some("beta"), Err(Code::Forbidden)),
            (
                &[("groups", "acme"), ("groups", "beta")],
                None,
                Err(Code::Invalid),
            ),
            (
                &[("groups", "acme"), ("groups", "beta")],
                Some("beta"),
                Ok((&[Role::Viewer], Some("beta"))),
            ),
            (
                &[("groups", "acme"), ("groups", "look")],
                None,
                Ok((&[Role::Viewer], None)),
            ),
            (
                &[("groups", "acme"), ("groups", "look")],
                Some("acme"),
                Ok((&[Role::Viewer, Role::Operator], Some("acme"))),
            ),
            (&[("repository", "acme/site")], None, Err(Code::Forbidden)),
            (
                &[("repository", "acme/site"), ("/deep/ref", "main")],
                None,
                Ok((&[Role::CredentialAdmin], Some("acme"))),
            ),
            (
                &[("email", "ada@example.com")],
                None,
                Ok((&[Role::Auditor], None)),
            ),
        ];
        for (texts, asked, expected) in cases {
            let asked = asked.map(tenant);
            let found = provider().rights(&claims(texts), asked.as_ref());
            let expected = expected.map(|(roles, of)| Rights {
                roles: roles.iter().copied().collect(),
                tenant: of.map(tenant),
            });
            assert_eq!(found.map_err(|it| it.code), expected, "{texts:?} {asked:?}");
        }
    }

    #[test]
    fn an_address_that_the_provider_did_not_verify_gives_nothing() {
        for at in ["email", "/email"] {
            let mut claims = claims(&[(at, "ada@example.com")]);
            claims.email_verified = false;
            let refused = provider().rights(&claims, None).unwrap_err();
            assert_eq!(refused.code, Code::Forbidden, "{at}");
        }
    }

    #[test]
    fn a_claim_is_named_or_pointed_at() {
        for (text, names) in [
            ("groups", Some(vec!["groups"])),
            (
                "https://example.com/groups",
                Some(vec!["https://example.com/groups"]),
            ),
            ("/realm_access/roles", Some(vec!["realm_access", "roles"])),
            ("/a~1b/c~0d", Some(vec!["a/b", "c~d"])),
            ("", None),
            ("/", None),
            ("/a//b", None),
        ] {
            let found = ClaimPath::parse(text);
            let found = found.as_ref().map(|path| path.names().to_vec());
            let names = names.map(|names| names.into_iter().map(str::to_owned).collect());
            assert_eq!(found, names, "{text}");
        }
    }
}
