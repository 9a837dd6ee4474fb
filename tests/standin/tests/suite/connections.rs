//! Connections of a tunnel, as the edge reports them and the API shows them.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;
use standin::cloud::{ConnectionRecord, HostRoute};
use uuid::Uuid;

use crate::client::Site;

fn connection(tunnel: Uuid, connector: Uuid, index: u8) -> ConnectionRecord {
    ConnectionRecord {
        connection: Uuid::new_v4(),
        tunnel,
        connector,
        index,
        colo: "sim01".into(),
        client_version: "2026.1.0".into(),
        arch: "linux_amd64".into(),
        features: vec!["serialized_headers".into()],
        origin_ip: IpAddr::from(Ipv4Addr::LOCALHOST),
        opened_at: jiff::Timestamp::now(),
    }
}

#[tokio::test]
async fn connections_are_shown_by_connector() {
    let site = Site::start().await;
    let id = site.tunnel("one").await;
    let tunnel = Uuid::try_parse(&id).unwrap();
    let path = site.tunnels(&format!("/{id}"));
    let connectors = [Uuid::new_v4(), Uuid::new_v4()];
    let status = async || {
        let answer = site.get(&path).await;
        answer.result()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status().await, "inactive");
    let mut all = Vec::new();
    for (connector, index) in [(0, 1), (0, 0), (1, 0), (1, 1)] {
        let one = connection(tunnel, connectors[connector], index);
        all.push(one.connection);
        site.cloud().connected(one);
        let expected = if all.len() < 4 { "degraded" } else { "healthy" };
        assert_eq!(status().await, expected);
    }
    let answer = site.get(&format!("{path}/connections")).await;
    let shown = answer.result().as_array().unwrap();
    assert_eq!(shown.len(), 2);
    for connector in shown {
        assert!(connectors.iter().any(|c| connector["id"] == c.to_string()));
        assert_eq!(connector["version"], "2026.1.0");
        let indexes = connector["conns"].as_array().unwrap();
        assert_eq!(indexes.len(), 2);
        assert_eq!(indexes[0]["colo_name"], "sim01");
        assert_eq!(indexes[0]["is_pending_reconnect"], false);
    }
    for one in all {
        site.cloud().disconnected(one);
    }
    assert_eq!(status().await, "down");
}

#[tokio::test]
async fn a_tunnel_with_connections_is_deleted_only_after_a_clean_up() {
    let site = Site::start().await;
    let id = site.tunnel("one").await;
    let tunnel = Uuid::try_parse(&id).unwrap();
    let path = site.tunnels(&format!("/{id}"));
    let mut to_close = site.cloud().disconnect_requests();
    let (kept, gone) = (Uuid::new_v4(), Uuid::new_v4());
    site.cloud().connected(connection(tunnel, kept, 0));
    site.cloud().connected(connection(tunnel, gone, 0));
    let refused = site.call("DELETE", &path, None).await;
    assert_eq!(refused.refusal(), (400, 1_022));

    let one = format!("{path}/connections?client_id={gone}");
    site.call("DELETE", &one, None).await.result();
    assert_eq!(to_close.recv().await.unwrap(), tunnel);
    let left = site.cloud().connections(tunnel);
    assert_eq!(left.iter().map(|c| c.connector).collect::<Vec<_>>(), [kept]);

    let all = format!("{path}/connections");
    site.call("DELETE", &all, None).await.result();
    site.call("DELETE", &path, None).await.result();
    assert_eq!(to_close.recv().await.unwrap(), tunnel);
}

#[tokio::test]
async fn a_host_leads_to_the_tunnel_that_its_record_names() {
    let site = Site::start().await;
    let id = site.tunnel("one").await;
    let target = format!("{id}.cfargotunnel.com");
    for (name, kind, content, proxied) in [
        ("app", "CNAME", target.as_str(), true),
        ("*", "CNAME", target.as_str(), true),
        ("plain", "CNAME", target.as_str(), false),
        ("address", "A", "192.0.2.1", true),
    ] {
        let body = json!({"name": name, "type": kind, "content": content, "proxied": proxied});
        site.record(body).await;
    }
    let other = standin::cloud::NewTunnel {
        name: "foreign".into(),
        config_src: standin::cloud::ConfigSource::Cloudflare,
        secret: None,
    };
    let foreign = site.cloud().create_tunnel("somebody", other).unwrap().id;
    let content = format!("{foreign}.cfargotunnel.com");
    let body = json!({"name": "foreign", "type": "CNAME", "content": content, "proxied": true});
    site.record(body).await;
    let ours = HostRoute::Tunnel {
        tunnel: Uuid::try_parse(&id).unwrap(),
        account: standin::ACCOUNT_ID.into(),
    };
    for (host, route) in [
        ("app.example.com", ours.clone()),
        ("APP.Example.com:443", ours.clone()),
        ("any.example.com", ours.clone()),
        ("deep.any.example.com", ours),
        ("plain.example.com", HostRoute::NotProxied),
        ("below.plain.example.com", HostRoute::NoRecord),
        ("address.example.com", HostRoute::OtherTarget),
        ("foreign.example.com", HostRoute::ForeignAccount),
        ("example.com", HostRoute::NoRecord),
        ("example.org", HostRoute::NoRecord),
    ] {
        assert_eq!(site.cloud().route(host), route, "{host}");
    }
}
