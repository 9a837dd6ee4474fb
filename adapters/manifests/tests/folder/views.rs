use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use domain::ports::ClusterSource;
use domain::snapshot::Reading;
use domain::{ObjectKey, ObjectRef};

use crate::{Folder, documents, route, routes, until};

const QUICKSTART: &str = "
apiVersion: v1
kind: Secret
metadata:
  name: cloudflare-creds
  namespace: default
stringData:
  CLOUDFLARE_API_TOKEN: your-api-token
  CLOUDFLARE_ACCOUNT_ID: your-account-id
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata:
  name: cloudflare
spec:
  controllerName: cloudflare-gateway-controller.io/controller
  parametersRef:
    group: \"\"
    kind: Secret
    name: cloudflare-creds
    namespace: default
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: my-gateway
  namespace: default
spec:
  gatewayClassName: cloudflare
  listeners:
  - name: https
    protocol: HTTPS
    port: 443
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: my-route
  namespace: default
spec:
  parentRefs:
  - name: my-gateway
  hostnames:
  - app.example.com
  rules:
  - backendRefs:
    - name: my-service
      port: 80
";

const APP: &str = "
apiVersion: v1
kind: Service
metadata: {name: my-service, namespace: default}
spec:
  ports: [{port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: my-service-1, namespace: other, labels: {kubernetes.io/service-name: my-service}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [127.0.0.1]}]
---
apiVersion: v1
kind: Namespace
metadata: {name: other, labels: {team: a}}
";

#[tokio::test]
async fn the_quickstart_is_read_without_a_defect_or_a_problem() {
    let folder = Folder::with(&[("quickstart.yaml", QUICKSTART), ("below/app.yml", APP)]);
    let source = folder.open();
    let snapshot = source.snapshot().await;
    assert_eq!(source.problems(), []);
    assert_eq!(snapshot.incomplete, None);
    assert!(snapshot.external_names);
    assert_eq!(snapshot.classes.items()[0].name, "cloudflare");
    assert_eq!(snapshot.classes.items()[0].defects, []);
    assert_eq!(snapshot.gateways.items()[0].listeners[0].port, 443);
    assert_eq!(snapshot.gateways.items()[0].defects, []);
    assert_eq!(snapshot.routes.items()[0].defects, []);
    assert_eq!(snapshot.services.items().len(), 1);
    assert_eq!(snapshot.endpoint_slices.items()[0].service, "my-service");
    let namespaces: Vec<(&str, usize)> = snapshot
        .namespaces
        .items()
        .iter()
        .map(|namespace| (namespace.name.as_str(), namespace.labels.len()))
        .collect();
    assert_eq!(
        namespaces,
        [("default", 1), ("other", 2)],
        "implied ones too"
    );
}

#[tokio::test]
async fn files_added_changed_and_removed_make_new_views() {
    let folder = Folder::with(&[("a.yaml", &route("a"))]);
    let source = folder.open();
    assert_eq!(routes(&*source.snapshot().await), ["a"]);
    folder.write("new/deep/b.yaml", &route("b"));
    until(&source, "b is added", |view| routes(view) == ["a", "b"]).await;
    folder.write("a.yaml", &documents(&[route("a"), route("c")]));
    until(&source, "c is added", |view| {
        routes(view) == ["a", "b", "c"]
    })
    .await;
    folder.remove("a.yaml");
    until(&source, "a and c are removed", |view| routes(view) == ["b"]).await;
    fs::remove_dir_all(folder.path().join("new")).unwrap();
    until(&source, "all are removed", |view| routes(view).is_empty()).await;
}

#[tokio::test]
async fn a_file_written_anew_with_the_same_objects_makes_no_new_view() {
    let folder = Folder::with(&[("a.yaml", &route("a"))]);
    let source = folder.open();
    let before = source.snapshot().await;
    folder.write("a.yaml", &format!("# said otherwise\n{}", route("a")));
    let changed = tokio::time::timeout(Duration::from_millis(600), source.changed()).await;
    assert!(changed.is_err(), "nothing changed");
    assert_eq!(source.snapshot().await, before);
}

#[tokio::test]
async fn a_file_that_is_replaced_or_saved_in_steps_is_never_seen_half_done() {
    let folder = Folder::with(&[("a.yaml", &documents(&[route("a"), route("b")]))]);
    let source = folder.open();
    source.snapshot().await;
    let path = folder.path().join("a.yaml");
    let mut views = Vec::new();
    for (round, name) in ["c", "d", "e"].into_iter().enumerate() {
        let text = documents(&[route("a"), route(name)]);
        if round % 2 == 0 {
            // As vim does: the old file is moved away before the new one is written.
            fs::rename(&path, folder.path().join("a.yaml~")).unwrap();
            fs::write(folder.path().join(".a.yaml.swp"), "{{{").unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            fs::write(&path, text).unwrap();
        } else {
            // As a shell does: emptied first.
            fs::write(&path, "").unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            fs::write(&path, text).unwrap();
        }
        until(&source, "the file is read", |view| {
            views.push(routes(view).len());
            routes(view) == ["a", name]
        })
        .await;
    }
    assert!(views.iter().all(|count| *count == 2), "{views:?}");
    assert_eq!(source.problems(), []);
}

#[tokio::test]
async fn only_visible_manifests_are_read_and_lists_are_taken_apart() {
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n{}",
        [route("one"), route("two")]
            .iter()
            .map(|item| format!("- {}", item.trim_end().replace('\n', "\n  ")))
            .collect::<Vec<_>>()
            .join("\n")
    );
    let folder = Folder::with(&[
        (".git/config.yaml", "{{{"),
        (".hidden.yaml", "{{{"),
        ("notes.txt", "{{{"),
        ("a.yaml~", "{{{"),
        ("list.yaml", &list),
    ]);
    let source = folder.open();
    assert_eq!(routes(&*source.snapshot().await), ["one", "two"]);
    assert_eq!(source.problems(), []);
}

fn secret_reference(name: &str) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        kind: "Secret".to_owned(),
        key: ObjectKey::new("default", name),
    }
}

#[tokio::test]
async fn followed_secrets_are_known_by_their_keys_only() {
    let folder = Folder::with(&[("quickstart.yaml", QUICKSTART)]);
    let source = folder.open();
    assert!(
        source.snapshot().await.secrets.is_empty(),
        "none is followed"
    );
    let (there, missing) = (
        secret_reference("cloudflare-creds"),
        secret_reference("none"),
    );
    source.follow(BTreeSet::from([there.clone(), missing.clone()]));
    source.changed().await;
    let snapshot = source.snapshot().await;
    let Reading::Known(facts) = &snapshot.secrets[&there] else {
        panic!("{:?}", snapshot.secrets);
    };
    assert_eq!(
        facts.keys,
        ["CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN"]
    );
    assert_eq!(snapshot.secrets[&missing], Reading::Absent);
    assert!(!format!("{snapshot:?}").contains("your-api-token"));
    source.follow(BTreeSet::from([there, missing]));
    let again = tokio::time::timeout(Duration::from_millis(20), source.changed()).await;
    assert!(again.is_err(), "following the same changes nothing");
}

#[tokio::test]
async fn a_new_value_in_a_secret_is_a_change() {
    let folder = Folder::with(&[("quickstart.yaml", QUICKSTART)]);
    let source = folder.open();
    source.snapshot().await;
    folder.write(
        "quickstart.yaml",
        &QUICKSTART.replace("your-api-token", "another"),
    );
    tokio::time::timeout(Duration::from_secs(20), source.changed())
        .await
        .expect("a change");
}
