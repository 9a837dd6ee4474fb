//! What was changed in a rehearsal, object by object.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Account, Change, State, is_planned};
use crate::edge::dns::owner::{mark_of, target};
use crate::edge::objects::{DnsRecord, IngressDocument, RecordData, Tunnel};
use crate::edge::ownership::{self, RecordMark};
use crate::names::{AccountId, Installation, ObjectKey, RecordId, TunnelId};

/// Hostnames of one document that are named; the others are counted.
const SHOWN_RULES: usize = 8;

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sign {
    Add,
    Change,
    Remove,
}

impl Sign {
    /// As in a diff.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Change => "~",
            Self::Remove => "-",
        }
    }
}

/// One object at Cloudflare that is made, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// `tunnel`, `rules`, `record` or `certificate`.
    pub what: &'static str,
    /// Which one.
    pub name: String,
    pub sign: Sign,
    /// What it says, or what is otherwise than it was.
    pub told: String,
    /// Whose it is; `None` where that is not known.
    pub gateway: Option<ObjectKey>,
    /// Why, in a few words.
    pub why: String,
    pub account: AccountId,
}

/// Of records with our mark that no Gateway and no tunnel is known for.
const OF_NOBODY: &str = "no Gateway and no tunnel leads to it";

impl Difference {
    /// Whether it carries our mark and belongs to no Gateway that is known.
    pub fn is_of_nobody(&self) -> bool {
        self.why == OF_NOBODY
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.sign.as_str(), self.what, self.name)?;
        if !self.told.is_empty() {
            write!(f, " {}", self.told)?;
        }
        write!(f, " ({})", self.why)
    }
}

/// What the differences of one account are told with.
struct Teller<'a> {
    installation: &'a Installation,
    account_id: &'a AccountId,
    account: &'a Account,
    /// Gateways that are there.
    gateways: &'a BTreeSet<ObjectKey>,
    marks: BTreeMap<RecordMark, ObjectKey>,
}

pub(super) fn all(
    installation: &Installation,
    state: &State,
    gateways: &BTreeSet<ObjectKey>,
) -> Vec<Difference> {
    let mut found = Vec::new();
    for (account_id, account) in &state.accounts {
        let tunnels = account.listed.values();
        let owners = tunnels.filter_map(|it| ownership::gateway_of_tunnel(installation, &it.name));
        let known: BTreeSet<ObjectKey> = owners.chain(gateways.iter().cloned()).collect();
        let marks = known.into_iter();
        let marks = marks.map(|gateway| (RecordMark::of(installation, &gateway), gateway));
        let teller = Teller {
            installation,
            account_id,
            account,
            gateways,
            marks: marks.collect(),
        };
        found.extend(teller.tunnels());
        found.extend(teller.documents());
        found.extend(teller.records());
        found.extend(teller.certificates());
    }
    let rank = |one: &Difference| {
        let ranks = ["tunnel", "rules", "record", "certificate"];
        ranks.iter().position(|what| *what == one.what)
    };
    found.sort_by(|a, b| (rank(a), a).cmp(&(rank(b), b)));
    found
}

impl Teller<'_> {
    fn difference(
        &self,
        (sign, what): (Sign, &'static str),
        name: String,
        told: String,
        gateway: Option<ObjectKey>,
    ) -> Difference {
        let why = match (&gateway, sign) {
            (None, _) => OF_NOBODY.to_owned(),
            (Some(gateway), Sign::Remove) => match self.gateways.contains(gateway) {
                true => format!("{gateway} does not ask for it"),
                false => format!("{gateway} is gone"),
            },
            (Some(gateway), _) => gateway.to_string(),
        };
        Difference {
            what,
            name,
            sign,
            told,
            gateway,
            why,
            account: self.account_id.clone(),
        }
    }

    fn owner(&self, tunnel: &Tunnel) -> Option<ObjectKey> {
        ownership::gateway_of_tunnel(self.installation, &tunnel.name)
    }

    fn tunnels(&self) -> Vec<Difference> {
        let changes = self.account.tunnels.values();
        let told = changes.filter_map(|change| match (&change.before, &change.now) {
            (None, Some(made)) => Some((Sign::Add, made, String::new())),
            (Some(gone), None) => Some((Sign::Remove, gone, gone.id.to_string())),
            (Some(before), Some(now)) if before != now => {
                let told = format!("{}, which was {}", now.id, before.name);
                Some((Sign::Change, now, told))
            }
            _ => None,
        });
        let told = told.map(|(sign, tunnel, told)| {
            let name = tunnel.name.clone();
            self.difference((sign, "tunnel"), name, told, self.owner(tunnel))
        });
        told.collect()
    }

    fn documents(&self) -> Vec<Difference> {
        let mut found = Vec::new();
        for (id, Change { before, now }) in &self.account.documents {
            let changed = self.account.tunnels.get(id);
            let tunnel = match changed {
                Some(change) => change.now.as_ref(),
                None => self.account.listed.get(id),
            };
            // The rules of a tunnel go with it.
            let (Some(tunnel), Some(now)) = (tunnel, now) else {
                continue;
            };
            let Some(told) = rules(before.as_ref(), now) else {
                continue;
            };
            let sign = match before {
                None => Sign::Add,
                Some(_) => Sign::Change,
            };
            let name = format!("of {}", tunnel_named(*id));
            found.push(self.difference((sign, "rules"), name, told, self.owner(tunnel)));
        }
        found
    }

    fn records(&self) -> Vec<Difference> {
        let zones = self.account.zones.values();
        let found = zones.flat_map(|change| self.records_of(change));
        found.collect()
    }

    fn records_of(&self, Change { before, now }: &Change<Vec<DnsRecord>>) -> Vec<Difference> {
        let by_id = |records: &[DnsRecord]| -> BTreeMap<RecordId, DnsRecord> {
            let records = records.iter();
            records.map(|it| (it.id.clone(), it.clone())).collect()
        };
        let (mut gone, mut there) = (by_id(before), by_id(now));
        let mut found = Vec::new();
        for record in before {
            let same = there.get(&record.id).cloned();
            // One of ours that is made again under another id is the same for everybody who asks for the name.
            let again = || there.values().find(|it| is_again(record, it)).cloned();
            let Some(after) = same.or_else(again) else {
                continue;
            };
            gone.remove(&record.id);
            there.remove(&after.id);
            found.extend(self.changed(record, &after));
        }
        let owners = there.values();
        let owners = owners.filter_map(|it| Some((it.data.name.clone(), self.owner_of(it)?)));
        let takers: BTreeMap<String, ObjectKey> = owners.collect();
        let added = there.values();
        found.extend(added.map(|it| self.record(Sign::Add, it, told(&it.data))));
        for record in gone.values() {
            let mut removed = self.record(Sign::Remove, record, told(&record.data));
            if let Some(taker) = takers.get(&record.data.name) {
                removed.why = format!("gives way to that of {taker}");
            }
            found.push(removed);
        }
        found
    }

    fn record(&self, sign: Sign, record: &DnsRecord, told: String) -> Difference {
        let name = record.data.name.clone();
        self.difference((sign, "record"), name, told, self.owner_of(record))
    }

    fn owner_of(&self, record: &DnsRecord) -> Option<ObjectKey> {
        self.marks.get(&mark_of(record)?).cloned()
    }

    fn changed(&self, before: &DnsRecord, now: &DnsRecord) -> Option<Difference> {
        let fields = changed_fields(&before.data, &now.data);
        let (former, owner) = (self.owner_of(before), self.owner_of(now));
        let moved = former.filter(|former| Some(former) != owner.as_ref());
        if fields.is_empty() && moved.is_none() {
            return None;
        }
        let told = format!("{} {}", now.data.kind, fields.join(", "));
        let mut change = self.record(Sign::Change, now, told.trim_end().to_owned());
        if let Some(former) = moved {
            change.why = format!("{}, from {former}", change.why);
        }
        Some(change)
    }

    fn certificates(&self) -> Vec<Difference> {
        let mut found = Vec::new();
        for (zone, changes) in &self.account.certificates {
            let mut of = |sign, id: &dyn fmt::Display, told: String| {
                let name = format!("{id} of zone {zone}");
                let mut one = self.difference((sign, "certificate"), name, told, None);
                one.why = match sign {
                    Sign::Remove => "no listener asks for it".to_owned(),
                    Sign::Add | Sign::Change => "a listener asks for it".to_owned(),
                };
                found.push(one);
            };
            for made in changes.made.values() {
                of(
                    Sign::Add,
                    &"new",
                    format!("sha256:{}", made.hosts.join(",")),
                );
            }
            for id in &changes.removed {
                of(Sign::Remove, id, String::new());
            }
        }
        found
    }
}

/// Whether a record that is made takes the place of one of ours with the same name.
fn is_again(gone: &DnsRecord, made: &DnsRecord) -> bool {
    made.data.name == gone.data.name && mark_of(gone).is_some() && mark_of(made).is_some()
}

fn tunnel_named(tunnel: TunnelId) -> String {
    match is_planned(tunnel) {
        true => "the new tunnel".to_owned(),
        false => tunnel.to_string(),
    }
}

/// Type and content of a record.
fn told(data: &RecordData) -> String {
    format!("{} {}", data.kind, content(data))
}

fn content(data: &RecordData) -> String {
    let record = DnsRecord {
        id: RecordId::new(""),
        data: data.clone(),
    };
    match target(&record).filter(|tunnel| is_planned(*tunnel)) {
        Some(tunnel) => tunnel_named(tunnel),
        None => data.content.clone(),
    }
}

fn changed_fields(before: &RecordData, now: &RecordData) -> Vec<String> {
    let mut fields = Vec::new();
    if before.content != now.content {
        fields.push(format!("{} -> {}", content(before), content(now)));
    }
    if before.proxied != now.proxied {
        fields.push(format!("proxied {} -> {}", before.proxied, now.proxied));
    }
    if before.ttl != now.ttl {
        fields.push(format!("ttl {} -> {}", before.ttl, now.ttl));
    }
    if before.comment != now.comment {
        fields.push("comment".to_owned());
    }
    fields
}

/// Which hostnames a document shows otherwise than before; `None` where all are the same.
fn rules(before: Option<&IngressDocument>, now: &IngressDocument) -> Option<String> {
    let names = |document: &IngressDocument| -> BTreeSet<String> {
        document.hostnames().map(ToString::to_string).collect()
    };
    let (before_names, now_names) = (before.map(names).unwrap_or_default(), names(now));
    let more = now_names.difference(&before_names);
    let less = before_names.difference(&now_names);
    let signed = more
        .map(|name| format!("+{name}"))
        .chain(less.map(|name| format!("-{name}")));
    let mut signed: Vec<String> = signed.collect();
    let is_same = before.is_some_and(|before| before == now);
    if is_same {
        return None;
    }
    if signed.is_empty() {
        return Some(match now_names.len() {
            0 => "none".to_owned(),
            _ => "other paths, services or notes".to_owned(),
        });
    }
    let rest = signed.len().saturating_sub(SHOWN_RULES);
    signed.truncate(SHOWN_RULES);
    if rest > 0 {
        signed.push(format!("and {rest} more"));
    }
    Some(signed.join(" "))
}
