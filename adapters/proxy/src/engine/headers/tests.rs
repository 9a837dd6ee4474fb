use super::*;
use domain::gateway::header_names::begins_like;
use http::Request;
use proptest::prelude::*;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    headers
}

fn arrived(uri: &str, pairs: &[(&str, &str)], upgrade: Option<&str>) -> HeaderMap {
    let (mut head, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
    head.headers = headers(pairs);
    let arrival = Arrival::new(
        Scheme::Https,
        "app.example",
        Some("203.0.113.7".parse().unwrap()),
    )
    .unwrap();
    let upgrade = upgrade.map(|protocol| protocol.parse().unwrap());
    let underscored = UnderscoredHeaders::Allow;
    assert!(towards_endpoint(
        &mut head,
        &arrival,
        upgrade.as_ref(),
        underscored
    ));
    head.headers
}

#[test]
fn requests_cross_with_end_to_end_headers_only() {
    let own = [
        ("host", "app.example"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-host", "app.example"),
        ("x-forwarded-proto", "https"),
    ];
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Pairs<'_>, Pairs<'_>); 12] = [
        (&[("accept", "*/*")], &[("accept", "*/*")]),
        (
            &[
                ("connection", "close, X-Hop"),
                ("x-hop", "1"),
                ("x-end", "2"),
            ],
            &[("x-end", "2")],
        ),
        (
            &[
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "x"),
                ("proxy-authorization", "x"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "websocket"),
            ],
            &[],
        ),
        (&[("te", "gzip, trailers")], &[("te", "trailers")]),
        (
            &[("connection", "te"), ("te", "trailers")],
            &[("te", "trailers")],
        ),
        (&[("te", "gzip")], &[]),
        (
            &[
                ("expect", "100-continue"),
                ("forwarded", "for=x"),
                ("x-forwarded-port", "1"),
                ("x-forwarded-prefix", "/x"),
                ("x-forwarded-client-cert", "x"),
                ("cf-cloudflared-proxy-src", "x"),
            ],
            &[],
        ),
        (
            &[
                ("connection", "cf-ray, authorization, cookie"),
                ("cf-ray", "r"),
                ("authorization", "a"),
                ("cookie", "c"),
            ],
            &[("cf-ray", "r"), ("authorization", "a"), ("cookie", "c")],
        ),
        (
            &[
                ("x_forwarded_for", "192.0.2.1"),
                ("x-forwarded_proto", "http"),
                ("x.forwarded.host", "evil.example"),
                ("x_forwarded_prefix", "/x"),
                ("cf_connecting_ip", "192.0.2.1"),
                ("transfer_encoding", "chunked"),
                ("content_length", "9"),
                ("proxy_connection", "close"),
            ],
            &[],
        ),
        (&[("x_own", "1")], &[("x_own", "1")]),
        (&[("content-length", "007")], &[("content-length", "7")]),
        (
            &[("cookie", "a=1"), ("cookie", "b=2; c=3"), ("cookie", "d")],
            &[("cookie", "a=1; b=2; c=3; d")],
        ),
    ];
    for (sent, kept) in cases {
        let mut expected = headers(kept);
        expected.extend(headers(&own));
        assert_eq!(arrived("/", sent, None), expected, "{sent:?}");
    }
}

#[test]
fn what_tells_of_the_client_cannot_be_forged() {
    let all = |map: &HeaderMap, name: &str| {
        map.get_all(name)
            .iter()
            .map(|v| v.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join("|")
    };
    let forged = arrived(
        "/",
        &[
            ("host", "app.example:8443"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-for", "192.0.2.1"),
            ("connection", "x-forwarded-for, host"),
        ],
        None,
    );
    assert_eq!(all(&forged, "x-forwarded-proto"), "https");
    assert_eq!(all(&forged, "x-forwarded-host"), "app.example:8443");
    assert_eq!(all(&forged, "host"), "app.example:8443");
    assert_eq!(all(&forged, "x-forwarded-for"), "192.0.2.1|203.0.113.7");

    let by_edge = arrived("/", &[("x-forwarded-for", "192.0.2.1,203.0.113.7")], None);
    assert_eq!(all(&by_edge, "x-forwarded-for"), "192.0.2.1,203.0.113.7");

    let http2 = arrived("https://App.example/x", &[], None);
    assert_eq!(all(&http2, "host"), "App.example");
}

#[test]
fn te_is_named_in_connection_as_http1_wants_it() {
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let rows: [(Pairs<'_>, Option<&str>); 3] = [
        (&[], None),
        (&[("te", "trailers")], Some("te")),
        (
            &[("te", "trailers"), ("connection", "upgrade")],
            Some("upgrade, te"),
        ),
    ];
    for (given, connection) in rows {
        let mut map = headers(given);
        name_te(&mut map);
        let found = map.get(CONNECTION).map(|value| value.to_str().unwrap());
        assert_eq!(found, connection, "{given:?}");
    }
}

#[test]
fn an_upgrade_keeps_its_own_pair_both_ways() {
    let sent = headers(&[
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
    ]);
    let protocol = requested_upgrade(&sent).unwrap();
    assert_eq!(protocol, "websocket");
    let there = arrived("/", &[("upgrade", "x")], Some("websocket"));
    assert_eq!(there["connection"], "upgrade");
    assert_eq!(there["upgrade"], "websocket");

    let mut back = headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
    towards_client(&mut back, true);
    assert_eq!(
        back,
        headers(&[("connection", "upgrade"), ("upgrade", "websocket")])
    );

    for not_asked in [
        &[("upgrade", "websocket")][..],
        &[("connection", "upgrade")],
        &[
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "h2c"),
        ],
        &[("connection", "upgrade"), ("upgrade", "H2C, HTTP/2.0")],
        &[("connection", "upgrade"), ("upgrade", "TLS/1.3")],
        &[("connection", "upgrade"), ("upgrade", " , ")],
        &[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("content-length", "5"),
        ],
        &[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
        ],
    ] {
        assert_eq!(
            requested_upgrade(&headers(not_asked)),
            None,
            "{not_asked:?}"
        );
    }
}

#[test]
fn of_several_upgrades_an_endpoint_sees_the_first_that_carries_no_requests() {
    for offered in [
        &[("upgrade", "h2c, websocket")][..],
        &[("upgrade", "websocket, h2c")],
        &[("upgrade", "h2c"), ("upgrade", "websocket")],
        &[("upgrade", "websocket"), ("content-length", "0")],
    ] {
        let mut sent = headers(&[("connection", "upgrade")]);
        sent.extend(headers(offered));
        let protocol = requested_upgrade(&sent).unwrap();
        assert_eq!(protocol, "websocket", "{offered:?}");
    }
}

#[test]
fn an_answer_agrees_to_what_was_asked_or_not_at_all() {
    let asked = HeaderValue::from_static("websocket");
    for (answer, agrees) in [
        (&[("upgrade", "WebSocket")][..], true),
        (&[("upgrade", "h2c")], false),
        (&[("upgrade", "websocket, h2c")], false),
        (&[("upgrade", "websocket"), ("upgrade", "h2c")], false),
        (&[], false),
    ] {
        assert_eq!(agrees_to(&headers(answer), &asked), agrees, "{answer:?}");
    }
}

#[test]
fn values_are_looked_up_as_one_list_whatever_their_bytes() {
    let mut map = headers(&[("a", "1"), ("a", "2"), ("b", "3")]);
    for (name, value) in [("utf-8", &b"S\xc3\xa3o"[..]), ("latin-1", b"S\xe3o=1")] {
        map.append(name, HeaderValue::from_bytes(value).unwrap());
        map.append(name, HeaderValue::from_static("x"));
    }
    let lookup = Lookup(&map);
    for (name, value) in [
        ("a", Some(&b"1,2"[..])),
        ("b", Some(b"3")),
        ("c", None),
        ("utf-8", Some(b"S\xc3\xa3o,x")),
        ("latin-1", Some(b"S\xe3o=1,x")),
    ] {
        assert_eq!(lookup.joined(name).as_deref(), value, "{name}");
    }
}

proptest! {
    #[test]
    fn stripping_removes_hop_by_hop_headers_and_nothing_else(
        names in proptest::collection::vec(
            prop_oneof![
                "x-[a-z]{1,3}",
                Just("connection".to_owned()), Just("te".to_owned()),
                Just("upgrade".to_owned()), Just("keep-alive".to_owned()),
                Just("transfer-encoding".to_owned()), Just("cookie".to_owned()),
            ], 0..12),
        nominated in proptest::collection::vec("[xX]-[a-zA-Z]{1,3}", 0..4),
    ) {
        let mut map = HeaderMap::new();
        for name in &names {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_static("v"));
        }
        if !nominated.is_empty() {
            map.append(CONNECTION, nominated.join(" , ").parse().unwrap());
        }
        let before = map.clone();

        strip_hop_by_hop(&mut map);

        let named = |name: &str| nominated.iter().any(|n| n.eq_ignore_ascii_case(name));
        for (name, value) in &before {
            let hop = is_hop_by_hop(name.as_str()) || named(name.as_str());
            prop_assert_eq!(map.get(name).is_none(), hop, "{:?}", name);
            if !hop {
                prop_assert_eq!(map.get(name), Some(value));
            }
        }
        let once = map.clone();
        strip_hop_by_hop(&mut map);
        prop_assert_eq!(once, map);
    }

    #[test]
    fn whatever_a_client_sends_an_endpoint_is_told_the_truth(
        sent in proptest::collection::vec(
            (prop_oneof![
                Just("host"), Just("x-forwarded-for"), Just("x-forwarded-host"),
                Just("x-forwarded-proto"), Just("x-forwarded-port"), Just("forwarded"),
                Just("connection"), Just("upgrade"), Just("cf-cloudflared-proxy-src"),
                Just("te"), Just("transfer-encoding"), Just("keep-alive"), Just("x-end"),
                Just("x_forwarded_for"), Just("x.forwarded_proto"), Just("cf_ray"),
            ], "[ -~]{0,24}"), 0..16),
    ) {
        let pairs: Vec<(&str, &str)> = sent.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let told = arrived("https://app.example/", &pairs, None);
        let one = |name: &str| told.get_all(name).iter().cloned().collect::<Vec<_>>();
        prop_assert_eq!(one("host"), vec!["app.example"]);
        prop_assert_eq!(one("x-forwarded-host"), vec!["app.example"]);
        prop_assert_eq!(one("x-forwarded-proto"), vec!["https"]);
        let last = one("x-forwarded-for").pop().unwrap();
        prop_assert!(last.to_str().unwrap().trim_end().ends_with("203.0.113.7"));
        for name in told.keys() {
            let name = name.as_str();
            let own = matches!(name, "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto");
            prop_assert!(own || !begins_like(name, "x-forwarded-"), "{}", name);
            prop_assert!(name.starts_with("cf-") || !begins_like(name, "cf-"), "{}", name);
            prop_assert!(name != "forwarded" && !name.starts_with("cf-cloudflared-"));
            prop_assert!(name == "te" || !is_hop_by_hop(name), "{}", name);
        }
    }
}
