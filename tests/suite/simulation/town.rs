//! The cluster as it is: what users write, and what a process is shown of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use domain::gateway::{
    AllowedNamespaces, AppProtocol, BackendRef, CONTROLLER_NAME, Defect, DefectKind, Endpoint,
    EndpointHost, EndpointSlice, GATEWAY_GROUP, Gateway, GatewayClass, GatewayPart, Infrastructure,
    Listener, ParentRef, PathMatch, Protocol, Route, RouteKind, RouteMatch, Rule, Service,
    ServicePort,
};
use domain::snapshot::{ClusterSnapshot, Reading};
use domain::{Hostname, ObjectKey, ObjectRef, Timestamp};

use super::dice::Dice;

pub(crate) const ZONES: [&str; 2] = ["example.com", "example.org"];
pub(crate) const GATEWAYS: [&str; 3] = ["g0", "g1", "g2"];
const ROUTES: [&str; 4] = ["r0", "r1", "r2", "r3"];
const SERVICES: [&str; 2] = ["s0", "s1"];
const CLASSES: [&str; 2] = ["ours", "theirs"];

/// Names in two zones and one outside of every zone.
pub(crate) const NAMES: [&str; 5] = [
    "a.example.com",
    "b.example.com",
    "*.example.com",
    "a.example.org",
    "a.example.net",
];
const LISTENER_NAMES: [&str; 2] = ["*.example.com", "a.example.org"];

pub(crate) fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

pub(crate) fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}

/// All objects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Town {
    /// Whether a Gateway that is held stays, marked, until it is let go.
    finalizers: bool,
    classes: BTreeMap<String, GatewayClass>,
    gateways: BTreeMap<ObjectKey, Gateway>,
    routes: BTreeMap<ObjectKey, Route>,
    services: BTreeSet<&'static str>,
    /// Creation times come from here. It jumps, as the clocks of a cluster's machines do.
    clock: i64,
}

/// What a process can see of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Sight {
    #[default]
    Whole,
    /// These objects are in files that cannot be parsed.
    Without(BTreeSet<ObjectKey>),
    /// This kind could not be listed.
    Unread(Kind),
    /// The CRDs of this kind are gone.
    NoSuchKind(Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Classes,
    Gateways,
    Routes,
    Services,
    EndpointSlices,
}

impl Sight {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let served = [Kind::Classes, Kind::Gateways, Kind::Routes];
        match dice.below(6) {
            0..=2 => Self::Whole,
            3 => {
                let objects: Vec<_> = GATEWAYS
                    .iter()
                    .chain(&ROUTES)
                    .map(|name| key(name))
                    .collect();
                Self::Without(dice.some(&objects, 40).into_iter().collect())
            }
            4 => {
                let all = [&served[..], &[Kind::Services, Kind::EndpointSlices]].concat();
                Self::Unread(*dice.pick(&all))
            }
            _ => Self::NoSuchKind(*dice.pick(&served)),
        }
    }
}

impl Town {
    pub(crate) fn new(finalizers: bool) -> Self {
        let class = |name: &str, controller: &str| GatewayClass {
            name: name.to_owned(),
            generation: 1,
            controller: controller.to_owned(),
            parameters: None,
            defects: Vec::new(),
        };
        let classes = [
            class("ours", CONTROLLER_NAME),
            class("theirs", "example.com/other"),
        ];
        Self {
            finalizers,
            classes: classes.map(|class| (class.name.clone(), class)).into(),
            clock: 1_000,
            ..Self::default()
        }
    }

    /// One thing changes. `held` are the Gateways that may not vanish yet.
    pub(crate) fn edit(&mut self, dice: &mut Dice, held: &BTreeSet<ObjectKey>) -> String {
        self.clock += 100;
        let shift = i64::try_from(dice.below(120)).unwrap();
        self.clock -= shift;
        match dice.below(20) {
            0..=4 => self.add_gateway(dice),
            5 | 6 => self.remove_gateway(dice, held),
            7..=9 => self.change_gateway(dice),
            10..=13 => self.add_route(dice),
            14 => self.remove_route(dice),
            15..=17 => self.change_route(dice),
            18 => self.change_services(dice),
            _ => self.change_class(dice),
        }
    }

    fn add_gateway(&mut self, dice: &mut Dice) -> String {
        let name = *dice.pick(&GATEWAYS);
        if self.gateways.contains_key(&key(name)) {
            return self.add_route(dice);
        }
        let gateway = Gateway {
            key: key(name),
            generation: 1,
            created: Timestamp(self.clock),
            deleting: false,
            class: CLASSES[0].to_owned(),
            listeners: vec![listener(dice)],
            parameters: None,
            infrastructure: Infrastructure::default(),
            annotations: BTreeMap::new(),
            defects: Vec::new(),
        };
        self.gateways.insert(key(name), gateway);
        format!("Gateway {name} is added")
    }

    fn remove_gateway(&mut self, dice: &mut Dice, held: &BTreeSet<ObjectKey>) -> String {
        let name = *dice.pick(&GATEWAYS);
        if let Some(gateway) = self.gateways.get_mut(&key(name)) {
            gateway.deleting = true;
        }
        self.let_go(held);
        format!("Gateway {name} is deleted")
    }

    /// Gateways that are being deleted and that nobody holds vanish.
    pub(crate) fn let_go(&mut self, held: &BTreeSet<ObjectKey>) {
        let stays = |gateway: &Gateway| {
            !gateway.deleting || (self.finalizers && held.contains(&gateway.key))
        };
        self.gateways.retain(|_, gateway| stays(gateway));
    }

    fn change_gateway(&mut self, dice: &mut Dice) -> String {
        let name = *dice.pick(&GATEWAYS);
        let Some(gateway) = self.gateways.get_mut(&key(name)) else {
            return self.add_gateway(dice);
        };
        match dice.below(5) {
            0 => gateway.class = (*dice.pick(&CLASSES)).to_owned(),
            1 => gateway.listeners.clear(),
            2 | 3 => gateway.listeners = vec![listener(dice)],
            _ if gateway.defects.is_empty() => gateway.defects.push(unserved()),
            _ => gateway.defects.clear(),
        }
        format!(
            "Gateway {name} is changed: class {}, {} listeners on {:?}, {} defects",
            gateway.class,
            gateway.listeners.len(),
            gateway.listeners.first().map(|listener| &listener.hostname),
            gateway.defects.len()
        )
    }

    fn add_route(&mut self, dice: &mut Dice) -> String {
        let name = *dice.pick(&ROUTES);
        if self.routes.contains_key(&key(name)) {
            return self.change_route(dice);
        }
        let route = Route {
            kind: RouteKind::Http,
            key: key(name),
            generation: 1,
            created: Timestamp(self.clock),
            parents: parents(dice),
            hostnames: dice.some(&NAMES.map(host), 40),
            rules: vec![rule(dice)],
            pattern_room: domain::gateway::PatternRoom::default(),
            uses: Vec::new(),
            defects: Vec::new(),
        };
        let told = told(&route, "added");
        self.routes.insert(key(name), route);
        told
    }

    fn remove_route(&mut self, dice: &mut Dice) -> String {
        let name = *dice.pick(&ROUTES);
        self.routes.remove(&key(name));
        format!("Route {name} is removed")
    }

    fn change_route(&mut self, dice: &mut Dice) -> String {
        let name = *dice.pick(&ROUTES);
        let Some(route) = self.routes.get_mut(&key(name)) else {
            return format!("Route {name} is not there");
        };
        match dice.below(4) {
            0 | 1 => route.hostnames = dice.some(&NAMES.map(host), 40),
            2 => route.parents = parents(dice),
            _ => route.rules = vec![rule(dice)],
        }
        told(route, "changed")
    }

    fn change_services(&mut self, dice: &mut Dice) -> String {
        let name = *dice.pick(&SERVICES);
        if !self.services.remove(name) {
            self.services.insert(name);
        }
        format!("Services are {:?}", self.services)
    }

    fn change_class(&mut self, dice: &mut Dice) -> String {
        if dice.chance(50) && self.classes.remove(CLASSES[0]).is_some() {
            return "our GatewayClass is removed".to_owned();
        }
        self.classes = Self::new(self.finalizers).classes;
        "our GatewayClass is there".to_owned()
    }

    /// Every mistake in an object is mended, and each class is there.
    pub(crate) fn mend(&mut self) {
        self.classes = Self::new(self.finalizers).classes;
        for gateway in self.gateways.values_mut() {
            gateway.defects.clear();
        }
    }

    pub(crate) fn snapshot(&self, sight: &Sight) -> ClusterSnapshot {
        let visible = |key: &ObjectKey| match sight {
            Sight::Without(objects) => !objects.contains(key),
            _ => true,
        };
        let gateways = self.gateways.values().filter(|object| visible(&object.key));
        let routes = self.routes.values().filter(|object| visible(&object.key));
        let mut snapshot = ClusterSnapshot {
            classes: Reading::Known(self.classes.values().cloned().collect()),
            gateways: Reading::Known(gateways.cloned().collect()),
            routes: Reading::Known(routes.cloned().map(Arc::new).collect()),
            services: Reading::Known(self.services.iter().map(|name| service(name)).collect()),
            endpoint_slices: Reading::Known(self.services.iter().map(|name| slice(name)).collect()),
            ..ClusterSnapshot::default()
        };
        match sight {
            Sight::Whole => {}
            Sight::Without(_) => {
                snapshot.unreadable.nameless = Some("a file is not YAML".to_owned());
            }
            Sight::Unread(kind) => kind.hide(&mut snapshot, true),
            Sight::NoSuchKind(kind) => kind.hide(&mut snapshot, false),
        }
        snapshot
    }
}

impl Kind {
    fn hide(self, snapshot: &mut ClusterSnapshot, unknown: bool) {
        fn hidden<T>(unknown: bool) -> Reading<T> {
            if unknown {
                Reading::Unknown("timeout".to_owned())
            } else {
                Reading::Absent
            }
        }
        match self {
            Self::Classes => snapshot.classes = hidden(unknown),
            Self::Gateways => snapshot.gateways = hidden(unknown),
            Self::Routes => snapshot.routes = hidden(unknown),
            Self::Services => snapshot.services = hidden(unknown),
            Self::EndpointSlices => snapshot.endpoint_slices = hidden(unknown),
        }
    }
}

fn told(route: &Route, what: &str) -> String {
    let parents = route.parents.iter();
    let parents: Vec<_> = parents.map(|parent| &parent.target.key.name).collect();
    let hostnames = route.hostnames.iter();
    let hostnames: Vec<_> = hostnames.map(Hostname::as_str).collect();
    let (name, created) = (&route.key.name, route.created.0);
    format!("Route {name} of {created} is {what}: {hostnames:?} on {parents:?}")
}

fn unserved() -> (GatewayPart, Defect) {
    let defect = Defect {
        field: "spec.addresses".to_owned(),
        kind: DefectKind::Unsupported,
        message: "is not served".to_owned(),
    };
    (GatewayPart::Addresses, defect)
}

fn listener(dice: &mut Dice) -> Listener {
    let hostname = dice
        .chance(40)
        .then(|| host(dice.pick::<&str>(&LISTENER_NAMES)));
    Listener {
        name: "https".to_owned(),
        hostname,
        port: 443,
        protocol: Protocol::Https,
        tls: None,
        namespaces: AllowedNamespaces::Same,
        kinds: Vec::new(),
        defects: Vec::new(),
    }
}

fn parents(dice: &mut Dice) -> Vec<ParentRef> {
    let parent = |name: &str| ParentRef {
        target: ObjectRef {
            group: GATEWAY_GROUP.to_owned(),
            kind: "Gateway".to_owned(),
            key: key(name),
        },
        namespace_written: false,
        section: None,
        port: None,
    };
    let chosen = dice.some(&GATEWAYS, 50);
    chosen.into_iter().map(parent).collect()
}

fn rule(dice: &mut Dice) -> Rule {
    let target = ObjectRef {
        group: String::new(),
        kind: "Service".to_owned(),
        key: key(dice.pick::<&str>(&SERVICES)),
    };
    Rule {
        matches: vec![RouteMatch {
            path: PathMatch::Prefix("/".to_owned()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        }],
        filters: Vec::new(),
        policy: Default::default(),
        backends: vec![BackendRef {
            target,
            port: Some(80),
            weight: 1,
            filters: Vec::new(),
            field: "spec.rules[0].backendRefs[0]".to_owned(),
        }],
    }
}

fn service(name: &str) -> Service {
    Service {
        key: key(name),
        ports: vec![ServicePort {
            name: String::new(),
            port: 80,
            protocol: AppProtocol::Http1,
        }],
        external_name: None,
    }
}

fn slice(name: &str) -> EndpointSlice {
    EndpointSlice {
        key: key(name),
        service: name.to_owned(),
        ports: [(String::new(), 8080)].into(),
        endpoints: vec![Endpoint {
            host: EndpointHost::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
            ready: true,
            serving: true,
        }],
    }
}
