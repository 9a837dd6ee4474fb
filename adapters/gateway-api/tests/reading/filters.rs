//! Filters of rules and of backends.

use domain::capabilities::{DataPlaneKind, Feature, FeatureSet};
use domain::gateway::{
    AuthProtocol, Cors, ExternalAuth, Filter, FilterRef, HeaderModifier, HttpPathModifier,
    NameList, OriginHost, OriginPattern, Redirect, Rewrite, RouteKind, Share,
};

use crate::{http_route, reference, refused, route, summary};

#[test]
fn served_filters_are_read() {
    let route = http_route(
        "
  rules:
  - matches: [{path: {value: /old}}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier:
        set: [{name: X-Set, value: '1'}]
        add: [{name: X-Add, value: a}, {name: x-add, value: b}]
        remove: [X-Gone]
    - type: ResponseHeaderModifier
      responseHeaderModifier:
        set: [{name: X-Set, value: '1'}, {name: x-set, value: '2'}]
    - type: RequestRedirect
      requestRedirect:
        scheme: https
        hostname: new.example.com
        port: 8443
        statusCode: 301
        path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}
  - filters: [{type: RequestRedirect, requestRedirect: {}}]
",
    );
    assert_eq!(route.field_errors, []);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        route.rules[0].filters,
        [
            Filter::RequestHeaders(HeaderModifier {
                set: vec![pair("x-set", "1")],
                // Of several entries with one name the first counts.
                add: vec![pair("x-add", "a")],
                remove: vec!["x-gone".to_owned()],
            }),
            Filter::ResponseHeaders(HeaderModifier {
                set: vec![pair("x-set", "1")],
                ..HeaderModifier::default()
            }),
            Filter::Redirect(Redirect {
                scheme: Some("https".to_owned()),
                hostname: Some("new.example.com".parse().unwrap()),
                path: Some(HttpPathModifier::Prefix("/new".to_owned())),
                port: Some(8443),
                status: 301,
            }),
        ]
    );
    let used: Vec<_> = route.uses.iter().map(|used| used.feature).collect();
    let expected = [
        Feature::HTTPRouteResponseHeaderModification,
        Feature::HTTPRouteSchemeRedirect,
        Feature::HTTPRoutePortRedirect,
        Feature::HTTPRoutePathRedirect,
    ];
    assert_eq!(used, expected);
    let Filter::Redirect(redirect) = &route.rules[1].filters[0] else {
        panic!("a redirect was expected");
    };
    assert_eq!(redirect.status, 302, "the API's default");
}

#[test]
fn rewrites_are_read_of_rules_and_of_backends() {
    let rewrite = "filters: [{type: URLRewrite, urlRewrite: {hostname: new.example.com, \
                   path: {type: ReplaceFullPath, replaceFullPath: /new}}}]";
    let route = http_route(&format!(
        "  rules: [{{{rewrite}, backendRefs: [{{name: a, port: 80, {rewrite}}}]}}]"
    ));
    let expected = [Filter::Rewrite(Rewrite {
        hostname: Some("new.example.com".parse().unwrap()),
        path: Some(HttpPathModifier::Full("/new".to_owned())),
    })];
    assert_eq!(refused(&route), []);
    assert_eq!(route.rules[0].filters, expected);
    assert_eq!(route.rules[0].backends[0].filters, expected);
    let used: Vec<_> = route.uses.iter().map(|used| used.feature).collect();
    let anywhere = [Feature::HTTPRouteHostRewrite, Feature::HTTPRoutePathRewrite];
    let of_backend = [Feature::HTTPRouteBackendURLRewrite];
    let expected = [&anywhere[..], &of_backend[..], &anywhere[..]].concat();
    assert_eq!(used, expected);
}

#[test]
fn what_a_cors_filter_permits_is_read() {
    let read = |written: &str| {
        let route = http_route(&format!(
            "  rules: [{{filters: [{{type: CORS, cors: {written}}}]}}]"
        ));
        assert_eq!(refused(&route), []);
        match route.rules[0].filters.as_slice() {
            [Filter::Cors(cors)] => cors.clone(),
            other => panic!("{other:?}"),
        }
    };
    let none = || NameList::These(Vec::new());
    let nothing = Cors {
        origins: Vec::new(),
        credentials: false,
        methods: none(),
        headers: none(),
        exposed: none(),
        max_age: 5,
    };
    assert_eq!(read("{}"), nothing);
    let all = read(
        "{allowOrigins: ['*'], allowCredentials: true, allowMethods: ['*'], allowHeaders: ['*'], \
         exposeHeaders: ['*', X-A], maxAge: 600}",
    );
    let expected = Cors {
        origins: vec![OriginPattern::Any],
        credentials: true,
        methods: NameList::All,
        headers: NameList::All,
        exposed: NameList::All,
        max_age: 600,
    };
    assert_eq!(all, expected);
    let some = read("{allowOrigins: ['https://*.Example:8443'], allowMethods: [PUT, DELETE]}");
    let expected = Cors {
        origins: vec![OriginPattern::At {
            is_secure: true,
            host: OriginHost::Below("example".to_owned()),
            port: 8443,
        }],
        methods: NameList::These(vec!["PUT".to_owned(), "DELETE".to_owned()]),
        ..nothing
    };
    assert_eq!(some, expected);
}

#[test]
fn mirrors_are_read_of_rules_and_of_backends_and_of_grpc_routes() {
    for kind in ["HTTPRoute", "GRPCRoute"] {
        let mirror = |more: &str| {
            format!(
                "{{type: RequestMirror, requestMirror: {{backendRef: {{name: copy, port: 80}}{more}}}}}"
            )
        };
        let all = [
            mirror(""),
            mirror(", percent: 20"),
            mirror(", fraction: {numerator: 1, denominator: 3}"),
            mirror(", fraction: {numerator: 1}"),
        ];
        let route = route(
            kind,
            &format!(
                "  rules: [{{filters: [{}], backendRefs: [{{name: a, port: 80, filters: [{}]}}]}}]",
                all.join(", "),
                all[0],
            ),
        );
        assert_eq!(refused(&route), []);
        let read = |filters: &[Filter]| {
            let mirrors = filters.iter().filter_map(Filter::mirror);
            mirrors
                .map(|mirror| (mirror.to.clone(), mirror.share))
                .collect::<Vec<_>>()
        };
        let expected = |place: &str, share| {
            let to = FilterRef {
                target: reference("", "Service", "apps", "copy"),
                port: Some(80),
                spoken: route.kind,
                field: format!("spec.rules[0].{place}.requestMirror.backendRef"),
            };
            (to, share)
        };
        let part = |numerator, denominator| Share::new(numerator, denominator).unwrap();
        let rule = &route.rules[0];
        assert_eq!(
            read(&rule.filters),
            [
                expected("filters[0]", Share::ALL),
                expected("filters[1]", part(20, 100)),
                expected("filters[2]", part(1, 3)),
                expected("filters[3]", part(1, 100)),
            ],
            "{kind}"
        );
        let of_backend = expected("backendRefs[0].filters[0]", Share::ALL);
        assert_eq!(read(&rule.backends[0].filters), [of_backend], "{kind}");
        for feature in [
            Feature::HTTPRouteRequestMirror,
            Feature::HTTPRouteRequestMultipleMirrors,
            Feature::HTTPRouteRequestPercentageMirror,
        ] {
            assert!(route.uses.iter().any(|used| used.feature == feature));
        }
    }
}

#[test]
fn authorizers_are_read_of_rules_and_of_backends_with_the_defaults_of_what_is_not_written() {
    let plain =
        "{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: auth, port: 80}}}";
    let route = http_route(&format!(
        "
  rules:
  - filters:
    - {plain}
    - type: ExternalAuth
      externalAuth:
        protocol: HTTP
        backendRef: {{name: auth, namespace: infra, port: 80}}
        http: {{path: /check/, allowedHeaders: [X-A, Cookie], allowedResponseHeaders: [X-User]}}
        forwardBody: {{maxSize: 1024}}
    - type: ExternalAuth
      externalAuth:
        protocol: GRPC
        backendRef: {{name: auth, port: 81}}
        grpc: {{allowedHeaders: [X-A]}}
        forwardBody: {{}}
    backendRefs: [{{name: a, port: 80, filters: [{plain}]}}]
",
    ));
    assert_eq!(refused(&route), []);
    let to = |place: &str, namespace, port, spoken| {
        Some(FilterRef {
            target: reference("", "Service", namespace, "auth"),
            port: Some(port),
            spoken,
            field: format!("spec.rules[0].{place}.externalAuth.backendRef"),
        })
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let http = |prefix: &str, request: &[&str], answer: &[&str]| AuthProtocol::Http {
        prefix: prefix.to_owned(),
        request_headers: names(request),
        answer_headers: names(answer),
    };
    let plain = |place| {
        Filter::ExternalAuth(ExternalAuth {
            to: to(place, "apps", 80, RouteKind::Http),
            protocol: http("", &[], &[]),
            max_body: 0,
        })
    };
    let expected = [
        plain("filters[0]"),
        Filter::ExternalAuth(ExternalAuth {
            to: to("filters[1]", "infra", 80, RouteKind::Http),
            protocol: http("/check", &["x-a", "cookie"], &["x-user"]),
            max_body: 1024,
        }),
        Filter::ExternalAuth(ExternalAuth {
            to: to("filters[2]", "apps", 81, RouteKind::Grpc),
            protocol: AuthProtocol::Grpc {
                request_headers: names(&["x-a"]),
            },
            max_body: 0,
        }),
    ];
    let rule = &route.rules[0];
    assert_eq!(rule.filters, expected);
    assert_eq!(
        rule.backends[0].filters,
        [plain("backendRefs[0].filters[0]")]
    );
    let large = http_route(
        "
  rules:
  - filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: a, port: 80}, forwardBody: {maxSize: 524289}}}]
",
    );
    let field = "unsupported spec.rules[0].filters[0].externalAuth.forwardBody.maxSize";
    assert_eq!(summary(&refused(&large)), [field]);
}

#[test]
fn filters_of_backends_are_read() {
    for (kind, features) in [
        ("HTTPRoute", DataPlaneKind::Native.serves()),
        ("GRPCRoute", DataPlaneKind::Native.serves()),
    ] {
        let route = route(
            kind,
            "  rules: [{backendRefs: [{name: a, port: 80, filters: [
               {type: RequestHeaderModifier, requestHeaderModifier: {remove: [A]}},
               {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [B]}}]}]}]",
        );
        let removing = |name: &str| HeaderModifier {
            remove: vec![name.to_owned()],
            ..HeaderModifier::default()
        };
        let expected = [
            Filter::RequestHeaders(removing("a")),
            Filter::ResponseHeaders(removing("b")),
        ];
        assert_eq!(route.rules[0].backends[0].filters, expected, "{kind}");
        assert_eq!(route.field_errors, []);
        assert_eq!(route.unserved(features).count(), 0);
        let lacking = summary(&route.unserved(FeatureSet::EMPTY).collect::<Vec<_>>());
        let field = "unsupported spec.rules[0].backendRefs[0].filters";
        assert_eq!(lacking, [format!("{field}[0]"), format!("{field}[1]")]);
    }
}
