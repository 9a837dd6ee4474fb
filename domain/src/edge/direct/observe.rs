//! Reading the edge for one Gateway.

use std::collections::BTreeSet;

use super::Work;
use super::zones::{self, Zones};
use crate::edge::cache::CachedApi;
use crate::edge::dns::owner::{mark_of, own_records, target};
use crate::edge::objects::{DnsRecord, IngressDocument, Zone};
use crate::edge::observed::{Observed, ObservedTunnel, ObservedZone, ZoneRecords};
use crate::edge::ownership::RecordMark;
use crate::edge::plan::{Change, Plan, zone_of};
use crate::edge::{EdgeIntent, tunnel};
use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, TunnelId, ZoneId};

/// Reads all that a plan needs. Only tunnels that cannot be listed stop it; every other failure becomes
/// part of what was observed.
pub(super) async fn observe(api: &CachedApi, work: &Work<'_>) -> Result<Observed, PortError> {
    let intent = work.intent;
    let tunnel = match tunnel::apply::named(api, &work.name).await? {
        None => None,
        Some(tunnel) => Some(ObservedTunnel {
            id: tunnel.id,
            ingress: api.configuration(tunnel.id).await,
        }),
    };
    let managed = intent.hostnames.iter().filter(|h| intent.dns.manages(h));
    let mut names: BTreeSet<&Hostname> = managed.collect();
    names.extend(shown(tunnel.as_ref()));
    let (zones, unseen) = match zones::find(api, &names, &intent.dns.records.zone_ids).await {
        Ok(Zones { found, unseen }) => {
            let zones = read_zones(api, intent, found, work.known.as_ref()).await;
            (Ok(zones), unseen)
        }
        Err(error) => (Err(error), None),
    };
    let own = tunnel.as_ref().map(|tunnel| tunnel.id);
    let by_tunnel = |zone: &ObservedZone| has_namesake(zone, work) || is_led_away(zone, work, own);
    let tunnels = match zones.iter().flatten().any(by_tunnel) {
        true => Some(api.all_tunnels_now().await),
        false => None,
    };
    Ok(Observed {
        tunnel,
        zones,
        unseen,
        former: work.former.filter(|former| Some(*former) != own),
        had: work.had.clone(),
        tunnels,
    })
}

/// Hostnames that a tunnel's ingress document shows: its Gateway has records of no others, but for the many of a
/// catch-all.
fn shown(tunnel: Option<&ObservedTunnel>) -> impl Iterator<Item = &Hostname> {
    let document = tunnel.and_then(|tunnel| tunnel.ingress.as_ref().ok()?.as_ref());
    document.into_iter().flat_map(IngressDocument::hostnames)
}

/// Whether a record of the Gateway leads to another tunnel than its own. If that tunnel is there, somebody led it there.
fn is_led_away(zone: &ObservedZone, work: &Work<'_>, own: Option<TunnelId>) -> bool {
    let ZoneRecords::Read(records) = &zone.records else {
        return false;
    };
    let mut marked = records
        .iter()
        .filter(|record| mark_of(record) == Some(work.mark));
    marked.any(|record| target(record).is_some_and(|led| Some(led) != own))
}

/// Whether a wanted name has a record of another installation of our name.
fn has_namesake(zone: &ObservedZone, work: &Work<'_>) -> bool {
    let ZoneRecords::Read(records) = &zone.records else {
        return false;
    };
    let is_wanted = |record: &DnsRecord| {
        let name = Hostname::parse(&record.data.name);
        name.is_ok_and(|name| work.intent.hostnames.contains(&name))
    };
    let mut marked = records
        .iter()
        .filter(|record| mark_of(record).is_some_and(|mark| mark.is_namesake(work.mark)));
    marked.any(is_wanted)
}

async fn read_zones(
    api: &CachedApi,
    intent: &EdgeIntent,
    zones: Vec<Zone>,
    known: Option<&BTreeSet<ZoneId>>,
) -> Vec<ObservedZone> {
    let wanted = wanted_zones(intent, || zones.iter());
    let mut observed = Vec::with_capacity(zones.len());
    for zone in zones {
        let matters =
            wanted.contains(&zone.id) || known.is_none_or(|known| known.contains(&zone.id));
        let records = if matters {
            match api.records(&zone.id).await {
                Ok(records) => match zones::mismatch(&zone, &records) {
                    None => ZoneRecords::Read(records),
                    Some(error) => ZoneRecords::Failed(error),
                },
                Err(error) => ZoneRecords::Failed(error),
            }
        } else {
            ZoneRecords::Skipped
        };
        observed.push(ObservedZone { zone, records });
    }
    observed
}

fn wanted_zones<'a, I>(intent: &EdgeIntent, zones: impl Fn() -> I) -> BTreeSet<ZoneId>
where
    I: Iterator<Item = &'a Zone>,
{
    let managed = intent.hostnames.iter().filter(|h| intent.dns.manages(h));
    managed
        .filter_map(|hostname| zone_of(hostname, zones()))
        .map(|zone| zone.id.clone())
        .collect()
}

fn has_own(records: &[DnsRecord], observed: &Observed, mark: RecordMark) -> bool {
    let tunnel = observed.tunnel.as_ref().map(|tunnel| tunnel.id);
    !own_records(records, mark, tunnel.as_slice()).is_empty()
}

/// Zones to read again next time; `None` where the zones could not be listed.
pub(super) fn zones_with_something(
    observed: &Observed,
    intent: &EdgeIntent,
    mark: RecordMark,
) -> Option<BTreeSet<ZoneId>> {
    let zones = observed.zones.as_ref().ok()?;
    let mut keep = wanted_zones(intent, || zones.iter().map(|zone| &zone.zone));
    let with_something = zones.iter().filter(|zone| match &zone.records {
        ZoneRecords::Read(records) => has_own(records, observed, mark),
        ZoneRecords::Failed(_) => true,
        ZoneRecords::Skipped => false,
    });
    keep.extend(with_something.map(|zone| zone.zone.id.clone()));
    Some(keep)
}

/// Zones in which something of the Gateway was seen, or is once the plan is carried out.
pub(super) fn zones_written(
    observed: &Observed,
    plan: &Plan,
    mark: RecordMark,
) -> BTreeSet<ZoneId> {
    let seen = observed.zones.iter().flatten().filter_map(|zone| {
        let ZoneRecords::Read(records) = &zone.records else {
            return None;
        };
        has_own(records, observed, mark).then(|| zone.zone.id.clone())
    });
    let planned = plan.changes.iter().filter_map(|change| match change {
        Change::Records(zone) => Some(zone.zone.clone()),
        _ => None,
    });
    seen.chain(planned).collect()
}

/// Reads that failed and that the intent needs. A zone that the token may not read and that no name lies in
/// is none of our business: we could not have written to it.
pub(super) fn failures(observed: &Observed, intent: &EdgeIntent) -> Vec<PortError> {
    let mut failures = Vec::new();
    if let Some(Err(error)) = observed.tunnel.as_ref().map(|tunnel| &tunnel.ingress) {
        failures.push(error.clone());
    }
    let closed = |error: &PortError| error.kind == PortErrorKind::Forbidden;
    match &observed.zones {
        Err(error) => failures.push(error.clone()),
        Ok(zones) => {
            let zone_of = |name| zone_of(name, zones.iter().map(|zone| &zone.zone));
            let mut managed = intent.hostnames.iter().filter(|h| intent.dns.manages(h));
            let needed = managed.any(|hostname| zone_of(hostname).is_none());
            let unseen = observed.unseen.iter();
            failures.extend(unseen.filter(|error| needed || !closed(error)).cloned());
            let wanted = wanted_zones(intent, || zones.iter().map(|zone| &zone.zone));
            failures.extend(zones.iter().filter_map(|zone| match &zone.records {
                ZoneRecords::Failed(error) if wanted.contains(&zone.zone.id) || !closed(error) => {
                    Some(error.clone())
                }
                _ => None,
            }));
        }
    }
    failures
}
