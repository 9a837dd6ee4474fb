//! Identity providers, as the settings have them.

use adapter_broker::people::oidc::{ProviderClient, Trusted};
use anyhow::Context;
use config::oidc::{OidcProvider, OidcProviders, OidcRule};
use config::values::RoleName;
use domain::broker::oidc::{ClaimPath, Provider, Rule};
use domain::broker::role::Role;
use domain::broker::{ProviderName, TenantName};
use sha2::{Digest as _, Sha256};

use crate::edge::read_pem;

/// Those that people may sign in by.
pub(super) fn trusted(settings: &OidcProviders) -> anyhow::Result<Vec<Trusted>> {
    let one = |settings: &OidcProvider| {
        trust(settings).with_context(|| format!("people.oidc: provider {}", settings.name))
    };
    settings.all().iter().map(one).collect()
}

fn trust(settings: &OidcProvider) -> anyhow::Result<Trusted> {
    let issuer = settings.issuer.as_str();
    let roots = settings.ca_file.as_deref().map(read_pem).transpose()?;
    let roots: Vec<Vec<u8>> = roots.into_iter().collect();
    let rules = settings.rules.iter().map(rule);
    let name_claim = settings.name_claim.as_deref().map(claim);
    let provider = Provider {
        name: ProviderName::parse(settings.name.as_str())?,
        issuer: issuer.to_owned(),
        audience: settings.audience().unwrap_or_default().to_owned(),
        client: settings.client_id.clone(),
        name_claim: name_claim.transpose()?,
        rules: rules.collect::<Result<_, _>>()?,
        lasts: settings.lasts.get(),
    };
    let written = serde_json::to_vec(settings)?;
    Ok(Trusted {
        provider,
        terms: Sha256::digest(&written).into(),
        scopes: settings.scopes.clone(),
        client: ProviderClient::new(issuer, &roots)?,
    })
}

fn rule(settings: &OidcRule) -> anyhow::Result<Rule> {
    let when = settings.when.iter();
    let when = when.map(|(path, text)| anyhow::Ok((claim(path)?, text.clone())));
    let tenant = settings.tenant.as_ref();
    let tenant = tenant.map(|name| TenantName::parse(name.as_str()));
    Ok(Rule {
        when: when.collect::<anyhow::Result<_>>()?,
        roles: settings.roles.iter().copied().map(role).collect(),
        tenant: tenant.transpose()?,
    })
}

fn claim(text: &str) -> anyhow::Result<ClaimPath> {
    ClaimPath::parse(text).with_context(|| {
        format!("{text}: Invalid value: must be the name of a claim, or a path such as /realm_access/roles")
    })
}

fn role(name: RoleName) -> Role {
    match name {
        RoleName::Viewer => Role::Viewer,
        RoleName::Operator => Role::Operator,
        RoleName::CredentialAdmin => Role::CredentialAdmin,
        RoleName::Auditor => Role::Auditor,
    }
}
