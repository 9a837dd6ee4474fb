//! Entry points to the parsers for the fuzz targets, which are outside the workspace. Each panics where a rule of
//! its parser does not hold.

use domain::ObjectKey;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;
use crate::wire::{
    EventsDocument, IntentDocument, LeaseDocument, LeaseRequest, LiveDocument, OwnedDocument,
    PairsDocument, PendingDocument, PlanDocument, StatusDocument, SweptDocument, gateway_key,
};

/// Reads a document between a cluster and the broker.
pub fn broker_document(json: &[u8]) {
    request(json);
    answer(json);
}

/// Reads namespace and name in a path of the broker, in two lines.
pub fn broker_path(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        let (namespace, name) = text.split_once('\n').unwrap_or((text, ""));
        path(namespace, name);
    }
}

/// Reads what a cluster sends. An intent and a list of Gateways are the same after writing them.
fn request(json: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<IntentDocument>(json) {
        let gateway = ObjectKey::new("default", "one");
        if let Ok(intent) = document.read(gateway.clone()) {
            let again = through_json(&IntentDocument::of(&intent));
            assert_eq!(again.read(gateway), Ok(intent));
        }
    }
    if let Ok(document) = serde_json::from_slice::<LiveDocument>(json)
        && let Ok(live) = document.read()
    {
        assert_eq!(through_json(&LiveDocument::of(&live)).read(), Ok(live));
    }
    if let Ok(document) = serde_json::from_slice::<PairsDocument>(json)
        && let Ok(pairs) = document.read()
    {
        let again = through_json(&PairsDocument::of(&pairs)).read();
        assert!(again.is_ok(), "what was read can be written");
    }
    if let Ok(document) = serde_json::from_slice::<LeaseRequest>(json) {
        let term = document.term;
        if let Ok(listed) = document.read() {
            let again = through_json(&LeaseRequest::of(term, &listed));
            assert_eq!(again.read(), Ok(listed));
        }
    }
}

/// Reads what a broker answers.
fn answer(json: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<StatusDocument>(json)
        && let Ok(status) = document.read()
    {
        let again = through_json(&StatusDocument::of(status)).read();
        assert!(again.is_ok(), "what was read can be told: {again:?}");
    }
    if let Ok(document) = serde_json::from_slice::<OwnedDocument>(json)
        && let Ok(owned) = document.read()
    {
        assert_eq!(through_json(&OwnedDocument::of(&owned)).read(), Ok(owned));
    }
    if let Ok(document) = serde_json::from_slice::<SweptDocument>(json) {
        assert_eq!(through_json(&document), document);
    }
    if let Ok(document) = serde_json::from_slice::<PendingDocument>(json) {
        assert_eq!(through_json(&document), document);
    }
    if let Ok(document) = serde_json::from_slice::<LeaseDocument>(json) {
        let term = document.term;
        if let Ok(compared) = document.read() {
            let again = through_json(&LeaseDocument::of(term, &compared));
            assert_eq!(again.read(), Ok(compared));
        }
    }
    if let Ok(document) = serde_json::from_slice::<EventsDocument>(json) {
        assert_eq!(through_json(&document), document);
        drop(document.read());
    }
    if let Ok(document) = serde_json::from_slice::<PlanDocument>(json)
        && let Ok(planned) = document.read()
    {
        let again = through_json(&PlanDocument::of(planned)).read();
        assert!(again.is_ok(), "what was read can be told: {again:?}");
    }
    if let Ok(problem) = serde_json::from_slice::<Problem>(json) {
        assert_eq!(through_json(&problem), problem);
        problem.meaning();
    }
}

/// Reads the two names of a path. `true` where they are a Gateway's; then they need no encoding and lead nowhere else.
fn path(namespace: &str, name: &str) -> bool {
    let Ok(key) = gateway_key(namespace, name) else {
        return false;
    };
    assert_eq!((&*key.namespace, &*key.name), (namespace, name));
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    for text in [namespace, name] {
        assert!(text.bytes().all(is_plain) && !text.contains("..") && text != ".");
    }
    true
}

fn through_json<D: Serialize + DeserializeOwned>(document: &D) -> D {
    let written = serde_json::to_vec(document).expect("documents can be written");
    serde_json::from_slice(&written).expect("what was written can be read")
}

#[cfg(test)]
#[path = "../../../fuzz/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    /// The seed, and the seed changed and cut at each of its bytes.
    fn variants(seed: &[u8]) -> Vec<Vec<u8>> {
        let mut variants = vec![seed.to_vec()];
        for at in 0..seed.len() {
            for byte in [seed[at] ^ 1, seed[at] ^ 0x80, b'"', b'.', b'-'] {
                let mut changed = seed.to_vec();
                changed[at] = byte;
                variants.push(changed);
            }
            variants.push(seed[..at].to_vec());
            variants.push([&seed[..at], &seed[at / 2..]].concat());
        }
        variants
    }

    #[test]
    fn no_input_of_the_corpus_breaks_a_rule() {
        corpus::run(&[
            ("broker_document", broker_document),
            ("broker_path", broker_path),
        ]);
    }

    #[test]
    fn whatever_becomes_of_a_document_what_is_read_is_what_was_written() {
        let intent = r#"{"hostnames":["app.example.com","*.b"],"paths":{"*.b":["^/a$"]},"lost_to":[{"hostname":"a.b","to":{"namespace":"a","name":"b"}}],"dns":{"selected":{"zones":["example.com"],"include":["*.b"],"exclude":["c.b"]}},"records":{"drift":"pause","confirmed_removal":"c0de"},"certificates":[{"secret":{"namespace":"a","name":"b"},"fingerprint":"0123456789abcdef0123456789abcdef","hosts":["*.b"],"any_name":false}],"policy":"sync"}"#;
        assert!(serde_json::from_str::<IntentDocument>(intent).is_ok());
        for seed in [
            intent,
            r#"{"live":[{"namespace":"a","name":"b.c"}]}"#,
            r#"{"pairs":[{"chain":"c","key":"k"}]}"#,
            r#"{"term":1,"controller":"1","gateways":[{"namespace":"a","name":"b","version":2}]}"#,
        ] {
            for json in variants(seed.as_bytes()) {
                request(&json);
            }
        }
        let status = r#"{"tunnels":[{"id":"6ff42ae2-765d-4adf-8112-31c55c1551ef","name":"n","address":"a","hostnames":["a.b"]}],"hostnames":{"a.b":{"unknown":{"message":"m"}},"c.d":"applied"},"ingress":"complete","failures":[{"kind":"invalid","message":"m","retry_after_ms":1}],"namesakes":[],"zones":[],"repaired":{"c.d":"w"},"changes":{"listed":["w"],"more":1},"certificates":[{"secret":{"namespace":"a","name":"b"},"outcome":{"uploaded":{"zones":["a.b"]}}}]}"#;
        assert!(serde_json::from_str::<StatusDocument>(status).is_ok());
        for seed in [
            status,
            r#"{"gateways":[{"namespace":"a","name":"b"}]}"#,
            r#"{"term":1,"differing":[{"namespace":"a","name":"b","version":null}],"unlisted":[{"namespace":"a","name":"b"}]}"#,
            r#"{"events":[{"sequence":1,"at":2,"kind":"drift_repaired","gateway":{"namespace":"a","name":"b"},"detail":"d"}],"last":1,"missed":false}"#,
            r#"{"changes":[{"sign":"add","what":"record","name":"n","told":"t","gateway":null,"why":"w"}],"writes":1,"status":null,"failure":{"kind":"invalid","message":"m","retry_after_ms":1}}"#,
            r#"{"type":"https://cloudflare-gateway-controller.io/problems/too-slow","title":"t","status":408,"detail":"d","retry_after_ms":5}"#,
        ] {
            for json in variants(seed.as_bytes()) {
                answer(&json);
            }
        }
    }

    #[test]
    fn whatever_becomes_of_a_path_it_leads_to_its_gateway_or_nowhere() {
        assert!(path("shop", "web.eu-1"));
        for name in variants(b"web.eu-1") {
            path("shop", &String::from_utf8_lossy(&name));
        }
    }
}
