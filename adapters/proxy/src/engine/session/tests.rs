use std::sync::Arc;

use domain::endpoint_policy::EndpointPolicy;
use domain::gateway::{EndpointHost, Pattern, SessionKey};
use domain::route_table::{UpstreamEndpoint, UpstreamProtocol};

use super::*;
use crate::Limits;
use crate::upstream::{Endpoint, Reach};

const NOW: u32 = 1_800_000_000;

#[test]
fn a_namespace_has_room_for_so_many_endpoints_and_takes_none_from_others() {
    let mut room = Room::default();
    for (namespace, endpoints, has_room) in [
        ("shop", 1 << 15, true),
        ("shop", (1 << 15) + 1, false),
        ("shop", 1 << 15, true),
        ("shop", 1, false),
        ("shop", usize::MAX, false),
        ("shop", 0, true),
        ("blog", 1 << 16, true),
    ] {
        assert_eq!(
            room.take(namespace, endpoints),
            has_room,
            "{namespace} {endpoints}"
        );
    }
}

fn upstream(addresses: &[&str]) -> Upstream {
    let protocol = UpstreamProtocol::Http1;
    let limits = Arc::new(Limits::default());
    let endpoint = |address: &&str| {
        let at = UpstreamEndpoint {
            host: EndpointHost::Address(address.parse().unwrap()),
            port: 80,
        };
        let reach = Reach {
            policy: EndpointPolicy::Cluster,
            outside: None,
        };
        Arc::new(Endpoint::new(
            at,
            protocol,
            None,
            reach,
            Arc::clone(&limits),
        ))
    };
    Upstream {
        is_tls: false,
        protocol,
        open: addresses.len(),
        max_in_flight: usize::MAX,
        endpoints: addresses.iter().map(endpoint).collect(),
    }
}

fn cookie(name: &str) -> SessionCookie {
    SessionCookie {
        name: name.into(),
        path: None,
        is_permanent: false,
    }
}

fn session(absolute: Option<u64>, idle: Option<u64>) -> Session {
    Session {
        rule: "0".into(),
        carrier: SessionCarrier::Cookie(cookie("s")),
        beats_weights: true,
        absolute: absolute.map(Duration::from_secs),
        idle: idle.map(Duration::from_secs),
        key: Some(SessionKey::new([1; 32])),
    }
}

fn sessions(session: &Session, addresses: &[&str]) -> Sessions {
    let (service, upstream) = (ObjectKey::new("shop", "cart"), upstream(addresses));
    let backends = [None, Some((&service, &upstream))];
    Sessions::new(session, backends.into_iter()).unwrap()
}

fn token(sessions: &Sessions, endpoint: usize, begun: u32, used: u32) -> String {
    let place = Place {
        backend: 1,
        endpoint,
    };
    sessions.token(Held { place, begun, used }).unwrap()
}

fn cookies(line: &str) -> HeaderMap {
    HeaderMap::from_iter([(COOKIE, line.parse().unwrap())])
}

/// The endpoint that a request with this line goes to.
fn held(sessions: &Sessions, line: &str, now: u32) -> Option<usize> {
    let visit = sessions.visit_at(&cookies(line), Scheme::Https, now);
    visit.endpoint(visit.backend()?)
}

/// What an answer of that endpoint says.
fn told(sessions: &Sessions, line: &str, now: u32, endpoint: usize) -> Option<String> {
    let mut headers = HeaderMap::new();
    let visit = sessions.visit_at(&cookies(line), Scheme::Https, now);
    let place = Place {
        backend: 1,
        endpoint,
    };
    visit.tell(place, &PathMatch::Prefix("/".into()), &mut headers);
    let line = headers.get(SET_COOKIE)?;
    Some(line.to_str().unwrap().to_owned())
}

#[test]
fn a_token_leads_to_its_endpoint_wherever_that_stands_now() {
    for (absolute, idle) in [(None, None), (Some(60), None), (None, Some(60))] {
        let session = session(absolute, idle);
        let before = sessions(&session, &["10.0.0.1", "10.0.0.2"]);
        let after = sessions(&session, &["10.0.0.2", "10.0.0.3"]);
        let [first, second] = [0, 1].map(|endpoint| token(&before, endpoint, NOW, NOW));
        assert_eq!(held(&before, &format!("s={second}"), NOW), Some(1));
        assert_eq!(held(&after, &format!("s={second}"), NOW), Some(0));
        assert_eq!(held(&after, &format!("s={first}"), NOW), None, "it is gone");
        let several = format!("a=b; s=x; S={first}; s={second}; s={first}");
        assert_eq!(
            held(&before, &several, NOW),
            Some(1),
            "the first that is one"
        );
        let many = format!("{}s={second}", "s=x; ".repeat(MOST_TOKENS));
        assert_eq!(held(&before, &many, NOW), None);
    }
}

#[test]
fn a_token_that_was_forged_or_is_of_another_rule_is_none() {
    for (absolute, idle) in [(None, None), (Some(60), Some(60))] {
        let own = session(absolute, idle);
        let other = Session {
            key: Some(SessionKey::new([2; 32])),
            ..own.clone()
        };
        let (own, other) = (
            sessions(&own, &["10.0.0.1"]),
            sessions(&other, &["10.0.0.1"]),
        );
        let right = token(&own, 0, NOW, NOW);
        assert!(!right.contains("10.0.0.1") && right != token(&other, 0, NOW, NOW));
        assert_eq!(held(&other, &format!("s={right}"), NOW), None);
        let mut forged = vec![
            String::new(),
            "A".repeat(1_000),
            format!("{right}AA"),
            format!("{right}="),
        ];
        for index in 0..right.len() {
            let mut changed = right.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            forged.push(String::from_utf8(changed).unwrap());
            forged.push(right[..index].to_owned());
        }
        for forged in forged {
            assert_eq!(held(&own, &format!("s={forged}"), NOW), None, "{forged}");
        }
        assert_eq!(held(&own, &format!("s={right}"), NOW), Some(0));
    }
}

#[test]
fn a_session_ends_by_either_timeout_and_its_use_is_told_now_and_then() {
    for (absolute, idle, begun, used, is_held, is_told) in [
        (Some(100), None, 99, 99, true, false),
        (Some(100), None, 100, 100, false, true),
        (None, Some(100), 1_000, 99, true, true),
        (None, Some(100), 1_000, 25, true, true),
        (None, Some(100), 1_000, 24, true, false),
        (None, Some(100), 1_000, 100, false, true),
        (Some(200), Some(100), 199, 30, true, true),
        (Some(200), Some(100), 200, 30, false, true),
    ] {
        let sessions = sessions(&session(absolute, idle), &["10.0.0.1"]);
        let line = format!("s={}", token(&sessions, 0, NOW - begun, NOW - used));
        let given = format!("{absolute:?} {idle:?} {begun} {used}");
        assert_eq!(held(&sessions, &line, NOW).is_some(), is_held, "{given}");
        let told = told(&sessions, &line, NOW, 0);
        assert_eq!(told.is_some(), is_told, "{given}");
        if let (Some(told), Some(left), true) = (told, absolute, is_held) {
            let (renewed, _) = told.split_once(';').unwrap();
            let end = NOW - begun + u32::try_from(left).unwrap();
            assert_eq!(
                held(&sessions, renewed, end),
                None,
                "it begins no later: {given}"
            );
        }
    }
}

#[test]
fn an_answer_tells_of_a_session_that_begins_or_moves_and_of_no_other() {
    let sessions = sessions(&session(None, None), &["10.0.0.1", "10.0.0.2"]);
    let line = format!("s={}", token(&sessions, 0, NOW, NOW));
    assert_eq!(told(&sessions, &line, NOW, 0), None);
    for (line, endpoint) in [(line.as_str(), 1), ("", 0), ("s=forged", 1)] {
        let told = told(&sessions, line, NOW, endpoint).unwrap();
        let (pair, attributes) = told.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Strict");
        assert_eq!(held(&sessions, pair, NOW), Some(endpoint));
    }
}

#[test]
fn where_weights_choose_a_visitor_has_an_endpoint_of_each_backend() {
    let service = |name| ObjectKey::new("shop", name);
    let (old, new) = (service("old"), service("new"));
    let upstreams = [upstream(&["10.0.0.1", "10.0.0.2"]), upstream(&["10.0.1.1"])];
    let by_weights = |session: &Session| {
        // The Service `old` stands in the rule twice, and one backend resolves to nothing.
        let backends = [
            Some((&old, &upstreams[0])),
            None,
            Some((&new, &upstreams[1])),
            Some((&old, &upstreams[0])),
        ];
        Sessions::new(session, backends.into_iter()).unwrap()
    };
    for (absolute, idle) in [(None, None), (Some(100), Some(100))] {
        let sessions = by_weights(&Session {
            beats_weights: false,
            ..session(absolute, idle)
        });
        let mut line = String::new();
        for (backend, endpoint, is_told) in [
            (0, 1, true),
            (2, 0, true),
            (0, 1, false),
            (3, 1, false),
            (2, 0, false),
            // It moved within its backend, and the other backend's stays.
            (0, 0, true),
            (2, 0, false),
        ] {
            let visit = sessions.visit_at(&cookies(&line), Scheme::Https, NOW);
            assert_eq!(visit.backend(), None, "weights choose");
            let mut headers = HeaderMap::new();
            let place = Place { backend, endpoint };
            visit.tell(place, &PathMatch::Prefix("/".into()), &mut headers);
            let told = headers.get(SET_COOKIE).map(|told| told.to_str().unwrap());
            assert_eq!(told.is_some(), is_told, "{place:?} with {line}");
            if let Some((pair, _)) = told.and_then(|told| told.split_once(';')) {
                line = pair.to_owned();
            }
            let visit = sessions.visit_at(&cookies(&line), Scheme::Https, NOW);
            assert_eq!(visit.endpoint(backend), Some(endpoint), "{line}");
            assert_eq!(visit.endpoint(1), None);
        }
    }
}

#[test]
fn a_visitor_keeps_tokens_of_so_many_backends() {
    let services: Vec<ObjectKey> = (0..12)
        .map(|index| ObjectKey::new("shop", format!("v{index}")))
        .collect();
    let upstream = upstream(&["10.0.0.1"]);
    let session = Session {
        beats_weights: false,
        ..session(None, None)
    };
    let backends = services.iter().map(|service| Some((service, &upstream)));
    let sessions = Sessions::new(&session, backends).unwrap();
    let mut line = String::new();
    for backend in 0..services.len() {
        let mut headers = HeaderMap::new();
        let visit = sessions.visit_at(&cookies(&line), Scheme::Https, NOW);
        let place = Place {
            backend,
            endpoint: 0,
        };
        visit.tell(place, &PathMatch::Prefix("/".into()), &mut headers);
        let (pair, _) = headers[SET_COOKIE]
            .to_str()
            .unwrap()
            .split_once(';')
            .unwrap();
        line = pair.to_owned();
    }
    let visit = sessions.visit_at(&cookies(&line), Scheme::Https, NOW);
    let held: Vec<usize> = visit.held.iter().map(|held| held.place.backend).collect();
    assert_eq!(held, [11, 10, 9, 8, 7, 6, 5, 4], "the last ones");
}

#[test]
fn a_permanent_cookie_has_what_is_left_of_its_age_and_http_none_that_is_secure() {
    let mut permanent = session(Some(100), Some(50));
    permanent.carrier = SessionCarrier::Cookie(SessionCookie {
        path: Some("/a".into()),
        is_permanent: true,
        ..cookie("s")
    });
    let sessions = sessions(&permanent, &["10.0.0.1"]);
    for (line, left) in [
        (String::new(), 100),
        (format!("s={}", token(&sessions, 0, NOW - 30, NOW - 20)), 70),
    ] {
        let mut headers = HeaderMap::new();
        let visit = sessions.visit_at(&cookies(&line), Scheme::Http, NOW);
        let place = Place {
            backend: 1,
            endpoint: 0,
        };
        visit.tell(place, &PathMatch::Prefix("/".into()), &mut headers);
        let told = headers[SET_COOKIE].to_str().unwrap();
        let end = format!("; Path=/a; Max-Age={left}; HttpOnly; SameSite=Strict");
        assert!(told.ends_with(&end), "{told}");
    }
}

#[test]
fn a_header_carries_a_token_both_ways() {
    let mut by_header = session(None, None);
    by_header.carrier = SessionCarrier::Header("x-session".into());
    let sessions = sessions(&by_header, &["10.0.0.1", "10.0.0.2"]);
    let mut answer = HeaderMap::new();
    let visit = sessions.visit_at(&HeaderMap::new(), Scheme::Https, NOW);
    let place = Place {
        backend: 1,
        endpoint: 1,
    };
    visit.tell(place, &PathMatch::Prefix("/".into()), &mut answer);
    assert!(answer.get(SET_COOKIE).is_none());
    let visit = sessions.visit_at(&answer, Scheme::Https, NOW);
    assert_eq!((visit.backend(), visit.endpoint(1)), (Some(1), Some(1)));
}

#[test]
fn the_path_of_a_cookie_is_that_of_the_match() {
    let exact = |path: &str| PathMatch::Exact(path.into());
    let prefix = |path: &str| PathMatch::Prefix(path.into());
    let regex = |text: &str| PathMatch::Regex(Pattern::parse(text).unwrap());
    for (matched, expected) in [
        (prefix("/"), "/"),
        (prefix("/cart"), "/cart"),
        (prefix("/cart/"), "/cart"),
        (exact("/cart/pay"), "/cart/pay"),
        (prefix("/a/b;c=d/e"), "/a"),
        (prefix("/a b"), "/"),
        (regex("/p1/p2/[a-z]+/p3"), "/p1/p2"),
        (regex("/users?"), "/"),
        (regex("/a/b|/c"), "/"),
        (regex("/a/b"), "/a/b"),
        (regex(".*"), "/"),
        (PathMatch::Call(Box::default()), "/"),
    ] {
        assert_eq!(path(&cookie("s"), &matched), expected, "{matched:?}");
    }
    let written = SessionCookie {
        path: Some("/x".into()),
        ..cookie("s")
    };
    assert_eq!(path(&written, &prefix("/cart")), "/x");
}
