//! The ingress document: what the dashboard shows under "published application routes". It does not route;
//! the proxy answers whatever comes through the tunnel by its route table.

use std::collections::BTreeSet;

use crate::edge::objects::{IngressDocument, IngressRule};
use crate::edge::observed::Observed;
use crate::edge::{EdgeIntent, IngressOutcome, Policy};
use crate::names::Hostname;

/// Rules that Cloudflare takes for one tunnel, the final catch-all among them
/// (developers.cloudflare.com/cloudflare-one/account-limits).
pub const RULE_LIMIT: usize = 1_000;

/// Service of the catch-all where every hostname has a rule.
const NOT_FOUND: &str = "http_status:404";

pub(crate) struct IngressPlan {
    /// What to put; `None` where nothing need or can be done.
    pub(crate) document: Option<IngressDocument>,
    /// Whether names only go away, so that the document comes after the records.
    pub(crate) only_removes: bool,
    pub(crate) outcome: IngressOutcome,
}

/// `held_back`: names that keep their record and so their rule, though they are not wanted any more.
pub(crate) fn plan(
    intent: &EdgeIntent,
    observed: &Observed,
    held_back: Option<&BTreeSet<Hostname>>,
) -> IngressPlan {
    let present = match observed.tunnel.as_ref().map(|tunnel| &tunnel.ingress) {
        Some(Err(error)) => return IngressPlan::unknown(&error.message),
        Some(Ok(document)) => document.as_ref(),
        None => None,
    };
    let (wanted, outcome) = document(intent, held_back, present);
    IngressPlan {
        only_removes: present.is_some_and(|present| only_removes(present, &wanted)),
        document: (present != Some(&wanted)).then_some(wanted),
        outcome,
    }
}

impl IngressPlan {
    fn unknown(message: &str) -> Self {
        Self {
            document: None,
            only_removes: false,
            outcome: IngressOutcome::Unknown {
                message: message.to_owned(),
            },
        }
    }
}

/// One rule for each hostname, exact names first, then by name, so that a wildcard never hides a name from
/// its reader; above the limit a single catch-all. What stands below a reserved name (the notes of certificates) is no
/// Gateway's; it comes last and stays as it is.
fn document(
    intent: &EdgeIntent,
    held_back: Option<&BTreeSet<Hostname>>,
    present: Option<&IngressDocument>,
) -> (IngressDocument, IngressOutcome) {
    let service = format!(
        "http://{}.{}",
        intent.gateway.name, intent.gateway.namespace
    );
    let mut names: BTreeSet<(bool, &Hostname)> = intent.hostnames.iter().map(sorting_key).collect();
    names.extend(held_back.into_iter().flatten().map(sorting_key));
    let notes: Vec<IngressRule> = present
        .into_iter()
        .flat_map(|document| &document.rules)
        .filter(|rule| rule.hostname.reserved().is_some())
        .cloned()
        .collect();
    if intent.policy == Policy::UpsertOnly {
        let kept = present.iter().flat_map(|document| &document.rules);
        let kept = kept.filter(|rule| rule.hostname.reserved().is_none());
        names.extend(kept.map(|rule| sorting_key(&rule.hostname)));
    }
    if names.len() + notes.len() >= RULE_LIMIT {
        let document = IngressDocument {
            rules: notes,
            catch_all: service,
        };
        let hostnames = names.len();
        return (document, IngressOutcome::CatchAll { hostnames });
    }
    let rule = |(_, hostname): (bool, &Hostname)| IngressRule {
        hostname: hostname.clone(),
        service: service.clone(),
    };
    let document = IngressDocument {
        rules: names.into_iter().map(rule).chain(notes).collect(),
        catch_all: NOT_FOUND.to_owned(),
    };
    (document, IngressOutcome::Complete)
}

fn sorting_key(hostname: &Hostname) -> (bool, &Hostname) {
    (hostname.is_wildcard(), hostname)
}

fn only_removes(present: &IngressDocument, wanted: &IngressDocument) -> bool {
    let rules = |document: &IngressDocument| -> BTreeSet<_> {
        let rules = document.rules.iter();
        rules
            .map(|rule| (rule.hostname.clone(), rule.service.clone()))
            .collect()
    };
    present.catch_all == wanted.catch_all && rules(wanted).is_subset(&rules(present))
}
