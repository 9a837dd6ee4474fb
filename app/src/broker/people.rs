//! People who sign in with a password, as whoever has the store makes them.

use std::fmt::Write as _;
use std::path::Path;

use adapter_broker::people::password;
use anyhow::Context;
use domain::broker::ports::{Purpose, Seal, Whom};
use domain::broker::role::{Person, Rights, Role};
use domain::broker::{PersonName, TenantName};
use secrecy::SecretString;

use super::commands::ACTOR;
use super::{Parts, event};
use crate::system::SystemEntropy;

/// Makes a person who signs in with a password, or gives another one and other codes to one. The address that an authenticator
/// reads the codes from, which is told once.
pub async fn put_person(
    parts: &Parts,
    person: &str,
    roles: &[Role],
    tenant: Option<&str>,
    password_file: &Path,
) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(password_file)
        .with_context(|| format!("cannot read {}", password_file.display()))?;
    let entropy = SystemEntropy::default();
    let password = SecretString::from(text.trim_end_matches(['\r', '\n']));
    let hash = password::hash(&password, &entropy)?;
    let name = PersonName::parse(person)?;
    let codes = password::new_codes(&entropy);
    let sealed = parts.envelopes.seal(Purpose::OneTimeCodes(&name), &codes);
    let sealed = sealed.await?;
    let address = password::address(&name, &codes).context("codes cannot be made")?;
    let person = Person {
        name,
        rights: Rights {
            roles: roles.iter().copied().collect(),
            tenant: tenant.map(TenantName::parse).transpose()?,
        },
    };
    let put = event(ACTOR, "person.put", person.name.as_str());
    parts.store.put_person(&person, hash, sealed, put).await?;
    Ok(address)
}

/// Signs a person out and removes them.
pub async fn remove_person(parts: &Parts, person: &str) -> anyhow::Result<()> {
    let name = PersonName::parse(person)?;
    let removed = event(ACTOR, "person.remove", person);
    Ok(parts.store.remove_person(&name, removed).await?)
}

/// Ends every session of somebody: of a person with a password, or where `issuer` is said of a provider's subject. How many there
/// were.
pub async fn sign_out(parts: &Parts, whom: &str, issuer: Option<&str>) -> anyhow::Result<u64> {
    let whom = match issuer {
        Some(issuer) => Whom::Vouched {
            issuer: issuer.to_owned(),
            id: whom.to_owned(),
        },
        None => Whom::Person(PersonName::parse(whom)?),
    };
    let ended = event(ACTOR, "person.sign-out", &whom.to_string());
    Ok(parts.store.sign_out_everywhere(&whom, ended).await?)
}

/// All people who have a password, as a table.
pub async fn people(parts: &Parts) -> anyhow::Result<String> {
    let mut text = format!("{:<24} {:<16} {}\n", "PERSON", "TENANT", "ROLES");
    for person in parts.store.people().await? {
        let tenant = person.rights.tenant.as_ref();
        let tenant = tenant.map_or("all", TenantName::as_str);
        let roles: Vec<_> = person
            .rights
            .roles
            .iter()
            .map(|role| role.as_str())
            .collect();
        writeln!(
            text,
            "{:<24} {tenant:<16} {}",
            person.name.as_str(),
            roles.join(",")
        )?;
    }
    Ok(text)
}
