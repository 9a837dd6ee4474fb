//! Every path of the document, asked with the names, keys and sessions of another tenant's cluster, with other methods and in
//! other encodings: nothing of the other one is in an answer, and nothing of it changes.

mod asking;
mod operations;
mod people;

use std::sync::atomic::{AtomicU64, Ordering};

use adapter_broker::identity::key::ClusterKey;
use app::system::SystemClock;
use domain::broker::ClusterName;
use domain::broker::ports::{Clusters, Intents};
use domain::ports::{Clock, Edge};
use domain::{InstanceId, ObjectKey, Timestamp};
use serde_json::{Value, json};
use tests::broker::{Broker, Enrolled, RawCluster, prove};
use tests::world::{ACCOUNT, World};

use self::asking::{Answer, Request};
use self::operations::{Names, OF_CLUSTERS, Operation};

const PROBLEMS: &str = "https://cloudflare-gateway-controller.io/problems/";

/// A text that is in every name of the first cluster, and in nothing of anybody else.
const CANARY: &str = "canary";

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
];

fn operations() -> Vec<Operation> {
    operations::operations(&OF_CLUSTERS)
}

/// By what the things of a cluster are named.
#[derive(Debug, Clone)]
struct OfCluster {
    namespace: String,
    name: String,
    hostname: String,
    instance: String,
    /// The hash of a connector token.
    hash: String,
    /// The id of a tunnel.
    tunnel: String,
}

impl Names for OfCluster {
    fn of_schema(&self, schema: &str) -> Option<&str> {
        Some(match schema {
            "Namespace" => &self.namespace,
            "ObjectName" => &self.name,
            "DnsName" => &self.hostname,
            "Instance" => &self.instance,
            "Sha256" => &self.hash,
            "Fingerprint" => &self.hash[..32],
            _ => return None,
        })
    }

    fn text(&self) -> &str {
        &self.tunnel
    }
}

/// Two clusters of two tenants, whose tunnels are in one Cloudflare account.
struct Stage {
    world: World,
    broker: Broker,
    first: RawCluster,
    second: RawCluster,
    /// Of the first cluster.
    canary: OfCluster,
    /// What is of the first cluster alone.
    secrets: Vec<String>,
    /// What the first cluster has.
    before: String,
    sequence: AtomicU64,
}

fn enrolled(tenant: &'static str, cluster: &str, instance: u8) -> Enrolled {
    Enrolled {
        tenant,
        cluster: ClusterName::parse(cluster).unwrap(),
        instance: InstanceId::from_bytes([instance; 16]),
    }
}

/// What the second cluster has.
fn mine() -> OfCluster {
    OfCluster {
        namespace: "mine".to_owned(),
        name: "web".to_owned(),
        hostname: "web.second.example.com".to_owned(),
        instance: InstanceId::from_bytes([3; 16]).to_string(),
        hash: "a".repeat(64),
        tunnel: "text".to_owned(),
    }
}

/// What nobody has.
fn of_nobody() -> OfCluster {
    OfCluster {
        namespace: "nobody-ns".to_owned(),
        name: "nobody-web".to_owned(),
        hostname: "nobody.example.com".to_owned(),
        instance: InstanceId::from_bytes([9; 16]).to_string(),
        hash: "b".repeat(64),
        tunnel: "99999999-9999-4999-8999-999999999999".to_owned(),
    }
}

async fn start_broker(world: &World) -> Broker {
    // One cluster asks much more than one does, and is to be answered.
    let calls = [("CFGW_CLOUDFLARE__REQUEST_BUDGET", "1200".to_owned())];
    let mut broker = Broker::start_with(world, &calls).await;
    let token = broker.files().join("cloudflare-token");
    let seed = format!(
        "tenants:
- name: acme
  accounts: [{{name: main, cloudflare: '{ACCOUNT}', shared: true, token_file: {token:?}}}]
- name: canary-tenant
  grants: [{{name: all, hostnames: [canary.example.com], account: main}}]
- name: second
  grants: [{{name: all, hostnames: ['*.second.example.com'], account: main}}]
"
    );
    std::fs::write(broker.files().join("seed.yaml"), seed).unwrap();
    broker.restart().await;
    broker
}

impl Stage {
    async fn start() -> Self {
        let world = World::start().await;
        let broker = start_broker(&world).await;
        let of_first = enrolled("canary-tenant", "canary-cluster", 1);
        let first = RawCluster::open(&broker, &of_first).await;
        let second = RawCluster::open(&broker, &enrolled("second", "second-cluster", 3)).await;
        let gateway = ObjectKey::new("canary-ns", "canary-web");
        let client = broker.client_with(first.key.clone(), of_first.instance);
        let intent = domain::testing::intent(gateway.clone(), &["canary.example.com"]);
        let status = client.reconcile(&intent).await.unwrap();
        let token = client.connector_token(&gateway).await.unwrap();
        let canary = OfCluster {
            namespace: gateway.namespace,
            name: gateway.name,
            hostname: "canary.example.com".to_owned(),
            instance: of_first.instance.to_string(),
            hash: token.hash().to_string(),
            tunnel: status.tunnels[0].id.to_string(),
        };
        let mut secrets = vec![
            CANARY.to_owned(),
            token.expose().to_owned(),
            first.token.clone(),
            first.key.thumbprint().to_string(),
        ];
        secrets.extend([&canary.instance, &canary.hash, &canary.tunnel].map(Clone::clone));
        secrets.extend(world.records().into_iter().map(|record| record.id));
        let mut stage = Self {
            world,
            broker,
            first,
            second,
            canary,
            secrets,
            before: String::new(),
            sequence: AtomicU64::new(0),
        };
        stage.before = stage.of_first().await;
        assert!(stage.before.contains("canary.example.com"));
        stage.state_mine().await;
        stage
    }

    /// The second cluster gets a Gateway of its own.
    async fn state_mine(&self) {
        let all = operations().into_iter();
        let mut states = all.filter(|one| one.method == "PUT" && one.path.ends_with("/intent"));
        let states = states.next().expect("the operation");
        let OfCluster {
            namespace, name, ..
        } = mine();
        let path = states.path_of(&namespace, &name);
        let body = states.bodies(&mine()).remove(0).map(|mut body| {
            body["lost_to"] = json!([]);
            body["paths"] = json!({});
            body
        });
        let answer = self.send(&self.asked(&states, path, body)).await;
        assert!(answer.body.contains(r#""applied""#), "{answer:?}");
    }

    /// All that the first cluster has, in the store and at Cloudflare.
    async fn of_first(&self) -> String {
        let name = ClusterName::parse("canary-cluster").unwrap();
        let gateway = ObjectKey::new("canary-ns", "canary-web");
        let store = &self.broker.store;
        let mut tunnels = self.world.tunnels();
        tunnels.retain(|tunnel| tunnel.name.contains("/clusters/canary-cluster/"));
        let mut records = self.world.records();
        records.retain(|record| record.name.contains(CANARY));
        format!(
            "{:?}\n{:?}\n{:?}\n{tunnels:?}\n{records:?}",
            store.cluster(&name).await.unwrap(),
            store.placed(&name).await.unwrap(),
            store.held(&name, &gateway).await.unwrap()
        )
    }

    /// Panics where the first cluster has something else than before, or the broker panicked.
    async fn assert_nothing_changed(&self) {
        assert_eq!(self.of_first().await, self.before);
        let log = std::fs::read_to_string(self.broker.files().join("broker.log")).unwrap();
        assert!(!log.contains("panicked"), "{log}");
    }

    /// A request of the second cluster. What states something takes the next place.
    fn asked(&self, operation: &Operation, target: String, body: Option<Value>) -> Request {
        let now = SystemClock.now();
        let session = operation.needs_session().then_some(&*self.second.token);
        let (key, method) = (&self.second.key, &operation.method);
        let mut headers = self.signed(key, method, &target, session, now);
        if operation.takes_header("Statement-Place") {
            let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
            headers.push(("statement-place", format!("1.{sequence}")));
        }
        if body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        Request {
            method: method.clone(),
            target: target + operation.query(),
            headers,
            body: body.map(|body| body.to_string()),
        }
    }

    /// A request of the second cluster that has no more than a session and a proof.
    fn signed_request(&self, method: &str, target: String) -> Request {
        let (key, session) = (&self.second.key, Some(&*self.second.token));
        Request {
            method: method.to_owned(),
            headers: self.signed(key, method, &target, session, SystemClock.now()),
            target,
            body: None,
        }
    }

    /// The headers by which somebody shows who they are.
    fn signed(
        &self,
        key: &ClusterKey,
        method: &str,
        target: &str,
        session: Option<&str>,
        at: Timestamp,
    ) -> Vec<(&'static str, String)> {
        let path = target.split('?').next().expect("a path");
        let url = format!("{}{path}", self.broker.url());
        let mut headers = vec![("dpop", prove(key, method, &url, session, at))];
        headers.extend(session.map(|token| ("authorization", format!("DPoP {token}"))));
        headers
    }

    /// Asks, and looks that nothing of the first cluster is in the answer that was not in the question.
    async fn send(&self, request: &Request) -> Answer {
        let address = self.broker.address();
        let answer = request.send(address).await;
        let (asked, told) = (request.text(address), answer.text());
        for secret in &self.secrets {
            let is_new = told.contains(secret) && !asked.contains(secret);
            assert!(!is_new, "{secret} in the answer to {asked}\n\n{told}");
        }
        assert!(answer.status < 500, "{asked}\n\n{told}");
        answer
    }

    /// The same, where the answer must be one that the operation has in the document.
    async fn answer(&self, operation: &Operation, request: &Request) -> Answer {
        let answer = self.send(request).await;
        let is_described = match answer.problem() {
            Some(problem) => operation.problems(answer.status).contains(&&*problem),
            None => operation.succeeds_with(answer.status),
        };
        assert!(is_described, "{request:?}\n\n{answer:?}");
        answer
    }

    /// An answer without what is of these names and of the second cluster's own tunnels.
    fn without(&self, names: &OfCluster, answer: &Answer) -> String {
        let mut text = format!("{} {}", answer.status, answer.body);
        let mut leave_out = |what: &str, by: &str| text = text.replace(what, by);
        for tunnel in self.world.tunnels() {
            leave_out(&tunnel.id.to_string(), "TUNNEL");
        }
        for token in self.world.connector_tokens() {
            leave_out(&token, "CONNECTOR TOKEN");
        }
        leave_out(&names.namespace, "NAMESPACE");
        leave_out(&names.name, "NAME");
        leave_out(&names.hostname, "HOSTNAME");
        leave_out(&names.tunnel, "TEXT");
        text
    }

    /// Asks with the first cluster's names and with nobody's, and looks that the answers are the same.
    async fn ask_of_both(&self, operation: &Operation) {
        let (own, nobody) = (mine(), of_nobody());
        let ways = |names: &OfCluster| {
            [
                operation.path_of(&names.namespace, &names.name),
                operation.path_of(&names.namespace, &own.name),
                operation.path_of(&own.namespace, &names.name),
            ]
        };
        let is_of_gateway = operation.path.contains('{');
        let paths = ways(&self.canary).into_iter().zip(ways(&nobody));
        for (index, (of_first, of_nobody)) in paths.enumerate() {
            let bodies = operation.bodies(&self.canary).into_iter();
            let bodies = bodies.zip(operation.bodies(&nobody));
            let others = if index == 0 {
                usize::MAX
            } else {
                usize::from(is_of_gateway)
            };
            for (body, other) in bodies.take(others) {
                let request = self.asked(operation, of_first.clone(), body);
                let answer = self.answer(operation, &request).await;
                let nobodys = self.asked(operation, of_nobody.clone(), other);
                let other = self.answer(operation, &nobodys).await;
                assert_eq!(
                    self.without(&self.canary, &answer),
                    self.without(&nobody, &other),
                    "{request:?}"
                );
            }
        }
    }
}

fn problem(last: &str) -> Option<String> {
    Some(format!("{PROBLEMS}{last}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_names_are_answered_as_names_of_nobody() {
    let stage = Stage::start().await;
    let states = |one: &Operation| one.path.ends_with("/intent");
    let all = operations();
    // Before there is a Gateway of that name, and after.
    // Afterwards the one tells of everything that was stated, and the other is asked too often.
    let not_again = |one: &&Operation| one.path == "/v1/lease" || one.path.ends_with("/plan");
    let after = all.iter().filter(|one| !not_again(one));
    for operation in all.iter().filter(|one| !states(one)).chain(after) {
        // It has no place for a name, and each answer is another number.
        if operation.path != "/v1/terms" {
            stage.ask_of_both(operation).await;
        }
    }
    stage.assert_nothing_changed().await;
    let removes = |one: &&Operation| one.method == "DELETE" && one.path.ends_with("{name}");
    for operation in all.iter().filter(removes) {
        stage.ask_of_both(operation).await;
    }
    stage.assert_nothing_changed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_names_where_none_belong_are_refused_or_do_nothing() {
    let stage = Stage::start().await;
    for operation in operations() {
        let OfCluster {
            namespace, name, ..
        } = mine();
        let path = operation.path_of(&namespace, &name);
        let body = || operation.bodies(&mine()).remove(0);
        let mut queried = stage.asked(&operation, path.clone(), body());
        let joint = if operation.query().is_empty() {
            '?'
        } else {
            '&'
        };
        queried.target += &format!("{joint}cluster=canary-cluster&tenant=canary-tenant");
        let answer = stage.send(&queried).await;
        let (expected, status) = match operation.query() {
            "" => (problem("no-such-path"), 404),
            _ => (problem("malformed-document"), 422),
        };
        assert_eq!((answer.problem(), answer.status), (expected, status));

        if let Some(mut body) = body() {
            body["cluster"] = json!("canary-cluster");
            let request = stage.asked(&operation, path.clone(), Some(body));
            let answer = stage.answer(&operation, &request).await;
            assert_eq!(answer.problem(), problem("malformed-document"));
        }

        let mut titled = stage.asked(&operation, path, body());
        let to = operation.path_of(&stage.canary.namespace, &stage.canary.name);
        for (name, value) in [
            ("x-cluster", "canary-cluster"),
            ("x-tenant", "canary-tenant"),
            ("x-forwarded-host", "canary.example.com"),
            ("x-original-url", &*to),
            ("x-http-method-override", "DELETE"),
            ("cookie", "session=canary-cluster"),
        ] {
            titled.headers.push((name, value.to_owned()));
        }
        if operation.takes_header("If-Match") {
            titled.headers.push(("if-match", "\"1\"".to_owned()));
        }
        stage.answer(&operation, &titled).await;
    }
    stage.assert_nothing_changed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has() {
    let stage = Stage::start().await;
    for (path, item) in OF_CLUSTERS["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys();
        let mut methods: Vec<_> = methods.map(|method| method.to_uppercase()).collect();
        let target = path
            .replace("{namespace}", &stage.canary.namespace)
            .replace("{name}", &stage.canary.name);
        methods.sort();
        for method in METHODS {
            if methods.iter().any(|known| known == method) {
                continue;
            }
            let answer = stage
                .send(&stage.signed_request(method, target.clone()))
                .await;
            assert_eq!(answer.status, 405, "{method} {path}");
            let allow = answer.header("allow").unwrap_or_default().split(", ");
            let mut allowed: Vec<_> = allow.collect();
            allowed.sort_unstable();
            assert_eq!(allowed, methods, "{method} {path}");
            let is_typed = answer.problem() == problem("method-not-allowed");
            assert!(is_typed || method == "HEAD", "{answer:?}");
        }
    }
    stage.assert_nothing_changed().await;
}

/// A path in other forms. The second text is the form.
fn forms(path: &str) -> Vec<(String, &'static str)> {
    let (before, last) = path.rsplit_once('/').expect("a slash");
    vec![
        (format!("{before}/%2e%2e/{last}"), "encoded dots"),
        (format!("{before}/../{last}"), "dots"),
        (format!("{before}%2f{last}"), "an encoded slash"),
        (format!("{before}%2F{last}"), "an encoded slash, upper case"),
        (format!("{before}%252f{last}"), "encoded twice"),
        (path.replacen("/v1/", "/v1\\", 1), "a backslash"),
        (format!("{before}//{last}"), "a slash twice"),
        (path.to_uppercase(), "upper case"),
        (format!("{path}/"), "a slash at the end"),
        (format!("{path};cluster=canary-cluster"), "a semicolon"),
        (format!("{path}%00"), "a zero"),
        (format!("{path}%0d%0ax-cluster:canary"), "a line end"),
        (format!("{before}/%c0%ae%c0%ae/{last}"), "overlong dots"),
        (format!("{path}%zz"), "no encoding"),
        (format!("{path}{}", "a".repeat(1000)), "a long name"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_in_another_form_leads_nowhere() {
    let stage = Stage::start().await;
    let names = &stage.canary;
    for operation in operations() {
        let path = operation.path_of(&names.namespace, &names.name);
        for (target, what) in forms(&path) {
            let answer = stage
                .send(&stage.signed_request(&operation.method, target))
                .await;
            let refused = (answer.status, answer.problem());
            assert_eq!(refused, (404, problem("no-such-path")), "{what}: {path}");
        }
        // What is no request at all is not answered with a problem.
        let long = path + &"a".repeat(20_000);
        let long = stage.signed_request(&operation.method, long);
        let answer = stage.send(&long).await;
        assert!([414, 431].contains(&answer.status), "{answer:?}");
    }
    stage.assert_nothing_changed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_the_cluster_of_the_session_is_let_in_nowhere() {
    let stage = Stage::start().await;
    let Stage { first, second, .. } = &stage;
    let stranger = ClusterKey::generate();
    let (now, then) = (SystemClock.now(), Timestamp(SystemClock.now().0 - 120));
    for operation in operations() {
        let path = operation.path_of(&stage.canary.namespace, &stage.canary.name);
        let (method, token) = (operation.method.clone(), Some(&*second.token));
        let body = operation.bodies(&mine()).remove(0);
        let signed = |key: &ClusterKey, token: Option<&str>, at| {
            let token = token.filter(|_| operation.needs_session());
            stage.signed(key, &method, &path, token, at)
        };
        let mut rows = vec![
            ("nothing at all", Vec::new()),
            ("a proof of before", signed(&second.key, token, then)),
            ("the key of nobody", signed(&stranger, token, now)),
        ];
        if operation.needs_session() {
            let others = Some(&*first.token);
            let proof = signed(&second.key, None, now);
            rows.extend([
                ("no session", proof),
                ("the other's session", signed(&second.key, others, now)),
                ("the other's key", signed(&first.key, token, now)),
                ("no proof", signed(&second.key, token, now).split_off(1)),
            ]);
            let used = signed(&second.key, token, now);
            let mut once = stage.asked(&operation, path.clone(), None);
            once.headers.clone_from(&used);
            let answer = stage.send(&once).await;
            assert_ne!(answer.status, 401, "{answer:?}");
            rows.push(("a proof that was used", used));
        }
        for (what, headers) in rows {
            let mut request = stage.asked(&operation, path.clone(), body.clone());
            request
                .headers
                .retain(|(name, _)| !["dpop", "authorization"].contains(name));
            request.headers.extend(headers);
            let answer = stage.answer(&operation, &request).await;
            let is_refused = [401, 403].contains(&answer.status) && answer.problem().is_some();
            assert!(is_refused, "{what}: {request:?} {answer:?}");
        }
    }
    stage.assert_nothing_changed().await;
}
