use std::time::Duration;

use adapter_gateway_api::{Object, read};
use domain::capabilities::Feature;
use domain::gateway::{
    CallMatch, FieldErrorKind, HeaderMatch, PathMatch, Pattern, QueryMatch, Retry, RouteKind,
    RouteMatch, TextMatch,
};
use serde_json::{Value, json};

use crate::{http_route, reference, refused, route, summary, value};

#[test]
fn defaults_of_the_api_are_filled_in() {
    let route = http_route(
        "
  parentRefs: [{name: web}, {name: web, namespace: other, sectionName: https, port: 443}]
  rules:
  - backendRefs:
    - {name: app, port: 80}
    - {name: app, namespace: other, port: 8080, weight: 0, kind: Thing, group: example.com}
",
    );
    assert_eq!(route.field_errors, []);
    let [first, second] = route.parents.as_slice() else {
        panic!("{:?}", route.parents);
    };
    let group = "gateway.networking.k8s.io";
    assert_eq!(first.target, reference(group, "Gateway", "apps", "web"));
    assert!(!first.namespace_written && second.namespace_written);
    assert_eq!(second.target, reference(group, "Gateway", "other", "web"));
    assert_eq!(second.section.as_deref(), Some("https"));
    assert_eq!(second.port, Some(443));
    let rule = &route.rules[0];
    assert_eq!(rule.matches.len(), 1);
    assert_eq!(rule.matches[0].path, PathMatch::Prefix("/".to_owned()));
    assert_eq!(
        rule.backends[0].target,
        reference("", "Service", "apps", "app")
    );
    assert_eq!(rule.backends[0].weight, 1);
    assert_eq!(
        rule.backends[1].target,
        reference("example.com", "Thing", "other", "app")
    );
    assert_eq!(rule.backends[1].weight, 0);
    assert_eq!(rule.backends[1].field, "spec.rules[0].backendRefs[1]");
}

#[test]
fn every_part_of_a_match_is_read_and_the_first_of_a_name_counts() {
    let route = http_route(
        "
  hostnames: [app.example.com, '*.example.com']
  rules:
  - name: named
    matches:
    - path: {type: Exact, value: /a}
      method: POST
      headers:
      - {name: Version, value: one}
      - {name: VERSION, value: two}
      - {name: color, type: RegularExpression, value: 're.*'}
      queryParams:
      - {name: animal, value: whale}
      - {name: animal, value: dog}
      - {name: Animal, type: RegularExpression, value: 'd.*'}
    - path: {type: RegularExpression, value: '/v[0-9]+'}
    - path: {value: /prefix/}
",
    );
    assert_eq!(route.field_errors, []);
    let names: Vec<&str> = route
        .hostnames
        .iter()
        .map(domain::Hostname::as_str)
        .collect();
    assert_eq!(names, ["app.example.com", "*.example.com"]);
    let exact = |text: &str| TextMatch::Exact(text.to_owned());
    let regex = |text: &str| TextMatch::Regex(Pattern::parse(text).unwrap());
    let header = |name: &str, value| HeaderMatch {
        name: name.to_owned(),
        value,
    };
    let query = |name: &str, value| QueryMatch {
        name: name.to_owned(),
        value,
    };
    assert_eq!(
        route.rules[0].matches[0],
        RouteMatch {
            path: PathMatch::Exact("/a".to_owned()),
            method: Some("POST".to_owned()),
            headers: vec![
                header("version", exact("one")),
                header("color", regex("re.*"))
            ],
            query: vec![
                query("animal", exact("whale")),
                query("Animal", regex("d.*"))
            ],
        }
    );
    let paths: Vec<&PathMatch> = route.rules[0].matches.iter().map(|m| &m.path).collect();
    assert_eq!(
        *paths[1],
        PathMatch::Regex(Pattern::parse("/v[0-9]+").unwrap())
    );
    assert_eq!(*paths[2], PathMatch::Prefix("/prefix/".to_owned()));
}

#[test]
fn timeouts_are_durations_of_the_gateway_api() {
    let read = |written: &str| {
        let route = http_route(&format!("  rules: [{{timeouts: {{request: {written}}}}}]"));
        assert_eq!(summary(&route.field_errors).len(), route.field_errors.len());
        let invalid = !route.field_errors.is_empty();
        let time = route.rules[0].policy.timeouts.request;
        assert_eq!(
            time.is_none(),
            invalid,
            "{written}: {:?}",
            route.field_errors
        );
        time.map(|time| time.as_millis())
    };
    for (written, millis) in [
        ("0s", Some(0)),
        ("0h", Some(0)),
        ("500ms", Some(500)),
        ("1h30m", Some(5_400_000)),
        ("1h2m3s4ms", Some(3_723_004)),
        ("10s10s", Some(20_000)),
        ("99999h", Some(359_996_400_000)),
        ("1.5s", None),
        ("-1s", None),
        ("100000s", None),
        ("1d", None),
        ("\"10\"", None),
        ("1us", None),
        ("\"\"", None),
        ("\"1h 30m\"", None),
        ("1s1s1s1s1s", None),
    ] {
        assert_eq!(read(written), millis, "{written}");
    }
}

#[test]
fn a_field_of_a_route_is_served_or_reported_under_its_path() {
    for (spec, expected) in [
        ("  useDefaultGateways: None", vec![]),
        (
            "  useDefaultGateways: All",
            vec!["unsupported spec.useDefaultGateways"],
        ),
        (
            "  rules:\n  - timeouts: {request: 10s, backendRequest: 0s}",
            vec![],
        ),
        ("  rules:\n  - timeouts: {}", vec![]),
        (
            "  rules:\n  - timeouts: {request: 0s, backendRequest: 2s, perTry: 1s}",
            vec!["unsupported spec.rules[0].timeouts.perTry"],
        ),
        (
            "  rules:\n  - retry: {}\n    sessionPersistence: {type: Cookie}",
            vec![],
        ),
        (
            "  rules:\n  - retry: {codes: [399, 400, 599, 600], attempts: 101, backoff: soon, jitter: 1s}",
            vec![
                "invalid spec.rules[0].retry.backoff",
                "invalid spec.rules[0].retry.codes[0]",
                "invalid spec.rules[0].retry.codes[3]",
                "unsupported spec.rules[0].retry.attempts",
                "unsupported spec.rules[0].retry.jitter",
            ],
        ),
        (
            "  rules:\n  - retry: {attempts: -1}",
            vec!["invalid spec.rules[0].retry.attempts"],
        ),
        (
            "  rules:\n  - filters: [{type: CORS, cors: {maxAge: 5}}]",
            vec![],
        ),
        (
            "  rules:\n  - filters: [{type: URLRewrite, urlRewrite: {hostname: a.b}}]",
            vec![],
        ),
        (
            "  rules:\n  - filters: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Own, name: x}}]",
            vec!["unsupported spec.rules[0].filters[0]"],
        ),
        (
            "  rules:\n  - backendRefs: [{name: a, port: 80, filters: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Own, name: x}}]}]",
            vec!["unsupported spec.rules[0].backendRefs[0].filters[0]"],
        ),
        (
            "  rules:\n  - filters: [{type: Sideways}]",
            vec!["invalid spec.rules[0].filters[0].type"],
        ),
        (
            "  rules:\n  - backendRefs: [{name: a, port: 80, filters: [{type: CORS, cors: {}}]}]",
            vec![],
        ),
        (
            "  rules:\n  - backendRefs: [{name: a, port: 80, filters: [{type: RequestRedirect, requestRedirect: {}}]}]",
            vec![],
        ),
        (
            "  rules:\n  - backendRefs: [{name: a, port: 80, filters: []}]",
            vec![],
        ),
        (
            "  hostnmaes: [a.example.com]",
            vec!["unsupported spec.hostnmaes"],
        ),
        ("  rules:\n  - timeouts: null\n    matches: null", vec![]),
        (
            "  rules:\n  - filters: [{type: RequestRedirect, requestRedirect: {statusCode: 307}}]",
            vec![],
        ),
    ] {
        assert_eq!(summary(&refused(&http_route(spec))), expected, "{spec}");
    }
}

#[test]
fn a_wrong_value_in_a_route_is_a_field_error_that_names_it() {
    for (spec, expected) in [
        ("  parentRefs: [{port: 1}]", "spec.parentRefs[0].name"),
        (
            "  parentRefs: [{name: a, port: 0}]",
            "spec.parentRefs[0].port",
        ),
        (
            "  hostnames: [a.example.com, 10.0.0.1]",
            "spec.hostnames[1]",
        ),
        ("  hostnames: ['']", "spec.hostnames[0]"),
        (
            "  rules: [{backendRefs: [{name: a, port: 70000}]}]",
            "spec.rules[0].backendRefs[0].port",
        ),
        (
            "  rules: [{backendRefs: [{name: a, port: 80, weight: -1}]}]",
            "spec.rules[0].backendRefs[0].weight",
        ),
        (
            "  rules: [{backendRefs: [{name: a, port: 80, weight: 1000001}]}]",
            "spec.rules[0].backendRefs[0].weight",
        ),
        (
            "  rules: [{matches: [{path: {value: relative}}]}]",
            "spec.rules[0].matches[0].path.value",
        ),
        (
            "  rules: [{matches: [{path: {type: Exact, value: /a//b}}]}]",
            "spec.rules[0].matches[0].path.value",
        ),
        (
            "  rules: [{matches: [{path: {type: Glob, value: /a}}]}]",
            "spec.rules[0].matches[0].path.type",
        ),
        (
            "  rules: [{matches: [{method: FETCH}]}]",
            "spec.rules[0].matches[0].method",
        ),
        (
            "  rules: [{matches: [{headers: [{name: 'a b', value: x}]}]}]",
            "spec.rules[0].matches[0].headers[0].name",
        ),
        (
            "  rules: [{matches: [{queryParams: [{name: a, type: Like, value: x}]}]}]",
            "spec.rules[0].matches[0].queryParams[0].type",
        ),
        (
            "  rules: [{filters: [{type: RequestHeaderModifier}]}]",
            "spec.rules[0].filters[0].requestHeaderModifier",
        ),
        (
            "  rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: \
             a, value: \"b\\r\\nc\"}]}}]}]",
            "spec.rules[0].filters[0].requestHeaderModifier.set[0].value",
        ),
        (
            "  rules: [{filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: \
             Transfer-Encoding, value: x}]}}]}]",
            "spec.rules[0].filters[0].responseHeaderModifier.add[0].name",
        ),
        (
            "  rules: [{backendRefs: [{name: a, port: 80, filters: [{type: RequestHeaderModifier, \
             requestHeaderModifier: {set: [{name: content-length, value: '1'}]}}]}]}]",
            "spec.rules[0].backendRefs[0].filters[0].requestHeaderModifier.set[0].name",
        ),
        (
            "  rules: [{filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [a]}, \
             cors: {}}]}]",
            "spec.rules[0].filters[0].cors",
        ),
        (
            "  rules: [{filters: [{type: ResponseHeaderModifier, requestHeaderModifier: {remove: [a]}, \
             responseHeaderModifier: {remove: [a]}}]}]",
            "spec.rules[0].filters[0].requestHeaderModifier",
        ),
        (
            "  rules: [{timeouts: {request: 1s, backendRequest: 1001ms}}]",
            "spec.rules[0].timeouts.backendRequest",
        ),
        (
            "  rules: [{filters: [{type: RequestRedirect, requestRedirect: {scheme: ftp}}]}]",
            "spec.rules[0].filters[0].requestRedirect.scheme",
        ),
        (
            "  rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 200}}]}]",
            "spec.rules[0].filters[0].requestRedirect.statusCode",
        ),
        (
            "  rules: [{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: \
             [{name: a, port: 80}]}]",
            "spec.rules[0].backendRefs",
        ),
        (
            "  rules: [{filters: [{type: RequestRedirect, requestRedirect: {}}, {type: \
             RequestRedirect, requestRedirect: {}}]}]",
            "spec.rules[0].filters[1].type",
        ),
        (
            "  rules: [{filters: [{type: RequestMirror}]}]",
            "spec.rules[0].filters[0].requestMirror",
        ),
        (
            "  rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, percent: 101}}]}]",
            "spec.rules[0].filters[0].requestMirror.percent",
        ),
        (
            "  rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, fraction: \
             {numerator: 3, denominator: 2}}}]}]",
            "spec.rules[0].filters[0].requestMirror.fraction",
        ),
        (
            "  rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}, percent: 1, \
             fraction: {numerator: 1}}}]}]",
            "spec.rules[0].filters[0].requestMirror.fraction",
        ),
        (
            "  rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 0}}}]}]",
            "spec.rules[0].filters[0].requestMirror.backendRef.port",
        ),
        (
            "  rules: [{filters: [{type: ExternalAuth}]}]",
            "spec.rules[0].filters[0].externalAuth",
        ),
        (
            "  rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: TCP, backendRef: {name: a}}}]}]",
            "spec.rules[0].filters[0].externalAuth.protocol",
        ),
        (
            "  rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, grpc: {}, backendRef: {name: a}}}]}]",
            "spec.rules[0].filters[0].externalAuth.grpc",
        ),
        (
            "  rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: GRPC, http: {}, backendRef: {name: a}}}]}]",
            "spec.rules[0].filters[0].externalAuth.http",
        ),
        (
            "  rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: a, port: 0}}}]}]",
            "spec.rules[0].filters[0].externalAuth.backendRef.port",
        ),
        (
            "  rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, http: {path: auth}, backendRef: {name: a}}}]}]",
            "spec.rules[0].filters[0].externalAuth.http.path",
        ),
        (
            "  rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, http: {path: /a/%2e%2E}, backendRef: {name: a}}}]}]",
            "spec.rules[0].filters[0].externalAuth.http.path",
        ),
        (
            "  rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, http: {path: /a/..;/b}, backendRef: {name: a}}}]}]",
            "spec.rules[0].filters[0].externalAuth.http.path",
        ),
        (
            "  rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, http: {allowedHeaders: ['a b']}, backendRef: {name: a}}}]}]",
            "spec.rules[0].filters[0].externalAuth.http.allowedHeaders[0]",
        ),
        (
            "  rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: GRPC, grpc: {allowedHeaders: [':path']}, backendRef: {name: a}}}]}]",
            "spec.rules[0].filters[0].externalAuth.grpc.allowedHeaders[0]",
        ),
        (
            "  rules: [{filters: [{type: ExternalAuth, externalAuth: {protocol: GRPC, forwardBody: {maxSize: -1}, backendRef: {name: a}}}]}]",
            "spec.rules[0].filters[0].externalAuth.forwardBody.maxSize",
        ),
        (
            "  rules: [{filters: [{type: CORS}]}]",
            "spec.rules[0].filters[0].cors",
        ),
        (
            "  rules: [{filters: [{type: CORS, cors: {allowOrigins: ['https://a.example:0']}}]}]",
            "spec.rules[0].filters[0].cors.allowOrigins[0]",
        ),
        (
            "  rules: [{filters: [{type: CORS, cors: {allowOrigins: ['https://*.*.example']}}]}]",
            "spec.rules[0].filters[0].cors.allowOrigins[0]",
        ),
        (
            "  rules: [{filters: [{type: CORS, cors: {allowOrigins: ['*', 'https://a.example']}}]}]",
            "spec.rules[0].filters[0].cors.allowOrigins",
        ),
        (
            "  rules: [{filters: [{type: CORS, cors: {allowMethods: [GET, '*']}}]}]",
            "spec.rules[0].filters[0].cors.allowMethods",
        ),
        (
            "  rules: [{filters: [{type: CORS, cors: {allowHeaders: [x-a, '*']}}]}]",
            "spec.rules[0].filters[0].cors.allowHeaders",
        ),
        (
            "  rules: [{filters: [{type: CORS, cors: {maxAge: 0}}]}]",
            "spec.rules[0].filters[0].cors.maxAge",
        ),
        (
            "  rules: [{filters: [{type: URLRewrite}]}]",
            "spec.rules[0].filters[0].urlRewrite",
        ),
        (
            "  rules: [{filters: [{type: URLRewrite, urlRewrite: {hostname: '*.example.com'}}]}]",
            "spec.rules[0].filters[0].urlRewrite.hostname",
        ),
        (
            "  rules: [{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}]}]",
            "spec.rules[0].filters[0].urlRewrite.path.replaceFullPath",
        ),
        (
            "  rules: [{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, \
             replaceFullPath: /a, replacePrefixMatch: /b}}}]}]",
            "spec.rules[0].filters[0].urlRewrite.path.replacePrefixMatch",
        ),
        (
            "  rules: [{backendRefs: [{name: a, port: 80, filters: [{type: RequestRedirect, \
             requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}]}]}]",
            "spec.rules[0].backendRefs[0].filters[1].type",
        ),
    ] {
        let route = http_route(spec);
        assert_eq!(
            summary(&refused(&route)),
            [format!("invalid {expected}")],
            "{spec}"
        );
        assert!(!route.field_errors[0].message.is_empty());
    }
}

#[test]
fn a_match_that_cannot_be_told_is_left_out_and_never_widened() {
    let route = http_route(
        "
  rules:
  - matches:
    - path: {value: /admin}
      headers: [{name: a, type: Sounds, value: x}]
",
    );
    assert_eq!(route.rules[0].matches, []);
}

#[test]
fn any_field_added_anywhere_in_a_spec_is_reported() {
    let whole = value(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: web}]
  rules:
  - matches:
    - path: {type: Exact, value: /a}
      headers: [{name: a, value: b}]
      queryParams: [{name: a, value: b}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: a, value: b}]}
    - type: ResponseHeaderModifier
      responseHeaderModifier: {set: [{name: a, value: b}]}
    timeouts: {request: 1s}
    backendRefs:
    - name: a
      port: 80
      filters:
      - type: RequestHeaderModifier
        requestHeaderModifier: {set: [{name: a, value: b}]}
  - matches: [{path: {value: /}}]
    filters:
    - type: RequestRedirect
      requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /x}}
",
    );
    let mut pointers = Vec::new();
    maps(&whole["spec"], "/spec", &mut pointers);
    assert!(pointers.len() > 12, "{pointers:?}");
    for pointer in pointers {
        let mut changed = whole.clone();
        changed.pointer_mut(&pointer).unwrap()["novel"] = Value::Bool(true);
        let Object::Route(route) = read(changed).unwrap() else {
            panic!("a route was expected");
        };
        let [field_error] = route.field_errors.as_slice() else {
            panic!("{pointer}: {:?}", route.field_errors);
        };
        assert_eq!(field_error.kind, FieldErrorKind::Unsupported);
        let written = field_error.field.replace(['.', '['], "/").replace(']', "");
        assert_eq!(format!("/{written}"), format!("{pointer}/novel"));
    }
}

fn maps(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.push(pointer.to_owned());
            for (key, value) in map {
                maps(value, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                maps(value, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_pattern_that_cannot_be_served_is_a_field_error_and_its_match_is_left_out() {
    let like = |value: &str| format!("{{name: a, type: RegularExpression, value: '{value}'}}");
    let path = |value: &str| format!("path: {{type: RegularExpression, value: '{value}'}}");
    let table = [
        ("HTTPRoute", path("/v[0-9"), "path.value", "unclosed"),
        ("HTTPRoute", path("a)(b"), "path.value", "unopened"),
        ("HTTPRoute", path("a(?=b)"), "path.value", "look-around"),
        ("HTTPRoute", path(".*a.{20}b"), "path.value", "KiB"),
        (
            "HTTPRoute",
            format!("headers: [{}]", like("(")),
            "headers[0].value",
            "unclosed",
        ),
        (
            "HTTPRoute",
            format!("queryParams: [{}]", like("*")),
            "queryParams[0].value",
            "repetition",
        ),
        (
            "GRPCRoute",
            format!("headers: [{}]", like("(")),
            "headers[0].value",
            "unclosed",
        ),
        (
            "GRPCRoute",
            "method: {type: RegularExpression, service: '('}".to_owned(),
            "method.service",
            "unclosed",
        ),
    ];
    for (kind, broken, field, word) in table {
        let matches = format!("  rules: [{{matches: [{{{broken}}}, {{headers: []}}]}}]");
        let route = route(kind, &matches);
        let field = format!("invalid spec.rules[0].matches[0].{field}");
        assert_eq!(summary(&route.field_errors), [field], "{broken}");
        let message = &route.field_errors[0].message;
        assert!(message.contains(word), "{broken}: {message}");
        assert_eq!(route.rules[0].matches.len(), 1, "{broken}");
    }
}

/// The largest route that the CRD takes.
#[test]
fn the_first_pattern_beyond_the_limit_is_a_field_error_and_later_ones_are_not_read() {
    let mut number = 0;
    let mut pattern = || {
        number += 1;
        json!({ "type": "RegularExpression", "name": format!("n{number}"), "value": format!("\\w{{9}}{number}") })
    };
    let mut patterns = |count: usize| (0..count).map(|_| pattern()).collect::<Vec<_>>();
    let mut one_match = || {
        let mut path = patterns(1).remove(0);
        path.as_object_mut().expect("an object").remove("name");
        json!({ "path": path, "headers": patterns(16), "queryParams": patterns(16) })
    };
    let mut rule = || json!({ "matches": (0..8).map(|_| one_match()).collect::<Vec<_>>() });
    let rules: Vec<_> = (0..16).map(|_| rule()).collect();
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "name": "r", "namespace": "apps" },
        "spec": { "rules": rules },
    });
    let Ok(Object::Route(route)) = read(route) else {
        panic!("a route was expected");
    };
    // 33 of each match: the 129th is the 30th of the fourth.
    let field = "invalid spec.rules[0].matches[3].queryParams[12].value";
    assert_eq!(summary(&route.field_errors), [field]);
    let message = &route.field_errors[0].message;
    assert!(
        message.contains("Too many: a route may hold 128"),
        "{message}"
    );
    assert_eq!(route.pattern_room.0, 128 * 4 * 1024);
}

#[test]
fn retries_are_read_with_the_defaults_of_the_api() {
    for (written, codes, attempts, backoff) in [
        ("{}", &[][..], 1, None),
        ("{attempts: 0}", &[], 0, None),
        (
            "{codes: [503, 500, 503], attempts: 100, backoff: 1s500ms}",
            &[500, 503],
            100,
            Some(Duration::from_millis(1_500)),
        ),
    ] {
        let route = http_route(&format!("  rules: [{{retry: {written}}}]"));
        let retry = Retry {
            codes: codes.to_vec(),
            attempts,
            backoff,
        };
        assert_eq!(route.field_errors, []);
        assert_eq!(route.rules[0].policy.retry, Some(retry), "{written}");
        assert_eq!(route.uses[0].feature, Feature::HTTPRouteRetryCodes);
    }
}

#[test]
fn a_grpc_route_becomes_matches_of_calls() {
    let route = route(
        "GRPCRoute",
        "
  rules:
  - matches:
    - method: {service: pkg.Greeter, method: Hello}
    - method: {service: pkg.Greeter}
    - method: {method: Hello}
    - method: {type: RegularExpression, service: 'pkg\\..*'}
    - headers: [{name: Color, value: blue}]
    backendRefs: [{name: a, port: 80}]
  - {}
",
    );
    assert_eq!((route.kind, route.field_errors.len()), (RouteKind::Grpc, 0));
    let call = |service, method| PathMatch::Call(Box::new(CallMatch { service, method }));
    let is = |name: &str| Some(TextMatch::Exact(name.to_owned()));
    let like = |text: &str| Some(TextMatch::Regex(Pattern::parse(text).unwrap()));
    let paths: Vec<&PathMatch> = route.rules[0].matches.iter().map(|m| &m.path).collect();
    let expected = [
        call(is("pkg.Greeter"), is("Hello")),
        call(is("pkg.Greeter"), None),
        call(None, is("Hello")),
        call(like("pkg\\..*"), None),
        call(None, None),
    ];
    assert_eq!(paths, expected.iter().collect::<Vec<_>>());
    assert_eq!(route.rules[0].matches[4].headers[0].name, "color");
    assert_eq!(route.rules[1].matches.len(), 1);
    assert_eq!(route.rules[1].matches[0].path, call(None, None));
}

#[test]
fn what_a_grpc_route_cannot_mean_is_a_field_error() {
    for (spec, expected) in [
        (
            "matches: [{method: {}}]",
            "invalid spec.rules[0].matches[0].method",
        ),
        (
            "matches: [{method: {service: a/b}}]",
            "invalid spec.rules[0].matches[0].method.service",
        ),
        (
            "matches: [{method: {type: Like, service: a}}]",
            "invalid spec.rules[0].matches[0].method.type",
        ),
        (
            "filters: [{type: Sideways}]",
            "invalid spec.rules[0].filters[0].type",
        ),
        (
            "sessionPersistence: {type: Sideways}",
            "invalid spec.rules[0].sessionPersistence.type",
        ),
    ] {
        let route = route("GRPCRoute", &format!("  rules: [{{{spec}}}]"));
        assert_eq!(summary(&refused(&route)), [expected], "{spec}");
    }
}
