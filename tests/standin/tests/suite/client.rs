//! A started stand-in with one zone, and a plain HTTP client.

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use standin::cloud::{Account, ApiToken, Cloud, Plan};
use standin::{ACCOUNT_ID, Standin, StandinOptions};

pub(crate) const TOKEN: &str = "full-rights";
pub(crate) const ZONE: &str = "example.com";

/// The stand-in, its zone, and a client with a token.
pub(crate) struct Site {
    pub(crate) standin: Standin,
    pub(crate) zone: String,
    http: Client,
}

/// Status and body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) retry_after: Option<String>,
}

impl Answer {
    /// The first error's code.
    pub(crate) fn code(&self) -> Option<u64> {
        self.body["errors"][0]["code"].as_u64()
    }

    /// The result of a success.
    #[track_caller]
    pub(crate) fn result(&self) -> &Value {
        assert_eq!(self.body["success"], true, "{self:?}");
        &self.body["result"]
    }

    /// Status and first code of a refusal, whose envelope is checked.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, u64) {
        assert_eq!(self.body["success"], false, "{self:?}");
        assert!(self.body["result"].is_null(), "{self:?}");
        assert!(self.body["messages"].is_array(), "{self:?}");
        (self.status.as_u16(), self.code().expect("an error code"))
    }
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with_plan(Plan::Free).await
    }

    pub(crate) async fn with_plan(plan: Plan) -> Self {
        let options = StandinOptions {
            account: Account {
                id: ACCOUNT_ID.to_owned(),
                name: "Tests".to_owned(),
                plan,
            },
            tokens: vec![ApiToken::all_powerful(ACCOUNT_ID, TOKEN)],
            zones: vec![ZONE.to_owned()],
            ..StandinOptions::default()
        };
        let standin = Standin::start(options).await.unwrap();
        let zone = standin.cloud().zones()[0].id.clone();
        // Another connection for each call: faults end connections.
        let http = Client::builder().pool_max_idle_per_host(0).build().unwrap();
        Self {
            standin,
            zone,
            http,
        }
    }

    pub(crate) fn cloud(&self) -> &Cloud {
        self.standin.cloud()
    }

    /// A call with the token of full rights.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let authorization = format!("Bearer {TOKEN}");
        self.call_as(&authorization, method, path, body)
            .await
            .unwrap()
    }

    /// A call with any Authorization header; none when it is empty.
    pub(crate) async fn call_as(
        &self,
        authorization: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Answer> {
        let url = format!("{}{path}", self.standin.api_url());
        let mut request = self.http.request(method.parse::<Method>().unwrap(), url);
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let retry_after = response.headers().get("retry-after");
        Ok(Answer {
            status: response.status(),
            retry_after: retry_after.map(|v| v.to_str().unwrap().to_owned()),
            body: response.json().await?,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    /// Path of the zone's records, with something after it.
    pub(crate) fn records(&self, rest: &str) -> String {
        format!("/zones/{}/dns_records{rest}", self.zone)
    }

    /// Path of the account's tunnels, with something after it.
    pub(crate) fn tunnels(&self, rest: &str) -> String {
        format!("/accounts/{ACCOUNT_ID}/cfd_tunnel{rest}")
    }

    /// Makes a tunnel and returns its id.
    pub(crate) async fn tunnel(&self, name: &str) -> String {
        let body = serde_json::json!({"name": name, "config_src": "cloudflare"});
        let made = self.post(&self.tunnels(""), body).await;
        made.result()["id"].as_str().unwrap().to_owned()
    }

    /// Makes a record and returns it.
    pub(crate) async fn record(&self, body: Value) -> Value {
        self.post(&self.records(""), body).await.result().clone()
    }
}
