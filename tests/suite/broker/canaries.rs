//! Secrets of every kind are planted in a broker; it does everything that it can do, and crashes. None of them is in what it
//! leaves or says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adapter_broker::people::password;
use adapter_broker_store::SqlStore;
use app::system::SystemClock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::ObjectKey;
use domain::broker::PersonName;
use domain::broker::audit::Event;
use domain::broker::ports::{Audit, Intents};
use domain::ports::{Clock, Edge};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tests::broker::{Broker, EAST, Enrolled, RawCluster, WEST, certificate, grant_certificates};
use tests::process::free_address;
use tests::world::{World, within};

const PASSWORD: &str = "canary password of ada";

/// A key in the environment: 32 bytes in base64.
const VARIABLE: &str = "next Y2FuYXJ5OiBhIGtleSBpbiB0aGUgZW52aXJvbm1lbnQ=";

/// Files that were given to the broker, with what is secret in them.
const GIVEN: [&str; 4] = ["cloudflare-token", "keys", "password", "refused-token"];

/// What must be nowhere: by its name, as it is, in base64 and in hexadecimal digits.
#[derive(Default)]
struct Canaries(BTreeMap<String, [String; 3]>);

impl Canaries {
    fn plant(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= 16, "{name} would be found by chance");
        let digits: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let base64 = STANDARD.encode(secret);
        // The last letters depend on what follows.
        let base64 = base64[..base64.len() - 4].to_owned();
        self.0
            .insert(name.to_owned(), [secret.to_owned(), base64, digits]);
    }

    /// The names of those that are in it.
    fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let text = String::from_utf8_lossy(bytes);
        let is_in = |form: &String| text.contains(form);
        let found = self.0.iter().filter(|(_, forms)| forms.iter().any(is_in));
        found.map(|(name, _)| name.as_str()).collect()
    }
}

/// The broker's API for people, and all that it answered but what it answers once.
struct Asking {
    url: String,
    told: Vec<(String, String)>,
}

impl Asking {
    async fn ask(&mut self, method: Method, path: &str, token: &str, body: Value) -> (u16, Value) {
        let what = format!("{method} {path}");
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.url));
        let mut request = request.bearer_auth(token);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let headers = format!("{:?}", answer.headers());
        let text = answer.text().await.unwrap();
        let document = serde_json::from_str(&text).unwrap_or_default();
        let once = status == 201;
        self.told
            .push((what, if once { headers } else { headers + &text }));
        (status, document)
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_in(&path)),
            false => files.push(path),
        }
    }
    files
}

async fn fill_the_audit(store: &SqlStore, entries: usize) {
    for number in 0..entries {
        let event = Event {
            at: SystemClock.now(),
            actor: "test".to_owned(),
            detail: format!("entry {number}"),
            ..Event::default()
        };
        store.append(event).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_what_a_broker_writes_says_or_leaves_when_it_crashes() {
    let world = World::start().await;
    let mut canaries = Canaries::default();
    let people = free_address();
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("CFGW_PEOPLE__LISTEN", people.to_string()),
        ("CFGW_LOG__FILTER", "debug".to_owned()),
        (
            "CFGW_AUDIT__EXPORT_FOLDER",
            folder.path().display().to_string(),
        ),
        ("CFGW_AUDIT__MAX_ENTRIES", "10".to_owned()),
        ("CFGW_AUDIT__CHECKPOINT_ENTRIES", "10".to_owned()),
        ("CFGW_KEYS_VARIABLE", "BROKER_KEYS".to_owned()),
        ("CFGW_SEAL_WITH", "variable".to_owned()),
        ("BROKER_KEYS", VARIABLE.to_owned()),
    ];
    let mut broker = Broker::start_with(&world, &environment).await;
    let limits = broker.process_file("limits");
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = cores.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");

    canaries.plant("the API token", &world.token);
    let keys = std::fs::read_to_string(broker.files().join("keys")).unwrap();
    canaries.plant(
        "the key in the file",
        keys.trim().split(' ').nth(1).unwrap(),
    );
    let variable = VARIABLE.split(' ').nth(1).unwrap();
    canaries.plant("the key in the environment, in base64", variable);
    let variable = String::from_utf8(STANDARD.decode(variable).unwrap()).unwrap();
    canaries.plant("the key in the environment", &variable);
    canaries.plant("the password", PASSWORD);
    let refused_token = "canary-token-that-is-refused";
    canaries.plant("the refused token", refused_token);
    for (name, text) in [("password", PASSWORD), ("refused-token", refused_token)] {
        std::fs::write(broker.files().join(name), text).unwrap();
    }
    let file = |name: &str| broker.files().join(name).display().to_string();

    // At the store.
    let put = [
        "put-person",
        "ada",
        "--role",
        "operator",
        "--role",
        "credential-admin",
    ];
    let password_file = file("password");
    let put = [
        &put[..],
        &["--role", "auditor", "--password-file", &password_file],
    ]
    .concat();
    let address = broker.command(&put).await;
    let (_, codes) = address.split_once("secret=").expect(&address);
    let codes = codes.trim().split('&').next().unwrap().to_owned();
    canaries.plant("what the one-time codes come from", &codes);
    let invited = broker
        .command(&["invite", "north", "--tenant", "acme"])
        .await;
    canaries.plant("a code", invited.trim());

    // As people.
    let mut asking = Asking {
        url: format!("http://{people}"),
        told: Vec::new(),
    };
    let name = PersonName::parse("ada").unwrap();
    let now = u64::try_from(SystemClock.now().0).unwrap();
    let code = password::code_at(&name, &SecretString::from(codes), now).unwrap();
    for (given, expected) in [("canary mistyped password", 401), (PASSWORD, 201)] {
        canaries.plant(given, given);
        let body = json!({"name": "ada", "password": given, "code": code});
        let path = "/admin/v1/sessions";
        let (status, document) = asking
            .ask(Method::POST, path, "canary of nobody", body)
            .await;
        assert_eq!(status, expected, "{document}");
        if let Some(token) = document["token"].as_str() {
            canaries.plant("the token of a person", token);
        }
    }
    canaries.plant("a token of nobody", "canary of nobody");
    let token = canaries.0["the token of a person"][0].clone();
    let tenant = json!({"tenant": "acme"});
    let path = "/admin/v1/clusters/south/invitation";
    let (_, invited) = asking.ask(Method::POST, path, &token, tenant.clone()).await;
    canaries.plant("a code over the API", invited["code"].as_str().unwrap());

    // As clusters. The account pays for no certificate, so the key stays sealed.
    grant_certificates(&broker.store, true).await;
    let (pair, certificate) = certificate("app.example.com");
    let key = pair.0.key.expose_secret().to_owned();
    canaries.plant("the key of a certificate", &key);
    canaries.plant("a line of that key", key.lines().nth(1).unwrap());
    let east = broker.client(EAST).await.with_certificates(Arc::new(pair));
    let gateway = ObjectKey::new("default", "one");
    let mut intent = domain::testing::intent(gateway.clone(), &["app.example.com"]);
    intent.certificates = Some([certificate].into());
    east.reconcile(&intent).await.unwrap();
    let held = broker
        .store
        .held(&Enrolled::of(EAST).cluster, &gateway)
        .await
        .unwrap();
    assert_eq!(held.unwrap().pairs.len(), 1, "it is kept, sealed");
    let connector = east.connector_token(&gateway).await.unwrap();
    canaries.plant("the token of a tunnel", connector.expose());
    let raw = RawCluster::open(&broker, &Enrolled::of(WEST)).await;
    canaries.plant("the token of a cluster", &raw.token);

    let put_token = json!({"token": refused_token});
    let (put, get, post) = (Method::PUT, Method::GET, Method::POST);
    for (method, path, body, expected) in [
        (&put, "accounts/main/token", put_token, 4),
        (
            &put,
            "accounts/main/token",
            json!({"token": world.token}),
            2,
        ),
        (
            &put,
            "accounts/main/token",
            json!({"token": 1, "other": refused_token}),
            4,
        ),
        (
            &put,
            "accounts/main/token",
            json!({"token": format!("{refused_token} ")}),
            4,
        ),
        (&get, "accounts", Value::Null, 2),
        (&get, "clusters", Value::Null, 2),
        (&get, "clusters/east/gateways", Value::Null, 2),
        (&get, "tenants/acme/grants", Value::Null, 2),
        (&post, "clusters/west/quarantine", Value::Null, 2),
        (
            &post,
            "clusters/west/removal",
            json!({"confirm": "west"}),
            2,
        ),
        (&get, "audit?limit=200", Value::Null, 2),
        (&get, "audit/verification", Value::Null, 2),
        (&get, "audit/checkpoints", Value::Null, 2),
    ] {
        let path = format!("/admin/v1/{path}");
        let (status, document) = asking.ask(method.clone(), &path, &token, body).await;
        assert_eq!(status / 100, expected, "{method} {path}: {document}");
    }

    // Everything else at the store. What is sealed goes from one key to the other, and back.
    let copy = file("copy.db");
    let seals = [("CFGW_SEAL_WITH", "file".to_owned())];
    let wrapped = broker.command_with(&["wrap-again"], &seals).await;
    assert!(!wrapped.starts_with('0'), "{wrapped}");
    for words in [
        &["wrap-again"][..],
        &["new-signing-key"],
        &["sign-audit"],
        &["verify-audit"],
        &["back-up", &copy],
        &["clusters"],
        &["people"],
    ] {
        let text = broker.command(words).await;
        asking.told.push((words.join(" "), text));
    }
    let audit = broker.store.after(0, 1_000).await.unwrap();
    for (action, result) in [("gateway.publish", "done"), ("token.verify", "failed")] {
        let is_it = |event: &Event| event.action == action && event.result == result;
        let told = audit.iter().find(|entry| is_it(&entry.event));
        let ray = &told.expect(action).event.ray;
        assert!(
            ray.ends_with("-FRA"),
            "{action}: Cloudflare's id of the call: {ray:?}"
        );
    }
    fill_the_audit(&broker.store, 1_100).await;
    within(Duration::from_secs(30), "the audit is cut", || async {
        // Some must come after the checkpoint up to which is cut.
        fill_the_audit(&broker.store, 1).await;
        let whole = |file: &PathBuf| file.extension().is_some_and(|it| it == "jsonl");
        files_in(folder.path()).iter().any(whole).then_some(())
    })
    .await;
    asking
        .told
        .push(("metrics".to_owned(), broker.metrics().await));
    broker.abort().await;

    for (what, text) in &asking.told {
        assert_eq!(
            canaries.found_in(text.as_bytes()),
            [""; 0],
            "{what}: {text}"
        );
    }
    let files = [files_in(broker.files()), files_in(folder.path())].concat();
    let all = files
        .iter()
        .map(|file| file.display().to_string())
        .collect::<Vec<_>>();
    for wanted in ["broker.db", "broker.log", "copy.db", ".jsonl"] {
        assert!(
            all.iter().any(|file| file.ends_with(wanted)),
            "{wanted}: {all:?}"
        );
    }
    for file in &files {
        let is_given = GIVEN.iter().any(|given| file.ends_with(given));
        let found = canaries.found_in(&std::fs::read(file).unwrap());
        assert!(
            is_given || found.is_empty(),
            "{}: {found:?}",
            file.display()
        );
    }
    // The broker crashed in this folder.
    let here = std::fs::read_dir(".")
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let dumps: Vec<_> = here
        .filter(|name| name.to_string_lossy().starts_with("core"))
        .collect();
    assert!(dumps.is_empty(), "{dumps:?}");
}
