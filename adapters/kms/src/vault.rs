//! A key of HashiCorp Vault's transit engine (developer.hashicorp.com/vault/api-docs/secret/transit). Data keys are sent to it
//! to be wrapped and unwrapped; its own key never leaves it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::broker::ports::{KeyWrap, Wrapped};
use domain::ports::PortError;
use parking_lot::Mutex;
use reqwest::header::HeaderValue;
use reqwest::{Response, StatusCode, Url, redirect};
use secrecy::zeroize::{Zeroize as _, Zeroizing};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::Deserialize;

use crate::{away, refused};

/// What stands before mount, key and version in an id.
const PREFIX: &str = "vault:";

/// Bytes of an answer, at most. Those that are expected have some hundred.
const LARGEST_ANSWER: usize = 64 << 10;

/// Bytes of what Vault says of a failure, at most, in the log.
const LONGEST_COMPLAINT: usize = 300;

/// Where the key is.
#[derive(Debug, Clone)]
pub struct VaultSettings {
    /// The base URL.
    pub address: String,
    /// Where the transit engine is mounted.
    pub mount: String,
    /// The key's name there.
    pub key: String,
    /// The namespace, of Vault Enterprise.
    pub namespace: Option<String>,
    /// File with a token. It is read for each call, so another one counts at once.
    pub token_file: PathBuf,
    /// PEM file with roots that are trusted besides the system's. It is read again where it changes.
    pub ca_file: Option<PathBuf>,
    /// How long a call may take.
    pub timeout: Duration,
}

/// Why there is no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("vault.address: {0}")]
    Address(String),
    #[error("vault.ca_file: {0}")]
    Roots(String),
    #[error("no HTTP client can be made: {0}")]
    Client(String),
}

/// Keys of a transit engine.
pub struct VaultKeys {
    settings: VaultSettings,
    base: Url,
    /// The roots that the client was made with, and the client.
    client: Mutex<(Option<Vec<u8>>, reqwest::Client)>,
}

/// Why a call failed. No text of it holds a secret.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Setup(#[from] VaultError),
    #[error("{0} does not hold a token: one line of visible ASCII is expected")]
    Token(String),
    #[error("{0}")]
    Connection(String),
    #[error("Vault answered {status}: {complaint}")]
    Refused {
        status: StatusCode,
        complaint: String,
    },
    #[error("the answer cannot be read: {0}")]
    Unreadable(&'static str),
}

impl Failure {
    fn meaning(&self) -> PortError {
        match self {
            // A token that is over is replaced in its file, so it is not for ever.
            Self::Refused { status, .. }
                if matches!(*status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) =>
            {
                refused(
                    "a sealed secret cannot be opened: it was changed, or its key is not in the broker's Vault",
                )
            }
            _ => away("its Vault"),
        }
    }
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: String,
}

#[derive(Deserialize)]
struct Complaints {
    errors: Vec<String>,
}

impl VaultKeys {
    /// The keys at an address. Whether they can be used shows later: Vault may be away for a while.
    pub fn new(settings: VaultSettings) -> Result<Self, VaultError> {
        let base = Url::parse(&settings.address);
        let base = base.map_err(|error| VaultError::Address(error.to_string()))?;
        let roots = read_roots(settings.ca_file.as_deref())?;
        let client = client(&base, roots.as_deref(), settings.timeout)?;
        Ok(Self {
            settings,
            base,
            client: Mutex::new((roots, client)),
        })
    }

    fn id(&self, version: &str) -> String {
        let VaultSettings { mount, key, .. } = &self.settings;
        format!("{PREFIX}{mount}/{key}:{version}")
    }

    /// The client, made anew where its roots were replaced.
    fn client(&self) -> Result<reqwest::Client, VaultError> {
        let roots = read_roots(self.settings.ca_file.as_deref())?;
        let mut client_of = self.client.lock();
        if client_of.0 != roots {
            let made = client(&self.base, roots.as_deref(), self.settings.timeout)?;
            *client_of = (roots, made);
        }
        Ok(client_of.1.clone())
    }

    fn url(&self, verb: &str) -> Url {
        let VaultSettings { mount, key, .. } = &self.settings;
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .push("v1")
                .extend(mount.split('/'))
                .push(verb)
                .push(key);
        }
        url
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        verb: &str,
        body: String,
    ) -> Result<T, PortError> {
        let answer = self.send(verb, body).await;
        answer.map_err(|failure| {
            tracing::warn!(%failure, verb, "a key of Vault cannot be used");
            failure.meaning()
        })
    }

    async fn send<T: for<'de> Deserialize<'de>>(
        &self,
        verb: &str,
        body: String,
    ) -> Result<T, Failure> {
        let mut request = self
            .client()?
            .post(self.url(verb))
            .header("x-vault-request", "true")
            .header("x-vault-token", self.token()?)
            .header("content-type", "application/json")
            .body(body);
        if let Some(namespace) = &self.settings.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let response = request.send().await?;
        let status = response.status();
        let answer = read_body(response).await?;
        if !status.is_success() {
            return Err(Failure::Refused {
                status,
                complaint: complaint(&answer),
            });
        }
        // An error of the parser would repeat what it read.
        let read = serde_json::from_slice::<Answer<T>>(&answer);
        read.map(|answer| answer.data)
            .map_err(|_| Failure::Unreadable("it is not what the transit engine answers"))
    }

    fn token(&self) -> Result<HeaderValue, Failure> {
        let file = &self.settings.token_file;
        let malformed = || Failure::Token(file.display().to_string());
        let text = std::fs::read_to_string(file).map(SecretString::from);
        let text = text.map_err(|_| malformed())?;
        let token = text.expose_secret().trim();
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(malformed());
        }
        let mut value = HeaderValue::from_str(token).map_err(|_| malformed())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        use std::error::Error as _;
        let error = error.without_url();
        let cause = error.source().map(|cause| format!(": {cause}"));
        Self::Connection(format!("{error}{}", cause.unwrap_or_default()))
    }
}

fn read_roots(file: Option<&Path>) -> Result<Option<Vec<u8>>, VaultError> {
    let read = file.map(|file| {
        std::fs::read(file)
            .map_err(|error| VaultError::Roots(format!("{}: {error}", file.display())))
    });
    read.transpose()
}

fn client(
    base: &Url,
    roots: Option<&[u8]>,
    timeout: Duration,
) -> Result<reqwest::Client, VaultError> {
    let roots = roots.map_or(Ok(Vec::new()), reqwest::Certificate::from_pem_bundle);
    let roots = roots.map_err(|error| VaultError::Roots(error.to_string()))?;
    let mut http = reqwest::Client::builder()
        .timeout(timeout)
        .tls_certs_merge(roots)
        // The token is for the address alone.
        .redirect(redirect::Policy::none());
    // Plain HTTP is for this machine: a proxy would see the token.
    if base.scheme() == "http" {
        http = http.no_proxy();
    }
    http.build()
        .map_err(|error| VaultError::Client(error.to_string()))
}

async fn read_body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut body = Zeroizing::new(Vec::with_capacity(LARGEST_ANSWER));
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(Failure::Unreadable("it is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What Vault says, in one line of bounded length.
fn complaint(answer: &[u8]) -> String {
    let said = serde_json::from_slice::<Complaints>(answer);
    let said = said.map_or_else(|_| String::new(), |said| said.errors.join("; "));
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    said.chars()
        .map(printable)
        .take(LONGEST_COMPLAINT)
        .collect()
}

/// The version in what Vault encrypted: `v3` of `vault:v3:…`.
fn version(ciphertext: &str) -> Option<&str> {
    let (version, text) = ciphertext.strip_prefix("vault:")?.split_once(':')?;
    let digits = version.strip_prefix('v')?;
    let is_version = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    (is_version && !text.is_empty()).then_some(version)
}

#[async_trait]
impl KeyWrap for VaultKeys {
    /// Vault says the version where it encrypts; a policy need not permit more.
    async fn current(&self) -> Result<String, PortError> {
        let nothing = SecretSlice::from(vec![0; 32]);
        Ok(self.wrap(&nothing).await?.key)
    }

    fn has(&self, key: &str) -> bool {
        key.starts_with(&self.id(""))
    }

    async fn wrap(&self, data_key: &SecretSlice<u8>) -> Result<Wrapped, PortError> {
        let plain = Zeroizing::new(STANDARD.encode(data_key.expose_secret()));
        let body = format!("{{\"plaintext\":\"{}\"}}", plain.as_str());
        let Encrypted { ciphertext } = self.ask("encrypt", body).await?;
        let Some(version) = version(&ciphertext) else {
            tracing::warn!("Vault encrypts in a form that is not known");
            return Err(away("its Vault"));
        };
        let key = self.id(version);
        Ok(Wrapped {
            key,
            bytes: ciphertext.into_bytes(),
        })
    }

    async fn unwrap(&self, wrapped: &Wrapped) -> Result<SecretSlice<u8>, PortError> {
        let malformed = || refused("a sealed secret cannot be opened: it was changed");
        let text = std::str::from_utf8(&wrapped.bytes).map_err(|_| malformed())?;
        version(text).ok_or_else(malformed)?;
        let body = serde_json::json!({ "ciphertext": text }).to_string();
        let Decrypted { plaintext } = self.ask("decrypt", body).await?;
        let plaintext = Zeroizing::new(plaintext);
        let mut plain = STANDARD
            .decode(plaintext.as_bytes())
            .map_err(|_| malformed())?;
        // Of its very size, so that no copy is left behind.
        let secret = SecretSlice::from(plain.to_vec());
        plain.zeroize();
        Ok(secret)
    }
}
