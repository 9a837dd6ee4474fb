//! Which cluster this is.

use adapter_kubernetes::{InstanceError, instance_id};
use serde_json::json;

use crate::server::ApiServer;

const UID: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";

#[tokio::test]
async fn a_cluster_is_known_by_the_uid_of_one_namespace_and_asks_for_no_other() {
    let server = ApiServer::start().await;
    let namespace = |uid: &str| {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": "kube-system", "uid": uid },
        })
    };
    server.put("namespaces", namespace(UID));
    let found = instance_id(&server.client()).await.unwrap();
    assert_eq!(found.to_string(), UID);
    assert_eq!(server.take_calls(), ["GET /api/v1/namespaces/kube-system"]);

    server.put("namespaces", namespace("none"));
    let refused = instance_id(&server.client()).await.unwrap_err();
    assert!(matches!(refused, InstanceError::NoUid(_)), "{refused}");

    server.refuse("namespaces", 403);
    let refused = instance_id(&server.client()).await.unwrap_err();
    for word in ["Namespace kube-system cannot be read", "permit `get`"] {
        assert!(refused.to_string().contains(word), "{refused}");
    }
}
