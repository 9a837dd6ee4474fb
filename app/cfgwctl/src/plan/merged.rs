//! Manifests over the objects of a cluster, as `kubectl apply` would leave them.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::Timestamp;
use domain::gateway::{Gateway, Namespace, Route};
use domain::snapshot::{ClusterSnapshot, Reading};

/// Puts what manifests say in the place of what is there. What they make new is as old as `now`.
pub(super) fn merged(
    mut cluster: ClusterSnapshot,
    files: ClusterSnapshot,
    now: Timestamp,
) -> ClusterSnapshot {
    put(
        &mut cluster.classes,
        files.classes,
        |it| it.name.clone(),
        same,
        same_age,
    );
    put(
        &mut cluster.parameters,
        files.parameters,
        |it| it.key.clone(),
        same,
        same_age,
    );
    put(
        &mut cluster.grants,
        files.grants,
        |it| it.key.clone(),
        same,
        same_age,
    );
    put(
        &mut cluster.services,
        files.services,
        |it| it.key.clone(),
        same,
        same_age,
    );
    let (there, new) = (&mut cluster.endpoint_slices, files.endpoint_slices);
    put(there, new, |it| it.key.clone(), same, same_age);
    let (there, new) = (&mut cluster.namespaces, files.namespaces);
    put(there, new, |it| it.name.clone(), namespace, same_age);
    let (there, new) = (&mut cluster.gateways, files.gateways);
    put(
        there,
        new,
        |it| it.key.clone(),
        gateway,
        |it| it.created = now,
    );
    let (there, new) = (&mut cluster.listener_sets, files.listener_sets);
    put(
        there,
        new,
        |it| it.key.clone(),
        |new, old| new.created = old.created,
        |it| it.created = now,
    );
    let (there, new) = (&mut cluster.routes, files.routes);
    let keep_age = |new: &mut Arc<Route>, old: &Arc<Route>| *new = dated(new, old.created);
    put(
        there,
        new,
        |it| (it.kind, it.key.clone()),
        keep_age,
        |it| *it = dated(it, now),
    );
    let known = files.secrets.into_iter();
    let known = known.filter(|(_, facts)| matches!(facts, Reading::Known(_)));
    cluster.secrets.extend(known);
    cluster
}

fn same<T>(_: &mut T, _: &T) {}

fn same_age<T>(_: &mut T) {}

/// What the cluster knows of a Gateway and a manifest does not say: its age, whether it goes, and annotations of others.
fn gateway(new: &mut Gateway, old: &Gateway) {
    new.created = old.created;
    new.deleting = old.deleting;
    for (name, value) in &old.annotations {
        let known = new.annotations.entry(name.clone());
        known.or_insert_with(|| value.clone());
    }
}

/// A namespace is in the files already where an object is in it.
fn namespace(new: &mut Namespace, old: &Namespace) {
    for (name, value) in &old.labels {
        let known = new.labels.entry(name.clone());
        known.or_insert_with(|| value.clone());
    }
}

fn dated(route: &Arc<Route>, created: Timestamp) -> Arc<Route> {
    Arc::new(Route {
        created,
        ..Route::clone(route)
    })
}

fn put<T, K: Ord>(
    cluster: &mut Reading<Vec<T>>,
    files: Reading<Vec<T>>,
    key: impl Fn(&T) -> K,
    over: impl Fn(&mut T, &T),
    fresh: impl Fn(&mut T),
) {
    let Reading::Known(files) = files else {
        return;
    };
    if files.is_empty() {
        return;
    }
    if matches!(cluster, Reading::Absent) {
        *cluster = Reading::Known(Vec::new());
    }
    let Reading::Known(there) = cluster else {
        return;
    };
    let mut places: BTreeMap<K, usize> = BTreeMap::new();
    for (index, one) in there.iter().enumerate() {
        places.insert(key(one), index);
    }
    for mut new in files {
        match places.get(&key(&new)) {
            Some(index) => {
                over(&mut new, &there[*index]);
                there[*index] = new;
            }
            None => {
                fresh(&mut new);
                there.push(new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::gateway::ListenerSet;
    use domain::{ObjectKey, ObjectRef};

    use super::*;

    fn set(name: &str, created: i64, generation: i64) -> ListenerSet {
        ListenerSet {
            key: ObjectKey::new("shop", name),
            generation,
            created: Timestamp(created),
            parent: ObjectRef {
                group: String::new(),
                kind: "Gateway".to_owned(),
                key: ObjectKey::new("shop", "web"),
            },
            listeners: Vec::new(),
            field_errors: Vec::new(),
        }
    }

    #[test]
    fn a_listener_set_keeps_its_age_which_decides_conflicts_and_a_new_one_is_young() {
        let with = |sets| ClusterSnapshot {
            listener_sets: Reading::Known(sets),
            ..ClusterSnapshot::default()
        };
        let cluster = with(vec![set("there", 5, 1)]);
        let files = with(vec![set("there", 0, 2), set("new", 0, 1)]);
        let merged = merged(cluster, files, Timestamp(9));
        let expected = [set("there", 5, 2), set("new", 9, 1)];
        assert_eq!(merged.listener_sets.items(), expected);
    }
}
