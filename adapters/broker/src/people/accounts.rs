//! Cloudflare accounts and their API tokens, which can be put in and never read.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::AccountId;
use domain::broker::grant::Account;
use domain::broker::ports::StoreError;
use domain::broker::role::Permission::{Credentials, Operate};
use domain::broker::{AccountName, Code, Refusal};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::IntoParams;

use super::PeoplePlane;
use super::asking::Asking;
use super::described::{
    OfChange, OfNamed, OfNewName, OfPerson, OfQuery, OfRemoval, OfRole, OfToken, Seen, SeenOrNew,
};
use super::items::{Found, Item, Names, may_put, may_remove, not_there, require_name};
use super::lists::{Asked, Part};
use crate::openapi::problems::{OfAny, OfDocument, OfEdge, Refused};
use crate::openapi::texts;
use crate::problem::Problem;
use crate::server::answer::{failed, malformed, read_document, read_open_document};
use crate::tokens::{By, TokenError};
use crate::wire::people::{AccountDocument, AccountList, ApiTokenDocument, ListDocument};

type Plane = State<Arc<PeoplePlane>>;

/// An account in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct AccountPath {
    /// The name of the account.
    #[param(inline, value_type = texts::AccountName)]
    account: AccountName,
}

/// Lists the Cloudflare accounts that whoever asks sees.
#[utoipa::path(
    get,
    path = "/admin/v1/accounts",
    params(Part),
    responses(
        (status = 200, description = "A part of the list", body = AccountList),
        Refused<(OfAny, OfPerson, OfQuery)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn list(
    State(plane): Plane,
    asking: Asking,
    Asked(part): Asked<Part>,
) -> Result<Json<AccountList>, Problem> {
    let accounts = plane.store.accounts(asking.rights.tenant.as_ref()).await?;
    // Those that are shared are another tenant's.
    let seen = accounts
        .into_iter()
        .filter(|account| asking.rights.sees(Some(&account.tenant)));
    let page = part.of(seen, |account| account.name.as_str(), Account::clone);
    let mut items = Vec::new();
    for account in &page.items {
        items.push(plane.account_document(account).await?);
    }
    let next = page.next;
    Ok(Json(ListDocument { items, next }))
}

/// Reads a Cloudflare account, with the zones that its token sees and the version of the token in use.
#[utoipa::path(
    get,
    path = "/admin/v1/accounts/{account}",
    params(AccountPath),
    responses(
        (status = 200, description = "The account", body = AccountDocument, headers(("ETag" = texts::Tag))),
        Refused<(OfAny, OfPerson, OfNamed)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn account(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<AccountPath>,
) -> Result<Item<AccountDocument>, Problem> {
    let account = plane.account(&asking, &path.account).await?;
    let account = account.ok_or_else(not_there)?;
    Ok(Item::of(plane.account_document(&account).await?))
}

/// Makes an account, or says whether it is shared. Needs the role operator.
///
/// Its tenant and its id at Cloudflare stay what they are.
#[utoipa::path(
    put,
    path = "/admin/v1/accounts/{account}",
    params(AccountPath, SeenOrNew),
    request_body = AccountDocument,
    responses(
        (status = 200, description = "It is replaced, or was there already", body = AccountDocument, headers(("ETag" = texts::Tag))),
        (status = 201, description = "It is made", body = AccountDocument, headers(("ETag" = texts::Tag))),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfDocument, OfChange, OfNewName)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn put(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<AccountPath>,
    headers: HeaderMap,
    body: Body,
) -> Result<Item<AccountDocument>, Problem> {
    // Which account a tenant has is what whoever runs the broker decides.
    asking.may_to_all(Operate)?;
    let document: AccountDocument = read_open_document(&headers, body).await?;
    require_name(&document.name, &path.account)?;
    let known = plane.account(&asking, &path.account).await?;
    let account = Account {
        name: path.account,
        tenant: document.tenant,
        cloudflare: account_id(&document.cloudflare)?,
        shared: document.shared,
        // They are found by its token.
        zones: known.as_ref().and_then(|known| known.zones.clone()),
    };
    let found = match &known {
        None => Found::Nothing,
        Some(known) if *known == account => Found::Same,
        Some(known) => Found::Other(plane.account_document(known).await?),
    };
    may_put(&headers, &found)?;
    let put = plane.event(&asking, "account.put", account.name.as_str());
    let put = plane.store.put_account(&account, known.as_ref(), put);
    put.await?;
    let document = plane.account_document(&account).await?;
    Ok(Item::put(document, known.as_ref()))
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

/// Removes an account and its tokens. Needs the role operator.
#[utoipa::path(
    delete,
    path = "/admin/v1/accounts/{account}",
    params(AccountPath, Seen),
    responses(
        (status = 204, description = "It is removed"),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfChange, OfRemoval)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn remove(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<AccountPath>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    asking.may_to_all(Operate)?;
    let known = plane.account(&asking, &path.account).await?;
    let known = known.ok_or_else(not_there)?;
    may_remove(&headers, &plane.account_document(&known).await?)?;
    let event = plane.event(&asking, "account.remove", known.name.as_str());
    plane.store.remove_account(&known, event).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts an API token in, and tries it. Needs the role credential-admin.
///
/// One that does not work changes nothing. A token is never read again, so it has no ETag; where another one is put in meanwhile,
/// the later of the two is refused.
#[utoipa::path(
    put,
    path = "/admin/v1/accounts/{account}/token",
    params(AccountPath),
    request_body = ApiTokenDocument,
    responses(
        (status = 204, description = "It is in use"),
        Refused<(OfAny, OfPerson, OfNamed, OfRole, OfDocument, OfToken, OfEdge)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn put_token(
    State(plane): Plane,
    asking: Asking,
    Names(path): Names<AccountPath>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let account = plane.account(&asking, &path.account).await?;
    let account = account.ok_or_else(not_there)?;
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
    /// An account, if whoever asks sees it.
    async fn account(
        &self,
        asking: &Asking,
        name: &AccountName,
    ) -> Result<Option<Account>, Problem> {
        match self.store.account(name).await {
            Err(StoreError::Refused(_)) => Ok(None),
            found => Ok(Some(found?).filter(|it| asking.rights.sees(Some(&it.tenant)))),
        }
    }

    async fn account_document(&self, account: &Account) -> Result<AccountDocument, Problem> {
        let slots = self.store.slots(&account.name).await?;
        Ok(AccountDocument::of(account, &slots))
    }
}
