//! `version`.

use cfgwctl::version;
use serde_json::json;

use crate::cluster;

#[tokio::test]
async fn the_controllers_of_the_cluster_are_named_with_their_images() {
    let (server, cluster) = cluster().await;
    let own = format!("cfgwctl version {}\n", env!("CARGO_PKG_VERSION"));
    let none = version::text(cluster.controllers().await);
    assert_eq!(none, format!("{own}controller: not found\n"));

    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "namespace": "cfgw-system", "name": "cfgw" },
        "spec": { "template": { "spec": { "containers": [{ "image": "registry/cfgw:1" }] } } },
    });
    server.put("deployments", deployment);
    let one = version::text(cluster.controllers().await);
    let expected = "controller: registry/cfgw:1 (Deployment/cfgw-system/cfgw)\n";
    assert_eq!(one, format!("{own}{expected}"));

    server.refuse("deployments", 403);
    let refused = version::text(cluster.controllers().await);
    let expected = "controller: not known: Error from server (Refused): as this test wants it; ask for that permission, or use another --context\n";
    assert_eq!(refused, format!("{own}{expected}"));
}
