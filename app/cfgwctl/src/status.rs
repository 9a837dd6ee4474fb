//! `status`: Gateways, their hostnames, and what is not as it should be, on one screen.

use domain::ObjectKey;
use domain::gateway::LISTENER_SET_KIND;
use serde::Serialize;

use crate::objects::{
    Condition, Gateway, GatewayConditions, GatewayStatus, ListenerSet, ParentRef, Route, condition,
};
use crate::screen::{Format, Screen, Tone, as_json, as_yaml, table};

/// Problems that are shown; the others are counted.
const SHOWN_PROBLEMS: usize = 20;

/// Hostnames that are shown; the others are counted.
const SHOWN_HOSTNAMES: usize = 50;

/// What was read of a cluster.
#[derive(Debug, Default)]
pub struct Seen {
    /// Gateways of our controller.
    pub gateways: Vec<Gateway>,
    pub statuses: Vec<GatewayStatus>,
    pub listener_sets: Vec<ListenerSet>,
    /// Routes with the name of their kind.
    pub routes: Vec<(&'static str, Route)>,
    /// What could not be read, a sentence each.
    pub unread: Vec<String>,
}

/// What `status` tells. Its written form is that of `-o json`.
#[derive(Debug, Serialize)]
pub struct Overview {
    gateways: Vec<GatewayRow>,
    hostnames: Vec<HostnameRow>,
    problems: Vec<Problem>,
    /// What could not be read.
    unread: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GatewayRow {
    namespace: String,
    name: String,
    /// Status of the condition `Ready`.
    ready: String,
    suspended: bool,
    tunnel_id: String,
    tunnel_name: String,
    ready_replicas: u32,
    connectors: usize,
    connections: u32,
    hostnames: u32,
    hostnames_applied: u32,
    next_rotation: String,
}

#[derive(Debug, Serialize)]
struct HostnameRow {
    hostname: String,
    /// Namespace and name.
    gateway: String,
    /// Whether it has its record, as the status of a condition.
    status: String,
    reason: String,
    zone: String,
    record: String,
    message: String,
}

/// A condition that is not as it should be.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Problem {
    object: String,
    condition: String,
    status: String,
    reason: String,
    message: String,
}

impl Overview {
    /// Puts together what was read.
    pub fn of(seen: Seen) -> Self {
        let status_of = |key: &ObjectKey| {
            let mut statuses = seen.statuses.iter();
            statuses.find(|status| status.metadata.key() == *key)
        };
        let mut gateways = Vec::new();
        let mut hostnames = Vec::new();
        let mut problems = Vec::new();
        for gateway in &seen.gateways {
            let status = status_of(&gateway.metadata.key());
            gateways.push(gateway_row(gateway, status));
            hostnames.extend(status.into_iter().flat_map(hostname_rows));
            problems.extend(problems_of_gateway(gateway));
        }
        let served: Vec<ObjectKey> = seen.gateways.iter().map(|it| it.metadata.key()).collect();
        let mut sets = Vec::new();
        for set in &seen.listener_sets {
            let key = set.metadata.key();
            if served.contains(&set.spec.parent_ref.key(&key.namespace)) {
                problems.extend(problems_of_set(&key, set));
                sets.push(key);
            }
        }
        let leads_here = |parent: &ParentRef, key: &ObjectKey| match parent.is_set() {
            true => sets.contains(key),
            false => served.contains(key),
        };
        for (kind, route) in &seen.routes {
            problems.extend(problems_of_route(kind, route, leads_here));
        }
        // Those that are False first; among them the order is that of the objects.
        problems.sort_by_key(|problem: &Problem| problem.status == "Unknown");
        Self {
            gateways,
            hostnames,
            problems,
            unread: seen.unread,
        }
    }

    /// The text in a format.
    pub fn text(&self, format: Format, screen: &Screen<'_>) -> String {
        match format {
            Format::Table => self.tables(false, screen),
            Format::Wide => self.tables(true, screen),
            Format::Name => {
                let names = self.gateways.iter();
                names
                    .map(|it| format!("gateway.gateway.networking.k8s.io/{}\n", it.name))
                    .collect()
            }
            Format::Json => as_json(self),
            Format::Yaml => as_yaml(self),
        }
    }

    fn tables(&self, is_wide: bool, screen: &Screen<'_>) -> String {
        let mut text = match self.gateways.is_empty() {
            true => "No Gateways found\n".to_owned(),
            false => table(&self.gateway_table(is_wide)),
        };
        if !self.hostnames.is_empty() {
            text.push('\n');
            text.push_str(&table(&self.hostname_table()));
            let more = self.hostnames.len().saturating_sub(SHOWN_HOSTNAMES);
            text.push_str(&counted(more, "hostnames"));
        }
        text.push('\n');
        text.push_str(&self.problem_lines(screen));
        text
    }

    fn gateway_table(&self, is_wide: bool) -> Vec<Vec<String>> {
        let mut head = vec![
            "NAMESPACE",
            "GATEWAY",
            "READY",
            "TUNNEL",
            "REPLICAS",
            "CONNECTIONS",
            "HOSTNAMES",
        ];
        if is_wide {
            head.extend(["TUNNEL NAME", "NEXT ROTATION"]);
        }
        let mut rows = vec![head.into_iter().map(str::to_owned).collect()];
        rows.extend(self.gateways.iter().map(|row| {
            let ready = match row.suspended {
                true => format!("{} (suspended)", row.ready),
                false => row.ready.clone(),
            };
            let mut cells = vec![
                row.namespace.clone(),
                row.name.clone(),
                ready,
                or_none(&row.tunnel_id),
                row.ready_replicas.to_string(),
                format!("{} by {}", row.connections, row.connectors),
                format!("{}/{}", row.hostnames_applied, row.hostnames),
            ];
            if is_wide {
                cells.extend([or_none(&row.tunnel_name), or_none(&row.next_rotation)]);
            }
            cells
        }));
        rows
    }

    fn hostname_table(&self) -> Vec<Vec<String>> {
        let head = ["HOSTNAME", "GATEWAY", "RECORD", "ZONE", "REASON"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let shown = self.hostnames.iter().take(SHOWN_HOSTNAMES);
        rows.extend(shown.map(|row| {
            vec![
                row.hostname.clone(),
                row.gateway.clone(),
                or_none(&row.record),
                or_none(&row.zone),
                row.reason.clone(),
            ]
        }));
        rows
    }

    fn problem_lines(&self, screen: &Screen<'_>) -> String {
        let mut text = String::new();
        let shown = self.problems.iter().take(SHOWN_PROBLEMS);
        for problem in shown {
            let told = format!("{}={}", problem.condition, problem.status);
            let tone = match problem.status.as_str() {
                "Unknown" => Tone::Unsure,
                _ => Tone::Bad,
            };
            text.push_str(&format!(
                "{}: {} ({}): {}\n",
                problem.object,
                screen.paint(tone, &told),
                problem.reason,
                problem.message
            ));
        }
        let more = self.problems.len().saturating_sub(SHOWN_PROBLEMS);
        text.push_str(&counted(more, "problems"));
        if self.problems.is_empty() {
            text.push_str(&screen.paint(Tone::Good, "No problems"));
            text.push('\n');
        }
        for unread in &self.unread {
            text.push_str(&format!("Not read: {unread}\n"));
        }
        text
    }
}

fn counted(more: usize, what: &str) -> String {
    match more {
        0 => String::new(),
        more => format!("and {more} more {what}: -o json\n"),
    }
}

fn or_none(text: &str) -> String {
    match text.is_empty() {
        true => "<none>".to_owned(),
        false => text.to_owned(),
    }
}

fn gateway_row(gateway: &Gateway, status: Option<&GatewayStatus>) -> GatewayRow {
    let details = status.map(|it| it.status.clone()).unwrap_or_default();
    let ready = condition(&gateway.status.conditions, "Ready");
    let connections = details.connectors.iter().map(|it| it.connections);
    GatewayRow {
        namespace: gateway.metadata.namespace.clone(),
        name: gateway.metadata.name.clone(),
        ready: ready.map_or("Unknown", |it| &it.status).to_owned(),
        suspended: gateway.is_suspended(),
        tunnel_id: details.tunnel.id,
        tunnel_name: details.tunnel.name,
        ready_replicas: details.ready_replicas,
        connectors: details.connectors.len(),
        connections: connections.map(|it| it.http2 + it.quic).sum(),
        hostnames: details.dns.hostnames,
        hostnames_applied: details.dns.applied,
        next_rotation: details.tunnel.token.rotation.next_rotation,
    }
}

fn hostname_rows(status: &GatewayStatus) -> impl Iterator<Item = HostnameRow> {
    let gateway = status.metadata.key().to_string();
    status.status.hostnames.iter().map(move |it| HostnameRow {
        hostname: it.name.clone(),
        gateway: gateway.clone(),
        status: it.status.clone(),
        reason: it.reason.clone(),
        zone: it.zone.clone(),
        record: it.record.clone(),
        message: it.message.clone(),
    })
}

fn problems_of_gateway(gateway: &Gateway) -> Vec<Problem> {
    let object = format!("Gateway {}", gateway.metadata.key());
    let mut problems = problems_of_listening(&object, &gateway.status);
    if gateway.status.conditions.is_empty() {
        problems.push(Problem {
            object,
            condition: "Accepted".to_owned(),
            status: "Unknown".to_owned(),
            reason: "Pending".to_owned(),
            message: "no controller has written its status; check that one runs: cfgwctl version"
                .to_owned(),
        });
    }
    problems
}

fn problems_of_set(key: &ObjectKey, set: &ListenerSet) -> Vec<Problem> {
    let object = format!("{LISTENER_SET_KIND} {key}");
    problems_of_listening(&object, &set.status)
}

/// Of an object and its listeners.
fn problems_of_listening(object: &str, status: &GatewayConditions) -> Vec<Problem> {
    let mut problems = problems(object, &status.conditions);
    for listener in &status.listeners {
        let object = format!("{object} listener {}", listener.name);
        problems.extend(self::problems(&object, &listener.conditions));
    }
    problems
}

fn problems_of_route(
    kind: &str,
    route: &Route,
    leads_here: impl Fn(&ParentRef, &ObjectKey) -> bool,
) -> Vec<Problem> {
    let key = route.metadata.key();
    let parents = route.status.parents.iter();
    let ours = parents.filter_map(|parent| {
        let named = parent.parent_ref.key(&key.namespace);
        leads_here(&parent.parent_ref, &named).then_some((named, parent))
    });
    ours.flat_map(|(named, parent)| {
        let on = match parent.parent_ref.is_set() {
            true => LISTENER_SET_KIND,
            false => "Gateway",
        };
        let object = format!("{kind} {key} on {on} {named}");
        problems(&object, &parent.conditions)
    })
    .collect()
}

/// Conditions that are not as they should be. Those that sum up others count where no other tells.
fn problems(object: &str, conditions: &[Condition]) -> Vec<Problem> {
    let bad = |is_sum: bool| -> Vec<Problem> {
        let conditions = conditions.iter();
        conditions
            .filter(|it| is_bad(it) && is_a_sum(&it.kind) == is_sum)
            .map(|it| Problem {
                object: object.to_owned(),
                condition: it.kind.clone(),
                status: it.status.clone(),
                reason: it.reason.clone(),
                message: it.message.clone(),
            })
            .collect()
    };
    let of_one = bad(false);
    match of_one.is_empty() {
        true => bad(true),
        false => of_one,
    }
}

fn is_a_sum(kind: &str) -> bool {
    matches!(kind, "Ready" | "Stalled")
}

fn is_bad(condition: &Condition) -> bool {
    let good = match condition.kind.as_str() {
        // What they say is bad.
        "Conflicted" | "PartiallyInvalid" | "Stalled" => "False",
        _ => "True",
    };
    condition.status != good
}
