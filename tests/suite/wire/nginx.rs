//! nginx as a plain proxy with the same requests and endpoints, and the rows in which it differs.

use std::net::SocketAddr;

use tests::nginx::{Nginx, program};
use tests::raw_answers::Then;

/// A proxy with a location for each prefix. `None` where nginx is missing or has another version, which is printed.
pub(super) async fn before(locations: &[(String, Vec<SocketAddr>)]) -> Option<Nginx> {
    let Some(program) = program() else {
        println!("NOT RUN: nginx is absent, so its answers are not compared; set PEER_NGINX");
        return None;
    };
    let version = std::process::Command::new(&program).arg("-v").output();
    let version = version.expect("nginx prints its version").stderr;
    let version = String::from_utf8_lossy(&version);
    if !version.contains("nginx/1.22.") {
        println!("NOT RUN: {}, and the rows are of 1.22", version.trim());
        return None;
    }
    Some(Nginx::start(&program, |address| settings(address, locations)).await)
}

/// Its defaults, but for HTTP/1.1, the host of the request, and 2 s in place of a minute.
fn settings(address: SocketAddr, locations: &[(String, Vec<SocketAddr>)]) -> String {
    let (mut upstreams, mut rules) = (String::new(), String::new());
    for (index, (prefix, endpoints)) in locations.iter().enumerate() {
        let servers: String = endpoints.iter().map(|at| format!("server {at};")).collect();
        upstreams += &format!("    upstream u{index} {{ {servers} }}\n");
        rules += &format!("        location {prefix} {{ proxy_pass http://u{index}; }}\n");
    }
    format!(
        "    error_log /dev/null emerg;
    proxy_read_timeout 2s;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection \"\";
{upstreams}    server {{
        listen {address};
{rules}    }}
"
    )
}

const IGNORED: &str =
    "it takes a length that is none for no length at all; RFC 9112 §6.3 wants 502";
const CODED: &str = "it removes the name of a coding that it does not take off; so a visitor would not know how to read the body";
const OLD: &str =
    "it takes a head that is none for the body of HTTP/0.9; RFC 9110 §15.6.3 wants 502";
const INTERIM: &str =
    "it takes an interim answer for the final one; RFC 9110 §15.2 wants the one after it";
const SMALL: &str = "its default for an answer's head is 4 or 8 KiB; Cloudflare takes 128 KB";

/// Rows over HTTP/1.1 that nginx 1.22 answers otherwise, with what it answers, and who is right.
pub(super) const NGINX: &[(&str, Then, &str)] = &[
    (
        "a length twice in one line",
        Then::Cut,
        "RFC 9110 §8.6 leaves the choice: 502, or the one length",
    ),
    (
        "two lengths",
        Then::Cut,
        "its last one counts; RFC 9112 §6.3 wants 502",
    ),
    ("two lengths in one line", Then::Cut, IGNORED),
    (
        "space around",
        Then::Cut,
        "it knows no tabs around a value; RFC 9110 §5.5 has them",
    ),
    ("a sign", Then::Cut, IGNORED),
    ("hexadecimal", Then::Cut, IGNORED),
    ("2^64", Then::Cut, IGNORED),
    ("an empty length", Then::Cut, IGNORED),
    (
        "a length of 204",
        Then::Whole(204, Some("0"), ""),
        "RFC 9110 §8.6: a server must not send one",
    ),
    ("a length of 103", Then::Cut, INTERIM),
    ("a length of 100", Then::Cut, INTERIM),
    (
        "two lengths of an answer to HEAD",
        Then::Whole(200, Some("3"), ""),
        "its last one counts; RFC 9112 §6.3 wants 502",
    ),
    ("an unknown coding", Then::Whole(200, None, "ok"), CODED),
    (
        "another coding below chunked",
        Then::Whole(200, None, "ok"),
        CODED,
    ),
    (
        "chunked twice",
        Then::Whole(200, None, "ok"),
        "RFC 9112 §6.1: a sender must not apply it twice",
    ),
    (
        "chunked twice in two lines",
        Then::Whole(200, None, "ok"),
        "RFC 9112 §6.1: a sender must not apply it twice",
    ),
    (
        "chunked, and then another",
        Then::Whole(200, None, "ok"),
        CODED,
    ),
    (
        "a list that ends in a comma",
        Then::Whole(200, None, "ok"),
        "RFC 9110 §5.6.1 has a recipient read empty elements; we refuse what others read otherwise",
    ),
    (
        "a coding in HTTP/1.0",
        Then::Whole(200, None, "ok"),
        "RFC 9112 §6.1: its framing is faulty",
    ),
    (
        "a line without a colon",
        Then::Whole(200, Some("2"), "ok"),
        "it leaves the line out; RFC 9112 §5 has no such line",
    ),
    ("110 KiB of headers", Then::BadGateway, SMALL),
    ("5,000 header lines", Then::BadGateway, SMALL),
    (
        "101 that nobody asked for",
        Then::Whole(101, None, ""),
        "RFC 9110 §7.8: only to a request with Upgrade",
    ),
    ("another protocol", Then::Cut, OLD),
    ("a status that is no number", Then::Cut, OLD),
];
