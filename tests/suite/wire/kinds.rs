//! Every filter and policy of a rule, and what passes through it: through the tunnel, over HTTP/2 and QUIC, with `cfgw` as a
//! process of its own, so that its memory can be told.

mod behaviours;

use std::sync::Arc;

use tests::manifests::{gateway, route_with, service, service_speaking};
use tests::origin::Origin;
use tests::process::Cfgw;
use tests::tls_front::TlsFront;
use tests::world::{ACCOUNT, World, within};

use self::behaviours::{Behaviour, Given};
use super::endpoint::answering;
use super::line::PATIENCE;

/// A filter or policy.
#[derive(Debug, Clone, Copy)]
struct Kind {
    name: &'static str,
    /// What its rules have beside a backend, as a line of YAML. `PATH` stands for the prefix that the rule asks for.
    line: &'static str,
    /// A header that each answer of an endpoint has then, and what its value begins with.
    mark: Option<(&'static str, &'static str)>,
    /// Whether long bodies pass in each run. There is one of these for each phase of a request; with `STREAMS=all` they pass
    /// through every kind.
    has_streams: bool,
}

const KINDS: [Kind; 11] = [
    kind("plain", "", None),
    Kind {
        has_streams: true,
        ..kind(
            "request-headers",
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-asked, value: rule}]}}]",
            Some(("x-told", "rule")),
        )
    },
    Kind {
        has_streams: true,
        ..kind(
            "response-headers",
            "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-mark, value: rule}]}}]",
            Some(("x-mark", "rule")),
        )
    },
    kind(
        "redirect",
        "filters: [{type: RequestRedirect, requestRedirect: {hostname: other.example.com}}]",
        Some(("location", "https://other.example.com/")),
    ),
    kind(
        "rewrite",
        "filters: [{type: URLRewrite, urlRewrite: {hostname: new.internal, path: {type: ReplacePrefixMatch, replacePrefixMatch: PATH}}}]",
        Some(("x-host", "new.internal")),
    ),
    Kind {
        has_streams: true,
        ..kind(
            "mirror",
            "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}}}]",
            None,
        )
    },
    kind(
        "cors",
        "filters: [{type: CORS, cors: {allowOrigins: [\"https://a.example\"]}}]",
        Some(("access-control-allow-origin", "https://a.example")),
    ),
    kind(
        "timeouts",
        "timeouts: {request: 300s, backendRequest: 300s}",
        None,
    ),
    Kind {
        has_streams: true,
        ..kind(
            "retry",
            "retry: {codes: [503], attempts: 2, backoff: 1ms}",
            None,
        )
    },
    kind(
        "sessions",
        "sessionPersistence: {sessionName: stay, type: Cookie}",
        Some(("set-cookie", "stay=")),
    ),
    Kind {
        has_streams: true,
        ..kind("backend-tls", "", None)
    },
];

const fn kind(
    name: &'static str,
    line: &'static str,
    mark: Option<(&'static str, &'static str)>,
) -> Kind {
    Kind {
        name,
        line,
        mark,
        has_streams: false,
    }
}

impl Kind {
    fn host(&self) -> String {
        format!("{}.example.com", self.name)
    }

    /// Whether it answers in place of an endpoint.
    fn answers_itself(&self) -> bool {
        self.name == "redirect"
    }

    /// Its route: hints come from an endpoint that is played byte by byte, trailers from one that speaks HTTP/2.
    fn route(&self) -> String {
        let sealed = if self.name == "backend-tls" {
            "sealed-"
        } else {
            ""
        };
        let rule = |path: &str, service: &str| {
            let backends = match self.answers_itself() {
                true => String::new(),
                false => format!("\n      backendRefs: [{{name: {sealed}{service}, port: 80}}]"),
            };
            format!(
                "    - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]{backends}\n      {}\n",
                self.line.replace("PATH", path)
            )
        };
        let rules = [
            rule("/hints", "hints"),
            rule("/trailers", "calls"),
            rule("/", "app"),
        ];
        route_with(self.name, "my-gateway", &[&self.host()], &rules.concat())
    }
}

/// Endpoints, and Services that lead to them in clear text and over TLS.
struct Site {
    world: World,
    cfgw: Cfgw,
    app: Arc<Origin>,
    copy: Arc<Origin>,
    _fronts: Vec<TlsFront>,
}

const HINTS: &[u8] =
    b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
    HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Site {
    async fn start(protocol: &str) -> Self {
        let world = World::start_alone().await;
        let (app, copy) = (Origin::start("app").await, Origin::start("copy").await);
        let hints = answering(HINTS.to_vec(), false).await;
        world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
        world.write("copy.yaml", &service("copy", &[copy.address]));
        let mut fronts = Vec::new();
        let services = [
            ("app", app.address, "http", &["h2", "http/1.1"][..]),
            ("calls", app.address, "kubernetes.io/h2c", &["h2"]),
            ("hints", hints, "http", &["http/1.1"]),
        ];
        for (name, address, speaks, alpn) in services {
            let front = TlsFront::before(&[("app.internal", address)], alpn).await;
            let clear = service_speaking(name, &[address], speaks);
            let text = format!("{clear}---\n{}", sealed(name, speaks, &front));
            world.write(&format!("{name}.yaml"), &text);
            fronts.push(front);
        }
        for kind in KINDS {
            world.write(&format!("route-{}.yaml", kind.name), &kind.route());
        }
        let over = [("CFGW_TUNNEL__PROTOCOL", protocol.to_owned())];
        let cfgw = world.cfgw_with(&over).await;
        for kind in KINDS {
            let host = kind.host();
            world.answers_to(&host).await;
            within(PATIENCE, &host, || async {
                let answer = world.client.get(&format!("https://{host}/")).await.ok()?;
                matches!(answer.status, 200 | 302).then_some(())
            })
            .await;
        }
        Self {
            world,
            cfgw,
            app: Arc::new(app),
            copy: Arc::new(copy),
            _fronts: fronts,
        }
    }
}

/// A Service that is spoken to over TLS.
fn sealed(name: &str, speaks: &str, front: &TlsFront) -> String {
    let service = service_speaking(&format!("sealed-{name}"), &[front.address], speaks);
    let lines = front.ca_pem.lines().map(|line| format!("    {line}\n"));
    let authority: String = lines.collect();
    format!(
        "{service}---
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: default}}
data:
  ca.crt: |
{authority}---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: {name}, namespace: default}}
spec:
  targetRefs: [{{group: \"\", kind: Service, name: sealed-{name}}}]
  validation:
    caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: {name}}}]
    hostname: app.internal
"
    )
}

/// Each kind with each behaviour over one transport.
async fn all_pass(protocol: &str) {
    let site = Site::start(protocol).await;
    let has_all_streams = std::env::var("STREAMS").is_ok_and(|which| which == "all");
    let mut wrong = Vec::new();
    for kind in KINDS {
        let mut told = Vec::new();
        for behaviour in Behaviour::ALL {
            let is_left_out = behaviour == Behaviour::Streams
                && (kind.answers_itself() || !(kind.has_streams || has_all_streams));
            if is_left_out || (behaviour == Behaviour::Trailers && protocol == "quic") {
                continue;
            }
            let given = Given {
                site: &site,
                kind,
                host: kind.host(),
            };
            match given.pass(behaviour).await {
                Ok(figures) => told.push(format!("{behaviour:?}{figures}")),
                Err(error) => wrong.push(format!(
                    "{} over {protocol}, {behaviour:?}: {error}",
                    kind.name
                )),
            }
        }
        println!("{} over {protocol}: {}", kind.name, told.join(", "));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_behaviour_passes_every_filter_and_policy_over_http2() {
    all_pass("http2").await;
}

/// QUIC has no place for trailers.
#[tokio::test(flavor = "multi_thread")]
async fn every_behaviour_passes_every_filter_and_policy_over_quic() {
    all_pass("quic").await;
}
