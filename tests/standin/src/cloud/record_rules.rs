//! What Cloudflare accepts as a record, and which records can be together at one name.

use super::record::{DnsRecord, RecordKind};
use super::record_set::RecordSet;
use super::zone::Plan;

/// Why a change of records was refused. Codes and texts are those of Cloudflare's API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordRefusal {
    /// No record with this id in the zone.
    #[error("Record does not exist.")]
    NotFound,
    /// An address record or CNAME is already at the name of a new CNAME.
    #[error("An A, AAAA, or CNAME record with that host already exists.")]
    HostTaken,
    /// A CNAME is already at the name of a new address record.
    #[error("A CNAME record with that host already exists.")]
    CnameTaken,
    /// Same type, name and content as another record, which differs in its settings.
    #[error("The record already exists.")]
    Exists,
    /// The same as another record.
    #[error("An identical record already exists.")]
    Identical,
    /// The zone is full.
    #[error("Record quota exceeded.")]
    ZoneFull,
    /// The comment is longer than the plan allows.
    #[error("DNS record comment exceeds the maximum length of {0} characters.")]
    CommentTooLong(usize),
    /// More tags than the plan allows.
    #[error("DNS record has {0} tags, exceeding the quota of {1}.")]
    TooManyTags(usize, usize),
    /// Not a name that can be in DNS.
    #[error("DNS name is invalid.")]
    Name,
    /// The type cannot be proxied.
    #[error("This record type cannot be proxied.")]
    NotProxiable,
    /// Not what the type holds.
    #[error("Content for {0} record is invalid.")]
    Content(&'static str),
    /// A CNAME to its own name.
    #[error("CNAME content cannot reference itself.")]
    SelfReference,
    /// Seconds to live out of range.
    #[error("Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.")]
    Ttl,
    /// More operations than a batch may have.
    #[error("Batch request has {0} operations, exceeding the limit of {1}.")]
    BatchTooLarge(usize, usize),
}

impl RecordRefusal {
    /// The API's error code. The one of [`BatchTooLarge`](Self::BatchTooLarge) is not documented.
    pub fn code(&self) -> u32 {
        match self {
            Self::NotFound => 81_044,
            Self::ZoneFull => 81_045,
            Self::HostTaken => 81_053,
            Self::CnameTaken => 81_054,
            Self::Exists => 81_057,
            Self::Identical => 81_058,
            Self::CommentTooLong(_) => 9_313,
            Self::TooManyTags(..) => 9_300,
            Self::Name => 9_000,
            Self::NotProxiable => 9_004,
            Self::Content("A") => 9_005,
            Self::Content("AAAA") => 9_006,
            Self::Content("CNAME") => 9_007,
            Self::Content(_) => 9_009,
            Self::Ttl => 9_021,
            Self::SelfReference => 9_039,
            Self::BatchTooLarge(..) => 1_004,
        }
    }
}

/// Checks one record by itself.
pub(super) fn check_alone(record: &DnsRecord, plan: Plan) -> Result<(), RecordRefusal> {
    if !is_dns_name(&record.name) {
        return Err(RecordRefusal::Name);
    }
    check_content(record)?;
    if record.proxied && !record.kind.proxiable() {
        return Err(RecordRefusal::NotProxiable);
    }
    if record.ttl != 1 && !(60..=86_400).contains(&record.ttl) {
        return Err(RecordRefusal::Ttl);
    }
    let comment_length = record.comment.as_ref().map_or(0, |c| c.chars().count());
    if comment_length > plan.comment_limit() {
        return Err(RecordRefusal::CommentTooLong(plan.comment_limit()));
    }
    if record.tags.len() > plan.tag_limit() {
        return Err(RecordRefusal::TooManyTags(
            record.tags.len(),
            plan.tag_limit(),
        ));
    }
    Ok(())
}

fn check_content(record: &DnsRecord) -> Result<(), RecordRefusal> {
    let content = &record.content;
    let valid = match record.kind {
        RecordKind::A => content.parse::<std::net::Ipv4Addr>().is_ok(),
        RecordKind::Aaaa => content.parse::<std::net::Ipv6Addr>().is_ok(),
        RecordKind::Cname if *content == record.name => return Err(RecordRefusal::SelfReference),
        RecordKind::Cname => is_dns_name(content) && !content.starts_with('*'),
        _ => !content.is_empty(),
    };
    if valid {
        Ok(())
    } else {
        Err(RecordRefusal::Content(record.kind.as_str()))
    }
}

/// Checks a record against its neighbours. It is not among them yet, or with its old content.
pub(super) fn check_neighbours(
    record: &DnsRecord,
    records: &RecordSet,
) -> Result<(), RecordRefusal> {
    for other in records.at(&record.name).filter(|o| o.id != record.id) {
        let same_data = other.kind == record.kind && other.content == record.content;
        if same_data && other.priority == record.priority {
            let same = other.ttl == record.ttl && other.proxied == record.proxied;
            return Err(match same {
                true => RecordRefusal::Identical,
                false => RecordRefusal::Exists,
            });
        }
        match (record.kind, other.kind) {
            (RecordKind::Cname, RecordKind::A | RecordKind::Aaaa | RecordKind::Cname) => {
                return Err(RecordRefusal::HostTaken);
            }
            (RecordKind::A | RecordKind::Aaaa, RecordKind::Cname) => {
                return Err(RecordRefusal::CnameTaken);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Letters, digits, hyphens and underscores in labels of up to 63, 253 in all; a star only as the
/// whole first label.
pub(super) fn is_dns_name(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(label_fits)
}

/// A name as it is kept: `@` is the zone itself, one outside the zone is taken as relative to it, and
/// all is lower case without a dot at the end.
pub fn full_name(name: &str, zone: &str) -> String {
    let name = name.trim().trim_end_matches('.').to_ascii_lowercase();
    let inside = name == zone
        || name
            .strip_suffix(zone)
            .is_some_and(|rest| rest.ends_with('.'));
    match name.as_str() {
        "@" | "" => zone.to_owned(),
        _ if inside => name,
        _ => format!("{name}.{zone}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::record::tests::record;

    #[test]
    fn names_become_full_and_lower_case() {
        for (given, kept) in [
            ("@", "example.com"),
            ("Example.COM", "example.com"),
            ("www", "www.example.com"),
            ("WWW.example.com.", "www.example.com"),
            ("*", "*.example.com"),
            ("other.org", "other.org.example.com"),
            ("notexample.com", "notexample.com.example.com"),
        ] {
            assert_eq!(full_name(given, "example.com"), kept, "{given}");
        }
    }

    #[test]
    fn a_record_must_be_valid_by_itself() {
        type Change = fn(&mut DnsRecord);
        let table: [(Change, Result<(), RecordRefusal>); 10] = [
            (|_| {}, Ok(())),
            (
                |r| r.name = "a b.example.com".into(),
                Err(RecordRefusal::Name),
            ),
            (
                |r| r.name = "a.*.example.com".into(),
                Err(RecordRefusal::Name),
            ),
            (
                |r| r.content = "1.2.3".into(),
                Err(RecordRefusal::Content("A")),
            ),
            (
                |r| r.kind = RecordKind::Aaaa,
                Err(RecordRefusal::Content("AAAA")),
            ),
            (
                |r| r.kind = RecordKind::Txt,
                Err(RecordRefusal::NotProxiable),
            ),
            (|r| r.ttl = 59, Err(RecordRefusal::Ttl)),
            (|r| r.comment = Some("é".repeat(100)), Ok(())),
            (
                |r| r.comment = Some("c".repeat(101)),
                Err(RecordRefusal::CommentTooLong(100)),
            ),
            (
                |r| r.tags = vec!["a:b".into()],
                Err(RecordRefusal::TooManyTags(1, 0)),
            ),
        ];
        for (change, expected) in table {
            let mut one = record("a.example.com", "A", "192.0.2.1");
            change(&mut one);
            assert_eq!(check_alone(&one, Plan::Free), expected, "{one:?}");
        }
    }

    #[test]
    fn records_at_one_name_must_go_together() {
        let address = |content| record("a.example.com", "A", content);
        let cname = |content| record("a.example.com", "CNAME", content);
        let mut slow = address("192.0.2.1");
        slow.ttl = 300;
        for (there, new, expected) in [
            (
                address("192.0.2.1"),
                address("192.0.2.1"),
                Err(RecordRefusal::Identical),
            ),
            (address("192.0.2.1"), slow, Err(RecordRefusal::Exists)),
            (address("192.0.2.1"), address("192.0.2.2"), Ok(())),
            (
                address("192.0.2.1"),
                cname("b.org"),
                Err(RecordRefusal::HostTaken),
            ),
            (
                cname("b.org"),
                cname("c.org"),
                Err(RecordRefusal::HostTaken),
            ),
            (
                cname("b.org"),
                address("192.0.2.1"),
                Err(RecordRefusal::CnameTaken),
            ),
            (cname("b.org"), record("a.example.com", "TXT", "t"), Ok(())),
        ] {
            let mut records = RecordSet::default();
            records.put(there);
            assert_eq!(check_neighbours(&new, &records), expected, "{new:?}");
        }
    }
}
