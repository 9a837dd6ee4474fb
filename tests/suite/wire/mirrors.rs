//! Copies of requests that go to mirrors.

use domain::gateway::{Filter, Mirror, Share};
use domain::route_table::UpstreamProtocol::{H2c, Http1};
use tests::routing::Rule;
use tests::world::within;

use super::TRANSPORTS;
use super::endpoint::{Recorder, answering};
use super::line::{Body, Ended, Line, PATIENCE, Request};

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_gets_the_request_and_its_answer_reaches_nobody_over_both_transports() {
    for protocol in [Http1, H2c] {
        for transport in TRANSPORTS {
            let app = answering(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), false).await;
            let copy = Recorder::start(protocol).await;
            let to_copy = Rule::new("/copy", protocol, &[copy.at]);
            let mirror = Filter::Mirror(Mirror {
                to: to_copy.key(),
                share: Share::ALL,
            });
            let rule = Rule {
                filters: vec![mirror],
                ..Rule::new("/mirrored", Http1, &[app])
            };
            let mut line = Line::start(transport, &[rule, to_copy]).await;
            let large = vec![b'x'; 16_000];
            for body in [
                Body::None,
                Body::Length(b"12345"),
                Body::Unknown(b"12345"),
                Body::Length(&large),
            ] {
                let given = format!("{} over {transport:?} and {protocol:?}", body.len());
                let ended = line.send(Request {
                    method: "PUT",
                    path: b"/mirrored/a?q=1",
                    fields: &[("x-own", b"1")],
                    body,
                });
                assert_eq!(ended.await, Ended::Answered(204), "{given}");
                let reached = within(PATIENCE, "the copy comes", || async { copy.take().pop() });
                let reached = reached.await;
                assert_eq!(reached.line, "PUT /mirrored/a?q=1", "{given}");
                assert_eq!(reached.values("host"), [b"app.example.com"], "{given}");
                assert_eq!(reached.values("x-own"), [b"1"], "{given}");
                assert_eq!(reached.body.len(), body.len(), "{given}");
            }
        }
    }
}
