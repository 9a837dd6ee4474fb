//! `expose`: makes the route of `generate`, waits until it is ready, and shows the way of a request.

use adapter_gateway_api::Kind;
use domain::{Hostname, ObjectKey};

use crate::cluster::Cluster;
use crate::explain::question::Question;
use crate::explain::reading;
use crate::explain::way::explain;
use crate::failure::Failure;
use crate::generate::{Wanted, gateway_named, only_gateway, only_port};
use crate::objects::{Condition, Route, Service, condition};
use crate::screen::Screen;
use crate::wait::Wait;

/// What a person says of the route.
#[derive(Debug, Clone)]
pub struct Said {
    pub service: String,
    pub hostname: Hostname,
    /// `NAME` or `NAMESPACE/NAME`.
    pub gateway: Option<String>,
    pub port: Option<u16>,
}

/// The route that is meant; what was not said is looked up.
///
/// # Errors
/// It cannot be looked up, or there is more than one.
pub async fn wanted(cluster: &Cluster, said: Said) -> Result<Wanted, Failure> {
    let service = cluster.key(&said.service);
    let gateway = match &said.gateway {
        Some(text) => gateway_named(text, &cluster.namespace),
        None => only_gateway(&cluster.gateways(None).await?, &cluster.namespace)?,
    };
    let port = match said.port {
        Some(port) => port,
        None => {
            let found: Option<Service> = cluster.get(Kind::Service, &service).await?;
            let found = found.ok_or_else(|| {
                Failure::new(
                    format!("Service {service}: Not found"),
                    "name one that is there, or its port with --port",
                )
            })?;
            only_port(&service, &found)?
        }
    };
    Ok(Wanted {
        service,
        port,
        hostname: said.hostname,
        gateway,
    })
}

/// Makes the route and waits until it is ready on its Gateway.
///
/// # Errors
/// It cannot be made, or something is in the way of its requests.
pub async fn expose(
    cluster: &Cluster,
    wanted: &Wanted,
    wait: Wait,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let route = &wanted.service;
    cluster
        .create(Kind::HttpRoute, route, &wanted.route())
        .await?;
    screen.line(format_args!("Created HTTPRoute {route}"));
    let waited = until_ready(cluster, wanted, wait, screen).await?;
    let question = Question::parse(wanted.hostname.as_str(), "GET", &[])?;
    let explanation = explain(&question, &reading::of_cluster(cluster).await?);
    screen.text(explanation.text(screen));
    match (waited, explanation.obstacle) {
        (_, Some(obstacle)) => Err(Failure::new(obstacle, "")),
        (Waited::Failed(why), None) => Err(Failure::new(why, "")),
        (Waited::TooLong(told), None) => Err(Failure::timed_out(
            told,
            "it goes on by itself: see cfgwctl status; --timeout waits longer",
        )),
        (Waited::Ready, None) => Ok(()),
    }
}

/// How a wait ended.
enum Waited {
    Ready,
    /// Something has to be edited.
    Failed(String),
    /// What it still waits for.
    TooLong(String),
}

async fn until_ready(
    cluster: &Cluster,
    wanted: &Wanted,
    wait: Wait,
    screen: &mut Screen<'_>,
) -> Result<Waited, Failure> {
    let waiting = wait.begin();
    let mut shown = String::new();
    loop {
        let route: Option<Route> = cluster.get(Kind::HttpRoute, &wanted.service).await?;
        let route = route.unwrap_or_default();
        let told = match ready(&route, &wanted.gateway) {
            None => "the controller has not answered yet".to_owned(),
            Some(ready) if ready.status == "True" => return Ok(Waited::Ready),
            Some(ready) if ready.status == "False" => {
                return Ok(Waited::Failed(ready.message.clone()));
            }
            Some(ready) => format!("{}: {}", ready.reason, ready.message),
        };
        if told != shown {
            screen.line(format_args!("Waiting: {told}"));
            shown = told;
        }
        if !waiting.goes_on().await {
            return Ok(Waited::TooLong(shown));
        }
    }
}

/// The condition `Ready` of a route on a Gateway.
fn ready<'r>(route: &'r Route, gateway: &ObjectKey) -> Option<&'r Condition> {
    let mut parents = route.status.parents.iter();
    let parent = parents.find(|it| it.parent_ref.key(&route.metadata.namespace) == *gateway)?;
    condition(&parent.conditions, "Ready")
}
