//! Values of the programs that run in a Kubernetes cluster.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::{TextSetting, Unfit, is_label, kept};

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(bool);

impl Switch {
    pub(crate) const ON: Self = Self(true);
    pub(crate) const OFF: Self = Self(false);

    /// Whether it is done.
    pub fn is_on(self) -> bool {
        self.0
    }
}

impl TextSetting for Switch {
    const EXPECTED: &'static str = "`true` or `false`";
    const TAKES_BOOLEANS: bool = true;
}

impl FromStr for Switch {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        match text {
            "true" => Ok(Self::ON),
            "false" => Ok(Self::OFF),
            _ => Err(Unfit),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

text! {
    /// Where a server is found: a name or an address, and a port. An IPv6 address may stand without its brackets, as
    /// Kubernetes tells the address of a pod.
    HostPort,
    "a name or address with a port, such as cfgw-controller.cfgw-system.svc:8443",
    |text| {
        let (host, port) = text.rsplit_once(':')?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if is_port && host.parse::<Ipv6Addr>().is_ok() {
            return Some(format!("[{host}]:{port}"));
        }
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let named = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
        kept(text, (bracketed || named) && is_port)
    }
}

text! {
    Image,
    "a container image with its tag or digest, such as example.com/cfgw:1.2.3",
    |text| kept(text, !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) && text.contains(['/', ':']))
}

text! {
    /// Name of a Kubernetes object (a DNS subdomain, RFC 1123).
    ObjectName,
    "a name of at most 253 of a-z, 0-9, `-` and `.` that begins and ends with a letter or digit",
    |text| kept(text, text.len() <= 253 && text.split('.').all(is_label))
}

/// Ranges of addresses, as `address/prefix`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressRanges(Vec<(IpAddr, u8)>);

impl AddressRanges {
    /// Most that may be named.
    const MOST: usize = 64;

    /// Each as text, in the order written.
    pub fn ranges(&self) -> Vec<String> {
        let ranges = self.0.iter();
        ranges
            .map(|(address, prefix)| format!("{address}/{prefix}"))
            .collect()
    }
}

impl TextSetting for AddressRanges {
    const EXPECTED: &'static str = "a list of at most 64 address/prefix, such as 192.0.2.0/24";
    const TAKES_LISTS: bool = true;
}

impl FromStr for AddressRanges {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let ranges = text.split(',').map(str::trim);
        let ranges = ranges.filter(|range| !range.is_empty()).map(|range| {
            let (address, prefix) = range.split_once('/').ok_or(Unfit)?;
            let address: IpAddr = address.parse().map_err(|_| Unfit)?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            let prefix: u8 = prefix.parse().map_err(|_| Unfit)?;
            (prefix <= longest)
                .then_some((address, prefix))
                .ok_or(Unfit)
        });
        let ranges: Vec<_> = ranges.collect::<Result<_, _>>()?;
        (ranges.len() <= Self::MOST)
            .then_some(Self(ranges))
            .ok_or(Unfit)
    }
}

impl fmt::Display for AddressRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ranges().join(","))
    }
}

/// Names of Kubernetes objects of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names(Vec<ObjectName>);

impl Names {
    /// The names, in the order written.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|name| name.0.clone()).collect()
    }
}

impl TextSetting for Names {
    const EXPECTED: &'static str = "a list of names of Kubernetes objects";
    const TAKES_LISTS: bool = true;
}

impl FromStr for Names {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let names = text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        names.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(","))
    }
}
