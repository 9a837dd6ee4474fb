//! A transit engine: a double of it, written from its documentation, and the genuine one where VAULT names its binary.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use adapter_kms::VaultSettings;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

pub(crate) const TOKEN: &str = "hvs.canary";

/// A Vault with a key `cfgw`, and files of whoever uses it.
pub(crate) struct Vault {
    pub(crate) folder: tempfile::TempDir,
    address: String,
    serving: Serving,
}

enum Serving {
    Double(MockServer, Double),
    Genuine(Child),
}

impl Drop for Vault {
    fn drop(&mut self) {
        if let Serving::Genuine(server) = &mut self.serving {
            // Whether it is still there does not matter.
            drop(server.kill());
            drop(server.wait());
        }
    }
}

impl Vault {
    pub(crate) async fn double() -> Self {
        let (server, double) = (MockServer::start().await, Double::default());
        Mock::given(wiremock::matchers::any())
            .respond_with(double.clone())
            .mount(&server)
            .await;
        Self::with(server.uri(), Serving::Double(server, double))
    }

    /// `None`, told, where VAULT does not name a binary.
    pub(crate) async fn genuine() -> Option<Self> {
        let Some(binary) = std::env::var_os("VAULT") else {
            println!("NOT RUN: VAULT does not name the binary of a Vault");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server = Command::new(binary)
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={TOKEN}"))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = format!("http://127.0.0.1:{port}");
        let vault = Self::with(address, Serving::Genuine(server));
        let began = std::time::Instant::now();
        while vault
            .post("sys/mounts/transit", json!({"type": "transit"}))
            .await
            != Some(204)
        {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "Vault does not start"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        vault.post("transit/keys/cfgw", json!({})).await;
        Some(vault)
    }

    fn with(address: String, serving: Serving) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        Self {
            folder,
            address,
            serving,
        }
    }

    async fn post(&self, path: &str, body: Value) -> Option<u16> {
        let call = reqwest::Client::new()
            .post(format!("{}/v1/{path}", self.address))
            .header("x-vault-token", TOKEN)
            .json(&body);
        Some(call.send().await.ok()?.status().as_u16())
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    pub(crate) fn settings(&self) -> VaultSettings {
        VaultSettings {
            address: self.address.clone(),
            mount: "transit".to_owned(),
            key: "cfgw".to_owned(),
            namespace: None,
            token_file: self.token_file(),
            ca_file: None,
            timeout: Duration::from_secs(10),
        }
    }

    /// Makes another version of the key.
    pub(crate) async fn rotate(&self) {
        match &self.serving {
            Serving::Double(_, double) => {
                double.version.fetch_add(1, Ordering::Relaxed);
            }
            Serving::Genuine(_) => {
                self.post("transit/keys/cfgw/rotate", json!({})).await;
            }
        }
    }

    /// What the double was asked.
    pub(crate) async fn requests(&self) -> Vec<Request> {
        match &self.serving {
            Serving::Double(server, _) => server.received_requests().await.unwrap(),
            Serving::Genuine(_) => Vec::new(),
        }
    }
}

/// Answers as the transit engine's documentation says. What it encrypts is the text with a mark of its version.
#[derive(Clone)]
pub(crate) struct Double {
    version: Arc<AtomicU32>,
}

impl Default for Double {
    fn default() -> Self {
        Self {
            version: Arc::new(AtomicU32::new(1)),
        }
    }
}

const MARK: &str = "enciphered:";

impl Respond for Double {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let header = |name: &str| request.headers.get(name).and_then(|it| it.to_str().ok());
        if header("x-vault-request") != Some("true") {
            return refusal(412, "required 'X-Vault-Request' header is missing");
        }
        if header("x-vault-token") != Some(TOKEN) {
            return refusal(403, "permission denied");
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match request.url.path() {
            "/v1/transit/encrypt/cfgw" => self.encrypt(body["plaintext"].as_str()),
            "/v1/transit/decrypt/cfgw" => self.decrypt(body["ciphertext"].as_str()),
            _ => refusal(404, "no handler for route"),
        }
    }
}

impl Double {
    fn encrypt(&self, plain: Option<&str>) -> ResponseTemplate {
        let Some(plain) = plain.filter(|plain| STANDARD.decode(plain).is_ok()) else {
            return refusal(400, "failed to base64-decode plaintext");
        };
        let version = self.version.load(Ordering::Relaxed);
        let turned: String = plain.chars().rev().collect();
        let text = STANDARD.encode(format!("{MARK}{version}:{turned}"));
        let ciphertext = format!("vault:v{version}:{text}");
        answer(&json!({ "ciphertext": ciphertext, "key_version": version }))
    }

    fn decrypt(&self, ciphertext: Option<&str>) -> ResponseTemplate {
        let refused = || refusal(400, "cipher: message authentication failed");
        let read = || {
            let (version, text) = ciphertext?.strip_prefix("vault:v")?.split_once(':')?;
            let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
            let turned = text.strip_prefix(&format!("{MARK}{version}:"))?.to_owned();
            let is_known = version.parse::<u32>().ok()? <= self.version.load(Ordering::Relaxed);
            is_known.then(|| turned.chars().rev().collect::<String>())
        };
        let plain: Option<String> = read();
        plain.map_or_else(refused, |plain| answer(&json!({ "plaintext": plain })))
    }
}

fn answer(data: &Value) -> ResponseTemplate {
    let whole = json!({
        "request_id": "0b2a0a3e-0000-0000-0000-000000000000", "lease_id": "", "renewable": false,
        "lease_duration": 0, "data": data, "wrap_info": null, "warnings": null, "auth": null,
    });
    ResponseTemplate::new(200).set_body_json(whole)
}

fn refusal(status: u16, said: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({ "errors": [said] }))
}
