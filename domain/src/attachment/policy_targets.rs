//! Whether what a BackendTLSPolicy is for is there: ports of Services and ServiceImports, for TCP.

use super::{Refusal, listed};
use crate::gateway::{
    BACKEND_TLS_POLICY_KIND, BackendKind, BackendName, BackendTlsPolicy, PolicyTarget,
};
use crate::route_table::{Backend, BackendIndex};
use crate::status::Reason;

/// What is wrong with the targets of a policy, as sentences. One whose Service is not there is not judged: then nothing leads
/// to it.
#[derive(Debug, Default)]
pub(super) struct TargetFaults {
    /// Ports that their Service has not.
    missing: Vec<String>,
    /// Ports for other protocols than TCP.
    not_tcp: Vec<String>,
    /// Services that have such ports beside others.
    mixed: Vec<String>,
    /// Whether it is for a port all the same.
    has_another: bool,
}

impl TargetFaults {
    pub(super) fn of(policy: &BackendTlsPolicy, backends: &BackendIndex<'_>) -> Self {
        let mut faults = Self::default();
        for (index, target) in policy.targets.iter().enumerate() {
            let field = format!(
                "{BACKEND_TLS_POLICY_KIND} {}: spec.targetRefs[{index}]",
                policy.key
            );
            match found(target, backends) {
                Some((name, backend)) => faults.judge(&field, target, name, backend),
                None => faults.has_another = true,
            }
        }
        faults
    }

    fn judge(
        &mut self,
        field: &str,
        target: &PolicyTarget,
        backend: BackendName<'_>,
        found: Backend<'_>,
    ) {
        let others = || found.other_ports.join(", ");
        match &target.section {
            Some(_) if has_port(target, found) => self.has_another = true,
            Some(name) if found.other_ports.contains(name) => self.not_tcp.push(format!(
                "{field}.sectionName: Invalid value: {name}: must be a port for TCP of {backend}: name another"
            )),
            Some(name) => {
                let names = found.ports.iter().map(|port| port.name.clone());
                let names = listed(names.filter(|name| !name.is_empty()));
                self.missing.push(format!(
                    "{field}.sectionName: Not found: {backend} has no port {name}: name one of its ports ({names}), or remove it"
                ));
            }
            None if found.ports.is_empty() && !found.other_ports.is_empty() => {
                self.not_tcp.push(format!(
                    "{field}: Invalid value: {backend} must have a port for TCP, and has {} only",
                    others()
                ));
            }
            None => {
                self.has_another = true;
                if !found.other_ports.is_empty() {
                    self.mixed.push(format!(
                        "{field}: it has no effect on ports of {backend} that are not for TCP ({})",
                        others()
                    ));
                }
            }
        }
    }

    /// Why the policy is not accepted: it is for nothing.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let reason = match self.not_tcp.is_empty() {
            true => Reason::TargetNotFound,
            false => Reason::Invalid,
        };
        (!self.has_another).then(|| Refusal::new(reason, listed(self.sentences())))
    }

    /// What has no effect.
    pub(super) fn sentences(&self) -> Vec<String> {
        let all = [&self.not_tcp, &self.missing, &self.mixed];
        all.into_iter().flatten().cloned().collect()
    }
}

/// Whether a target names a port that its backend has not, as far as that is known.
pub(super) fn is_astray(target: &PolicyTarget, backends: &BackendIndex<'_>) -> bool {
    found(target, backends).is_some_and(|(_, found)| !has_port(target, found))
}

/// What a target names. One without any port is left out: nothing is known of what it would have. So is an XBackend, which
/// no policy is for.
fn found<'t, 's>(
    target: &'t PolicyTarget,
    backends: &BackendIndex<'s>,
) -> Option<(BackendName<'t>, Backend<'s>)> {
    let name = BackendName::of(&target.object)?;
    let found = backends.find(name)?;
    let has_ports = !found.ports.is_empty() || !found.other_ports.is_empty();
    (has_ports && name.kind != BackendKind::External).then_some((name, found))
}

fn has_port(target: &PolicyTarget, found: Backend<'_>) -> bool {
    let mut ports = found.ports.iter();
    match &target.section {
        Some(name) => ports.any(|port| port.name == *name),
        None => ports.next().is_some(),
    }
}
