//! An amount of memory.

use std::fmt;
use std::str::FromStr;

use super::{TextSetting, Unfit};

/// How much memory a process may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// What its cgroup or the machine allows.
    Auto,
    Bytes(usize),
}

const AUTO: &str = "auto";

/// Units as Kubernetes writes them, from large to small.
const UNITS: [(&str, usize); 6] = [
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("", 1),
];

/// Below this no proxy runs.
const LEAST: usize = 32 << 20;

impl TextSetting for MemoryLimit {
    const EXPECTED: &'static str = "`auto` or an amount of memory of at least 32Mi with a unit Ki, Mi, Gi, M or G, such as 512Mi";
    const TAKES_NUMBERS: bool = true;
}

impl FromStr for MemoryLimit {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        if text == AUTO {
            return Ok(Self::Auto);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(Unfit)?;
        let number: usize = number.parse().map_err(|_| Unfit)?;
        let bytes = number.checked_mul(*size).ok_or(Unfit)?;
        if bytes < LEAST {
            return Err(Unfit);
        }
        Ok(Self::Bytes(bytes))
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Bytes(bytes) = self else {
            return f.write_str(AUTO);
        };
        let units = UNITS.iter().filter(|(_, size)| bytes.is_multiple_of(*size));
        let shortest = units.min_by_key(|(_, size)| bytes / size);
        let (name, size) = shortest.unwrap_or(&("", 1));
        write!(f, "{}{name}", bytes / size)
    }
}
