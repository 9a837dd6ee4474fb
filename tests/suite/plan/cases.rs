//! Generated clusters and what is edited of them, in the manifests and at Cloudflare by hand.

use standin::cloud::{Cloud, RecordBatch, RecordFields, RecordKind, RecordPatch};

use super::rig::{ACCOUNT, ZONES, token};
use tests::manifests::{class, secret, service};

/// Numbers that look random, the same ones for the same seed (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % sides as u64).unwrap()
    }

    /// Once in so many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.roll(times) == 0
    }
}

const GATEWAYS: [&str; 3] = ["web", "api", "shop"];
const NAMES: [&str; 9] = [
    "a.example.com",
    "b.example.com",
    "c.example.com",
    "d.example.com",
    "*.w.example.com",
    "example.com",
    "a.example.org",
    "b.example.org",
    "a.elsewhere.net",
];

#[derive(Debug, Clone)]
struct Gateway {
    is_there: bool,
    is_suspended: bool,
    created: usize,
    orphan: bool,
    dns: bool,
    drift: &'static str,
    secret: &'static str,
}

#[derive(Debug, Clone)]
struct Route {
    gateway: usize,
    names: Vec<&'static str>,
}

/// A cluster.
#[derive(Debug, Clone)]
pub(super) struct Model {
    gateways: Vec<Gateway>,
    routes: Vec<Route>,
}

fn some_route(dice: &mut Dice) -> Route {
    let mut names: Vec<_> = (0..=dice.roll(3))
        .map(|_| NAMES[dice.roll(NAMES.len())])
        .collect();
    names.sort_unstable();
    names.dedup();
    Route {
        gateway: dice.roll(GATEWAYS.len()),
        names,
    }
}

impl Model {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let gateways = (0..GATEWAYS.len()).map(|index| Gateway {
            is_there: index == 0 || dice.once_in(2),
            is_suspended: false,
            created: dice.roll(3),
            orphan: dice.once_in(5),
            dns: !dice.once_in(8),
            drift: ["Repair", "Repair", "Report", "Pause"][dice.roll(4)],
            secret: "cloudflare-creds",
        });
        let gateways = gateways.collect();
        let routes = (0..2 + dice.roll(6)).map(|_| some_route(dice)).collect();
        Self { gateways, routes }
    }

    /// One edit of somebody who writes manifests.
    pub(super) fn edit(&mut self, dice: &mut Dice) {
        let gateway = dice.roll(GATEWAYS.len());
        match dice.roll(9) {
            0 | 1 => self.routes.push(some_route(dice)),
            2 if !self.routes.is_empty() => {
                let gone = dice.roll(self.routes.len());
                self.routes.remove(gone);
            }
            3 if !self.routes.is_empty() => {
                let moved = dice.roll(self.routes.len());
                self.routes[moved].gateway = gateway;
            }
            4 | 5 => self.gateways[gateway].is_there ^= true,
            6 => self.gateways[gateway].is_suspended ^= true,
            7 => self.gateways[gateway].secret = "nowhere",
            _ => self.gateways[gateway].dns ^= true,
        }
    }

    pub(super) fn manifests(&self) -> String {
        let mut all = vec![
            secret("cloudflare-creds", &token(), ACCOUNT),
            class(),
            service("one", &[([127, 0, 0, 1], 9).into()]),
        ];
        for (index, gateway) in self.gateways.iter().enumerate() {
            if gateway.is_there {
                all.push(gateway.parameters(GATEWAYS[index]));
                all.push(gateway.manifest(GATEWAYS[index]));
            }
        }
        for (index, route) in self.routes.iter().enumerate() {
            all.push(format!(
                "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route-{index}, namespace: default, creationTimestamp: \"2026-01-0{}T00:00:00Z\"}}
spec:
  parentRefs: [{{name: {}}}]
  hostnames: {:?}
  rules:
    - backendRefs: [{{name: one, port: 80}}]
",
                index % 9 + 1,
                GATEWAYS[route.gateway],
                route.names
            ));
        }
        all.join("---\n")
    }
}

impl Gateway {
    fn parameters(&self, name: &str) -> String {
        let deletion = match self.orphan {
            true => "Orphan",
            false => "Delete",
        };
        let dns = match self.dns {
            true => format!("{{driftPolicy: {}}}", self.drift),
            false => "{management: Disabled}".to_owned(),
        };
        format!(
            "apiVersion: cloudflare-gateway-controller.io/v1
kind: CloudflareGatewayParameters
metadata: {{name: {name}, namespace: default}}
spec:
  secretRef: {{name: {}}}
  deletionPolicy: {deletion}
  dns: {dns}
",
            self.secret
        )
    }

    fn manifest(&self, name: &str) -> String {
        let reconcile = match self.is_suspended {
            true => "disabled",
            false => "enabled",
        };
        format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: {name}
  namespace: default
  creationTimestamp: \"2026-01-0{}T00:00:00Z\"
  annotations: {{cloudflare-gateway-controller.io/reconcile: {reconcile}}}
spec:
  gatewayClassName: cloudflare
  infrastructure:
    parametersRef: {{group: cloudflare-gateway-controller.io, kind: CloudflareGatewayParameters, name: {name}}}
  listeners:
    - {{name: https, protocol: HTTPS, port: 443}}
",
            self.created + 1
        )
    }
}

/// Somebody changes something at Cloudflare by hand.
pub(super) fn by_hand(cloud: &Cloud, dice: &mut Dice) {
    // Their ids are random.
    let mut zones = cloud.zones();
    zones.sort_by(|a, b| a.name.cmp(&b.name));
    let zone = &zones[dice.roll(ZONES.len())];
    let mut records = cloud.records(&zone.id);
    records.sort_by(|a, b| (&a.name, a.kind.as_str()).cmp(&(&b.name, b.kind.as_str())));
    let of_ours = records.get(dice.roll(records.len().max(1)));
    let batch = match (dice.roll(4), of_ours) {
        (0, Some(record)) => RecordBatch {
            deletes: vec![record.id.clone()],
            ..RecordBatch::default()
        },
        (1, Some(record)) => {
            let patch = RecordPatch {
                proxied: Some(!record.proxied),
                ..RecordPatch::default()
            };
            RecordBatch {
                patches: vec![(record.id.clone(), patch)],
                ..RecordBatch::default()
            }
        }
        (2, Some(record)) => {
            let patch = RecordPatch {
                comment: Some(None),
                ..RecordPatch::default()
            };
            RecordBatch {
                patches: vec![(record.id.clone(), patch)],
                ..RecordBatch::default()
            }
        }
        _ => RecordBatch {
            posts: vec![foreign(NAMES[dice.roll(NAMES.len())])],
            ..RecordBatch::default()
        },
    };
    // Where the API would refuse it, nothing was done by hand.
    let _ = cloud.change_records(&zone.id, batch);
    if dice.once_in(4) {
        let mut tunnels = cloud.tunnels();
        tunnels.retain(|tunnel| tunnel.deleted_at.is_none());
        tunnels.sort_by(|a, b| a.name.cmp(&b.name));
        if !tunnels.is_empty() {
            let gone = tunnels[dice.roll(tunnels.len())].id;
            let _ = cloud.delete_tunnel(ACCOUNT, gone);
        }
    }
}

fn foreign(name: &str) -> RecordFields {
    RecordFields {
        kind: RecordKind::parse("A").unwrap(),
        name: name.to_owned(),
        content: "192.0.2.1".to_owned(),
        priority: None,
        proxied: false,
        ttl: 300,
        comment: None,
        tags: Vec::new(),
    }
}
