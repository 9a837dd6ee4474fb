//! How our own tunnels and records are distinguished from all others.
//!
//! A tunnel has no comment, so its name is its mark and says plainly whose it is. A record's mark is its
//! comment, which everybody who may see the zone can read and which takes at most 100 characters on
//! Cloudflare's Free plan. It therefore holds a hash: owners are told apart without telling a customer's
//! zone which clusters, namespaces and Gateways exist.
//!
//! Both name the installation and which instance of it: two clusters that were given one name by accident never take
//! each other's for their own. A cluster rebuilt from nothing but its manifests is another instance; it sees by the
//! marks that what is there is of its name, and takes over what is not used any more (`plan`).
//!
//! The hash is keyed with the installation's name and needs no stored key. A mark is no proof: who may write the zone
//! can forge one. It guards against accidents (two clusters, another tool, a person), not against the zone's owner.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::gateway::OWN_GROUP;
use crate::names::{Installation, InstallationName, InstanceId, ObjectKey};

/// First word of every mark. Another scheme takes another word; a word that we do not know is foreign.
const VERSION: &str = "cfgw1";

/// Characters of a mark.
const MARK_LENGTH: usize = 56;

/// Name of a Gateway's tunnel:
/// `cloudflare-gateway-controller.io/clusters/<installation>/instances/<instance>/namespaces/<namespace>/gateways/<name>`,
/// 490 characters at most. Cloudflare's API documents no longest name.
pub fn tunnel_name(installation: &Installation, gateway: &ObjectKey) -> String {
    let ObjectKey { namespace, name } = gateway;
    let Installation { name: of, instance } = installation;
    let prefix = tunnel_prefix(of);
    format!("{prefix}{instance}/namespaces/{namespace}/gateways/{name}")
}

/// What the name of each tunnel of the installations of a name starts with, and no other installation's does.
pub fn tunnel_prefix(installation: &InstallationName) -> String {
    format!("{OWN_GROUP}/clusters/{installation}/instances/")
}

/// Instance and Gateway of a tunnel name; `None` where the tunnel is of no installation of this name.
pub fn owner_of_tunnel(
    installation: &InstallationName,
    name: &str,
) -> Option<(InstanceId, ObjectKey)> {
    let rest = name.strip_prefix(&tunnel_prefix(installation))?;
    let (instance, rest) = rest.split_once("/namespaces/")?;
    let (namespace, gateway) = rest.split_once("/gateways/")?;
    let plain = |part: &str| !part.is_empty() && !part.contains('/');
    let gateway = (plain(namespace) && plain(gateway)).then(|| ObjectKey::new(namespace, gateway));
    Some((InstanceId::parse(instance).ok()?, gateway?))
}

/// The Gateway of a tunnel name; `None` where the tunnel is not this very installation's.
pub fn gateway_of_tunnel(installation: &Installation, name: &str) -> Option<ObjectKey> {
    let (instance, gateway) = owner_of_tunnel(&installation.name, name)?;
    (instance == installation.instance).then_some(gateway)
}

/// Whose a record is, as its comment says: `cfgw1 <installation> <gateway> <instance>`, 56 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordMark {
    installation: u64,
    gateway: u64,
    instance: u64,
}

impl RecordMark {
    /// The mark of a Gateway's records.
    pub fn of(installation: &Installation, gateway: &ObjectKey) -> Self {
        let ObjectKey { namespace, name } = gateway;
        let hash = |text: &str| keyed_hash(&installation.name, text);
        Self {
            gateway: hash(&format!("gateway {namespace}/{name}")),
            ..Self::of_installation(installation)
        }
    }

    /// A mark that is of the same installation as every mark of its Gateways, and no Gateway's own.
    pub(crate) fn of_installation(installation: &Installation) -> Self {
        let hash = |text: &str| keyed_hash(&installation.name, text);
        Self {
            installation: hash("installation"),
            gateway: 0,
            instance: hash(&format!("instance {}", installation.instance)),
        }
    }

    /// Reads a comment. Strict: a comment that is anything but a mark makes the record foreign.
    pub fn parse(comment: &str) -> Option<Self> {
        let rest = comment.strip_prefix(VERSION)?.strip_prefix(' ')?;
        let (installation, rest) = rest.split_once(' ')?;
        let (gateway, instance) = rest.split_once(' ')?;
        Some(Self {
            installation: parse_hash(installation)?,
            gateway: parse_hash(gateway)?,
            instance: parse_hash(instance)?,
        })
    }

    /// Finds the mark in a comment, which may have words of others beside it. A comment with two different marks has
    /// none: nobody could tell whose it is.
    pub fn find(comment: &str) -> Option<Self> {
        let is_word = |start: usize| {
            comment[..start]
                .chars()
                .next_back()
                .is_none_or(char::is_whitespace)
        };
        let starts = comment.match_indices(VERSION).map(|(start, _)| start);
        let mut marks = starts.filter(|start| is_word(*start)).filter_map(|start| {
            let end = start + MARK_LENGTH;
            let ends = comment
                .get(end..)?
                .chars()
                .next()
                .is_none_or(char::is_whitespace);
            Self::parse(comment.get(start..end)?).filter(|_| ends)
        });
        let mark = marks.next()?;
        marks.all(|other| other == mark).then_some(mark)
    }

    /// Whether both marks are of one installation, of whichever Gateways.
    pub fn is_same_installation(self, other: Self) -> bool {
        self.is_same_name(other) && self.instance == other.instance
    }

    /// Whether the marks are of two installations of one name, of whichever Gateways.
    pub fn is_namesake(self, other: Self) -> bool {
        self.is_same_name(other) && self.instance != other.instance
    }

    /// Whether both marks are of a Gateway of this namespace and name in installations of one name.
    pub fn is_same_gateway(self, other: Self) -> bool {
        self.is_same_name(other) && self.gateway == other.gateway
    }

    fn is_same_name(self, other: Self) -> bool {
        self.installation == other.installation
    }
}

impl fmt::Display for RecordMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            installation,
            gateway,
            instance,
        } = self;
        write!(
            f,
            "{VERSION} {installation:016x} {gateway:016x} {instance:016x}"
        )
    }
}

/// The first 8 bytes of HMAC-SHA256. 64 bits keep a million Gateways apart; the comment stays short.
fn keyed_hash(installation: &InstallationName, text: &str) -> u64 {
    let mut hmac = Hmac::<Sha256>::new_from_slice(installation.as_str().as_bytes())
        .expect("HMAC takes a key of any length");
    hmac.update(VERSION.as_bytes());
    hmac.update(b" ");
    hmac.update(text.as_bytes());
    let digest = hmac.finalize().into_bytes();
    let first = digest.first_chunk().expect("it has 32 bytes");
    u64::from_be_bytes(*first)
}

fn parse_hash(text: &str) -> Option<u64> {
    let is_hash = text.len() == 16
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    is_hash
        .then(|| u64::from_str_radix(text, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{installation, instance_of};

    const FIRST: &str = "01010101-0101-0101-0101-010101010101";

    #[test]
    fn a_tunnel_name_leads_back_to_its_gateway() {
        let home = installation("home");
        let gateway = ObjectKey::new("default", "my-gateway");
        let name = tunnel_name(&home, &gateway);
        assert_eq!(
            name,
            format!(
                "cloudflare-gateway-controller.io/clusters/home/instances/{FIRST}/namespaces/default/gateways/my-gateway"
            )
        );
        assert_eq!(gateway_of_tunnel(&home, &name), Some(gateway.clone()));
        let namesake = instance_of("home", 2);
        let theirs = tunnel_name(&namesake, &gateway);
        assert_eq!(gateway_of_tunnel(&home, &theirs), None);
        let owner = (namesake.instance, gateway);
        assert_eq!(owner_of_tunnel(&home.name, &theirs), Some(owner));
    }

    #[test]
    fn the_longest_tunnel_name_is_as_long_as_documented() {
        let longest = Installation {
            name: InstallationName::parse(&"i".repeat(63)).unwrap(),
            ..installation("home")
        };
        let gateway = ObjectKey::new("n".repeat(63), "g".repeat(253));
        assert_eq!(tunnel_name(&longest, &gateway).len(), 490);
    }

    #[test]
    fn a_tunnel_of_another_installation_or_shape_is_foreign() {
        let home = installation("home");
        let base = "cloudflare-gateway-controller.io/clusters";
        for name in [
            format!("{base}/home-2/instances/{FIRST}/namespaces/default/gateways/gw"),
            format!("{base}/hom/instances/{FIRST}/namespaces/default/gateways/gw"),
            format!("{base}/home/instances/{FIRST}/namespaces/default/gateways/"),
            format!("{base}/home/instances/{FIRST}/namespaces//gateways/gw"),
            format!("{base}/home/instances/{FIRST}/namespaces/default/gateways/gw/more"),
            format!("{base}/home/instances/{FIRST}/namespaces/default"),
            format!("{base}/home/instances/first/namespaces/default/gateways/gw"),
            format!("{base}/home/instances//namespaces/default/gateways/gw"),
            format!("{base}/home/namespaces/default/gateways/gw"),
            "home".to_owned(),
        ] {
            assert_eq!(owner_of_tunnel(&home.name, &name), None, "{name}");
        }
    }

    #[test]
    fn a_mark_fits_a_comment_names_nobody_and_leads_back() {
        let mark = RecordMark::of(&installation("home"), &ObjectKey::new("team-a", "public"));
        let comment = mark.to_string();
        assert_eq!(comment.len(), 56, "of 100 that a comment may have");
        for word in ["home", "team-a", "public"] {
            assert!(!comment.contains(word), "{comment}");
        }
        assert_eq!(RecordMark::parse(&comment), Some(mark));
    }

    #[test]
    fn marks_tell_installations_instances_and_gateways_apart() {
        let (a, b) = (
            ObjectKey::new("default", "a"),
            ObjectKey::new("default", "b"),
        );
        let ours = RecordMark::of(&installation("home"), &a);
        // The same installation, a namesake, the same Gateway of a namesake or here.
        for (case, other, facts) in [
            ("ours", ours, [true, false, true]),
            (
                "a sibling",
                RecordMark::of(&installation("home"), &b),
                [true, false, false],
            ),
            (
                "a namesake's",
                RecordMark::of(&instance_of("home", 2), &a),
                [false, true, true],
            ),
            (
                "a namesake's sibling",
                RecordMark::of(&instance_of("home", 2), &b),
                [false, true, false],
            ),
            (
                "a stranger's",
                RecordMark::of(&installation("work"), &a),
                [false, false, false],
            ),
        ] {
            let found = [
                other.is_same_installation(ours),
                other.is_namesake(ours),
                other.is_same_gateway(ours),
            ];
            assert_eq!(found, facts, "{case}");
            assert_eq!(other == ours, case == "ours", "{case}");
        }
    }

    #[test]
    fn a_mark_stays_the_same_from_version_to_version() {
        // Records in customers' zones carry this text: a change of the hash orphans them all.
        let mark = RecordMark::of(&installation("home"), &ObjectKey::new("default", "gw"));
        assert_eq!(
            mark.to_string(),
            "cfgw1 6d48ce810a707def eb59a63f7da35fed 240d821b2f8da4bc"
        );
    }

    #[test]
    fn a_mark_is_found_beside_words_of_others() {
        let mark = RecordMark::of(&installation("home"), &ObjectKey::new("default", "gw"));
        let other = RecordMark::of(&installation("work"), &ObjectKey::new("default", "gw"));
        for (comment, found) in [
            (format!("{mark}"), Some(mark)),
            (format!("{mark} keep, asks Ülker"), Some(mark)),
            (format!("Ü {mark}"), Some(mark)),
            (format!(" {mark}\n"), Some(mark)),
            (format!("{mark} {mark}"), Some(mark)),
            (format!("{mark} {other}"), None),
            (format!("{mark}0"), None),
            (format!("x{mark}"), None),
            (format!("{mark}ü"), None),
            (format!("cfgw1 cfgw1 {mark}"), Some(mark)),
            ("cfgw1 ü".repeat(20), None),
            (String::new(), None),
        ] {
            assert_eq!(RecordMark::find(&comment), found, "{comment:?}");
        }
    }

    #[test]
    fn anything_but_a_mark_is_foreign() {
        let mark = RecordMark::of(&installation("home"), &ObjectKey::new("default", "gw"));
        let text = mark.to_string();
        for comment in [
            String::new(),
            "managed by hand".to_owned(),
            format!("{text} "),
            format!(" {text}"),
            text.to_uppercase(),
            text.replace("cfgw1", "cfgw2"),
            text.replace(' ', "  "),
            text[..text.len() - 1].to_owned(),
            text[..text.len() - 17].to_owned(),
            format!("{text}0"),
            format!("{text} {:016x}", 1),
        ] {
            assert_eq!(RecordMark::parse(&comment), None, "{comment:?}");
        }
    }
}
