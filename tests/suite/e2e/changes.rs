//! Changes in the folder under load, and what they cost at Cloudflare.

mod fields;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tests::load::Load;
use tests::manifests::{gateway, route, route_with, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::fields::{Endpoints, Field};

const PATIENCE: Duration = Duration::from_secs(20);
/// Between two requests that look for a new value.
const PAUSE: Duration = Duration::from_millis(20);

async fn world() -> (World, Origin, Origin) {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let world = World::start_alone().await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("one.yaml", &service("one", &[one.address]));
    world.write("two.yaml", &service("two", &[two.address]));
    world.write("route.yaml", &route("app", "app.example.com", "one"));
    (world, one, two)
}

/// Edits under load, of each field in turn.
struct Edits<'w> {
    world: &'w World,
    fields: &'w [Field],
    /// How long each edit of a field took until it was served.
    took: BTreeMap<&'static str, Vec<Duration>>,
}

impl Edits<'_> {
    /// Gives a field its other value and waits until that is served.
    async fn edit(&mut self, n: usize) {
        let field = &self.fields[n % self.fields.len()];
        let value = (n / self.fields.len() + 1) % 2;
        let seen = field
            .mirrors
            .as_ref()
            .map(|mirrors| mirrors[value].requests());
        let began = Instant::now();
        self.world.write(field.file, &field.manifests[value]);
        // One request after the other, and none waits for the answers of those before: some of them are late.
        let mut asked = JoinSet::new();
        let took = loop {
            let (client, request) = (self.world.client.clone(), field.probe.clone());
            let at = began.elapsed();
            asked.spawn(async move { (at, request.send(&client).await) });
            let pause = timeout(PAUSE, asked.join_next()).await;
            let answered = pause.ok().flatten();
            if let Some((at, answer)) = answered.map(|answer| answer.expect("no panic")) {
                let answer = answer.expect("an answer");
                let is_served = match (&field.mirrors, seen) {
                    (Some(mirrors), Some(seen)) => mirrors[value].requests() > seen,
                    _ => (field.told)(&answer) == field.tells[value],
                };
                if is_served {
                    break at;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let name = field.name;
            assert!(
                began.elapsed() < PATIENCE,
                "{name}: value {value} is not served"
            );
        };
        self.took.entry(field.name).or_default().push(took);
    }

    fn slowest(&self) -> Duration {
        let all = self.took.values().flatten();
        all.max().copied().unwrap_or_default()
    }

    fn told(&self) -> String {
        let line = |(name, took): (&&str, &Vec<Duration>)| {
            let mut took = took.clone();
            took.sort_unstable();
            let (middle, most) = (took[took.len() / 2], took[took.len() - 1]);
            format!(
                "{name}: {} edits, served after {middle:.0?}, at most {most:.0?}\n",
                took.len()
            )
        };
        self.took.iter().map(line).collect()
    }
}

/// `EDITS` says how many of each field; 200 in all unless set.
#[tokio::test(flavor = "multi_thread")]
async fn edits_of_every_field_under_load_fail_no_request_and_are_served_within_a_second() {
    let each = std::env::var("EDITS").map(|each| each.parse::<usize>().expect("a number"));
    let (world, _one, two) = world().await;
    let endpoints = Endpoints::start(&two).await;
    let fields = endpoints.fields();
    for field in &fields {
        world.write(field.file, &field.manifests[0]);
    }
    world.write("endpoints.yaml", &endpoints.manifests());
    let _cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    for field in &fields {
        let host = format!("{}.example.com", field.name);
        world.answers_to(&host).await;
        within(PATIENCE, &host, || async {
            let answer = field.steady.send(&world.client).await.ok()?;
            field.permits(answer.status).then_some(())
        })
        .await;
    }
    world.settled().await;
    let before = world.calls().len();

    let load = load(&world, &fields);
    let mut edits = Edits {
        world: &world,
        fields: &fields,
        took: BTreeMap::new(),
    };
    for n in 0..each.map_or(200, |each| each * fields.len()) {
        edits.edit(n).await;
    }
    let calls = world.calls().split_off(before);
    let hosts = hostnames(&world).await;
    let report = load.stop().await;

    println!(
        "{}a new hostname: 20 times, at most {hosts:.0?}",
        edits.told()
    );
    println!(
        "{} requests meanwhile, {} failed",
        report.requests,
        report.failures.len()
    );
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert!(calls.is_empty(), "{calls:?}");
    let slowest = edits.slowest().max(hosts);
    assert!(slowest < Duration::from_secs(1), "slowest: {slowest:?}");
    world.remove("extra.yaml");
    within(
        Duration::from_secs(5),
        "the record goes with its route",
        || async { (world.records().len() == fields.len() + 1).then_some(()) },
    )
    .await;
}

/// A route gets a new hostname, twenty times; how long the slowest took to be served.
async fn hostnames(world: &World) -> Duration {
    let mut slowest = Duration::ZERO;
    for n in 0..20 {
        let began = Instant::now();
        let host = format!("n{n}.example.com");
        world.write("extra.yaml", &route("extra", &host, "two"));
        let url = format!("https://{host}/");
        world.answers_with(&url, "two").await;
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

/// Requests to the routes of all fields in turn.
fn load(world: &World, fields: &[Field]) -> Load {
    let client = world.client.clone();
    let requests: Arc<[_]> = fields.iter().map(Field::under_load).collect();
    let turn = Arc::new(AtomicUsize::new(0));
    Load::start(8, Duration::from_millis(5), move || {
        let (client, requests) = (client.clone(), requests.clone());
        let turn = turn.fetch_add(1, Relaxed) % requests.len();
        async move {
            let (name, request, statuses) = &requests[turn];
            match request.send(&client).await {
                Ok(answer) if statuses.contains(&answer.status) => Ok(()),
                Ok(answer) => Err(format!("{name}: {} {}", answer.status, answer.body)),
                Err(error) => Err(format!("{name}: {error}")),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_new_hostnames_is_one_batch_and_one_document() {
    let (world, _one, _two) = world().await;
    let _cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    world.settled().await;
    let before = world.calls().len();

    let hosts: Vec<String> = (0..16).map(|n| format!("h{n}.example.com")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let rules = "    - backendRefs: [{name: two, port: 80}]\n";
    world.write(
        "many.yaml",
        &route_with("many", "my-gateway", &hosts, rules),
    );
    for host in &hosts {
        world.answers_with(&format!("https://{host}/"), "two").await;
    }

    let writes: Vec<_> = world
        .calls()
        .split_off(before)
        .into_iter()
        .filter(|c| c.write)
        .collect();
    let of = |end: &str| writes.iter().filter(|c| c.path.ends_with(end)).count();
    assert_eq!(
        (
            of("/dns_records/batch"),
            of("/configurations"),
            writes.len()
        ),
        (1, 1, 2),
        "{writes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_removed_while_nothing_runs_is_cleaned_up_at_the_next_start() {
    let (world, _one, _two) = world().await;
    let cfgw = world.cfgw().await;
    world.answers("https://app.example.com/").await;
    cfgw.kill().await;
    let documents = gateway(&world.token, ACCOUNT);
    let without_gateway: Vec<&str> = documents
        .split("---\n")
        .filter(|d| !d.contains("kind: Gateway\n"))
        .collect();
    world.write("gateway.yaml", &without_gateway.join("---\n"));

    let _cfgw = world.spawn();
    within(
        Duration::from_secs(10),
        "tunnel and record are gone",
        || async { (world.tunnels().is_empty() && world.records().is_empty()).then_some(()) },
    )
    .await;
}
