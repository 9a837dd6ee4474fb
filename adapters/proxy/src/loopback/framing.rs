//! Where heads and bodies begin and end in what an HTTP/1.1 client sends, and whether a second reader could see
//! that in another way.
//!
//! This runs beside the HTTP library's parser and changes nothing that it reads: it may only refuse. So wherever
//! the two should differ, a good request is refused, and no bad one is let in that the parser would not have
//! taken by itself (docs/decisions/0008-ambiguous-framing.md).

/// What another reader could cut in another place (RFC 9112 §11.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ambiguity {
    /// A line ends in LF alone, which a recipient may take for an end (§2.2).
    BareLineFeed,
    /// `Content-Length` beside `Transfer-Encoding`: either may be believed (§6.1).
    BothFramings,
    /// `Content-Length` on several lines (§6.3).
    SeveralLengths,
    /// A length or the size of a chunk that is no number.
    NoNumber,
    /// A chunk is longer than its size.
    LongChunk,
}

impl Ambiguity {
    /// For the log; holds nothing of the request.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::BareLineFeed => "a line of the request ends in LF without CR",
            Self::BothFramings => "the request has both Content-Length and Transfer-Encoding",
            Self::SeveralLengths => "the request has Content-Length more than once",
            Self::NoNumber => "a length in the request is not a number",
            Self::LongChunk => "a chunk of the request is longer than its size",
        }
    }
}

/// A refusal, and how many of the bytes looked at last came before the line that brought it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) why: Ambiguity,
    pub(super) before: usize,
}

/// Follows the bytes of one connection, in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Framing {
    part: Part,
    head: Head,
    /// The beginning of a line that earlier bytes did not end. The parser bounds heads, chunk sizes and
    /// trailers, and with them this.
    begun: Vec<u8>,
    upgrade_asked: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The first line of a connection, which may be that of HTTP/2.
    #[default]
    Opening,
    /// Before a request line. Empty lines here mean nothing (§2.2).
    Between,
    Head,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// HTTP/2: its frames carry their own lengths.
    Frames,
}

/// What the lines of a head have said so far.
#[derive(Debug, Default, Clone, Copy)]
struct Head {
    length: Option<u64>,
    coding: bool,
    upgrade: bool,
}

impl Framing {
    /// Looks at the next bytes.
    ///
    /// # Errors
    /// What can be read in two ways. Nothing that follows can be followed then.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.part {
                Part::Frames => rest.len(),
                Part::Body(left) | Part::Chunk(left) => self.skip(left, rest.len()),
                _ => self
                    .read_line(rest)
                    .map_err(|why| Refused { why, before: at })?,
            };
        }
        Ok(())
    }

    /// Whether some request of this connection asked for another protocol: what follows its head need not be
    /// HTTP.
    pub(super) fn upgrade_asked(&self) -> bool {
        self.upgrade_asked
    }

    /// Passes over bytes of a body; returns how many.
    fn skip(&mut self, left: u64, present: usize) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(present);
        let left = left - taken as u64;
        self.part = match self.part {
            Part::Chunk(_) if left == 0 => Part::ChunkEnd,
            Part::Chunk(_) => Part::Chunk(left),
            _ if left == 0 => Part::Between,
            _ => Part::Body(left),
        };
        taken
    }

    /// Reads up to the end of a line, or keeps what there is of it; returns how many bytes that were.
    fn read_line(&mut self, bytes: &[u8]) -> Result<usize, Ambiguity> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.begun.extend_from_slice(bytes);
            return Ok(bytes.len());
        };
        if self.begun.is_empty() {
            self.line(&bytes[..end])?;
        } else {
            let mut line = std::mem::take(&mut self.begun);
            line.extend_from_slice(&bytes[..end]);
            self.line(&line)?;
        }
        Ok(end + 1)
    }

    /// A line up to its LF.
    fn line(&mut self, line: &[u8]) -> Result<(), Ambiguity> {
        let line = line.strip_suffix(b"\r").ok_or(Ambiguity::BareLineFeed)?;
        self.part = match self.part {
            Part::Opening if line == b"PRI * HTTP/2.0" => Part::Frames,
            Part::Opening | Part::Between if line.is_empty() => Part::Between,
            Part::Opening | Part::Between => Part::Head,
            Part::Head if line.is_empty() => self.head_ends(),
            Part::Head => {
                self.head.read(line)?;
                Part::Head
            }
            Part::ChunkSize => match chunk_size(line)? {
                0 => Part::Trailers,
                size => Part::Chunk(size),
            },
            Part::ChunkEnd if line.is_empty() => Part::ChunkSize,
            Part::ChunkEnd => return Err(Ambiguity::LongChunk),
            Part::Trailers if line.is_empty() => Part::Between,
            Part::Trailers => Part::Trailers,
            part @ (Part::Body(_) | Part::Chunk(_) | Part::Frames) => part,
        };
        Ok(())
    }

    fn head_ends(&mut self) -> Part {
        let head = std::mem::take(&mut self.head);
        self.upgrade_asked |= head.upgrade;
        match head.length {
            _ if head.coding => Part::ChunkSize,
            Some(length @ 1..) => Part::Body(length),
            _ => Part::Between,
        }
    }
}

impl Head {
    fn read(&mut self, line: &[u8]) -> Result<(), Ambiguity> {
        if let Some(value) = value_of(line, b"content-length") {
            if self.coding {
                return Err(Ambiguity::BothFramings);
            }
            let length = number(value.trim_ascii(), 10).ok_or(Ambiguity::NoNumber)?;
            if self.length.replace(length).is_some() {
                return Err(Ambiguity::SeveralLengths);
            }
        } else if value_of(line, b"transfer-encoding").is_some() {
            // Which coding it is, the parser judges: it takes none but chunked.
            if self.length.is_some() {
                return Err(Ambiguity::BothFramings);
            }
            self.coding = true;
        } else if value_of(line, b"upgrade").is_some() {
            self.upgrade = true;
        }
        Ok(())
    }
}

/// The value, if this is the header of that name. The parser takes no name with a space before its colon.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    found
        .eq_ignore_ascii_case(name)
        .then(|| rest.strip_prefix(b":"))?
}

/// The size on a chunk's first line, extensions left out (§7.1).
fn chunk_size(line: &[u8]) -> Result<u64, Ambiguity> {
    let end = line
        .iter()
        .position(|byte| matches!(byte, b';' | b' ' | b'\t'))
        .unwrap_or(line.len());
    number(&line[..end], 16).ok_or(Ambiguity::NoNumber)
}

/// Digits and nothing else.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let all = digits
        .iter()
        .all(|digit| char::from(*digit).is_digit(radix));
    let digits = std::str::from_utf8(digits).ok().filter(|_| all)?;
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests;
