//! Names of headers, as applications distinguish them.
//!
//! CGI (RFC 3875 §4.1.18) and what follows it (WSGI, Rack, PHP) hand `X-User` and `X_User` to an application as one
//! variable, `HTTP_X_USER`. Some servers write `_` for further marks: PHP for `.`, lighttpd for each byte that is neither
//! letter nor digit. So a name with any other mark than `-` is a second spelling of the name with `-` there.

/// What becomes of a request's headers whose names are a second spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnderscoredHeaders {
    /// None of them reaches rules and endpoints. nginx does the same by default (`underscores_in_headers` and
    /// `ignore_invalid_headers`).
    #[default]
    Drop,
    /// They pass, but for spellings of the names that only the edge or the proxy may write.
    Allow,
}

impl UnderscoredHeaders {
    /// Whether a request's header of this name (lower case) is taken away because of how it is spelled.
    pub fn removes(self, name: &str) -> bool {
        is_second_spelling(name)
            && match self {
                Self::Drop => true,
                Self::Allow => is_reserved(name),
            }
    }
}

/// The usual spelling of a name.
pub fn with_hyphens(name: &str) -> String {
    name.bytes().map(|byte| char::from(spelled(byte))).collect()
}

/// Whether a name begins as `known` does, all marks taken for `-`. Both in lower case.
pub fn begins_like(name: &str, known: &str) -> bool {
    let (name, known) = (name.as_bytes(), known.as_bytes());
    name.len() >= known.len() && name.iter().zip(known).all(|(a, b)| spelled(*a) == *b)
}

/// Whether a header (lower-case name) speaks to the next hop only (RFC 9110 §7.6.1).
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether a header (lower-case name) cannot be changed by a route: it belongs to one connection or frames the message, or is
/// what the two ends of a WebSocket prove to each other (RFC 6455 §4.2.2).
pub fn is_of_connection(name: &str) -> bool {
    const OTHERS: [&str; 3] = [
        "content-length",
        "sec-websocket-accept",
        "sec-websocket-key",
    ];
    is_hop_by_hop(name) || OTHERS.contains(&name)
}

/// Names of which only the usual spelling counts, because the edge, the proxy or the connection writes them.
fn is_reserved(name: &str) -> bool {
    const WHOLE: [&str; 11] = [
        "cdn-loop",
        "client-cert",
        "client-cert-chain",
        "content-length",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "transfer-encoding",
        "true-client-ip",
    ];
    const BEGINNINGS: [&str; 2] = ["cf-", "x-forwarded-"];
    WHOLE
        .iter()
        .any(|known| name.len() == known.len() && begins_like(name, known))
        || BEGINNINGS.iter().any(|known| begins_like(name, known))
}

/// Asked for each header of each request, so without a branch for each byte.
fn is_second_spelling(name: &str) -> bool {
    let marks = name.bytes().map(|byte| OTHER_MARKS[usize::from(byte)]);
    marks.fold(false, |any, mark| any | mark)
}

/// By byte: whether it is spelled otherwise.
static OTHER_MARKS: [bool; 256] = {
    let mut marks = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        marks[byte] = spelled(byte as u8) as usize != byte;
        byte += 1;
    }
    marks
};

const fn spelled(byte: u8) -> u8 {
    match byte.is_ascii_alphanumeric() {
        true => byte,
        false => b'-',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_spellings_of_reserved_names_are_removed_always_and_others_by_the_setting() {
        for (name, under_drop, under_allow) in [
            ("x-forwarded-for", false, false),
            ("x-user", false, false),
            ("dnt", false, false),
            ("x_user", true, false),
            ("x.user", true, false),
            ("x-user!", true, false),
            ("x_forwarded_for", true, true),
            ("x-forwarded_for", true, true),
            ("x.forwarded.for", true, true),
            ("x~forwarded|proto", true, true),
            ("x_forwarded_", true, true),
            ("x_forwarded", true, false),
            ("cf_connecting_ip", true, true),
            ("cf-connecting_ip", true, true),
            ("cf_cloudflared_proxy_src", true, true),
            ("cfg_x", true, false),
            ("true_client_ip", true, true),
            ("true_client_ip_x", true, false),
            ("client_cert", true, true),
            ("content_length", true, true),
            ("transfer_encoding", true, true),
            ("keep_alive", true, true),
            ("proxy_connection", true, true),
            ("content_type", true, false),
        ] {
            assert_eq!(UnderscoredHeaders::Drop.removes(name), under_drop, "{name}");
            assert_eq!(
                UnderscoredHeaders::Allow.removes(name),
                under_allow,
                "{name}"
            );
        }
    }

    #[test]
    fn a_route_changes_no_header_of_the_connection() {
        for (name, hop_by_hop, of_connection) in [
            ("connection", true, true),
            ("te", true, true),
            ("upgrade", true, true),
            ("content-length", false, true),
            ("sec-websocket-key", false, true),
            ("sec-websocket-accept", false, true),
            ("sec-websocket-protocol", false, false),
            ("content-type", false, false),
            ("host", false, false),
        ] {
            assert_eq!(is_hop_by_hop(name), hop_by_hop, "{name}");
            assert_eq!(is_of_connection(name), of_connection, "{name}");
        }
    }

    #[test]
    fn a_name_begins_as_another_whatever_its_marks_are() {
        for (name, known, begins) in [
            ("x_forwarded.for", "x-forwarded-", true),
            ("cf_", "cf-", true),
            ("cf", "cf-", false),
            ("xf-ray", "cf-", false),
        ] {
            assert_eq!(begins_like(name, known), begins, "{name}");
        }
        assert_eq!(with_hyphens("x_user.name!"), "x-user-name-");
    }
}
