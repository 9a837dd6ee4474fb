//! What was asked of Kubernetes and Cloudflare, and the memory of who asked.

use std::collections::BTreeMap;

use tests::cluster::AuditEvent;
use tests::installation::Installation;
use tests::pods::{Memory, processes_of};

use super::is_write;

/// How often each sort of thing happened.
pub(super) type Counts = BTreeMap<String, usize>;

/// The controller's writes, by verb and resource.
pub(super) fn kubernetes(events: &[AuditEvent]) -> Counts {
    let mut counts = Counts::new();
    for event in events.iter().filter(|event| is_write(event)) {
        let Some(about) = &event.object_ref else {
            continue;
        };
        let resource = match about.subresource.as_str() {
            "" => about.resource.clone(),
            sub => format!("{}/{sub}", about.resource),
        };
        let code = event
            .response_status
            .as_ref()
            .map_or(0, |status| status.code);
        let refused = if code >= 400 {
            format!(" → {code}")
        } else {
            String::new()
        };
        *counts
            .entry(format!("{} {resource}{refused}", event.verb))
            .or_default() += 1;
    }
    counts
}

/// Calls of the Cloudflare API since there were so many, by method and path; ids are left out of paths.
pub(super) fn cloudflare(product: &Installation, since: usize) -> Counts {
    let mut counts = Counts::new();
    for call in product.standin.cloud().calls().split_off(since) {
        let words = call.path.split('/').map(|word| {
            let is_id = word.len() >= 32
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
            if is_id { "…" } else { word }
        });
        let path = words.collect::<Vec<_>>().join("/");
        let status = call.status.unwrap_or(0);
        let refused = if status >= 400 {
            format!(" → {status}")
        } else {
            String::new()
        };
        *counts
            .entry(format!("{} {path}{refused}", call.method))
            .or_default() += 1;
    }
    counts
}

/// The program's memory in a pod.
pub(super) fn memory(pod: &str) -> Memory {
    let found = processes_of(pod).into_iter().next();
    found.map(|process| process.memory()).unwrap_or_default()
}
