//! Routes: HTTPRoute and GRPCRoute in one shape. A gRPC call is a request for `/service/method`, so what a
//! GRPCRoute asks of a call stands where an HTTPRoute has its path; gRPC always POSTs, so no method is asked
//! for.

use std::fmt;
use std::time::Duration;

use super::{
    Cors, ExternalAuth, FieldError, FieldErrorKind, GATEWAY_GROUP, Mirror, Pattern, PatternRoom,
    Retry, Session,
};
use crate::capabilities::{Feature, FeatureSet};
use crate::names::{Hostname, ObjectKey, ObjectRef, Timestamp};

/// Kinds of route that we serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum RouteKind {
    Http,
    Grpc,
}

impl RouteKind {
    const ALL: [Self; 2] = [Self::Http, Self::Grpc];

    /// The kind of this name, in the group of the Gateway API.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The API's name of the kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
        }
    }
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which kind it is.
    pub kind: RouteKind,
    /// What it was written as.
    pub source: RouteSource,
    pub key: ObjectKey,
    /// `metadata.generation`; 0 where the source has none.
    pub generation: i64,
    /// `metadata.creationTimestamp`; the epoch where the source has none. Older routes win ties.
    pub created: Timestamp,
    /// `spec.parentRefs`, in the order written.
    pub parents: Vec<ParentRef>,
    /// `spec.hostnames`; empty means the listener's. Malformed ones are field errors, not listed here.
    pub hostnames: Vec<Hostname>,
    /// In the order written.
    pub rules: Vec<Rule>,
    /// What the regular expressions of all rules take when they are compiled.
    pub pattern_room: PatternRoom,
    /// The features that it uses, and where.
    pub uses: Vec<FeatureUse>,
    /// What cannot be acted upon, wherever in the route it stands.
    pub field_errors: Vec<FieldError>,
}

/// What a route was written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteSource {
    /// An object of the kind that the route is.
    Route,
    /// The annotations of a Service.
    Service {
        /// See [`Exposure::is_load_balancer`](super::Exposure::is_load_balancer).
        is_load_balancer: bool,
    },
}

/// A feature of the Gateway API that a route uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeatureUse {
    /// Path of the field that asks for it, e.g. `spec.rules[0].filters[1]`.
    pub field: String,
    /// What it asks for.
    pub feature: Feature,
}

impl Route {
    /// The object that says it, and that gets its status.
    pub fn object(&self) -> ObjectRef {
        let (group, kind) = match self.source {
            RouteSource::Route => (GATEWAY_GROUP, self.kind.as_str()),
            RouteSource::Service { .. } => ("", "Service"),
        };
        ObjectRef {
            group: group.to_owned(),
            kind: kind.to_owned(),
            key: self.key.clone(),
        }
    }

    /// Path of the field with its hostnames.
    pub fn hostnames_field(&self) -> &'static str {
        match self.source {
            RouteSource::Route => "spec.hostnames",
            RouteSource::Service { .. } => {
                "metadata.annotations[cloudflare-gateway-controller.io/hostname]"
            }
        }
    }

    /// What of it a data plane that serves these features cannot carry out.
    pub fn unserved(&self, served: FeatureSet) -> impl Iterator<Item = FieldError> {
        let lacking = self
            .uses
            .iter()
            .filter(move |used| !served.has(used.feature));
        lacking.map(|used| FieldError {
            field: used.field.clone(),
            kind: FieldErrorKind::Unsupported,
            message: used.feature.refusal(),
        })
    }
}

/// Kind, namespace and name of the object that says it.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            RouteSource::Route => write!(f, "{} {}", self.kind.as_str(), self.key),
            RouteSource::Service { .. } => write!(f, "Service {}", self.key),
        }
    }
}

/// One of `spec.parentRefs`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParentRef {
    /// The parent, with the route's namespace where none is written.
    pub target: ObjectRef,
    /// Whether the namespace was written; statuses repeat the reference as its author wrote it.
    pub namespace_written: bool,
    pub section: Option<String>,
    pub port: Option<u16>,
}

/// One of `spec.rules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Any of them suffices; the API's default (prefix `/`) is already filled in.
    pub matches: Vec<RouteMatch>,
    /// In the order written. Those of requests act before a backend is chosen, those of answers after the backend's own.
    pub filters: Vec<Filter>,
    /// For every request of the rule.
    pub policy: RulePolicy,
    /// Empty: 500, unless a filter answers.
    pub backends: Vec<BackendRef>,
}

impl Route {
    /// What its backends and filters name.
    pub fn references(&self) -> impl Iterator<Item = &ObjectRef> {
        self.rules.iter().flat_map(|rule| {
            let backends = rule.backends.iter().map(|backend| &backend.target);
            backends.chain(rule.filter_refs().map(|to| &to.target))
        })
    }
}

impl Rule {
    /// Where its filters lead, and those of its backends.
    pub fn filter_refs(&self) -> impl Iterator<Item = &FilterRef> {
        let of_backends = self.backends.iter().flat_map(|backend| &backend.filters);
        let filters = self.filters.iter().chain(of_backends);
        filters.filter_map(Filter::leads_to)
    }
}

/// What holds for every request of a rule, whichever backend takes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default)
)]
pub struct RulePolicy {
    /// How long a request may take.
    pub timeouts: Timeouts,
    /// When a request is sent once more. Not written where the rule does not say it.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub retry: Option<Retry>,
    /// Whether a visitor stays with an endpoint. Not written where the rule does not say it.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub session: Option<Session>,
}

/// `rule.timeouts` (GEP-1742). Zero means that there is no timeout, not even the proxy's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timeouts {
    /// From the head of the request until the answer is complete, all attempts included.
    pub request: Option<Duration>,
    /// From the moment at which an endpoint is sent the request until its answer is complete.
    pub backend_request: Option<Duration>,
}

/// One of `rule.matches`: all parts must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RouteMatch {
    /// How the path must look: in a GRPCRoute always a [`PathMatch::Call`], in an HTTPRoute never, because the
    /// two kinds rank differently.
    pub path: PathMatch,
    pub method: Option<String>,
    /// Only the first for a name counts (Gateway API); later ones are dropped at the border.
    pub headers: Vec<HeaderMatch>,
    /// Only the first for a name counts.
    pub query: Vec<QueryMatch>,
}

/// `match.path`. Values start with `/` (but for a regular expression); a field error otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum PathMatch {
    Exact(String),
    /// Whole leading segments; `/` matches all, a trailing `/` is ignored.
    Prefix(String),
    /// A regular expression for the whole path.
    Regex(Pattern),
    /// `match.method` of a GRPCRoute. Apart, because few paths are of this size.
    Call(Box<CallMatch>),
}

/// Service and method of a gRPC call: what is before and after the last slash of its path. Where neither is
/// asked for, every path holds, whether it is a call's or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CallMatch {
    /// How the service must look; `None` for any.
    pub service: Option<TextMatch>,
    /// How the method must look; `None` for any.
    pub method: Option<TextMatch>,
}

/// One of `match.headers`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HeaderMatch {
    pub name: String,
    /// Compared with the header's values joined by `,`.
    pub value: TextMatch,
}

/// One of `match.queryParams`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QueryMatch {
    pub name: String,
    /// Compared with the first value of the parameter.
    pub value: TextMatch,
}

/// How a text must look.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum TextMatch {
    /// Equal, byte by byte.
    Exact(String),
    /// A regular expression for the whole text.
    Regex(Pattern),
}

/// One of `filters` whose values a data plane can use. One of another type is a [`FeatureUse`] only. `T` is where a filter
/// leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Filter<T = FilterRef> {
    RequestHeaders(HeaderModifier),
    ResponseHeaders(HeaderModifier),
    Redirect(Redirect),
    Rewrite(Rewrite),
    Cors(Cors),
    Mirror(Mirror<T>),
    ExternalAuth(ExternalAuth<T>),
}

impl<T> Filter<T> {
    /// What it makes of the headers of a request.
    pub fn on_request_headers(&self) -> Option<&HeaderModifier> {
        match self {
            Self::RequestHeaders(modifier) => Some(modifier),
            Self::ResponseHeaders(_)
            | Self::Redirect(_)
            | Self::Rewrite(_)
            | Self::Cors(_)
            | Self::Mirror(_)
            | Self::ExternalAuth(_) => None,
        }
    }

    /// The mirror that it is.
    pub fn mirror(&self) -> Option<&Mirror<T>> {
        match self {
            Self::Mirror(mirror) => Some(mirror),
            _ => None,
        }
    }

    /// Where it leads.
    pub fn leads_to(&self) -> Option<&T> {
        match self {
            Self::Mirror(mirror) => Some(&mirror.to),
            Self::ExternalAuth(auth) => auth.to.as_ref(),
            Self::RequestHeaders(_)
            | Self::ResponseHeaders(_)
            | Self::Redirect(_)
            | Self::Rewrite(_)
            | Self::Cors(_) => None,
        }
    }

    /// Where it says that the prefix which the rule matched is replaced.
    pub fn prefix_field(&self) -> Option<&'static str> {
        let (path, field) = match self {
            Self::Redirect(redirect) => (&redirect.path, "requestRedirect.path"),
            Self::Rewrite(rewrite) => (&rewrite.path, "urlRewrite.path"),
            Self::RequestHeaders(_)
            | Self::ResponseHeaders(_)
            | Self::Cors(_)
            | Self::Mirror(_)
            | Self::ExternalAuth(_) => return None,
        };
        matches!(path, Some(HttpPathModifier::Prefix(_))).then_some(field)
    }
}

impl Filter {
    /// The same filter, which leads to what `to` says; `None` for a mirror that leads nowhere. An ExternalAuth stays.
    pub fn resolved<T>(&self, to: impl FnOnce(&FilterRef) -> Option<T>) -> Option<Filter<T>> {
        Some(match self {
            Self::RequestHeaders(modifier) => Filter::RequestHeaders(modifier.clone()),
            Self::ResponseHeaders(modifier) => Filter::ResponseHeaders(modifier.clone()),
            Self::Redirect(redirect) => Filter::Redirect(redirect.clone()),
            Self::Rewrite(rewrite) => Filter::Rewrite(rewrite.clone()),
            Self::Cors(cors) => Filter::Cors(cors.clone()),
            Self::Mirror(mirror) => Filter::Mirror(Mirror {
                to: to(&mirror.to)?,
                share: mirror.share,
            }),
            Self::ExternalAuth(auth) => Filter::ExternalAuth(auth.resolved(to)),
        })
    }
}

/// `backendRef` of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FilterRef {
    /// The backend, with the namespace of the object that refers to it where none is written.
    pub target: ObjectRef,
    /// `port`; required for a Service.
    pub port: Option<u16>,
    /// It is spoken to as a backend of a route of this kind is.
    pub spoken: RouteKind,
    /// Where it stands, e.g. `spec.rules[0].filters[1].requestMirror.backendRef`.
    pub field: String,
}

/// Sets, adds and removes headers, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HeaderModifier {
    /// Name (lower case) and value; replaces what is there. A name stands once, here and in `add`.
    pub set: Vec<(String, String)>,
    /// Name (lower case) and value; joins what is there.
    pub add: Vec<(String, String)>,
    pub remove: Vec<String>,
}

/// RequestRedirect: `None` keeps what the request had.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    pub hostname: Option<Hostname>,
    /// Path of the new location.
    pub path: Option<HttpPathModifier>,
    /// Port of the new location.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// URLRewrite: `None` keeps what the request had.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rewrite {
    /// The host that the backend is asked for.
    pub hostname: Option<Hostname>,
    /// The path that the backend is asked for.
    pub path: Option<HttpPathModifier>,
}

/// Rewriting of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum HttpPathModifier {
    Full(String),
    /// The prefix that the rule matched.
    Prefix(String),
}

/// One of `rule.backendRefs`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BackendRef {
    /// The backend, with the route's namespace where none is written.
    pub target: ObjectRef,
    /// `port`; required for a Service.
    pub port: Option<u16>,
    /// 0 to 1,000,000; 1 by default. 0 takes no traffic.
    pub weight: u32,
    /// Of the requests that go to this backend, and of its answers.
    pub filters: Vec<Filter>,
    /// Where it stands, e.g. `spec.rules[0].backendRefs[1]`.
    pub field: String,
}
