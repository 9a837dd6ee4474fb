//! Stands in for the controller of one `cfgw proxy`: hands it a table over the true stream, whoever it says it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adapter_table_stream::{Authority, LISTENER_LIMITS, Leader, ServerOptions, TableServer};
use async_trait::async_trait;
use domain::names::{ObjectKey, Timestamp};
use domain::ports::{DataPlane, PortError, ProxyIdentities};
use domain::route_table::RouteTable;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running one.
pub(crate) struct Controller {
    _stop: DropGuard,
    /// Where the proxy asks for its routes, `host:port`.
    pub(crate) address: String,
    /// The authority that the proxy is to trust.
    pub(crate) authority: PathBuf,
    /// What the proxy shows; it opens nothing.
    pub(crate) token: PathBuf,
}

/// Every token is that of this Gateway's proxy.
struct Anybody(ObjectKey);

#[async_trait]
impl ProxyIdentities for Anybody {
    async fn gateway_of(&self, _: &SecretString) -> Result<Option<ObjectKey>, PortError> {
        Ok(Some(self.0.clone()))
    }
}

impl Controller {
    /// Serves this table, and puts into the folder what the proxy needs to fetch it.
    pub(crate) async fn start(folder: &Path, table: Arc<RouteTable>) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let now = Timestamp(now.as_secs().try_into()?);
        let authority = Authority::new(now);
        let options = ServerOptions {
            late_after: Duration::from_secs(60),
            changed: Arc::default(),
            disowned: Arc::new(|_: &ObjectKey| {}),
            leader: Arc::new(|| Leader::Here { term: 1 }),
            limits: LISTENER_LIMITS,
        };
        let server = TableServer::new(Arc::new(Anybody(table.gateway.clone())), options);
        server.publish(table).await?;
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let controller = Self {
            address: listener.local_addr()?.to_string(),
            authority: folder.join("authority.pem"),
            token: folder.join("token"),
            _stop: stop.clone().drop_guard(),
        };
        std::fs::write(&controller.authority, authority.bundle())?;
        std::fs::write(&controller.token, "anybody")?;
        let (told, identity) = watch::channel(Arc::new(authority.issue(now)));
        tokio::spawn(async move {
            server.serve(listener, identity, stop).await;
            drop(told);
        });
        Ok(controller)
    }
}
