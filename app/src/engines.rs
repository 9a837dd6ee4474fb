//! The data plane of a process, as its settings have it.

use std::sync::Arc;
use std::time::Duration;

use adapter_proxy::memory::limit_of_this_process;
use adapter_proxy::{Engines, Limits, Memory, Metrics};
use anyhow::Context;
use config::sections::RequestSettings;
use config::values::{MemoryLimit, Period, UnderscoredHeaders as Setting};
use domain::endpoint_policy::EndpointPolicy;
use domain::gateway::UnderscoredHeaders;

/// Longer than any request.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Engines that share the memory of this process.
pub(crate) fn open(
    settings: &RequestSettings,
    policy: EndpointPolicy,
    metrics: Metrics,
) -> anyhow::Result<Arc<Engines>> {
    let memory = memory(settings.memory);
    memory
        .watch()
        .context("cannot start the thread that watches the memory")?;
    Ok(Arc::new(Engines::new(
        limits(settings)?,
        policy,
        memory,
        metrics,
    )))
}

fn memory(setting: MemoryLimit) -> Arc<Memory> {
    let limit = match setting {
        MemoryLimit::Bytes(bytes) => Some(bytes),
        MemoryLimit::Auto => limit_of_this_process(),
    };
    if let Some(limit) = limit {
        tracing::info!(limit, "requests are held to this much memory");
        return Memory::of(limit);
    }
    tracing::warn!("how much memory there is cannot be read: set requests.memory");
    Memory::unlimited()
}

fn limits(settings: &RequestSettings) -> anyhow::Result<Limits> {
    Ok(Limits {
        underscored_headers: underscored_headers(settings),
        max_in_flight: usize::try_from(settings.max_in_flight.get())
            .context("requests.max_in_flight")?,
        connect_timeout: wait(settings.connect_timeout),
        answer_timeout: wait(settings.answer_timeout),
        body_idle_timeout: wait(settings.body_idle_timeout),
        upgrade_idle_timeout: wait(settings.upgrade_idle_timeout),
        ..Limits::default()
    })
}

pub(crate) fn underscored_headers(settings: &RequestSettings) -> UnderscoredHeaders {
    match settings.headers_with_underscores {
        Setting::Drop => UnderscoredHeaders::Drop,
        Setting::Allow => UnderscoredHeaders::Allow,
    }
}

/// A length of time that can be added to the present time.
fn wait(period: Period) -> Duration {
    period.get().min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_settings_are_those_of_the_limits() {
        let limits = limits(&RequestSettings::default()).unwrap();
        assert_eq!(format!("{limits:?}"), format!("{:?}", Limits::default()));
    }
}
