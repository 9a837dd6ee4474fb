//! DNS records.

use jiff::Timestamp;
use uuid::Uuid;

/// The end of the name that stands for a tunnel in DNS: `<tunnel id>.cfargotunnel.com`.
pub const TUNNEL_DOMAIN: &str = "cfargotunnel.com";

/// A record of a zone, in the form in which it is kept: names lower case and full, without a dot at
/// the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsRecord {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The zone.
    pub zone: String,
    /// Like `CNAME`.
    pub kind: RecordKind,
    /// Full name.
    pub name: String,
    /// The data, in the zone file's form.
    pub content: String,
    /// MX and URI only.
    pub priority: Option<u16>,
    /// Whether the edge answers in its place.
    pub proxied: bool,
    /// Seconds; 1 means automatic, which every proxied record has.
    pub ttl: u32,
    /// Written by its owner for its owner.
    pub comment: Option<String>,
    /// When the comment last changed; absent while there is none.
    pub comment_modified_on: Option<Timestamp>,
    /// `name:value` labels; paid plans only.
    pub tags: Vec<String>,
    /// When the tags last changed; absent while there are none.
    pub tags_modified_on: Option<Timestamp>,
    /// When it was made.
    pub created_on: Timestamp,
    /// When it last changed.
    pub modified_on: Timestamp,
}

impl DnsRecord {
    /// The tunnel that this record points to, where it is a CNAME to one.
    pub fn tunnel(&self) -> Option<Uuid> {
        if self.kind != RecordKind::Cname {
            return None;
        }
        tunnel_of_name(&self.content)
    }
}

/// The tunnel that a name `<tunnel id>.cfargotunnel.com` stands for.
pub fn tunnel_of_name(name: &str) -> Option<Uuid> {
    let label = name.strip_suffix(TUNNEL_DOMAIN)?.strip_suffix('.')?;
    Uuid::try_parse(label).ok()
}

macro_rules! record_kinds {
    ($($variant:ident $text:literal),* $(,)?) => {
        /// Record types that the API takes. Cloudflare API documentation: "DNS record types".
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum RecordKind {
            $(#[doc = $text] $variant,)*
        }

        impl RecordKind {
            /// The word that the API uses.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Reads that word, in any case.
            pub fn parse(text: &str) -> Option<Self> {
                [$(Self::$variant,)*].into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text))
            }
        }
    };
}

record_kinds! {
    A "A", Aaaa "AAAA", Caa "CAA", Cert "CERT", Cname "CNAME", Dnskey "DNSKEY", Ds "DS",
    Https "HTTPS", Loc "LOC", Mx "MX", Naptr "NAPTR", Ns "NS", Openpgpkey "OPENPGPKEY", Ptr "PTR",
    Smimea "SMIMEA", Srv "SRV", Sshfp "SSHFP", Svcb "SVCB", Tlsa "TLSA", Txt "TXT", Uri "URI",
}

impl RecordKind {
    /// Whether the edge can answer in its place.
    pub fn proxiable(self) -> bool {
        matches!(self, Self::A | Self::Aaaa | Self::Cname)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn record(name: &str, kind: &str, content: &str) -> DnsRecord {
        DnsRecord {
            id: Uuid::new_v4().simple().to_string(),
            zone: "z".into(),
            kind: RecordKind::parse(kind).unwrap(),
            name: name.into(),
            content: content.into(),
            priority: None,
            proxied: true,
            ttl: 1,
            comment: None,
            comment_modified_on: None,
            tags: Vec::new(),
            tags_modified_on: None,
            created_on: Timestamp::UNIX_EPOCH,
            modified_on: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_cname_to_the_tunnel_domain_points_to_its_tunnel() {
        let id = Uuid::new_v4();
        for (kind, content, points) in [
            ("CNAME", format!("{id}.cfargotunnel.com"), true),
            ("TXT", format!("{id}.cfargotunnel.com"), false),
            ("CNAME", "app.cfargotunnel.com".to_owned(), false),
            ("CNAME", format!("{id}.example.com"), false),
        ] {
            assert_eq!(
                record("a.example.com", kind, &content).tunnel() == Some(id),
                points,
                "{content}"
            );
        }
    }
}
