//! One look of a broker at its clusters, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use super::audit::Event;
use super::cluster::Cluster;
use super::contact::{Contact, Look, Looked};
use super::grant::Granted;
use super::names::AccountName;
use super::ports::{AccountEdges, Store, StoreError};
use crate::names::Timestamp;

/// Looks at all clusters, and has carried out what follows. What is news, and was not found by another broker before.
pub async fn watch(
    store: &dyn Store,
    edges: &dyn AccountEdges,
    look: Look,
) -> Result<Looked, StoreError> {
    let clusters = store.clusters(None).await?;
    let mut connected = BTreeMap::new();
    for cluster in look.silent(&clusters) {
        let found = is_connected(store, edges, cluster, look.now).await?;
        connected.extend(found.map(|is_connected| (cluster.name.clone(), is_connected)));
    }
    let mut looked = look.judge(&clusters, &connected);
    for cluster in &clusters {
        let (name, last) = (&cluster.name, cluster.last_contact);
        let Some(contact) = looked.news.get(name).copied() else {
            continue;
        };
        let event = told(cluster, contact, look.now);
        if !store.note_contact(name, last, contact, event).await? {
            looked.news.remove(name);
        }
    }
    Ok(looked)
}

/// The accounts in which a cluster may have something: those of its grants and of its Gateways.
pub async fn accounts_of(
    store: &dyn Store,
    cluster: &Cluster,
    now: Timestamp,
) -> Result<BTreeSet<AccountName>, StoreError> {
    let accounts = store.accounts(Some(&cluster.tenant)).await?;
    let grants = store.grants(&cluster.tenant).await?;
    let granted = Granted::new(&grants, &cluster.name, now).accounts(&accounts);
    let mut names: BTreeSet<AccountName> = granted.into_iter().cloned().collect();
    names.extend(store.placed(&cluster.name).await?.accounts);
    Ok(names)
}

/// Whether a connector of the cluster is connected; `None` where not every account could be asked and none was found.
async fn is_connected(
    store: &dyn Store,
    edges: &dyn AccountEdges,
    cluster: &Cluster,
    now: Timestamp,
) -> Result<Option<bool>, StoreError> {
    let Some(instance) = cluster.instance else {
        return Ok(None);
    };
    let mut found = Some(false);
    for account in accounts_of(store, cluster, now).await? {
        let here = match edges.of(&cluster.name, instance, &account).await {
            Ok(edge) => edge.has_connectors().await,
            Err(error) => Err(error),
        };
        match here {
            Ok(true) => return Ok(Some(true)),
            Ok(false) => {}
            Err(_) => found = None,
        }
    }
    Ok(found)
}

fn told(cluster: &Cluster, contact: Contact, now: Timestamp) -> Event {
    let silent = cluster.last_contact.map_or(0, |last| now.0 - last.0);
    let (action, follows) = match contact {
        Contact::Live => ("cluster.live", String::new()),
        Contact::Stale => ("cluster.stale", String::new()),
        Contact::Expired => (
            "cluster.expire",
            format!(
                ", no connector is connected: {}",
                cluster.when_expired.as_str()
            ),
        ),
    };
    Event {
        at: now,
        actor: "broker".to_owned(),
        action: action.to_owned(),
        object: cluster.name.to_string(),
        result: "done".to_owned(),
        detail: format!("not heard of for {silent} s{follows}"),
        ..Event::default()
    }
}
