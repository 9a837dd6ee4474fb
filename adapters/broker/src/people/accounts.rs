//! Cloudflare accounts and their API tokens, which can be put in and never read.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use domain::AccountId;
use domain::broker::grant::Account;
use domain::broker::ports::StoreError;
use domain::broker::role::Permission::{Credentials, Operate};
use domain::broker::{AccountName, Code, Refusal};
use secrecy::SecretString;

use super::PeoplePlane;
use super::asking::{Asking, Part, not_there};
use crate::problem::Problem;
use crate::server::answer::{failed, malformed, read_document, read_open_document};
use crate::tokens::{By, TokenError};
use crate::wire::people::{AccountDocument, ApiTokenDocument, ListDocument};

type Plane = State<Arc<PeoplePlane>>;

pub(super) async fn list(
    State(plane): Plane,
    asking: Asking,
    part: Part,
) -> Result<Json<ListDocument<AccountDocument>>, Problem> {
    let accounts = plane.store.accounts(asking.rights.tenant.as_ref()).await?;
    // Those that are shared are another tenant's.
    let seen = accounts
        .into_iter()
        .filter(|account| asking.rights.sees(Some(&account.tenant)));
    let page = part.of(seen, |account| account.name.as_str(), Account::clone);
    let mut items = Vec::new();
    for account in &page.items {
        let slots = plane.store.slots(&account.name).await?;
        items.push(AccountDocument::of(account, &slots));
    }
    let next = page.next;
    Ok(Json(ListDocument { items, next }))
}

pub(super) async fn account(
    State(plane): Plane,
    asking: Asking,
    Path(account): Path<String>,
) -> Result<Json<AccountDocument>, Problem> {
    let account = plane.account(&asking, &account).await?;
    let slots = plane.store.slots(&account.name).await?;
    Ok(Json(AccountDocument::of(&account, &slots)))
}

pub(super) async fn put(
    State(plane): Plane,
    asking: Asking,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let name = AccountName::parse(&account).map_err(malformed)?;
    let document: AccountDocument = read_open_document(&headers, body).await?;
    // Which account a tenant has is what whoever runs the broker decides.
    asking.may_to_all(Operate)?;
    if document.name != name {
        let found = &document.name;
        return Err(malformed(format!(
            "name: Invalid value: {found}: must be {name}, as in the path"
        )));
    }
    let account = Account {
        name,
        tenant: document.tenant,
        cloudflare: account_id(&document.cloudflare)?,
        shared: document.shared,
        zones: None,
    };
    let event = plane.event(&asking, "account.put", account.name.as_str());
    plane.store.put_account(&account, event).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn account_id(text: &str) -> Result<AccountId, Problem> {
    let id = text.to_ascii_lowercase();
    let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    match is_id {
        true => Ok(AccountId::new(id)),
        false => Err(malformed(format!(
            "cloudflare: Invalid value: {text:?}: must be the account's id, 32 hexadecimal digits"
        ))),
    }
}

pub(super) async fn remove(
    State(plane): Plane,
    asking: Asking,
    Path(account): Path<String>,
) -> Result<StatusCode, Problem> {
    asking.may_to_all(Operate)?;
    let account = plane.account(&asking, &account).await?;
    let event = plane.event(&asking, "account.remove", account.name.as_str());
    plane.store.remove_account(&account.name, event).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts an API token in, and tries it. One that does not work changes nothing.
pub(super) async fn put_token(
    State(plane): Plane,
    asking: Asking,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let account = plane.account(&asking, &account).await?;
    asking.may(Credentials, Some(&account.tenant))?;
    let document: ApiTokenDocument = read_document(&headers, body).await?;
    let token = SecretString::from(document.token);
    if !is_token(&token) {
        return Err(malformed(
            "token: Invalid value: must be 1 to 1024 visible ASCII characters",
        ));
    }
    let actor = format!("person {}", asking.name);
    let by = By {
        actor: &actor,
        source: &asking.source,
    };
    let put = plane.tokens.put(&account, token, by).await;
    match put {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(TokenError::Store(error)) => Err(error.into()),
        Err(TokenError::Seal(error)) => Err(failed(error)),
        Err(unusable) => {
            let refusal = Refusal::new(Code::CredentialRefused, unusable.to_string());
            Err(Problem::decided(&refusal))
        }
    }
}

/// Whether it may be a token; no error repeats it.
fn is_token(text: &SecretString) -> bool {
    use secrecy::ExposeSecret;
    let text = text.expose_secret();
    (1..=1024).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

impl PeoplePlane {
    /// An account that whoever asks may see.
    async fn account(&self, asking: &Asking, name: &str) -> Result<Account, Problem> {
        let name = AccountName::parse(name).map_err(malformed)?;
        let account = match self.store.account(&name).await {
            Err(StoreError::Refused(_)) => return Err(not_there()),
            found => found?,
        };
        match asking.rights.sees(Some(&account.tenant)) {
            true => Ok(account),
            false => Err(not_there()),
        }
    }
}
