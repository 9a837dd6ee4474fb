//! Pushing a tunnel's remote configuration to its connectors.

use std::sync::Arc;
use std::time::Duration;

use super::body::BoxError;
use super::registry::{Confirmation, Connection, Phase};
use crate::cloud::{Cloud, TunnelConfiguration};

/// How long a connector may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait after a push that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Pushes every version that the tunnel's configuration takes, as long as the connection lives. The
/// connection starts to serve when the first push was answered, or there was nothing to push: a
/// connector without configuration could only answer 503.
pub(super) async fn keep_current(connection: Arc<Connection>, cloud: Arc<Cloud>) {
    let mut changes = cloud.watch();
    let mut pushed = None;
    loop {
        changes.borrow_and_update();
        let current = cloud.configuration(connection.record.tunnel);
        if let Some(new) = current.filter(|c| pushed.is_none_or(|version| version < c.version)) {
            match push(&connection, &new).await {
                Ok(confirmation) => {
                    note(&cloud, &connection, new.version, &confirmation);
                    connection.confirm(confirmation);
                    pushed = Some(new.version);
                }
                Err(error) => {
                    tracing::debug!(connection = %connection.id(), %error, "configuration push");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
        }
        connection.enter(Phase::Serving);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn note(cloud: &Cloud, connection: &Connection, pushed: i32, confirmation: &Confirmation) {
    if confirmation.version == pushed && confirmation.error.is_none() {
        return;
    }
    let what = format!(
        "configuration {pushed} pushed to connection {}, which runs {} ({})",
        connection.record.index,
        confirmation.version,
        confirmation.error.as_deref().unwrap_or("no error"),
    );
    cloud.record_edge_event(Some(connection.record.tunnel), what);
}

async fn push(
    connection: &Connection,
    configuration: &TunnelConfiguration,
) -> Result<Confirmation, BoxError> {
    tokio::time::timeout(ANSWER_WITHIN, connection.line.configure(configuration)).await?
}
