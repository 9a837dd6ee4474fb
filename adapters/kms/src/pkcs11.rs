//! An AES key in a token of PKCS#11, which enciphers data keys with AES-GCM. It never leaves the token.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use domain::broker::ports::{KeyWrap, Wrapped};
use domain::ports::{Entropy, PortError};
use parking_lot::Mutex;
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::{away, refused};

/// What stands before the label of a key in its id.
const PREFIX: &str = "pkcs11:";

/// Bytes of a nonce, which stands before what is enciphered with it.
const NONCE: usize = 12;

/// How long a call waits for the ones before it, and for the module.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the key is.
#[derive(Debug, Clone)]
pub struct Pkcs11Settings {
    /// The shared library of the module.
    pub module: PathBuf,
    /// The label of the token.
    pub token: String,
    /// The label of the key that wraps. Those that wrapped before are found by the labels in their ids.
    pub key: String,
    /// File with the user's PIN, read whenever a session begins.
    pub pin_file: PathBuf,
}

/// Keys in a token.
pub struct Pkcs11Keys {
    settings: Pkcs11Settings,
    module: Arc<Mutex<Module>>,
    entropy: Arc<dyn Entropy>,
}

/// Why a call to the module failed. No text of it holds a secret.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Module(#[from] Error),
    #[error("there is no token with the label {0}")]
    NoToken(String),
    #[error("there is no AES key with the label {0}")]
    NoKey(String),
    #[error("there are several AES keys with the label {0}")]
    SeveralKeys(String),
    #[error("cannot read {0}")]
    Pin(String),
    #[error("the token refuses the PIN; it is not tried again until its file has another one")]
    PinRefused,
    #[error("what is wrapped is too short")]
    Short,
}

struct Module {
    settings: Pkcs11Settings,
    context: Pkcs11,
    session: Option<Session>,
    /// The PIN that was refused. A token is locked after a few of them.
    refused: Option<SecretString>,
}

impl Pkcs11Keys {
    /// Loads the module. Whether the token can be used shows later: it may be away for a while.
    pub fn new(settings: Pkcs11Settings, entropy: Arc<dyn Entropy>) -> Result<Self, String> {
        let context = Pkcs11::new(&settings.module).map_err(|error| error.to_string())?;
        let module = Module {
            settings: settings.clone(),
            context,
            session: None,
            refused: None,
        };
        Ok(Self {
            settings,
            module: Arc::new(Mutex::new(module)),
            entropy,
        })
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl Fn(&Session) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, PortError> {
        let module = self.module.clone();
        let asked = tokio::task::spawn_blocking(move || {
            module
                .try_lock_for(PATIENCE)
                .map(|mut module| module.ask(ask))
        });
        let answer = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(Some(answer))) => answer,
            _ => {
                tracing::warn!("the PKCS#11 module does not answer within {PATIENCE:?}");
                return Err(away("its module"));
            }
        };
        answer.map_err(|failure| {
            tracing::warn!(%failure, "a key in a PKCS#11 token cannot be used");
            failure.meaning()
        })
    }
}

impl Failure {
    fn meaning(&self) -> PortError {
        match self {
            Self::NoKey(_) | Self::SeveralKeys(_) => {
                refused("the key that a secret is sealed by is not in the broker's token")
            }
            Self::PinRefused => refused("the token with the broker's keys refuses the broker"),
            Self::Short
            | Self::Module(Error::Pkcs11(
                RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange,
                _,
            )) => refused(
                "a sealed secret cannot be opened: it was changed, or its key is another one",
            ),
            _ => away("its module"),
        }
    }

    /// Whether the session is to blame, or may be: who is not logged in sees no key.
    fn ends_session(&self) -> bool {
        !matches!(
            self,
            Self::SeveralKeys(_) | Self::Short | Self::PinRefused | Self::Pin(_)
        )
    }
}

impl Module {
    /// Asks in the session, and once more in a new one: a session ends with the token's power, by the module's restart, by
    /// whoever else uses the token.
    fn ask<T>(&mut self, ask: impl Fn(&Session) -> Result<T, Failure>) -> Result<T, Failure> {
        if let Some(session) = &self.session {
            match ask(session) {
                Err(failure) if failure.ends_session() => {
                    tracing::debug!(%failure, "a session with the PKCS#11 token begins anew");
                    self.session = None;
                }
                answer => return answer,
            }
        }
        let session = self.begin()?;
        let answer = ask(&session);
        if !answer.as_ref().is_err_and(Failure::ends_session) {
            self.session = Some(session);
        }
        answer
    }

    fn begin(&mut self) -> Result<Session, Failure> {
        let session = self.context.open_ro_session(self.slot()?)?;
        let pin = self.pin()?;
        if self
            .refused
            .as_ref()
            .is_some_and(|refused| is_same(refused, &pin))
        {
            return Err(Failure::PinRefused);
        }
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinLocked,
                _,
            )) => {
                self.refused = Some(pin);
                Err(Failure::PinRefused)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn slot(&self) -> Result<Slot, Failure> {
        self.initialize()?;
        if let Some(slot) = self.find_slot()? {
            return Ok(slot);
        }
        // Many modules see a token that came back after they were begun anew.
        self.context.clone().finalize()?;
        self.initialize()?;
        let slot = self.find_slot()?;
        slot.ok_or_else(|| Failure::NoToken(self.settings.token.clone()))
    }

    fn initialize(&self) -> Result<(), Failure> {
        let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        match self.context.initialize(arguments) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn find_slot(&self) -> Result<Option<Slot>, Failure> {
        for slot in self.context.get_slots_with_token()? {
            let found = self.context.get_token_info(slot);
            if found.is_ok_and(|token| token.label().trim_end() == self.settings.token) {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    fn pin(&self) -> Result<SecretString, Failure> {
        let file = &self.settings.pin_file;
        let text = std::fs::read_to_string(file).map(SecretString::from);
        let text = text.map_err(|_| Failure::Pin(file.display().to_string()))?;
        Ok(SecretString::from(
            text.expose_secret().trim_end_matches(['\r', '\n']),
        ))
    }
}

fn is_same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

fn key_of(session: &Session, label: &str) -> Result<ObjectHandle, Failure> {
    let found = session.find_objects(&[
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Label(label.as_bytes().to_vec()),
    ])?;
    match found[..] {
        [key] => Ok(key),
        [] => Err(Failure::NoKey(label.to_owned())),
        _ => Err(Failure::SeveralKeys(label.to_owned())),
    }
}

fn wrapping(id: &str) -> String {
    format!("cfgw data key {id}")
}

/// The nonce, and what was enciphered.
fn encipher(
    session: &Session,
    id: &str,
    label: &str,
    nonce: [u8; NONCE],
    plain: &[u8],
) -> Result<Vec<u8>, Failure> {
    let (key, purpose) = (key_of(session, label)?, wrapping(id));
    let mut nonce = nonce;
    let parameters = GcmParams::new(&mut nonce, purpose.as_bytes(), 128.into())?;
    let text = session.encrypt(&Mechanism::AesGcm(parameters), key, plain)?;
    // Some tokens put a nonce of their own into its place.
    Ok([&nonce[..], &text].concat())
}

fn decipher(
    session: &Session,
    id: &str,
    label: &str,
    whole: &[u8],
) -> Result<SecretSlice<u8>, Failure> {
    let (nonce, text) = whole.split_first_chunk::<NONCE>().ok_or(Failure::Short)?;
    let (key, purpose) = (key_of(session, label)?, wrapping(id));
    let mut nonce = *nonce;
    let parameters = GcmParams::new(&mut nonce, purpose.as_bytes(), 128.into())?;
    let mut plain = session.decrypt(&Mechanism::AesGcm(parameters), key, text)?;
    // Of its very size, so that no copy is left behind.
    let secret = SecretSlice::from(plain.to_vec());
    plain.zeroize();
    Ok(secret)
}

#[async_trait]
impl KeyWrap for Pkcs11Keys {
    async fn current(&self) -> Result<String, PortError> {
        Ok(format!("{PREFIX}{}", self.settings.key))
    }

    fn has(&self, key: &str) -> bool {
        key.starts_with(PREFIX)
    }

    async fn wrap(&self, data_key: &SecretSlice<u8>) -> Result<Wrapped, PortError> {
        let key = self.current().await?;
        let (id, label) = (key.clone(), self.settings.key.clone());
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&self.entropy.secret()[..NONCE]);
        let data_key = data_key.clone();
        let wrapped = self
            .ask(move |session| encipher(session, &id, &label, nonce, data_key.expose_secret()));
        Ok(Wrapped {
            key,
            bytes: wrapped.await?,
        })
    }

    async fn unwrap(&self, wrapped: &Wrapped) -> Result<SecretSlice<u8>, PortError> {
        let (id, bytes) = (wrapped.key.clone(), wrapped.bytes.clone());
        self.ask(move |session| {
            let label = id.strip_prefix(PREFIX).unwrap_or_default();
            decipher(session, &id, label, &bytes)
        })
        .await
    }
}
