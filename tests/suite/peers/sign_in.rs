//! People sign in at a broker with a genuine OpenID provider, which has keys, pages and tokens of its own.

use std::io::{self, Write};

use adapter_broker::people::oidc::FETCH_AGAIN;
use adapter_broker::people::password;
use app::system::SystemClock;
use cfgwctl::cli::Cli;
use cfgwctl::failure::Failure;
use cfgwctl::screen::Screen;
use clap::Parser;
use domain::broker::PersonName;
use domain::broker::ports::Audit;
use domain::ports::Clock;
use reqwest::{Client, Method};
use secrecy::SecretString;
use serde_json::{Value, json};
use tests::broker::{Broker, EAST};
use tests::process::free_address;
use tests::world::World;
use tokio::sync::mpsc;

use super::{Peer, program};

/// The provider. Its people are ada, who is in the group `platform`, eve, who is in those of two tenants, and bob.
struct Provider {
    peer: Peer,
    http: Client,
}

impl Provider {
    async fn start() -> Self {
        Self {
            peer: Peer::start(&[program("PEER_PROVIDER")]).await,
            http: Client::new(),
        }
    }

    fn issuer(&self) -> String {
        format!("http://{}", self.peer.address)
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> reqwest::Response {
        let request = self.http.post(format!("{}{path}", self.issuer()));
        request.form(form).send().await.unwrap()
    }

    /// What somebody does on the provider's pages, with the code that a terminal shows them.
    async fn visit(&self, code: &str, name: &str, action: &str) {
        let form = [
            ("user_code", code),
            ("username", name),
            ("password", "verysecure"),
        ];
        let page = self.post("/device/login", &form).await;
        let cookie = page.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let confirm = format!("{}/device/confirm?action={action}", self.issuer());
        let page = self.http.get(confirm).header("cookie", cookie).send();
        let page = page.await.unwrap().text().await.unwrap();
        assert!(page.contains(action), "{page}");
    }

    /// The ID token of somebody who signed in for a client.
    async fn token(&self, name: &str, client: &str) -> String {
        let form = [("client_id", client), ("scope", "openid profile email")];
        let begun: Value = self
            .post("/device_authorization", &form)
            .await
            .json()
            .await
            .unwrap();
        self.visit(begun["user_code"].as_str().unwrap(), name, "allowed")
            .await;
        let form = [
            ("client_id", client),
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", begun["device_code"].as_str().unwrap()),
        ];
        let given: Value = self.post("/oauth/token", &form).await.json().await.unwrap();
        given["id_token"].as_str().expect("an ID token").to_owned()
    }
}

/// A broker that trusts the provider.
struct Asked {
    broker: Broker,
    url: String,
    http: Client,
}

impl Asked {
    async fn start(world: &World, provider: &Provider) -> Self {
        let address = free_address();
        let trusted = format!(
            "name: work
issuer: {}
client_id: cfgwctl
name_claim: email
rules:
- {{when: {{groups: platform}}, roles: [operator]}}
- {{when: {{groups: acme-look}}, roles: [viewer], tenant: acme}}
- {{when: {{groups: beta-look}}, roles: [viewer], tenant: beta}}
- {{when: {{email: bob@example.com}}, roles: [operator]}}
",
            provider.issuer()
        );
        let settings = [
            ("CFGW_PEOPLE__LISTEN", address.to_string()),
            ("CFGW_PEOPLE__OIDC", trusted),
        ];
        Self {
            broker: Broker::start_with(world, &settings).await,
            url: format!("http://{address}"),
            http: Client::new(),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let url = format!("{}/admin/v1/{path}", self.url);
        let mut request = self.http.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }

    async fn shown(&self, token: &str, tenant: Option<&str>) -> (u16, Value) {
        let mut body = json!({ "token": token });
        if let Some(tenant) = tenant {
            body["tenant"] = tenant.into();
        }
        self.ask(Method::POST, "sessions/oidc", "", Some(body))
            .await
    }

    /// What `cfgwctl broker` prints, line by line as it comes, and how it ends.
    async fn cfgwctl(
        &self,
        session: &str,
        line: &str,
        told: mpsc::UnboundedSender<String>,
    ) -> Result<(), Failure> {
        let session = self.broker.files().join(session).display().to_string();
        let words = ["cfgwctl", "broker", "--session", &session].into_iter();
        let cli = Cli::try_parse_from(words.chain(line.split(' '))).expect(line);
        let mut out = Lines(told);
        cfgwctl::run::run(cli, &mut Screen::new(&mut out, false)).await
    }

    /// The same to its end.
    async fn printed(&self, session: &str, line: &str) -> Result<String, Failure> {
        let (told, mut lines) = mpsc::unbounded_channel();
        self.cfgwctl(session, line, told).await?;
        let mut text = String::new();
        while let Some(line) = lines.recv().await {
            text += &line;
        }
        Ok(text)
    }
}

struct Lines(mpsc::UnboundedSender<String>);

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        drop(self.0.send(String::from_utf8_lossy(text).into_owned()));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a provider: use tests/peers/run"]
async fn somebody_at_a_terminal_signs_in_on_the_pages_of_the_provider() {
    let (world, provider) = (World::start().await, Provider::start().await);
    let asked = Asked::start(&world, &provider).await;
    asked.broker.client(EAST).await;
    let signing_in = async |name: &str, action: &str| {
        let (told, mut lines) = mpsc::unbounded_channel();
        let line = format!("sign-in {} --oidc", asked.url);
        let visiting = async {
            let line: String = lines.recv().await.expect("a line");
            let code = line.trim().rsplit(' ').next().unwrap().to_owned();
            assert!(line.contains(&provider.issuer()), "{line}");
            provider.visit(&code, name, action).await;
            // So that nothing is lost that is printed after.
            lines
        };
        let (ended, _lines) = tokio::join!(asked.cfgwctl(name, &line, told), visiting);
        ended
    };
    let (allowed, denied) = tokio::join!(signing_in("ada", "allowed"), signing_in("eve", "denied"));
    assert_eq!(allowed, Ok(()));
    let denied = denied.unwrap_err().to_string();
    assert!(denied.contains("it was refused in the browser"), "{denied}");

    let made = asked.printed("ada", "put-tenant new").await;
    assert_eq!(made.unwrap(), "tenant new is there\n");
    let clusters = asked.printed("ada", "clusters").await.unwrap();
    assert!(clusters.contains("east"), "{clusters}");
    let refused = asked.printed("ada", "audit").await.unwrap_err().to_string();
    let shown = format!("ada@example.com ({} ada)", provider.issuer());
    let lacks = format!("{shown} does not have the role auditor");
    assert!(refused.contains(&lacks), "{refused}");

    let audit = asked.broker.store.after(0, 200).await.unwrap();
    let told = |action: &str, result: &str| {
        let actor = format!("person {shown}");
        let mut all = audit.iter().map(|entry| &entry.event);
        all.any(|it| it.actor == actor && it.action == action && it.result == result)
    };
    assert!(told("person.sign-in", "done"), "{audit:#?}");
    assert!(told("tenant.put", "done"), "{audit:#?}");
    assert!(told("GET /admin/v1/audit", "forbidden"), "{audit:#?}");

    asked.printed("ada", "sign-out").await.unwrap();
    let over = asked
        .printed("ada", "clusters")
        .await
        .unwrap_err()
        .to_string();
    assert!(over.contains("sign in first"), "{over}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a provider: use tests/peers/run"]
async fn a_token_of_the_provider_gives_what_rules_say_and_is_good_once() {
    let (world, provider) = (World::start().await, Provider::start().await);
    let asked = Asked::start(&world, &provider).await;
    let get = Method::GET;
    let (status, known) = asked.ask(get.clone(), "identity-providers", "", None).await;
    let own = &known["items"][0];
    assert_eq!(
        (status, &own["issuer"]),
        (200, &json!(provider.issuer())),
        "{known}"
    );
    assert_eq!(own["client_id"], "cfgwctl", "{known}");

    let ada = provider.token("ada", "cfgwctl").await;
    let (status, signed_in) = asked.shown(&ada, None).await;
    assert_eq!(status, 201, "{signed_in}");
    let session = signed_in["token"].as_str().unwrap();
    let (_, own) = asked
        .ask(get.clone(), "sessions/current", session, None)
        .await;
    assert_eq!(own["roles"], json!(["operator"]), "{own}");
    let eve = provider.token("eve", "cfgwctl").await;
    let bob = provider.token("bob", "cfgwctl").await;
    let other = provider.token("ada", "other").await;
    for (token, tenant, status, told) in [
        (&ada, None, 401, "used already"),
        // An address that nobody verified.
        (&bob, None, 403, "no rule gives you a role here"),
        (&eve, None, 422, "acme, beta"),
        (
            &eve,
            Some("other"),
            403,
            "no rule gives you a role here in tenant other",
        ),
        (&eve, Some("acme"), 201, ""),
        (&eve, Some("acme"), 401, "used already"),
        (&other, None, 401, "issuer and audience"),
    ] {
        let (found, answer) = asked.shown(token, tenant).await;
        assert_eq!(found, status, "{told}: {answer}");
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(told), "{told}: {answer}");
    }

    // A program that was given a token, in a file.
    let file = asked.broker.files().join("token");
    std::fs::write(&file, provider.token("ada", "cfgwctl").await).unwrap();
    let line = format!("sign-in {} --token-file {}", asked.url, file.display());
    asked.printed("job", &line).await.unwrap();
    let printed = asked.printed("job", "tenants").await.unwrap();
    assert!(printed.contains("acme"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a provider: use tests/peers/run"]
async fn keys_of_the_provider_may_change_and_it_may_be_away() {
    let (world, provider) = (World::start().await, Provider::start().await);
    let mut asked = Asked::start(&world, &provider).await;
    let before = provider.token("ada", "cfgwctl").await;
    assert_eq!(asked.shown(&before, None).await.0, 201);
    let before = provider.token("ada", "cfgwctl").await;
    provider.post("/rotate", &[]).await;
    let after = provider.token("ada", "cfgwctl").await;
    // Not at once: tokens with keys that are not known could come by the thousand.
    let (status, answer) = asked.shown(&after, None).await;
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert!(
        status == 401 && detail.contains("try again in 10 s"),
        "{answer}"
    );
    tokio::time::sleep(FETCH_AGAIN).await;
    let (status, answer) = asked.shown(&after, None).await;
    assert_eq!(status, 201, "{answer}");
    let (status, answer) = asked.shown(&before, None).await;
    assert_eq!(status, 401, "the key was given up: {answer}");

    let late = provider.token("ada", "cfgwctl").await;
    let issuer = provider.issuer();
    drop(provider);
    asked.broker.restart().await;
    let (status, answer) = asked.shown(&late, None).await;
    assert_eq!(status, 503, "{answer}");
    let detail = answer["detail"].as_str().unwrap();
    assert!(
        detail.contains(&issuer) && detail.contains("does not answer"),
        "{answer}"
    );
    let line = format!("sign-in {} --oidc", asked.url);
    let failed = asked.printed("ada", &line).await.unwrap_err().to_string();
    assert!(
        failed.contains(&issuer) && failed.contains("does not answer"),
        "{failed}"
    );

    let password = asked.broker.files().join("password");
    std::fs::write(&password, "canary of a person").unwrap();
    let file = password.display().to_string();
    let put = [
        "put-person",
        "ada",
        "--role",
        "viewer",
        "--password-file",
        &file,
    ];
    let address = asked.broker.command(&put).await;
    let (_, codes) = address.split_once("secret=").expect(&address);
    let codes = SecretString::from(codes.split('&').next().unwrap());
    let (name, now) = (PersonName::parse("ada").unwrap(), SystemClock.now().0);
    let code = password::code_at(&name, &codes, u64::try_from(now).unwrap()).unwrap();
    let line = format!(
        "sign-in {} --name ada --password-file {file} --code {code}",
        asked.url
    );
    asked.printed("local", &line).await.unwrap();
}
