//! [`StatusSink`]: where statuses go.

use std::collections::BTreeMap;

use adapter_manifests::read_statuses;
use domain::gateway::{GATEWAY_GROUP, ParentRef, RouteKind};
use domain::ports::StatusSink;
use domain::status::{Condition, ConditionType, Part, Reason, StatusPart, StatusUpdate, Truth};
use domain::testing::RecordingStatusSink;
use domain::{ObjectKey, ObjectRef};
use serde_json::Value;

use super::folder::Folder;
use super::gateway;
use super::kubernetes::InCluster;

contract! {
    rules [
        every_kind_of_status_is_written,
        a_later_status_replaces_the_earlier_one,
        the_same_statuses_may_be_written_again,
        a_route_that_lost_its_parents_loses_our_entries,
        nothing_to_write_is_fine,
        an_object_that_is_gone_is_passed_over,
    ]
    kubernetes => InCluster::with_route("app").await,
    manifest_folder => Folder::with(&[("none.yaml", String::new())]),
    in_memory => RecordingStatusSink::default(),
}

/// Conditions of an object or of a part of it, as `Type=Truth message`.
type Shown = BTreeMap<String, Vec<String>>;

trait Rig {
    fn sink(&self) -> &dyn StatusSink;

    /// What is written now: `GatewayClass x`, `Gateway default/x`, `Gateway default/x listener y`,
    /// `HTTPRoute default/x on default/y`.
    fn shown(&self) -> Shown;
}

impl Rig for Folder {
    fn sink(&self) -> &dyn StatusSink {
        &*self.adapter
    }

    fn shown(&self) -> Shown {
        let statuses = read_statuses(&self.state()).expect("the state folder can be read");
        let mut shown = Shown::new();
        for status in statuses {
            let conditions = status.conditions.iter();
            let texts = conditions.map(|c| format!("{}={} {}", c.kind, c.status, c.message));
            shown.insert(status.object, texts.collect());
        }
        shown
    }
}

impl Rig for InCluster {
    fn sink(&self) -> &dyn StatusSink {
        &self.statuses
    }

    fn shown(&self) -> Shown {
        let kinds = ["gatewayclasses", "gateways", "httproutes"];
        let objects = kinds.iter().flat_map(|plural| self.server.all(plural));
        objects.flat_map(|object| written_parts(&object)).collect()
    }
}

/// The object with a status of ours, its listeners and parents.
fn written_parts(object: &Value) -> Vec<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let metadata = &object["metadata"];
    let key = [&metadata["namespace"], &metadata["name"]].map(text);
    let key = key.join("/");
    let name = format!("{} {}", text(&object["kind"]), key.trim_start_matches('/'));
    let status = &object["status"];
    let own = (name.clone(), status);
    let (listeners, parents) = (list(&status["listeners"]), list(&status["parents"]));
    let listeners = listeners.iter().map(|listener| {
        let listener_name = text(&listener["name"]);
        (format!("{name} listener {listener_name}"), listener)
    });
    let parents = parents.iter().map(|parent| {
        let gateway = text(&parent["parentRef"]["name"]);
        (format!("{name} on default/{gateway}"), parent)
    });
    let parts = std::iter::once(own).chain(listeners).chain(parents);
    let parts = parts.filter(|(_, part)| part["conditions"].is_array());
    let condition = |c: &Value| {
        let [kind, status, message] = ["type", "status", "message"].map(|field| text(&c[field]));
        format!("{kind}={status} {message}")
    };
    parts
        .map(|(name, part)| {
            (
                name,
                list(&part["conditions"]).iter().map(condition).collect(),
            )
        })
        .collect()
}

impl Rig for RecordingStatusSink {
    fn sink(&self) -> &dyn StatusSink {
        self
    }

    fn shown(&self) -> Shown {
        self.last().iter().flat_map(parts).collect()
    }
}

fn parts(update: &StatusUpdate) -> Vec<(String, Vec<String>)> {
    let object = &update.object;
    let parts = update.parts.iter().map(|part| {
        let name = match &part.part {
            Part::Object => object.to_string(),
            Part::Listener { name, .. } => format!("{object} listener {name}"),
            Part::Parent(parent) => format!("{object} on {}", parent.target.key),
            Part::ListenerSets { .. } => format!("{object} with its ListenerSets"),
            Part::LoadBalancer { .. } => format!("{object} as a load balancer"),
        };
        (name, texts(&part.conditions))
    });
    parts.collect()
}

fn texts(conditions: &[Condition]) -> Vec<String> {
    let text = |c: &Condition| format!("{}={} {}", c.kind.as_str(), c.truth.as_str(), c.message);
    conditions.iter().map(text).collect()
}

fn accepted(truth: Truth, message: &str) -> Vec<Condition> {
    vec![Condition {
        kind: ConditionType::Accepted,
        truth,
        reason: Reason::Accepted,
        message: message.to_owned(),
        generation: 1,
    }]
}

fn object(kind: &str, key: ObjectKey) -> ObjectRef {
    ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.to_owned(),
        key,
    }
}

fn part(part: Part, truth: Truth, message: &str) -> StatusPart {
    StatusPart {
        part,
        gateway: None,
        conditions: accepted(truth, message),
    }
}

fn class(message: &str) -> StatusUpdate {
    StatusUpdate {
        object: object("GatewayClass", ObjectKey::new("", "cloudflare")),
        addresses: Vec::new(),
        details: None,
        parts: vec![part(Part::Object, Truth::True, message)],
    }
}

fn of_gateway(name: &str, truth: Truth, message: &str) -> StatusUpdate {
    let listener = Part::Listener {
        name: "https".to_owned(),
        supported_kinds: vec![RouteKind::Http],
        attached_routes: 1,
    };
    StatusUpdate {
        object: object("Gateway", gateway(name)),
        addresses: vec!["1.cfargotunnel.com".to_owned()],
        details: None,
        parts: vec![
            part(Part::Object, truth, message),
            part(listener, truth, "of the listener"),
        ],
    }
}

fn of_route(parents: &[&str]) -> StatusUpdate {
    let parents = parents.iter().map(|name| {
        let parent = Part::Parent(ParentRef {
            target: object("Gateway", gateway(name)),
            namespace_written: false,
            section: None,
            port: None,
        });
        part(parent, Truth::True, "of the route")
    });
    StatusUpdate {
        object: object("HTTPRoute", gateway("app")),
        addresses: Vec::new(),
        details: None,
        parts: parents.collect(),
    }
}

fn expected<const N: usize>(lines: [(&str, &str); N]) -> Shown {
    lines
        .map(|(object, condition)| (object.to_owned(), vec![condition.to_owned()]))
        .into()
}

async fn every_kind_of_status_is_written(rig: impl Rig) {
    let updates = [
        class("of the class"),
        of_gateway("web", Truth::False, "of the Gateway"),
        of_route(&["web"]),
    ];
    assert_eq!(rig.sink().write(&updates).await, Ok(()));
    let lines = [
        ("GatewayClass cloudflare", "Accepted=True of the class"),
        ("Gateway default/web", "Accepted=False of the Gateway"),
        (
            "Gateway default/web listener https",
            "Accepted=False of the listener",
        ),
        (
            "HTTPRoute default/app on default/web",
            "Accepted=True of the route",
        ),
    ];
    assert_eq!(rig.shown(), expected(lines));
}

async fn a_later_status_replaces_the_earlier_one(rig: impl Rig) {
    for (truth, message) in [
        (Truth::Unknown, "not yet"),
        (Truth::True, "now"),
        (Truth::True, "now, in other words"),
    ] {
        let updates = [class("of the class"), of_gateway("web", truth, message)];
        assert_eq!(rig.sink().write(&updates).await, Ok(()));
        let shown = rig.shown();
        let condition = format!("Accepted={} {message}", truth.as_str());
        assert_eq!(shown["Gateway default/web"], [condition]);
        let of_class = "Accepted=True of the class";
        assert_eq!(shown["GatewayClass cloudflare"], [of_class], "as it was");
    }
}

async fn the_same_statuses_may_be_written_again(rig: impl Rig) {
    let updates = [
        of_gateway("web", Truth::True, "of the Gateway"),
        of_route(&["web"]),
    ];
    assert_eq!(rig.sink().write(&updates).await, Ok(()));
    let first = rig.shown();
    assert_eq!(rig.sink().write(&updates).await, Ok(()));
    assert_eq!(rig.shown(), first);
}

async fn a_route_that_lost_its_parents_loses_our_entries(rig: impl Rig) {
    let web = of_gateway("web", Truth::True, "of the Gateway");
    let before = [web.clone(), of_route(&["web", "other"])];
    assert_eq!(rig.sink().write(&before).await, Ok(()));
    let fewer = [web.clone(), of_route(&["other"])];
    assert_eq!(rig.sink().write(&fewer).await, Ok(()));
    let shown = rig.shown();
    assert!(!shown.contains_key("HTTPRoute default/app on default/web"));
    assert!(shown.contains_key("HTTPRoute default/app on default/other"));
    assert_eq!(rig.sink().write(&[web, of_route(&[])]).await, Ok(()));
    let shown = rig.shown();
    assert!(!shown.contains_key("HTTPRoute default/app on default/other"));
    assert!(shown.contains_key("Gateway default/web"), "{shown:?}");
}

async fn nothing_to_write_is_fine(rig: impl Rig) {
    assert_eq!(rig.sink().write(&[]).await, Ok(()));
    assert_eq!(rig.shown(), Shown::new());
}

/// None of these objects is in the cluster: they went while the statuses were on their way.
async fn an_object_that_is_gone_is_passed_over(rig: impl Rig) {
    let updates = [
        of_gateway("gone", Truth::True, "of the Gateway"),
        of_route(&["gone"]),
    ];
    assert_eq!(rig.sink().write(&updates).await, Ok(()));
}
