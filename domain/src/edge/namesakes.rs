//! Messages about other installations of our name. Conditions and the log say the same.

use crate::edge::ownership::tunnel_prefix;
use crate::edge::{EdgeStatus, HostnameOutcome};
use crate::names::Hostname;

/// A namesake has the record of a hostname, with this tunnel.
pub(crate) fn holds(hostname: &Hostname, tunnel: &str) -> String {
    format!(
        "{hostname}: another installation of the same name has the record, with tunnel {tunnel}; it stays as it is. Give one of the two installations another name (`installation`), or, where that one is to go, stop it and delete that tunnel at Cloudflare"
    )
}

/// There are namesakes in the account; `None` where there are none.
pub(crate) fn are_there(status: &EdgeStatus) -> Option<String> {
    let name = &status.namesakes.first()?.name;
    let instances = status.namesakes.iter().map(|one| one.instance.to_string());
    let instances: Vec<String> = instances.collect();
    Some(format!(
        "another installation in the Cloudflare account is named {name} too (instance {}); each keeps its own tunnels and records, and a hostname that both want stays with the one that has it. Give one of the two another name (`installation`); where the other one is gone, delete its tunnels at Cloudflare, whose names begin with {}<instance>/",
        instances.join(", "),
        tunnel_prefix(name),
    ))
}

/// The messages of a status that the log should show.
pub(crate) fn told(status: &EdgeStatus) -> Vec<String> {
    let held = status
        .hostnames
        .iter()
        .filter_map(|(hostname, outcome)| match outcome {
            HostnameOutcome::Namesake { tunnel } => Some(holds(hostname, tunnel)),
            _ => None,
        });
    are_there(status).into_iter().chain(held).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namesakes_are_told_with_what_they_hold() {
        let host = |name: &str| Hostname::parse(name).unwrap();
        let held = HostnameOutcome::Namesake {
            tunnel: "t-1".to_owned(),
        };
        let installation = crate::testing::installation("home");
        let instance = installation.instance.to_string();
        let status = EdgeStatus {
            hostnames: [
                (host("a.example.com"), held),
                (host("b.example.com"), HostnameOutcome::Applied),
            ]
            .into(),
            namesakes: [installation].into(),
            ..EdgeStatus::default()
        };
        let told = told(&status);
        let [there, holds] = &told[..] else {
            panic!("{told:?}");
        };
        for (message, words) in [
            (there, ["is named home too", &instance, "instances/"]),
            (
                holds,
                ["a.example.com: another", "tunnel t-1", "`installation`"],
            ),
        ] {
            for word in words {
                assert!(message.contains(word), "{word}: {message}");
            }
        }
        assert_eq!(super::told(&EdgeStatus::default()), Vec::<String>::new());
    }
}
