//! `sessionPersistence` of a rule or of a policy (GEP-1619), as v1.6 and before have it and as v1.7 has it.

use std::time::Duration;

use domain::ObjectKey;
use domain::capabilities::Feature;
use domain::gateway::{RouteKind, Session, SessionCarrier, SessionCookie, header_names};

use super::text;
use crate::fields::Fields;
use crate::types::{SessionCookieConfig, SessionPersistence};

/// Bytes that the name of a cookie or header, and the path of a cookie, may have.
const LONGEST_NAME: usize = 256;
const LONGEST_PATH: usize = 1024;

/// A rule of a route.
#[derive(Clone, Copy)]
pub(super) struct RuleOf<'a> {
    kind: RouteKind,
    route: &'a ObjectKey,
    /// Its name, else its position.
    rule: &'a str,
}

impl<'a> RuleOf<'a> {
    /// The rule of this name at `field`.
    pub(super) fn new(
        kind: RouteKind,
        route: &'a ObjectKey,
        name: Option<&'a str>,
        field: &'a str,
    ) -> Self {
        Self {
            kind,
            route,
            rule: name.filter(|name| !name.is_empty()).unwrap_or(field),
        }
    }

    /// A name for its cookie or header that other rules do not get.
    fn session_name(&self) -> String {
        Session::default_name(self.kind, self.route, self.rule)
    }
}

/// `rule.sessionPersistence` at `field`; `None` where it is noted as a field error.
pub(super) fn session(
    fields: &Fields,
    field: &str,
    written: &SessionPersistence,
    of: RuleOf<'_>,
) -> Option<Session> {
    read(fields, field, written, Some(&of))
}

/// The same of a policy, which is for rules of many routes. A name that is not written is empty.
pub(super) fn of_policy(
    fields: &Fields,
    field: &str,
    written: &SessionPersistence,
) -> Option<Session> {
    read(fields, field, written, None)
}

/// Whether the name of the cookie or header is written.
pub(super) fn has_name(written: &SessionPersistence) -> bool {
    let by_session = written.session_name.as_deref();
    let has_cookie = written.cookie.as_ref().is_some_and(|it| it.name.is_some());
    by_session.is_some_and(|name| !name.is_empty()) || has_cookie || written.header.is_some()
}

fn read(
    fields: &Fields,
    field: &str,
    written: &SessionPersistence,
    of: Option<&RuleOf<'_>>,
) -> Option<Session> {
    fields.uses(Feature::SessionPersistence, field);
    let timeout = |member: &str, written: &Option<String>| {
        let field = format!("{field}.{member}");
        let timeout = text::duration(fields, field.clone(), written.as_deref()?)?;
        if timeout.is_zero() {
            fields.invalid(
                field,
                "Invalid value: 0s: must be longer; remove it for no timeout",
            );
        }
        Some(timeout)
    };
    let absolute = timeout("absoluteTimeout", &written.absolute_timeout);
    let idle = timeout("idleTimeout", &written.idle_timeout);
    let carrier = match written.r#type.as_deref().unwrap_or("Cookie") {
        "Cookie" => cookie(fields, field, written, of, absolute)?,
        "Header" => header(fields, field, written, of)?,
        other => {
            fields.invalid(
                format!("{field}.type"),
                format!("Unsupported value: {other:?}: write Cookie or Header"),
            );
            return None;
        }
    };
    Some(Session {
        rule: of.map_or_else(String::new, |of| of.rule.to_owned()),
        carrier,
        // v1.6: "takes precedence over weights"; v1.7: "must not override which backend is selected".
        beats_weights: written.cookie.is_none() && written.header.is_none(),
        absolute,
        idle,
        key: None,
    })
}

fn cookie(
    fields: &Fields,
    field: &str,
    written: &SessionPersistence,
    of: Option<&RuleOf<'_>>,
    absolute: Option<Duration>,
) -> Option<SessionCarrier> {
    if written.header.is_some() {
        forbidden(fields, format!("{field}.header"), "Cookie");
    }
    let (member, config) = match (&written.cookie, &written.cookie_config) {
        (Some(_), Some(_)) => {
            fields.invalid(
                format!("{field}.cookieConfig"),
                "Forbidden: cookie is written too; remove one of the two",
            );
            return None;
        }
        (Some(cookie), None) => ("cookie", cookie.clone()),
        (None, Some(config)) => ("cookieConfig", config.clone()),
        (None, None) => ("cookie", SessionCookieConfig::default()),
    };
    let is_permanent = match config.lifetime_type.as_deref().unwrap_or("Session") {
        "Session" => false,
        "Permanent" => true,
        other => {
            fields.invalid(
                format!("{field}.{member}.lifetimeType"),
                format!("Unsupported value: {other:?}: write Session or Permanent"),
            );
            return None;
        }
    };
    if is_permanent && absolute.is_none() {
        fields.invalid(
            format!("{field}.absoluteTimeout"),
            "Required value: write how long the permanent cookie is kept",
        );
        return None;
    }
    let path = config.path.as_deref();
    if let Some(path) = path {
        check_path(fields, format!("{field}.{member}.path"), path);
    }
    // Of v1.7 a cookie is for all paths; before, for the path of the rule.
    let default = written.cookie.as_ref().map(|_| "/");
    let named = config.name.as_deref().map(|name| ("cookie.name", name));
    Some(SessionCarrier::Cookie(SessionCookie {
        name: name(fields, field, written, named, of),
        path: path.or(default).map(str::to_owned),
        is_permanent,
    }))
}

fn header(
    fields: &Fields,
    field: &str,
    written: &SessionPersistence,
    of: Option<&RuleOf<'_>>,
) -> Option<SessionCarrier> {
    for (member, is_written) in [
        ("cookie", written.cookie.is_some()),
        ("cookieConfig", written.cookie_config.is_some()),
    ] {
        if is_written {
            forbidden(fields, format!("{field}.{member}"), "Header");
        }
    }
    let header = written.header.as_ref();
    let named = header.map(|header| ("header.name", header.name.as_str()));
    let name = name(fields, field, written, named, of).to_ascii_lowercase();
    let is_taken = header_names::is_of_connection(&name)
        || [
            "cookie",
            "set-cookie",
            "host",
            "authorization",
            "content-type",
        ]
        .contains(&name.as_str())
        || name.starts_with("cf-")
        || name.starts_with("x-forwarded-");
    if is_taken || name.contains(['_', '.']) {
        let member = named.map_or("sessionName", |(member, _)| member);
        fields.invalid(
            format!("{field}.{member}"),
            format!(
                "Invalid value: {name:?}: must be a header of its own, of letters, digits and `-`"
            ),
        );
        return None;
    }
    Some(SessionCarrier::Header(name))
}

/// The name that is written, else one that only this rule has.
fn name(
    fields: &Fields,
    field: &str,
    written: &SessionPersistence,
    named: Option<(&str, &str)>,
    of: Option<&RuleOf<'_>>,
) -> String {
    let by_session = written.session_name.as_deref();
    if named.is_some() && by_session.is_some() {
        fields.invalid(
            format!("{field}.sessionName"),
            "Forbidden: the name is written in cookie or header; remove one of the two",
        );
    }
    let named = named.or(by_session.map(|name| ("sessionName", name)));
    let Some((member, name)) = named.filter(|(member, name)| {
        // Of v1.6 an empty name says nothing.
        *member != "sessionName" || !name.is_empty()
    }) else {
        return of.map_or_else(String::new, RuleOf::session_name);
    };
    let field = format!("{field}.{member}");
    if name.len() > LONGEST_NAME {
        let longest = format!("Too long: must have at most {LONGEST_NAME} characters");
        fields.invalid(field, longest);
    } else {
        text::header_name(fields, field, name);
    }
    name.to_owned()
}

fn check_path(fields: &Fields, field: String, path: &str) {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    if path.len() > LONGEST_PATH {
        let longest = format!("Too long: must have at most {LONGEST_PATH} characters");
        fields.invalid(field, longest);
    } else if !path.starts_with('/') || !path.bytes().all(is_plain) {
        fields.invalid(
            field,
            format!("Invalid value: {path:?}: must start with `/` and hold neither spaces nor `;`"),
        );
    }
}

fn forbidden(fields: &Fields, field: String, kind: &str) {
    fields.invalid(field, format!("Forbidden: the type is {kind}; remove it"));
}
