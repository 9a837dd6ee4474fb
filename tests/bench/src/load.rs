//! A closed loop: each connection asks as soon as it has its answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

use crate::http::Connection;
use crate::routes::Routes;

/// Distinct requests that a load goes through: more than any cache of the last request could hold.
const VARIETY: usize = 4096;
/// Steps through the routes; prime, so that neighbours in time are far apart in every list.
const STRIDE: usize = 7919;

/// Requests for one subject.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    address: SocketAddr,
    requests: std::sync::Arc<[Vec<u8>]>,
}

/// When a load ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    /// So many requests by each connection.
    Requests(usize),
}

/// What a load saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) elapsed: Duration,
    /// Of every request, sorted.
    pub(crate) latencies: Vec<Duration>,
}

impl Seen {
    pub(crate) fn requests(&self) -> usize {
        self.latencies.len()
    }

    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

impl Load {
    /// Requests spread over all routes.
    pub(crate) fn new(address: SocketAddr, routes: &Routes) -> Self {
        let requests = (0..VARIETY).map(|n| routes.request(n * STRIDE).into_bytes());
        Self {
            address,
            requests: requests.collect(),
        }
    }

    /// One request is answered; waits until it is.
    pub(crate) async fn ready(&self, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            match self.clone().connection(0, Until::Requests(1)).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error).with_context(|| format!("not ready within {within:?}"));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Has all further requests belong to the session that the first one begins.
    pub(crate) async fn begin_session(&mut self) -> anyhow::Result<()> {
        let mut connection = Connection::open(self.address).await?;
        let token = connection.ask_for_cookie(&self.requests[0]).await?;
        let with_token = |request: &Vec<u8>| {
            let text = String::from_utf8_lossy(request);
            let cookie = format!("Cookie: {token}; ");
            text.replacen("Cookie: ", &cookie, 1).into_bytes()
        };
        self.requests = self.requests.iter().map(with_token).collect();
        Ok(())
    }

    /// Any failed request is an error: costs of refusals mean nothing.
    pub(crate) async fn run(&self, connections: usize, until: Until) -> anyhow::Result<Seen> {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for n in 0..connections {
            tasks.spawn(self.clone().connection(n * 131, until));
        }
        let mut seen = Seen::default();
        while let Some(latencies) = tasks.join_next().await {
            seen.latencies.extend(latencies??);
        }
        seen.elapsed = began.elapsed();
        seen.latencies.sort_unstable();
        Ok(seen)
    }

    async fn connection(self, first: usize, until: Until) -> anyhow::Result<Vec<Duration>> {
        let began = Instant::now();
        let mut connection = Connection::open(self.address).await?;
        let mut latencies = Vec::new();
        for request in self.requests.iter().cycle().skip(first % VARIETY) {
            let asked = Instant::now();
            connection.ask(request).await?;
            latencies.push(asked.elapsed());
            let done = match until {
                Until::Elapsed(duration) => began.elapsed() >= duration,
                Until::Requests(count) => latencies.len() >= count,
            };
            if done {
                break;
            }
        }
        Ok(latencies)
    }
}
