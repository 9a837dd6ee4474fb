//! Endpoints fail under load: requests, gRPC calls and WebSockets. `RATE` says how many requests a second, 200 unless set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tests::client::Client;
use tests::grpc::Caller;
use tests::load::{Load, LoadReport};
use tests::manifests::{gateway, route_with, service, service_speaking};
use tests::origin::{Failing, Origin};
use tests::process::Cfgw;
use tests::websocket::Socket;
use tests::world::{ACCOUNT, World};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const APP: &str = "app.example.com";
const CALLS: &str = "calls.example.com";
const TIMEOUTS: &str = "timeouts: {request: 10s, backendRequest: 500ms}";
const RETRIES: &str = "retry: {codes: [503], attempts: 3, backoff: 10ms}";
/// WebSockets that are open all the while.
const SOCKETS: usize = 20;
/// How long endpoints fail.
const FAILING: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

/// What happens to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Hangs,
    Resets,
    OnAndOff,
    HalfDie,
}

/// Ten endpoints behind the product.
struct Site {
    world: World,
    pods: Vec<Option<Origin>>,
    _cfgw: Cfgw,
}

/// What came of an event.
struct Figures {
    requests: u64,
    failed_requests: usize,
    failed_calls: usize,
    /// WebSockets that could not be opened.
    refused: Vec<String>,
    /// Those that ended.
    ended: u64,
    /// Requests, calls and openings that were at an endpoint that failed.
    reached: u64,
    failures: Vec<String>,
}

impl Site {
    async fn start(has_retries: bool) -> Self {
        let world = World::start_alone().await;
        let mut pods = Vec::new();
        for n in 0..10 {
            pods.push(Some(Origin::start_abrupt(&format!("pod-{n}")).await));
        }
        let addresses: Vec<_> = pods.iter().flatten().map(|pod| pod.address).collect();
        world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
        world.write("app.yaml", &service("app", &addresses));
        let calls = service_speaking("calls", &addresses, "kubernetes.io/h2c");
        world.write("calls.yaml", &calls);
        let retries = if has_retries { RETRIES } else { "" };
        for (name, host) in [("app", APP), ("calls", CALLS)] {
            let rule = format!(
                "    - backendRefs: [{{name: {name}, port: 80}}]\n      {TIMEOUTS}\n      {retries}\n"
            );
            let route = route_with(name, "my-gateway", &[host], &rule);
            world.write(&format!("{name}-route.yaml"), &route);
        }
        let cfgw = world.cfgw().await;
        world.answers(&format!("https://{APP}/")).await;
        world.answers(&format!("https://{CALLS}/")).await;
        world.connections(4).await;
        Self {
            world,
            pods,
            _cfgw: cfgw,
        }
    }

    fn failed(&self) -> u64 {
        self.pods.iter().flatten().map(Origin::failed).sum()
    }

    /// Has an endpoint fail for a while.
    async fn fail(&self, pod: usize, how: Failing) {
        let pod = self.pods[pod].as_ref().expect("it lives");
        pod.fail(Some(how));
        sleep(FAILING).await;
        pod.fail(None);
    }

    /// An event, and how many requests were at endpoints that failed then.
    async fn happen(&mut self, event: Event) -> u64 {
        let before = self.failed();
        match event {
            Event::Hangs => self.fail(0, Failing::Silent).await,
            Event::Resets => self.fail(1, Failing::Resets).await,
            Event::OnAndOff => {
                let pod = self.pods[2].as_ref().expect("it lives");
                for _ in 0..10 {
                    pod.fail(Some(Failing::Unavailable));
                    sleep(FAILING / 20).await;
                    pod.fail(None);
                    sleep(FAILING / 20).await;
                }
            }
            Event::HalfDie => {
                let half = self.pods.iter_mut().skip(5);
                let dead: Vec<_> = half.filter_map(Option::take).collect();
                let under_way = dead.iter().map(Origin::under_way).sum::<u64>();
                drop(dead);
                sleep(FAILING).await;
                return under_way;
            }
        }
        self.failed() - before
    }

    async fn figures(&mut self, event: Event, rate: u32) -> Figures {
        let caller = Caller::connect(&self.world.client, CALLS).await;
        let load = load(&self.world.client, caller.expect("HTTP/2"), rate);
        let sockets = Sockets::start(&self.world.client);
        sleep(Duration::from_millis(500)).await;
        let reached = self.happen(event).await;
        sleep(Duration::from_secs(1)).await;
        let (refused, ended) = sockets.stop().await;
        let LoadReport { requests, failures } = load.stop().await;
        let count = |kind| {
            failures
                .iter()
                .filter(|text| text.starts_with(kind))
                .count()
        };
        Figures {
            requests,
            failed_requests: count("GET"),
            failed_calls: count("call"),
            refused,
            ended,
            reached,
            failures,
        }
    }
}

/// Of five requests four are GET and one is a gRPC call. Each takes its endpoint 10 ms.
fn load(client: &Client, caller: Caller, rate: u32) -> Load {
    let client = client.clone();
    Load::at_rate(rate, move |number| {
        let (client, mut caller) = (client.clone(), caller.clone());
        async move {
            if number % 5 == 0 {
                let called = caller.call("/shop.Cart/Add", &[], b"hello");
                let called = timeout(PATIENCE, called).await;
                let called = called.unwrap_or_else(|_| Err("no answer".into()));
                return called.map(drop).map_err(|status| format!("call: {status}"));
            }
            match client.get(&format!("https://{APP}/slow/10")).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("GET: {} {}", answer.status, answer.body)),
                Err(error) => Err(format!("GET: {error}")),
            }
        }
    })
}

/// WebSockets that are opened again when they end.
struct Sockets {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    refused: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicU64>,
}

impl Sockets {
    fn start(client: &Client) -> Self {
        let mut sockets = Self {
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
            refused: Arc::default(),
            ended: Arc::default(),
        };
        let turn = Arc::new(AtomicUsize::new(0));
        for _ in 0..SOCKETS {
            let (client, stop, turn) = (client.clone(), sockets.stop.clone(), turn.clone());
            let (refused, ended) = (sockets.refused.clone(), sockets.ended.clone());
            sockets.tasks.spawn(async move {
                while !stop.is_cancelled() {
                    match Socket::open(&client, APP, "/ws", "").await {
                        Ok(socket) => {
                            let has_ended = chatter(socket, &stop, &turn).await.is_err();
                            ended.fetch_add(u64::from(has_ended), Relaxed);
                        }
                        Err(answer) => refused.lock().await.push(answer),
                    }
                }
            });
        }
        sockets
    }

    async fn stop(mut self) -> (Vec<String>, u64) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no panic");
        }
        let refused = std::mem::take(&mut *self.refused.lock().await);
        (refused, self.ended.load(Relaxed))
    }
}

/// Messages there and back for as long as the WebSocket lasts, a second at most, so that there are openings at all times.
async fn chatter(
    mut socket: Socket,
    stop: &CancellationToken,
    turn: &AtomicUsize,
) -> Result<(), String> {
    let least = turn.fetch_add(1, Relaxed) % 10;
    for _ in 0..10 + least {
        if stop.is_cancelled() {
            break;
        }
        let echo = timeout(PATIENCE, socket.echo(b"message")).await;
        echo.unwrap_or_else(|_| Err("no echo".into()))?;
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_endpoints_fail_under_load_no_request_fails_that_could_be_answered() {
    let rate = std::env::var("RATE").map_or(200, |rate| rate.parse().expect("a number"));
    println!(
        "| {rate}/s, {SOCKETS} WebSockets | retries | requests | at the endpoint | GET failed | calls failed | WebSockets ended | not opened |"
    );
    let mut wrong = Vec::new();
    for has_retries in [true, false] {
        let mut site = Site::start(has_retries).await;
        for event in [Event::Hangs, Event::Resets, Event::OnAndOff, Event::HalfDie] {
            let figures = site.figures(event, rate).await;
            let retries = if has_retries { "yes" } else { "no" };
            println!(
                "| {event:?} | {retries} | {} | {} | {} | {} | {} | {} |",
                figures.requests,
                figures.reached,
                figures.failed_requests,
                figures.failed_calls,
                figures.ended,
                figures.refused.len(),
            );
            if !is_right(event, has_retries, &figures) {
                let (failures, refused) = (&figures.failures, &figures.refused);
                wrong.push(format!(
                    "{event:?}, retries: {has_retries}: {failures:?} {refused:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A GET and an opening can be answered by another endpoint, whatever happened, where there are retries. A call whose
/// connection broke may have been acted upon, so it cannot. Without retries what was at the endpoint may be lost.
fn is_right(event: Event, has_retries: bool, figures: &Figures) -> bool {
    let repeatable = figures.failed_requests + figures.refused.len();
    let all = repeatable + figures.failed_calls;
    let has_broken = matches!(event, Event::Resets | Event::HalfDie);
    match (has_retries, has_broken) {
        (true, false) => all == 0,
        (true, true) => repeatable == 0 && figures.failed_calls as u64 <= figures.reached,
        (false, _) => all as u64 <= figures.reached,
    }
}
