use std::sync::Arc;

use domain::route_table::Arrival;

use super::*;
use crate::Memory;
use crate::admission::Admitted;
use crate::engine::Asked;
use crate::metrics::GatewayMetrics;

/// A message with one field of bytes.
fn of(field: u64, bytes: &[u8]) -> Vec<u8> {
    let mut message = Message::default();
    message.bytes(field, bytes);
    message.into_bytes()
}

fn number_of(field: u64, value: u64) -> Vec<u8> {
    let mut message = Message::default();
    message.number(field, value);
    message.into_bytes()
}

/// `HeaderValueOption`, with what follows the header.
fn header(name: &str, value: &str, more: &[u8]) -> Vec<u8> {
    let header = [of(1, name.as_bytes()), of(2, value.as_bytes())].concat();
    [of(1, &header), more.to_vec()].concat()
}

fn status(code: u64) -> Vec<u8> {
    let mut message = Message::default();
    message.message(1, |status| status.number(1, code));
    message.into_bytes()
}

#[test]
fn only_a_status_of_ok_permits() {
    let empty = |field| {
        let mut message = Message::default();
        message.message(field, |_| {});
        message.into_bytes()
    };
    let with_query = [status(0), of(3, &of(8, b"token"))].concat();
    let with_no_name = [status(0), of(3, &of(2, &header("", "a", b"")))].concat();
    let with_path = [status(0), of(3, &of(2, &header(":path", "/", b"")))].concat();
    let negative = status(u64::MAX);
    for (given, message, then) in [
        ("OK", status(0), "permitted"),
        (
            "OK with an answer",
            [status(0), empty(3)].concat(),
            "permitted",
        ),
        (
            "OK and a field of a later version",
            [status(0), of(99, b"x")].concat(),
            "permitted",
        ),
        ("nothing at all", vec![], "failed"),
        ("an answer to a permitted request alone", empty(3), "failed"),
        (
            "OK and an answer to a denied request",
            [status(0), empty(2)].concat(),
            "failed",
        ),
        ("PERMISSION_DENIED", status(7), "denied"),
        ("a negative status", negative, "denied"),
        (
            "UNAUTHENTICATED with an answer",
            [status(16), empty(2)].concat(),
            "answered",
        ),
        ("an answer to a denied request alone", empty(2), "answered"),
        (
            "a status but OK, and an answer to a permitted request",
            [status(7), empty(3)].concat(),
            "denied",
        ),
        ("query parameters", with_query, "failed"),
        ("a header without a name", with_no_name, "failed"),
        ("a path", with_path, "failed"),
        ("a message that breaks off", b"\x0a\x05".to_vec(), "failed"),
    ] {
        let said = match judged(&message) {
            Ok(Ok(Verdict::Permitted(_))) => "permitted",
            Ok(Ok(Verdict::Denied(_))) => "answered",
            Ok(Err(LocalReply::Denied)) => "denied",
            Ok(Err(_)) | Err(Malformed) => "failed",
        };
        assert_eq!(said, then, "{given}");
    }
}

#[test]
fn headers_are_changed_as_each_says() {
    let append = |yes: u64| {
        let mut more = Message::default();
        more.message(2, |value| value.number(1, yes));
        more.into_bytes()
    };
    let name = || HeaderName::from_static("x-user");
    let value = || HeaderValue::from_static("ada");
    for (more, then) in [
        (vec![], Edit::Set(name(), value())),
        (append(0), Edit::Set(name(), value())),
        (append(1), Edit::Append(name(), value())),
        (number_of(3, 1), Edit::Fill(name(), value())),
        (number_of(3, 2), Edit::Set(name(), value())),
        (number_of(3, 3), Edit::Replace(name(), value())),
        (
            [append(0), number_of(3, 1)].concat(),
            Edit::Set(name(), value()),
        ),
    ] {
        assert_eq!(edit(&header("X-User", "ada", &more)), Ok(Some(then)));
    }
    for name in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Trailer",
    ] {
        assert_eq!(edit(&header(name, "ada", b"")), Ok(None), "{name}");
    }
    let removed = ["x-user", "host", ":path", "connection", "no name"];
    let removed = removed.map(|name| of(5, name.as_bytes())).concat();
    let added = of(6, &header("x-seen", "1", b""));
    let permit = permitted(&[removed, added].concat()).unwrap();
    assert_eq!(permit.request, [Edit::Remove(name())]);
    let seen = HeaderName::from_static("x-seen");
    let answer = [Edit::Set(seen, HeaderValue::from_static("1"))];
    assert_eq!(permit.answer, answer);
}

#[test]
fn a_denial_has_the_status_headers_and_body_that_it_says() {
    let body = of(3, b"log in");
    for (given, code, then, has_body) in [
        ("none", None, 403, true),
        ("a redirect", Some(302), 302, true),
        ("OK, with a page", Some(200), 200, true),
        ("without content", Some(204), 204, false),
        ("information", Some(101), 403, true),
        ("out of range", Some(700), 403, true),
    ] {
        let code = code.map(|code| of(1, &number_of(1, code)));
        let headers = of(2, &header("location", "/login", b""));
        let framing = of(2, &header("transfer-encoding", "chunked", b""));
        let message = [code.unwrap_or_default(), headers, framing, body.clone()].concat();
        let mut response = denial(&message).unwrap();
        assert_eq!(response.status(), then, "{given}");
        assert_eq!(response.headers()["location"], "/login", "{given}");
        assert!(
            !response.headers().contains_key("transfer-encoding"),
            "{given}"
        );
        let length = response.body_mut().take_text();
        assert_eq!(length == Some(6), has_body, "{given}");
    }
}

#[test]
fn a_message_is_one_and_not_compressed() {
    for (body, then) in [
        (&b"\0\0\0\0\x02ab"[..], Some(&b"ab"[..])),
        (b"\0\0\0\0\0", Some(b"")),
        (b"\x01\0\0\0\x02ab", None),
        (b"\0\0\0\0\x03ab", None),
        (b"\0\0\0\0\x01ab", None),
        (b"\0\0\0", None),
        (b"", None),
    ] {
        assert_eq!(message(body), then, "{body:?}");
    }
}

/// The first value of a field of bytes.
fn inner(message: &[u8], wanted: u64) -> Vec<u8> {
    let mut values = fields(message).filter_map(|field| match field.unwrap() {
        (field, Value::Bytes(bytes)) if field == wanted => Some(bytes.to_vec()),
        _ => None,
    });
    values.next().unwrap_or_default()
}

#[test]
fn a_question_has_the_attributes_that_envoy_sends() {
    let (head, ()) = Request::post("/a%2Fb?q=1")
        .header("host", "app.example")
        .header("x-a", "1")
        .header("x-a", "2")
        .header("content-length", "5")
        .body(())
        .unwrap()
        .into_parts();
    let in_flight = Arc::new(GatewayMetrics::default()).admit(1).unwrap();
    let client = "203.0.113.7".parse().ok();
    let asked = Asked {
        arrival: Arrival::new(Scheme::Https, "app.example", client).unwrap(),
        head,
        body: None,
        upgrade: None,
        admitted: Admitted::new(in_flight, Memory::unlimited().admit(0).unwrap()),
    };
    let all = [
        ":authority",
        ":method",
        ":path",
        ":scheme",
        "content-length",
        "host",
        "x-a",
    ];
    for (listed, names) in [(&[][..], &all[..]), (&["x-a", "x-none"], &["x-a"])] {
        let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
        let auth = GrpcAuth::new(Some(&ObjectKey::new("shop", "auth")), &listed);
        for (body, text, bytes) in [
            (&b"12345"[..], &b"12345"[..], &b""[..]),
            (b"\xff", b"", b"\xff"),
        ] {
            let told = Told {
                asked: &asked,
                uri: &asked.head.uri,
                body: &Bytes::copy_from_slice(body),
                time: Duration::from_secs(1),
            };
            let attributes = inner(&auth.check_request(told).into_bytes(), 1);
            let socket = inner(&inner(&inner(&attributes, 1), 1), 1);
            assert_eq!(inner(&socket, 2), b"203.0.113.7");
            let request = inner(&attributes, 4);
            assert!(number(&inner(&request, 1), 1).unwrap() > Some(1_600_000_000));
            let http = inner(&request, 2);
            for (field, then) in [
                (2, &b"POST"[..]),
                (4, b"/a%2Fb?q=1"),
                (5, b"app.example"),
                (6, b"https"),
                (10, b"HTTP/2"),
                (11, text),
                (12, bytes),
            ] {
                assert_eq!(inner(&http, field), then, "{field}");
            }
            assert_eq!(number(&http, 9), Ok(Some(5)));
            let headers = fields(&http).filter_map(|field| match field.unwrap() {
                (3, Value::Bytes(header)) => Some((inner(header, 1), inner(header, 2))),
                _ => None,
            });
            let mut headers: Vec<_> = headers.collect();
            headers.sort();
            let told: Vec<_> = headers.iter().map(|(name, _)| name.clone()).collect();
            let names: Vec<_> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            assert_eq!(told, names);
            assert_eq!(headers.last().unwrap().1, b"1,2");
        }
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// As Envoy's own types for Go (go-control-plane) write them.
#[test]
fn answers_that_others_have_written_are_understood() {
    let name = HeaderName::from_static;
    let value = HeaderValue::from_static;
    let permit = "0a001a70120f0a0d0a06782d75736572120361646112110a0b0a06782d726f6c6512016112020801120d0a090a04782d6e6f\
                  1201621200120f0a0b0a06782d66696c6c1201631801120c0a0a0a05782d7261771a01e92a0d617574686f72697a6174696f6e\
                  320d0a0b0a06782d7365656e120131";
    let Ok(Ok(Verdict::Permitted(permit))) = judged(&from_hex(permit)) else {
        panic!("it permits");
    };
    let raw = HeaderValue::from_bytes(b"\xe9").unwrap();
    let request = [
        Edit::Set(name("x-user"), value("ada")),
        Edit::Append(name("x-role"), value("a")),
        Edit::Set(name("x-no"), value("b")),
        Edit::Fill(name("x-fill"), value("c")),
        Edit::Set(name("x-raw"), raw),
        Edit::Remove(name("authorization")),
    ];
    assert_eq!(permit.request, request);
    assert_eq!(permit.answer, [Edit::Set(name("x-seen"), value("1"))]);

    let denied = "0a080810120477686f3f12230a0308ae0212140a120a086c6f636174696f6e12062f6c6f67696e1a066c6f6720696e";
    let Ok(Ok(Verdict::Denied(denial))) = judged(&from_hex(denied)) else {
        panic!("it denies");
    };
    let Denial::Whole(mut response) = *denial else {
        panic!("it is whole");
    };
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "/login");
    assert_eq!(response.body_mut().take_text(), Some(6));

    let query_parameters = from_hex("0a001a074205746f6b656e");
    assert!(judged(&query_parameters).is_err());
    let permitted = judged(&from_hex("0a00"));
    assert!(matches!(permitted, Ok(Ok(Verdict::Permitted(_)))));
    let denied = judged(&from_hex("0a020807"));
    assert!(matches!(denied, Ok(Err(LocalReply::Denied))));
}
