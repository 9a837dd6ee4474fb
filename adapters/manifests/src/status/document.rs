//! A status as it is written down.

use domain::gateway::{CONTROLLER_NAME, GATEWAY_GROUP, ParentRef, RouteKind};
use domain::status::{Condition, GatewayStatus, ListenerStatus, RouteParentStatus, StatusUpdate};
use domain::{ObjectKey, ObjectRef};
use serde::{Deserialize, Serialize};

macro_rules! written {
    ($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(crate) struct $name {
            $($(#[$attr])* #[serde(skip_serializing_if = "Absence::is_absent")] pub(crate) $field: $type,)*
        }
    };
}

/// Which values are left out of a document. Numbers never are: zero attached routes is an answer.
trait Absence {
    fn is_absent(&self) -> bool {
        false
    }
}

impl Absence for u32 {}
impl Absence for i64 {}
impl Absence for Metadata {}
impl Absence for Status {}
impl Absence for WrittenParentRef {}

impl Absence for String {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Absence for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T> Absence for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

written! {
    /// An object with nothing but its status.
    StatusDocument {
        api_version: String,
        kind: String,
        metadata: Metadata,
        status: Status,
    }
}

written! {
    /// Which object.
    Metadata {
        namespace: String,
        name: String,
    }
}

written! {
    /// `status` of a GatewayClass, a Gateway or a route.
    Status {
        addresses: Vec<Address>,
        conditions: Vec<WrittenCondition>,
        listeners: Vec<Listener>,
        parents: Vec<Parent>,
    }
}

written! {
    /// One of `status.addresses`.
    Address {
        r#type: String,
        value: String,
    }
}

written! {
    /// One of `status.listeners`.
    Listener {
        name: String,
        supported_kinds: Vec<Kind>,
        attached_routes: u32,
        conditions: Vec<WrittenCondition>,
    }
}

written! {
    /// One of `listener.supportedKinds`.
    Kind {
        group: String,
        kind: String,
    }
}

written! {
    /// One of `status.parents`.
    Parent {
        parent_ref: WrittenParentRef,
        controller_name: String,
        conditions: Vec<WrittenCondition>,
    }
}

written! {
    /// `parent.parentRef`.
    WrittenParentRef {
        group: String,
        kind: String,
        namespace: Option<String>,
        name: String,
        section_name: Option<String>,
        port: Option<u16>,
    }
}

written! {
    /// A condition, with the time at which it last flipped.
    WrittenCondition {
        r#type: String,
        status: String,
        observed_generation: i64,
        last_transition_time: String,
        reason: String,
        message: String,
    }
}

impl StatusDocument {
    /// The document of an update whose conditions all flipped at `now`; `None` where there is nothing to
    /// say about the object.
    pub(crate) fn new(update: &StatusUpdate, now: &str) -> Option<Self> {
        let status = match update {
            StatusUpdate::Class { conditions, .. } => Status {
                conditions: written_conditions(conditions, now),
                ..Status::default()
            },
            StatusUpdate::Gateway { status, .. } => gateway_status(status, now),
            StatusUpdate::Route { parents, .. } => Status {
                parents: parents.iter().map(|p| written_parent(p, now)).collect(),
                ..Status::default()
            },
        };
        let reference = reference(update);
        (status != Status::default()).then(|| Self {
            api_version: format!("{GATEWAY_GROUP}/v1"),
            kind: reference.kind,
            metadata: Metadata {
                namespace: reference.key.namespace,
                name: reference.key.name,
            },
            status,
        })
    }

    /// Takes over the times of conditions that did not flip.
    pub(crate) fn keep_times(&mut self, before: &Self) {
        let (now, before) = (&mut self.status, &before.status);
        keep_times(&mut now.conditions, &before.conditions);
        for listener in &mut now.listeners {
            if let Some(known) = before.listeners.iter().find(|l| l.name == listener.name) {
                keep_times(&mut listener.conditions, &known.conditions);
            }
        }
        for parent in &mut now.parents {
            let known = before
                .parents
                .iter()
                .find(|p| p.parent_ref == parent.parent_ref);
            if let Some(known) = known {
                keep_times(&mut parent.conditions, &known.conditions);
            }
        }
    }
}

/// The object that an update is about.
pub(crate) fn reference(update: &StatusUpdate) -> ObjectRef {
    let of = |kind: &str, key: ObjectKey| ObjectRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.to_owned(),
        key,
    };
    match update {
        StatusUpdate::Class { name, .. } => of("GatewayClass", ObjectKey::new("", name)),
        StatusUpdate::Gateway { key, .. } => of("Gateway", key.clone()),
        StatusUpdate::Route { kind, key, .. } => of(kind.as_str(), key.clone()),
    }
}

fn keep_times(now: &mut [WrittenCondition], before: &[WrittenCondition]) {
    for condition in now {
        let same = |known: &&WrittenCondition| {
            known.r#type == condition.r#type && known.status == condition.status
        };
        if let Some(known) = before.iter().find(same) {
            condition
                .last_transition_time
                .clone_from(&known.last_transition_time);
        }
    }
}

fn gateway_status(status: &GatewayStatus, now: &str) -> Status {
    let address = |value: &String| Address {
        r#type: "Hostname".to_owned(),
        value: value.clone(),
    };
    let listener = |listener: &ListenerStatus| Listener {
        name: listener.name.clone(),
        supported_kinds: listener.supported_kinds.iter().copied().map(kind).collect(),
        attached_routes: listener.attached_routes,
        conditions: written_conditions(&listener.conditions, now),
    };
    Status {
        addresses: status.addresses.iter().map(address).collect(),
        conditions: written_conditions(&status.conditions, now),
        listeners: status.listeners.iter().map(listener).collect(),
        parents: Vec::new(),
    }
}

fn kind(kind: RouteKind) -> Kind {
    Kind {
        group: GATEWAY_GROUP.to_owned(),
        kind: kind.as_str().to_owned(),
    }
}

fn written_parent(parent: &RouteParentStatus, now: &str) -> Parent {
    let ParentRef {
        target,
        namespace_written,
        section,
        port,
    } = &parent.parent;
    Parent {
        parent_ref: WrittenParentRef {
            group: target.group.clone(),
            kind: target.kind.clone(),
            namespace: namespace_written.then(|| target.key.namespace.clone()),
            name: target.key.name.clone(),
            section_name: section.clone(),
            port: *port,
        },
        controller_name: CONTROLLER_NAME.to_owned(),
        conditions: written_conditions(&parent.conditions, now),
    }
}

fn written_conditions(conditions: &[Condition], now: &str) -> Vec<WrittenCondition> {
    let written = |condition: &Condition| WrittenCondition {
        r#type: condition.kind.as_str().to_owned(),
        status: condition.truth.as_str().to_owned(),
        observed_generation: condition.generation,
        last_transition_time: now.to_owned(),
        reason: condition.reason.as_str().to_owned(),
        message: condition.message.clone(),
    };
    conditions.iter().map(written).collect()
}
