//! A Gateway is made again, to take up what it left or to have it removed.

use adapter_gateway_api::Kind;
use adapter_kubernetes::FINALIZER;
use adapter_manifests::Manifests;
use domain::ObjectKey;
use domain::gateway::{CONTROLLER_NAME, GATEWAY_GROUP, OWN_GROUP, PARAMETERS_KIND};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::objects::{Gateway, GatewayClass, condition};
use crate::plan::Plan;
use crate::plan::stage::{self, Access};
use crate::screen::Screen;
use crate::wait::Wait;

use super::found::{Orphan, find};

/// Whether something may be done.
pub type Consent<'c> = dyn Fn(&str) -> Result<bool, Failure> + Send + Sync + 'c;

/// Whose orphan, and how the Gateway is to be.
pub struct Asked<'a> {
    pub gateway: ObjectKey,
    pub class: Option<String>,
    pub access: &'a Access,
    pub consent: &'a Consent<'a>,
    pub now: domain::Timestamp,
}

/// Makes the Gateway of `manifest`, or one with a listener for HTTPS.
///
/// # Errors
/// It is there, it left nothing, the plan is not whole, or nobody wants it.
pub async fn adopt(
    cluster: &Cluster,
    asked: &Asked<'_>,
    manifest: Option<&str>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    orphan(cluster, asked).await?;
    let object = match manifest {
        Some(text) => written(text, &asked.gateway)?,
        None => {
            let class = class(cluster, asked.class.as_deref()).await?;
            gateway(
                &asked.gateway,
                &class,
                &json!({ "namespaces": { "from": "Same" } }),
            )
        }
    };
    let manifests = Manifests::of_text(&object.to_string());
    let staged = stage::of_cluster(cluster, Some(manifests), asked.access, asked.now).await?;
    let plan = Plan::of(&staged.rehearse().await, staged.notes);
    screen.text(plan.text(screen));
    plan.verdict()?;
    ask(asked, &format!("Make Gateway {} so?", asked.gateway))?;
    cluster
        .create(Kind::Gateway, &asked.gateway, &object)
        .await?;
    screen.line(format_args!(
        "Created Gateway {}; the controller takes up what it left",
        asked.gateway
    ));
    Ok(())
}

/// Has all removed that a Gateway left.
///
/// # Errors
/// The Gateway is there, it left nothing, nobody wants it, or the controller cannot.
pub async fn delete(
    cluster: &Cluster,
    asked: &Asked<'_>,
    wait: Wait,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let orphan = orphan(cluster, asked).await?;
    for line in orphan.lines() {
        screen.text(format_args!("- {line}"));
    }
    let class = class(cluster, asked.class.as_deref()).await?;
    let number = orphan.things.len();
    let question = format!(
        "Remove these {number} objects that Gateway {} left?",
        asked.gateway
    );
    ask(asked, &question)?;
    let parameters = ObjectKey::new(&asked.gateway.namespace, removal_name(&asked.gateway));
    let kind = Kind::GatewayParameters;
    cluster
        .create(kind, &parameters, &parameters_of(&parameters))
        .await?;
    let made = make_and_delete(cluster, asked, &class, &parameters, wait, screen).await;
    // It has no meaning without the Gateway.
    let removed = cluster.delete(kind, &parameters).await;
    made.and(removed)?;
    screen.line(format_args!("Removed what Gateway {} left", asked.gateway));
    Ok(())
}

/// What the Gateway left, which must not be there.
async fn orphan(cluster: &Cluster, asked: &Asked<'_>) -> Result<Orphan, Failure> {
    let key = &asked.gateway;
    let there: Option<Gateway> = cluster.get(Kind::Gateway, key).await?;
    if there.is_some() {
        return Err(Failure::new(
            format!("Gateway {key}: it is there, and what it has is no orphan"),
            "to have that removed, delete the Gateway",
        ));
    }
    let staged = stage::of_cluster(cluster, None, asked.access, asked.now).await?;
    let orphans = find(&staged).await;
    match orphans.of(key) {
        Some(orphan) if !orphan.things.is_empty() => Ok(orphan.clone()),
        _ => {
            orphans.verdict()?;
            Err(Failure::new(
                format!("Gateway {key} left nothing at Cloudflare that carries our mark"),
                "see cfgwctl orphans list",
            ))
        }
    }
}

fn ask(asked: &Asked<'_>, question: &str) -> Result<(), Failure> {
    match (asked.consent)(question)? {
        true => Ok(()),
        false => Err(Failure::new("not confirmed, and nothing was done", "")),
    }
}

/// The GatewayClass that is named, or else the only one of ours.
async fn class(cluster: &Cluster, named: Option<&str>) -> Result<String, Failure> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let classes: Option<Vec<GatewayClass>> = cluster.list(Kind::GatewayClass, None).await?;
    let mut ours = classes.unwrap_or_default();
    ours.retain(|class| class.spec.controller_name == CONTROLLER_NAME);
    match (ours.pop(), ours.is_empty()) {
        (Some(class), true) => Ok(class.metadata.name),
        (None, _) => Err(Failure::new(
            format!("no GatewayClass has spec.controllerName {CONTROLLER_NAME}"),
            "the chart makes one: set gatewayClass.create",
        )),
        (Some(_), false) => Err(Failure::usage(
            "there are several GatewayClasses of ours",
            "say which with --class",
        )),
    }
}

/// The Gateway of a manifest, which must be that one.
fn written(text: &str, key: &ObjectKey) -> Result<Value, Failure> {
    let wrong = |told: String| Failure::usage(told, "give a file with that Gateway alone");
    let mut object: Value = serde_saphyr::from_str(text)
        .map_err(|error| wrong(format!("the manifest cannot be read: {error}")))?;
    let metadata = &mut object["metadata"];
    if metadata["namespace"].is_null() {
        metadata["namespace"] = key.namespace.clone().into();
    }
    let is_meant = object["kind"] == "Gateway"
        && object["metadata"]["name"] == *key.name
        && object["metadata"]["namespace"] == *key.namespace;
    match is_meant {
        true => Ok(object),
        false => Err(wrong(format!("the manifest is not of Gateway {key}"))),
    }
}

fn gateway(key: &ObjectKey, class: &str, allowed: &Value) -> Value {
    json!({
        "apiVersion": format!("{GATEWAY_GROUP}/v1"), "kind": "Gateway",
        "metadata": { "namespace": key.namespace, "name": key.name },
        "spec": {
            "gatewayClassName": class,
            "listeners": [{
                "name": "https", "port": 443, "protocol": "HTTPS", "allowedRoutes": allowed,
            }],
        },
    })
}

/// Longest name of an object.
const LONGEST_NAME: usize = 253;

fn removal_name(gateway: &ObjectKey) -> String {
    let prefix = "removal-of-";
    let room = LONGEST_NAME - prefix.len();
    let name: String = gateway.name.chars().take(room).collect();
    format!("{prefix}{}", name.trim_end_matches(['-', '.']))
}

/// Everything goes, and no proxy runs meanwhile.
fn parameters_of(key: &ObjectKey) -> Value {
    json!({
        "apiVersion": format!("{OWN_GROUP}/v1"), "kind": PARAMETERS_KIND,
        "metadata": { "namespace": key.namespace, "name": key.name },
        "spec": { "deletionPolicy": "Delete", "tunnel": { "replicas": [] } },
    })
}

/// A label that no namespace has, so that no route attaches.
const NOWHERE: &str = "cloudflare-gateway-controller.io/no-namespace";

async fn make_and_delete(
    cluster: &Cluster,
    asked: &Asked<'_>,
    class: &str,
    parameters: &ObjectKey,
    wait: Wait,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let key = &asked.gateway;
    let selector = json!({ "matchLabels": { NOWHERE: "none" } });
    let allowed = json!({ "namespaces": { "from": "Selector", "selector": selector } });
    let mut object = gateway(key, class, &allowed);
    object["spec"]["infrastructure"] = json!({ "parametersRef": {
        "group": OWN_GROUP, "kind": PARAMETERS_KIND, "name": parameters.name,
    }});
    cluster.create(Kind::Gateway, key, &object).await?;
    screen.line(format_args!(
        "Created Gateway {key} with deletionPolicy Delete"
    ));
    let begun = until_begun(cluster, key, wait).await;
    // Where the controller has not begun, the object goes at once and nothing was done.
    let deleted = cluster.delete(Kind::Gateway, key).await;
    begun.and(deleted)?;
    screen.line(format_args!(
        "Deleted Gateway {key}; waiting for the controller"
    ));
    let waiting = wait.begin();
    loop {
        let found: Option<Gateway> = cluster.get(Kind::Gateway, key).await?;
        let Some(found) = found else {
            return Ok(());
        };
        if !waiting.goes_on().await {
            return Err(Failure::timed_out(
                format!("Gateway {key} is still there: {}", why(&found)),
                "it goes on by itself: see cfgwctl status",
            ));
        }
    }
}

/// Waits until the controller holds the Gateway, which it does before its first write at Cloudflare.
async fn until_begun(cluster: &Cluster, key: &ObjectKey, wait: Wait) -> Result<(), Failure> {
    let waiting = wait.begin();
    loop {
        let found: Option<Gateway> = cluster.get(Kind::Gateway, key).await?;
        let found = found.unwrap_or_default();
        if found.metadata.finalizers.iter().any(|it| it == FINALIZER) {
            return Ok(());
        }
        if !waiting.goes_on().await {
            return Err(Failure::timed_out(
                format!(
                    "the controller did not take up Gateway {key}: {}",
                    why(&found)
                ),
                "nothing was removed at Cloudflare; mend that and try again",
            ));
        }
    }
}

fn why(gateway: &Gateway) -> String {
    let conditions = &gateway.status.conditions;
    let bad = ["Accepted", "Programmed"].into_iter();
    let mut bad = bad.filter_map(|kind| condition(conditions, kind));
    match bad.find(|it| it.status != "True") {
        Some(it) => format!("{}={} ({}): {}", it.kind, it.status, it.reason, it.message),
        None => "it has no condition that tells why".to_owned(),
    }
}
