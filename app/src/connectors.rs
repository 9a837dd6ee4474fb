//! From settings to the options of a connector.

use adapter_connector::{ConnectorOptions, Discovery, EdgeAddresses, EdgeRoots, TransportChoice};
use config::sections::TunnelSettings;
use config::values::{EdgeAddresses as EdgePlaces, NameServers, TransportChoice as Protocol};
use domain::capabilities::EdgeKind;

use crate::edge::read_pem;

/// What stands before the proxies, as the settings say.
pub(crate) fn edge_kind(settings: &TunnelSettings) -> EdgeKind {
    let (arrival, certificates) = (
        settings.edge_tells_arrival.is_on(),
        settings.edge_hands_certificates.is_on(),
    );
    match (arrival, certificates) {
        (true, _) => EdgeKind::TellingArrival,
        (false, true) => EdgeKind::HandingCertificates,
        (false, false) => EdgeKind::Cloudflare,
    }
}

/// How a connector is to connect, with metrics of its own.
pub(crate) fn connector_options(settings: &TunnelSettings) -> anyhow::Result<ConnectorOptions> {
    let edge = match &settings.edge {
        EdgePlaces::Discover => EdgeAddresses::Discover(Discovery {
            nameservers: match &settings.name_servers {
                NameServers::System => Vec::new(),
                NameServers::Given(servers) => servers.clone(),
            },
            ..Discovery::default()
        }),
        EdgePlaces::Given(addresses) => EdgeAddresses::Given(addresses.clone()),
    };
    let roots = match settings.ca_file.as_deref() {
        Some(file) => EdgeRoots::Only(read_pem(file)?),
        None => EdgeRoots::System,
    };
    Ok(ConnectorOptions {
        edge,
        roots,
        transport: match settings.protocol {
            Protocol::Http2 => TransportChoice::Http2,
            Protocol::Quic => TransportChoice::Quic,
            // Whether its routes need trailers is found out for each Gateway.
            Protocol::Auto => TransportChoice::Auto {
                trailers_needed: false,
            },
        },
        quic_server_name: settings.quic_server_name.as_str().to_owned(),
        server_name: settings.server_name.as_str().to_owned(),
        connections: u8::try_from(settings.connections.get())?,
        silence: settings.silence_timeout.get(),
        grace: settings.grace_period.get(),
        edge_kind: edge_kind(settings),
        ..ConnectorOptions::default()
    })
}
