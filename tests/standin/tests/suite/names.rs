//! What the name server answers.

use std::net::SocketAddr;
use std::str::FromStr as _;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::client::Site;

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    let mut name = Name::from_str(name).unwrap();
    name.set_fqdn(true);
    message.add_query(Query::query(name, kind));
    message
}

async fn over_udp(site: &Site, query: &Message) -> Message {
    exchange(site.standin.dns_addr(), query).await
}

async fn exchange(server: SocketAddr, query: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let bytes = query.to_vec().unwrap();
    socket.send_to(&bytes, server).await.unwrap();
    let mut buffer = [0; 65_535];
    let answer = socket.recv(&mut buffer);
    let length = tokio::time::timeout(Duration::from_secs(20), answer)
        .await
        .unwrap()
        .unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(answer.metadata.id, query.metadata.id);
    answer
}

async fn over_tcp(site: &Site, query: &Message) -> Message {
    let mut stream = TcpStream::connect(site.standin.dns_addr()).await.unwrap();
    let bytes = query.to_vec().unwrap();
    stream
        .write_u16(bytes.len().try_into().unwrap())
        .await
        .unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

/// The data of the answers to one question, as text.
pub(crate) async fn look_up(server: SocketAddr, name: &str, kind: &str) -> Vec<String> {
    let kind = RecordType::from_str(kind).unwrap();
    let reply = exchange(server, &query(name, kind)).await;
    reply
        .answers
        .iter()
        .map(|record| record.data.to_string())
        .collect()
}

/// Answers as text, or the code with the zone of the SOA.
async fn ask(site: &Site, name: &str, kind: RecordType) -> Vec<String> {
    let reply = over_udp(site, &query(name, kind)).await;
    if reply.answers.is_empty() {
        let zone = reply.authorities.first().map(|soa| soa.name.to_string());
        return vec![format!(
            "{:?} {}",
            reply.metadata.response_code,
            zone.unwrap_or_default()
        )];
    }
    assert!(reply.metadata.authoritative);
    let answers = reply.answers.iter();
    answers
        .map(|r| format!("{} {}", r.record_type(), r.data))
        .collect()
}

async fn populated() -> (Site, String) {
    let site = Site::start().await;
    let id = site.tunnel("one").await;
    let target = format!("{id}.cfargotunnel.com");
    for (kind, name, content, proxied) in [
        ("CNAME", "app", target.as_str(), true),
        ("CNAME", "*.wild", target.as_str(), true),
        ("CNAME", "own.wild", "app.example.com", false),
        ("CNAME", "away", "elsewhere.test", false),
        ("A", "plain", "192.0.2.7", false),
        ("AAAA", "plain", "2001:db8::7", false),
        ("TXT", "plain", "words", false),
        ("TXT", "app", "beside", false),
        ("SRV", "_x._tcp", "1 2 443 plain.example.com", false),
        ("A", "a.b.deep", "192.0.2.8", false),
    ] {
        site.record(json!({"type": kind, "name": name, "content": content, "proxied": proxied}))
            .await;
    }
    (site, id)
}

#[tokio::test]
async fn names_resolve_as_their_records_say() {
    use RecordType::{A, AAAA, CNAME, NS, SOA, SRV, TXT};
    let (site, id) = populated().await;
    let tunnel = format!("{id}.cfargotunnel.com");
    let nobody = format!("{}.cfargotunnel.com", uuid::Uuid::new_v4());
    let no_name = "NXDomain example.com.";
    let no_data = "NoError example.com.";
    for (name, kind, answer) in [
        ("app.example.com", A, vec!["A 127.64.0.1"]),
        ("APP.Example.COM", A, vec!["A 127.64.0.1"]),
        ("app.example.com", AAAA, vec![no_data]),
        ("app.example.com", CNAME, vec![no_data]),
        ("app.example.com", TXT, vec!["TXT beside"]),
        ("x.wild.example.com", A, vec!["A 127.64.0.1"]),
        ("y.x.wild.example.com", A, vec!["A 127.64.0.1"]),
        (
            "own.wild.example.com",
            A,
            vec!["CNAME app.example.com.", "A 127.64.0.1"],
        ),
        (
            "own.wild.example.com",
            CNAME,
            vec!["CNAME app.example.com."],
        ),
        ("wild.example.com", A, vec![no_data]),
        ("away.example.com", A, vec!["CNAME elsewhere.test."]),
        ("plain.example.com", A, vec!["A 192.0.2.7"]),
        ("plain.example.com", AAAA, vec!["AAAA 2001:db8::7"]),
        (
            "_x._tcp.example.com",
            SRV,
            vec!["SRV 1 2 443 plain.example.com."],
        ),
        ("plain.example.com", SRV, vec![no_data]),
        ("b.deep.example.com", A, vec![no_data]),
        ("missing.example.com", A, vec![no_name]),
        ("example.com", A, vec![no_data]),
        ("example.com", NS, vec!["NS ns1.example.com."]),
        ("elsewhere.test", A, vec!["Refused "]),
        (&tunnel, A, vec!["A 127.64.0.1"]),
        (&tunnel, AAAA, vec!["NoError cfargotunnel.com."]),
        (&nobody, A, vec!["NXDomain cfargotunnel.com."]),
    ] {
        assert_eq!(ask(&site, name, kind).await, answer, "{name} {kind}");
    }
    assert_eq!(ask(&site, "example.com", SOA).await.len(), 1);
}

#[tokio::test]
async fn a_name_changes_with_its_record_at_once() {
    let (site, id) = populated().await;
    let records = site.cloud().records(&site.zone);
    let app = records.iter().find(|r| r.tunnel().is_some()).unwrap();
    site.call("DELETE", &site.records(&format!("/{}", app.id)), None)
        .await
        .result();
    let name = app.name.replace('*', "x");
    assert!(
        ask(&site, &name, RecordType::A).await[0].starts_with("N"),
        "{name}"
    );
    site.call("DELETE", &site.tunnels(&format!("/{id}")), None)
        .await
        .result();
    let gone = ask(&site, &format!("{id}.cfargotunnel.com"), RecordType::A).await;
    assert_eq!(gone, ["NXDomain cfargotunnel.com."]);
}

#[tokio::test]
async fn connectors_find_the_edge_by_srv_in_two_regions() {
    let site = Site::start().await;
    let service = "_v2-origintunneld._tcp.argotunnel.com";
    let port = site.standin.edge().tunnel_addresses()[0].port();
    assert_eq!(
        ask(&site, service, RecordType::SRV).await,
        ["region1", "region2"].map(|region| format!("SRV 1 1 {port} {region}.v2.argotunnel.com."))
    );
    for (name, kind, answer) in [
        (
            "region1.v2.argotunnel.com",
            RecordType::A,
            vec!["A 127.0.1.1", "A 127.0.1.3"],
        ),
        (
            "region2.v2.argotunnel.com",
            RecordType::A,
            vec!["A 127.0.1.2", "A 127.0.1.4"],
        ),
        (
            "region1.v2.argotunnel.com",
            RecordType::AAAA,
            vec!["NoError argotunnel.com."],
        ),
        (
            "region3.v2.argotunnel.com",
            RecordType::A,
            vec!["NXDomain argotunnel.com."],
        ),
        (
            "cfd-features.argotunnel.com",
            RecordType::TXT,
            vec!["NXDomain argotunnel.com."],
        ),
    ] {
        assert_eq!(ask(&site, name, kind).await, answer, "{name}");
    }
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_cut_and_whole_over_tcp() {
    let site = Site::start().await;
    for n in 0..60 {
        let content = format!("192.0.2.{n}");
        site.record(json!({"type": "A", "name": "many", "content": content}))
            .await;
    }
    let plain = query("many.example.com", RecordType::A);
    let cut = over_udp(&site, &plain).await;
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let mut large = plain.clone();
    let mut edns = Edns::new();
    edns.set_max_payload(4_096);
    large.set_edns(edns);
    for whole in [over_udp(&site, &large).await, over_tcp(&site, &plain).await] {
        assert!(!whole.metadata.truncation);
        assert_eq!(whole.answers.len(), 60);
        assert_eq!(whole.metadata.response_code, ResponseCode::NoError);
    }
}
