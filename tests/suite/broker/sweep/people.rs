//! The same for people: every path of their document, asked by people of another tenant, in every role and in none.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter_broker::identity::{digest, unpredictable};
use app::system::{SystemClock, SystemEntropy};
use domain::broker::audit::Event;
use domain::broker::ports::{PasswordHash, Sealed, Session, Store};
use domain::broker::role::{Person, Rights, Role};
use domain::broker::{ClusterName, PersonName, TenantName};
use domain::ports::{Clock, Edge};
use domain::{ObjectKey, Timestamp};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tests::broker::{Broker, RawCluster};
use tests::process::free_address;
use tests::world::{ACCOUNT, World};

use super::asking::{Answer, Request};
use super::operations::{Names, OF_PEOPLE, Operation};
use super::{CANARY, METHODS, enrolled, forms, operations, problem};

/// What a tenant has: the tenant's own name is the beginning of every other one.
#[derive(Debug, Clone)]
struct Things {
    of: &'static str,
    tenant: String,
    cluster: String,
    account: String,
    grant: String,
    hostname: String,
    cloudflare: String,
    key: String,
    token: String,
}

impl Things {
    fn of(of: &'static str, digit: &str, key: String) -> Self {
        let named = |what: &str| format!("{of}-{what}");
        Self {
            of,
            tenant: named("tenant"),
            cluster: named("cluster"),
            account: named("account"),
            grant: named("grant"),
            hostname: format!("{of}.example.com"),
            cloudflare: digit.repeat(32),
            key,
            token: named("token"),
        }
    }

    /// A path with these names in it.
    fn path(&self, operation: &Operation) -> String {
        let mut path = operation.path.to_owned();
        for (place, name) in [
            ("{tenant}", &self.tenant),
            ("{cluster}", &self.cluster),
            ("{account}", &self.account),
            ("{grant}", &self.grant),
        ] {
            path = path.replace(place, name);
        }
        path
    }

    /// An answer without them.
    fn left_out_of(&self, answer: &Answer) -> String {
        let text = format!("{} {}", answer.status, answer.body);
        text.replace(self.of, "SOMEBODY")
            .replace(&self.key, "KEY")
            .replace(&self.cloudflare, "ACCOUNT")
    }
}

impl Names for Things {
    fn of_schema(&self, schema: &str) -> Option<&str> {
        Some(match schema {
            "TenantName" => &self.tenant,
            "ClusterName" => &self.cluster,
            "AccountName" => &self.account,
            "GrantName" => &self.grant,
            "DnsName" | "GrantedName" => &self.hostname,
            "CloudflareId" => &self.cloudflare,
            "Thumbprint" => &self.key,
            "ApiToken" => &self.token,
            "Moment" => "2100-01-01T00:00:00Z",
            _ => return None,
        })
    }

    fn text(&self) -> &str {
        self.of
    }
}

/// Two tenants with a cluster, an account and a grant each, and nobody.
struct Stage {
    world: World,
    broker: Broker,
    people: SocketAddr,
    /// Of the first tenant.
    canary: Things,
    /// Of the second.
    second: Things,
    nobody: Things,
    /// The session of the second tenant's cluster.
    session: String,
    /// What is of the first tenant alone.
    secrets: Vec<String>,
    made: AtomicU64,
}

impl Stage {
    async fn start() -> Self {
        let world = World::start().await;
        let people = free_address();
        let listen = [("CFGW_PEOPLE__LISTEN", people.to_string())];
        let mut broker = Broker::start_with(&world, &listen).await;
        let tenant = |of: &str, digit: &str| {
            let id = digit.repeat(32);
            format!(
                "- name: {of}-tenant
  accounts: [{{name: {of}-account, cloudflare: '{id}'}}]
  grants: [{{name: {of}-grant, hostnames: [{of}.example.com], account: main}}]\n"
            )
        };
        let token = broker.files().join("cloudflare-token");
        let seed = format!(
            "tenants:
- name: acme
  accounts: [{{name: main, cloudflare: '{ACCOUNT}', shared: true, token_file: {token:?}}}]
{}{}",
            tenant("canary", "1"),
            tenant("second", "2")
        );
        std::fs::write(broker.files().join("seed.yaml"), seed).unwrap();
        broker.restart().await;
        let of_first = enrolled("canary-tenant", "canary-cluster", 1);
        let first = RawCluster::open(&broker, &of_first).await;
        let of_second = enrolled("second-tenant", "second-cluster", 3);
        let own = RawCluster::open(&broker, &of_second).await;
        let gateway = ObjectKey::new("canary-ns", "canary-web");
        let client = broker.client_with(first.key.clone(), of_first.instance);
        let intent = domain::testing::intent(gateway.clone(), &["canary.example.com"]);
        let status = client.reconcile(&intent).await.unwrap();
        let token = client.connector_token(&gateway).await.unwrap();
        let canary = Things::of("canary", "1", first.key.thumbprint().to_string());
        let secrets = [
            CANARY,
            token.expose(),
            &first.token,
            &canary.key,
            &canary.cloudflare,
            &world.token,
            &status.tunnels[0].id.to_string(),
        ];
        Self {
            secrets: secrets.map(str::to_owned).into(),
            second: Things::of("second", "2", own.key.thumbprint().to_string()),
            nobody: Things::of("nobody", "9", "n".repeat(43)),
            session: own.token,
            canary,
            people,
            world,
            broker,
            made: AtomicU64::new(1),
        }
    }

    fn store(&self) -> &dyn Store {
        &self.broker.store
    }

    /// Somebody new.
    async fn person(&self, roles: &[Role], tenant: Option<&str>) -> PersonName {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let person = Person {
            name: PersonName::parse(&format!("person-{number}")).unwrap(),
            rights: Rights {
                roles: roles.iter().copied().collect(),
                tenant: tenant.map(|name| TenantName::parse(name).unwrap()),
            },
        };
        let (password, codes) = (
            PasswordHash(String::new()),
            Sealed {
                key: "none".to_owned(),
                wrapped: Vec::new(),
                ciphertext: Vec::new(),
            },
        );
        let put = self
            .store()
            .put_person(&person, password, codes, Event::default());
        put.await.unwrap();
        person.name
    }

    /// The token of somebody who is signed in until a time.
    async fn signed_in(&self, name: &PersonName, expires: Timestamp) -> String {
        let token = unpredictable(&SystemEntropy::default());
        let session = Session {
            token: digest(&token),
            expires,
        };
        let step = self.made.fetch_add(1, Ordering::Relaxed);
        let signed_in = self.store().sign_in(name, step, session, Event::default());
        signed_in.await.unwrap();
        token.expose_secret().to_owned()
    }

    /// The token of somebody new.
    async fn token(&self, roles: &[Role], tenant: Option<&str>) -> String {
        let name = self.person(roles, tenant).await;
        self.signed_in(&name, Timestamp(i64::MAX)).await
    }

    /// All that a tenant has.
    async fn kept(&self, things: &Things) -> String {
        let (tenant, cluster) = (
            TenantName::parse(&things.tenant).unwrap(),
            ClusterName::parse(&things.cluster).unwrap(),
        );
        let store = self.store();
        let mut kept = format!(
            "{:?}\n{:?}\n{:?}\n",
            store.tenants().await.unwrap(),
            store.clusters(Some(&tenant)).await.unwrap(),
            store.grants(&tenant).await.unwrap(),
        );
        for account in store.accounts(Some(&tenant)).await.unwrap() {
            let slots = store.slots(&account.name).await.unwrap();
            kept += &format!("{account:?} {slots:?}\n");
        }
        for gateway in store.placed(&cluster).await.unwrap().gateways {
            kept += &format!("{:?}\n", store.held(&cluster, &gateway).await.unwrap());
        }
        kept
    }

    /// A request. What needs to know what is there takes whatever is.
    fn asked(
        &self,
        operation: &Operation,
        target: String,
        token: &str,
        body: Option<Value>,
    ) -> Request {
        let mut headers = vec![("authorization", format!("Bearer {token}"))];
        if operation.takes_header("If-Match") {
            headers.push(("if-match", "*".to_owned()));
        }
        if body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        Request {
            method: operation.method.clone(),
            target,
            headers,
            body: body.map(|body| body.to_string()),
        }
    }

    /// Asks, where the answer must be one that the operation has in the document.
    async fn answer(&self, operation: &Operation, request: &Request) -> Answer {
        let answer = request.send(self.people).await;
        let is_described = match answer.problem() {
            Some(problem) => operation.problems(answer.status).contains(&&*problem),
            None => operation.succeeds_with(answer.status),
        };
        assert!(is_described, "{request:?}\n\n{answer:?}");
        answer
    }

    /// Looks that nothing of the first tenant is in the answer that was not in the question.
    fn assert_nothing_is_told(&self, request: &Request, answer: &Answer) {
        let (asked, told) = (request.text(self.people), answer.text());
        for secret in &self.secrets {
            let is_new = told.contains(secret) && !asked.contains(secret);
            assert!(!is_new, "{secret} in the answer to {asked}\n\n{told}");
        }
        assert!(answer.status < 500, "{asked}\n\n{told}");
    }

    /// Somebody of the second tenant asks with the first one's names and with nobody's: the answers are the same.
    async fn ask_of_both(&self, operation: &Operation, role: Role) {
        let token = self.token(&[role], Some(&self.second.tenant)).await;
        let theirs = [&self.canary, &self.nobody];
        let own_path = self.second.path(operation);
        let own_bodies = operation.bodies(&self.second);
        let has_body = own_bodies[0].is_some();
        let mut asked = Vec::new();
        for things in theirs {
            let (path, bodies) = (things.path(operation), operation.bodies(things));
            let mut all: Vec<_> = bodies
                .iter()
                .map(|body| (path.clone(), body.clone()))
                .collect();
            // With the own names in one of the two places.
            if has_body && path != own_path {
                all.extend(bodies.iter().map(|body| (own_path.clone(), body.clone())));
                if !operation.path.ends_with("/invitation") {
                    all.push((path, own_bodies[0].clone()));
                }
            }
            asked.push(all);
        }
        for ((path, body), (other_path, other_body)) in asked[0].iter().zip(&asked[1]) {
            let request = self.asked(operation, path.clone(), &token, body.clone());
            let answer = self.answer(operation, &request).await;
            self.assert_nothing_is_told(&request, &answer);
            let of_nobody = self.asked(operation, other_path.clone(), &token, other_body.clone());
            let other = self.answer(operation, &of_nobody).await;
            assert_eq!(
                self.canary.left_out_of(&answer),
                self.nobody.left_out_of(&other),
                "{role:?} {request:?}"
            );
        }
    }
}

/// Every operation of people who are signed in.
fn of_members() -> impl Iterator<Item = Operation> {
    let all = operations::operations(&OF_PEOPLE).into_iter();
    all.filter(Operation::needs_session)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_things_are_to_people_as_things_of_nobody() {
    let stage = Stage::start().await;
    let before = stage.kept(&stage.canary).await;
    assert!(before.contains("canary.example.com"));
    for operation in of_members().filter(|one| name_of(one) != SIGN_OUT) {
        for role in Role::ALL {
            stage.ask_of_both(&operation, role).await;
        }
    }
    // Names of clusters are one list for all tenants: that one is in use is told, and nothing else.
    let invites = of_members().find(|one| one.path.ends_with("/invitation"));
    let invites = invites.expect("the operation");
    let tenant = Some(&*stage.second.tenant);
    let token = stage.token(&[Role::Operator], tenant).await;
    let (path, body) = (
        stage.canary.path(&invites),
        invites.bodies(&stage.second).remove(0),
    );
    let request = stage.asked(&invites, path, &token, body);
    let answer = stage.answer(&invites, &request).await;
    stage.assert_nothing_is_told(&request, &answer);
    assert_eq!(answer.problem(), problem("broker/already_exists"));
    assert_eq!(stage.kept(&stage.canary).await, before);
}

/// Who may do what to things of a tenant: viewer, operator, credential-admin and auditor of all tenants, and the same of that
/// tenant alone; the first alone of what is asked without a session. The status is of whoever may; to others it is forbidden. In this order, as some of it ends what is there.
const ROLES: [(&str, &str, u16); 31] = [
    ("POST /admin/v1/sessions", "y", 401),
    ("GET /admin/v1/identity-providers", "y", 200),
    ("POST /admin/v1/sessions/oidc", "y", 401),
    ("GET /admin/v1/sessions/current", "yyyy yyyy", 200),
    ("GET /admin/v1/tenants", "yyyy yyyy", 200),
    ("GET /admin/v1/tenants/{tenant}", "yyyy yyyy", 200),
    ("PUT /admin/v1/tenants/{tenant}", "-y-- ----", 200),
    ("GET /admin/v1/tenants/{tenant}/grants", "yyyy yyyy", 200),
    (
        "GET /admin/v1/tenants/{tenant}/grants/{grant}",
        "yyyy yyyy",
        200,
    ),
    (
        "PUT /admin/v1/tenants/{tenant}/grants/{grant}",
        "-y-- ----",
        200,
    ),
    (
        "DELETE /admin/v1/tenants/{tenant}/grants/{grant}",
        "-y-- ----",
        204,
    ),
    ("GET /admin/v1/clusters", "yyyy yyyy", 200),
    ("GET /admin/v1/clusters/{cluster}", "yyyy yyyy", 200),
    (
        "GET /admin/v1/clusters/{cluster}/gateways",
        "yyyy yyyy",
        200,
    ),
    (
        "GET /admin/v1/clusters/{cluster}/when-expired",
        "yyyy yyyy",
        200,
    ),
    (
        "PUT /admin/v1/clusters/{cluster}/when-expired",
        "-y-- -y--",
        200,
    ),
    (
        "POST /admin/v1/clusters/{cluster}/acceptance",
        "-y-- -y--",
        200,
    ),
    (
        "POST /admin/v1/clusters/{cluster}/revocation",
        "-y-- -y--",
        200,
    ),
    (
        "POST /admin/v1/clusters/{cluster}/quarantine",
        "-y-- -y--",
        200,
    ),
    (
        "POST /admin/v1/clusters/{cluster}/release",
        "-y-- -y--",
        200,
    ),
    (
        "POST /admin/v1/clusters/{cluster}/removal",
        "-y-- -y--",
        200,
    ),
    (
        "POST /admin/v1/clusters/{cluster}/invitation",
        "-y-- -y--",
        201,
    ),
    ("GET /admin/v1/accounts", "yyyy yyyy", 200),
    ("GET /admin/v1/accounts/{account}", "yyyy yyyy", 200),
    ("PUT /admin/v1/accounts/{account}", "-y-- ----", 200),
    // It does not work.
    ("PUT /admin/v1/accounts/{account}/token", "--y- --y-", 422),
    ("DELETE /admin/v1/accounts/{account}", "-y-- ----", 204),
    ("GET /admin/v1/audit", "---y ----", 200),
    ("GET /admin/v1/audit/verification", "---y ----", 200),
    ("GET /admin/v1/audit/checkpoints", "---y ----", 200),
    // It has a cluster.
    ("DELETE /admin/v1/tenants/{tenant}", "-y-- ----", 409),
];

fn name_of(operation: &Operation) -> String {
    format!("{} {}", operation.method, operation.path)
}

/// What ends a session, and is everybody's.
const SIGN_OUT: &str = "DELETE /admin/v1/sessions/current";

#[tokio::test(flavor = "multi_thread")]
async fn everybody_does_what_their_role_permits_and_sees_their_own_tenant() {
    let stage = Stage::start().await;
    let mut all: Vec<_> = operations::operations(&OF_PEOPLE)
        .into_iter()
        .map(|one| (name_of(&one), one))
        .collect();
    let mut tokens = Vec::new();
    for tenant in [None, Some(&*stage.second.tenant)] {
        for role in Role::ALL {
            tokens.push(stage.token(&[role], tenant).await);
        }
    }
    let everybody = [(SIGN_OUT, "yyyy yyyy", 204)];
    for (name, who, status) in ROLES.into_iter().chain(everybody) {
        let at = all.iter().position(|(other, _)| other == name);
        let (_, operation) = all.remove(at.expect(name));
        let path = stage.second.path(&operation);
        let body = operation.bodies(&stage.second).remove(0);
        let who: Vec<char> = who.chars().filter(|one| *one != ' ').collect();
        for (index, (may, token)) in who.into_iter().zip(&tokens).enumerate() {
            let request = stage.asked(&operation, path.clone(), token, body.clone());
            let answer = stage.answer(&operation, &request).await;
            let expected = if may == 'y' { status } else { 403 };
            assert_eq!(answer.status, expected, "{name} by {index}: {answer:?}");
            let is_denied = answer.problem() == problem("broker/forbidden");
            assert_eq!(is_denied, may == '-', "{name} by {index}: {answer:?}");
            assert!(!answer.text().contains(&stage.world.token), "{name}");
            if index >= Role::ALL.len() {
                stage.assert_nothing_is_told(&request, &answer);
            }
        }
    }
    let names: Vec<_> = all.iter().map(|(name, _)| name).collect();
    assert!(names.is_empty(), "who may? {names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_signed_in_at_the_api_for_people_is_let_in_nowhere() {
    let stage = Stage::start().await;
    let everything = stage.person(&Role::ALL, None).await;
    let good = stage.signed_in(&everything, Timestamp(i64::MAX)).await;
    let now = SystemClock.now();
    let expired = stage.signed_in(&everything, now).await;
    let ended = stage.signed_in(&everything, Timestamp(i64::MAX)).await;
    let digest = digest(&ended.clone().into());
    let out = stage.store().sign_out(&digest, Event::default());
    out.await.unwrap();
    let another = stage.person(&Role::ALL, None).await;
    let removed = stage.signed_in(&another, Timestamp(i64::MAX)).await;
    let gone = stage.store().remove_person(&another, Event::default());
    gone.await.unwrap();
    let before = [
        stage.kept(&stage.canary).await,
        stage.kept(&stage.second).await,
    ];
    let bearer = |token: &str| vec![format!("Bearer {token}")];
    let rows = [
        ("nothing", Vec::new()),
        ("a session that has expired", bearer(&expired)),
        ("a session that was ended", bearer(&ended)),
        ("somebody who was removed", bearer(&removed)),
        ("the session of a cluster", bearer(&stage.session)),
        ("a token of nobody", bearer("none")),
        ("an empty token", bearer("")),
        ("another scheme", vec![format!("DPoP {good}")]),
        ("two tokens", [bearer(&good), bearer(&good)].concat()),
        (
            "a token and a half",
            bearer(&format!("{good}, Bearer {good}")),
        ),
    ];
    for operation in of_members() {
        let path = stage.canary.path(&operation);
        let body = operation.bodies(&stage.canary).remove(0);
        for (what, shown) in &rows {
            let mut request = stage.asked(&operation, path.clone(), "", body.clone());
            request.headers.retain(|(name, _)| *name != "authorization");
            let shown = shown.iter().map(|value| ("authorization", value.clone()));
            request.headers.extend(shown);
            let answer = stage.answer(&operation, &request).await;
            assert_eq!(answer.status, 401, "{what}: {request:?} {answer:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
            stage.assert_nothing_is_told(&request, &answer);
        }
    }
    let after = [
        stage.kept(&stage.canary).await,
        stage.kept(&stage.second).await,
    ];
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_path_for_people_does_not_take_is_refused() {
    let stage = Stage::start().await;
    let everything = stage.token(&Role::ALL, None).await;
    let tenant = Some(&*stage.second.tenant);
    let before = [
        stage.kept(&stage.canary).await,
        stage.kept(&stage.second).await,
    ];
    for operation in of_members() {
        let token = stage.token(&Role::ALL, tenant).await;
        let path = stage.canary.path(&operation);
        for (target, what) in forms(&path) {
            let request = stage.asked(&operation, target, &token, None);
            let answer = request.send(stage.people).await;
            stage.assert_nothing_is_told(&request, &answer);
            let problems = [problem("no-such-path"), problem("malformed-document")];
            assert!(problems.contains(&answer.problem()), "{what}: {answer:?}");
        }
        let own = stage.second.path(&operation);
        let body = operation.bodies(&stage.second).remove(0);
        let queried = format!("{own}?tenant={}", stage.canary.tenant);
        let request = stage.asked(&operation, queried, &everything, body.clone());
        let answer = request.send(stage.people).await;
        let expected = match operation.query() {
            "" => problem("no-such-path"),
            _ => problem("malformed-document"),
        };
        assert_eq!(answer.problem(), expected, "{request:?}");
        let Some(mut body) = body else { continue };
        let mut undeclared = stage.asked(&operation, own.clone(), &everything, Some(body.clone()));
        undeclared
            .headers
            .retain(|(name, _)| *name != "content-type");
        let answer = stage.answer(&operation, &undeclared).await;
        assert_eq!(answer.problem(), problem("unsupported-body"), "{own}");
        body["owner"] = json!(stage.canary.tenant);
        let request = stage.asked(&operation, own, &everything, Some(body));
        let answer = stage.answer(&operation, &request).await;
        assert_eq!(
            answer.problem(),
            problem("malformed-document"),
            "{request:?}"
        );
    }
    for (path, item) in OF_PEOPLE["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys();
        let known: Vec<_> = methods.map(|method| method.to_uppercase()).collect();
        let target = path.replace("{tenant}", &stage.second.tenant);
        let target = target.replace("{cluster}", &stage.second.cluster);
        let target = target.replace("{account}", &stage.second.account);
        for method in METHODS {
            if known.iter().any(|known| known == method) {
                continue;
            }
            let request = Request {
                method: method.to_owned(),
                target: target.replace("{grant}", &stage.second.grant),
                headers: vec![("authorization", format!("Bearer {everything}"))],
                body: None,
            };
            let answer = request.send(stage.people).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            let allow = answer.header("allow").unwrap_or_default().split(", ");
            let mut allowed: Vec<_> = allow.map(str::to_owned).collect();
            let mut known = known.clone();
            allowed.sort();
            known.sort();
            assert_eq!(allowed, known, "{method} {path}");
        }
    }
    let after = [
        stage.kept(&stage.canary).await,
        stage.kept(&stage.second).await,
    ];
    assert_eq!(after, before);
}
