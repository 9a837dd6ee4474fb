//! What the hostnames of listeners decide.

use std::sync::Arc;

use super::{check_listeners, listener, prefix, route, table};
use crate::route_table::matcher::Matcher;
use crate::route_table::{Arrival, Scheme, TableRoute};

#[test]
fn a_route_whose_own_hostname_is_broader_gives_way_and_takes_what_is_left() {
    let broader = |name, characters, path| TableRoute {
        broader: Some(characters),
        ..route(name, &["a.test"], vec![vec![prefix(path)]])
    };
    let routes = vec![
        broader("every", 0, "/a/b/c"),
        broader("wildcard", 6, "/a/b"),
        route("exact", &["a.test"], vec![vec![prefix("/a")]]),
    ];
    check_listeners(
        vec![listener("a.test", routes)],
        &[("GET a.test/a/b/c", "exact#0"), ("GET a.test/b", "-")],
    );
    let routes = vec![
        broader("every", 0, "/"),
        broader("wildcard", 6, "/a"),
        route(
            "exact",
            &["a.test"],
            vec![vec![prefix("/a").method("POST")]],
        ),
    ];
    check_listeners(
        vec![listener("a.test", routes)],
        &[
            ("POST a.test/a", "exact#0"),
            ("GET a.test/a", "wildcard#0"),
            ("GET a.test/b", "every#0"),
        ],
    );
}

#[test]
fn a_request_is_misdirected_where_its_host_is_of_another_listener_than_its_handshake() {
    let names = ["", "second.test", "*.wild.test", "fourth.wild.test"];
    let listeners = names.map(|name| listener(name, Vec::new()));
    let matcher = Matcher::new(Arc::new(table(listeners.to_vec())));
    for (server_name, host, expected) in [
        (Some("first.test"), "first.test", false),
        (Some("First.test"), "unknown.test", false),
        (Some("first.test"), "second.test", true),
        (Some("second.test"), "second.test", false),
        (Some("second.test"), "unknown.test", true),
        (Some("third.wild.test"), "fifth.wild.test", false),
        (Some("third.wild.test"), "fourth.wild.test", true),
        (Some("fourth.wild.test"), "fifth.wild.test", true),
        (None, "second.test", false),
    ] {
        let arrival = Arrival::new(Scheme::Https, host, None).unwrap();
        let arrival = arrival.told(None, server_name);
        let found = matcher.is_misdirected(&arrival);
        assert_eq!(found, expected, "{server_name:?} {host}");
    }
    let alone = Matcher::new(Arc::new(table(vec![listener("second.test", Vec::new())])));
    let unknown = Arrival::new(Scheme::Https, "unknown.test", None).unwrap();
    let unknown = unknown.told(None, Some("second.test"));
    assert!(
        !alone.is_misdirected(&unknown),
        "the host is of no listener"
    );
}
