//! The router alone: nothing but the choice of a rule.

use std::borrow::Cow;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use domain::route_table::{HeaderLookup, Matcher, RequestHead, Scheme};

use crate::routes::Routes;

/// Domain of its routes.
const DOMAIN: &str = "router.example";
/// Distinct requests.
const VARIETY: usize = 1024;

struct NoHeaders;

impl HeaderLookup for NoHeaders {
    fn joined(&self, _name: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
}

/// Routes that many requests; each must find its rule.
pub(crate) fn run(routes: usize, requests: usize) -> anyhow::Result<()> {
    let routes = Routes::new(routes, DOMAIN);
    let table = routes.table(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    let matcher = Matcher::new(Arc::new(table));
    let targets: Vec<_> = (0..VARIETY).map(|n| routes.target(n * 7919)).collect();
    for (host, path) in targets.iter().cycle().take(requests) {
        let found = matcher.select(black_box(&RequestHead {
            scheme: Scheme::Http,
            port: 80,
            host,
            method: "GET",
            path,
            query: Some("id=7"),
            headers: &NoHeaders,
        }));
        anyhow::ensure!(found.is_some(), "no rule for {host}{path}");
    }
    Ok(())
}
