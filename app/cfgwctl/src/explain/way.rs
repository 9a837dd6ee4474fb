//! What becomes of a request, by the domain's own rules.

use std::collections::BTreeMap;

use domain::attachment::{
    GatewayDefaults, GatewayResolution, ParentResolution, Resolution, resolve,
};
use domain::gateway::{CONTROLLER_NAME, EndpointHost, Filter};
use domain::route_table::{
    BackendIndex, BackendTarget, Matcher, RequestHead, RouteTable, Selected, TableBackend,
    TableFilter, UpstreamKey,
};
use domain::snapshot::ClusterSnapshot;
use domain::{Hostname, ObjectKey};

use super::question::Question;
use super::{Explanation, obstacle, told};
use crate::objects::{GatewayDetails, GatewayStatus, condition};

/// Endpoints of one backend that are shown; the others are counted.
const SHOWN_ENDPOINTS: usize = 8;

/// What an answer is made of.
#[derive(Debug)]
pub struct Knowledge {
    pub snapshot: ClusterSnapshot,
    /// What holds for Gateways whose parameters do not say otherwise.
    pub defaults: GatewayDefaults,
    /// What the controller tells of its Gateways; `None` where that is not known, as from files.
    pub statuses: Option<Vec<GatewayStatus>>,
    /// Pods by the addresses of endpoints.
    pub pods: BTreeMap<String, String>,
    /// Whether endpoints are known at all: files of users have none.
    pub has_endpoints: bool,
    /// What could not be seen.
    pub notes: Vec<String>,
}

/// What follows from the objects by the rules of the controller.
pub fn resolution(snapshot: &ClusterSnapshot, defaults: &GatewayDefaults) -> Resolution {
    resolve(snapshot, CONTROLLER_NAME, defaults)
}

/// The way of a request.
pub fn explain(question: &Question, known: &Knowledge) -> Explanation {
    let resolution = resolution(&known.snapshot, &known.defaults);
    let mut told = Explanation::default();
    told.step("hostname", &question.arrival.host);
    told.obstacle = Way {
        question,
        known,
        resolution: &resolution,
    }
    .follow(&mut told);
    let unread = resolution.unread.iter();
    let unread = unread.map(|(kind, why)| {
        format!(
            "{} could not be read, and count as none: {why}",
            kind.plural()
        )
    });
    told.notes.extend(unread);
    told.notes.extend(known.notes.iter().cloned());
    told
}

struct Way<'a> {
    question: &'a Question,
    known: &'a Knowledge,
    resolution: &'a Resolution,
}

/// Who has a hostname.
struct Holder<'a> {
    hostname: &'a Hostname,
    gateway: &'a GatewayResolution,
    details: Option<&'a GatewayDetails>,
}

impl<'a> Way<'a> {
    /// Goes as far as the request comes, and says what stops it.
    fn follow(&self, told: &mut Explanation) -> Option<String> {
        let Some(holder) = self.holder() else {
            return Some(obstacle::no_gateway(
                &self.question.arrival.host,
                &self.known.snapshot,
                self.resolution,
            ));
        };
        self.record(&holder, told)
            .or_else(|| self.gateway(&holder, told))
            .or_else(|| self.route(&holder, told))
    }

    fn details(&self, gateway: &ObjectKey) -> Option<&'a GatewayDetails> {
        let mut statuses = self.known.statuses.iter().flatten();
        let found = statuses.find(|status| status.metadata.key() == *gateway);
        found.map(|found| &found.status)
    }

    /// The Gateway that requests for the host come to: of the most specific hostname that covers it, the one that has
    /// the record, or else the oldest claim.
    fn holder(&self) -> Option<Holder<'a>> {
        let host = &self.question.arrival.host;
        let gateways = self.resolution.gateways.values();
        let claims = gateways.flat_map(|gateway| {
            let covering = gateway.hostnames.iter();
            let covering = covering.filter(|(hostname, _)| hostname.covers_host(host));
            covering.map(move |(hostname, since)| (hostname, *since, gateway))
        });
        let (hostname, _, gateway) = claims.min_by_key(|(hostname, since, gateway)| {
            let key = &gateway.gateway.key;
            let details = self.details(key);
            let has_record = details.is_some_and(|details| has_record(details, hostname));
            let specificity = std::cmp::Reverse(hostname.specificity());
            (specificity, !has_record, *since, key)
        })?;
        Some(Holder {
            hostname,
            gateway,
            details: self.details(&gateway.gateway.key),
        })
    }

    fn record(&self, holder: &Holder<'_>, told: &mut Explanation) -> Option<String> {
        let Holder {
            hostname,
            gateway,
            details,
        } = holder;
        let key = &gateway.gateway.key;
        let Some(details) = details else {
            let text = match self.known.statuses {
                Some(_) => "not known: there is no CloudflareGatewayStatus of the Gateway",
                None => "not known from files",
            };
            told.step("record", text);
            return None;
        };
        let mut hostnames = details.hostnames.iter();
        let Some(found) = hostnames.find(|it| it.name == hostname.as_str()) else {
            told.step("record", format!("{hostname}: not told of yet"));
            return None;
        };
        match (found.status.as_str(), found.reason.as_str()) {
            ("True", "NotManaged") => {
                told.step("record", format!("{hostname}: managed elsewhere"));
                None
            }
            ("True", _) => {
                told.step(
                    "record",
                    format!("{hostname} {} in zone {}", found.record, found.zone),
                );
                None
            }
            _ => Some(format!(
                "Gateway {key}: {hostname}: {}: {}",
                found.reason, found.message
            )),
        }
    }

    fn gateway(&self, holder: &Holder<'_>, told: &mut Explanation) -> Option<String> {
        let gateway = holder.gateway;
        let key = &gateway.gateway.key;
        if let Some(why) = obstacle::not_served(gateway) {
            return Some(why);
        }
        if gateway.reconciling.is_suspended {
            told.notes.push(format!(
                "Gateway {key} is suspended: what changes at Cloudflare waits until it is resumed"
            ));
        }
        let Some(details) = holder.details else {
            told.step("gateway", format!("Gateway {key}"));
            return None;
        };
        let programmed = condition(&details.conditions, "Programmed");
        if let Some(programmed) = programmed.filter(|it| it.status != "True") {
            return Some(format!(
                "Gateway {key}: Programmed is {}: {}",
                programmed.status, programmed.message
            ));
        }
        told.step(
            "gateway",
            format!(
                "Gateway {key}, tunnel {}, {} ready replicas",
                details.tunnel.id, details.ready_replicas
            ),
        );
        None
    }

    fn route(&self, holder: &Holder<'_>, told: &mut Explanation) -> Option<String> {
        let table = &holder.gateway.table;
        let matcher = Matcher::new(table.clone());
        let Some(found) = selected(&matcher, self.question) else {
            return Some(self.no_rule(holder, &matcher));
        };
        let listener = found.listener;
        told.step(
            "listener",
            format!(
                "{}: {} on port {}",
                listener.name,
                listener.protocol.as_str(),
                listener.port
            ),
        );
        for filter in &listener.filters {
            told.step("filter", told::external_auth(filter));
        }
        let route = format!("{} {}", found.route.kind.as_str(), found.route.key);
        told.step("route", &route);
        let mut rules = found.route.rules.iter();
        let index = rules.position(|rule| std::ptr::eq(rule, found.rule));
        let index = index.unwrap_or_default();
        told.step(
            "rule",
            format!("spec.rules[{index}]: {}", told::matched(found.matched)),
        );
        for filter in &found.rule.filters {
            told.step("filter", told::filter(filter));
        }
        let answers = |filter: &TableFilter| matches!(filter, Filter::Redirect(_));
        match found.rule.filters.iter().any(answers) {
            true => None,
            false => self.backends(&found, table, (&route, index), told),
        }
    }

    /// Why a Gateway that has the hostname answers 404.
    fn no_rule(&self, holder: &Holder<'_>, matcher: &Matcher) -> String {
        let Question {
            arrival,
            method,
            path,
            ..
        } = self.question;
        let key = &holder.gateway.gateway.key;
        let (scheme, port) = (arrival.scheme.as_str(), arrival.port);
        let other = self.question.by_other_scheme();
        if let Some(found) = selected(matcher, &other) {
            let (scheme, port) = (other.arrival.scheme.as_str(), other.arrival.port);
            return format!(
                "Gateway {key}: spec.listeners: none takes {} on port {}, where the request is answered with 404; add one, or ask for {scheme}://{} (listener {} on port {port})",
                arrival.scheme.as_str(),
                arrival.port,
                arrival.host,
                found.listener.name,
            );
        }
        let attached = |route: &&domain::attachment::RouteResolution| {
            let mut parents = route.parents.iter();
            parents.any(|it| it.gateway == *key && it.hostnames.contains(holder.hostname))
        };
        let routes = self.resolution.routes.iter().filter(attached);
        let routes = routes.map(|it| it.route.to_string());
        let routes: Vec<_> = routes.take(SHOWN_ENDPOINTS).collect();
        format!(
            "{}: spec.rules: none matches {method} {scheme}://{}:{port}{path}, which is answered with 404; add a match or a rule",
            routes.join(", "),
            arrival.host,
        )
    }

    fn backends(
        &self,
        found: &Selected<'_>,
        table: &RouteTable,
        (route, index): (&str, usize),
        told: &mut Explanation,
    ) -> Option<String> {
        let backends = &found.rule.backends;
        let rule = format!("spec.rules[{index}]");
        if let Some(dropped) = self.dropped(found, &rule) {
            return Some(dropped);
        }
        let field = format!("{route}: {rule}.backendRefs");
        let total: u64 = backends.iter().map(|it| u64::from(it.weight)).sum();
        if total == 0 {
            return Some(format!(
                "{field}: Required value: no backend has a weight, so requests are answered with 500; name a Service"
            ));
        }
        let mut obstacles = Vec::new();
        let mut takes_some = false;
        for backend in backends.iter().filter(|backend| backend.weight > 0) {
            let share = format!("weight {} of {total}", backend.weight);
            match self.backend(backend, &share, table, told) {
                None => takes_some = true,
                Some(_) if matches!(backend.target, BackendTarget::Invalid) => {
                    obstacles.push(self.unresolved(found).unwrap_or_else(|| {
                        format!("{field}: a backend does not resolve and is answered with 500; correct it")
                    }));
                }
                Some(obstacle) => obstacles.push(obstacle),
            }
        }
        obstacles.dedup();
        match takes_some {
            false => obstacles.into_iter().next(),
            true => {
                told.notes.extend(obstacles);
                None
            }
        }
    }

    /// Shows a backend and its endpoints. Why none takes its share.
    fn backend(
        &self,
        backend: &TableBackend,
        share: &str,
        table: &RouteTable,
        told: &mut Explanation,
    ) -> Option<String> {
        let BackendTarget::Upstream(upstream) = &backend.target else {
            if self.known.snapshot.services.is_unknown() {
                told.step("backend", format!("not known, {share}"));
                return None;
            }
            told.step(
                "backend",
                format!("a reference that does not resolve, {share}"),
            );
            return Some(String::new());
        };
        let UpstreamKey { service, port, .. } = upstream;
        let name = upstream.backend();
        told.step("backend", format!("{name} port {port}, {share}"));
        for filter in &backend.filters {
            told.step("filter", told::filter(filter));
        }
        let endpoints = table.upstreams.get(upstream);
        let endpoints = endpoints.map_or(&[][..], |upstream| &upstream.endpoints);
        for endpoint in endpoints.iter().take(SHOWN_ENDPOINTS) {
            let host = match &endpoint.host {
                EndpointHost::Address(address) => address.to_string(),
                EndpointHost::Name(name) => name.clone(),
            };
            let pod = self.known.pods.get(&host);
            let pod = pod.map(|pod| format!(" (Pod {}/{pod})", service.namespace));
            let pod = pod.unwrap_or_default();
            told.step("endpoint", format!("{host} port {}{pod}", endpoint.port));
        }
        if let Some(more) = endpoints.len().checked_sub(SHOWN_ENDPOINTS + 1) {
            told.step("endpoint", format!("and {} more", more + 1));
        }
        if !endpoints.is_empty() {
            return None;
        }
        if !self.known.has_endpoints {
            told.step("endpoint", "not known");
            return None;
        }
        let indexed = BackendIndex::new(&self.known.snapshot);
        Some(match indexed.refused(name).into_iter().next() {
            Some(refused) => refused,
            None => format!(
                "{name}: port {port} has no ready endpoint, so requests are answered with 503; see kubectl get endpointslices,pods --namespace {} and {}",
                service.namespace,
                told::who_brings_endpoints(name.kind)
            ),
        })
    }

    /// What the domain says of the references of a route.
    fn unresolved(&self, found: &Selected<'_>) -> Option<String> {
        let mut refusals = self.parents(found).iter();
        let refusal = refusals.find_map(|parent| parent.unresolved.as_ref())?;
        Some(refusal.message.clone())
    }

    /// What the domain says of a rule that cannot be served.
    fn dropped(&self, found: &Selected<'_>, rule: &str) -> Option<String> {
        let mut refusals = self.parents(found).iter();
        let told = |parent: &'_ ParentResolution| {
            let without_rules = parent.without_rules.as_ref();
            without_rules.or(parent.refusal.as_ref()).cloned()
        };
        let refusal = refusals.find_map(told)?;
        let is_meant = found.rule.backends.is_empty() && refusal.message.contains(rule);
        is_meant.then(|| refusal.message.clone())
    }

    fn parents(&self, found: &Selected<'_>) -> &[ParentResolution] {
        let mut routes = self.resolution.routes.iter();
        let route =
            routes.find(|it| it.route.kind == found.route.kind && it.route.key == found.route.key);
        route.map_or(&[], |route| &route.parents)
    }
}

fn has_record(details: &GatewayDetails, hostname: &Hostname) -> bool {
    let mut hostnames = details.hostnames.iter();
    hostnames.any(|it| it.name == hostname.as_str() && it.status == "True")
}

fn selected<'m>(matcher: &'m Matcher, question: &Question) -> Option<Selected<'m>> {
    matcher.select(&RequestHead {
        scheme: question.arrival.scheme,
        port: question.arrival.port,
        host: &question.arrival.host,
        method: &question.method,
        path: &question.path,
        query: question.query.as_deref(),
        headers: &question.headers,
    })
}
