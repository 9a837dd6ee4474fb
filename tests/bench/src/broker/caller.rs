//! A cluster that asks, with proofs that are made here, so that nothing is kept from the broker.

use adapter_broker::identity::key::ClusterKey;
use adapter_broker::wire::IntentDocument;
use anyhow::Context as _;
use app::system::SystemClock;
use domain::edge::EdgeIntent;
use domain::ports::Clock as _;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tests::broker::prove;

use super::filled::Member;

/// A cluster with a session.
#[derive(Clone)]
pub(super) struct Caller {
    http: Client,
    url: String,
    key: ClusterKey,
    token: Option<String>,
    term: u64,
    /// Of its last statement.
    sequence: u64,
    intents: Vec<EdgeIntent>,
}

impl Caller {
    pub(super) async fn open(url: &str, member: &Member) -> anyhow::Result<Self> {
        let mut caller = Self {
            http: Client::builder().no_proxy().build()?,
            url: url.to_owned(),
            key: member.key.clone(),
            token: None,
            term: member.term,
            sequence: member.intents.len() as u64,
            intents: member.intents.clone(),
        };
        let instance = json!({ "instance": member.instance.to_string() });
        let asked = caller.request(Method::POST, "/v1/sessions").json(&instance);
        let opened: Value = asked.send().await?.error_for_status()?.json().await?;
        caller.token = Some(opened["token"].as_str().context("a session")?.to_owned());
        Ok(caller)
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.url);
        let token = self.token.as_deref();
        let proof = prove(&self.key, method.as_str(), &url, token, SystemClock.now());
        let request = self.http.request(method, url).header("dpop", proof);
        match token {
            Some(token) => request.header("authorization", format!("DPoP {token}")),
            None => request,
        }
    }

    fn path(&self, number: usize, what: &str) -> (&EdgeIntent, String) {
        let wanted = &self.intents[number % self.intents.len()];
        let (namespace, name) = (&wanted.gateway.namespace, &wanted.gateway.name);
        (wanted, format!("/v1/gateways/{namespace}/{name}/{what}"))
    }

    /// States what is true already. Whether it was taken and nothing was to be done.
    pub(super) async fn state(&mut self, number: usize) -> anyhow::Result<bool> {
        self.sequence += 1;
        let place = format!("{}.{}", self.term, self.sequence);
        let (wanted, path) = self.path(number, "intent");
        let request = self.request(Method::PUT, &path);
        let request = request.header("statement-place", place);
        let answer = request.json(&IntentDocument::of(wanted)).send().await?;
        let status = answer.status();
        answer.bytes().await?;
        Ok(status == StatusCode::OK)
    }

    /// Asks what came of a Gateway.
    pub(super) async fn status(&mut self, number: usize) -> anyhow::Result<()> {
        let (_, path) = self.path(number, "status");
        let asked = self.request(Method::GET, &path);
        let asked = asked.query(&[("version", "0"), ("after", "0")]);
        let answer = asked.send().await?;
        answer.error_for_status()?.bytes().await?;
        Ok(())
    }
}
