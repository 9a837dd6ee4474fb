//! What users change of a Deployment by operations of their own.

use domain::gateway::{FieldErrorKind, Json, PatchOperation, TunnelParameters};

use super::*;

const POD: &str = "/spec/template/spec";

fn patching(operations: &[Value]) -> WorkloadSpec {
    let operation = |whole: &Value| PatchOperation {
        op: whole["op"].as_str().expect("a text").to_owned(),
        path: whole["path"].as_str().expect("a text").to_owned(),
        json: Json::new(whole.to_string()),
    };
    WorkloadSpec {
        tunnel: Box::new(TunnelParameters {
            patches: Some(operations.iter().map(operation).collect()),
            ..TunnelParameters::default()
        }),
        ..WorkloadSpec::default()
    }
}

fn add(path: &str, value: impl Into<Value>) -> Value {
    json!({"op": "add", "path": path, "value": value.into()})
}

fn in_pod(path: &str, value: impl Into<Value>) -> Value {
    add(&format!("{POD}{path}"), value)
}

/// What is told of the parameters, each as its kind and its text.
fn told(status: &WorkloadStatus) -> Vec<(FieldErrorKind, String)> {
    let told = status.parameters.as_ref().expect("carried out");
    told.iter().map(|it| (it.kind, it.to_string())).collect()
}

#[tokio::test]
async fn operations_change_the_deployment_before_replicas_are_placed() {
    let stage = Stage::set().await;
    let operations = [
        in_pod("/hostname", json!("proxy")),
        in_pod("/nodeSelector", json!({"disk": "slow", "arch": "arm64"})),
        in_pod(
            "/containers/-",
            json!({
                "name": "sidecar",
                "image": "sidecar:1",
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                },
            }),
        ),
        json!({"op": "remove", "path": format!("{POD}/topologySpreadConstraints")}),
        json!({"op": "test", "path": "/spec/replicas", "value": 1}),
    ];
    let mut spec = patching(&operations);
    spec.replicas = named(&["a", "b"]).replicas;
    if let Replicas::Named(replicas) = &mut spec.replicas {
        replicas[1].node_selector = [("disk".to_owned(), "fast".to_owned())].into();
    }
    let status = stage.ensure(&spec).await.unwrap();
    assert_eq!(told(&status), []);
    let pod = |name| stage.object("deployments", name)["spec"]["template"]["spec"].clone();
    for (name, nodes) in [
        ("gateway-web-a", json!({"disk": "slow", "arch": "arm64"})),
        ("gateway-web-b", json!({"disk": "fast"})),
    ] {
        let pod = pod(name);
        assert_eq!(pod["hostname"], "proxy");
        assert_eq!(pod["containers"][1]["name"], "sidecar");
        assert!(pod["topologySpreadConstraints"].is_null());
        assert_eq!(pod["nodeSelector"], nodes, "{name}");
    }
    stage.server.writes();
    stage.ensure(&spec).await.unwrap();
    assert_eq!(stage.server.writes(), [""; 0], "the same again");
}

#[tokio::test]
async fn what_cannot_be_carried_out_is_named_and_leaves_the_deployment_as_it_is() {
    let copies = |count: usize| {
        let copy = |i: usize| {
            json!({"op": "copy", "from": "/metadata/annotations",
                "path": format!("/metadata/annotations/{i}")})
        };
        (0..count).map(copy).collect::<Vec<Value>>()
    };
    let replace = json!({"op": "replace", "path": format!("{POD}/nodeSelector"), "value": {}});
    let table: Vec<(Vec<Value>, &str)> = vec![
        (
            vec![in_pod("/hostname", json!("a")), replace],
            "spec.tunnel.patches[1]: replace /spec/template/spec/nodeSelector: Invalid value: the Deployment has nothing there; write add",
        ),
        (
            vec![json!({"op": "remove", "path": format!("{POD}/volumes/7")})],
            "spec.tunnel.patches[0]: remove /spec/template/spec/volumes/7: Invalid value",
        ),
        (
            vec![json!({"op": "test", "path": "/spec/replicas", "value": 7})],
            "spec.tunnel.patches[0]: test /spec/replicas: Invalid value: the Deployment has another value",
        ),
        (
            vec![json!({"op": "copy", "path": "/spec/x", "from": "/nowhere"})],
            "spec.tunnel.patches[0]: copy /spec/x: Invalid value: the Deployment has nothing at `from`",
        ),
        (
            vec![json!({"op": "move", "path": "/spec/template/x", "from": "/spec/template"})],
            "spec.tunnel.patches[0]: move",
        ),
        (copies(100), "Too long"),
    ];
    for (operations, words) in table {
        let stage = Stage::set().await;
        stage.run().await;
        let before = stage.object("deployments", "gateway-web");
        let status = stage.ensure(&patching(&operations)).await.unwrap();
        let told = told(&status);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, FieldErrorKind::Invalid);
        assert!(told[0].1.contains(words), "{}", told[0].1);
        assert_eq!(stage.object("deployments", "gateway-web"), before);

        let healed = stage.ensure(&patching(&[])).await.unwrap();
        assert_eq!(healed.parameters, Some(vec![]), "an edit heals it");
    }
}

#[tokio::test]
async fn what_would_give_power_or_hide_the_deployment_is_refused() {
    let volume = |value: Value| in_pod("/volumes/-", value);
    let table = [
        add("/metadata/name", json!("other")),
        add("/metadata/namespace", json!("kube-system")),
        add("/metadata/ownerReferences/0/uid", json!("other")),
        add(
            "/metadata/labels/app.kubernetes.io~1managed-by",
            json!("me"),
        ),
        add("/spec/selector/matchLabels/team", json!("shop")),
        add("/spec/replicas", json!(26)),
        add(
            "/spec/template/metadata/labels/app.kubernetes.io~1component",
            json!("other"),
        ),
        add(
            "/spec/template/metadata/annotations/cloudflare-gateway-controller.io~1tunnel",
            json!("other"),
        ),
        in_pod("/serviceAccountName", json!("admin")),
        in_pod("/serviceAccount", json!("admin")),
        in_pod("/automountServiceAccountToken", json!(true)),
        json!({"op": "remove", "path": format!("{POD}/automountServiceAccountToken")}),
        in_pod("/hostPID", json!(true)),
        in_pod("/hostIPC", json!(true)),
        in_pod("/containers", json!([{"name": "other", "image": "other"}])),
        in_pod("/containers/0/name", json!("other")),
        in_pod("/containers/0/securityContext/privileged", json!(true)),
        in_pod(
            "/containers/0/securityContext/capabilities/add",
            json!(["SYS_ADMIN"]),
        ),
        in_pod(
            "/initContainers",
            json!([{"name": "i", "securityContext": {"privileged": true}}]),
        ),
        volume(json!({"name": "node", "hostPath": {"path": "/"}})),
        volume(json!({"name": "token", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token"}},
        ]}})),
        add("", json!({"kind": "Deployment"})),
    ];
    for operation in table {
        let stage = Stage::set().await;
        stage.run().await;
        let status = stage
            .ensure(&patching(std::slice::from_ref(&operation)))
            .await
            .unwrap();
        let told = told(&status);
        let (kind, text) = &told[0];
        assert_eq!(*kind, FieldErrorKind::Invalid, "{operation}: {text}");
        let words = format!(
            "spec.tunnel.patches[0]: {} ",
            operation["op"].as_str().unwrap()
        );
        assert!(text.starts_with(&words), "{operation}: {text}");
        assert!(text.contains("Forbidden: "), "{operation}: {text}");
        assert_eq!(stage.server.writes(), [""; 0], "{operation}");
    }
}

#[tokio::test]
async fn what_weakens_the_proxy_is_carried_out_and_told() {
    let security = "/containers/0/securityContext";
    let of_proxy = "spec.template.spec.containers[proxy]";
    let table = [
        (
            in_pod("/securityContext/runAsNonRoot", json!(false)),
            "spec.template.spec.securityContext.runAsNonRoot".to_owned(),
        ),
        (
            in_pod(&format!("{security}/allowPrivilegeEscalation"), json!(true)),
            format!("{of_proxy}.securityContext.allowPrivilegeEscalation"),
        ),
        (
            in_pod(&format!("{security}/readOnlyRootFilesystem"), json!(false)),
            format!("{of_proxy}.securityContext.readOnlyRootFilesystem"),
        ),
        (
            in_pod(&format!("{security}/capabilities/drop"), json!([])),
            format!("{of_proxy}.securityContext.capabilities"),
        ),
        (
            in_pod("/hostNetwork", json!(true)),
            "spec.template.spec.hostNetwork".to_owned(),
        ),
        (
            in_pod("/containers/0/image", json!("other")),
            format!("{of_proxy}.image"),
        ),
        (
            in_pod("/containers/0/env/0/value", json!("other")),
            format!("{of_proxy}.env[CFGW_ADMIN__LISTEN]"),
        ),
        (
            in_pod(
                "/containers/0/env/-",
                json!({"name": "CFGW_TUNNEL__EDGE", "value": "192.0.2.1:7844"}),
            ),
            format!("{of_proxy}.env[CFGW_TUNNEL__EDGE]"),
        ),
        (
            in_pod("/volumes/0/secret/secretName", json!("other")),
            "spec.template.spec.volumes[access]".to_owned(),
        ),
        (
            in_pod("/containers/-", json!({"name": "sidecar", "image": "s"})),
            "spec.template.spec.containers[sidecar].securityContext.readOnlyRootFilesystem"
                .to_owned(),
        ),
    ];
    for (operation, field) in table {
        let stage = Stage::set().await;
        stage.run().await;
        let status = stage
            .ensure(&patching(std::slice::from_ref(&operation)))
            .await
            .unwrap();
        let told = told(&status);
        let weakens = told
            .iter()
            .all(|(kind, _)| *kind == FieldErrorKind::Unsupported);
        assert!(weakens, "{told:?}");
        let is_named = told.iter().any(|(_, text)| text.contains(&field));
        assert!(is_named, "{field}: {told:?}");
        assert_eq!(
            stage.server.writes(),
            ["PATCH deployments/gateway-web"],
            "{operation}"
        );
    }
}

#[tokio::test]
async fn without_a_deployment_the_operation_is_why_no_proxy_is_ready() {
    let stage = Stage::set().await;
    let operation = json!({"op": "remove", "path": "/spec/nothing"});
    let status = stage.ensure(&patching(&[operation])).await.unwrap();
    assert!(stage.server.names("deployments").is_empty());
    let why = status.problems.join("; ");
    assert!(
        why.contains("spec.tunnel.patches[0]: remove /spec/nothing"),
        "{why}"
    );
    assert_eq!(
        stage
            .workloads
            .status(&web())
            .await
            .parameters
            .map(|it| it.len()),
        Some(1)
    );
}

#[tokio::test]
async fn replicas_that_a_failed_operation_keeps_from_coming_replace_none() {
    let stage = Stage::set().await;
    stage.run().await;
    stage.becomes_ready("gateway-web");
    let mut spec = patching(&[json!({"op": "remove", "path": "/spec/nothing"})]);
    spec.replicas = named(&["a"]).replicas;
    stage.ensure(&spec).await.unwrap();
    assert_eq!(stage.server.names("deployments"), ["gateway-web"]);
}

#[tokio::test]
async fn a_deployment_that_the_api_server_does_not_take_is_told_as_its_patches() {
    let stage = Stage::set().await;
    stage.run().await;
    let unfit = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    stage.server.refuse("deployments", Some(unfit));
    let spec = patching(&[in_pod("/hostname", json!("?"))]);
    // A list is refused too, so nothing after it can be done; with patches it is not asked for.
    let status = stage.ensure(&spec).await.unwrap();
    let told = told(&status);
    assert!(
        told[0].1.starts_with("spec.tunnel.patches: Invalid value"),
        "{told:?}"
    );
}
