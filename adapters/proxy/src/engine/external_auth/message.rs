//! Messages of protocol buffers, as far as Envoy's authorization service needs them: fields of the wire types for numbers
//! and for bytes are written and read, those of fixed width are passed over, groups are an error.

/// A message in the making. What has the default value of its type is not written.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

/// A message that breaks off or has a field of an unknown type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'m> {
    Number(u64),
    /// Bytes, a text or a message.
    Bytes(&'m [u8]),
    /// Of fixed width, which no field that is read has.
    Fixed,
}

const NUMBER: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn number(&mut self, field: u64, number: u64) {
        if number != 0 {
            self.varint(field << 3 | NUMBER);
            self.varint(number);
        }
    }

    pub(super) fn bytes(&mut self, field: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.whole(field, bytes);
        }
    }

    /// A message within this one; it is written also where it is empty.
    pub(super) fn message(&mut self, field: u64, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.whole(field, &inner.0);
    }

    fn whole(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            // The low seven bits, and that more follow.
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

/// Fields of a message, by their numbers, in the order written. It ends with the first error.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Result<(u64, Value<'_>), Malformed>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or(Malformed))
    })
}

fn field<'m>(rest: &mut &'m [u8]) -> Option<(u64, Value<'m>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        NUMBER => Value::Number(varint(rest)?),
        BYTES => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        FIXED_64 => take(rest, 8).map(|_| Value::Fixed)?,
        FIXED_32 => take(rest, 4).map(|_| Value::Fixed)?,
        _ => return None,
    };
    Some((tag >> 3, value)).filter(|(number, _)| *number > 0)
}

fn take<'m>(rest: &mut &'m [u8], length: usize) -> Option<&'m [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let byte = u64::from(*take(rest, 1)?.first()?);
        let bits = byte & 0x7f;
        if place == 9 && bits > 1 {
            return None;
        }
        number |= bits << (7 * place);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_written_as_the_encoding_has_it_and_read_again() {
        let mut message = Message::default();
        message.number(1, 150);
        message.number(3, 0);
        message.bytes(2, b"testing");
        message.message(15, |inner| inner.number(16, u64::MAX));
        let bytes = message.into_bytes();
        // The first two are the examples of the description of the encoding.
        let expected =
            b"\x08\x96\x01\x12\x07testing\x7a\x0c\x80\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(bytes, expected);
        let inner = &bytes[bytes.len() - 12..];
        let read: Vec<_> = fields(&bytes).map(Result::unwrap).collect();
        let then = [
            (1, Value::Number(150)),
            (2, Value::Bytes(b"testing")),
            (15, Value::Bytes(inner)),
        ];
        assert_eq!(read, then);
        let read: Vec<_> = fields(inner).map(Result::unwrap).collect();
        assert_eq!(read, [(16, Value::Number(u64::MAX))]);
    }

    #[test]
    fn what_breaks_off_or_is_of_no_known_type_is_an_error_and_the_end() {
        for (given, message) in [
            ("a number breaks off", &b"\x08\x96"[..]),
            ("a number is missing", b"\x08"),
            (
                "a number of eleven bytes",
                b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
            ),
            (
                "a number above 64 bits",
                b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            ),
            ("bytes break off", b"\x12\x07test"),
            (
                "a length above any memory",
                b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            ),
            ("a group", b"\x0b\x08\x01\x0c"),
            ("a type that there is not", b"\x0e"),
            ("fixed width breaks off", b"\x0d\x01\x02\x03"),
            ("field 0", b"\x00\x01"),
        ] {
            let read: Vec<_> = fields(message).collect();
            assert_eq!(read, [Err(Malformed)], "{given}");
        }
        let fixed = b"\x0d\x01\x02\x03\x04\x09\x01\x02\x03\x04\x05\x06\x07\x08";
        let read: Vec<_> = fields(fixed).collect();
        assert_eq!(read, [Ok((1, Value::Fixed)), Ok((1, Value::Fixed))]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end_or_to_an_error(bytes: Vec<u8>) {
            let read: Vec<_> = fields(&bytes).collect();
            prop_assert!(read.len() <= bytes.len());
        }
    }
}
