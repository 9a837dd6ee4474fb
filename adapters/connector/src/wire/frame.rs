//! Cap'n Proto stream framing: the number of segments less one, the size of each in words, padding to
//! eight bytes, then the segments (<https://capnproto.org/encoding.html#serialization-over-a-stream>).

use bytes::{Buf, BytesMut};
use capnp::message::{HeapAllocator, Reader, ReaderOptions};
use capnp::serialize::OwnedSegments;

pub(crate) type Message = Reader<OwnedSegments>;
pub(crate) type Builder = capnp::message::Builder<HeapAllocator>;

/// Bytes of a message at most. Nothing that the edge says on a control stream gets near it.
const MAX_MESSAGE: usize = 1 << 20;
/// Segments of a message at most, as other implementations have it.
const MAX_SEGMENTS: usize = 512;
/// How often the words of a message may be read. Pointers may lead to one place many times, and a list of structs without
/// fields may be as long as it says: without a bound, 64 bytes take the time of two million list entries
/// (<https://capnproto.org/encoding.html#amplification-attack>).
const MAX_READS: usize = 8;

/// Takes one whole message off the front of `buffer`. `None` while it is not all there; an error when it
/// cannot become one, whatever follows.
pub(crate) fn take(buffer: &mut BytesMut) -> capnp::Result<Option<Message>> {
    take_within(buffer, MAX_MESSAGE)
}

/// Bytes of the message that `buffer` begins with, once they are known.
pub(crate) fn length(buffer: &[u8]) -> capnp::Result<Option<usize>> {
    length_within(buffer, MAX_MESSAGE)
}

fn length_within(buffer: &[u8], limit: usize) -> capnp::Result<Option<usize>> {
    let Some(segments) = word(buffer, 0).map(|less_one| less_one.saturating_add(1)) else {
        return Ok(None);
    };
    if segments > MAX_SEGMENTS {
        return Err(malformed("too many segments in one message"));
    }
    let header = (4 + 4 * segments).next_multiple_of(8);
    let mut words = 0_usize;
    for segment in 0..segments {
        let Some(size) = word(buffer, 4 + 4 * segment) else {
            return Ok(None);
        };
        words = words.saturating_add(size);
    }
    let total = words.saturating_mul(8).saturating_add(header);
    if total > limit {
        return Err(malformed("a message that is too long"));
    }
    Ok(Some(total))
}

/// The same as [`take`] for a message of at most `limit` bytes.
pub(crate) fn take_within(buffer: &mut BytesMut, limit: usize) -> capnp::Result<Option<Message>> {
    let Some(total) = length_within(buffer, limit)? else {
        return Ok(None);
    };
    if buffer.len() < total {
        buffer.reserve(total - buffer.len());
        return Ok(None);
    }
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(Some(total / 8 * MAX_READS));
    let message = capnp::serialize::read_message(&buffer[..total], options)?;
    buffer.advance(total);
    Ok(Some(message))
}

/// A message as it goes over the stream.
pub(crate) fn bytes(message: &Builder) -> Vec<u8> {
    capnp::serialize::write_message_to_words(message)
}

/// The little-endian 32 bit number at `at`.
fn word(buffer: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = buffer.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn malformed(what: &str) -> capnp::Error {
    capnp::Error::failed(what.to_owned())
}

#[cfg(test)]
mod tests {
    use capnp_rpc::rpc_capnp::message;
    use proptest::prelude::*;

    use super::*;

    fn bootstrap(question: u32) -> Vec<u8> {
        let mut message = Builder::new_default();
        message
            .init_root::<message::Builder<'_>>()
            .init_bootstrap()
            .set_question_id(question);
        bytes(&message)
    }

    fn question(message: &Message) -> u32 {
        let root = message.get_root::<message::Reader<'_>>().unwrap();
        let Ok(message::Bootstrap(Ok(bootstrap))) = root.which() else {
            panic!("not a bootstrap");
        };
        bootstrap.get_question_id()
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_a_message_or_not_but_never_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take(&mut buffer) {}
        }

        #[test]
        fn bytes_that_begin_like_a_message_never_panic(
            segments in 0_u32..6,
            sizes in proptest::collection::vec(any::<u32>(), 0..8),
            rest in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut buffer = BytesMut::from(&segments.to_le_bytes()[..]);
            for size in sizes {
                buffer.extend_from_slice(&size.to_le_bytes());
            }
            buffer.extend_from_slice(&rest);
            while let Ok(Some(_)) = take(&mut buffer) {}
        }

        #[test]
        fn messages_arrive_whole_however_the_stream_is_cut(cut in 1_usize..40) {
            let mut sent = bootstrap(7);
            sent.extend(bootstrap(8));
            let mut buffer = BytesMut::new();
            let mut seen = Vec::new();
            for piece in sent.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(message) = take(&mut buffer).unwrap() {
                    seen.push(question(&message));
                }
            }
            prop_assert_eq!(seen, vec![7, 8]);
            prop_assert!(buffer.is_empty());
        }
    }
}
