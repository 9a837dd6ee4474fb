//! HTTPRoute.

use domain::ObjectKey;
use domain::capabilities::Feature;
use domain::gateway::{Filter, RouteKind, Rule, RulePolicy, Timeouts};

use super::route::WrittenRule;
use super::{filters, matches, references, retry, session, text};
use crate::fields::Fields;
use crate::types::{HTTPRouteRule, HTTPRouteTimeouts};

impl WrittenRule for HTTPRouteRule {
    const KIND: RouteKind = RouteKind::Http;

    fn matches(&self) -> usize {
        self.matches.len()
    }

    fn read(&self, fields: &Fields, field: &str, own: &ObjectKey) -> Rule {
        let matches = matches::matches(fields, field, &self.matches);
        let filters = filters::of_rule(fields, field, &self.filters, Self::KIND, own);
        let redirects = filters.iter().any(|f| matches!(f, Filter::Redirect(_)));
        if redirects && !self.backend_refs.is_empty() {
            fields.invalid(
                format!("{field}.backendRefs"),
                "the rule redirects, so no request reaches a backend; remove one of the two",
            );
        }
        let session = self.session_persistence.as_ref();
        let name = self.name.as_deref();
        let of = || session::RuleOf::new(Self::KIND, own, name, field);
        let retry = self.retry.as_ref();
        let timeouts = self.timeouts.clone().unwrap_or_default();
        Rule {
            backends: references::backends(fields, field, &self.backend_refs, Self::KIND, own),
            matches,
            filters,
            policy: RulePolicy {
                timeouts: self::timeouts(fields, &format!("{field}.timeouts"), &timeouts),
                retry: retry.map(|retry| retry::retry(fields, &format!("{field}.retry"), retry)),
                session: session.and_then(|session| {
                    session::session(
                        fields,
                        &format!("{field}.sessionPersistence"),
                        session,
                        of(),
                    )
                }),
            },
        }
    }
}

/// `rule.timeouts` (GEP-1742).
fn timeouts(fields: &Fields, field: &str, written: &HTTPRouteTimeouts) -> Timeouts {
    let read = |feature, member: &str, written: &Option<String>| {
        let written = written.as_ref()?;
        fields.uses(feature, format!("{field}.{member}"));
        text::duration(fields, format!("{field}.{member}"), written)
    };
    let timeouts = Timeouts {
        request: read(
            Feature::HTTPRouteRequestTimeout,
            "request",
            &written.request,
        ),
        backend_request: read(
            Feature::HTTPRouteBackendTimeout,
            "backendRequest",
            &written.backend_request,
        ),
    };
    if let (Some(request), Some(backend_request)) = (timeouts.request, timeouts.backend_request)
        && !request.is_zero()
        && backend_request > request
    {
        fields.invalid(
            format!("{field}.backendRequest"),
            format!(
                "Invalid value: {:?}: must not be longer than {field}.request; shorten it, or lengthen request",
                written.backend_request.as_deref().unwrap_or_default()
            ),
        );
    }
    timeouts
}
