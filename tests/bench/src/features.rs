//! What a rule can have besides a backend, and what that may cost.

use std::path::Path;

use anyhow::Context;
use domain::certificate::CaBundle;
use domain::gateway::{
    Filter, HeaderModifier, HttpPathModifier, Mirror, Rewrite, Session, SessionCarrier,
    SessionCookie, SessionKey, Share,
};
use domain::names::{Hostname, ObjectKey};
use domain::route_table::{
    BackendTarget, RouteTable, TableRule, Trust, Upstream, UpstreamKey, UpstreamTls,
};

/// The name that an origin over TLS has a certificate for.
pub(crate) const ORIGIN_NAME: &str = "origin.internal";

/// What each rule of a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Feature {
    /// A backend, and nothing else.
    Plain,
    /// Ten modifications of headers: five of the request, five of the answer.
    Headers,
    /// A new hostname and a new prefix of the path.
    Rewrite,
    /// Two backends with weights.
    Weights,
    /// A copy of each request.
    Mirror,
    /// A session, which each request belongs to.
    Session,
}

impl Feature {
    /// Those that cost something, and at most how many times the instructions of a plain rule.
    pub(crate) const LIMITS: [(Self, f64); 5] = [
        (Self::Headers, 1.05),
        (Self::Rewrite, 1.02),
        (Self::Weights, 1.01),
        (Self::Mirror, 1.9),
        (Self::Session, 1.05),
    ];

    /// Gives it to each rule.
    pub(crate) fn add_to(self, table: &mut RouteTable) {
        let Some((key, upstream)) = table.upstreams.first_key_value() else {
            return;
        };
        let other = UpstreamKey {
            service: ObjectKey::new("default", "other"),
            ..key.clone()
        };
        let upstream = upstream.clone();
        let routes = table.listeners.iter_mut().flat_map(|l| &mut l.routes);
        for rule in routes.flat_map(|route| &mut route.rules) {
            self.add_to_rule(rule, &other);
        }
        if matches!(self, Self::Weights | Self::Mirror) {
            table.upstreams.insert(other, upstream);
        }
    }

    fn add_to_rule(self, rule: &mut TableRule, other: &UpstreamKey) {
        match self {
            Self::Plain => {}
            Self::Headers => {
                rule.filters.push(Filter::RequestHeaders(five()));
                rule.filters.push(Filter::ResponseHeaders(five()));
            }
            Self::Rewrite => rule.filters.push(Filter::Rewrite(Rewrite {
                hostname: Hostname::parse("shop.internal").ok(),
                path: Some(HttpPathModifier::Prefix("/shop".to_owned())),
            })),
            Self::Weights => {
                let mut second = rule.backends[0].clone();
                second.target = BackendTarget::Upstream(other.clone());
                rule.backends.push(second);
            }
            Self::Mirror => rule.filters.push(Filter::Mirror(Mirror {
                to: other.clone(),
                share: Share::ALL,
            })),
            Self::Session => {
                rule.policy.session = Some(Session {
                    rule: "0".to_owned(),
                    carrier: SessionCarrier::Cookie(SessionCookie {
                        name: "stay".to_owned(),
                        path: None,
                        is_permanent: false,
                    }),
                    beats_weights: false,
                    absolute: None,
                    idle: None,
                    key: Some(SessionKey::new([7; 32])),
                });
            }
        }
    }
}

/// Three headers that are set, one that is added, one that is removed.
fn five() -> HeaderModifier {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    HeaderModifier {
        set: vec![
            pair("X-Team", "checkout"),
            pair("X-Frame-Options", "DENY"),
            pair("Cache-Control", "private"),
        ],
        add: vec![pair("X-Trace", "gateway")],
        remove: vec!["Accept-Language".to_owned()],
    }
}

/// Has all upstreams spoken to over TLS, by this authority.
pub(crate) fn speak_tls(table: &mut RouteTable, authority: &Path) -> anyhow::Result<()> {
    let tls = UpstreamTls {
        trust: Trust::Bundles(vec![CaBundle::from(std::fs::read_to_string(authority)?)]),
        hostname: Hostname::parse(ORIGIN_NAME).context("a hostname")?,
        names: vec![],
        client: None,
    };
    for upstream in table.upstreams.values_mut() {
        *upstream = Upstream {
            tls: Some(tls.clone().into()),
            ..upstream.clone()
        };
    }
    Ok(())
}
