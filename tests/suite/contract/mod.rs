//! Contract suites: what `domain::ports` promises of each port, as one set of sentences that every implementation is
//! held to, adapters and in-memory fakes alike. A failure names the implementation and the rule that it broke.
//!
//! A suite has a rig, which makes the port and arranges its world, and rules, which are functions over
//! any rig. The [`contract!`] at its top lists both; a new implementation is one more line there.

/// Makes a module of tests for each implementation, with a test for each rule.
macro_rules! contract {
    (@module $implementation:ident, $rig:expr, [$($rule:ident,)+]) => {
        mod $implementation {
            use super::*;

            $(
                #[tokio::test]
                async fn $rule() {
                    super::$rule($rig).await;
                }
            )+
        }
    };
    (rules $rules:tt $($implementation:ident => $rig:expr,)+) => {
        $(contract!(@module $implementation, $rig, $rules);)+
    };
}

mod cloudflare;
mod cloudflare_api;
mod cluster_source;
mod credentials;
mod data_plane;
mod edge;
mod finalizer;
pub(crate) mod folder;
pub(crate) mod kubernetes;
mod orphans;
mod rotations;
mod status_sink;
mod table_stream;
mod workloads;

use domain::{Hostname, ObjectKey};

fn gateway(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

fn hostname(name: &str) -> Hostname {
    Hostname::parse(name).expect("a hostname of this test")
}
