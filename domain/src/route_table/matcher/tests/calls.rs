use super::*;
use crate::gateway::CallMatch;

fn call(service: Option<TextMatch>, method: Option<TextMatch>) -> RouteMatch {
    path(PathMatch::Call(Box::new(CallMatch { service, method })))
}

/// A call match by names; an empty one is left open.
fn names(service: &str, method: &str) -> RouteMatch {
    let part = |text: &str| (!text.is_empty()).then(|| is(text));
    call(part(service), part(method))
}

/// The same by patterns.
fn patterns(service: &str, method: &str) -> RouteMatch {
    let part = |text: &str| (!text.is_empty()).then(|| like(text));
    call(part(service), part(method))
}

fn grpc_route(name: &str, hostnames: &[&str], rules: Vec<Vec<RouteMatch>>) -> TableRoute {
    TableRoute {
        broader: None,
        kind: RouteKind::Grpc,
        ..route(name, hostnames, rules)
    }
}

#[test]
fn of_two_calls_the_longer_service_wins_then_the_longer_method_then_more_headers() {
    let x = || is("1");
    let table: [(&str, RouteMatch, RouteMatch, &str); 9] = [
        (
            "a service before a method",
            names("foo.Bar", ""),
            names("", "Check"),
            "r#0",
        ),
        (
            "also written last",
            names("", "Check"),
            names("foo.Bar", ""),
            "r#1",
        ),
        (
            "a service and a method before a service",
            names("foo.Bar", ""),
            names("foo.Bar", "Check"),
            "r#1",
        ),
        (
            "the longer service",
            patterns("foo.*", "Check"),
            names("foo.Bar", ""),
            "r#1",
        ),
        (
            "the longer service, a pattern's",
            names("foo.Bar", "Check"),
            patterns("foo[.]Ba[a-z]", ""),
            "r#1",
        ),
        (
            "the longer method",
            names("foo.Bar", "Check"),
            call(Some(is("foo.Bar")), Some(like("Check|List"))),
            "r#1",
        ),
        (
            "a method before headers",
            names("", "").header("x", x()),
            names("", "Check"),
            "r#1",
        ),
        (
            "a longer pattern before headers",
            patterns(".*", "").header("x", x()),
            patterns("foo.*", ""),
            "r#1",
        ),
        (
            "more headers",
            names("foo.Bar", ""),
            names("foo.Bar", "").header("x", x()),
            "r#1",
        ),
    ];
    for (given, one, other, expected) in table {
        let rules = vec![vec![one], vec![other]];
        let listener = listener("", vec![grpc_route("r", &[], rules)]);
        let matcher = Matcher::new(Arc::new(super::table(vec![listener])));
        let headers = Headers::from_iter([("x", "1")]);
        let found = selected(&matcher, "POST a.test/foo.Bar/Check", &headers);
        assert_eq!(found.as_deref(), Some(expected), "{given}");
    }
}

#[test]
fn of_equal_calls_the_older_route_wins_then_its_name_then_the_order_written() {
    let older = |mut route: TableRoute| {
        route.created = Timestamp(-1);
        route
    };
    let rule = |service: &str| vec![names(service, "")];
    check(
        vec![
            grpc_route(
                "b",
                &[],
                vec![rule("age"), rule("name"), rule("order"), rule("order")],
            ),
            grpc_route("a", &[], vec![rule("name")]),
            older(grpc_route("z", &[], vec![rule("age")])),
        ],
        &[
            ("POST a.test/age/M", "z#0"),
            ("POST a.test/name/M", "a#0"),
            ("POST a.test/order/M", "b#2"),
        ],
    );
}

#[test]
fn a_call_is_what_a_server_reads_in_the_path() {
    check(
        vec![grpc_route(
            "r",
            &["a.test"],
            vec![
                vec![names("s", "M")],
                vec![names("s", "")],
                vec![names("", "M")],
                vec![patterns("[t/]+", "")],
                vec![patterns("", "X|Y")],
            ],
        )],
        &[
            ("POST a.test/s/M", "r#0"),
            ("POST a.test/s/N", "r#1"),
            ("POST a.test/q/M", "r#2"),
            ("POST a.test/t/t/N", "r#3"),
            ("POST a.test/q/X", "r#4"),
            ("POST a.test/q/XY", "-"),
            ("POST a.test/s/s/N", "-"),
            ("POST a.test/s", "-"),
            ("POST a.test/s/", "-"),
            ("POST a.test//M", "-"),
            ("POST a.test/", "-"),
        ],
    );
}

#[test]
fn a_rule_that_asks_for_no_call_takes_what_the_others_leave_whatever_its_path() {
    check(
        vec![grpc_route(
            "r",
            &[],
            vec![vec![names("", "")], vec![names("s", "")]],
        )],
        &[
            ("POST a.test/s/M", "r#1"),
            ("POST a.test/t/M", "r#0"),
            ("POST a.test/", "r#0"),
            ("OPTIONS a.test/a/b/c/", "r#0"),
        ],
    );
}

#[test]
fn both_kinds_serve_their_hostnames_on_one_listener() {
    check(
        vec![
            grpc_route("grpc", &["*.grpc.test"], vec![vec![names("s", "")]]),
            route("http", &["a.test"], vec![vec![prefix("/")]]),
            grpc_route("one", &["one.grpc.test"], vec![vec![names("", "M")]]),
        ],
        &[
            ("POST a.test/s/M", "http#0"),
            ("POST two.grpc.test/s/M", "grpc#0"),
            ("POST one.grpc.test/s/M", "one#0"),
            ("POST one.grpc.test/s/N", "grpc#0"),
            ("POST one.grpc.test/t/N", "-"),
        ],
    );
}

#[test]
fn where_both_kinds_have_a_host_a_request_goes_first_to_those_of_its_content_type() {
    let http = route("http", &["a.test"], vec![vec![prefix("/")]]);
    let calls = grpc_route("calls", &["a.test"], vec![vec![names("foo.Bar", "")]]);
    let listeners = vec![listener("", vec![http, calls])];
    let matcher = Matcher::new(Arc::new(table(listeners)));
    let rows = [
        ("application/grpc", "/foo.Bar/Check", "calls#0"),
        ("application/grpc+proto", "/foo.Bar/Check", "calls#0"),
        (
            "Application/gRPC; charset=utf-8",
            "/foo.Bar/Check",
            "calls#0",
        ),
        ("application/grpc-web", "/foo.Bar/Check", "http#0"),
        ("application/json", "/foo.Bar/Check", "http#0"),
        ("", "/foo.Bar/Check", "http#0"),
        ("application/grpc", "/foo.Other/Check", "http#0"),
    ];
    for (content_type, path, expected) in rows {
        let headers = Headers::from_iter([("content-type", content_type)]);
        let found = selected(&matcher, &format!("POST a.test{path}"), &headers);
        assert_eq!(found.as_deref(), Some(expected), "{content_type} {path}");
    }
}
