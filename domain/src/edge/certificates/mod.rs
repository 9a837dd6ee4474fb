//! Custom certificates at the edge: which zones get which, and which of those that are there are ours.
//!
//! Cloudflare's custom certificates have no comment, no name and no field for an owner. So what
//! a Gateway uploaded is noted in its own tunnel's ingress document: one rule for each certificate, with a
//! hostname under `certificates.invalid` (RFC 6761, section 6.4: it never resolves) made of the
//! fingerprint, a tag, the certificate's id and the zone's. The note outlives this process and goes with the
//! tunnel. A certificate without a note is not ours and is never changed or removed.
//!
//! The tag is a keyed hash, because others can write into the document too, and a note makes us remove what it names.
//! Its key comes from the API token (`NoteKey`). A rule without a right tag does not count as a note.

pub(crate) mod apply;
mod intent;
mod notes;
pub(crate) mod plan;
#[cfg(test)]
mod tests;

pub use intent::{CertificateIntent, CertificateOutcome};
pub use notes::Note;
pub(crate) use notes::{NoteKey, NoteKeys, with_unnoted};
