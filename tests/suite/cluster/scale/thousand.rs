//! `make bench-scale`: a thousand HTTPRoutes from creation to served. It runs by itself, in a cluster of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tests::cluster::{Namespace, eventually};
use tests::installation::{self, CLASS, Installation, NAMESPACE};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::census::{self, Counts, memory};

/// Requests at the same time that look whether routes are served.
const LOOKERS: usize = 16;

/// Longer than any run that is worth its figures.
const WITHIN: Duration = Duration::from_secs(900);

/// A number from the environment.
fn setting(name: &str, default: usize) -> usize {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn gateways(count: usize) -> String {
    let gateway = |number| {
        format!(
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gateway-{number}}}
spec:
  gatewayClassName: {CLASS}
  infrastructure:
    parametersRef: {{group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: one-proxy}}
  listeners: [{{name: https, protocol: HTTPS, port: 443}}]
"
        )
    };
    let parameters = "---
apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {name: one-proxy}
spec:
  tunnel: {replicas: [{name: only}]}
";
    let gateways: String = (0..count).map(gateway).collect();
    format!("{}{parameters}{gateways}", include_str!("../echo.yaml"))
}

fn hostname(namespace: &Namespace, number: usize) -> String {
    format!("route-{number}.{}.example.com", namespace.name())
}

fn route(namespace: &Namespace, number: usize, gateways: usize) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route-{number}}}
spec:
  parentRefs: [{{name: gateway-{}}}]
  hostnames: [{}]
  rules:
    - backendRefs: [{{name: echo, port: 8080}}]
",
        number % gateways,
        hostname(namespace, number)
    )
}

/// When each route was first served, by its number. The requests go round over all that are not served yet.
async fn first_served(
    product: &Installation,
    namespace: &Namespace,
    routes: usize,
) -> BTreeMap<usize, Timestamp> {
    let names = (0..routes).map(|number| (number, hostname(namespace, number)));
    let waiting: Arc<Mutex<VecDeque<(usize, String)>>> = Arc::new(Mutex::new(names.collect()));
    let served = Arc::new(Mutex::new(BTreeMap::new()));
    let deadline = Instant::now() + WITHIN;
    let mut lookers = JoinSet::new();
    for _ in 0..LOOKERS {
        let (waiting, served) = (waiting.clone(), served.clone());
        let client = product.client.clone();
        lookers.spawn(async move {
            while Instant::now() < deadline && served.lock().await.len() < routes {
                let next = waiting.lock().await.pop_front();
                let Some((number, name)) = next else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let answer = client.get(&format!("https://{name}/")).await;
                match answer {
                    Ok(answer) if answer.status == 200 => {
                        served.lock().await.insert(number, Timestamp::now());
                    }
                    _ => {
                        waiting.lock().await.push_back((number, name));
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
        });
    }
    while lookers.join_next().await.is_some() {}
    let served = std::mem::take(&mut *served.lock().await);
    assert_eq!(served.len(), routes, "served within {WITHIN:?}");
    served
}

/// When the API server had each route, by its number.
fn created(product: &Installation, namespace: &Namespace) -> BTreeMap<usize, Timestamp> {
    let audit = product.cluster.audit().into_iter();
    let of_routes = audit.filter_map(|event| {
        let about = event.object_ref.as_ref()?;
        let is_route = about.resource == "httproutes" && about.namespace == namespace.name();
        let is_creation = is_route && event.verb == "create" && event.stage == "ResponseComplete";
        let number = about.name.strip_prefix("route-")?.parse().ok()?;
        is_creation.then_some((number, event.stage_timestamp))
    });
    of_routes.collect()
}

/// Waits until every route's status says that it is accepted.
async fn all_accepted(namespace: &Namespace) {
    eventually("every route is accepted", WITHIN, || async {
        let found = namespace.get(&["httproutes"]).await.ok_or("none")?;
        let routes = found["items"].as_array().cloned().unwrap_or_default();
        let is_accepted = |route: &serde_json::Value| {
            let conditions = route["status"]["parents"][0]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|one| one["type"] == "Accepted" && one["status"] == "True")
        };
        match routes.iter().filter(|route| !is_accepted(route)).count() {
            0 => Ok(()),
            left => Err(format!("{left} are not")),
        }
    })
    .await;
}

/// The value below which so much of the sorted ones are.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    // A count of routes, far below 2^52.
    sorted[((last as f64) * part).round() as usize]
}

async fn pods(product: &Installation, namespace: &str, selector: &str) -> Vec<String> {
    let selector = format!("--selector={selector}");
    let arguments = ["pods", "--namespace", namespace, &selector];
    let found = product.cluster.get(&arguments).await.unwrap_or_default();
    let pods = found["items"].as_array().cloned().unwrap_or_default();
    let names = pods
        .iter()
        .filter_map(|pod| pod["metadata"]["name"].as_str());
    names.map(str::to_owned).collect()
}

fn print_counts(what: &str, counts: &Counts) {
    let sum: usize = counts.values().sum();
    println!("\n| {what} | {sum} |\n|---|---|");
    for (sort, count) in counts {
        println!("| {sort} | {count} |");
    }
}

async fn print_memory(product: &Installation, namespace: &Namespace) {
    println!("\n| process | RSS MiB | peak |\n|---|---|---|");
    let (leader, _) = product.leader().await;
    let chart = "app.kubernetes.io/name=cfgw-controller";
    for pod in pods(product, NAMESPACE, chart).await {
        let part = if pod == leader { "leads" } else { "follows" };
        let memory = memory(&pod);
        println!(
            "| controller, {part} | {:.1} | {:.1} |",
            memory.now, memory.peak
        );
    }
    let label = "gateway.networking.k8s.io/gateway-name";
    let proxies = pods(product, namespace.name(), label).await;
    let mut memories: Vec<_> = proxies.iter().map(|pod| memory(pod)).collect();
    memories.sort_by(|one, other| one.now.total_cmp(&other.now));
    if let (Some(least), Some(most)) = (memories.first(), memories.last()) {
        println!(
            "| proxies, the least of {} | {:.1} | {:.1} |",
            memories.len(),
            least.now,
            least.peak
        );
        println!("| proxies, the most | {:.1} | {:.1} |", most.now, most.peak);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make bench-scale"]
async fn bench_routes_from_creation_to_served() {
    let (routes, gateways) = (setting("SCALE_ROUTES", 1000), setting("SCALE_GATEWAYS", 10));
    let product = installation::alone().await;
    let namespace = product.cluster.namespace("scale").await;
    namespace.apply(&self::gateways(gateways)).await;
    for number in 0..gateways {
        let gateway = format!("gateway/gateway-{number}");
        namespace.condition(&gateway, "Programmed", "True").await;
    }
    super::at_rest(&product).await;
    println!("before any route:");
    print_memory(&product, &namespace).await;
    let (calls, events) = (
        product.standin.cloud().calls().len(),
        product.cluster.audit().len(),
    );

    let text: String = (0..routes)
        .map(|n| route(&namespace, n, gateways))
        .collect();
    let begun = Instant::now();
    let create = async {
        namespace.create(&text).await;
        begun.elapsed()
    };
    let (creation, served) = tokio::join!(create, first_served(&product, &namespace, routes));
    all_accepted(&namespace).await;
    let accepted = begun.elapsed();
    super::at_rest(&product).await;

    let created = created(&product, &namespace);
    let seconds = |number: &usize| {
        let elapsed = served[number].duration_since(created[number]);
        elapsed.as_secs_f64().max(0.0)
    };
    let mut times: Vec<f64> = created.keys().map(seconds).collect();
    times.sort_by(f64::total_cmp);
    println!(
        "\n{routes} HTTPRoutes on {gateways} Gateways, created in {:.1} s; every status written {:.1} s after the first creation",
        creation.as_secs_f64(),
        accepted.as_secs_f64()
    );
    println!("\n| creation to served, s | p50 | p99 | most |\n|---|---|---|---|");
    let (p50, p99) = (quantile(&times, 0.5), quantile(&times, 0.99));
    println!("| | {p50:.1} | {p99:.1} | {:.1} |", quantile(&times, 1.0));
    print_memory(&product, &namespace).await;
    let audit = product.cluster.audit().split_off(events);
    print_counts(
        "the controller's writes to Kubernetes",
        &census::kubernetes(&audit),
    );
    print_counts(
        "calls of the Cloudflare API",
        &census::cloudflare(&product, calls),
    );
}
