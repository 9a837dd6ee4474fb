//! Whose objects are touched, and when.

use super::*;

#[tokio::test]
async fn an_unchanged_call_writes_nothing_whatever_others_have_added() {
    let stage = Stage::set().await;
    stage.run().await;
    stage.server.change("deployments", "gateway-web", |object| {
        object["spec"]["progressDeadlineSeconds"] = json!(600);
        object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("1");
        object["status"] = json!({"replicas": 2});
        let pod = &mut object["spec"]["template"]["spec"];
        pod["restartPolicy"] = json!("Always");
        pod["containers"][0]["terminationMessagePath"] = json!("/dev/termination-log");
        pod["containers"][0]["resources"]["requests"]["cpu"] = json!("0.05");
        pod["containers"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!({"name": "sidecar"}));
    });
    for _ in 0..3 {
        stage.ensure(&WorkloadSpec::default()).await.unwrap();
    }
    assert_eq!(stage.server.writes(), [""; 0]);
}

#[tokio::test]
async fn what_somebody_has_changed_is_mended() {
    let stage = Stage::set().await;
    stage.run().await;
    stage.server.change("deployments", "gateway-web", |object| {
        object["spec"]["replicas"] = json!(7);
    });
    stage.ensure(&WorkloadSpec::default()).await.unwrap();
    assert_eq!(stage.server.writes(), ["PATCH deployments/gateway-web"]);
    let mended = stage.object("deployments", "gateway-web");
    assert_eq!(mended["spec"]["replicas"], 2);
}

#[tokio::test]
async fn a_label_that_is_no_longer_asked_for_goes() {
    let stage = Stage::set().await;
    let mut spec = WorkloadSpec::default();
    let label = ("team".to_owned(), "shop".to_owned());
    spec.infrastructure.labels.extend([label]);
    stage.ensure(&spec).await.unwrap();
    stage.ensure(&WorkloadSpec::default()).await.unwrap();
    let metadata = &stage.object("serviceaccounts", "gateway-web")["metadata"];
    assert!(metadata["labels"]["team"].is_null(), "{metadata}");
}

#[tokio::test]
async fn a_new_token_is_written_for_the_running_pods_and_a_new_tunnel_replaces_them() {
    let stage = Stage::set().await;
    stage.run().await;
    let pods = || stage.object("deployments", "gateway-web")["spec"]["template"].clone();
    let before = pods();
    let spec = WorkloadSpec::default();
    let write = async |number| {
        let written = stage.ensure_in(tunnel(number), "other", &spec);
        written.await.unwrap();
        stage.server.writes()
    };
    assert_eq!(write(1).await, ["PATCH secrets/gateway-web"]);
    assert_eq!(pods(), before);
    stage.authority.send_replace("another authority".to_owned());
    assert_eq!(write(1).await, ["PATCH secrets/gateway-web"]);
    assert_eq!(write(2).await, ["PATCH deployments/gateway-web"]);
    assert_ne!(pods(), before);
}

/// An object of the name that a Gateway's would have.
fn of_somebody(kind: &str) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {
        "name": "gateway-web", "namespace": "shop", "labels": {"app": "theirs"},
    }})
}

#[tokio::test]
async fn an_object_of_somebody_else_is_named_and_left_alone() {
    let table = [
        ("serviceaccounts", "ServiceAccount"),
        ("secrets", "Secret"),
        ("deployments", "Deployment"),
        ("poddisruptionbudgets", "PodDisruptionBudget"),
    ];
    for (resource, kind) in table {
        let stage = Stage::set().await;
        stage.server.put(resource, of_somebody(kind));
        let theirs = stage.object(resource, "gateway-web");
        let error = stage.ensure(&WorkloadSpec::default()).await.unwrap_err();
        let words = [
            format!("{kind} shop/gateway-web"),
            "somebody else".to_owned(),
        ];
        for word in words {
            assert!(error.to_string().contains(&word), "{error}");
        }
        assert_eq!(stage.object(resource, "gateway-web"), theirs);
        stage.workloads.stop(&web()).await.unwrap();
        assert_eq!(stage.object(resource, "gateway-web"), theirs);
    }
}

#[tokio::test]
async fn what_only_looks_like_ours_is_left_alone_too() {
    let stage = Stage::set().await;
    stage.run().await;
    stage.server.change("secrets", "gateway-web", |object| {
        object["metadata"]["ownerReferences"] = json!([]);
    });
    let orphan = stage.object("secrets", "gateway-web");
    assert!(stage.ensure(&WorkloadSpec::default()).await.is_err());
    stage.workloads.stop(&web()).await.unwrap();
    assert_eq!(stage.object("secrets", "gateway-web"), orphan);
}

#[tokio::test]
async fn what_an_earlier_gateway_of_the_name_left_is_waited_for() {
    let stage = Stage::set().await;
    stage.run().await;
    stage.server.remove("gateways", "web");
    let again = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "web", "namespace": "shop", "uid": "another"}});
    stage.server.put("gateways", again);
    let error = stage.ensure(&WorkloadSpec::default()).await.unwrap_err();
    assert!(error.to_string().contains("still being removed"), "{error}");
    stage.workloads.stop(&web()).await.unwrap();
    stage.ensure(&WorkloadSpec::default()).await.unwrap();
}

#[tokio::test]
async fn nothing_is_made_without_a_gateway_or_an_authority() {
    let stage = Stage::set().await;
    stage.authority.send_replace(String::new());
    let error = stage.ensure(&WorkloadSpec::default()).await.unwrap_err();
    assert!(error.to_string().contains("authority"), "{error}");
    stage.authority.send_replace("authority".to_owned());
    stage.server.remove("gateways", "web");
    let error = stage.ensure(&WorkloadSpec::default()).await.unwrap_err();
    assert!(error.to_string().contains("Gateway shop/web"), "{error}");
    assert_eq!(stage.server.writes(), [""; 0]);
}

#[tokio::test]
async fn what_is_let_go_of_has_no_owner_and_is_taken_up_by_a_later_gateway_of_the_name() {
    let stage = Stage::set().await;
    stage.run().await;
    let all = [
        "serviceaccounts",
        "secrets",
        "deployments",
        "poddisruptionbudgets",
    ];
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "7"});
    stage.server.change("secrets", "gateway-web", |object| {
        let owners = object["metadata"]["ownerReferences"].as_array_mut();
        owners.unwrap().push(other.clone());
    });
    let pods = stage.object("deployments", "gateway-web")["spec"]["template"].clone();
    stage.server.writes();
    stage.workloads.release(&web()).await.unwrap();
    assert_eq!(stage.server.writes().len(), 4);
    for resource in all {
        let metadata = stage.object(resource, "gateway-web")["metadata"].clone();
        let owners = match resource {
            "secrets" => json!([other]),
            _ => json!([]),
        };
        assert_eq!(metadata["ownerReferences"], owners, "{resource}");
        let mark = &metadata["annotations"]["cloudflare-gateway-controller.io/orphaned"];
        assert_eq!(mark, "web", "{resource}");
    }
    stage.workloads.release(&web()).await.unwrap();
    assert_eq!(stage.server.writes(), [""; 0], "once");

    stage.server.remove("gateways", "web");
    let again = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "web", "namespace": "shop", "uid": "another"}});
    stage.server.put("gateways", again);
    stage.ensure(&WorkloadSpec::default()).await.unwrap();
    for resource in all {
        let metadata = stage.object(resource, "gateway-web")["metadata"].clone();
        let owners = metadata["ownerReferences"].as_array().unwrap();
        assert!(
            owners.iter().any(|owner| owner["uid"] == "another"),
            "{resource}: {owners:?}"
        );
        let mark = &metadata["annotations"]["cloudflare-gateway-controller.io/orphaned"];
        assert!(mark.is_null(), "{resource}: {metadata}");
    }
    assert_eq!(
        stage.object("deployments", "gateway-web")["spec"]["template"],
        pods
    );
    stage.server.writes();
    stage.ensure(&WorkloadSpec::default()).await.unwrap();
    assert_eq!(stage.server.writes(), [""; 0]);
}
