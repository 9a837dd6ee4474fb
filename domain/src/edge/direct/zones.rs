//! The zones that names lie in, with a token that may list zones, or only look one up by its name, or neither.
//!
//! Where zones may not be listed, each name's zone is looked up from the shortest domain on: `example.com`, then
//! `app.example.com`. A zone below one that was found is looked for only where that one has NS records of it, as nobody
//! else's DNS leads there. Where looking up is refused too, the ids that the parameters name count.

use std::collections::{BTreeMap, BTreeSet};

use crate::edge::cache::CachedApi;
use crate::edge::objects::{DnsRecord, Zone, ZoneState};
use crate::edge::plan::zone_of;
use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, ZoneId};

/// Calls that look one zone up, for one Gateway in one go. What is found, and that nothing is, is remembered, so that the
/// next go gets further.
const LOOK_UPS: usize = 100;

/// Zones, and why there may be more that cover a name.
#[derive(Default)]
pub(super) struct Zones {
    pub(super) found: Vec<Zone>,
    pub(super) unseen: Option<PortError>,
}

/// The zones that the token can see, or else those of these names. An error is one that may pass.
pub(super) async fn find(
    api: &CachedApi,
    names: &BTreeSet<&Hostname>,
    ids: &BTreeMap<Hostname, ZoneId>,
) -> Result<Zones, PortError> {
    match api.zones().await {
        Ok(listed) if !listed.is_empty() => {
            let found = with_ids(listed, ids);
            return Ok(Zones {
                found,
                unseen: None,
            });
        }
        // Some tokens that may not list zones get an empty list.
        Ok(_) => {}
        Err(error) if error.kind == PortErrorKind::Forbidden => {}
        Err(error) => return Err(error),
    }
    let mut search = Search {
        api,
        calls_left: LOOK_UPS,
        found: Vec::new(),
        unseen: None,
    };
    search.look_up_all(names).await;
    let found = with_ids(search.found, ids);
    let covers = |name: &&Hostname| zone_of(name, found.iter()).is_some();
    let unseen = search.unseen.filter(|_| !names.iter().all(covers));
    Ok(Zones { found, unseen })
}

/// Zones whose ids the parameters name, besides those that were found.
fn with_ids(mut found: Vec<Zone>, ids: &BTreeMap<Hostname, ZoneId>) -> Vec<Zone> {
    for (name, id) in ids {
        if !found
            .iter()
            .any(|zone| zone.id == *id || zone.name == name.as_str())
        {
            found.push(Zone {
                id: id.clone(),
                name: name.to_string(),
                state: ZoneState::Unseen,
            });
        }
    }
    found
}

/// What is wrong where the records show that an id from the parameters is that of another zone. Cloudflare would take our
/// names to be below that one.
pub(super) fn mismatch(zone: &Zone, records: &[DnsRecord]) -> Option<PortError> {
    let lies_within = |record: &&DnsRecord| {
        let name = &record.data.name;
        let rest = name.strip_suffix(&zone.name);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let is_unseen = zone.state == ZoneState::Unseen;
    let stray = records
        .iter()
        .find(|record| is_unseen && !lies_within(record))?;
    let message = format!(
        "spec.dns.zoneIDs: Invalid value: {}: must be the id of zone {}, and is that of one with a record {}",
        zone.id, zone.name, stray.data.name
    );
    Some(PortError::new(PortErrorKind::Invalid, message))
}

struct Search<'a> {
    api: &'a CachedApi,
    calls_left: usize,
    found: Vec<Zone>,
    unseen: Option<PortError>,
}

impl Search<'_> {
    async fn look_up_all(&mut self, names: &BTreeSet<&Hostname>) {
        // All short domains first, as these are likely to be zones.
        for labels in 2.. {
            if self.is_refused() {
                return;
            }
            let is_open = |name: &&&Hostname| zone_of(name, self.found.iter()).is_none();
            let open = names.iter().filter(is_open);
            let domains: BTreeSet<String> = open.filter_map(|name| domain(name, labels)).collect();
            if domains.is_empty() {
                break;
            }
            for domain in domains {
                self.look_up(&domain).await;
            }
        }
        let mut seen = BTreeSet::new();
        while let Some(zone) = self
            .found
            .iter()
            .find(|zone| !seen.contains(&zone.id))
            .cloned()
        {
            seen.insert(zone.id.clone());
            for domain in self.delegated(&zone, names).await {
                self.look_up(&domain).await;
            }
        }
    }

    /// Whether the token may not look zones up, so that asking for another is no use.
    fn is_refused(&self) -> bool {
        let unseen = self.unseen.as_ref();
        unseen.is_some_and(|error| error.kind == PortErrorKind::Forbidden)
    }

    /// Domains of these names that a zone has NS records of.
    async fn delegated(&self, zone: &Zone, names: &BTreeSet<&Hostname>) -> BTreeSet<String> {
        // One that cannot be read is told where its records are needed.
        let records = self.api.records(&zone.id).await.unwrap_or_default();
        let records = records.into_iter();
        let delegated = records.filter(|record| record.data.kind.eq_ignore_ascii_case("NS"));
        let domains = delegated.map(|record| record.data.name);
        domains
            .filter(|domain| {
                *domain != zone.name && names.iter().any(|name| name.is_within(domain))
            })
            .collect()
    }

    async fn look_up(&mut self, domain: &str) {
        if self.is_refused() {
            return;
        }
        let answer = match self.api.known_zone(domain) {
            Some(known) => known,
            None if self.calls_left == 0 => {
                let message = format!(
                    "more than {LOOK_UPS} domains were looked up to find zones; the others follow. Give the API token the permission \"Zone: Read\", and one list takes their place"
                );
                Err(PortError::unavailable(message))
            }
            None => {
                self.calls_left -= 1;
                self.api.zone_named(domain).await
            }
        };
        match answer {
            Ok(zone) => self.found.extend(zone),
            Err(error) => self.unseen = Some(error),
        }
    }
}

/// The last labels of a name, if it has so many.
fn domain(name: &Hostname, labels: usize) -> Option<String> {
    let name = name.wildcard_suffix().unwrap_or(name.as_str());
    let parts: Vec<&str> = name.split('.').collect();
    let start = parts.len().checked_sub(labels)?;
    Some(parts[start..].join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_the_parameters_adds_a_zone_that_was_not_found() {
        for (name, id, zones) in [
            ("example.com", "z1", 1),
            ("example.com", "z2", 1),
            ("example.org", "z1", 1),
            ("example.org", "z2", 2),
        ] {
            let found = vec![Zone::active(ZoneId::new("z1"), "example.com")];
            let ids = [(Hostname::parse(name).unwrap(), ZoneId::new(id))].into();
            let all = with_ids(found, &ids);
            assert_eq!(all.len(), zones, "{name} {id}");
            if let [_, added] = &all[..] {
                let expected = (name, ZoneState::Unseen);
                assert_eq!((added.name.as_str(), added.state), expected);
            }
        }
    }
}
