//! Brings the certificate that a Gateway shows to backends to its data plane, before the table that names it.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::ObjectKey;
use domain::ports::{Certificates, DataPlane, Delivery, PortError};
use domain::route_table::{ClientCertificate, RouteTable};
use parking_lot::Mutex;

/// A data plane whose tables may name a certificate.
pub(crate) struct WithClientCertificates {
    inner: Arc<dyn DataPlane>,
    certificates: Arc<dyn Certificates>,
    /// What each Gateway's data plane has.
    shown: Mutex<HashMap<ObjectKey, ClientCertificate>>,
}

impl WithClientCertificates {
    pub(crate) fn new(inner: Arc<dyn DataPlane>, certificates: Arc<dyn Certificates>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            certificates,
            shown: Mutex::default(),
        })
    }

    /// Has the data plane show what the table names.
    async fn show_for(&self, table: &RouteTable) -> Result<(), PortError> {
        let (gateway, wanted) = (&table.gateway, table.client_certificate());
        let known = self.shown.lock().get(gateway).cloned();
        if known.as_ref() == wanted {
            return Ok(());
        }
        let Some(wanted) = wanted else {
            self.inner.show(gateway, None).await?;
            self.shown.lock().remove(gateway);
            return Ok(());
        };
        let pair = self.certificates.pair(&wanted.secret).await?;
        if pair.fingerprint != wanted.fingerprint {
            let message = format!("Secret {} has changed meanwhile", wanted.secret);
            return Err(PortError::unavailable(message));
        }
        self.inner.show(gateway, Some(Arc::new(pair))).await?;
        self.shown.lock().insert(gateway.clone(), wanted.clone());
        Ok(())
    }
}

#[async_trait]
impl DataPlane for WithClientCertificates {
    async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError> {
        self.show_for(&table).await?;
        self.inner.publish(table).await
    }

    async fn withdraw(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.inner.show(gateway, None).await?;
        self.shown.lock().remove(gateway);
        self.inner.withdraw(gateway).await
    }

    fn delivery(&self, gateway: &ObjectKey) -> Delivery {
        self.inner.delivery(gateway)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::Hostname;
    use domain::certificate::Fingerprint;
    use domain::gateway::BackendKind;
    use domain::route_table::{Trust, Upstream, UpstreamKey, UpstreamProtocol, UpstreamTls};
    use domain::secret::CertificatePair;

    use super::*;

    /// What a data plane was told, in words.
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    #[async_trait]
    impl DataPlane for Told {
        async fn publish(&self, table: Arc<RouteTable>) -> Result<(), PortError> {
            let named = table.client_certificate().is_some();
            self.0.lock().push(format!("table {named}"));
            Ok(())
        }

        async fn show(
            &self,
            _gateway: &ObjectKey,
            certificate: Option<Arc<CertificatePair>>,
        ) -> Result<(), PortError> {
            let chain = certificate.map_or("none".to_owned(), |pair| pair.chain.clone());
            self.0.lock().push(format!("show {chain}"));
            Ok(())
        }

        async fn withdraw(&self, _gateway: &ObjectKey) -> Result<(), PortError> {
            self.0.lock().push("withdraw".to_owned());
            Ok(())
        }
    }

    /// A Secret with this chain.
    struct Held(Mutex<&'static str>);

    #[async_trait]
    impl Certificates for Held {
        async fn pair(&self, _secret: &ObjectKey) -> Result<CertificatePair, PortError> {
            let chain = *self.0.lock();
            Ok(CertificatePair {
                chain: chain.to_owned(),
                key: "key".to_owned().into(),
                fingerprint: Fingerprint::of(chain.as_bytes()),
            })
        }
    }

    fn table(chain: Option<&str>) -> Arc<RouteTable> {
        let client = chain.map(|chain| ClientCertificate {
            secret: ObjectKey::new("infra", "client"),
            fingerprint: Fingerprint::of(chain.as_bytes()),
        });
        let key = UpstreamKey {
            kind: BackendKind::Service,
            service: ObjectKey::new("shop", "store"),
            port: 80,
            protocol: UpstreamProtocol::Http1,
        };
        let tls = UpstreamTls {
            trust: Trust::System,
            hostname: Hostname::parse("store.internal").unwrap(),
            names: Vec::new(),
            client,
        };
        let upstream = Upstream {
            endpoints: Vec::new(),
            tls: Some(Arc::new(tls)),
            ..Upstream::default()
        };
        Arc::new(RouteTable {
            client_validation: Vec::new(),
            gateway: ObjectKey::new("infra", "web"),
            listeners: Vec::new(),
            upstreams: BTreeMap::from([(key, upstream)]),
        })
    }

    #[tokio::test]
    async fn a_certificate_comes_before_the_table_that_names_it_and_once() {
        let (told, held) = (Arc::new(Told::default()), Arc::new(Held(Mutex::new("a"))));
        let plane = WithClientCertificates::new(told.clone(), held.clone());
        for chain in [None, Some("a"), Some("a")] {
            plane.publish(table(chain)).await.unwrap();
        }
        // The Secret has changed since the table was made: a newer table is on its way.
        *held.0.lock() = "b";
        plane.publish(table(Some("a"))).await.unwrap();
        assert!(plane.publish(table(Some("c"))).await.is_err());
        plane.publish(table(Some("b"))).await.unwrap();
        plane.publish(table(None)).await.unwrap();
        plane
            .withdraw(&ObjectKey::new("infra", "web"))
            .await
            .unwrap();
        let expected = [
            "table false",
            "show a",
            "table true",
            "table true",
            "table true",
            "show b",
            "table true",
            "show none",
            "table false",
            "show none",
            "withdraw",
        ];
        assert_eq!(*told.0.lock(), expected);
    }
}
