//! Answers with odd lengths or large heads on the whole way, over both transports: a visitor gets them whole and framed
//! in one way, or a 502. All rows of lengths and codings: `adapters/proxy/tests/proxy/answers.rs`.

use tests::manifests::{gateway, route_with, service};
use tests::raw_answers::{CODINGS, LENGTHS, RawAnswer, Then};
use tests::world::{ACCOUNT, World};

use super::headers::exchange;
use super::rig::answering;

fn row(given: &str) -> (String, String, Then) {
    let rows = LENGTHS.into_iter().chain(CODINGS);
    let mut rows = rows.filter(|row| row.given == given);
    let RawAnswer { answer, then, .. } = rows.next().expect("a row of that name");
    (given.to_owned(), answer.to_owned(), then)
}

fn rows() -> Vec<(String, String, Then)> {
    let ok = Then::Whole(200, Some("2"), "ok");
    let large = |lines: String| format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{lines}\r\nok");
    let value = "v".repeat(110 * 1024);
    vec![
        row("a length twice, alike"),
        row("a length twice in one line"),
        row("two lengths"),
        row("identity beside a length"),
        row("another coding below chunked"),
        (
            "a head of 110 KiB".to_owned(),
            large(format!("X-A: {value}\r\n")),
            ok,
        ),
        (
            "150 cookies".to_owned(),
            large("Set-Cookie: a=b; Secure\r\n".repeat(150)),
            ok,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_reaches_a_visitor_whole_or_becomes_a_502_over_both_transports() {
    for protocol in ["http2", "quic"] {
        let world = World::start().await;
        world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
        let mut rules = String::new();
        for (index, (_, answer, _)) in rows().into_iter().enumerate() {
            let name = format!("odd-{index}");
            let at = answering(answer).await;
            world.write(&format!("{name}.yaml"), &service(&name, &[at]));
            rules += &format!(
                "    - matches: [{{path: {{type: PathPrefix, value: /{index}}}}}]
      backendRefs: [{{name: {name}, port: 80}}]\n"
            );
        }
        let text = route_with("odd", "my-gateway", &["app.example.com"], &rules);
        world.write("route.yaml", &text);
        let protocol_setting = [("CFGW_TUNNEL__PROTOCOL", protocol.to_owned())];
        let _cfgw = world.cfgw_with(&protocol_setting).await;
        for (index, (given, _, then)) in rows().into_iter().enumerate() {
            let answer = ask(&world, index).await;
            let given = format!("{given} over {protocol}");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            let head = head.to_ascii_lowercase();
            let lengths = head.matches("\r\ncontent-length: ").count();
            match then {
                Then::Whole(status, _, whole) => {
                    assert!(
                        head.starts_with(&format!("http/1.1 {status} ")),
                        "{given}: {head}"
                    );
                    assert_eq!(lengths, 1, "{given}: {head}");
                    assert_eq!(body, whole, "{given}");
                }
                Then::BadGateway => {
                    assert!(head.starts_with("http/1.1 502 "), "{given}: {head}");
                    assert!(body.contains("did not answer properly"), "{given}: {body}");
                }
                Then::Cut => panic!("{given}: no such row is asked here"),
            }
        }
    }
}

/// The answer of a row, once its route is served.
async fn ask(world: &World, index: usize) -> String {
    let request =
        format!("GET /{index} HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n");
    let what = "an answer of the endpoint";
    tests::world::within(std::time::Duration::from_secs(20), what, || async {
        let stream = world.client.connect("app.example.com", "http/1.1").await;
        let answer = exchange(&mut stream.ok()?, &request).await;
        let served = !answer.is_empty() && !answer.starts_with("HTTP/1.1 530");
        served.then_some(answer)
    })
    .await
}
