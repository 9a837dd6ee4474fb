//! What can be written beside the hostname and the backend of a route, each with two values that an answer tells apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tests::client::{Answer, Client};
use tests::manifests::{route_with, service, service_speaking};
use tests::origin::Origin;
use tests::tls_front::TlsFront;

/// A field with two values.
pub(super) struct Field {
    /// Its hostname is this one in `example.com`.
    pub(super) name: &'static str,
    pub(super) file: &'static str,
    /// The manifests with the one value, and with the other.
    pub(super) manifests: [String; 2],
    /// What tells the value.
    pub(super) probe: Request,
    /// What is answered at once, whatever the value.
    pub(super) steady: Request,
    /// What an answer to the probe tells of the value.
    pub(super) told: fn(&Answer) -> String,
    pub(super) tells: [&'static str; 2],
    /// Who gets a copy of a request with the one value, and with the other, where that is what tells the value.
    pub(super) mirrors: Option<[Arc<Origin>; 2]>,
}

/// A request that can be sent again.
#[derive(Debug, Clone)]
pub(super) struct Request {
    url: String,
    /// A number that no request had before takes the place of `*` in the URL.
    is_numbered: bool,
    headers: &'static [(&'static str, &'static str)],
    is_call: bool,
}

impl Request {
    fn new(host: &str, path: &str) -> Self {
        Self {
            url: format!("https://{host}.example.com{path}"),
            is_numbered: path.contains('*'),
            headers: &[],
            is_call: false,
        }
    }

    pub(super) async fn send(&self, client: &Client) -> Result<Answer, String> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let url = match self.is_numbered {
            true => self
                .url
                .replace('*', &NUMBER.fetch_add(1, Relaxed).to_string()),
            false => self.url.clone(),
        };
        let mut request = match self.is_call {
            true => client.http().post(url).body(&b"\0\0\0\0\0"[..]),
            false => client.http().get(url),
        };
        if self.is_call {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        client.send(request).await
    }
}

impl Field {
    /// Whether a request of the load may be answered so.
    pub(super) fn permits(&self, status: u16) -> bool {
        match self.name {
            "redirect" => matches!(status, 301 | 302),
            _ => status == 200,
        }
    }

    /// Its name, a request of the load, and the statuses that are right for that.
    pub(super) fn under_load(&self) -> (&'static str, Request, Vec<u16>) {
        let statuses = [200, 301, 302].into_iter();
        let right = statuses.filter(|status| self.permits(*status));
        (self.name, self.steady.clone(), right.collect())
    }
}

/// What the routes of the fields lead to, besides the Services `one` and `two`.
pub(super) struct Endpoints {
    two: std::net::SocketAddr,
    three: Origin,
    copies: [Arc<Origin>; 2],
    front: TlsFront,
}

impl Endpoints {
    pub(super) async fn start(two: &Origin) -> Self {
        let three = Origin::start("three").await;
        let copy = async |name: &str| Arc::new(Origin::start(name).await);
        let names = [
            ("two.internal", two.address),
            ("three.internal", three.address),
        ];
        Self {
            two: two.address,
            copies: [copy("copy-0").await, copy("copy-1").await],
            front: TlsFront::before(&names, &["h2", "http/1.1"]).await,
            three,
        }
    }

    /// Services that no edit changes.
    pub(super) fn manifests(&self) -> String {
        let [copy, other] = &self.copies;
        [
            service("three", &[self.three.address]),
            service("copy-0", &[copy.address]),
            service("copy-1", &[other.address]),
            service("sealed", &[self.front.address]),
            service_speaking("calls", &[self.three.address], "kubernetes.io/h2c"),
            authority(&self.front.ca_pem),
        ]
        .join("---\n")
    }

    pub(super) fn fields(&self) -> Vec<Field> {
        let mut all = backends();
        all.extend(filters());
        all.extend(policies());
        all.push(Field {
            mirrors: Some(self.copies.clone()),
            ..field(
                "mirror",
                ["copy-0", "copy-1"].map(mirror),
                (told_name, ["", ""]),
            )
        });
        let moving = |at| {
            let service = service("moving", &[at]);
            let rule = "    - backendRefs: [{name: moving, port: 80}]\n";
            format!("{}---\n{service}", route_of("endpoints", rule))
        };
        all.push(Field {
            manifests: [moving(self.two), moving(self.three.address)],
            ..field(
                "endpoints",
                [String::new(), String::new()],
                (told_name, ["two", "three"]),
            )
        });
        all
    }
}

fn authority(pem: &str) -> String {
    let lines = pem.lines().map(|line| format!("    {line}\n"));
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: authority, namespace: default}}
data:
  ca.crt: |
{}",
        lines.collect::<String>()
    )
}

type Telling = (fn(&Answer) -> String, [&'static str; 2]);

fn route_of(name: &str, rules: &str) -> String {
    route_with(name, "my-gateway", &[&format!("{name}.example.com")], rules)
}

/// A field of a route with these rules.
fn field(name: &'static str, rules: [String; 2], (told, tells): Telling) -> Field {
    Field {
        name,
        file: format!("field-{name}.yaml").leak(),
        manifests: rules.map(|rules| route_of(name, &rules)),
        probe: Request::new(name, "/"),
        steady: Request::new(name, "/"),
        told,
        tells,
        mirrors: None,
    }
}

fn told_name(answer: &Answer) -> String {
    match answer.status {
        200 => answer.told("name"),
        other => other.to_string(),
    }
}

fn told_status(answer: &Answer) -> String {
    answer.status.to_string()
}

fn told_header(answer: &Answer, name: &str) -> String {
    let value = answer.headers.get(name);
    let value = value.and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// A rule with one filter before Service `two`.
fn filter(kind: &str, value: &str) -> String {
    let field = format!("{}{}", kind[..1].to_lowercase(), &kind[1..]);
    let field = match kind {
        "URLRewrite" => "urlRewrite",
        "CORS" => "cors",
        _ => &field,
    };
    format!(
        "    - filters: [{{type: {kind}, {field}: {value}}}]
      backendRefs: [{{name: two, port: 80}}]
"
    )
}

fn mirror(to: &str) -> String {
    filter(
        "RequestMirror",
        &format!("{{backendRef: {{name: {to}, port: 80}}}}"),
    )
}

fn backends() -> Vec<Field> {
    let to = |name: &str| format!("    - backendRefs: [{{name: {name}, port: 80}}]\n");
    let weights = |two: u32, three: u32| {
        format!(
            "    - backendRefs: [{{name: two, port: 80, weight: {two}}}, {{name: three, port: 80, weight: {three}}}]\n"
        )
    };
    let by_path = |path: &str| {
        let value = format!("{{type: PathPrefix, value: {path}}}");
        let rule = format!(
            "    - matches: [{{path: {value}}}]\n      backendRefs: [{{name: three, port: 80}}]\n"
        );
        format!("{rule}{}", to("two"))
    };
    let of_backend = |value: &str| {
        format!(
            "    - backendRefs:
        - name: two
          port: 80
          filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-asked, value: {value}}}]}}}}]
"
        )
    };
    let call = |value: &str| {
        let rules = format!(
            "    - filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-asked, value: {value}}}]}}}}]
      backendRefs: [{{name: calls, port: 80}}]
"
        );
        route_of("calls", &rules).replace("HTTPRoute", "GRPCRoute")
    };
    let asked = Request {
        is_call: true,
        ..Request::new("calls", "/shop.Cart/Add")
    };
    let names: Telling = (told_name, ["two", "three"]);
    let told: Telling = (|answer| told_header(answer, "x-told"), ["a", "b"]);
    vec![
        field("backend", [to("two"), to("three")], names),
        field("weights", [weights(5, 0), weights(0, 5)], names),
        field("path", [by_path("/elsewhere"), by_path("/")], names),
        field("backend-filter", ["a", "b"].map(of_backend), told),
        Field {
            manifests: ["a", "b"].map(call),
            probe: asked.clone(),
            steady: asked,
            ..field("calls", [String::new(), String::new()], told)
        },
    ]
}

fn filters() -> Vec<Field> {
    let set = |kind: &'static str, name: &'static str| {
        ["a", "b"].map(|value| {
            filter(
                kind,
                &format!("{{set: [{{name: {name}, value: {value}}}]}}"),
            )
        })
    };
    let redirect = |status: u16| {
        format!(
            "    - filters: [{{type: RequestRedirect, requestRedirect: {{statusCode: {status}, hostname: app.example.com}}}}]\n"
        )
    };
    let rewrite = |host: &str| {
        let path = "{type: ReplacePrefixMatch, replacePrefixMatch: /new}";
        filter(
            "URLRewrite",
            &format!("{{hostname: {host}.internal, path: {path}}}"),
        )
    };
    let cors = |origin: &str| {
        filter(
            "CORS",
            &format!("{{allowOrigins: [\"https://{origin}.example\"]}}"),
        )
    };
    let permitted = |answer: &Answer| told_header(answer, "access-control-allow-origin");
    let from_a = Request {
        headers: &[("origin", "https://a.example")],
        ..Request::new("cors", "/")
    };
    let told: Telling = (|answer| told_header(answer, "x-told"), ["a", "b"]);
    let marked: Telling = (|answer| told_header(answer, "x-mark"), ["a", "b"]);
    let hosts: Telling = (
        |answer| told_header(answer, "x-host") + &answer.told("target"),
        ["a.internal/new/", "b.internal/new/"],
    );
    vec![
        field(
            "request-headers",
            set("RequestHeaderModifier", "x-asked"),
            told,
        ),
        field(
            "response-headers",
            set("ResponseHeaderModifier", "x-mark"),
            marked,
        ),
        field(
            "redirect",
            [301, 302].map(redirect),
            (told_status, ["301", "302"]),
        ),
        field("rewrite", ["a", "b"].map(rewrite), hosts),
        Field {
            probe: from_a,
            ..field(
                "cors",
                ["a", "b"].map(cors),
                (permitted, ["https://a.example", ""]),
            )
        },
    ]
}

fn policies() -> Vec<Field> {
    let rule =
        |lines: &str| format!("    - {lines}\n      backendRefs: [{{name: two, port: 80}}]\n");
    let timeouts = ["{request: 500ms}", "{request: 10s, backendRequest: 9s}"];
    let timeouts = timeouts.map(|timeouts| rule(&format!("timeouts: {timeouts}")));
    let attempts = [0, 2].map(|attempts| {
        rule(&format!(
            "retry: {{codes: [503], attempts: {attempts}, backoff: 1ms}}"
        ))
    });
    let sessions = ["a", "b"].map(|name| {
        rule(&format!(
            "sessionPersistence: {{sessionName: stay-{name}, type: Cookie}}"
        ))
    });
    let sealed = |name: &str| {
        let rule = "    - backendRefs: [{name: sealed, port: 80}]\n";
        format!(
            "{}---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: sealed, namespace: default}}
spec:
  targetRefs: [{{group: \"\", kind: Service, name: sealed}}]
  validation:
    caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: authority}}]
    hostname: {name}.internal
",
            route_of("backend-tls", rule)
        )
    };
    let cookie: Telling = (
        |answer| told_header(answer, "set-cookie").chars().take(6).collect(),
        ["stay-a", "stay-b"],
    );
    vec![
        Field {
            probe: Request::new("timeouts", "/slow/800"),
            ..field("timeouts", timeouts, (told_status, ["504", "200"]))
        },
        Field {
            probe: Request::new("retry", "/once/*"),
            steady: Request::new("retry", "/once/0"),
            ..field("retry", attempts, (told_status, ["503", "200"]))
        },
        field("sessions", sessions, cookie),
        Field {
            manifests: ["two", "three"].map(sealed),
            ..field(
                "backend-tls",
                [String::new(), String::new()],
                (told_name, ["two", "three"]),
            )
        },
    ]
}
