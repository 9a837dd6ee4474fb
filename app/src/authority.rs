//! The certificate authority by which proxies know their controller: made once, kept in a Secret of the
//! controller's namespace, renewed with overlap.

use std::sync::Arc;
use std::time::Duration;

use adapter_kubernetes::KeptSecret;
use adapter_table_stream::{Authority, ServerIdentity};
use anyhow::Context;
use domain::gateway::SessionKey;
use domain::ports::Clock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::system::SystemClock;

/// How often the Secret is read: another replica may have renewed what is in it.
const INTERVAL: Duration = Duration::from_secs(300);

/// Replicas that start together all make an authority; one of them wins, the others take the winner's.
const ATTEMPTS: usize = 5;

/// What the authority gives to this replica and to proxies, kept current.
pub struct KeptAuthority {
    /// PEM of the authorities that proxies are to trust.
    pub bundle: watch::Receiver<String>,
    /// What this replica's server proves itself by.
    pub identity: watch::Receiver<Arc<ServerIdentity>>,
    /// What the keys of all Gateways' sessions are derived from.
    pub session_key: Option<SessionKey>,
}

/// Reads the authority, or makes it, and keeps it until `stop`.
pub async fn keep(secret: KeptSecret, stop: CancellationToken) -> anyhow::Result<KeptAuthority> {
    let authority = current(&secret).await?;
    let session_key = authority.session_key().cloned();
    let (bundle, bundle_seen) = watch::channel(authority.bundle());
    let identity = Arc::new(authority.issue(SystemClock.now()));
    let (identity, identity_seen) = watch::channel(identity);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            match current(&secret).await {
                Ok(authority) => {
                    let (now, new) = (SystemClock.now(), authority.bundle());
                    let is_other =
                        bundle.send_if_modified(|old| std::mem::replace(old, new.clone()) != new);
                    if is_other || identity.borrow().renew_at() <= now {
                        identity.send_replace(Arc::new(authority.issue(now)));
                    }
                }
                Err(error) => tracing::warn!("the certificate authority stays as it is: {error:#}"),
            }
        }
    });
    Ok(KeptAuthority {
        bundle: bundle_seen,
        identity: identity_seen,
        session_key,
    })
}

/// The authority of the Secret, made or renewed where that is due.
async fn current(secret: &KeptSecret) -> anyhow::Result<Authority> {
    let mut refused = None;
    for _ in 0..ATTEMPTS {
        let now = SystemClock.now();
        let kept = secret.read().await?;
        let due = match kept.as_ref().map(Authority::from_files).transpose()? {
            Some(authority) => match authority.renewed(now) {
                None => return Ok(authority),
                Some(renewed) => renewed,
            },
            None => Authority::new(now),
        };
        match secret.write(due.to_files()).await {
            Ok(()) => return Ok(due),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.context("no attempt was made")?.into())
}
