//! How our own tunnels and records are told from everybody else's.
//!
//! A tunnel has no comment, so its name is its mark and says plainly whose it is. A record's mark is its
//! comment, which everybody who may see the zone can read and which takes at most 100 characters on
//! Cloudflare's Free plan. It therefore holds a hash: owners are told apart without telling a customer's
//! zone which clusters, namespaces and Gateways exist.
//!
//! The hash is keyed with the installation's name and needs no stored key, so that a cluster rebuilt from
//! nothing but its manifests knows its records again. A mark is no proof: who may write the zone can forge
//! one. It guards against accidents (two clusters, another tool, a person), not against the zone's owner.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::gateway::OWN_GROUP;
use crate::names::{InstallationName, ObjectKey};

/// First word of every mark. Another scheme takes another word; a word that we do not know is foreign.
const VERSION: &str = "cfgw1";

/// Name of a Gateway's tunnel:
/// `cloudflare-gateway-controller.io/clusters/<installation>/namespaces/<namespace>/gateways/<name>`.
pub fn tunnel_name(installation: &InstallationName, gateway: &ObjectKey) -> String {
    let ObjectKey { namespace, name } = gateway;
    format!("{}{namespace}/gateways/{name}", tunnel_prefix(installation))
}

/// What the name of each tunnel of an installation starts with, and no other installation's does.
pub fn tunnel_prefix(installation: &InstallationName) -> String {
    format!("{OWN_GROUP}/clusters/{installation}/namespaces/")
}

/// The Gateway of a tunnel name; `None` where the tunnel is not this installation's.
pub fn gateway_of_tunnel(installation: &InstallationName, name: &str) -> Option<ObjectKey> {
    let rest = name.strip_prefix(&tunnel_prefix(installation))?;
    let (namespace, gateway) = rest.split_once("/gateways/")?;
    let plain = |part: &str| !part.is_empty() && !part.contains('/');
    (plain(namespace) && plain(gateway)).then(|| ObjectKey::new(namespace, gateway))
}

/// Whose a record is, as its comment says: `cfgw1 <installation> <gateway>`, 39 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordMark {
    installation: u64,
    gateway: u64,
}

impl RecordMark {
    /// The mark of a Gateway's records.
    pub fn of(installation: &InstallationName, gateway: &ObjectKey) -> Self {
        let ObjectKey { namespace, name } = gateway;
        Self {
            installation: keyed_hash(installation, "installation"),
            gateway: keyed_hash(installation, &format!("gateway {namespace}/{name}")),
        }
    }

    /// A mark that is of the same installation as every mark of its Gateways, and no Gateway's own.
    pub(crate) fn of_installation(installation: &InstallationName) -> Self {
        Self {
            installation: keyed_hash(installation, "installation"),
            gateway: 0,
        }
    }

    /// Reads a comment. Strict: a comment that is anything but a mark makes the record foreign.
    pub fn parse(comment: &str) -> Option<Self> {
        let rest = comment.strip_prefix(VERSION)?.strip_prefix(' ')?;
        let (installation, gateway) = rest.split_once(' ')?;
        Some(Self {
            installation: parse_hash(installation)?,
            gateway: parse_hash(gateway)?,
        })
    }

    /// Whether both marks are of one installation, of whichever Gateways.
    pub fn is_same_installation(self, other: Self) -> bool {
        self.installation == other.installation
    }
}

impl fmt::Display for RecordMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            installation,
            gateway,
        } = self;
        write!(f, "{VERSION} {installation:016x} {gateway:016x}")
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
    digest
        .iter()
        .take(8)
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
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

    fn installation(name: &str) -> InstallationName {
        InstallationName::parse(name).unwrap()
    }

    #[test]
    fn a_tunnel_name_leads_back_to_its_gateway() {
        let home = installation("home");
        let gateway = ObjectKey::new("default", "my-gateway");
        let name = tunnel_name(&home, &gateway);
        assert_eq!(
            name,
            "cloudflare-gateway-controller.io/clusters/home/namespaces/default/gateways/my-gateway"
        );
        assert_eq!(gateway_of_tunnel(&home, &name), Some(gateway));
    }

    #[test]
    fn a_tunnel_of_another_installation_or_shape_is_foreign() {
        let home = installation("home");
        let base = "cloudflare-gateway-controller.io/clusters";
        for name in [
            format!("{base}/home-2/namespaces/default/gateways/gw"),
            format!("{base}/hom/namespaces/default/gateways/gw"),
            format!("{base}/home/namespaces/default/gateways/"),
            format!("{base}/home/namespaces//gateways/gw"),
            format!("{base}/home/namespaces/default/gateways/gw/more"),
            format!("{base}/home/namespaces/default"),
            "home".to_owned(),
        ] {
            assert_eq!(gateway_of_tunnel(&home, &name), None, "{name}");
        }
    }

    #[test]
    fn a_mark_fits_a_comment_names_nobody_and_leads_back() {
        let mark = RecordMark::of(&installation("home"), &ObjectKey::new("team-a", "public"));
        let comment = mark.to_string();
        assert!(comment.len() <= 100);
        for word in ["home", "team-a", "public"] {
            assert!(!comment.contains(word), "{comment}");
        }
        assert_eq!(RecordMark::parse(&comment), Some(mark));
    }

    #[test]
    fn marks_tell_installations_and_gateways_apart() {
        let (home, work) = (installation("home"), installation("work"));
        let gateway = ObjectKey::new("default", "a");
        let ours = RecordMark::of(&home, &gateway);
        let sibling = RecordMark::of(&home, &ObjectKey::new("default", "b"));
        let stranger = RecordMark::of(&work, &gateway);
        assert!(ours.is_same_installation(sibling));
        assert_ne!(ours, sibling);
        assert!(!ours.is_same_installation(stranger));
    }

    #[test]
    fn a_mark_stays_the_same_from_version_to_version() {
        // Records in customers' zones carry this text: whoever changes the hash orphans them all.
        let mark = RecordMark::of(&installation("home"), &ObjectKey::new("default", "gw"));
        assert_eq!(mark.to_string(), "cfgw1 6d48ce810a707def eb59a63f7da35fed");
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
            format!("{text}0"),
        ] {
            assert_eq!(RecordMark::parse(&comment), None, "{comment:?}");
        }
    }
}
