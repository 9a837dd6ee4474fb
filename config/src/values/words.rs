//! Settings that are one of a few words.

use std::fmt;
use std::str::FromStr;

use super::{Unfit, Written};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    /// One JSON object a line.
    Json,
}

impl Written for LogFormat {
    const EXPECTED: &'static str = "`text` or `json`";
}

impl FromStr for LogFormat {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Unfit),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// What carries tunnel connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportChoice {
    /// HTTP/2, and QUIC while TCP to the edge fails.
    Auto,
    /// HTTP/2 always.
    Http2,
    Quic,
}

impl Written for TransportChoice {
    const EXPECTED: &'static str = "`auto`, `http2` or `quic`";
}

impl FromStr for TransportChoice {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        match text {
            "auto" => Ok(Self::Auto),
            "http2" => Ok(Self::Http2),
            "quic" => Ok(Self::Quic),
            _ => Err(Unfit),
        }
    }
}

impl fmt::Display for TransportChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Http2 => "http2",
            Self::Quic => "quic",
        })
    }
}

/// What becomes of a request's headers with underscores in their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderscoredHeaders {
    Drop,
    Allow,
}

impl Written for UnderscoredHeaders {
    const EXPECTED: &'static str = "`drop` or `allow`";
}

impl FromStr for UnderscoredHeaders {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        match text {
            "drop" => Ok(Self::Drop),
            "allow" => Ok(Self::Allow),
            _ => Err(Unfit),
        }
    }
}

impl fmt::Display for UnderscoredHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Allow => "allow",
        })
    }
}
