//! Carrying out a plan, change by change.

use std::collections::BTreeMap;

use super::Work;
use crate::edge::cache::CachedApi;
use crate::edge::certificates::apply::CertificateWriter;
use crate::edge::ownership::RecordMark;
use crate::edge::plan::Change;
use crate::edge::{HostnameOutcome, IngressOutcome, dns, tunnel};
use crate::error::PortError;
use crate::names::{Hostname, TunnelId};

/// Carries out changes, and keeps what did not go as planned.
pub(super) struct Executor<'a> {
    pub(super) api: &'a CachedApi,
    /// The mark of the Gateway's records.
    pub(super) mark: RecordMark,
    pub(super) tunnel: TunnelId,
    /// Without it certificates are left alone.
    pub(super) certificates: Option<CertificateWriter<'a>>,
    /// Hostnames for which it did not go as planned.
    pub(super) hostnames: BTreeMap<Hostname, HostnameOutcome>,
    /// Set where the ingress document did not go as planned.
    pub(super) ingress: Option<IngressOutcome>,
    /// Calls that failed, but for those about certificates.
    pub(super) failures: Vec<PortError>,
}

impl<'a> Executor<'a> {
    /// For an existing tunnel, or for one that is made now: the first change of every plan that has no tunnel.
    pub(super) async fn start(
        api: &'a CachedApi,
        work: &Work<'_>,
        existing: Option<TunnelId>,
    ) -> Result<Self, PortError> {
        let tunnel = match existing {
            Some(tunnel) => tunnel,
            None => tunnel::apply::create(api, &work.name).await?,
        };
        Ok(Self {
            api,
            mark: work.mark,
            tunnel,
            certificates: None,
            hostnames: BTreeMap::new(),
            ingress: None,
            failures: Vec::new(),
        })
    }

    /// Carries out what can be. Stops only where certificates cannot be noted as ours.
    pub(super) async fn carry_out(&mut self, changes: &[Change]) -> Result<(), PortError> {
        for change in changes {
            match (change, &mut self.certificates) {
                (Change::CreateTunnel, _) => {}
                (Change::Configure(document), _) => {
                    if let Err(error) = self.api.configure(self.tunnel, document).await {
                        let message = error.message.clone();
                        self.ingress = Some(IngressOutcome::Unknown { message });
                        self.failures.push(error);
                    }
                }
                (Change::Records(zone), _) => {
                    let changed = dns::apply::change(self.api, self.tunnel, self.mark, zone);
                    let failed = changed.await;
                    self.hostnames.extend(failed.hostnames);
                    self.failures.extend(failed.failures);
                }
                (Change::NoteCertificates, Some(writer)) => writer.put_notes().await?,
                (Change::Certificates(zone), Some(writer)) => writer.change_zone(zone).await,
                (Change::NoteCertificates | Change::Certificates(_), None) => {}
            }
        }
        Ok(())
    }
}
