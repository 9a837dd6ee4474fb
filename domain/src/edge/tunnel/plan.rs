//! The ingress document: what the dashboard shows under "published application routes". It does not route;
//! the proxy answers whatever comes through the tunnel by its route table.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::edge::objects::{IngressDocument, IngressRule};
use crate::edge::observed::Observed;
use crate::edge::{EdgeIntent, IngressOutcome, Policy};
use crate::names::Hostname;

/// Rules that Cloudflare takes for one tunnel, the final catch-all among them
/// (developers.cloudflare.com/cloudflare-one/account-limits).
pub const RULE_LIMIT: usize = 1_000;

/// Paths that are shown of hostnames, as regular expressions.
pub type DashboardPaths = BTreeMap<Hostname, BTreeSet<String>>;

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

/// One rule for each hostname, or for each of its paths and the rest; above the limit without paths, or a single
/// catch-all. What stands below a reserved name (the notes of certificates) is no Gateway's; it comes last and stays as
/// it is.
fn document(
    intent: &EdgeIntent,
    held_back: Option<&BTreeSet<Hostname>>,
    present: Option<&IngressDocument>,
) -> (IngressDocument, IngressOutcome) {
    let service = format!(
        "http://{}.{}",
        intent.gateway.name, intent.gateway.namespace
    );
    let present = present.map_or(&[][..], |document| &document.rules);
    let (notes, kept): (Vec<_>, Vec<_>) = present
        .iter()
        .cloned()
        .partition(|rule| rule.hostname.reserved().is_some());
    let rule = |hostname: &Hostname, path: Option<&String>| IngressRule {
        hostname: hostname.clone(),
        path: path.cloned(),
        service: service.clone(),
    };
    let wanted = intent
        .hostnames
        .iter()
        .chain(held_back.into_iter().flatten());
    let mut rules: Vec<_> = wanted.map(|hostname| rule(hostname, None)).collect();
    let paths = intent.paths.iter();
    let paths = paths.filter(|(hostname, _)| intent.hostnames.contains(*hostname));
    rules.extend(
        paths.flat_map(|(hostname, paths)| paths.iter().map(|path| rule(hostname, Some(path)))),
    );
    if intent.policy == Policy::UpsertOnly {
        rules.extend(
            kept.iter()
                .map(|kept| rule(&kept.hostname, kept.path.as_ref())),
        );
    }
    in_order(&mut rules);
    let mut outcome = IngressOutcome::Complete;
    if rules.len() + notes.len() >= RULE_LIMIT && rules.iter().any(|rule| rule.path.is_some()) {
        rules.retain(|rule| rule.path.is_none());
        outcome = IngressOutcome::WithoutPaths;
    }
    if rules.len() + notes.len() >= RULE_LIMIT {
        let document = IngressDocument {
            rules: notes,
            catch_all: service,
        };
        let hostnames = rules.len();
        return (document, IngressOutcome::CatchAll { hostnames });
    }
    let document = IngressDocument {
        rules: rules.into_iter().chain(notes).collect(),
        catch_all: NOT_FOUND.to_owned(),
    };
    (document, outcome)
}

/// Exact names first, then by name, and the longest paths of a name first, so that no rule hides another one from its
/// reader.
fn in_order(rules: &mut Vec<IngressRule>) {
    rules.sort_by_cached_key(|rule| {
        let length = rule.path.as_ref().map(String::len);
        (
            rule.hostname.is_wildcard(),
            rule.hostname.clone(),
            Reverse(length),
            rule.path.clone(),
        )
    });
    rules.dedup();
}

fn only_removes(present: &IngressDocument, wanted: &IngressDocument) -> bool {
    present.catch_all == wanted.catch_all && as_set(wanted).is_subset(&as_set(present))
}

fn as_set(document: &IngressDocument) -> BTreeSet<(&Hostname, Option<&str>, &str)> {
    let rules = document.rules.iter();
    rules
        .map(|rule| (&rule.hostname, rule.path.as_deref(), &*rule.service))
        .collect()
}
