//! `rotate gateway token` and `watch gateway token`: a tunnel gets a new token.

use std::time::Duration;

use domain::ObjectKey;
use domain::rotation::{REQUEST_ANNOTATION, Request};

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::objects::{Gateway, GatewayDetails, Token};
use crate::reconciling::suspended;
use crate::screen::Screen;
use crate::wait::Wait;

/// Of the hash of a token, as many digits as tell it from the one before.
const SHOWN_DIGITS: usize = 12;

/// Asks for a new token. `now` is the value of the request; with `wait` the command ends when every replica has it.
///
/// # Errors
/// The Gateway is suspended, has no tunnel, or cannot be read or written; or the rotation takes longer than `wait`.
pub async fn rotate(
    cluster: &Cluster,
    gateway: &ObjectKey,
    now: &str,
    wait: Option<Wait>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    if cluster.gateway(gateway).await?.is_suspended() {
        return Err(suspended(gateway));
    }
    let before = details(cluster, gateway).await?;
    if before.tunnel.id.is_empty() {
        return Err(no_tunnel(gateway));
    }
    cluster
        .annotate(gateway, &[(REQUEST_ANNOTATION, now)])
        .await?;
    screen.line(format_args!(
        "Requested token rotation for Gateway {gateway}"
    ));
    match wait {
        Some(wait) => follow(cluster, gateway, wait, screen).await,
        None => Ok(()),
    }
}

/// Follows a rotation that is under way.
///
/// # Errors
/// The Gateway cannot be read, or the rotation takes longer than `wait`.
pub async fn watch(
    cluster: &Cluster,
    gateway: &ObjectKey,
    wait: Wait,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let found = cluster.gateway(gateway).await?;
    let token = details(cluster, gateway).await?.tunnel.token;
    if Stage::of(&found, &token) == Stage::Done {
        screen.line(format_args!(
            "No ongoing token rotation for Gateway {gateway}"
        ));
        return Ok(());
    }
    follow(cluster, gateway, wait, screen).await
}

async fn details(cluster: &Cluster, gateway: &ObjectKey) -> Result<GatewayDetails, Failure> {
    let found = cluster.gateway_status(gateway).await?;
    found
        .map(|found| found.status)
        .ok_or_else(|| no_tunnel(gateway))
}

fn no_tunnel(gateway: &ObjectKey) -> Failure {
    Failure::new(
        format!("Gateway {gateway}: it has no tunnel, and so no token"),
        "see cfgwctl status",
    )
}

/// How far the token is behind what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It was asked for and is not begun.
    Requested,
    /// A new token is made, or taken by the replicas.
    UnderWay,
    /// Every replica has the token.
    Done,
}

impl Stage {
    fn of(gateway: &Gateway, token: &Token) -> Self {
        let rotation = &token.rotation;
        let request = gateway.rotation_request();
        match rotation.under_way {
            true => Self::UnderWay,
            false if request.is_none() => Self::Done,
            false if request == Request::new(&rotation.last_handled_rotate_at) => Self::Done,
            false => Self::Requested,
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Requested => "requested; it begins once every replica is ready",
            Self::UnderWay => "under way; the replicas take the new token one after another",
            Self::Done => "done; every replica has the new token",
        }
    }
}

/// What is shown of a rotation at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    stage: Stage,
    hash: String,
    ready: u32,
    connectors: Vec<(String, u32)>,
}

impl View {
    fn of(gateway: &Gateway, details: &GatewayDetails) -> Self {
        let connectors = details.connectors.iter();
        Self {
            stage: Stage::of(gateway, &details.tunnel.token),
            hash: details.tunnel.token.hash.clone(),
            ready: details.ready_replicas,
            connectors: connectors
                .map(|connector| {
                    let connections = connector.connections;
                    (connector.name.clone(), connections.http2 + connections.quic)
                })
                .collect(),
        }
    }

    /// What is new since an earlier moment, a line each.
    fn since(&self, earlier: Option<&Self>) -> Vec<String> {
        let mut lines = Vec::new();
        if earlier.is_none_or(|earlier| earlier.hash != self.hash) {
            let hash: String = self.hash.chars().take(SHOWN_DIGITS).collect();
            lines.push(format!("token sha256={hash}"));
        }
        if earlier.is_none_or(|earlier| earlier.ready != self.ready) {
            lines.push(format!("replicas ready={}", self.ready));
        }
        for connector in &self.connectors {
            if earlier.is_none_or(|earlier| !earlier.connectors.contains(connector)) {
                let (name, connections) = connector;
                lines.push(format!("Pod/{name} connections={connections}"));
            }
        }
        if earlier.is_none_or(|earlier| earlier.stage != self.stage) {
            lines.push(self.stage.told().to_owned());
        }
        lines
    }
}

async fn follow(
    cluster: &Cluster,
    gateway: &ObjectKey,
    wait: Wait,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let waiting = wait.begin();
    let mut shown: Option<View> = None;
    loop {
        let found = cluster.gateway(gateway).await?;
        let view = View::of(&found, &details(cluster, gateway).await?);
        let clock = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        for line in view.since(shown.as_ref()) {
            screen.line(progress_line(&clock, waiting.elapsed(), &line));
        }
        let stage = view.stage;
        shown = Some(view);
        if stage == Stage::Done {
            screen.line(format_args!("Rotated the token of Gateway {gateway}"));
            return Ok(());
        }
        if !waiting.goes_on().await {
            let ObjectKey { namespace, name } = gateway;
            return Err(Failure::timed_out(
                format!("Gateway {gateway}: rotation {}", stage.told()),
                format!(
                    "it goes on by itself: cfgwctl watch gateway token {name} --namespace {namespace}; see cfgwctl status for what is in the way"
                ),
            ));
        }
    }
}

fn progress_line(clock: &str, elapsed: Duration, text: &str) -> String {
    format!("[{clock}] +{:.1}s {text}", elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gateway(request: Option<&str>) -> Gateway {
        let annotations = request.map(|value| json!({ REQUEST_ANNOTATION: value }));
        let object = json!({ "metadata": { "annotations": annotations.unwrap_or(json!({})) } });
        serde_json::from_value(object).expect("a Gateway")
    }

    fn token(handled: &str, under_way: bool) -> Token {
        let rotation = json!({ "lastHandledRotateAt": handled, "underWay": under_way });
        serde_json::from_value(json!({ "hash": "ab", "rotation": rotation })).expect("a token")
    }

    #[test]
    fn a_rotation_is_done_when_none_is_under_way_and_the_last_request_was_carried_out() {
        for (given, request, handled, under_way, expected) in [
            ("never", None, "", false, Stage::Done),
            ("by the schedule", None, "", true, Stage::UnderWay),
            ("just asked for", Some("2"), "1", false, Stage::Requested),
            ("begun", Some("2"), "", true, Stage::UnderWay),
            ("over", Some("2"), "2", false, Stage::Done),
        ] {
            let stage = Stage::of(&gateway(request), &token(handled, under_way));
            assert_eq!(stage, expected, "{given}");
        }
    }

    #[test]
    fn only_what_is_new_is_told() {
        let first = View {
            stage: Stage::Requested,
            hash: "0123456789abcdef".to_owned(),
            ready: 2,
            connectors: vec![("a".to_owned(), 4), ("b".to_owned(), 4)],
        };
        let second = View {
            stage: Stage::UnderWay,
            connectors: vec![("a".to_owned(), 8), ("b".to_owned(), 4)],
            ..first.clone()
        };
        assert_eq!(
            first.since(None),
            [
                "token sha256=0123456789ab",
                "replicas ready=2",
                "Pod/a connections=4",
                "Pod/b connections=4",
                "requested; it begins once every replica is ready",
            ]
        );
        let told = "under way; the replicas take the new token one after another";
        assert_eq!(second.since(Some(&first)), ["Pod/a connections=8", told]);
        assert_eq!(second.since(Some(&second)), [""; 0]);
        let line = progress_line("15:04:05", Duration::from_millis(1230), "token");
        assert_eq!(line, "[15:04:05] +1.2s token");
    }
}
