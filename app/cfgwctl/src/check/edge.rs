//! Whether Cloudflare's edge answers on the port of tunnels, from where this program runs.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

use super::Finding;
use crate::screen::Tone;

/// Where tunnels connect to (Cloudflare documentation, "Tunnel with firewall").
pub const EDGES: [&str; 2] = [
    "region1.v2.argotunnel.com:7844",
    "region2.v2.argotunnel.com:7844",
];

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A version of QUIC that no server has (RFC 9000 §15), so that it answers with those that it has.
const NO_VERSION: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];

/// Least size of a datagram that a server answers so (RFC 9000 §14.1).
const DATAGRAM: usize = 1200;

/// Length of the connection ids in it.
const ID: usize = 8;

/// Asks an edge, `host:port`, over TCP and UDP.
pub async fn check(edge: &str) -> Vec<Finding> {
    let found = timeout(PATIENCE, lookup_host(edge)).await;
    let address = match found {
        Ok(Ok(mut addresses)) => addresses
            .next()
            .ok_or_else(|| "it has no address".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer of the name server".to_owned()),
    };
    match address {
        Ok(address) => vec![tcp(edge, address).await, udp(edge, address).await],
        Err(why) => vec![Finding::new(
            Tone::Bad,
            format!("edge {edge}"),
            format!("cannot be looked up from here: {why}; check the name servers"),
        )],
    }
}

async fn tcp(edge: &str, address: SocketAddr) -> Finding {
    let what = format!("edge {edge} over TCP");
    let why = match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => return Finding::new(Tone::Good, what, "it accepts connections from here"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    let told = format!("{why}; let TCP to port {} out", address.port());
    Finding::new(Tone::Bad, what, told)
}

/// QUIC is needed only where parameters ask for it, so that a silent edge is no failure.
async fn udp(edge: &str, address: SocketAddr) -> Finding {
    let what = format!("edge {edge} over UDP");
    match timeout(PATIENCE, answers(address)).await {
        Ok(Ok(true)) => Finding::new(Tone::Good, what, "it answers QUIC from here"),
        Ok(Ok(false)) => Finding::new(
            Tone::Unsure,
            what,
            "not checked: the answer is none of QUIC",
        ),
        Ok(Err(error)) => Finding::new(Tone::Unsure, what, format!("not checked: {error}")),
        Err(_) => Finding::new(
            Tone::Unsure,
            what,
            format!(
                "no answer; for tunnel.protocol quic let UDP to port {} out, http2 does without",
                address.port()
            ),
        ),
    }
}

async fn answers(address: SocketAddr) -> std::io::Result<bool> {
    let any: SocketAddr = match address.is_ipv4() {
        true => ([0, 0, 0, 0], 0).into(),
        false => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    socket.send(&asks_for_versions()).await?;
    let mut answer = [0; DATAGRAM];
    let length = socket.recv(&mut answer).await?;
    Ok(is_version_negotiation(&answer[..length]))
}

/// A packet with a long header (RFC 9000 §17.2): flags, version, connection ids with their lengths, and nothing.
fn asks_for_versions() -> Vec<u8> {
    let mut packet = vec![0xc0];
    packet.extend(NO_VERSION);
    for id in [1, 2] {
        packet.push(ID as u8);
        packet.extend([id; ID]);
    }
    packet.resize(DATAGRAM, 0);
    packet
}

/// RFC 9000 §17.2.1: the version is zero.
fn is_version_negotiation(packet: &[u8]) -> bool {
    packet.len() > 7 && packet[0] & 0x80 != 0 && packet[1..5] == [0; 4]
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_edge_that_answers_on_both_is_good_and_one_that_does_not_is_told() {
        // An address of its own, on which the port is free for both.
        let server = UdpSocket::bind("127.0.94.1:0").await.expect("a port");
        let address = server.local_addr().expect("an address");
        let listener = TcpListener::bind(address).await.expect("the same port");
        tokio::spawn(async move {
            let mut packet = [0; DATAGRAM];
            let (length, from) = server.recv_from(&mut packet).await.expect("a packet");
            assert_eq!((length, &packet[1..5]), (DATAGRAM, &NO_VERSION[..]));
            let answer = [
                &[0x80, 0, 0, 0, 0, 8][..],
                &[1; ID],
                &[8],
                &[2; ID],
                &[0, 0, 0, 1],
            ];
            server.send_to(&answer.concat(), from).await.expect("sent");
        });
        let found = check(&address.to_string()).await;
        let tones: Vec<Tone> = found.iter().map(|it| it.tone).collect();
        assert_eq!(tones, [Tone::Good, Tone::Good], "{found:?}");

        drop(listener);
        let refused = tcp("gone", address).await;
        assert_eq!(refused.tone, Tone::Bad);
        assert!(
            refused.told.contains("; let TCP to port"),
            "{}",
            refused.told
        );
    }

    #[test]
    fn only_an_answer_of_quic_counts() {
        for (packet, expected) in [
            (&[0x80, 0, 0, 0, 0, 1, 1, 1][..], true),
            (&[0xff, 0, 0, 0, 0, 8, 1, 1], true),
            (&[0xc0, 0, 0, 0, 1, 8, 1, 1], false),
            (&[0x40, 0, 0, 0, 0, 8, 1, 1], false),
            (b"HTTP/1.1 400", false),
            (&[], false),
        ] {
            assert_eq!(is_version_negotiation(packet), expected, "{packet:?}");
        }
    }
}
