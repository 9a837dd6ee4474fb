use serde_json::{Value, json};

use super::*;

fn deployment(wanted: i32, ready: i32) -> Value {
    json!({
        "metadata": {"name": "gateway-web"},
        "spec": {"replicas": wanted, "selector": {}, "template": {}},
        "status": {"readyReplicas": ready},
    })
}

fn waiting(name: &str, reason: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"phase": "Pending", "containerStatuses": [{
        "name": "proxy", "image": "registry/cfgw:1", "imageID": "", "ready": false,
        "restartCount": 3,
        "state": {"waiting": {"reason": reason, "message": "back-off 10s"}},
        "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}},
    }]}})
}

fn with(name: &str, condition: &str, status: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"phase": "Running", "conditions": [
        {"type": condition, "status": status, "message": "0/3 nodes are available"},
    ]}})
}

fn described(deployments: Vec<Value>, pods: Vec<Value>) -> WorkloadStatus {
    let deployments: Vec<Deployment> = deployments
        .into_iter()
        .map(|value| serde_json::from_value(value).expect("a Deployment"))
        .collect();
    let pods: Vec<Pod> = pods
        .into_iter()
        .map(|value| serde_json::from_value(value).expect("a Pod"))
        .collect();
    describe(deployments.iter(), pods.iter())
}

#[test]
fn what_keeps_pods_from_being_ready_is_said_in_words() {
    let mut refused = deployment(2, 0);
    refused["status"]["conditions"] = json!([
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"},
    ]);
    let mut going = with("a", "Ready", "False");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let failed = json!({"metadata": {"name": "a"}, "status": {
        "phase": "Failed", "reason": "Evicted",
    }});
    /// Given a Deployment and its pods: how many are ready, and the problems.
    type Case = (
        &'static str,
        Value,
        Vec<Value>,
        u32,
        &'static [&'static str],
    );
    let table: Vec<Case> = vec![
        (
            "all ready",
            deployment(2, 2),
            vec![with("a", "Ready", "True"), with("b", "Ready", "True")],
            2,
            &[],
        ),
        (
            "nothing there yet",
            deployment(2, 0),
            vec![],
            0,
            &["0 of 2 pods are there and ready"],
        ),
        (
            "one of two",
            deployment(2, 1),
            vec![with("a", "Ready", "True"), with("b", "Ready", "False")],
            1,
            &["pod b is not ready yet"],
        ),
        (
            "one that is going is nobody's problem",
            deployment(1, 1),
            vec![going],
            1,
            &[],
        ),
        (
            "no node",
            deployment(1, 0),
            vec![with("a", "PodScheduled", "False")],
            0,
            &["pod a finds no node: 0/3 nodes are available"],
        ),
        (
            "no image",
            deployment(1, 0),
            vec![waiting("a", "ImagePullBackOff")],
            0,
            &["pod a cannot get its image registry/cfgw:1; check its name and the pull secrets"],
        ),
        (
            "a crash loop",
            deployment(1, 0),
            vec![waiting("a", "CrashLoopBackOff")],
            0,
            &["pod a ends again and again (exit code 2); see its log"],
        ),
        (
            "starting",
            deployment(1, 0),
            vec![waiting("a", "ContainerCreating")],
            0,
            &["pod a is starting"],
        ),
        (
            "anything else",
            deployment(1, 0),
            vec![waiting("a", "CreateContainerConfigError")],
            0,
            &["pod a cannot start: CreateContainerConfigError: back-off 10s"],
        ),
        (
            "evicted",
            deployment(1, 0),
            vec![failed],
            0,
            &["pod a failed: Evicted"],
        ),
        (
            "a quota",
            refused,
            vec![],
            0,
            &["Deployment gateway-web gets no pods: exceeded quota"],
        ),
    ];
    for (given, deployment, pods, ready, problems) in table {
        let status = described(vec![deployment], pods);
        assert_eq!(status.ready, ready, "{given}");
        assert_eq!(status.problems, problems, "{given}");
    }
}

#[test]
fn many_pods_are_counted_instead_of_listed() {
    let pods = (0..9).map(|i| with(&format!("p{i}"), "Ready", "False"));
    let status = described(vec![deployment(9, 0)], pods.collect());
    assert_eq!(status.problems.len(), 5);
    assert_eq!(status.problems[4], "and 5 pods more");
}

#[test]
fn replicas_of_all_deployments_count() {
    let status = described(vec![deployment(1, 1), deployment(1, 1)], vec![]);
    assert_eq!((status.ready, status.problems), (2, vec![]));
}
