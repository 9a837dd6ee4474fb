//! How proxies are doing, in words for the user.

use domain::workload::WorkloadStatus;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// How many pods that are not ready are told of.
const TOLD: usize = 4;

/// What Deployments and pods of one Gateway say. The words change only when the matter does: what a kubelet
/// says changes with every attempt.
pub(super) fn describe<'a>(
    deployments: impl Iterator<Item = &'a Deployment>,
    pods: impl Iterator<Item = &'a Pod>,
) -> WorkloadStatus {
    let mut ready = 0;
    let mut wanted = 0;
    let mut problems = Vec::new();
    let mut overdue = Vec::new();
    for deployment in deployments {
        let status = deployment.status.as_ref();
        ready += status.and_then(|s| s.ready_replicas).unwrap_or(0);
        wanted += deployment.spec.replicas.unwrap_or(1);
        problems.extend(refused_pods(deployment));
        overdue.extend(self::overdue(deployment));
    }
    let mut of_pods: Vec<String> = pods
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(pod_problem)
        .collect();
    of_pods.sort();
    let more = of_pods.len().saturating_sub(TOLD);
    of_pods.truncate(TOLD);
    problems.extend(of_pods);
    if more > 0 {
        problems.push(format!("and {more} pods more"));
    }
    if problems.is_empty() && ready < wanted {
        problems.push(format!("{ready} of {wanted} pods are there and ready"));
    }
    WorkloadStatus {
        ready: u32::try_from(ready).unwrap_or(0),
        problems,
        overdue,
        ..WorkloadStatus::default()
    }
}

/// Told where a Deployment waits for its pods for longer than its `progressDeadlineSeconds`.
fn overdue(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let mut conditions = conditions.iter();
    conditions.find(|c| is(&c.type_, "Progressing") && is(&c.status, "False"))?;
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    Some(format!(
        "Deployment {name} has exceeded its progress deadline"
    ))
}

/// Told where the cluster refuses to make pods: a quota, an admission rule.
fn refused_pods(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions
        .iter()
        .find(|c| is(&c.type_, "ReplicaFailure") && is(&c.status, "True"))?;
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let message = failure.message.as_deref().unwrap_or("no reason is given");
    Some(format!("Deployment {name} gets no pods: {message}"))
}

fn is(field: &Option<String>, value: &str) -> bool {
    field.as_deref() == Some(value)
}

/// Whether a pod takes traffic.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c.type_ == "Ready" && c.status == "True")
}

fn pod_problem(pod: &Pod) -> Option<String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref();
    let condition = |kind: &str| {
        let conditions = status.and_then(|s| s.conditions.as_ref());
        conditions?.iter().find(|c| c.type_ == kind)
    };
    if is_ready(pod) {
        return None;
    }
    if let Some(unscheduled) = condition("PodScheduled").filter(|c| c.status == "False") {
        let message = unscheduled.message.as_deref().unwrap_or_default();
        return Some(format!("pod {name} finds no node: {message}"));
    }
    let phase = status.and_then(|s| s.phase.as_deref());
    if phase == Some("Failed") {
        let reason = status.and_then(|s| s.reason.as_deref());
        let reason = reason.unwrap_or("its container ended");
        return Some(format!("pod {name} failed: {reason}"));
    }
    let containers = status.and_then(|s| s.container_statuses.as_ref());
    let problem = containers
        .into_iter()
        .flatten()
        .find_map(container_problem)
        .unwrap_or_else(|| "is not ready yet".to_owned());
    Some(format!("pod {name} {problem}"))
}

fn container_problem(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some(match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => format!(
            "cannot get its image {}; check its name and the pull secrets",
            container.image
        ),
        "CrashLoopBackOff" => {
            let ended = container.last_state.as_ref();
            let ended = ended.and_then(|state| state.terminated.as_ref());
            let how = ended.map_or_else(String::new, |ended| {
                match ended.reason.as_deref().filter(|reason| *reason != "Error") {
                    Some(reason) => format!(" ({reason})"),
                    None => format!(" (exit code {})", ended.exit_code),
                }
            });
            format!("ends again and again{how}; see its log")
        }
        "ContainerCreating" | "PodInitializing" => "is starting".to_owned(),
        reason => {
            let message = waiting.message.as_deref().unwrap_or_default();
            format!("cannot start: {reason}: {message}")
        }
    })
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
