//! Registration, refusal, configuration and leaving.

use std::time::Duration;

use uuid::Uuid;

use super::connector::Registered;
use super::{World, until};
use crate::cloud::{ConfigSource, RegistrationRefusal};
use crate::edge::{Confirmation, Phase, Transport};

over_both_transports! {
    an_accepted_connector_is_told_its_connection_and_known_to_edge_and_cloud,
    a_refused_connector_learns_why_and_its_connection_is_closed,
    a_refusal_can_be_ordered_with_every_field,
    one_connector_holds_one_connection_of_an_index,
    a_configuration_is_pushed_at_once_and_whenever_it_changes,
    a_locally_configured_tunnel_gets_no_push,
    connections_are_cut_when_the_cloud_asks_for_it,
}

async fn an_accepted_connector_is_told_its_connection_and_known_to_edge_and_cloud(world: World) {
    let connector = Uuid::new_v4();
    let address = world.edge.tunnel_addresses()[2];
    let connection = world.dial(address).await;

    let registered = connection
        .register(&world.credentials(), connector, 2)
        .await;

    let Registered {
        connection: id,
        location,
        remotely_managed,
    } = registered.unwrap();
    assert_eq!((location.as_str(), remotely_managed), ("sim01", true));
    let view = world.find(id).unwrap();
    assert_eq!(view.transport, world.transport);
    assert_eq!(
        (view.tunnel, view.connector, view.index, view.edge_address),
        (world.tunnel, connector, 2, address)
    );
    let records = world.cloud.connections(world.tunnel);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].client_version, "test/1");
    assert_eq!(records[0].features, ["serialized_headers"]);
}

async fn a_refused_connector_learns_why_and_its_connection_is_closed(world: World) {
    let good = world.credentials();
    let mut wrong_secret = good.clone();
    wrong_secret.secret[0] ^= 1;
    let mut wrong_account = good.clone();
    wrong_account.account = "another".to_owned();
    let mut unknown_tunnel = good.clone();
    unknown_tunnel.tunnel = Uuid::new_v4();
    for credentials in [wrong_secret, wrong_account, unknown_tunnel] {
        let address = world.edge.tunnel_addresses()[0];
        let mut connection = world.dial(address).await;

        let refused = connection.register(&credentials, Uuid::new_v4(), 0).await;

        assert!(refused.unwrap_err().cause.contains("Unauthorized"));
        assert!(connection.closed().await);
        assert!(world.edge.connections().is_empty());
    }
}

async fn a_refusal_can_be_ordered_with_every_field(world: World) {
    let refusal = RegistrationRefusal {
        cause: "no room".to_owned(),
        retry_after: Duration::from_secs(3),
        should_retry: true,
    };
    world.edge.refuse_registrations(refusal, Some(1));
    let address = world.edge.tunnel_addresses()[0];
    let credentials = world.credentials();
    let mut first = world.dial(address).await;
    let second = world.dial(address).await;

    let refused = first.register(&credentials, Uuid::new_v4(), 0).await;
    let accepted = second.register(&credentials, Uuid::new_v4(), 0).await;

    let refused = refused.unwrap_err();
    assert_eq!(refused.cause, "no room");
    assert_eq!(refused.retry_after_nanoseconds, 3_000_000_000);
    assert!(refused.should_retry);
    assert!(first.closed().await);
    assert!(accepted.is_ok());
}

async fn one_connector_holds_one_connection_of_an_index(world: World) {
    let connector = Uuid::new_v4();
    let mut held = world.connect_as(connector, 0).await;
    for (who, index, accepted) in [
        (connector, 0, false),
        (connector, 1, true),
        (Uuid::new_v4(), 0, true),
    ] {
        let address = world.edge.tunnel_addresses()[1];
        let connection = world.dial(address).await;
        let outcome = connection.register(&world.credentials(), who, index).await;
        match outcome {
            Ok(_) => assert!(accepted, "{index}"),
            Err(refused) => assert_eq!((refused.cause.as_str(), accepted), ("EDUPCONN", false)),
        }
    }

    held.unregister().await;
    assert!(held.closed().await);
    world.connect_as(connector, 0).await;
}

async fn a_configuration_is_pushed_at_once_and_whenever_it_changes(world: World) {
    world.configure(1);
    let connection = world.connect().await;
    assert_eq!(connection.pushed_versions(), [1]);
    let push = connection.state.pushed.lock().unwrap()[0].clone();
    assert_eq!(push["config"]["ingress"][0]["service"], "http_status:404");

    world.configure(2);

    let confirmed = |version, error: Option<&str>| Confirmation {
        version,
        error: error.map(str::to_owned),
    };
    until("version 2 is confirmed", async || {
        world.edge.connections()[0].confirmed == Some(confirmed(2, None))
    })
    .await;
    assert_eq!(connection.pushed_versions(), [1, 2]);

    // Over HTTP/2, an error's text is lost in its JSON.
    let complaint = match world.transport {
        Transport::Http2 => "{}",
        Transport::Quic => "no catch-all",
    };
    *connection.state.rejects.lock().unwrap() = Some(2);
    world.configure(3);

    until("version 3 is rejected", async || {
        world.edge.connections()[0].confirmed == Some(confirmed(2, Some(complaint)))
    })
    .await;
}

async fn a_locally_configured_tunnel_gets_no_push(world: World) {
    world.configure(1);
    world.cloud.change(|state| {
        state.tunnels.get_mut(&world.tunnel).unwrap().config_src = ConfigSource::Local;
    });

    let connection = world.connect().await;

    assert_eq!(world.edge.connections()[0].phase, Phase::Serving);
    assert!(connection.pushed_versions().is_empty());
}

async fn connections_are_cut_when_the_cloud_asks_for_it(world: World) {
    let mut connection = world.connect().await;

    world.cloud.request_disconnect(world.tunnel);

    connection.closed().await;
    until("the cloud has forgotten it", async || {
        world.cloud.connections(world.tunnel).is_empty()
    })
    .await;
}
