//! Records of somebody else that are to give way to ours, because somebody asked for it by name. First it is only said
//! what would be done, with a code that stands for the very records that were seen: what was changed meanwhile is not
//! adopted.

use super::guard::code;
use super::name::NamePlan;
use super::plan::RecordChange;
use crate::edge::HostnameOutcome;
use crate::edge::objects::DnsRecord;
use crate::edge::ownership::RecordMark;
use crate::gateway::Adoption;
use crate::names::Hostname;

/// Records of one name that are adopted, at most: they go in one batch.
const MOST_RECORDS: usize = 100;

/// Records that are shown of those.
const SHOWN: usize = 5;

/// What the adoption of a name calls for; `None` where its records are not to be had: other servers answer for the name,
/// another installation made one of them, or they are too many.
pub(super) fn plan(
    hostname: &Hostname,
    there: &[&DnsRecord],
    allowed: &Adoption,
    mark: RecordMark,
) -> Option<NamePlan> {
    let is_to_be_had = |record: &&DnsRecord| {
        let is_theirs = RecordMark::find(&record.data.comment)
            .is_some_and(|found| !found.is_same_installation(mark));
        !record.data.kind.eq_ignore_ascii_case("NS") && !is_theirs
    };
    if there.len() > MOST_RECORDS || !there.iter().all(is_to_be_had) {
        return None;
    }
    let code = code_of(hostname, there);
    if *allowed != Adoption::Confirmed(code.clone()) {
        let found = described(there);
        return Some(NamePlan::leave(HostnameOutcome::Adoptable { found, code }));
    }
    let change = match there {
        [one] if one.data.kind.eq_ignore_ascii_case("CNAME") => {
            RecordChange::Put(one.id.clone(), hostname.clone())
        }
        _ => {
            let ids = there.iter().map(|record| record.id.clone());
            RecordChange::Switch(ids.collect(), hostname.clone())
        }
    };
    Some(NamePlan::apply(change))
}

fn code_of(hostname: &Hostname, there: &[&DnsRecord]) -> String {
    let mut texts = vec![hostname.to_string()];
    for record in there {
        let data = &record.data;
        let fields = [record.id.as_str(), &data.kind, &data.content, &data.comment];
        texts.extend(fields.map(str::to_owned));
        texts.push(format!("{} {}", data.proxied, data.ttl));
    }
    code(texts.iter().map(String::as_str))
}

fn described(there: &[&DnsRecord]) -> String {
    let shown = there.iter().take(SHOWN).map(|record| {
        let proxied = if record.data.proxied { ", proxied" } else { "" };
        format!(
            "{} record {}{proxied}",
            record.data.kind, record.data.content
        )
    });
    let shown = shown.collect::<Vec<_>>().join("; ");
    match there.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
