//! A model of the cluster: what users write, and the snapshots that a process gets of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::gateway::{
    Adoption, CONFIRM_REMOVAL, CONTROLLER_NAME, Gateway, GatewayClass, Listener, ParentRef,
    RECONCILE_ANNOTATION, RECONCILE_EVERY_ANNOTATION, RECONCILE_REQUEST_ANNOTATION, Route,
};
use domain::rotation::REQUEST_ANNOTATION;
use domain::snapshot::{ClusterSnapshot, Reading};
use domain::{Hostname, ObjectKey};

use super::objects;
use super::random::Random;
use super::told::Told;

pub(crate) const ZONES: [&str; 2] = ["example.com", "example.org"];
/// The zone of the account that a Gateway may move to.
pub(crate) const OTHER_ZONE: &str = "example.net";
pub(crate) const GATEWAYS: [&str; 3] = ["g0", "g1", "g2"];
const ROUTES: [&str; 4] = ["r0", "r1", "r2", "r3"];
const SERVICES: [&str; 2] = ["s0", "s1"];
const CLASSES: [&str; 2] = ["ours", "theirs"];

/// Names in the zones of the first account, and one in that of the other.
pub(crate) const NAMES: [&str; 5] = [
    "a.example.com",
    "b.example.com",
    "*.example.com",
    "a.example.org",
    "a.example.net",
];
/// Names that come and go together.
pub(crate) const MANY_NAMES: [&str; 8] = [
    "n0.example.com",
    "n1.example.com",
    "n2.example.com",
    "n3.example.com",
    "n4.example.com",
    "n5.example.com",
    "n6.example.com",
    "n7.example.org",
];
const LISTENER_NAMES: [&str; 2] = ["*.example.com", "a.example.org"];

/// Annotation of a Gateway whose Secret with credentials is gone.
pub(crate) const WITHOUT_CREDENTIALS: &str = "without-credentials";

/// Annotation of a Gateway whose credentials are of the other account.
pub(crate) const IN_OTHER_ACCOUNT: &str = "in-other-account";

pub(crate) fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

pub(crate) fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}

/// All objects of the cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterModel {
    /// Whether a deleted Gateway with our finalizer stays until the finalizer is removed.
    finalizers: bool,
    /// Whether Gateways move between accounts.
    moves: bool,
    classes: BTreeMap<String, GatewayClass>,
    gateways: BTreeMap<ObjectKey, Gateway>,
    routes: BTreeMap<ObjectKey, Route>,
    services: BTreeSet<&'static str>,
    /// Whether the object is gone by which Gateways leave what they have.
    without_parameters: bool,
    /// Names whose foreign records are to be adopted, as the parameters of our class say.
    adopt: BTreeMap<Hostname, Adoption>,
    /// Creation times come from here. It jumps, as the clocks of a cluster's machines do.
    clock: i64,
}

/// What of the cluster a process reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum View {
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

impl View {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let served = [Kind::Classes, Kind::Gateways, Kind::Routes];
        match random.below(6) {
            0..=2 => Self::Whole,
            3 => {
                let objects: Vec<_> = GATEWAYS
                    .iter()
                    .chain(&ROUTES)
                    .map(|name| key(name))
                    .collect();
                Self::Without(random.some(&objects, 40).into_iter().collect())
            }
            4 => {
                let all = [&served[..], &[Kind::Services, Kind::EndpointSlices]].concat();
                Self::Unread(*random.pick(&all))
            }
            _ => Self::NoSuchKind(*random.pick(&served)),
        }
    }
}

impl ClusterModel {
    pub(crate) fn new(finalizers: bool, moves: bool) -> Self {
        let classes = [
            GatewayClass {
                parameters: Some(objects::parameters_ref(objects::PARAMETERS_OF_CLASS)),
                ..objects::class("ours", CONTROLLER_NAME)
            },
            objects::class("theirs", "example.com/other"),
        ];
        Self {
            finalizers,
            moves,
            classes: classes.map(|class| (class.name.clone(), class)).into(),
            clock: 1_000,
            ..Self::default()
        }
    }

    /// One object changes. `with_finalizer`: the Gateways that stay while they are being deleted.
    pub(crate) fn edit(
        &mut self,
        random: &mut Random,
        with_finalizer: &BTreeSet<ObjectKey>,
        told: &Told,
    ) -> String {
        self.clock += 100;
        let shift = i64::try_from(random.below(120)).unwrap();
        self.clock -= shift;
        match random.below(34) {
            0..=4 => self.add_gateway(random),
            5 | 6 => self.remove_gateway(random, with_finalizer),
            7..=9 => self.change_gateway(random),
            10..=13 => self.add_route(random),
            14 => self.remove_route(random),
            15..=17 => self.change_route(random),
            18 => self.change_services(random),
            19 | 20 => self.request_rotation(random),
            21..=28 => self.change_care(random),
            29 | 30 => self.change_many_names(random),
            31 => self.change_adoption(random, told),
            32 => self.confirm_removal(random, told),
            _ => self.change_class(random),
        }
    }

    fn add_gateway(&mut self, random: &mut Random) -> String {
        let name = *random.pick(&GATEWAYS);
        if self.gateways.contains_key(&key(name)) {
            return self.add_route(random);
        }
        let gateway = objects::gateway(name, self.clock, listener(random));
        self.gateways.insert(key(name), gateway);
        format!("Gateway {name} is added")
    }

    fn remove_gateway(
        &mut self,
        random: &mut Random,
        with_finalizer: &BTreeSet<ObjectKey>,
    ) -> String {
        let name = *random.pick(&GATEWAYS);
        if let Some(gateway) = self.gateways.get_mut(&key(name)) {
            gateway.deleting = true;
        }
        self.remove_deleted(with_finalizer);
        format!("Gateway {name} is deleted")
    }

    /// Now and then the same value as before.
    fn request_rotation(&mut self, random: &mut Random) -> String {
        let name = *random.pick(&GATEWAYS);
        let Some(gateway) = self.gateways.get_mut(&key(name)) else {
            return self.add_gateway(random);
        };
        let value = random.below(4).to_string();
        let annotations = &mut gateway.annotations;
        annotations.insert(REQUEST_ANNOTATION.to_owned(), value.clone());
        format!("Gateway {name} is to get a new token, request {value}")
    }

    /// What decides whether and when a Gateway is reconciled, and what becomes of what it has.
    fn change_care(&mut self, random: &mut Random) -> String {
        let name = *random.pick(&GATEWAYS);
        let what = random.below(11);
        if what == 0 {
            self.without_parameters = !self.without_parameters;
            return format!("the parameters are gone: {}", self.without_parameters);
        }
        let Some(gateway) = self.gateways.get_mut(&key(name)) else {
            return self.add_gateway(random);
        };
        let annotations = &mut gateway.annotations;
        let mut toggle = |annotation: &str, value: &str| {
            if annotations.remove(annotation).is_none() {
                annotations.insert(annotation.to_owned(), value.to_owned());
            }
        };
        match what {
            1..=4 => toggle(RECONCILE_ANNOTATION, "disabled"),
            5 => toggle(RECONCILE_EVERY_ANNOTATION, "10m"),
            6 => toggle(RECONCILE_REQUEST_ANNOTATION, &random.below(4).to_string()),
            7 => toggle(WITHOUT_CREDENTIALS, ""),
            8 if self.moves => toggle(IN_OTHER_ACCOUNT, ""),
            _ => {
                gateway.parameters = match gateway.parameters.take() {
                    None => Some(objects::parameters_ref("orphaning")),
                    Some(_) => None,
                };
            }
        }
        format!(
            "Gateway {name} is changed: {:?}, leaves what it has: {}",
            gateway.annotations,
            gateway.parameters.is_some()
        )
    }

    /// Removes the Gateways that are being deleted and have no finalizer.
    pub(crate) fn remove_deleted(&mut self, with_finalizer: &BTreeSet<ObjectKey>) {
        let stays = |gateway: &Gateway| {
            !gateway.deleting || (self.finalizers && with_finalizer.contains(&gateway.key))
        };
        self.gateways.retain(|_, gateway| stays(gateway));
    }

    /// Gateways that are there and are not being deleted.
    pub(crate) fn wanted(&self) -> BTreeSet<ObjectKey> {
        let wanted = self.gateways.values().filter(|gateway| !gateway.deleting);
        wanted.map(|gateway| gateway.key.clone()).collect()
    }

    fn change_gateway(&mut self, random: &mut Random) -> String {
        let name = *random.pick(&GATEWAYS);
        let Some(gateway) = self.gateways.get_mut(&key(name)) else {
            return self.add_gateway(random);
        };
        match random.below(5) {
            0 => gateway.class = (*random.pick(&CLASSES)).to_owned(),
            1 => gateway.listeners.clear(),
            2 | 3 => gateway.listeners = vec![listener(random)],
            _ if gateway.field_errors.is_empty() => gateway.field_errors.push(objects::unserved()),
            _ => gateway.field_errors.clear(),
        }
        format!(
            "Gateway {name} is changed: class {}, {} listeners on {:?}, {} field errors",
            gateway.class,
            gateway.listeners.len(),
            gateway.listeners.first().map(|listener| &listener.hostname),
            gateway.field_errors.len()
        )
    }

    fn add_route(&mut self, random: &mut Random) -> String {
        let name = *random.pick(&ROUTES);
        if self.routes.contains_key(&key(name)) {
            return self.change_route(random);
        }
        let route = Route {
            parents: parents(random),
            hostnames: random.some(&NAMES.map(host), 40),
            rules: vec![objects::rule(random.pick::<&str>(&SERVICES))],
            ..objects::route(name, self.clock)
        };
        let line = describe(&route, "added");
        self.routes.insert(key(name), route);
        line
    }

    fn remove_route(&mut self, random: &mut Random) -> String {
        let name = *random.pick(&ROUTES);
        self.routes.remove(&key(name));
        format!("Route {name} is removed")
    }

    fn change_route(&mut self, random: &mut Random) -> String {
        let name = *random.pick(&ROUTES);
        let Some(route) = self.routes.get_mut(&key(name)) else {
            return format!("Route {name} is not there");
        };
        match random.below(4) {
            0 | 1 => route.hostnames = random.some(&NAMES.map(host), 40),
            2 => route.parents = parents(random),
            _ => route.rules = vec![objects::rule(random.pick::<&str>(&SERVICES))],
        }
        describe(route, "changed")
    }

    /// Adds many names to a route, or takes them away.
    fn change_many_names(&mut self, random: &mut Random) -> String {
        let name = *random.pick(&ROUTES);
        let Some(route) = self.routes.get_mut(&key(name)) else {
            return self.add_route(random);
        };
        let many = MANY_NAMES.map(host);
        let had = route.hostnames.len();
        route.hostnames.retain(|hostname| !many.contains(hostname));
        if route.hostnames.len() == had {
            route.hostnames.extend(many);
        }
        describe(route, "changed")
    }

    /// A name is given up for adoption, or no longer, or what would be done is confirmed.
    fn change_adoption(&mut self, random: &mut Random, told: &Told) -> String {
        let name = host(random.pick::<&str>(&NAMES));
        match (self.adopt.get(&name), told.adoptions.get(&name)) {
            (None, _) => drop(self.adopt.insert(name, Adoption::DryRun)),
            (Some(Adoption::DryRun), Some(code)) => {
                let confirmed = Adoption::Confirmed(code.clone());
                self.adopt.insert(name, confirmed);
            }
            (Some(_), _) => drop(self.adopt.remove(&name)),
        }
        format!("to be adopted: {:?}", self.adopt)
    }

    fn confirm_removal(&mut self, random: &mut Random, told: &Told) -> String {
        let name = *random.pick(&GATEWAYS);
        self.confirm(&key(name), told);
        format!("Gateway {name}: what is held back is confirmed")
    }

    fn confirm(&mut self, gateway: &ObjectKey, told: &Told) {
        let code = told.removals.get(gateway);
        if let (Some(gateway), Some(code)) = (self.gateways.get_mut(gateway), code) {
            let annotations = &mut gateway.annotations;
            annotations.insert(CONFIRM_REMOVAL.to_owned(), code.clone());
        }
    }

    /// Confirms every removal that is held back.
    pub(crate) fn confirm_all(&mut self, told: &Told) {
        for gateway in GATEWAYS {
            self.confirm(&key(gateway), told);
        }
    }

    fn change_services(&mut self, random: &mut Random) -> String {
        let name = *random.pick(&SERVICES);
        if !self.services.remove(name) {
            self.services.insert(name);
        }
        format!("Services are {:?}", self.services)
    }

    fn change_class(&mut self, random: &mut Random) -> String {
        if random.chance(50) && self.classes.remove(CLASSES[0]).is_some() {
            return "our GatewayClass is removed".to_owned();
        }
        self.classes = Self::new(self.finalizers, self.moves).classes;
        "our GatewayClass is there".to_owned()
    }

    /// Removes every field error and adds the classes that are missing.
    pub(crate) fn repair(&mut self) {
        self.classes = Self::new(self.finalizers, self.moves).classes;
        self.without_parameters = false;
        for gateway in self.gateways.values_mut() {
            gateway.field_errors.clear();
            gateway.annotations.remove(RECONCILE_ANNOTATION);
            gateway.annotations.remove(WITHOUT_CREDENTIALS);
        }
    }

    pub(crate) fn snapshot(&self, view: &View) -> ClusterSnapshot {
        let visible = |key: &ObjectKey| match view {
            View::Without(objects) => !objects.contains(key),
            _ => true,
        };
        let gateways = self.gateways.values().filter(|object| visible(&object.key));
        let routes = self.routes.values().filter(|object| visible(&object.key));
        let mut snapshot = ClusterSnapshot {
            classes: Reading::Known(self.classes.values().cloned().collect()),
            gateways: Reading::Known(gateways.cloned().collect()),
            routes: Reading::Known(routes.cloned().map(Arc::new).collect()),
            parameters: Reading::Known(match self.without_parameters {
                true => vec![objects::of_class(self.adopt.clone())],
                false => vec![objects::of_class(self.adopt.clone()), objects::orphaning()],
            }),
            services: Reading::Known(
                self.services
                    .iter()
                    .map(|name| objects::service(name))
                    .collect(),
            ),
            endpoint_slices: Reading::Known(
                self.services
                    .iter()
                    .map(|name| objects::slice(name))
                    .collect(),
            ),
            ..ClusterSnapshot::default()
        };
        match view {
            View::Whole => {}
            View::Without(_) => {
                snapshot.unreadable.nameless = Some("a file is not YAML".to_owned());
            }
            View::Unread(kind) => kind.hide(&mut snapshot, true),
            View::NoSuchKind(kind) => kind.hide(&mut snapshot, false),
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

fn describe(route: &Route, what: &str) -> String {
    let parents = route.parents.iter();
    let parents: Vec<_> = parents.map(|parent| &parent.target.key.name).collect();
    let hostnames = route.hostnames.iter();
    let hostnames: Vec<_> = hostnames.map(Hostname::as_str).collect();
    let (name, created) = (&route.key.name, route.created.0);
    format!("Route {name} of {created} is {what}: {hostnames:?} on {parents:?}")
}

fn parents(random: &mut Random) -> Vec<ParentRef> {
    let chosen = random.some(&GATEWAYS, 50);
    chosen.into_iter().map(objects::parent).collect()
}

fn listener(random: &mut Random) -> Listener {
    let named = random.chance(40);
    objects::listener(named.then(|| host(random.pick::<&str>(&LISTENER_NAMES))))
}
