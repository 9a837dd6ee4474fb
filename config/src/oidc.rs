//! Identity providers by whose tokens people sign in at a broker.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use figment::value::Value;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as Read, Serialize};

use crate::values::{BaseUrl, Label, Period, RoleName};

/// Providers, rules of one, claims of a rule and scopes, at most.
const MOST: [(&str, usize); 4] = [
    ("providers", 16),
    ("rules", 500),
    ("when", 16),
    ("scopes", 16),
];

/// Characters of an audience, a client, a scope, a claim or its text, at most.
const LONGEST_TEXT: usize = 512;

/// Hours that somebody stays signed in, at most.
const LONGEST_SIGN_IN: u64 = 8;

/// All providers; a single one may stand without a list. As text it is the same in YAML.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct OidcProviders(Vec<OidcProvider>);

/// Somebody who vouches for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Read)]
#[serde(deny_unknown_fields)]
pub struct OidcProvider {
    /// What it is called here.
    pub name: Label,
    /// Letter by letter as in its tokens.
    pub issuer: BaseUrl,
    /// The public client as which people at a terminal sign in.
    pub client_id: Option<String>,
    /// Whom its tokens must be for.
    pub audience: Option<String>,
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// What people are shown by, besides the subject.
    pub name_claim: Option<String>,
    /// How long somebody stays signed in.
    #[serde(default = "lasts")]
    pub lasts: Period,
    /// Certificate authorities of the provider, besides those of the system.
    pub ca_file: Option<PathBuf>,
    pub rules: Vec<OidcRule>,
}

/// Gives roles to whoever has all of these claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Read)]
#[serde(deny_unknown_fields)]
pub struct OidcRule {
    /// Claims, each with the text that it must be or have.
    pub when: BTreeMap<String, String>,
    pub roles: Vec<RoleName>,
    /// Absent: in all tenants.
    pub tenant: Option<Label>,
}

fn scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).into()
}

fn lasts() -> Period {
    Period::seconds(LONGEST_SIGN_IN * 3600)
}

impl OidcProviders {
    /// Each of them.
    pub fn all(&self) -> &[OidcProvider] {
        &self.0
    }

    /// What is wrong with them, and what would be right.
    pub(crate) fn problem(&self) -> Option<String> {
        let (mut names, mut tokens) = (BTreeSet::new(), BTreeSet::new());
        for provider in &self.0 {
            let name = &provider.name;
            if let Some(problem) = provider.problem() {
                return Some(format!("provider {name}: {problem}"));
            }
            if !names.insert(name.as_str()) {
                return Some(format!("two providers are called {name}; rename one"));
            }
            if !tokens.insert((provider.issuer.as_str(), provider.audience())) {
                return Some(format!(
                    "provider {name}: another one has the same issuer and audience; put the rules of both into one"
                ));
            }
        }
        too_many("providers", self.0.len())
    }
}

impl OidcProvider {
    /// Whom its tokens must be for: the client, unless something else is said.
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref().or(self.client_id.as_deref())
    }

    fn problem(&self) -> Option<String> {
        let texts = [
            ("client_id", self.client_id.as_deref()),
            ("audience", self.audience.as_deref()),
            ("name_claim", self.name_claim.as_deref()),
        ];
        let scopes = self
            .scopes
            .iter()
            .map(|scope| ("scopes", Some(scope.as_str())));
        for (key, text) in texts.into_iter().chain(scopes) {
            if text.is_some_and(|text| !is_text(text)) {
                return Some(must_be_text(key));
            }
        }
        if self.audience().is_none() {
            return Some(
                "client_id: Required value: set it if people sign in at a terminal, or set audience for programs that have a token".to_owned(),
            );
        }
        if self.client_id.is_some() && !self.scopes.iter().any(|scope| scope == "openid") {
            return Some("scopes: Invalid value: must have openid, without which there is no ID token; add it".to_owned());
        }
        if self.lasts.get().as_secs() > LONGEST_SIGN_IN * 3600 {
            return Some(format!(
                "lasts: Invalid value: {}: must be at most {LONGEST_SIGN_IN}h; shorten it",
                self.lasts
            ));
        }
        if self.ca_file.as_ref().is_some_and(|file| !file.is_file()) {
            return Some("ca_file: Invalid value: is not a file; name one that exists".to_owned());
        }
        let counts = [("rules", self.rules.len()), ("scopes", self.scopes.len())];
        let counted = counts
            .into_iter()
            .find_map(|(key, count)| too_many(key, count));
        let mut rules = self.rules.iter().enumerate();
        counted.or_else(|| {
            rules.find_map(|(index, rule)| Some(format!("rules[{index}].{}", rule.problem()?)))
        })
    }
}

impl OidcRule {
    fn problem(&self) -> Option<String> {
        if self.when.is_empty() {
            return Some("when: Required value: name a claim with its text; a rule without one would be for everybody".to_owned());
        }
        if self.roles.is_empty() {
            return Some("roles: Required value: name the roles that it gives".to_owned());
        }
        let mut texts = self.when.iter().flat_map(|(claim, text)| [claim, text]);
        match texts.all(|text| is_text(text)) {
            true => too_many("when", self.when.len()),
            false => Some(must_be_text("when")),
        }
    }
}

fn is_text(text: &str) -> bool {
    (1..=LONGEST_TEXT).contains(&text.len()) && !text.contains(char::is_control)
}

fn must_be_text(key: &str) -> String {
    format!(
        "{key}: Invalid value: must have 1 to {LONGEST_TEXT} characters; write it as the provider has it"
    )
}

fn too_many(key: &str, count: usize) -> Option<String> {
    let most = MOST
        .into_iter()
        .find(|(of, _)| *of == key)
        .map_or(0, |(_, most)| most);
    (count > most)
        .then(|| format!("{key}: Too many: {count}: must have at most {most} items; remove some"))
}

struct ListOrOne;

impl<'de> Visitor<'de> for ListOrOne {
    type Value = OidcProviders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of identity providers, each with name, issuer and rules")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OidcProviders, A::Error> {
        let mut providers = Vec::new();
        while let Some(provider) = items.next_element()? {
            providers.push(provider);
        }
        Ok(OidcProviders(providers))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OidcProviders, A::Error> {
        let one = OidcProvider::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(OidcProviders(vec![one]))
    }

    /// As the environment has it.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<OidcProviders, E> {
        let value: Value = serde_saphyr::from_str(text).map_err(E::custom)?;
        match value {
            Value::Array(..) | Value::Dict(..) => value.deserialize().map_err(E::custom),
            _ => Err(E::invalid_type(de::Unexpected::Str(text), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for OidcProviders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListOrOne)
    }
}
