//! `cfgw broker`: Cloudflare credentials of its own, edge intents of many clusters in.
//!
//! - `seed`: tenants, accounts and grants out of a file. - `keys`: what secrets are sealed by.
//! - [`commands`]: what an operator does at the store. - [`people`]: whom they let in.
//! - `providers`: who vouches for others.

pub mod commands;
mod keys;
pub mod people;
mod providers;
mod seed;
mod store_password;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapter_broker::audit::{Keeper, Keeping};
use adapter_broker::engine::edges::StoredEdges;
use adapter_broker::engine::hold;
use adapter_broker::engine::meter::Meter;
use adapter_broker::engine::time::StoreTime;
use adapter_broker::people::{PeoplePlane, router as people_router};
use adapter_broker::rays;
use adapter_broker::seal::Envelopes;
use adapter_broker::tokens::Tokens;
use adapter_broker::{ClusterPlane, Engine, LISTENER_LIMITS, router, serve, tls_config};
use adapter_broker_store::SqlStore;
use adapter_cloudflare::CloudflareClient;
use anyhow::Context;
use config::BrokerSettings;
use config::broker::TlsSettings;
use config::values::Address;
use domain::broker::ClusterName;
use domain::broker::audit::Event;
use domain::broker::audit::retention::Retention;
use domain::broker::budget::Budget;
use domain::broker::contact::Patience;
use domain::broker::ports::Store;
use domain::ports::{Clock, CloudflareAccounts, Journal};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::edge::{cloudflare_client, read_pem};
use crate::listening;
use crate::system::{LogJournal, SystemClock, SystemEntropy};

/// How often files are looked at that may be replaced.
const LOOKS: Duration = Duration::from_secs(5);

/// `cfgw broker`, running.
pub struct Broker {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Broker {
    /// Wires everything together and starts it. An error names the setting that cannot be used.
    pub async fn start(settings: &BrokerSettings) -> anyhow::Result<Self> {
        let mut registry = Registry::with_prefix("cfgw");
        let parts = Parts::open(settings, &mut registry).await?;
        let is_seeded = match &settings.seed {
            Some(file) => seed::apply(&parts, file).await?,
            None => true,
        };
        let (tls, listen) = (tls(&settings.tls)?, settings.listen.get());
        let listener = listening::listen(listen)
            .await
            .with_context(|| format!("listen {listen}; choose a free address of this machine"))?;
        let address = listener.local_addr()?;
        // Before the broker says that it is ready.
        let people = people_listener(settings).await?;
        let stop = CancellationToken::new();
        let ready: admin::Readiness = Arc::new(|| Box::pin(async { Vec::new() }));
        let admin = settings.admin.listen.get();
        let admin = admin::serve(admin, Arc::new(registry), ready, stop.clone()).await?;
        let edges = parts.edges();
        let plane = ClusterPlane::new(
            parts.store.clone(),
            edges.clone(),
            parts.envelopes.clone(),
            Arc::new(SystemEntropy::default()),
            parts.clock.clone(),
        );
        let engine = Engine {
            store: parts.store.clone(),
            edges,
            time: parts.clock.clone(),
            entropy: Arc::new(SystemEntropy::default()),
            resync: settings.resync_interval.get(),
            patience: patience(settings),
        };
        let api = router(Arc::new(plane));
        let server = serve(
            listener,
            tls.as_ref().map(|tls| tls.subscribe()),
            api,
            LISTENER_LIMITS,
            stop.clone(),
        );
        let mut tasks = vec![tokio::spawn(server), tokio::spawn(engine.run(stop.clone()))];
        if let Some(listener) = people {
            let tls = tls.as_ref().map(|tls| tls.subscribe());
            let providers = providers::trusted(&settings.people.oidc)?;
            let api = people_router(Arc::new(parts.people().trusting(providers)));
            let server = serve(listener, tls, api, LISTENER_LIMITS, stop.clone());
            tasks.push(tokio::spawn(server));
        }
        let look_after = look_after(parts, settings.clone(), is_seeded, stop.clone());
        tasks.push(tokio::spawn(look_after));
        if let Some(tls) = tls {
            tasks.push(tokio::spawn(renew(tls, settings.tls.clone(), stop.clone())));
        }
        tracing::info!(%address, %admin, store = settings.store.as_str(), "broker started");
        Ok(Self {
            address,
            stop,
            tasks,
        })
    }

    /// Where clusters are served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes nothing new, finishes what is in flight if that is soon, stops. What is at Cloudflare stays, and what is not
    /// done is in the store.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for task in self.tasks {
            // It ends by itself; that it failed was logged.
            drop(task.await);
        }
        tracing::info!("broker stopped");
    }
}

/// What a broker and the commands of its operator work with.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub(crate) sql: SqlStore,
    pub(crate) envelopes: Arc<Envelopes>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) keeper: Keeper,
    /// By which all brokers of the store go.
    pub(crate) clock: Arc<StoreTime>,
    accounts: Arc<CloudflareClient>,
    /// Of each account.
    budget: Budget,
    pub(crate) patience: Patience,
}

impl Parts {
    /// Opens the store and reads the keys.
    pub async fn open(settings: &BrokerSettings, registry: &mut Registry) -> anyhow::Result<Self> {
        let accounts = cloudflare_client(&settings.cloudflare, registry)?;
        let accounts = Arc::new(accounts.on_ray(rays::note).guarded(hold::may_write));
        let envelopes = Arc::new(Envelopes::new(
            keys::keys(settings)?,
            Arc::new(SystemEntropy::default()),
        ));
        let password = store_password::read(settings)?;
        let sql = SqlStore::open(settings.store.as_str(), password.as_ref())
            .await
            .context("store")?;
        let clock = Arc::new(StoreTime::new(Arc::new(SystemClock)));
        clock.ask(&sql).await.context("store")?;
        let tokens = Tokens {
            store: Arc::new(sql.clone()),
            seal: envelopes.clone(),
            accounts: accounts.clone(),
            clock: clock.clone(),
        };
        let keeper = Keeper::new(
            Arc::new(sql.clone()),
            envelopes.clone(),
            Arc::new(SystemEntropy::default()),
            clock.clone(),
            keeping(settings),
        );
        Ok(Self {
            store: Arc::new(sql.clone()),
            sql,
            envelopes,
            tokens: Arc::new(tokens),
            keeper,
            clock,
            accounts,
            budget: Budget::new(settings.cloudflare.request_budget.get()),
            patience: patience(settings),
        })
    }

    fn people(&self) -> PeoplePlane {
        PeoplePlane::new(
            self.store.clone(),
            self.envelopes.clone(),
            self.tokens.clone(),
            Arc::new(SystemEntropy::default()),
            self.clock.clone(),
        )
    }

    fn edges(&self) -> Arc<StoredEdges> {
        let accounts = self.accounts.clone();
        let open = move |meter: Meter| -> Arc<dyn CloudflareAccounts> {
            Arc::new(accounts.metered(move |call| meter.count(call.pause)))
        };
        Arc::new(StoredEdges::new(
            Box::new(open),
            self.budget,
            self.store.clone(),
            self.envelopes.clone(),
            Arc::new(SystemEntropy::default()),
            self.clock.clone(),
            journal,
        ))
    }
}

fn patience(settings: &BrokerSettings) -> Patience {
    Patience {
        stale: settings.patience.stale.get(),
        expired: settings.patience.expired.get(),
    }
}

fn keeping(settings: &BrokerSettings) -> Keeping {
    let audit = &settings.audit;
    Keeping {
        entries: audit.checkpoint_entries.get().into(),
        every: audit.checkpoint_interval.get(),
        retention: Retention {
            keep: audit.keep.get(),
            most: audit.max_entries.get().into(),
        },
        folder: audit.export_folder.clone(),
    }
}

/// Where people are served, if they are.
async fn people_listener(settings: &BrokerSettings) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = settings.people.listen.map(Address::get) else {
        return Ok(None);
    };
    let listener = listening::listen(address).await.with_context(|| {
        format!("people.listen {address}; choose a free address of this machine")
    })?;
    tracing::info!(address = %listener.local_addr()?, "people are served");
    Ok(Some(listener))
}

/// Something that was done to an object.
fn event(actor: &str, action: &str, object: &str) -> Event {
    Event {
        at: SystemClock.now(),
        actor: actor.to_owned(),
        action: action.to_owned(),
        object: object.to_owned(),
        result: "done".to_owned(),
        ..Event::default()
    }
}

fn journal(cluster: &ClusterName) -> Arc<dyn Journal> {
    Arc::new(LogJournal {
        cluster: Some(cluster.to_string()),
    })
}

/// Takes up the seed where its file was replaced or not all of it was taken, and the store's password where that was replaced, looks for
/// zones that came, forgets tokens whose time is over, and looks after the audit.
async fn look_after(
    parts: Parts,
    settings: BrokerSettings,
    is_seeded: bool,
    stop: CancellationToken,
) {
    let file = settings.seed.as_deref();
    let read = || file.and_then(seed::present);
    let (mut known, mut looked) = (read().filter(|_| is_seeded), Instant::now());
    let mut trouble = None;
    let mut password = store_password::read(&settings).ok().flatten();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOKS) => {}
        }
        let now = read();
        if let (Some(file), true) = (file, now.is_some() && now != known) {
            match seed::apply(&parts, file).await {
                Ok(true) => known = now,
                Ok(false) => {}
                Err(error) => tracing::warn!("the seed is not taken up: {error:#}"),
            }
        }
        password = store_password::renew(&parts, &settings, password);
        if looked.elapsed() >= settings.resync_interval.get() {
            looked = Instant::now();
            if let Err(error) = parts.tokens.look_again().await {
                tracing::warn!("zones are looked for later: {error}");
            }
        }
        if let Err(error) = parts.tokens.expire().await {
            tracing::warn!("old tokens are forgotten later: {error}");
        }
        let found = parts.keeper.look().await.err();
        let found = found.map(|error| error.to_string());
        if let Some(error) = found.as_ref().filter(|_| found != trouble) {
            tracing::error!("the audit: {error}");
        }
        trouble = found;
    }
}

/// The present TLS of the server.
type Tls = watch::Sender<Arc<rustls::ServerConfig>>;

fn tls(settings: &TlsSettings) -> anyhow::Result<Option<Arc<Tls>>> {
    Ok(read_tls(settings)?.map(|tls| Arc::new(watch::Sender::new(tls))))
}

fn read_tls(settings: &TlsSettings) -> anyhow::Result<Option<Arc<rustls::ServerConfig>>> {
    let (Some(certificate), Some(key)) = (&settings.cert_file, &settings.key_file) else {
        return Ok(None);
    };
    let config = tls_config(&read_pem(certificate)?, &read_pem(key)?);
    Ok(Some(config.context("tls.cert_file and tls.key_file")?))
}

/// Reads certificate and key again, where they were replaced.
async fn renew(tls: Arc<Tls>, settings: TlsSettings, stop: CancellationToken) {
    let files = || {
        let files = [&settings.cert_file, &settings.key_file];
        files.map(|file| file.as_ref().and_then(|file| std::fs::read(file).ok()))
    };
    let mut known = files();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOKS) => {}
        }
        let now = files();
        if now == known {
            continue;
        }
        match read_tls(&settings) {
            Ok(Some(config)) => {
                tls.send_replace(config);
                known = now;
                tracing::info!("the server has another certificate");
            }
            // The two may be of different times, for a moment.
            Ok(None) => {}
            Err(error) => tracing::warn!("the server keeps its certificate: {error:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_setting_the_patience_is_that_of_the_domain() {
        assert_eq!(patience(&BrokerSettings::default()), Patience::default());
    }
}
