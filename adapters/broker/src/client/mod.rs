//! The `Edge` of a cluster that has no Cloudflare credentials: intents go to the broker.
//!
//! Whatever is not an answer of the broker in full (no connection, no answer in time, half a document,
//! another server's page) is [`PortErrorKind::BrokerUnavailable`]: nothing is known then, so nothing is
//! taken for done and nothing for gone.
//!
//! - `addresses`: where the broker is, and which address is asked first.
//! - `attesting`: what it shows of where it runs.
//! - `calls`: one request and its answer, with a session that is opened and renewed by itself.
//! - `certificates`: chains and keys that the broker asks for.
//! - `stated`: what was stated of each Gateway, as the broker told it.
//! - `touch`: what goes on between the two while nothing changes.

mod addresses;
mod attesting;
mod calls;
mod certificates;
mod stated;
mod touch;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::broker::attestation::Attestor;
use domain::broker::held::Place;
use domain::broker::plan::Planned;
use domain::edge::{EdgeIntent, EdgeStatus, Partial};
use domain::ports::{Certificates, Clock, Edge, Entropy, PortError, PortErrorKind};
use domain::secret::{ConnectorToken, TokenHash};
use domain::{InstanceId, ObjectKey};
use reqwest::Method;
use secrecy::SecretString;

use crate::identity::key::ClusterKey;
use crate::wire::{
    IntentDocument, LARGEST_INTENT, LiveDocument, OwnedDocument, PlanDocument, PlanRequest,
    RetiredDocument, SweptDocument, TermDocument, TokenDocument,
};
use calls::{Answered, Ask, Calls};
use stated::Known;
use touch::News;

/// What a client is built from.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Base URLs of brokers with one store: the first that answers is used for as long as it does. Plain `http` only to this
    /// machine.
    pub base_urls: Vec<String>,
    /// By which the broker knows the cluster.
    pub key: ClusterKey,
    /// Is redeemed where the broker does not know the key.
    pub code: Option<SecretString>,
    pub instance: InstanceId,
    /// What is shown of where this runs; `None` for nothing.
    pub attestor: Option<Arc<dyn Attestor>>,
    /// Certificates (PEM, any number) that are trusted besides the system's; empty for none.
    pub extra_roots: Vec<u8>,
    /// Limit for one request, its whole answer included.
    pub request_timeout: Duration,
    pub connect_timeout: Duration,
    /// How long is waited for a statement to be done. After it, it goes on all the same.
    pub statement_timeout: Duration,
    /// How often the broker is told that the cluster is there, give or take a fifth.
    pub heartbeat: Duration,
}

/// Why no client can be built from the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be used; it is not repeated, as it may hold a password.
    #[error("the broker's URL cannot be used: {0}")]
    BaseUrl(&'static str),
    #[error("the broker's root certificates cannot be read: {0}; a PEM file is expected")]
    ExtraRoots(String),
    #[error("the HTTPS client cannot be set up: {0}")]
    Setup(String),
}

/// When a controller whose term is over begins another one: by then it leads again, or knows that it does not.
const AGAIN: Duration = Duration::from_secs(20);

/// Whether this process leads the cluster, as the broker sees it.
#[derive(Debug, Default)]
enum Term {
    /// It stated nothing yet.
    #[default]
    None,
    /// The place of its last statement.
    Begun(Place),
    /// Another one began a term, seen then.
    Over(Instant),
}

fn deposed() -> PortError {
    let message = "the broker was told that another controller of this cluster leads";
    PortError::new(PortErrorKind::Conflict, message)
}

/// [`Edge`] through a broker.
pub struct BrokerEdge {
    calls: Calls,
    term: tokio::sync::Mutex<Term>,
    statement_timeout: Duration,
    heartbeat: Duration,
    entropy: Arc<dyn Entropy>,
    certificates: Option<Arc<dyn Certificates>>,
    known: Known,
    news: News,
}

impl std::fmt::Debug for BrokerEdge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerEdge")
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

impl BrokerEdge {
    /// A client; no request is made yet.
    pub fn new(
        settings: &ClientSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            calls: Calls::new(settings, clock, entropy.clone())?,
            term: tokio::sync::Mutex::default(),
            statement_timeout: settings.statement_timeout,
            heartbeat: settings.heartbeat,
            entropy,
            certificates: None,
            known: Known::default(),
            news: News::default(),
        })
    }

    /// Sends certificates of listeners with their keys, where the broker asks for them.
    #[must_use]
    pub fn with_certificates(mut self, certificates: Arc<dyn Certificates>) -> Self {
        self.certificates = Some(certificates);
        self
    }

    /// The next place in the order of the cluster. A term begins where there is none.
    async fn next_place(&self) -> Result<Place, PortError> {
        let mut term = self.term.lock().await;
        let next = match *term {
            Term::Begun(Place { term, sequence }) => Place {
                term,
                sequence: sequence + 1,
            },
            Term::Over(since) if since.elapsed() < AGAIN => return Err(deposed()),
            Term::Over(_) | Term::None => {
                let ask =
                    Ask::new(Method::POST, &["terms"]).with(&BTreeMap::<String, String>::new());
                let TermDocument { term } = self.calls.document(ask).await?;
                // Another controller may have led since, or the broker's store is one from before.
                self.news.add(self.known.clear());
                Place { term, sequence: 1 }
            }
        };
        *term = Term::Begun(next);
        Ok(next)
    }

    /// Another controller has begun a term since this one.
    async fn end_term(&self, ended: Place) {
        let mut term = self.term.lock().await;
        // What was under way with an earlier term says nothing of the present one.
        if matches!(*term, Term::Begun(place) if place.term == ended.term) {
            *term = Term::Over(Instant::now());
        }
    }

    /// What would come of a statement; `None` for a removal. Nothing is written, and no term begins.
    pub async fn plan(
        &self,
        gateway: &ObjectKey,
        intent: Option<&EdgeIntent>,
    ) -> Result<Planned, PortError> {
        let path = ["gateways", &*gateway.namespace, &*gateway.name, "plan"];
        let ask = Ask::new(Method::POST, &path).with(&PlanRequest::of(intent));
        let document: PlanDocument = self.calls.document(ask).await?;
        self.calls.read(document.read())
    }

    /// The broker does not take what is stated in this term. Either another controller leads, or its store is one from before.
    async fn lost_term(&self, place: Place) -> PortError {
        match self.beat(place).await {
            // Where a new term of the same number has begun meanwhile, that one goes on.
            Ok(Ordering::Less | Ordering::Equal) => {
                let message = "the broker's store is one from before; everything is stated again";
                PortError::unavailable(message)
            }
            Ok(Ordering::Greater) => deposed(),
            Err(_) => {
                self.end_term(place).await;
                deposed()
            }
        }
    }

    /// States something of a Gateway, and waits until it is done.
    async fn state(
        &self,
        method: Method,
        gateway: &ObjectKey,
        rest: &[&str],
        body: Option<Vec<u8>>,
    ) -> Result<EdgeStatus, PortError> {
        let until = Instant::now() + self.statement_timeout;
        let of = ["gateways", &*gateway.namespace, &*gateway.name];
        let place = self.next_place().await?;
        self.known.begin(gateway);
        let ask = Ask {
            body,
            place: Some(place),
            ..Ask::new(method, &[&of, rest].concat())
        };
        let mut answer = self.calls.statement(ask).await;
        while let Ok(Answered::Pending(pending)) = &answer {
            if Instant::now() >= until {
                self.known.end(gateway, Some(pending.version));
                let message = format!("the broker is still at work for Gateway {gateway}");
                return Err(PortError::unavailable(message));
            }
            let query = format!("version={}&after={}", pending.version, pending.after);
            let ask = Ask {
                query: Some(query),
                ..Ask::new(Method::GET, &[&of[..], &["status"]].concat())
            };
            answer = self.calls.statement(ask).await;
        }
        match answer? {
            Answered::Done(status, version) => {
                self.known.end(gateway, version);
                Ok(*status)
            }
            Answered::OtherTerm => Err(self.lost_term(place).await),
            Answered::Pending(_) => unreachable!("it is waited for as long as it is pending"),
        }
    }
}

#[async_trait]
impl Edge for BrokerEdge {
    async fn reconcile(&self, intent: &EdgeIntent) -> Result<EdgeStatus, PortError> {
        let (intent, told) = certificates::within_limit(intent);
        let gateway = &intent.gateway;
        let body = serde_json::to_vec(&IntentDocument::of(&intent))
            .expect("a document of texts can be written");
        if body.len() > LARGEST_INTENT {
            let message = format!(
                "Gateway {gateway} has more hostnames than the broker takes in one intent; spread them over several Gateways"
            );
            return Err(PortError::new(PortErrorKind::Invalid, message));
        }
        let status = self
            .state(Method::PUT, gateway, &["intent"], Some(body))
            .await?;
        let mut status = self.send_pairs(&intent, status).await;
        status.certificates.extend(told);
        Ok(status)
    }

    async fn owned(&self) -> Result<BTreeSet<ObjectKey>, Partial<BTreeSet<ObjectKey>>> {
        let ask = Ask::new(Method::GET, &["gateways"]);
        let document: OwnedDocument = self.calls.document(ask).await?;
        Ok(self.calls.read(document.read())?)
    }

    async fn connector_token(&self, gateway: &ObjectKey) -> Result<ConnectorToken, PortError> {
        let path = ["gateways", &*gateway.namespace, &*gateway.name, "token"];
        let document: TokenDocument = self.calls.document(Ask::new(Method::GET, &path)).await?;
        self.calls.read(document.read())
    }

    async fn retire_token(&self, gateway: &ObjectKey, retired: TokenHash) -> Result<(), PortError> {
        let body = serde_json::to_vec(&RetiredDocument::of(retired));
        let body = body.expect("a document of texts can be written");
        self.state(Method::PUT, gateway, &["token"], Some(body))
            .await?;
        Ok(())
    }

    async fn close_connections(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.state(Method::DELETE, gateway, &["connections"], None)
            .await?;
        Ok(())
    }

    async fn remove(&self, gateway: &ObjectKey) -> Result<(), PortError> {
        self.state(Method::DELETE, gateway, &[], None).await?;
        self.known.forget(gateway);
        Ok(())
    }

    async fn sweep(&self, live: &BTreeSet<ObjectKey>) -> Result<BTreeSet<String>, PortError> {
        let ask = Ask {
            place: Some(self.next_place().await?),
            ..Ask::new(Method::PUT, &["gateways"]).with(&LiveDocument::of(live))
        };
        if ask
            .body
            .as_ref()
            .is_some_and(|body| body.len() > LARGEST_INTENT)
        {
            let message = "there are more Gateways than the broker takes in one list, so records \
                           of Gateways that are gone are not looked for";
            return Err(PortError::new(PortErrorKind::Invalid, message));
        }
        let document: SweptDocument = self.calls.document(ask).await?;
        self.known.all(live);
        Ok(document.swept)
    }

    async fn news(&self) -> BTreeSet<ObjectKey> {
        self.news.come().await
    }
}
