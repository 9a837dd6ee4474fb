//! From a question to an answer.

use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::EdgeRegion;
use crate::cloud::{Cloud, DnsRecord, RecordKind, TUNNEL_DOMAIN, tunnel_of_name};

/// Zone of the names that connectors discover the edge by.
const DISCOVERY_DOMAIN: &str = "argotunnel.com";
const DISCOVERY_SERVICE: &str = "_v2-origintunneld._tcp.argotunnel.com";
const REGIONS: [&str; 2] = ["region1.v2.argotunnel.com", "region2.v2.argotunnel.com"];

/// Seconds that automatic and proxied records live.
const AUTOMATIC_TTL: u32 = 300;
/// CNAMEs followed within our own zones.
const LONGEST_CHAIN: usize = 8;

/// What is known about a name.
enum Found {
    /// Records of the type asked for.
    Records(Vec<RData>, u32),
    /// The name is another name for this one.
    Alias(String, u32),
    /// The name exists without such records; the zone says so.
    NoData(String),
    /// The name does not exist; the zone says so.
    NoName(String),
    /// Not in any of our zones.
    Outside,
}

/// Answers messages.
pub(super) struct Resolver {
    pub(super) cloud: Cloud,
    pub(super) regions: Vec<EdgeRegion>,
}

impl Resolver {
    /// The whole reply to a query.
    pub(super) fn reply(&self, query: &Message) -> Message {
        let meta = query.metadata;
        let mut reply = Message::new(meta.id, MessageType::Response, meta.op_code);
        reply.metadata.recursion_desired = meta.recursion_desired;
        reply.add_queries(query.queries.iter().cloned());
        if query.edns.is_some() {
            reply.set_edns(Edns::new());
        }
        let [question] = query.queries.as_slice() else {
            reply.metadata.response_code = ResponseCode::FormErr;
            return reply;
        };
        if meta.op_code != OpCode::Query {
            reply.metadata.response_code = ResponseCode::NotImp;
            return reply;
        }
        self.answer(question.name().clone(), question.query_type(), &mut reply);
        reply
    }

    fn answer(&self, asked: Name, kind: RecordType, reply: &mut Message) {
        let mut owner = asked;
        for step in 0..LONGEST_CHAIN {
            match self.look_up(&text_of(&owner), kind) {
                Found::Records(data, ttl) => {
                    reply.metadata.authoritative = true;
                    let records = data
                        .into_iter()
                        .map(|data| Record::from_rdata(owner.clone(), ttl, data));
                    reply.add_answers(records);
                    return;
                }
                Found::Alias(target, ttl) => {
                    reply.metadata.authoritative = true;
                    let Some(target) = name(&target) else { return };
                    let alias = RData::CNAME(CNAME(target.clone()));
                    reply.add_answer(Record::from_rdata(owner, ttl, alias));
                    owner = target;
                }
                Found::NoData(zone) => return negative(reply, &zone, ResponseCode::NoError),
                Found::NoName(zone) => return negative(reply, &zone, ResponseCode::NXDomain),
                // The rest of a chain that leaves our zones is for the client's resolver.
                Found::Outside if step > 0 => return,
                Found::Outside => {
                    reply.metadata.response_code = ResponseCode::Refused;
                    return;
                }
            }
        }
        reply.metadata.response_code = ResponseCode::ServFail;
    }

    fn look_up(&self, asked: &str, kind: RecordType) -> Found {
        if is_within(asked, TUNNEL_DOMAIN) {
            self.look_up_tunnel(asked, kind)
        } else if is_within(asked, DISCOVERY_DOMAIN) {
            self.look_up_edge(asked, kind)
        } else {
            self.look_up_zone(asked, kind)
        }
    }

    /// `<tunnel id>.cfargotunnel.com`.
    fn look_up_tunnel(&self, asked: &str, kind: RecordType) -> Found {
        if asked == TUNNEL_DOMAIN {
            return apex(TUNNEL_DOMAIN, kind);
        }
        let tunnel = tunnel_of_name(asked);
        let addresses = tunnel.map_or_else(Vec::new, |tunnel| self.cloud.addresses_of(tunnel));
        match addresses.is_empty() {
            true => Found::NoName(TUNNEL_DOMAIN.to_owned()),
            false => of_addresses(&addresses, kind, TUNNEL_DOMAIN),
        }
    }

    /// The service record with the two regions, and their addresses.
    fn look_up_edge(&self, asked: &str, kind: RecordType) -> Found {
        let zone = DISCOVERY_DOMAIN.to_owned();
        if asked == DISCOVERY_DOMAIN {
            return apex(DISCOVERY_DOMAIN, kind);
        }
        if asked == DISCOVERY_SERVICE {
            if kind != RecordType::SRV {
                return Found::NoData(zone);
            }
            let targets = REGIONS.iter().zip(&self.regions);
            let services = targets.filter_map(|(target, region)| {
                Some(RData::SRV(SRV::new(1, 1, region.port, name(target)?)))
            });
            return Found::Records(services.collect(), AUTOMATIC_TTL);
        }
        let region = REGIONS.iter().position(|region| *region == asked);
        match region.and_then(|index| self.regions.get(index)) {
            Some(region) => {
                let data: Vec<RData> = region
                    .addresses
                    .iter()
                    .filter_map(|address| address_data(*address, kind))
                    .collect();
                found_or_no_data(data, AUTOMATIC_TTL, &zone)
            }
            None if DISCOVERY_SERVICE.ends_with(&format!(".{asked}")) => Found::NoData(zone),
            None if REGIONS[0].ends_with(&format!(".{asked}")) => Found::NoData(zone),
            None => Found::NoName(zone),
        }
    }

    /// The records of a user's zone.
    fn look_up_zone(&self, asked: &str, kind: RecordType) -> Found {
        let answering = self.cloud.view(|state| {
            let zone = state.zone_of(asked)?;
            let exists = zone.records.exists(asked);
            Some((zone.name.clone(), zone.records.answering(asked), exists))
        });
        let Some((zone, records, exists)) = answering else {
            return Found::Outside;
        };
        let at_apex = asked == zone && matches!(kind, RecordType::SOA | RecordType::NS);
        if at_apex || (asked == zone && records.is_empty()) {
            return apex(&zone, kind);
        }
        if records.is_empty() {
            return if exists {
                Found::NoData(zone)
            } else {
                Found::NoName(zone)
            };
        }
        self.of_records(&records, kind, &zone)
    }

    fn of_records(&self, records: &[Arc<DnsRecord>], kind: RecordType, zone: &str) -> Found {
        // The edge's own address takes the place of a proxied record and hides what it points to.
        if let Some(proxied) = records.iter().find(|record| record.proxied) {
            let hidden = matches!(
                kind,
                RecordType::A | RecordType::AAAA | RecordType::CNAME | RecordType::HTTPS
            );
            if hidden {
                let tunnel = proxied.tunnel();
                let addresses = tunnel.map_or_else(Vec::new, |t| self.cloud.addresses_of(t));
                return of_addresses(&addresses, kind, zone);
            }
        }
        let alias = records
            .iter()
            .find(|r| r.kind == RecordKind::Cname && !r.proxied);
        if let Some(alias) = alias.filter(|_| kind != RecordType::CNAME) {
            return Found::Alias(alias.content.clone(), seconds(alias));
        }
        let fitting = records.iter().filter(|r| !r.proxied || !r.kind.proxiable());
        let mut ttl = AUTOMATIC_TTL;
        let data: Vec<RData> = fitting
            .filter(|record| record.kind.as_str() == kind.to_string())
            .filter_map(|record| {
                ttl = seconds(record);
                record_data(record)
            })
            .collect();
        found_or_no_data(data, ttl, zone)
    }
}

fn found_or_no_data(data: Vec<RData>, ttl: u32, zone: &str) -> Found {
    if data.is_empty() {
        Found::NoData(zone.to_owned())
    } else {
        Found::Records(data, ttl)
    }
}

fn of_addresses(addresses: &[IpAddr], kind: RecordType, zone: &str) -> Found {
    let data = addresses.iter();
    let data = data.filter_map(|address| address_data(*address, kind));
    found_or_no_data(data.collect(), AUTOMATIC_TTL, zone)
}

fn address_data(address: IpAddr, kind: RecordType) -> Option<RData> {
    match (address, kind) {
        (IpAddr::V4(address), RecordType::A) => Some(RData::A(A(address))),
        (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(AAAA(address))),
        _ => None,
    }
}

/// What a zone says about itself: its start of authority and its name server.
fn apex(zone: &str, kind: RecordType) -> Found {
    let data = match kind {
        RecordType::SOA => start_of_authority(zone),
        RecordType::NS => name(&format!("ns1.{zone}")).map(|server| RData::NS(NS(server))),
        _ => None,
    };
    found_or_no_data(data.into_iter().collect(), AUTOMATIC_TTL, zone)
}

fn start_of_authority(zone: &str) -> Option<RData> {
    let server = name(&format!("ns1.{zone}"))?;
    let contact = name(&format!("dns.{zone}"))?;
    // A minimum of one second: a name made after it was asked for must show soon.
    Some(RData::SOA(SOA::new(
        server, contact, 1, 10_000, 2_400, 604_800, 1,
    )))
}

fn negative(reply: &mut Message, zone: &str, code: ResponseCode) {
    reply.metadata.authoritative = true;
    reply.metadata.response_code = code;
    if let (Some(owner), Some(soa)) = (name(zone), start_of_authority(zone)) {
        reply.add_authority(Record::from_rdata(owner, 1, soa));
    }
}

/// The wire form of a record; `None` for types that this server does not serve.
fn record_data(record: &DnsRecord) -> Option<RData> {
    let content = record.content.as_str();
    match record.kind {
        RecordKind::A => content.parse().ok().map(|ip| RData::A(A(ip))),
        RecordKind::Aaaa => content.parse().ok().map(|ip| RData::AAAA(AAAA(ip))),
        RecordKind::Cname => name(content).map(|target| RData::CNAME(CNAME(target))),
        RecordKind::Ns => name(content).map(|target| RData::NS(NS(target))),
        RecordKind::Mx => {
            let preference = record.priority.unwrap_or(10);
            name(content).map(|target| RData::MX(MX::new(preference, target)))
        }
        RecordKind::Txt => Some(RData::TXT(TXT::new(character_strings(content)))),
        RecordKind::Srv => service(content, record.priority),
        _ => None,
    }
}

/// `"one" "two"`, or plain text cut into strings of at most 255 bytes.
fn character_strings(content: &str) -> Vec<String> {
    if content.starts_with('"') {
        let parts = content.split('"').skip(1).step_by(2);
        return parts.map(str::to_owned).collect();
    }
    let mut strings = vec![String::new()];
    for letter in content.chars() {
        let last = strings.len() - 1;
        if strings[last].len() + letter.len_utf8() > 255 {
            strings.push(String::new());
        }
        let last = strings.len() - 1;
        strings[last].push(letter);
    }
    strings
}

/// `weight port target` beside a priority, or all four.
fn service(content: &str, priority: Option<u16>) -> Option<RData> {
    let fields: Vec<&str> = content.split_ascii_whitespace().collect();
    let (priority, rest) = match (fields.as_slice(), priority) {
        ([first, rest @ ..], _) if rest.len() == 3 => (first.parse().ok()?, rest),
        (rest, Some(priority)) => (priority, rest),
        _ => return None,
    };
    let [weight, port, target] = rest else {
        return None;
    };
    let srv = SRV::new(
        priority,
        weight.parse().ok()?,
        port.parse().ok()?,
        name(target)?,
    );
    Some(RData::SRV(srv))
}

fn seconds(record: &DnsRecord) -> u32 {
    if record.ttl == 1 {
        AUTOMATIC_TTL
    } else {
        record.ttl
    }
}

fn is_within(asked: &str, zone: &str) -> bool {
    asked == zone
        || asked
            .strip_suffix(zone)
            .is_some_and(|rest| rest.ends_with('.'))
}

/// A full name from text without the final dot.
fn name(text: &str) -> Option<Name> {
    let mut name = Name::from_str(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// Lower case, without the final dot.
fn text_of(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.trim_end_matches('.').to_owned()
}
