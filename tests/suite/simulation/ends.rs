//! The rules for the end of a history: in each cluster exactly what is expected.

use std::collections::{BTreeMap, BTreeSet};

use domain::edge::objects::RecordData;
use domain::edge::plan::wanted_record;
use domain::rotation::Stage;
use domain::{Hostname, ObjectKey, TunnelId};

use super::cluster_model::{GATEWAYS, key};
use super::expected::Expected;
use super::installations::Owner;
use super::ports::Actor;
use super::rules::Rule;

/// One record: its name, its content, its comment.
type Fields = (String, String, String);

type Tunnels = BTreeMap<ObjectKey, TunnelId>;

/// Whether exactly what is expected is there: one tunnel each, one record each, one proxy each, no more.
pub(crate) fn check_end(expected: &Expected, actor: &Actor) {
    let (harness, persistent) = (&actor.harness, &actor.persistent);
    let served: BTreeSet<ObjectKey> = expected.served().map(|(key, _, _)| key.clone()).collect();
    // Gateways that are gone and left what they had.
    let staying = expected.staying();
    let mut left = persistent.orphans.kept();
    left.retain(|key| !staying.contains(key));
    let mut tunnels = harness.tunnels_of(actor.cluster_id);
    tunnels.retain(|(key, _)| !left.contains(key));
    let equal = |what: &str, found: BTreeSet<ObjectKey>| {
        harness.require(Rule::Converges, found == served, || {
            format!("{what} in the end: {found:?}, wanted {served:?}")
        });
    };
    equal(
        "tunnels",
        tunnels.iter().map(|(key, _)| key.clone()).collect(),
    );
    let keys = || {
        let all = GATEWAYS.iter().map(|name| key(name));
        all.filter(|key| !left.contains(key))
    };
    let is_home = |(gateway, id): &(ObjectKey, TunnelId)| {
        let home = harness.tunnels_in(expected.account(gateway), actor.cluster_id);
        home.iter().any(|(_, tunnel)| tunnel == id)
    };
    let is_clean = tunnels.iter().all(is_home);
    harness.require(Rule::Converges, is_clean, || {
        "a Gateway has a tunnel in the account that it moved away from".to_owned()
    });
    let tunnels: Tunnels = tunnels.into_iter().filter(is_home).collect();
    let runs = |key: &ObjectKey| {
        let proxy = persistent.workloads.proxy(key);
        proxy.is_some_and(|(tunnel, _)| tunnels.get(key) == Some(&tunnel))
    };
    let proxies = || keys().filter(|key| persistent.workloads.proxy(key).is_some());
    equal("proxies", proxies().collect());
    equal("proxies of the right tunnel", keys().filter(runs).collect());
    let has_table = |key: &ObjectKey| actor.data_plane.table(key).is_some();
    equal("tables", keys().filter(has_table).collect());
    if harness.in_cluster {
        equal(
            "Gateways with the finalizer",
            persistent.finalizer.gateways(),
        );
    }
    check_tokens(actor, &tunnels);
    check_records(actor, expected, &tunnels, &left);
    check_documents(actor, expected, &tunnels);
}

/// Each proxy has the present token, and no token was replaced that was not kept before as the one to be replaced.
fn check_tokens(actor: &Actor, tunnels: &Tunnels) {
    let (harness, persistent) = (&actor.harness, &actor.persistent);
    for (gateway, tunnel) in tunnels {
        let held = persistent.workloads.proxy(gateway);
        let held = held.map(|(_, token)| token.hash());
        let present = harness.cloudflare.token(*tunnel);
        let present = present.map(|token| token.hash());
        harness.require(Rule::KeepsTokens, held == present, || {
            format!("the proxy of {gateway} has another token than its tunnel")
        });
        let kept = persistent.rotations.kept(gateway);
        let is_over = kept.is_some_and(|kept| kept.stage == Stage::Idle);
        harness.require(Rule::KeepsTokens, is_over, || {
            format!("a rotation of the token of {gateway} does not end")
        });
        let begun = persistent.rotations.begun(gateway);
        let replaced = harness.cloudflare.replaced_tokens(*tunnel);
        let is_known = replaced <= begun || !harness.faults.is_strict();
        harness.require(Rule::KeepsTokens, is_known, || {
            format!(
                "the token of {gateway} was replaced {replaced} times, though {begun} were begun"
            )
        });
    }
}

/// A name for which others have a record stays theirs; that the other cluster wants its own is seen at its own end.
fn check_records(
    actor: &Actor,
    expected: &Expected,
    tunnels: &Tunnels,
    left: &BTreeSet<ObjectKey>,
) {
    let harness = &actor.harness;
    let fields = |data: RecordData| (data.name, data.content, data.comment);
    let found: Vec<Fields> = harness
        .records_of(actor.cluster_id)
        .into_iter()
        .filter(|(owner, _)| !left.contains(owner))
        .map(|(_, record)| fields(record.data))
        .collect();
    let there = harness.cloudflare.records();
    let is_ours = |data: &RecordData| {
        Owner::of_record(data).is_some_and(|owner| owner.cluster == actor.cluster_id)
    };
    let is_taken = |name: &Hostname| {
        let mut others = there.iter().filter(|record| !is_ours(&record.data));
        others.any(|record| record.data.name == name.as_str() && record.data.kind != "TXT")
    };
    let names = expected.names().into_iter().filter(|name| !is_taken(name));
    let wanted: BTreeSet<Fields> = names
        .filter_map(|name| {
            let owner = Owner {
                cluster: actor.cluster_id,
                gateway: expected.holder(name)?.clone(),
            };
            let tunnel = *tunnels.get(&owner.gateway)?;
            Some(fields(wanted_record(name, tunnel, owner.mark())))
        })
        .collect();
    let set: BTreeSet<Fields> = found.iter().cloned().collect();
    let is_right = set == wanted && set.len() == found.len();
    harness.require(Rule::Converges, is_right, || {
        format!("records in the end: {found:?}, wanted {wanted:?}")
    });
}

fn check_documents(actor: &Actor, expected: &Expected, tunnels: &Tunnels) {
    let harness = &actor.harness;
    for (gateway, _, names) in expected.served() {
        let Some(tunnel) = tunnels.get(gateway) else {
            continue;
        };
        let document = harness.cloudflare.configuration(*tunnel);
        let rules = document.unwrap_or_default().rules.into_iter();
        let found: BTreeSet<_> = rules.map(|rule| rule.hostname).collect();
        let granted =
            |name: &&Hostname| expected.holder(name).is_none_or(|holder| holder == gateway);
        // A name that its account has no zone for stays once that is known, so that a zone that appears is noticed.
        let may_stay = |name: &&Hostname| !expected.has_zone(gateway, name);
        let wanted: BTreeSet<_> = names.keys().filter(granted).cloned().collect();
        let besides: BTreeSet<_> = names.keys().filter(may_stay).cloned().collect();
        let is_right = found.is_superset(&wanted)
            && found.difference(&wanted).all(|name| besides.contains(name));
        harness.require(Rule::Converges, is_right, || {
            format!("the document of {gateway} shows {found:?}, wanted {wanted:?}")
        });
    }
}
