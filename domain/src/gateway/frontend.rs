//! `Gateway.spec.tls.frontend`: how visitors of HTTPS listeners show who they are (GEP-91).

use std::collections::BTreeMap;

use crate::names::ObjectRef;

/// What a Gateway asks of the visitors of its HTTPS listeners, those of its ListenerSets among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrontendTls {
    /// `default.validation`.
    pub default: Option<FrontendValidation>,
    /// `perPort`: what holds at a port in place of `default`; `None` asks for no certificate. Port 0 is one with a field
    /// error.
    pub per_port: BTreeMap<u16, Option<FrontendValidation>>,
}

/// `validation` of `default`, or of one of `perPort`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontendValidation {
    /// Its path.
    pub field: String,
    pub mode: FrontendMode,
    /// `caCertificateRefs`, with the Gateway's namespace where none is written.
    pub authorities: Vec<ObjectRef>,
}

/// `validation.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontendMode {
    /// `AllowValidOnly`: whoever shows no valid certificate is refused.
    ValidOnly,
    /// `AllowInsecureFallback`: nobody is refused.
    InsecureFallback,
}

impl FrontendTls {
    /// What holds at a port.
    pub fn at(&self, port: u16) -> Option<&FrontendValidation> {
        let own = self.per_port.get(&port);
        own.unwrap_or(&self.default).as_ref()
    }

    /// Each validation once.
    pub fn validations(&self) -> impl Iterator<Item = &FrontendValidation> {
        let per_port = self.per_port.values().flatten();
        self.default.iter().chain(per_port)
    }

    /// Those that refuse nobody.
    pub fn insecure(&self) -> impl Iterator<Item = &FrontendValidation> {
        self.validations()
            .filter(|validation| validation.mode == FrontendMode::InsecureFallback)
    }
}
