//! Whether the Gateway API's CRDs are of a release that is served (Gateway API,
//! `GatewayClassConditionStatusSupportedVersion`).

use std::collections::BTreeSet;

use super::{Verdict, listed};
use crate::gateway::{ApiKind, SERVED_RELEASES};
use crate::snapshot::Reading;
use crate::status::{Reason, Truth};

pub(super) fn verdict(kinds: &Reading<Vec<ApiKind>>) -> Verdict {
    let served = SERVED_RELEASES.join(" and ");
    if let Reading::Unknown(why) = kinds {
        let message =
            format!("of which release the CRDs of the Gateway API are is not known: {why}");
        return Verdict::new(Truth::Unknown, Reason::Pending, message);
    }
    let kinds = kinds.items();
    let others = kinds.iter().filter(|kind| !kind.is_served());
    let others: BTreeSet<String> = others.map(told).collect();
    if !others.is_empty() {
        let message = format!(
            "CRDs of the Gateway API are of other releases than {served}: {}; fields that are not known are refused by name. Install the CRDs of one of these releases",
            listed(others)
        );
        return Verdict::new(Truth::False, Reason::UnsupportedVersion, message);
    }
    let releases = kinds.iter().filter_map(|kind| kind.release.clone());
    let releases: BTreeSet<String> = releases.collect();
    let message = match releases.is_empty() {
        true => format!("there are no CRDs of the Gateway API; objects are read as in {served}"),
        false => format!(
            "the CRDs of the Gateway API are of {}; served are {served}",
            listed(releases)
        ),
    };
    Verdict::new(Truth::True, Reason::SupportedVersion, message)
}

fn told(kind: &ApiKind) -> String {
    match &kind.release {
        // Whoever may write CRDs may write anything into it.
        Some(release) => {
            let release: String = release.chars().take(32).collect();
            format!("{} has {release:?}", kind.name)
        }
        None => format!(
            "{} has no annotation gateway.networking.k8s.io/bundle-version",
            kind.name
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(plural: &str, release: Option<&str>) -> ApiKind {
        ApiKind {
            name: format!("{plural}.gateway.networking.k8s.io"),
            release: release.map(str::to_owned),
        }
    }

    #[test]
    fn a_class_tells_of_which_release_the_crds_are_and_which_are_served() {
        let known = |kinds: &[ApiKind]| Reading::Known(kinds.to_vec());
        let good = || kind("gateways", Some("v1.7.0"));
        let supported = (Truth::True, Reason::SupportedVersion);
        let unsupported = (Truth::False, Reason::UnsupportedVersion);
        for (given, kinds, expected, words) in [
            ("one release", known(&[good()]), supported, "are of v1.7.0;"),
            (
                "two of them",
                known(&[good(), kind("httproutes", Some("v1.6.1"))]),
                supported,
                "are of v1.6.1; v1.7.0; served are v1.6 and v1.7",
            ),
            ("none", known(&[]), supported, "no CRDs"),
            (
                "none, and no such kind",
                Reading::Absent,
                supported,
                "no CRDs",
            ),
            (
                "an older one beside",
                known(&[good(), kind("httproutes", Some("v1.2.0"))]),
                unsupported,
                "than v1.6 and v1.7: httproutes.gateway.networking.k8s.io has \"v1.2.0\";",
            ),
            (
                "one that says nothing",
                known(&[kind("httproutes", None), good()]),
                unsupported,
                "httproutes.gateway.networking.k8s.io has no annotation",
            ),
            (
                "not read",
                Reading::Unknown("forbidden".to_owned()),
                (Truth::Unknown, Reason::Pending),
                "is not known: forbidden",
            ),
        ] {
            let verdict = verdict(&kinds);
            assert_eq!((verdict.truth, verdict.reason), expected, "{given}");
            assert!(verdict.message.contains(words), "{given}: {verdict:?}");
        }
    }
}
