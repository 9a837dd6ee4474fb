//! Signing in, with a password and a one-time code, and out.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::Timestamp;
use domain::broker::audit::Event;
use domain::broker::ports::{Credentials, PasswordHash, Purpose, Session, StoreError};
use domain::broker::sign_in::{LONGEST_SIGN_IN, refused};
use domain::broker::{PersonName, Refusal};
use secrecy::{ExposeSecret, SecretString};

use super::asking::{Asking, Source};
use super::described::{OfPerson, OfSignIn};
use super::{PeoplePlane, password};
use crate::identity;
use crate::openapi::problems::{OfAny, OfDocument, Refused};
use crate::problem::Problem;
use crate::server::answer::{failed, read_document};
use crate::wire::people::{SelfDocument, SignInDocument, SignedInDocument, moment};

/// What the password of somebody is compared with who is not there: the answer comes after the same time.
static NOBODY: LazyLock<PasswordHash> = LazyLock::new(|| {
    struct Fixed;
    impl domain::ports::Entropy for Fixed {
        fn secret(&self) -> [u8; 32] {
            [0; 32]
        }
    }
    let text = SecretString::from("the password of nobody");
    password::hash(&text, &Fixed).expect("it is long enough")
});

/// Signs somebody in, with a password and a one-time code.
#[utoipa::path(
    post,
    path = "/admin/v1/sessions",
    request_body = SignInDocument,
    responses(
        (status = 201, description = "A session of eight hours", body = SignedInDocument),
        Refused<(OfAny, OfDocument, OfSignIn)>,
    ),
    security(()),
)]
pub(super) async fn sign_in(
    State(plane): State<Arc<PeoplePlane>>,
    source: Source,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<SignedInDocument>), Problem> {
    plane.attempts.take(&source.0)?;
    let document: SignInDocument = read_document(&headers, body).await?;
    let shown = Shown {
        password: SecretString::from(document.password),
        code: SecretString::from(document.code),
    };
    let name = PersonName::parse(&document.name).map_err(|_| Problem::decided(&refused()))?;
    let now = plane.clock.now();
    let event = Event {
        at: now,
        actor: format!("person {name}"),
        source: source.0,
        action: "person.sign-in".to_owned(),
        object: name.to_string(),
        result: "done".to_owned(),
        ..Event::default()
    };
    let begun = plane.store.begin_sign_in(&name, now).await?;
    let is_known = begun.is_some();
    let step = plane.verify(begun, shown, now).await?;
    let token = identity::unpredictable(&*plane.entropy);
    let expires = Timestamp(now.0.saturating_add_unsigned(LONGEST_SIGN_IN.as_secs()));
    let session = Session {
        token: identity::digest(&token),
        expires,
    };
    let signed_in = match step {
        Some(step) => {
            plane
                .store
                .sign_in(&name, step, session, event.clone())
                .await
        }
        None => Err(StoreError::Refused(refused())),
    };
    match signed_in {
        // What was tried of somebody who is there is told; pauses bound how often. Of others nothing is: strangers could fill
        // the audit.
        Err(StoreError::Refused(refusal)) if is_known => {
            plane.tell_refusal(&refusal, event).await?;
            Err(Problem::decided(&refusal))
        }
        other => {
            other?;
            let signed_in = SignedInDocument {
                token: token.expose_secret().to_owned(),
                expires: moment(expires),
            };
            Ok((StatusCode::CREATED, Json(signed_in)))
        }
    }
}

/// Who is signed in.
#[utoipa::path(
    get,
    path = "/admin/v1/sessions/current",
    responses(
        (status = 200, description = "Their name, roles and tenant", body = SelfDocument),
        Refused<(OfAny, OfPerson)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn signed_in(asking: Asking) -> Json<SelfDocument> {
    Json(SelfDocument::of(&asking.name, &asking.rights))
}

/// Signs out: the token is worth nothing any more.
#[utoipa::path(
    delete,
    path = "/admin/v1/sessions/current",
    responses(
        (status = 204, description = "Signed out"),
        Refused<(OfAny, OfPerson)>,
    ),
    security(("session" = [])),
)]
pub(super) async fn sign_out(
    State(plane): State<Arc<PeoplePlane>>,
    asking: Asking,
) -> Result<StatusCode, Problem> {
    let event = plane.event(&asking, "person.sign-out", &asking.name);
    plane.store.sign_out(&asking.session, event).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What somebody shows.
struct Shown {
    password: SecretString,
    code: SecretString,
}

impl PeoplePlane {
    /// The time step of the code, if that and the password are good.
    async fn verify(
        &self,
        credentials: Option<Credentials>,
        shown: Shown,
        now: Timestamp,
    ) -> Result<Option<u64>, Problem> {
        let hash = credentials.as_ref().map_or(&*NOBODY, |it| &it.password);
        let (password, hash) = (shown.password, hash.clone());
        let permit = self.comparing.acquire().await;
        let compared = tokio::task::spawn_blocking(move || password::is_of(&password, &hash));
        let is_known = compared.await.unwrap_or(false);
        drop(permit);
        let (Some(credentials), true) = (credentials, is_known) else {
            return Ok(None);
        };
        let person = &credentials.person.name;
        let codes = self
            .seal
            .open(Purpose::OneTimeCodes(person), &credentials.codes);
        let codes = codes.await.map_err(failed)?;
        let now = u64::try_from(now.0).unwrap_or(0);
        Ok(password::step_of(person, &codes, &shown.code, now))
    }

    async fn tell_refusal(&self, refusal: &Refusal, event: Event) -> Result<(), StoreError> {
        let result = refusal.code.to_string();
        self.store.append(Event { result, ..event }).await
    }
}
