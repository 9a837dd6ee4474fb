//! ConfigMap and ClusterTrustBundle, for the certificate authorities in them.

use domain::ObjectKey;
use domain::certificate::{CA_KEY, TrustBundle};
use domain::gateway::ClusterTrustBundle;

use crate::error::ReadError;
use crate::fields::Fields;
use crate::metadata::Header;
use crate::tls;
use crate::types::api_type;

api_type! {
    /// `ClusterTrustBundle.spec`.
    ClusterTrustBundleSpec {
        signer_name: String,
        trust_bundle: String,
    }
}

/// A ConfigMap, as far as it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigMap {
    pub key: ObjectKey,
    /// The certificate authorities in it.
    pub trust: TrustBundle,
}

/// Reads it. Whatever else stands in it is others' business.
pub(crate) fn read(header: &Header, fields: &Fields) -> ConfigMap {
    let text = fields.raw("data")[CA_KEY].as_str();
    ConfigMap {
        key: header.key(),
        trust: text.map_or(TrustBundle::Absent, |text| {
            tls::bundle(CA_KEY, text.as_bytes())
        }),
    }
}

/// Reads a ClusterTrustBundle.
pub(crate) fn trust_bundle(
    header: &Header,
    fields: &Fields,
) -> Result<ClusterTrustBundle, ReadError> {
    let spec: ClusterTrustBundleSpec = fields.read("spec")?;
    Ok(ClusterTrustBundle {
        name: header.metadata.name.clone(),
        trust: match spec.trust_bundle.trim() {
            "" => TrustBundle::Absent,
            pem => tls::bundle("spec.trustBundle", pem.as_bytes()),
        },
    })
}
