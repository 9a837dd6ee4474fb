//! A token of SoftHSM (Debian's package `softhsm2`) in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use adapter_kms::Pkcs11Settings;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::slot::Slot;
use secrecy::SecretString;

const MODULES: [&str; 2] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

/// By which the module finds its settings.
const SETTINGS: &str = "SOFTHSM2_CONF";

pub(crate) const PIN: &str = "canary-1234";

/// A token in this process. There is one module in a process, so a test with a token has a process for itself.
pub(crate) struct Token {
    pub(crate) folder: PathBuf,
    module: PathBuf,
    context: Pkcs11,
}

/// Has the test of this name run again with a token. `None` in the process that does so, and where there is no SoftHSM, which
/// is told; with CI set there must be one.
pub(crate) fn with_token(test: &str) -> Option<Token> {
    let Some(module) = MODULES
        .map(PathBuf::from)
        .into_iter()
        .find(|file| file.exists())
    else {
        println!("NOT RUN: there is no SoftHSM (apt-get install softhsm2)");
        assert!(std::env::var_os("CI").is_none(), "SoftHSM is missing");
        return None;
    };
    if let Some(settings) = std::env::var_os(SETTINGS) {
        let folder = Path::new(&settings).parent().unwrap().to_owned();
        return Some(Token::open(folder, module));
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let settings = folder.path().join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\n", tokens.display());
    std::fs::write(&settings, text).unwrap();
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            "broker",
            "--so-pin",
            "9999",
            "--pin",
            PIN,
        ])
        .env(SETTINGS, &settings)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(SETTINGS, &settings)
        .status();
    assert!(again.unwrap().success(), "{test} with a token");
    None
}

impl Token {
    fn open(folder: PathBuf, module: PathBuf) -> Self {
        std::fs::write(folder.join("pin"), format!("{PIN}\n")).unwrap();
        let context = Pkcs11::new(&module).unwrap();
        Self {
            folder,
            module,
            context,
        }
    }

    pub(crate) fn settings(&self, key: &str) -> Pkcs11Settings {
        Pkcs11Settings {
            module: self.module.clone(),
            token: "broker".to_owned(),
            key: key.to_owned(),
            pin_file: self.folder.join("pin"),
        }
    }

    fn slot(&self) -> Slot {
        let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        match self.context.initialize(arguments) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => panic!("{error}"),
        }
        let slots = self.context.get_slots_with_initialized_token().unwrap();
        slots[0]
    }

    /// Makes a key that never leaves the token.
    pub(crate) fn make_key(&self, label: &str) {
        let session = self.context.open_rw_session(self.slot()).unwrap();
        let pin = SecretString::from(PIN);
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => panic!("{error}"),
        }
        let made = session.generate_key(
            &Mechanism::AesKeyGen,
            &[
                Attribute::Token(true),
                Attribute::Label(label.as_bytes().to_vec()),
                Attribute::ValueLen(32.into()),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
            ],
        );
        made.unwrap();
    }

    /// Logs everybody out, as a token does that loses its power.
    pub(crate) fn log_out(&self) {
        let session = self.context.open_ro_session(self.slot()).unwrap();
        match session.logout() {
            Ok(()) | Err(Error::Pkcs11(RvError::UserNotLoggedIn, _)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Ends the module's work, as its restart would.
    pub(crate) fn end_module(&self) {
        self.context.clone().finalize().unwrap();
    }

    /// Takes the token out, or puts it in again.
    pub(crate) fn take_out(&self, is_out: bool) {
        let places = [self.folder.join("tokens"), self.folder.join("elsewhere")];
        let [from, to] = match is_out {
            true => &places,
            false => &[places[1].clone(), places[0].clone()],
        };
        std::fs::rename(from, to).unwrap();
        if is_out {
            std::fs::create_dir(from).unwrap();
        }
    }
}
