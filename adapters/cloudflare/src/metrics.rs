//! What calls to Cloudflare are counted as.

use domain::ports::PortErrorKind;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::call::{CallOutcome, CallReport};

/// Metrics of all clients of a process. Clones count into the same numbers.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    calls: Family<[(&'static str, &'static str); 2], Counter>,
}

impl Metrics {
    /// Metrics that a registry shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "cloudflare_calls",
            "Requests to the Cloudflare API, by what was asked and how it ended",
            metrics.calls.clone(),
        );
        metrics
    }

    /// Counts one request.
    pub fn count(&self, report: &CallReport) {
        let labels = [("call", report.name), ("outcome", outcome(report.outcome))];
        self.calls.get_or_create_owned(&labels).inc();
    }
}

fn outcome(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Succeeded => "succeeded",
        CallOutcome::Withheld => "withheld",
        CallOutcome::Failed(kind) => match kind {
            PortErrorKind::Credentials => "credentials",
            PortErrorKind::Unauthenticated => "unauthenticated",
            PortErrorKind::Forbidden | PortErrorKind::TooManyGateways => "forbidden",
            PortErrorKind::NotFound => "not found",
            PortErrorKind::Conflict => "conflict",
            PortErrorKind::Invalid => "invalid",
            PortErrorKind::RateLimited => "rate limited",
            PortErrorKind::Unavailable | PortErrorKind::BrokerUnavailable => "unavailable",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallKind;

    #[test]
    fn a_call_is_counted_by_its_name_and_its_end() {
        let mut registry = Registry::with_prefix("cfgw");
        let metrics = Metrics::register(&mut registry);
        let ends = [
            CallOutcome::Succeeded,
            CallOutcome::Succeeded,
            CallOutcome::Withheld,
            CallOutcome::Failed(PortErrorKind::RateLimited),
        ];
        for outcome in ends {
            metrics.count(&CallReport {
                name: "list zones",
                kind: CallKind::Read,
                outcome,
                pause: None,
            });
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"cfgw_cloudflare_calls_total{call="list zones",outcome="succeeded"} 2"#,
            r#"cfgw_cloudflare_calls_total{call="list zones",outcome="withheld"} 1"#,
            r#"cfgw_cloudflare_calls_total{call="list zones",outcome="rate limited"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
