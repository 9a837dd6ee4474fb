//! Whether Cloudflare lets in the API tokens of the Secrets, and what they may see. Only calls that read are made: whether
//! a token may change what it sees is shown by a change alone.

use std::collections::BTreeSet;

use domain::ports::{CloudflareApi, PortError, PortErrorKind};
use domain::{AccountId, Timestamp};

use super::{Finding, broker};
use crate::cluster::Cluster;
use crate::plan::stage::{self, Access, Staged};
use crate::screen::Tone;
use crate::settings::Settings;

/// Zones whose records are asked for, of each account.
const ASKED_ZONES: usize = 20;

/// Zones that are named.
const SHOWN_ZONES: usize = 8;

/// Accounts that are asked.
const MOST_ACCOUNTS: usize = 16;

/// Asks with every token that GatewayClasses and parameters name; of a cluster behind a broker, asks that.
pub async fn check(cluster: &Cluster, access: &Access, now: Timestamp) -> Vec<Finding> {
    match Settings::of_cluster(cluster, access.controller.as_ref()).await {
        Ok(settings) if settings.defaults.is_behind_broker => {
            return vec![broker::check(cluster, &settings, access).await];
        }
        Ok(_) | Err(_) => {}
    }
    match stage::of_cluster(cluster, None, access, now).await {
        Ok(staged) => of_staged(&staged).await,
        Err(failure) => vec![Finding::unread("Cloudflare", &failure)],
    }
}

async fn of_staged(staged: &Staged) -> Vec<Finding> {
    let (all, missing) = staged.credentials().await;
    let mut found: Vec<Finding> = missing.iter().map(unusable).collect();
    if all.is_empty() && found.is_empty() {
        let told = "no GatewayClass and no parameters name a Secret with an API token";
        found.push(Finding::new(Tone::Unsure, "API token", told));
    }
    let mut asked: BTreeSet<AccountId> = BTreeSet::new();
    for credentials in all {
        if asked.len() < MOST_ACCOUNTS && asked.insert(credentials.account.clone()) {
            let api = staged.accounts().open(&credentials);
            found.extend(of_account(&*api, &credentials.account).await);
        }
    }
    found
}

fn unusable(error: &PortError) -> Finding {
    let tone = match error.kind {
        PortErrorKind::Credentials => Tone::Bad,
        _ => Tone::Unsure,
    };
    Finding::new(tone, "API token", &error.message)
}

async fn of_account(api: &dyn CloudflareApi, account: &AccountId) -> Vec<Finding> {
    let token = format!("API token of account {account}");
    if let Err(error) = api.verify_token().await {
        return vec![Finding::new(tone_of(&error), token, &error.message)];
    }
    let mut found = vec![Finding::new(Tone::Good, token, "Cloudflare accepts it")];
    let tunnels = format!("tunnels of account {account}");
    found.push(match api.tunnels("").await {
        Ok(all) => Finding::new(Tone::Good, tunnels, format!("it sees {}", all.len())),
        Err(error) => Finding::new(tone_of(&error), tunnels, &error.message),
    });
    found.extend(of_zones(api, account).await);
    found
}

async fn of_zones(api: &dyn CloudflareApi, account: &AccountId) -> Vec<Finding> {
    let what = format!("zones of account {account}");
    let zones = match api.zones().await {
        Ok(zones) => zones,
        Err(error) => return vec![Finding::new(tone_of(&error), what, &error.message)],
    };
    if zones.is_empty() {
        let told = "it sees none, so that no hostname gets a record; give it Zone Read and DNS Edit for the zones of your hostnames";
        return vec![Finding::new(Tone::Bad, what, told)];
    }
    let names: Vec<&str> = zones
        .iter()
        .take(SHOWN_ZONES)
        .map(|it| it.name.as_str())
        .collect();
    let more = zones.len().saturating_sub(SHOWN_ZONES);
    let told = match more {
        0 => format!("it sees {}", names.join(", ")),
        more => format!("it sees {} and {more} more", names.join(", ")),
    };
    let mut found = vec![Finding::new(Tone::Good, what, told)];
    for zone in zones.iter().take(ASKED_ZONES) {
        if let Err(error) = api.records(&zone.id).await {
            let what = format!("records of zone {}", zone.name);
            found.push(Finding::new(tone_of(&error), what, &error.message));
        }
    }
    found
}

/// What may pass is not known; what the token may not is bad.
fn tone_of(error: &PortError) -> Tone {
    match error.kind {
        PortErrorKind::Unavailable => Tone::Unsure,
        _ => Tone::Bad,
    }
}
