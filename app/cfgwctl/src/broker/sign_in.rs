//! Signing in: with a password and a one-time code, with an identity provider, or by a token that a program has.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use adapter_broker::people::client::PeopleClient;
use adapter_broker::people::oidc::ProviderClient;
use adapter_broker::people::oidc::device::{Client, DeviceError, Prompt};
use adapter_broker::wire::oidc::{ProviderDocument, TokenSignInDocument};
use adapter_broker::wire::people::{SignInDocument, SignedInDocument};
use domain::broker::TenantName;
use secrecy::{ExposeSecret, SecretString};

use super::cli::SignIn;
use super::read_line_of;
use super::session::{Session, client, roots};
use crate::failure::Failure;
use crate::screen::Screen;

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::new(error, "")
    }
}

/// Signs in, in the way that was asked for.
///
/// # Errors
/// Nobody is signed in.
pub(super) async fn sign_in(asked: SignIn, screen: &mut Screen<'_>) -> Result<Session, Failure> {
    let client = client(&asked.url, asked.ca_file.as_deref(), None)?;
    let signed_in: SignedInDocument = match (&asked.token_file, asked.oidc) {
        (Some(file), _) => {
            client
                .post("sessions/oidc", Some(&by_file(&asked, file)?))
                .await?
        }
        (None, true) => {
            let shown = by_provider(&asked, &client, screen).await?;
            client.post("sessions/oidc", Some(&shown)).await?
        }
        (None, false) => client.post("sessions", Some(&by_password(&asked)?)).await?,
    };
    Ok(Session {
        url: asked.url,
        ca_file: asked.ca_file,
        token: signed_in.token,
    })
}

fn by_password(asked: &SignIn) -> Result<SignInDocument, Failure> {
    let password = match &asked.password_file {
        Some(file) => read_line_of(file)?,
        None => prompted("Password: ", rpassword::read_password)?,
    };
    let code = match &asked.code {
        Some(code) => code.clone(),
        None => prompted("One-time code: ", || {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            Ok(line.trim().to_owned())
        })?,
    };
    let name = asked.name.clone().unwrap_or_default();
    Ok(SignInDocument {
        name,
        password,
        code,
    })
}

fn by_file(asked: &SignIn, file: &Path) -> Result<TokenSignInDocument, Failure> {
    let token = SecretString::from(read_line_of(file)?);
    shown(asked, &token)
}

async fn by_provider(
    asked: &SignIn,
    broker: &PeopleClient,
    screen: &mut Screen<'_>,
) -> Result<TokenSignInDocument, Failure> {
    let known: Vec<ProviderDocument> = broker.list("identity-providers").await?;
    let (provider, id) = chosen(known, asked.provider.as_deref())?;
    let secret = asked
        .client_secret_file
        .as_deref()
        .map(read_line_of)
        .transpose()?;
    let client = Client {
        id,
        secret: secret.map(SecretString::from),
        scopes: provider.scopes,
    };
    let roots = roots(asked.ca_file.as_deref())?;
    let asks = ProviderClient::new(&provider.issuer, &roots).map_err(DeviceError::from)?;
    let tell = |prompt: &Prompt| {
        let Prompt {
            page,
            code,
            page_with_code,
        } = prompt;
        screen.line(format_args!(
            "Open {page} in a browser and enter the code {code}"
        ));
        if let Some(page) = page_with_code {
            screen.line(format_args!("or open {page}"));
        }
    };
    let token = asks.id_token(&client, tell).await?;
    shown(asked, &token)
}

/// The provider that is named, or the only one that people at a terminal sign in with, and as which client they do.
fn chosen(
    known: Vec<ProviderDocument>,
    named: Option<&str>,
) -> Result<(ProviderDocument, String), Failure> {
    let for_people = |mut one: ProviderDocument| Some((one.client_id.take()?, one));
    let mut able: Vec<_> = known.into_iter().filter_map(for_people).collect();
    let names: Vec<&str> = able.iter().map(|(_, one)| one.name.as_str()).collect();
    let names = names.join(", ");
    able.retain(|(_, one)| named.is_none_or(|named| one.name.as_str() == named));
    match (able.pop(), able.is_empty()) {
        (Some((client, provider)), true) => Ok((provider, client)),
        (None, _) if names.is_empty() => Err(Failure::new(
            "the broker knows no identity provider that people at a terminal sign in with",
            "sign in with --name",
        )),
        (None, _) => Err(Failure::new(
            "the broker knows no identity provider of that name",
            format!("name one of them with --provider: {names}"),
        )),
        (Some(_), false) => Err(Failure::new(
            "the broker knows several identity providers",
            format!("name one of them with --provider: {names}"),
        )),
    }
}

fn shown(asked: &SignIn, token: &SecretString) -> Result<TokenSignInDocument, Failure> {
    let tenant = asked.tenant.as_deref().map(TenantName::parse).transpose();
    Ok(TokenSignInDocument {
        token: token.expose_secret().to_owned(),
        tenant: tenant.map_err(|error| Failure::usage(error, ""))?,
    })
}

/// What somebody types at a terminal.
fn prompted(prompt: &str, read: impl FnOnce() -> io::Result<String>) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        let remedy = "give --password-file and --code, or run it at a terminal";
        return Err(Failure::new("nobody can be asked", remedy));
    }
    eprint!("{prompt}");
    drop(io::stderr().flush());
    read().map_err(|error| Failure::new(error, ""))
}

#[cfg(test)]
mod tests {
    use domain::broker::ProviderName;

    use super::*;

    #[test]
    fn the_provider_is_the_named_one_or_the_only_one_for_people() {
        let provider = |name: &str, client: Option<&str>| ProviderDocument {
            name: ProviderName::parse(name).unwrap(),
            issuer: "https://login.example.com".to_owned(),
            audience: "broker".to_owned(),
            client_id: client.map(str::to_owned),
            scopes: Vec::new(),
        };
        let (work, home) = (provider("work", Some("one")), provider("home", Some("two")));
        let ci = provider("ci", None);
        for (known, named, expected) in [
            (vec![&work, &ci], None, Some("one")),
            (vec![&work, &home], Some("home"), Some("two")),
            (vec![&work, &home], None, None),
            (vec![&work, &ci], Some("ci"), None),
            (vec![&ci], None, None),
            (vec![], None, None),
        ] {
            let found = chosen(known.iter().copied().cloned().collect(), named);
            let found = found.ok().map(|(_, client)| client);
            assert_eq!(found.as_deref(), expected, "{known:?} {named:?}");
        }
    }
}
