//! Whether a broker answers this cluster: it is reached, its certificate is trusted, the clocks are not far apart, and it knows
//! the key of the cluster and serves it. Nothing is written.

use domain::ports::Edge;

use super::Finding;
use crate::cluster::Cluster;
use crate::plan::behind::Behind;
use crate::plan::stage::{self, Access};
use crate::screen::Tone;
use crate::settings::Settings;

/// Opens a session, and asks what the cluster has.
pub(super) async fn check(cluster: &Cluster, settings: &Settings, access: &Access) -> Finding {
    let mut notes = Vec::new();
    let place = match stage::place(cluster, settings, access, &mut notes).await {
        Ok(place) => place,
        Err(failure) => return Finding::unread("broker", &failure),
    };
    let what = format!("broker {}", place.urls.join(", "));
    let edge = match Behind::new(place) {
        Ok(edge) => edge,
        Err(failure) => return Finding::unread(&what, &failure),
    };
    match edge.owned().await {
        Ok(owned) => {
            let told = format!(
                "it serves this cluster, of which {} Gateways have something at Cloudflare; what it grants stands in the conditions of Gateways",
                owned.len()
            );
            Finding::new(Tone::Good, what, told)
        }
        Err(partial) => {
            let mut told = vec![partial.error.to_string()];
            told.append(&mut notes);
            Finding::new(Tone::Bad, what, told.join("; "))
        }
    }
}
