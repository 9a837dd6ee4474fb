//! Where logs go: standard error, filtered, as text or as JSON.

use std::io::IsTerminal;

use config::values::LogFormat;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Libraries that write answers of the API server into the log, Secrets among them. They are silent whatever the
/// filter says; what fails is reported by the caller.
const SILENT: [&str; 3] = ["kube_client", "kube_core", "kube_runtime"];

/// Installs the log subscriber of this process. A second call changes nothing.
pub fn install(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let ansi = std::io::stderr().is_terminal();
    let subscriber = subscriber(filter, format, ansi, std::io::stderr)?;
    // A subscriber that is installed already (a test's, an embedding program's) stays.
    let _ = subscriber.try_init();
    Ok(())
}

fn subscriber<W>(
    filter: &str,
    format: LogFormat,
    ansi: bool,
    writer: W,
) -> anyhow::Result<impl Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter).map_err(|e| {
        anyhow::anyhow!(
            "log.filter {filter:?}: {e}; write for example info,adapter_connector=debug"
        )
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(ansi)
        .with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let registry = tracing_subscriber::registry();
    Ok(registry.with(lines).with(filter).with(filter_fn(may_speak)))
}

fn may_speak(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let library = target.split("::").next().unwrap_or(target);
    !SILENT.contains(&library)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn libraries_that_log_answers_are_silent_whatever_the_filter_says() {
        for filter in [
            "trace",
            "kube_client=trace",
            "info,kube_client::client=warn,kube_runtime=trace",
        ] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let log = Log::default();
                let writer = log.clone();
                let subscriber = subscriber(filter, format, false, move || writer.clone());
                tracing::subscriber::with_default(subscriber.unwrap(), || {
                    tracing::warn!(target: "kube_client::client", "CANARY, answer");
                    tracing::error!(target: "kube_client", "CANARY");
                    tracing::warn!(target: "kube_runtime::watcher", "CANARY");
                    let span = tracing::error_span!(target: "kube_client::client", "CANARY");
                    span.in_scope(|| tracing::error!(target: "kube_core", "CANARY"));
                    tracing::error!(target: "kube_clients", "of another library");
                });
                let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
                assert!(!log.contains("CANARY"), "{filter}: {log}");
                assert!(log.contains("of another library"), "{filter}: {log}");
            }
        }
    }
}
