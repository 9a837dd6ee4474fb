//! What a failed call means, and the message for the user.

use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

use domain::ports::{PortError, PortErrorKind};
use secrecy::{ExposeSecret, SecretString};

use crate::call::{Call, CallKind, CallOutcome, Permission};
use crate::envelope::Complaint;

/// Characters of one of Cloudflare's messages that are kept.
const LONGEST_MESSAGE: usize = 300;

/// Why a call failed. No `Debug`: the texts are those of the other side until they are redacted.
pub(crate) enum Failure {
    /// Not sent: the budget is used up.
    Withheld(Duration),
    /// Not sent: the token was refused a short time ago.
    TokenRefused(Duration),
    /// Not sent: no header can carry the token.
    UnusableToken,
    /// No answer within the time.
    TimedOut,
    /// The connection could not be made or broke, whichever side closed it.
    Connection(String),
    Refused {
        status: u16,
        complaints: Vec<Complaint>,
        /// How long to stay away, for status 429.
        pause: Option<Duration>,
    },
    /// There is an answer, and it cannot be read.
    Unreadable { status: u16, reason: String },
    /// A list whose pages do not fit together.
    Incomplete(String),
    /// A yes that has not what was asked for, or a call that breaks a documented rule before it is sent.
    Broken(PortErrorKind, String),
}

impl Failure {
    pub(crate) fn kind(&self, permission: Permission) -> PortErrorKind {
        match self {
            Self::Withheld(_) => PortErrorKind::RateLimited,
            Self::TokenRefused(_) => PortErrorKind::Unauthenticated,
            Self::UnusableToken => PortErrorKind::Credentials,
            Self::TimedOut | Self::Connection(_) | Self::Incomplete(_) => {
                PortErrorKind::Unavailable
            }
            Self::Refused {
                status, complaints, ..
            } => kind_of_refusal(*status, complaints, permission),
            // A gateway on the way answers in its own form; its status still says what is the matter.
            Self::Unreadable { status, .. } if *status >= 400 => {
                kind_of_refusal(*status, &[], permission)
            }
            Self::Unreadable { .. } => PortErrorKind::Unavailable,
            Self::Broken(kind, _) => *kind,
        }
    }

    pub(crate) fn outcome(&self, permission: Permission) -> CallOutcome {
        match self {
            Self::Withheld(_) | Self::TokenRefused(_) => CallOutcome::Withheld,
            _ => CallOutcome::Failed(self.kind(permission)),
        }
    }

    /// How long Cloudflare wants no call.
    pub(crate) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Refused { pause, .. } => *pause,
            _ => None,
        }
    }

    /// The error for the user: what was asked, what Cloudflare said, what would help.
    pub(crate) fn describe(self, call: &Call, token: &SecretString) -> PortError {
        let kind = self.kind(call.permission);
        let retry_after = match &self {
            Self::Withheld(wait) | Self::TokenRefused(wait) => Some(*wait),
            other => other.pause(),
        };
        let mut message = format!("{}: {}", call.name, self.what_happened());
        if let Some(remedy) = self.remedy(kind, call) {
            let _ = write!(message, ". {remedy}");
        }
        let secrets = call.secrets.iter().map(String::as_str);
        for secret in secrets.chain([token.expose_secret()]) {
            if !secret.is_empty() {
                message = message.replace(secret, "…");
            }
        }
        PortError {
            kind,
            message,
            retry_after,
        }
    }

    fn what_happened(&self) -> String {
        match self {
            Self::Withheld(_) => {
                "not sent, the request budget of the API token is used up".to_owned()
            }
            Self::TokenRefused(_) => {
                "not sent, Cloudflare has just refused the API token".to_owned()
            }
            Self::UnusableToken => {
                "the API token holds a character that none has, e.g. a line break".to_owned()
            }
            Self::TimedOut => "Cloudflare did not answer in time".to_owned(),
            Self::Connection(reason) => format!("the connection to Cloudflare failed: {reason}"),
            Self::Refused {
                status, complaints, ..
            } => {
                let mut text = format!("Cloudflare answered {status}");
                for (i, complaint) in complaints.iter().enumerate() {
                    let separator = if i == 0 { ": " } else { "; " };
                    let words = tidy(&complaint.message);
                    let _ = write!(text, "{separator}{} {words}", complaint.code);
                }
                text
            }
            Self::Unreadable { status, reason } => {
                format!("the answer with status {status} cannot be read: {reason}")
            }
            Self::Incomplete(reason) => format!("the list is incomplete: {reason}"),
            Self::Broken(_, reason) => reason.clone(),
        }
    }

    fn remedy(&self, kind: PortErrorKind, call: &Call) -> Option<String> {
        Some(match kind {
            PortErrorKind::Unauthenticated => {
                "Check that the API token is complete, active and not expired".to_owned()
            }
            PortErrorKind::Forbidden => {
                format!("The API token needs the permission {}", call.permission)
            }
            PortErrorKind::RateLimited => {
                "Requests with this API token go on after the pause".to_owned()
            }
            PortErrorKind::Credentials => "Write the token again, without anything else".to_owned(),
            PortErrorKind::Unavailable if call.kind() == CallKind::Write => {
                "Whether it took effect is not known".to_owned()
            }
            _ => return None,
        })
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let _ = write!(reason, ": {cause}");
            source = cause.source();
        }
        Self::Connection(reason)
    }
}

/// One line of bounded length: the other side chose the text, and it goes to logs and statuses.
fn tidy(words: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = words.chars().map(printable).take(LONGEST_MESSAGE).collect();
    if words.chars().nth(LONGEST_MESSAGE).is_some() {
        text.push('…');
    }
    text
}

/// Codes: developers.cloudflare.com/api, .../fundamentals/api/troubleshooting, and the error lists of
/// the DNS and tunnel endpoints. Numbers are reused among products, so tunnel codes count for tunnels only.
fn kind_of_refusal(status: u16, complaints: &[Complaint], permission: Permission) -> PortErrorKind {
    let has = |codes: &[i64]| complaints.iter().any(|c| codes.contains(&c.code));
    let is_tunnel = permission == Permission::Tunnels;
    match status {
        429 => return PortErrorKind::RateLimited,
        408 | 500.. => return PortErrorKind::Unavailable,
        _ => {}
    }
    if has(&codes::RECORD_EXISTS)
        || is_tunnel && has(&[codes::TUNNEL_NAME_TAKEN, codes::TUNNEL_IN_USE])
    {
        PortErrorKind::Conflict
    } else if status == 401 || has(&codes::BAD_TOKEN) || is_invalid_access_token(complaints) {
        PortErrorKind::Unauthenticated
    } else if status == 403 || has(&[codes::AUTHENTICATION, codes::UNAUTHORIZED]) {
        PortErrorKind::Forbidden
    } else if status == 404 || has(&codes::NO_SUCH_OBJECT) {
        PortErrorKind::NotFound
    } else if status == 409 {
        PortErrorKind::Conflict
    } else {
        PortErrorKind::Invalid
    }
}

/// Cloudflare uses 9109 for tokens that it does not know and for those that may not do something, with
/// the same status; only the words differ.
fn is_invalid_access_token(complaints: &[Complaint]) -> bool {
    complaints.iter().any(|c| {
        c.code == codes::UNAUTHORIZED && c.message.eq_ignore_ascii_case("invalid access token")
    })
}

mod codes {
    /// A token that is not accepted (401) or not allowed (403).
    pub(super) const AUTHENTICATION: i64 = 10_000;
    /// Not allowed, or an unknown token.
    pub(super) const UNAUTHORIZED: i64 = 9_109;
    /// Headers that are no credentials: malformed or missing.
    pub(super) const BAD_TOKEN: [i64; 3] = [6_003, 6_111, 9_106];
    /// Another record has the name, of a type that excludes the new one or with the same content.
    pub(super) const RECORD_EXISTS: [i64; 5] = [81_053, 81_054, 81_056, 81_057, 81_058];
    pub(super) const TUNNEL_NAME_TAKEN: i64 = 1_013;
    /// Has active connections.
    pub(super) const TUNNEL_IN_USE: i64 = 1_022;
    /// Ids that lead nowhere: object, route, DNS record.
    pub(super) const NO_SUCH_OBJECT: [i64; 3] = [1_003, 7_003, 81_044];
}

#[cfg(test)]
mod tests {
    use super::*;
    use PortErrorKind as Kind;

    fn complaint(code: i64, message: &str) -> Complaint {
        let json = serde_json::json!({ "code": code, "message": message });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn status_and_code_together_say_what_sort_of_failure_it_is() {
        let tunnels = Permission::Tunnels;
        let dns = Permission::Dns;
        for (status, code, message, permission, expected) in [
            (
                401,
                10_000,
                "Authentication error",
                dns,
                Kind::Unauthenticated,
            ),
            (403, 10_000, "Authentication error", dns, Kind::Forbidden),
            (
                401,
                1_000,
                "Invalid API Token",
                Permission::Own,
                Kind::Unauthenticated,
            ),
            (
                403,
                9_109,
                "Unauthorized to access requested resource",
                dns,
                Kind::Forbidden,
            ),
            (
                403,
                9_109,
                "Invalid access token",
                dns,
                Kind::Unauthenticated,
            ),
            (401, 9_109, "Unauthorized", dns, Kind::Unauthenticated),
            (
                400,
                6_003,
                "Invalid request headers",
                dns,
                Kind::Unauthenticated,
            ),
            (400, 9_106, "Missing X-Auth-Key", dns, Kind::Unauthenticated),
            (400, 81_053, "exists", dns, Kind::Conflict),
            (400, 81_057, "exists", dns, Kind::Conflict),
            (400, 81_058, "identical", dns, Kind::Conflict),
            (200, 81_053, "exists", dns, Kind::Conflict),
            (409, 1_013, "name", tunnels, Kind::Conflict),
            (400, 1_022, "active connections", tunnels, Kind::Conflict),
            (400, 1_022, "something else", dns, Kind::Invalid),
            (409, 0, "", dns, Kind::Conflict),
            (404, 81_044, "Record does not exist.", dns, Kind::NotFound),
            (400, 7_003, "Could not route", dns, Kind::NotFound),
            (400, 1_003, "Invalid zone id", dns, Kind::NotFound),
            (
                400,
                9_300,
                "DNS record has 1 tags, exceeding the quota",
                dns,
                Kind::Invalid,
            ),
            (200, 9_999, "no", dns, Kind::Invalid),
            (307, 0, "", dns, Kind::Invalid),
            (408, 0, "", dns, Kind::Unavailable),
            (429, 10_100, "slow down", dns, Kind::RateLimited),
            (500, 81_053, "exists", dns, Kind::Unavailable),
            (524, 0, "", dns, Kind::Unavailable),
        ] {
            let found = kind_of_refusal(status, &[complaint(code, message)], permission);
            assert_eq!(found, expected, "{status} {code} {message}");
        }
    }

    #[test]
    fn words_of_the_other_side_are_one_line_of_bounded_length() {
        assert_eq!(tidy("a\r\nb\u{1b}[31m"), "a  b [31m");
        assert_eq!(tidy(&"é".repeat(301)).chars().count(), 301);
        assert!(tidy(&"é".repeat(301)).ends_with('…'));
        assert_eq!(tidy(&"é".repeat(300)), "é".repeat(300));
    }
}
