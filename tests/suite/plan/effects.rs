//! What a controller changed at the stand-in, object by object, in the words of a plan. Nothing of the plan's own code is
//! used for it.

use std::collections::{BTreeMap, BTreeSet};

use cfgwctl::plan::Plan;
use standin::cloud::{Cloud, ConfigSource};

/// All that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Names by id.
    tunnels: BTreeMap<String, String>,
    /// Documents by the id of their tunnel.
    documents: BTreeMap<String, String>,
    /// Records by name and type: content, proxied, ttl, comment.
    records: BTreeMap<(String, String), (String, bool, u32, String)>,
}

pub(super) fn seen(cloud: &Cloud) -> Seen {
    let tunnels = cloud.tunnels().into_iter();
    let tunnels: Vec<_> = tunnels.filter(|it| it.deleted_at.is_none()).collect();
    let documents = tunnels.iter().filter_map(|it| {
        let document = it.configuration.as_ref()?.document.to_string();
        (it.config_src == ConfigSource::Cloudflare).then(|| (it.id.to_string(), document))
    });
    let documents = documents.collect();
    let zones = cloud.zones().into_iter();
    let records = zones.flat_map(|zone| cloud.records(&zone.id));
    let records = records.map(|it| {
        let comment = it.comment.clone().unwrap_or_default();
        let said = (it.content.clone(), it.proxied, it.ttl, comment);
        ((it.name.clone(), it.kind.as_str().to_owned()), said)
    });
    Seen {
        tunnels: tunnels
            .iter()
            .map(|it| (it.id.to_string(), it.name.clone()))
            .collect(),
        documents,
        records: records.collect(),
    }
}

/// What is otherwise than before, as lines that a plan can be made into too.
pub(super) fn effects(before: &Seen, after: &Seen) -> BTreeSet<String> {
    let mut effects = BTreeSet::new();
    let is_new = |id: &str| !before.tunnels.contains_key(id);
    for (id, name) in &after.tunnels {
        match before.tunnels.get(id) {
            None => drop(effects.insert(format!("+ tunnel {name}"))),
            Some(former) if former != name => drop(effects.insert(format!("~ tunnel {name}"))),
            Some(_) => {}
        }
        if before.documents.get(id) != after.documents.get(id) {
            let shown = match is_new(id) {
                true => "the new tunnel",
                false => id,
            };
            effects.insert(format!("rules of {shown}"));
        }
    }
    for (id, name) in &before.tunnels {
        if !after.tunnels.contains_key(id) {
            effects.insert(format!("- tunnel {name}"));
        }
    }
    let content = |content: &str| match content.strip_suffix(".cfargotunnel.com") {
        Some(id) if is_new(id) && after.tunnels.contains_key(id) => "the new tunnel".to_owned(),
        _ => content.to_owned(),
    };
    for ((name, kind), said) in &after.records {
        match before.records.get(&(name.clone(), kind.clone())) {
            None => {
                effects.insert(format!("+ record {name} {kind} {}", content(&said.0)));
            }
            Some(former) if former != said => drop(effects.insert(format!("~ record {name}"))),
            Some(_) => {}
        }
    }
    for ((name, kind), said) in &before.records {
        if !after.records.contains_key(&(name.clone(), kind.clone())) {
            effects.insert(format!("- record {name} {kind} {}", said.0));
        }
    }
    effects
}

/// The same of a plan.
pub(super) fn planned(plan: &Plan) -> BTreeSet<String> {
    let lines = plan.changes.iter().map(|change| {
        let (sign, name) = (change.sign, &change.name);
        match change.what {
            "tunnel" => format!("{sign} tunnel {name}"),
            "rules" => format!("rules {name}"),
            "record" if sign == "~" => format!("~ record {name}"),
            what => format!("{sign} {what} {name} {}", change.told),
        }
    });
    lines.collect()
}
