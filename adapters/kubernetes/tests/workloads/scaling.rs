//! What scales a Gateway's pods.

use axum::http::StatusCode;
use domain::gateway::{Autoscaling, HorizontalAutoscaling, TunnelParameters, VerticalAutoscaling};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

use super::*;

const VERTICAL: &str = "verticalpodautoscalers";
const HORIZONTAL: &str = "horizontalpodautoscalers";

fn scaling(autoscaling: Autoscaling, replicas: Replicas) -> WorkloadSpec {
    WorkloadSpec {
        replicas,
        tunnel: Box::new(TunnelParameters {
            autoscaling: Some(autoscaling),
            ..TunnelParameters::default()
        }),
        ..WorkloadSpec::default()
    }
}

fn vertical() -> Autoscaling {
    Autoscaling {
        vertical: Some(VerticalAutoscaling {
            max_allowed: Some([("memory".to_owned(), "1Gi".to_owned())].into()),
            controlled_values: Some("RequestsOnly".to_owned()),
            ..VerticalAutoscaling::default()
        }),
        horizontal: None,
    }
}

fn horizontal() -> Autoscaling {
    Autoscaling {
        vertical: None,
        horizontal: Some(HorizontalAutoscaling {
            min_replicas: 3,
            max_replicas: 9,
            target_in_flight: 1000,
        }),
    }
}

#[tokio::test]
async fn each_deployment_has_a_vertical_autoscaler_as_long_as_it_is_wanted() {
    let stage = Stage::set().await;
    let both = scaling(vertical(), named(&["a", "b"]).replicas);
    stage.ensure(&both).await.unwrap();
    assert_eq!(
        stage.server.names(VERTICAL),
        ["gateway-web-a", "gateway-web-b"]
    );
    let object = stage.object(VERTICAL, "gateway-web-a");
    assert_eq!(object["apiVersion"], "autoscaling.k8s.io/v1");
    assert_eq!(
        object["metadata"]["ownerReferences"][0]["uid"],
        "uid-of-web"
    );
    let spec = &object["spec"];
    assert_eq!(spec["targetRef"]["name"], "gateway-web-a");
    assert_eq!(spec["updatePolicy"]["updateMode"], "InPlaceOrRecreate");
    let policies = json!([
        {"containerName": "*", "mode": "Off"},
        {
            "containerName": "proxy",
            "mode": "Auto",
            "maxAllowed": {"memory": "1Gi"},
            "controlledValues": "RequestsOnly",
        },
    ]);
    assert_eq!(spec["resourcePolicy"]["containerPolicies"], policies);

    stage.server.writes();
    stage.ensure(&both).await.unwrap();
    assert_eq!(stage.server.writes(), [""; 0], "the same again");
    stage.becomes_ready("gateway-web-a");
    let one = scaling(vertical(), named(&["a"]).replicas);
    stage.ensure(&one).await.unwrap();
    assert_eq!(stage.server.names(VERTICAL), ["gateway-web-a"]);
    stage.ensure(&named(&["a"])).await.unwrap();
    assert!(
        stage.server.names(VERTICAL).is_empty(),
        "not wanted any more"
    );
}

#[tokio::test]
async fn a_cluster_without_the_kind_is_told_and_all_else_goes_on() {
    let table = [
        (
            StatusCode::NOT_FOUND,
            "the cluster does not serve VerticalPodAutoscaler",
        ),
        (StatusCode::FORBIDDEN, "VerticalPodAutoscaler is refused"),
    ];
    for (answer, words) in table {
        let stage = Stage::set().await;
        stage.server.refuse(VERTICAL, Some(answer));
        let spec = scaling(vertical(), named(&["a", "b"]).replicas);
        let status = stage.ensure(&spec).await.unwrap();
        let told = status.parameters.unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].field, "spec.tunnel.autoscaling");
        assert!(told[0].message.contains(words), "{told:?}");
        assert_eq!(stage.server.names("deployments").len(), 2);
        stage.server.refuse(VERTICAL, None);
        let status = stage.ensure(&spec).await.unwrap();
        assert_eq!(status.parameters, Some(vec![]), "once it is there");
        assert_eq!(stage.server.names(VERTICAL).len(), 2);
    }
}

#[tokio::test]
async fn replicas_follow_the_horizontal_autoscaler_within_its_limits() {
    let stage = Stage::set().await;
    stage.run().await;
    let spec = scaling(horizontal(), Replicas::default());
    let replicas = || stage.object("deployments", "gateway-web")["spec"]["replicas"].clone();
    stage.ensure(&spec).await.unwrap();
    assert_eq!(replicas(), 3, "from 2 to the least");
    let scaler = stage.object(HORIZONTAL, "gateway-web");
    let typed: HorizontalPodAutoscaler = serde_json::from_value(scaler.clone()).unwrap();
    let wanted = &typed.spec;
    assert_eq!((wanted.min_replicas, wanted.max_replicas), (Some(3), 9));
    let metric = &scaler["spec"]["metrics"][0]["pods"];
    assert_eq!(metric["metric"]["name"], "cfgw_proxy_in_flight");
    assert_eq!(
        metric["target"]["averageValue"], "1k",
        "as the API server writes it"
    );

    stage.server.writes();
    for (set, expected, writes) in [(7, 7, 0), (12, 9, 1), (0, 3, 1)] {
        stage.server.change("deployments", "gateway-web", |object| {
            object["spec"]["replicas"] = json!(set);
        });
        stage.ensure(&spec).await.unwrap();
        assert_eq!(replicas(), expected, "set to {set}");
        assert_eq!(stage.server.writes().len(), writes, "set to {set}");
    }
    stage.ensure(&WorkloadSpec::default()).await.unwrap();
    assert_eq!(replicas(), 2);
    assert!(stage.server.names(HORIZONTAL).is_empty());
}

#[tokio::test]
async fn autoscalers_go_with_the_proxies_and_those_of_others_stay() {
    let stage = Stage::set().await;
    let theirs = json!({"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler",
        "metadata": {"name": "gateway-web-b", "namespace": "shop"}});
    stage.server.put(VERTICAL, theirs);
    let spec = scaling(vertical(), named(&["a", "b"]).replicas);
    let told = stage.ensure(&spec).await.unwrap().parameters.unwrap();
    assert!(
        told[0].message.contains("made by somebody else"),
        "{told:?}"
    );
    stage.workloads.stop(&web()).await.unwrap();
    assert_eq!(stage.server.names(VERTICAL), ["gateway-web-b"]);
}
