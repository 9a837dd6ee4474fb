//! Statuses in the state folder.

use std::fs;
use std::time::SystemTime;

use adapter_manifests::{read_statuses, render};
use domain::gateway::{CONTROLLER_NAME, ParentRef, RouteKind};
use domain::ports::{Finalizer, StatusSink};
use domain::status::{Condition, ConditionType, Part, Reason, StatusPart, StatusUpdate, Truth};
use domain::{ObjectKey, ObjectRef};
use serde_json::{Value, json};

use crate::support::{World, gateway};

fn condition(truth: Truth, message: &str) -> Condition {
    Condition {
        kind: ConditionType::Accepted,
        truth,
        reason: Reason::Accepted,
        message: message.to_owned(),
        generation: 3,
    }
}

fn object(kind: &str, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        group: "gateway.networking.k8s.io".to_owned(),
        kind: kind.to_owned(),
        key: ObjectKey::new(namespace, name),
    }
}

fn part(part: Part, truth: Truth, message: &str) -> StatusPart {
    StatusPart {
        part,
        gateway: None,
        conditions: vec![condition(truth, message)],
    }
}

fn class_update(truth: Truth) -> StatusUpdate {
    StatusUpdate {
        object: object("GatewayClass", "", "cloudflare"),
        addresses: Vec::new(),
        details: None,
        parts: vec![part(Part::Object, truth, "of the class")],
    }
}

fn gateway_update(name: &str) -> StatusUpdate {
    let listener = Part::Listener {
        name: "https".to_owned(),
        supported_kinds: vec![RouteKind::Http],
        attached_routes: 2,
    };
    StatusUpdate {
        object: object("Gateway", "default", name),
        addresses: vec!["1.cfargotunnel.com".to_owned()],
        details: None,
        parts: vec![
            part(Part::Object, Truth::True, "of the gateway"),
            part(listener, Truth::True, "of the listener"),
        ],
    }
}

fn route_update(name: &str, sections: &[&str]) -> StatusUpdate {
    let parent = |section: &&str| {
        let parent = Part::Parent(ParentRef {
            target: object("Gateway", "default", "web"),
            namespace_written: false,
            section: Some((*section).to_owned()),
            port: None,
        });
        part(parent, Truth::False, "of the route")
    };
    StatusUpdate {
        object: object("HTTPRoute", "shop", name),
        addresses: Vec::new(),
        details: None,
        parts: sections.iter().map(parent).collect(),
    }
}

fn read(world: &World, name: &str) -> Value {
    serde_json::from_str(&world.state_file(name).unwrap()).unwrap()
}

/// Takes the times out and checks that they are there.
fn without_times(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(map) => {
                if map.contains_key("reason") {
                    let time = map.remove("lastTransitionTime").unwrap();
                    assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
                }
                map.values_mut().for_each(walk);
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

#[tokio::test]
async fn statuses_have_the_shape_of_the_gateway_api() {
    let world = World::new();
    let folder = world.open();
    let updates = [
        class_update(Truth::True),
        gateway_update("web"),
        route_update("app", &["https"]),
    ];
    folder.write(&updates).await.unwrap();
    let accepted = |status: &str, message: &str| {
        json!([{"type": "Accepted", "status": status, "reason": "Accepted", "message": message,
                "observedGeneration": 3}])
    };
    let api = "gateway.networking.k8s.io";
    assert_eq!(
        without_times(read(&world, "gatewayclass/cloudflare.json")),
        json!({"apiVersion": format!("{api}/v1"), "kind": "GatewayClass",
               "metadata": {"name": "cloudflare"},
               "status": {"conditions": accepted("True", "of the class")}})
    );
    assert_eq!(
        without_times(read(&world, "gateway/default/web.json")),
        json!({"apiVersion": format!("{api}/v1"), "kind": "Gateway",
               "metadata": {"namespace": "default", "name": "web"},
               "status": {"addresses": [{"type": "Hostname", "value": "1.cfargotunnel.com"}],
                          "conditions": accepted("True", "of the gateway"),
                          "listeners": [{"name": "https", "attachedRoutes": 2,
                                         "supportedKinds": [{"group": api, "kind": "HTTPRoute"}],
                                         "conditions": accepted("True", "of the listener")}]}})
    );
    assert_eq!(
        without_times(read(&world, "httproute/shop/app.json")),
        json!({"apiVersion": format!("{api}/v1"), "kind": "HTTPRoute",
               "metadata": {"namespace": "shop", "name": "app"},
               "status": {"parents": [{"parentRef": {"group": api, "kind": "Gateway", "name": "web",
                                                     "sectionName": "https"},
                                       "controllerName": CONTROLLER_NAME,
                                       "conditions": accepted("False", "of the route")}]}})
    );
}

#[tokio::test]
async fn the_time_of_transition_is_kept_until_the_truth_flips() {
    let world = World::new();
    let folder = world.open();
    let name = "gatewayclass/cloudflare.json";
    folder.write(&[class_update(Truth::True)]).await.unwrap();
    let mut earlier = read(&world, name);
    let long_ago = json!("2020-01-01T00:00:00Z");
    earlier["status"]["conditions"][0]["lastTransitionTime"] = long_ago.clone();
    earlier["status"]["conditions"][0]["message"] = json!("other words");
    fs::write(world.state().join(name), earlier.to_string()).unwrap();

    folder.write(&[class_update(Truth::True)]).await.unwrap();
    let kept = &read(&world, name)["status"]["conditions"][0];
    assert_eq!(kept["lastTransitionTime"], long_ago);
    assert_eq!(kept["message"], "of the class");
    folder.write(&[class_update(Truth::False)]).await.unwrap();
    let flipped = &read(&world, name)["status"]["conditions"][0];
    assert_ne!(flipped["lastTransitionTime"], long_ago);
}

#[tokio::test]
async fn a_status_that_did_not_change_is_not_written() {
    let world = World::new();
    let folder = world.open();
    let updates = [gateway_update("web"), route_update("app", &["a", "b"])];
    folder.write(&updates).await.unwrap();
    let names = ["gateway/default/web.json", "httproute/shop/app.json"];
    for name in names {
        let file = fs::File::options()
            .write(true)
            .open(world.state().join(name))
            .unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    folder.write(&updates).await.unwrap();
    for name in names {
        let modified = fs::metadata(world.state().join(name)).unwrap().modified();
        assert_eq!(modified.unwrap(), SystemTime::UNIX_EPOCH, "{name}");
    }
}

#[tokio::test]
async fn the_file_of_an_object_that_is_no_longer_reported_is_removed() {
    let world = World::new();
    let folder = world.open();
    let updates = [
        gateway_update("a"),
        gateway_update("b"),
        route_update("app", &["https"]),
    ];
    folder.write(&updates).await.unwrap();
    folder
        .write(&[gateway_update("b"), route_update("app", &[])])
        .await
        .unwrap();
    assert!(world.state_file("gateway/default/a.json").is_none());
    assert!(world.state_file("gateway/default/b.json").is_some());
    assert!(!world.state().join("httproute/shop").exists());
    assert!(world.state_file("problems.txt").is_some());
}

#[tokio::test]
async fn the_file_of_an_object_that_is_there_stays_when_it_is_left_out() {
    let world = World::with(&[("a.yaml", &gateway("a"))]);
    let folder = world.open();
    let updates = [gateway_update("a"), gateway_update("b")];
    folder.write(&updates).await.unwrap();
    folder.write(&[]).await.unwrap();
    assert!(world.state_file("gateway/default/a.json").is_some());
    assert!(world.state_file("gateway/default/b.json").is_none());
}

#[tokio::test]
async fn a_file_that_is_no_status_is_left_alone() {
    let world = World::new();
    let folder = world.open();
    fs::create_dir_all(world.state().join("gateway/default")).unwrap();
    fs::write(world.state().join("gateway/default/mine.yaml"), "x").unwrap();
    fs::write(world.state().join("gateway/default/.web.json.new"), "x").unwrap();
    folder.write(&[]).await.unwrap();
    assert!(world.state_file("gateway/default/mine.yaml").is_some());
    assert!(world.state_file("gateway/default/.web.json.new").is_none());
}

#[tokio::test]
async fn a_name_cannot_lead_out_of_the_state_folder() {
    let world = World::new();
    let folder = world.open();
    let escape = gateway_update("../../../escaped");
    let error = folder
        .write(&[escape, gateway_update("web")])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("escaped"), "{error}");
    assert!(world.state_file("gateway/default/web.json").is_some());
    assert_eq!(
        fs::read_dir(world.state().parent().unwrap())
            .unwrap()
            .count(),
        2
    );
}

#[tokio::test]
async fn people_get_a_table() {
    let world = World::with(&[("a.yaml", "a: [\n")]);
    let folder = world.open();
    assert_eq!(folder.add(&ObjectKey::new("default", "web")).await, Ok(()));
    let updates = [
        class_update(Truth::True),
        gateway_update("web"),
        route_update("app", &["https"]),
    ];
    folder.write(&updates).await.unwrap();
    let text = render(&read_statuses(&world.state()).unwrap());
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("OBJECT  ") && lines[0].ends_with("MESSAGE"),
        "{text}"
    );
    let column = lines[0].find("CONDITION").unwrap();
    for line in &lines[1..5] {
        assert_eq!(line.find("Accepted"), Some(column), "{text}");
    }
    for part in [
        "GatewayClass cloudflare ",
        "Gateway default/web ",
        "Gateway default/web listener https ",
        "HTTPRoute shop/app on shop/web listener https ",
        "manifests folder ",
        "a.yaml:",
        "default/web  1.cfargotunnel.com",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_state_folder_that_is_not_there_or_broken_is_named() {
    let world = World::with(&[("none.yaml", "")]);
    let error = read_statuses(&world.state()).unwrap_err().to_string();
    assert!(error.contains("state"), "{error}");
    world.open();
    assert_eq!(
        render(&read_statuses(&world.state()).unwrap()),
        "Nothing is reported yet.\n"
    );
    fs::create_dir_all(world.state().join("gateway/default")).unwrap();
    fs::write(world.state().join("gateway/default/web.json"), "{").unwrap();
    let error = read_statuses(&world.state()).unwrap_err().to_string();
    assert!(error.contains("web.json"), "{error}");
}
