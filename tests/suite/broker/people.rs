//! What people do over the broker's own API: each with a password and a one-time code, and what their roles permit.

use std::path::Path;
use std::time::Duration;

use adapter_broker::people::password;
use app::system::SystemClock;
use cfgwctl::cli::Cli;
use cfgwctl::failure::Failure;
use cfgwctl::screen::Screen;
use clap::Parser;
use domain::broker::PersonName;
use domain::ports::Clock;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use tests::broker::{Broker, EAST};
use tests::cluster::eventually;
use tests::manifests::{class_without_parameters, gateway_named};
use tests::process::{free_address, output};
use tests::world::{ACCOUNT, World};

const PASSWORD: &str = "canary of a person";

/// A broker that people can ask.
struct Asked {
    broker: Broker,
    url: String,
    client: reqwest::Client,
}

/// Somebody with what their codes come from.
struct Person {
    name: &'static str,
    codes: SecretString,
}

/// An answer: its status, and its document.
#[derive(Debug)]
struct Answer {
    status: u16,
    document: Value,
    text: String,
    /// The ETag of an item.
    tag: Option<String>,
}

impl Asked {
    async fn start(world: &World) -> Self {
        let address = free_address();
        let listen = [("CFGW_PEOPLE__LISTEN", address.to_string())];
        Self {
            broker: Broker::start_with(world, &listen).await,
            url: format!("http://{address}"),
            client: reqwest::Client::new(),
        }
    }

    /// Somebody whom whoever runs the broker made.
    async fn person(&self, name: &'static str, roles: &[&str], tenant: Option<&str>) -> Person {
        let file = |name: &str| self.broker.files().join(name).display().to_string();
        std::fs::write(file("password"), PASSWORD).unwrap();
        let (settings, password) = (file("broker.yaml"), file("password"));
        let mut arguments = vec!["broker", "put-person", name, "--config", &settings];
        arguments.extend(["--password-file", &password]);
        for role in roles {
            arguments.extend(["--role", role]);
        }
        if let Some(tenant) = tenant {
            arguments.extend(["--tenant", tenant]);
        }
        let address = output(&arguments).await;
        let (_, rest) = address.split_once("secret=").expect(&address);
        let codes = rest.trim().split('&').next().unwrap();
        Person {
            name,
            codes: SecretString::from(codes),
        }
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Answer {
        self.ask_with(method, path, token, body, &[]).await
    }

    async fn ask_with(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<Value>,
        headers: &[(&str, String)],
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let tag = answer.headers().get("etag");
        let tag = tag.map(|tag| tag.to_str().unwrap().to_owned());
        let text = answer.text().await.unwrap();
        let document = serde_json::from_str(&text).unwrap_or_default();
        Answer {
            status,
            document,
            text,
            tag,
        }
    }

    async fn signing_in(&self, name: &str, password: &str, code: &str) -> Answer {
        let shown = json!({"name": name, "password": password, "code": code});
        let path = "/admin/v1/sessions";
        self.ask(Method::POST, path, "", Some(shown)).await
    }

    /// The token of somebody who signs in.
    async fn signed_in(&self, person: &Person) -> String {
        let answer = self
            .signing_in(person.name, PASSWORD, &person.code(0))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.document["token"].as_str().unwrap().to_owned()
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::GET, path, token, None).await
    }
}

impl Person {
    /// What the authenticator shows so many steps from now.
    fn code(&self, steps: i64) -> String {
        let now = u64::try_from(SystemClock.now().0 + 30 * steps).unwrap();
        let name = PersonName::parse(self.name).unwrap();
        password::code_at(&name, &self.codes, now).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_with_a_password_and_a_code_that_is_good_once() {
    let world = World::start().await;
    let asked = Asked::start(&world).await;
    let ada = asked.person("ada", &["viewer"], None).await;
    for (name, password, code) in [
        ("ada", "another password", ada.code(0)),
        ("ada", PASSWORD, ada.code(-9)),
        ("ada", PASSWORD, String::new()),
        ("bob", PASSWORD, ada.code(0)),
        ("Not a name", PASSWORD, ada.code(0)),
    ] {
        let answer = asked.signing_in(name, password, &code).await;
        assert_eq!(answer.status, 401, "{name} {code}: {answer:?}");
        let kind = answer.document["type"].as_str().unwrap();
        assert!(kind.ends_with("/sign_in_refused"), "{kind}");
    }
    let code = ada.code(0);
    let signed_in = asked.signing_in("ada", PASSWORD, &code).await;
    assert_eq!(signed_in.status, 201, "{signed_in:?}");
    let token = signed_in.document["token"].as_str().unwrap();
    let own = asked.get("/admin/v1/sessions/current", token).await;
    assert_eq!(own.document, json!({"name": "ada", "roles": ["viewer"]}));

    let again = asked.signing_in("ada", PASSWORD, &code).await;
    assert_eq!(again.status, 401, "{again:?}");
    let current = "/admin/v1/sessions/current";
    let out = asked.ask(Method::DELETE, current, token, None).await;
    assert_eq!(out.status, 204, "{out:?}");
    for token in [token, "", "none"] {
        let answer = asked.get("/admin/v1/clusters", token).await;
        assert_eq!(answer.status, 401, "{token}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_wrong_guesses_are_followed_by_a_pause_even_for_the_right_one() {
    let world = World::start().await;
    let asked = Asked::start(&world).await;
    let ada = asked.person("ada", &["viewer"], None).await;
    let mut statuses = Vec::new();
    for _ in 0..7 {
        let answer = asked.signing_in("ada", PASSWORD, "000000").await;
        statuses.push(answer.status);
    }
    assert_eq!(&statuses[..5], [401; 5]);
    assert!(statuses[5..].contains(&429), "{statuses:?}");
    let right = asked.signing_in("ada", PASSWORD, &ada.code(0)).await;
    assert_eq!(right.status, 429, "{right:?}");
    // Whoever runs the broker ends the pause by a new password.
    let ada = asked.person("ada", &["viewer"], None).await;
    asked.signed_in(&ada).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_changed_meanwhile_is_not_lost() {
    let world = World::start().await;
    let asked = Asked::start(&world).await;
    let ada = asked.person("ada", &["operator"], None).await;
    let token = asked.signed_in(&ada).await;
    let path = "/admin/v1/tenants/acme/grants/some";
    let grant = |most: u32| json!({"name": "some", "hostnames": ["some.example.com"], "max_hostnames": most});
    let put = |most: u32, headers: Vec<(&'static str, String)>| {
        let (asked, token) = (&asked, &token);
        async move {
            let body = Some(grant(most));
            asked
                .ask_with(Method::PUT, path, token, body, &headers)
                .await
        }
    };
    let remove = |headers: Vec<(&'static str, String)>| {
        let (asked, token) = (&asked, &token);
        async move {
            asked
                .ask_with(Method::DELETE, path, token, None, &headers)
                .await
        }
    };
    let seen = |tag: &str| vec![("if-match", tag.to_owned())];
    let new = || vec![("if-none-match", "*".to_owned())];

    let made = put(1, new()).await;
    assert_eq!((made.status, &made.document), (201, &grant(1)));
    let first = made.tag.expect("an ETag");
    let read = asked.get(path, &token).await;
    assert_eq!((read.document, read.tag.as_ref()), (grant(1), Some(&first)));
    for (most, headers, status) in [
        (2, Vec::new(), 428),
        (2, new(), 412),
        (2, seen("\"0\""), 412),
        (2, seen(&first), 200),
        // The answer to it was lost, so it is asked again.
        (2, seen(&first), 200),
        (2, Vec::new(), 200),
        (3, seen(&first), 412),
        (3, seen("*"), 200),
    ] {
        let answer = put(most, headers.clone()).await;
        assert_eq!(answer.status, status, "{most} {headers:?}: {answer:?}");
        let is_put = status == 200;
        assert_eq!(is_put, answer.tag.is_some(), "{most} {headers:?}");
    }
    // Of many who saw the same, one replaces it.
    for round in 1..4 {
        let tag = asked.get(path, &token).await.tag.expect("an ETag");
        let all = (0..5).map(|one| put(10 * round + one, seen(&tag)));
        let answers = futures_util::future::join_all(all).await;
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412, 412]);
    }
    let last = asked.get(path, &token).await.tag.expect("an ETag");
    for (headers, status) in [
        (Vec::new(), 428),
        (seen(&first), 412),
        (seen(&last), 204),
        (seen(&last), 404),
    ] {
        let answer = remove(headers.clone()).await;
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_in_parts_and_no_part_has_more_than_200_items() {
    let world = World::start().await;
    let asked = Asked::start(&world).await;
    let ada = asked.person("ada", &["operator", "auditor"], None).await;
    let token = asked.signed_in(&ada).await;
    for name in ["acme-a", "acme-b", "acme-c"] {
        let (path, body) = (format!("/admin/v1/tenants/{name}"), json!({"name": name}));
        let put = asked.ask(Method::PUT, &path, &token, Some(body)).await;
        assert_eq!(put.status, 201, "{put:?}");
    }
    let names = |answer: &Answer| {
        let items = answer.document["items"].as_array().unwrap();
        let names = items.iter().map(|item| item["name"].as_str().unwrap());
        names.collect::<Vec<_>>().join(" ")
    };
    let first = asked.get("/admin/v1/tenants?limit=3", &token).await;
    assert_eq!(names(&first), "acme acme-a acme-b");
    let next = first.document["next"].as_str().unwrap();
    let rest = format!("/admin/v1/tenants?limit=3&cursor={next}");
    let rest = asked.get(&rest, &token).await;
    assert_eq!(
        (&*names(&rest), rest.document.get("next")),
        ("acme-c", None)
    );
    let mut sequences = Vec::new();
    let mut path = "/admin/v1/audit?limit=4".to_owned();
    loop {
        let part = asked.get(&path, &token).await;
        let items = part.document["items"].as_array().unwrap();
        sequences.extend(items.iter().map(|item| item["sequence"].as_u64().unwrap()));
        let Some(next) = part.document["next"].as_str() else {
            break;
        };
        path = format!("/admin/v1/audit?limit=4&cursor={next}");
    }
    let all: Vec<_> = (1..=sequences.len() as u64).collect();
    assert!(sequences.len() > 8, "{sequences:?}");
    assert_eq!(sequences, all);
    for query in ["limit=0", "limit=201", "limit=many", "cursor=-", "after=1"] {
        let path = format!("/admin/v1/audit?{query}");
        let answer = asked.get(&path, &token).await;
        assert_eq!(answer.status, 422, "{query}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_enrolled_and_turned_away_over_the_api() {
    let world = World::start().await;
    let asked = Asked::start(&world).await;
    world.write("class.yaml", &class_without_parameters());
    world.write("gateway.yaml", &gateway_named("my-gateway"));
    let operator = asked.person("ada", &["operator", "auditor"], None).await;
    let token = asked.signed_in(&operator).await;
    let post = |path: &'static str, body: Value| {
        let (asked, token) = (&asked, &token);
        async move { asked.ask(Method::POST, path, token, Some(body)).await }
    };
    let tenant = json!({"tenant": "acme"});
    let invited = post("/admin/v1/clusters/east/invitation", tenant.clone()).await;
    assert_eq!(invited.status, 201, "{invited:?}");
    let code = invited.document["code"].as_str().unwrap();
    let early = json!({"key": "a".repeat(43)});
    let early = post("/admin/v1/clusters/east/acceptance", early).await;
    let kind = early.document["type"].as_str().unwrap_or_default();
    assert!(kind.ends_with("/cluster_not_accepted"), "{early:?}");
    let url = asked.broker.url();
    let (cfgw, ()) = tokio::join!(world.cfgw_behind(&url, code), async {
        let patience = Duration::from_secs(20);
        let key = eventually("the cluster asks", patience, || async {
            let east = asked.get("/admin/v1/clusters/east", &token).await;
            let key = east.document["key"].as_str().map(str::to_owned);
            key.ok_or(east.text)
        })
        .await;
        let path = "/admin/v1/clusters/east/acceptance";
        let wrong = post(path, json!({"key": "a".repeat(43)})).await;
        assert_eq!(wrong.status, 409, "{wrong:?}");
        let accepted = post(path, json!({"key": key})).await;
        assert_eq!(accepted.document["standing"], "admitted", "{accepted:?}");
    });
    drop(cfgw);

    let audit = asked.get("/admin/v1/audit", &token).await;
    let told = audit.text;
    for action in [
        "cluster.invite",
        "cluster.accept",
        "person.sign-in",
        "person.put",
    ] {
        assert!(told.contains(action), "{action}: {told}");
    }
    assert!(!told.contains(code) && !told.contains(PASSWORD), "{told}");
    assert!(!told.contains("forbidden"), "she may: {told}");
    let verified = asked.get("/admin/v1/audit/verification", &token).await;
    assert!(
        verified.document["entries"].as_u64() > Some(5),
        "{verified:?}"
    );
    assert_eq!(verified.document.get("fault"), None, "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_document_is_named_and_a_secret_is_not_repeated() {
    let world = World::start().await;
    let asked = Asked::start(&world).await;
    let all = ["operator", "credential-admin"];
    let token = asked
        .signed_in(&asked.person("ada", &all, None).await)
        .await;
    let account = |id: &str| json!({"name": "main", "tenant": "acme", "cloudflare": id});
    for (path, body, named) in [
        (
            "tenants/acme/grants/all",
            json!({"name": "all", "hostnames": ["a b"]}),
            "a b",
        ),
        (
            "tenants/acme/grants/all",
            json!({"name": "all"}),
            "hostnames",
        ),
        (
            "tenants/acme/grants/all",
            json!({"name": "none", "hostnames": []}),
            "must be all",
        ),
        (
            "tenants/acme/grants/all",
            json!({"name": "all", "hostnames": [], "expires": "soon"}),
            "expires: ",
        ),
        (
            "tenants/acme/grants/all",
            json!({"name": "all", "hostnames": [], "more": 1}),
            "unknown field `more`",
        ),
        ("tenants/Acme", json!({}), "Acme"),
        ("accounts/main", account("canary"), "32 hexadecimal digits"),
        (
            "accounts/main/token",
            json!({"token": "canary with blanks"}),
            "visible ASCII",
        ),
        (
            "accounts/main/token",
            json!({"token": 1, "canary": "canary"}),
            "token",
        ),
    ] {
        let path = format!("/admin/v1/{path}");
        let answer = asked.ask(Method::PUT, &path, &token, Some(body)).await;
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
        let is_secret = path.ends_with("token");
        assert!(
            is_secret || answer.text.contains(named),
            "{path}: {answer:?}"
        );
        assert!(
            !is_secret || !answer.text.contains("with blanks"),
            "{answer:?}"
        );
    }
    let bad = json!({"token": "does-not-work"});
    let path = "/admin/v1/accounts/main/token";
    let answer = asked.ask(Method::PUT, path, &token, Some(bad)).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    let kind = answer.document["type"].as_str().unwrap();
    assert!(kind.ends_with("/credential_refused"), "{kind}");
    let main = asked.get("/admin/v1/accounts/main", &token).await.document;
    assert_eq!(
        (&main["state"]["token"], &main["cloudflare"]),
        (&json!(1), &json!(ACCOUNT))
    );
}

/// What `cfgwctl broker` prints, and how it ends.
async fn cfgwctl(session: &Path, line: &str) -> (String, Result<(), Failure>) {
    let session = session.display().to_string();
    let words = ["cfgwctl", "broker", "--session", &session].into_iter();
    let cli = Cli::try_parse_from(words.chain(line.split(' '))).expect(line);
    let mut out = Vec::new();
    let mut screen = Screen::new(&mut out, false);
    let ended = cfgwctl::run::run(cli, &mut screen).await;
    screen.finish().unwrap();
    (String::from_utf8(out).unwrap(), ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn cfgwctl_does_at_the_broker_what_its_api_permits() {
    let world = World::start().await;
    let asked = Asked::start(&world).await;
    let all = ["operator", "credential-admin", "auditor"];
    let ada = asked.person("ada", &all, None).await;
    asked.broker.client(EAST).await;
    let file = |name: &str| asked.broker.files().join(name);
    std::fs::write(
        file("grant.yaml"),
        "{name: some, hostnames: [some.example.com]}",
    )
    .unwrap();
    let session = file("session.json");
    let (_, ended) = cfgwctl(&session, "clusters").await;
    assert!(ended.unwrap_err().to_string().contains("sign in first"));

    let (url, code) = (&asked.url, ada.code(0));
    let (password, grant) = (file("password"), file("grant.yaml"));
    let token = file("cloudflare-token");
    let sign_in = format!(
        "sign-in {url} --name ada --code {code} --password-file {}",
        password.display()
    );
    let put_grant = format!("put-grant acme -f {}", grant.display());
    let put_token = format!("put-token main --file {}", token.display());
    for (line, printed) in [
        (sign_in.as_str(), "Signed in at http://127.0.0.1:"),
        ("tenants", "TENANT\nacme\n"),
        ("put-tenant new", "tenant new is there"),
        ("remove-tenant new", "tenant new is removed"),
        ("clusters", "east      acme     admitted   live"),
        ("gateways east", "GATEWAY   ACCOUNTS   HOSTNAMES"),
        (
            "when-expired east unpublish",
            "once cluster east has expired: unpublish",
        ),
        ("give-up east", "Nothing was changed"),
        ("revoke east", "cluster east is revoked"),
        ("quarantine east", "cluster east is quarantined"),
        ("clusters", "east      acme     quarantined"),
        ("invite east --tenant acme", "\n"),
        ("clusters -o json", "\"standing\": \"invited\""),
        ("give-up east --confirm east", "cluster east is given up"),
        ("clusters", "given up"),
        (&put_grant, "grant acme/some is in its place"),
        ("grants acme", "some    all        some.example.com"),
        ("remove-grant acme some", "grant acme/some is removed"),
        (&put_token, "the token of account main is in use"),
        ("accounts", "version 2   example.com"),
        ("audit", "grant.remove"),
        ("verify-audit", "entries follow from each other"),
        ("sign-out", "Signed out"),
    ] {
        let (text, ended) = cfgwctl(&session, line).await;
        assert_eq!(ended, Ok(()), "{line}");
        assert!(text.contains(printed), "{line}: {text}");
    }
    assert!(!session.exists());
}
