//! The whole of it over QUIC: control stream, configuration and requests are streams of bytes there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_connector::{Connector, ConnectorOptions, EdgeAddresses, EdgeRoots, TransportChoice};
use capnp::message::ReaderOptions;
use capnp_rpc::rpc_capnp::{message, return_};
use domain::secret::ConnectorToken;
use quinn::{Connection, RecvStream, SendStream};
use serde::{Deserialize, Serialize};
use tests::origin::Origin as Endpoint;
use tests::recorder::quic::{EDGE_NAME, QuicRecorder, Stream, dialler, listen};
use tunnel_schema::quic_metadata_protocol_capnp::connect_response;
use tunnel_schema::tunnelrpc_capnp::configuration_manager::update_configuration_results;

use super::judge::{Judge, Origin, Outcome, VISITS, registered, visit};
use super::{Site, hex, messages, store, stored, unhex};

const FILE: &str = "cloudflared-quic.json";
/// Begins a stream with a request, and its answer; a version of two digits follows.
const DATA: &[u8] = b"\x0A\x36\xCD\x12\xA1\x3E";
/// Begins a stream with calls.
const CALLS: &[u8] = b"\x52\xBB\x82\x5C\xDB\x65";
const LIMIT: Duration = Duration::from_secs(10);

/// One connection, in hexadecimal digits.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Vector {
    /// Of the cloudflared that was recorded.
    version: String,
    /// Ids and secret in the bytes, to be replaced by those of a replay.
    tunnel: String,
    secret: String,
    /// Cap'n Proto messages of the control stream, in order.
    from_connector: Vec<String>,
    from_edge: Vec<String>,
    configuration: Said,
    /// As [`VISITS`].
    requests: Vec<Said>,
}

/// What was said on a stream that the edge opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Said {
    from_edge: String,
    from_connector: String,
}

impl Said {
    fn of(stream: &Stream) -> Self {
        Self {
            from_edge: hex(&stream.from_edge),
            from_connector: hex(&stream.from_connector),
        }
    }
}

impl Vector {
    fn of(site: &Site, version: String, streams: &[Stream]) -> Self {
        let control = streams.iter().find(|stream| stream.of_connector);
        let control = control.expect("a control stream");
        let begun = |with: &[u8]| -> Vec<Said> {
            let of_edge = streams.iter().filter(|stream| !stream.of_connector);
            of_edge
                .filter(|stream| stream.from_edge.starts_with(with))
                .map(Said::of)
                .collect()
        };
        Self {
            version,
            tunnel: hex(site.tunnel.id.as_bytes()),
            secret: hex(site.tunnel.secret.expose()),
            from_connector: messages(&control.from_connector),
            from_edge: messages(&control.from_edge),
            configuration: begun(CALLS).pop().expect("a configuration was pushed"),
            requests: begun(DATA),
        }
    }
}

/// What a connector answered on the stream of a request.
fn outcome(bytes: &[u8]) -> Outcome {
    let message = bytes.strip_prefix(DATA).expect("the signature of requests");
    let mut message = message.get(2..).expect("a version");
    let head = capnp::serialize::read_message_from_flat_slice(&mut message, ReaderOptions::new())
        .expect("a message");
    let head = head
        .get_root::<connect_response::Reader<'_>>()
        .expect("the head of an answer");
    assert_eq!(head.get_error().expect("a text").to_str(), Ok(""));
    let (mut status, mut headers) = (0, Vec::new());
    for entry in head.get_metadata().expect("entries") {
        let text = |text: capnp::Result<capnp::text::Reader<'_>>| {
            text.expect("a text").to_string().expect("UTF-8")
        };
        let (key, value) = (text(entry.get_key()), text(entry.get_val()));
        match key.strip_prefix("HttpHeader:") {
            Some(name) => headers.push((name.to_owned(), value)),
            None => status = value.parse().expect("a status"),
        }
    }
    let body = String::from_utf8(message.to_vec()).expect("text");
    Outcome::new(status, headers, body)
}

/// The configuration's version that a connector says it has, from its answers to calls.
fn applied(bytes: &[u8]) -> Option<i32> {
    messages(bytes).iter().find_map(|bytes| {
        let bytes = unhex(bytes);
        let message =
            capnp::serialize::read_message(&bytes[..], ReaderOptions::new()).expect("a message");
        let root = message.get_root::<message::Reader<'_>>().expect("RPC");
        let Ok(message::Return(Ok(answer))) = root.which() else {
            return None;
        };
        let Ok(return_::Results(Ok(results))) = answer.which() else {
            return None;
        };
        let results = results.get_content();
        let results = results
            .get_as::<update_configuration_results::Reader<'_>>()
            .ok()?;
        let result = results.get_result().ok().filter(|_| results.has_result())?;
        assert_eq!(result.get_err().expect("a text").to_str(), Ok(""));
        Some(result.get_latest_applied_version())
    })
}

/// Answers the streams of the edge as recorded, requests in their order.
async fn answer(connection: Connection, vector: Arc<Vector>) {
    let requests: VecDeque<_> = vector.requests.clone().into();
    let requests = Arc::new(Mutex::new(requests));
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        let (vector, requests) = (vector.clone(), requests.clone());
        tokio::spawn(async move {
            let mut signature = [0; 6];
            recv.read_exact(&mut signature).await.expect("a signature");
            if signature == CALLS {
                return answer_calls(&vector, &mut send, &mut recv).await;
            }
            assert_eq!(signature, DATA);
            recv.read_to_end(1 << 20).await.expect("a request");
            let recorded = requests.lock().expect("lock").pop_front();
            let recorded = recorded.expect("no more than was recorded");
            let bytes = unhex(&recorded.from_connector);
            send.write_all(&bytes).await.expect("the edge reads");
            send.finish().expect("it is open");
            // Until the edge has all of it.
            let _ = send.stopped().await;
        });
    }
}

async fn answer_calls(vector: &Vector, send: &mut SendStream, recv: &mut RecvStream) {
    for message in messages(&unhex(&vector.configuration.from_connector)) {
        // An answer before its call does not count.
        tokio::time::sleep(Duration::from_millis(100)).await;
        if send.write_all(&unhex(&message)).await.is_err() {
            break;
        }
    }
    // However it ends.
    let _ = recv.read_to_end(1 << 20).await;
    let _ = send.finish();
}

/// Says to the stand-in what the recorded connector said, and sees visitors get its answers.
async fn replay_to_the_standin(vector: Vector) {
    let vector = Arc::new(vector);
    let site = Site::start().await;
    let edge = site.standin.edge().tunnel_addresses()[0];
    let endpoint = dialler(site.standin.ca_pem());
    let connecting = endpoint.connect(edge, EDGE_NAME).expect("a valid name");
    let connection = connecting.await.expect("the edge takes it");
    tokio::spawn(answer(connection.clone(), vector.clone()));
    let (mut say, mut hear) = connection.open_bi().await.expect("a control stream");
    tokio::spawn(async move { hear.read_to_end(1 << 20).await });
    let recorded = (vector.tunnel.as_str(), vector.secret.as_str());
    let said = vector.from_connector.iter();
    let mut said = said.map(|message| site.adapt(recorded, message));
    let version = loop {
        let message = said.next().expect("one of the messages registers it");
        say.write_all(&message).await.expect("the edge listens");
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(registered) = site.connections().pop() {
            break registered.client_version;
        }
    };
    assert_eq!(version, vector.version);
    site.confirmed().await;
    let client = site.client();
    for (asked, recorded) in VISITS.into_iter().zip(&vector.requests) {
        let answer = visit(&client, asked).await;
        outcome(&unhex(&recorded.from_connector)).reached(&answer);
    }
    for message in said {
        say.write_all(&message).await.expect("the edge listens");
    }
    site.unregistered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cloudflared_sends_over_quic_is_accepted_by_the_stand_in() {
    replay_to_the_standin(stored(FILE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_connector_answers_the_stand_in_over_quic_as_cloudflared_did() {
    let vector: Vector = stored(FILE);
    let recorded = vector.requests.iter();
    let outcomes: Vec<_> = recorded
        .map(|said| outcome(&unhex(&said.from_connector)))
        .collect();
    let origin = Origin::answering(outcomes.clone());
    let site = Site::start().await;
    let endpoint = listen(&site.authority);
    let options = ConnectorOptions {
        edge: EdgeAddresses::Given(vec![endpoint.local_addr().expect("it is bound")]),
        roots: EdgeRoots::Only(site.authority.pem().as_bytes().to_vec()),
        connections: 1,
        transport: TransportChoice::Quic,
        ..ConnectorOptions::default()
    };
    let token = ConnectorToken::new(site.tunnel.token());
    let connector = Connector::start(&token, options, origin.clone()).expect("it starts");
    let incoming = endpoint.accept().await.expect("the connector dials");
    let connection = incoming.await.expect("it trusts the edge");
    let (mut say, mut hear) = connection.accept_bi().await.expect("a control stream");
    tokio::spawn(async move { while let Ok(Some(_)) = hear.read_chunk(1 << 16, true).await {} });
    let mut said = vector.from_edge.iter().map(|message| unhex(message));
    for message in said.by_ref().take(2) {
        say.write_all(&message)
            .await
            .expect("the connector listens");
    }
    registered(&connector).await;

    let theirs = applied(&unhex(&vector.configuration.from_connector));
    assert!(theirs.is_some());
    let ours = asked(&connection, &vector.configuration).await;
    assert_eq!(applied(&ours), theirs);
    for (recorded, theirs) in vector.requests.iter().zip(outcomes) {
        assert_eq!(outcome(&asked(&connection, recorded).await), theirs);
    }
    origin.saw_the_visits();

    let leaving = tokio::spawn(async move { connector.shutdown().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    for message in said {
        say.write_all(&message)
            .await
            .expect("the connector listens");
    }
    let left = tokio::time::timeout(LIMIT, leaving).await;
    left.expect("it leaves in time").expect("no panic");
}

/// Says on a new stream what the recorded edge said, and gives the answer.
async fn asked(connection: &Connection, said: &Said) -> Vec<u8> {
    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
    let bytes = unhex(&said.from_edge);
    send.write_all(&bytes).await.expect("it is read");
    send.finish().expect("it is open");
    let answer = tokio::time::timeout(LIMIT, recv.read_to_end(1 << 20)).await;
    answer.expect("an answer in time").expect("a whole answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloudflared_that_is_at_hand_says_over_quic_what_the_stand_in_accepts() {
    let endpoint = Endpoint::start("app").await;
    let site = Site::serving(&format!("http://{}", endpoint.address)).await;
    let edge = site.standin.edge().tunnel_addresses()[0];
    let recorder = QuicRecorder::start(&site.authority, edge);
    let Some(cloudflared) = Judge::start(&site, recorder.address, "quic").await else {
        return;
    };
    let client = site.client();
    for asked in VISITS {
        visit(&client, asked).await;
    }
    let version = site.connections()[0].client_version.clone();
    cloudflared.stop().await;
    let vector = Vector::of(&site, version, &recorder.streams());
    assert_eq!(vector.requests.len(), VISITS.len());
    store(FILE, &vector);
    replay_to_the_standin(vector).await;
}
