//! Values of the broker's settings.

use std::fmt;
use std::str::FromStr;

use super::{BaseUrl, KeyKind, TextSetting, Unfit, kept};

text! {
    /// Where a broker's store is: `sqlite:` and a path, or `postgres://…` without a password. A user may write one all the
    /// same.
    StoreAddress,
    "`sqlite:` and a path, or `postgres://user@host/database` without a password (that is for store_password_file)",
    |text| {
        let is_file = text.strip_prefix("sqlite:").is_some_and(|path| !path.is_empty());
        let of_server = text.strip_prefix("postgres://").or(text.strip_prefix("postgresql://"));
        let has_password = |rest: &str| {
            let user = rest.split_once('@').map_or("", |(user, _)| user);
            user.contains(':') || rest.contains("password=")
        };
        let is_server = of_server.is_some_and(|rest| !rest.is_empty() && !has_password(rest));
        (is_file || is_server).then(|| text.to_owned())
    },
    MAY_HOLD_SECRET
}

text! {
    /// The label or the name of a key, of where it is.
    KeyLabel,
    "1 to 64 letters, digits, dots, hyphens, underscores or slashes within, such as cfgw",
    |text| {
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_part = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_letter)
        };
        kept(text, text.len() <= 64 && text.split('/').all(is_part))
    }
}

text! {
    /// The name of an environment variable that is none of the program's settings.
    VariableName,
    "a name in capital letters, digits and underscores that does not begin with CFGW_, such as BROKER_KEYS",
    |text| {
        let is_letter = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let is_name = text.starts_with(|c: char| c.is_ascii_uppercase());
        let is_ours = text.starts_with("CFGW_");
        kept(text, is_name && !is_ours && text.len() <= 64 && text.bytes().all(is_letter))
    }
}

impl KeyKind {
    /// The setting without which there are none of it.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::File => "keys_file",
            Self::Variable => "keys_variable",
            Self::Pkcs11 => "pkcs11.module",
            Self::Vault => "vault.address",
        }
    }
}

/// Base URLs of brokers with one store, in the order in which they are tried: 1 to 8, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrls(Vec<BaseUrl>);

impl BrokerUrls {
    /// As they were written. There is at least one.
    pub fn get(&self) -> &[BaseUrl] {
        &self.0
    }
}

impl TextSetting for BrokerUrls {
    const EXPECTED: &'static str = "an https URL without user, query and fragment (http only to this machine), or a list of up to 8 of them, such as https://broker.example.com:8443";
    const TAKES_LISTS: bool = true;
    const MAY_HOLD_SECRET: bool = true;
}

impl FromStr for BrokerUrls {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let urls = text.split(',').map(|url| url.trim().parse());
        let urls: Vec<BaseUrl> = urls.collect::<Result<_, _>>()?;
        let is_repeated = (1..urls.len()).any(|at| urls[..at].contains(&urls[at]));
        match urls.len() <= 8 && !is_repeated {
            true => Ok(Self(urls)),
            false => Err(Unfit),
        }
    }
}

impl fmt::Display for BrokerUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(BaseUrl::as_str).collect();
        f.write_str(&texts.join(","))
    }
}
