//! Answers as endpoints write them on an HTTP/1.1 connection, with what a client must get of each (RFC 9110 §8.6, RFC
//! 9112 §6). Plain data, so that other proxies can be asked the same.

/// An answer of an endpoint, and what the visitor gets.
#[derive(Debug, Clone, Copy)]
pub struct RawAnswer {
    /// What is odd about it.
    pub given: &'static str,
    /// Method of the request that it answers.
    pub method: &'static str,
    /// From the status line on.
    pub answer: &'static str,
    /// Whether the endpoint closes its connection afterwards, or keeps it open.
    pub closes: bool,
    /// What the client gets.
    pub then: Then,
}

/// What a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// This status, this one `Content-Length` or none, and this body up to its end.
    Whole(u16, Option<&'static str>, &'static str),
    /// The endpoint's 200, and a body that is seen to be cut.
    Cut,
    /// 502.
    BadGateway,
}
use Then::{BadGateway, Cut, Whole};

const OK: Then = Whole(200, Some("2"), "ok");
const OK_WITHOUT_LENGTH: Then = Whole(200, None, "ok");

const fn open(given: &'static str, answer: &'static str, then: Then) -> RawAnswer {
    RawAnswer {
        given,
        method: "GET",
        answer,
        closes: false,
        then,
    }
}

const fn closing(given: &'static str, answer: &'static str, then: Then) -> RawAnswer {
    RawAnswer {
        closes: true,
        ..open(given, answer, then)
    }
}

const fn head(given: &'static str, answer: &'static str, then: Then) -> RawAnswer {
    RawAnswer {
        method: "HEAD",
        ..open(given, answer, then)
    }
}

/// Rows about `Content-Length`.
pub const LENGTHS: [RawAnswer; 21] = [
    open(
        "a length",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK,
    ),
    open(
        "a length twice, alike",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        OK,
    ),
    open(
        "a length twice in one line",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        OK,
    ),
    open(
        "a length twice, spelled differently",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 02\r\n\r\nok",
        OK,
    ),
    open(
        "two lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        BadGateway,
    ),
    open(
        "two lengths in one line",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
        BadGateway,
    ),
    open(
        "zeros in front",
        "HTTP/1.1 200 OK\r\nContent-Length: 0002\r\n\r\nok",
        OK,
    ),
    open(
        "space around",
        "HTTP/1.1 200 OK\r\nContent-Length: \t 2 \r\n\r\nok",
        OK,
    ),
    open(
        "a sign",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        BadGateway,
    ),
    open(
        "hexadecimal",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
        BadGateway,
    ),
    open(
        "2^64",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nok",
        BadGateway,
    ),
    open(
        "an empty length",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
        BadGateway,
    ),
    closing(
        "more than comes",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        Cut,
    ),
    open(
        "a length of 204",
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        Whole(204, None, ""),
    ),
    open(
        "a length of 304",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 02\r\n\r\n",
        Whole(304, Some("2"), ""),
    ),
    open(
        "a length of 103",
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK,
    ),
    open(
        "a length of 100",
        "HTTP/1.1 100 Continue\r\nContent-Length: 7\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK,
    ),
    head(
        "a length of an answer to HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        Whole(200, Some("2"), ""),
    ),
    head(
        "the same twice",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        Whole(200, Some("2"), ""),
    ),
    head(
        "two lengths of an answer to HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        BadGateway,
    ),
    closing(
        "neither length nor coding",
        "HTTP/1.1 200 OK\r\n\r\nok",
        OK_WITHOUT_LENGTH,
    ),
];

/// Rows about `Transfer-Encoding`.
pub const CODINGS: [RawAnswer; 18] = [
    open(
        "chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        OK_WITHOUT_LENGTH,
    ),
    open(
        "chunked beside a length",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        OK_WITHOUT_LENGTH,
    ),
    closing(
        "chunked without its end",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        Cut,
    ),
    open(
        "identity beside a length",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
        OK,
    ),
    open(
        "identity beside a length of 0",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
        Whole(200, Some("0"), ""),
    ),
    open(
        "identity beside a length, and more than it",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok, and more",
        OK,
    ),
    closing(
        "identity beside a length that does not come",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nok",
        Cut,
    ),
    open(
        "an empty coding beside a length",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\nContent-Length: 2\r\n\r\nok",
        OK,
    ),
    closing(
        "identity alone",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
        OK_WITHOUT_LENGTH,
    ),
    head(
        "identity beside a length of an answer to HEAD",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n",
        Whole(200, Some("2"), ""),
    ),
    closing(
        "an unknown coding",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        BadGateway,
    ),
    open(
        "another coding below chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        BadGateway,
    ),
    open(
        "chunked twice",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        BadGateway,
    ),
    open(
        "chunked twice in two lines",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        BadGateway,
    ),
    closing(
        "chunked, and then another",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        BadGateway,
    ),
    closing(
        "a list that ends in a comma",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        BadGateway,
    ),
    open(
        "a coding that Connection names",
        "HTTP/1.1 200 OK\r\nConnection: transfer-encoding\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
        OK,
    ),
    closing(
        "a coding in HTTP/1.0",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        BadGateway,
    ),
];
