//! A hostile tenant and a good one: whatever the first writes into its own namespace, the changes of the second are
//! served at once, nothing of it is lost, and the controllers stay small and keep the lead. docs/security.md lists the
//! attacks.

mod objects;
mod tenants;

use std::time::{Duration, Instant};

use tests::cluster::{Namespace, eventually};
use tests::installation::{self, Installation, NAMESPACE};
use tests::pods::processes_of;

use self::objects::{attacks, path};
use super::other_gateway::made_for;
use super::traffic::echo_behind;

/// Until a change of the good tenant's must be served.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

/// Connections to the API server that a controller may have open.
const MOST_CONNECTIONS: usize = 63;

/// Resident memory of a controller, in MiB.
const MOST_MEMORY: f64 = 128.0;

/// How long what an attack starts has to show: a Lease that is lost, memory that grows.
const SETTLING: Duration = Duration::from_secs(3);

const DEPLOYMENT: &str = "cfgw-cloudflare-gateway-controller";

/// A tenant whose requests are answered, and who goes on changing a route.
struct Good {
    namespace: Namespace,
    hostname: String,
    changes: usize,
}

impl Good {
    async fn new(product: &Installation) -> Self {
        let namespace = product.cluster.namespace("good").await;
        let hostname = echo_behind(product, &namespace, 1).await;
        Self {
            namespace,
            hostname,
            changes: 0,
        }
    }

    /// Adds a hostname to the route and waits until it is served.
    async fn changes(&mut self, product: &Installation, after: &str) {
        self.changes += 1;
        let (hostname, number) = (&self.hostname, self.changes);
        let added = format!("new-{number}-{hostname}");
        let patch = format!(r#"--patch={{"spec":{{"hostnames":["{hostname}","{added}"]}}}}"#);
        let route = ["patch", "httproute", "my-route", "--type=merge", &patch];
        self.namespace.kubectl(&route).await;
        let began = Instant::now();
        product.served(&format!("https://{added}/")).await;
        let took = began.elapsed();
        println!("{after}: a change of the good tenant was served after {took:.1?}");
        assert!(took < SERVED_WITHIN, "{after}: {took:?}");
        product.served(&format!("https://{hostname}/")).await;
    }

    /// What was made for it, records excepted: its own changes make new ones.
    async fn made(&self, product: &Installation) -> Vec<String> {
        let mut made = made_for(product, &self.namespace).await;
        made.retain(|line| !line.starts_with("record "));
        made
    }
}

/// Every controller is within its bounds.
fn controllers_are_small(after: &str) {
    let processes = processes_of(DEPLOYMENT);
    assert!(!processes.is_empty(), "no process of a controller is seen");
    for process in processes {
        let (connections, memory) = (process.connections_to(6443), process.memory());
        let connections = connections.max(process.connections_to(443));
        println!(
            "{after}: {}: {connections} connections, {:.0} MiB, {:.0} at most",
            process.pod, memory.now, memory.peak
        );
        assert!(connections <= MOST_CONNECTIONS, "{after}: {connections}");
        assert!(memory.peak <= MOST_MEMORY, "{after}: {memory:?}");
    }
}

async fn restart_controllers(product: &Installation) {
    let deployment = format!("deployment/{DEPLOYMENT}");
    let rollout = |verb: &'static str, more: &'static [&'static str]| {
        let fixed = ["--namespace", NAMESPACE, "rollout", verb, &deployment];
        let arguments: Vec<String> = fixed.iter().chain(more).map(|&a| a.to_owned()).collect();
        async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            product.cluster.kubectl(&arguments).await
        }
    };
    rollout("restart", &[]).await;
    rollout("status", &["--timeout=240s"]).await;
}

/// The lead, once a controller that runs has it.
async fn led(product: &Installation) -> (String, u64) {
    eventually("a leader that runs", installation::PATIENCE, || async {
        let (pod, term) = product.leader().await;
        match processes_of(&pod).is_empty() {
            false => Ok((pod, term)),
            true => Err(pod),
        }
    })
    .await
}

/// Deletes what the tenant made. What a token that opens nothing has left is not known, so its Gateways wait for one
/// that opens the account.
async fn clean_up(product: &Installation, evil: &Namespace) {
    let everything = ["delete", "gateways,httproutes", "--all", "--wait=false"];
    evil.kubectl(&everything).await;
    evil.apply(&product.secret("borrowed", evil.name())).await;
    eventually("its Gateways are gone", installation::PATIENCE, || async {
        let left = evil.kubectl(&["get", "gateways", "--output=name"]).await;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    assert_eq!(product.tunnels_of(evil.name()), 0);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn a_hostile_tenant_costs_a_good_one_nothing() {
    let product = installation::alone().await;
    let mut good = Good::new(&product).await;
    let evil = product.cluster.namespace("evil").await;
    let made = good.made(&product).await;
    let lead = led(&product).await;
    good.changes(&product, "before").await;

    for attack in attacks() {
        let mut refused = Vec::new();
        for object in &attack.objects {
            let path = path(object, evil.name());
            let sent = product.cluster.post(&path, object).await;
            refused.extend(sent.err().map(|why| format!("{path}: {why:.200}")));
        }
        let (all, name) = (attack.objects.len(), attack.name);
        println!("{name}: {} of {all} objects taken", all - refused.len());
        for why in refused {
            println!("{name}: refused: {why}");
        }
        tokio::time::sleep(SETTLING).await;
        good.changes(&product, name).await;
        controllers_are_small(name);
        assert_eq!(led(&product).await, lead, "{name}: the Lease was lost");
    }
    assert_eq!(good.made(&product).await, made);

    restart_controllers(&product).await;
    let lead = led(&product).await;
    tokio::time::sleep(SETTLING).await;
    good.changes(&product, "after a restart").await;
    controllers_are_small("after a restart");
    assert_eq!(led(&product).await, lead, "the Lease was lost");
    assert_eq!(good.made(&product).await, made);
    let logs = product.told_by_controllers().await;
    assert!(!logs.contains("CANARY-OF-A-TENANT"), "{logs}");

    clean_up(&product, &evil).await;
}
