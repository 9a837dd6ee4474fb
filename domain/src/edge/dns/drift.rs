//! What others changed on a record of ours.

use super::plan::AUTOMATIC_TTL;
use crate::edge::objects::RecordData;
use crate::edge::ownership::RecordMark;
use crate::names::TunnelId;

/// Characters of a stranger's text that are shown.
const SHOWN: usize = 100;

/// The fields in which a record of a Gateway differs from what it should be, in words; empty where it is right. Without a
/// tunnel no content is right. Targets compare without case, as DNS does (RFC 4343). Whose the tunnel is that a record was
/// led to is not told.
pub(super) fn difference(
    found: &RecordData,
    tunnel: Option<TunnelId>,
    mark: RecordMark,
) -> Vec<String> {
    let mut fields = Vec::new();
    let leads_here = |tunnel: TunnelId| found.content.eq_ignore_ascii_case(&tunnel.address());
    if !tunnel.is_some_and(leads_here) {
        let content = found.content.to_ascii_lowercase();
        let shown = match content.ends_with(".cfargotunnel.com") {
            true => "the address of another tunnel".to_owned(),
            false => quoted(&found.content),
        };
        fields.push(format!(
            "content is {shown}, not the address of the Gateway's tunnel"
        ));
    }
    if !found.proxied {
        fields.push("proxied is false, not true".to_owned());
    }
    if found.ttl != AUTOMATIC_TTL {
        fields.push(format!(
            "ttl is {}, not {AUTOMATIC_TTL} (automatic)",
            found.ttl
        ));
    }
    if found.comment != mark.to_string() {
        fields.push(format!(
            "comment is {}, not the mark alone",
            quoted(&found.comment)
        ));
    }
    fields
}

fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if text.chars().nth(SHOWN).is_some() {
        "…"
    } else {
        ""
    };
    format!("{shown:?}{more}")
}
