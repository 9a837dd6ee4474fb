//! `sessionPersistence` of rules, as v1.6 has it and as v1.7 has it.

use std::time::Duration;

use domain::capabilities::Feature;
use domain::gateway::{Session, SessionCarrier, SessionCookie};

use crate::{http_route, refused, route, summary};

fn read(written: &str) -> Session {
    let route = http_route(&format!("  rules: [{{sessionPersistence: {written}}}]"));
    assert_eq!(route.field_errors, [], "{written}");
    assert_eq!(route.uses[0].feature, Feature::SessionPersistence);
    route.rules[0].policy.session.clone().expect("a session")
}

fn cookie(name: &str, path: Option<&str>, is_permanent: bool) -> SessionCarrier {
    SessionCarrier::Cookie(SessionCookie {
        name: name.to_owned(),
        path: path.map(str::to_owned),
        is_permanent,
    })
}

#[test]
fn both_forms_are_read() {
    let header = || SessionCarrier::Header("x-stay".to_owned());
    for (written, carrier, beats_weights, absolute, idle) in [
        (
            "{sessionName: Stay}",
            cookie("Stay", None, false),
            true,
            None,
            None,
        ),
        (
            "{sessionName: s, type: Cookie, absoluteTimeout: 1h, idleTimeout: 10m, cookieConfig: {lifetimeType: Permanent}}",
            cookie("s", None, true),
            true,
            Some(3_600),
            Some(600),
        ),
        (
            "{type: Header, sessionName: X-Stay}",
            header(),
            true,
            None,
            None,
        ),
        (
            "{cookie: {name: s}}",
            cookie("s", Some("/"), false),
            false,
            None,
            None,
        ),
        (
            "{type: Cookie, cookie: {name: s, path: /cart, lifetimeType: Permanent}, absoluteTimeout: 5m}",
            cookie("s", Some("/cart"), true),
            false,
            Some(300),
            None,
        ),
        (
            "{type: Header, header: {name: X-Stay}}",
            header(),
            false,
            None,
            None,
        ),
    ] {
        let session = read(written);
        assert_eq!(session.carrier, carrier, "{written}");
        assert_eq!(session.beats_weights, beats_weights, "{written}");
        assert_eq!(
            session.absolute,
            absolute.map(Duration::from_secs),
            "{written}"
        );
        assert_eq!(session.idle, idle.map(Duration::from_secs), "{written}");
        assert_eq!(session.key, None);
    }
}

#[test]
fn a_rule_without_a_name_for_its_session_gets_one_that_no_other_has() {
    let rules = "
  rules:
  - sessionPersistence: {}
  - sessionPersistence: {cookie: {}}
  - {name: cart, sessionPersistence: {}}
  - sessionPersistence: {type: Header}
";
    let routes = [http_route(rules), route("GRPCRoute", rules)];
    let mut names = Vec::new();
    for rule in routes.iter().flat_map(|route| &route.rules) {
        let session = rule.policy.session.as_ref().unwrap();
        names.push(match &session.carrier {
            SessionCarrier::Cookie(cookie) => cookie.name.clone(),
            SessionCarrier::Header(name) => name.clone(),
        });
    }
    assert!(names.iter().all(|name| name.starts_with("cfgw-session-")));
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 8);
    let rule = |index: usize| &routes[0].rules[index].policy.session.as_ref().unwrap().rule;
    assert_eq!(
        (rule(0).as_str(), rule(2).as_str()),
        ("spec.rules[0]", "cart")
    );
}

#[test]
fn what_cannot_be_a_session_is_a_field_error() {
    for (written, expected) in [
        ("{type: Sideways}", &["invalid type"][..]),
        ("{absoluteTimeout: 0s}", &["invalid absoluteTimeout"]),
        ("{idleTimeout: soon}", &["invalid idleTimeout"]),
        ("{sessionName: 'a b'}", &["invalid sessionName"]),
        ("{cookie: {name: 'a;b'}}", &["invalid cookie.name"]),
        ("{cookie: {path: cart}}", &["invalid cookie.path"]),
        ("{cookie: {path: '/a; Domain=b'}}", &["invalid cookie.path"]),
        (
            "{cookie: {lifetimeType: Permanent}}",
            &["invalid absoluteTimeout"],
        ),
        (
            "{cookieConfig: {lifetimeType: Ever}}",
            &["invalid cookieConfig.lifetimeType"],
        ),
        (
            "{cookie: {}, cookieConfig: {lifetimeType: Session}}",
            &["invalid cookieConfig"],
        ),
        (
            "{sessionName: a, cookie: {name: b}}",
            &["invalid sessionName"],
        ),
        (
            "{type: Header, header: {name: x-a}, cookie: {}}",
            &["invalid cookie"],
        ),
        ("{header: {name: x-a}}", &["invalid header"]),
        (
            "{type: Header, header: {name: Set-Cookie}}",
            &["invalid header.name"],
        ),
        (
            "{type: Header, sessionName: cf-ray}",
            &["invalid sessionName"],
        ),
        ("{type: Header, sessionName: x_a}", &["invalid sessionName"]),
    ] {
        let route = http_route(&format!("  rules: [{{sessionPersistence: {written}}}]"));
        let expected: Vec<String> = expected
            .iter()
            .map(|field| field.replace(' ', " spec.rules[0].sessionPersistence."))
            .collect();
        assert_eq!(summary(&refused(&route)), expected, "{written}");
    }
}
