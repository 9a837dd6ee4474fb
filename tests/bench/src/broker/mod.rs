//! What a broker costs: many clusters in one store, two brokers beside one, and a noisy cluster among quiet ones.
//!
//! - `filled`: a store with many clusters. - `caller`: a cluster that asks. - `replicas`: two brokers on PostgreSQL.

mod caller;
mod filled;
mod replicas;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use futures_util::future::try_join_all;

use crate::process::{Process, free_address};
use caller::Caller;
use filled::Filled;

/// Clusters that call at a time; a broker takes 256 connections from one address.
const CALLERS: usize = 200;

/// The greatest requests that each of them makes at once: a cluster may make 500 at once and 20 in each second.
const OF_EACH: usize = 480;

/// How long a broker may take to begin.
const START: Duration = Duration::from_secs(60);

/// What a broker is measured with.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    shape: Shape,
    /// The built `cfgw`.
    #[arg(long, env = "CFGW")]
    cfgw: PathBuf,
}

/// How much is in a store.
#[derive(Debug, Clone, Copy, Args)]
struct Shape {
    /// At least 250, which call.
    #[arg(long, default_value_t = 1000)]
    clusters: usize,
    /// Gateways of each cluster.
    #[arg(long, default_value_t = 100)]
    gateways: usize,
    /// Hostnames of each Gateway.
    #[arg(long, default_value_t = 3)]
    hostnames: usize,
}

/// Makes all tables.
pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<()> {
    println!(
        "{} clusters x {} Gateways x {} hostnames",
        plan.shape.clusters, plan.shape.gateways, plan.shape.hostnames
    );
    let folder = tempfile::tempdir()?;
    let filled = Filled::make(&plan.shape, folder.path()).await?;
    let database = std::fs::metadata(&filled.file)?.len();
    println!("filled within {} s", filled.took.as_secs());
    println!("database: {} MiB", database >> 20);

    let broker = Broker::start(plan, folder.path(), &filled.file).await?;
    println!(
        "resident after the start: {} MiB",
        broker.process.resident()? >> 20
    );
    unchanged(&broker, &filled).await?;
    statuses(&broker, &filled).await?;
    noisy(&broker, &filled).await?;
    println!("resident: {} MiB", broker.process.resident()? >> 20);
    replicas::measure().await
}

/// `cfgw broker` over a store.
struct Broker {
    process: Process,
    url: String,
}

impl Broker {
    async fn start(plan: &Plan, folder: &Path, store: &Path) -> anyhow::Result<Self> {
        let (listen, admin) = (free_address()?, free_address()?);
        let keys = folder.join("keys");
        std::fs::write(&keys, filled::KEYS)?;
        let mut command = Command::new(&plan.cfgw);
        command
            .arg("broker")
            .env_clear()
            .env("CFGW_LISTEN", listen.to_string())
            .env("CFGW_ADMIN__LISTEN", admin.to_string())
            .env("CFGW_STORE", format!("sqlite:{}", store.display()))
            .env("CFGW_KEYS_FILE", &keys)
            // Nothing is compared with Cloudflare meanwhile.
            .env("CFGW_RESYNC_INTERVAL", "240h");
        let process = Process::start(&mut command, folder.join("broker.log"))?;
        let began = Instant::now();
        while std::net::TcpStream::connect(listen).is_err() {
            let said = process.printed()?;
            anyhow::ensure!(began.elapsed() < START, "the broker does not begin: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let url = format!("http://{listen}");
        Ok(Self { process, url })
    }
}

/// Clusters state what is true already, as fast as they may.
async fn unchanged(broker: &Broker, filled: &Filled) -> anyhow::Result<()> {
    let callers = callers(broker, filled, 0..CALLERS).await?;
    let (before, began) = (broker.process.cpu()?, Instant::now());
    let stated = callers.into_iter().map(|mut caller| async move {
        let mut stated = 0;
        for number in 0..OF_EACH {
            stated += usize::from(caller.state(number).await?);
        }
        anyhow::Ok(stated)
    });
    let stated: usize = try_join_all(stated).await?.into_iter().sum();
    let (cpu, took) = (broker.process.cpu()? - before, began.elapsed());
    anyhow::ensure!(
        stated == CALLERS * OF_EACH,
        "{stated} statements were taken"
    );
    println!(
        "unchanged intents: {stated} within {:.1} s, {:.0} for each CPU second of the broker (limit: at least 2000)",
        took.as_secs_f64(),
        stated as f64 / cpu.as_secs_f64()
    );
    Ok(())
}

/// Quiet clusters ask what came of their Gateways.
async fn statuses(broker: &Broker, filled: &Filled) -> anyhow::Result<()> {
    let callers = callers(broker, filled, CALLERS..CALLERS + 40).await?;
    let took = quiet(callers, 100).await?;
    println!(
        "status: p50 {:.1} ms, p99 {:.1} ms of {} (limit: p99 50 ms)",
        at(&took, 50),
        at(&took, 99),
        took.len()
    );
    Ok(())
}

/// Nine quiet clusters, without and with one that states as fast as it can.
async fn noisy(broker: &Broker, filled: &Filled) -> anyhow::Result<()> {
    let first = CALLERS + 40;
    let alone = quiet(callers(broker, filled, first..first + 9).await?, 200).await?;
    let loud = callers(broker, filled, first + 9..first + 10).await?;
    let noise: Vec<_> = (0..16)
        .map(|_| {
            let mut caller = loud[0].clone();
            tokio::spawn(async move {
                for number in 0.. {
                    // Most are refused: it may make 20 in a second.
                    drop(caller.state(number).await);
                }
            })
        })
        .collect();
    let beside = quiet(callers(broker, filled, first..first + 9).await?, 200).await?;
    noise.iter().for_each(tokio::task::JoinHandle::abort);
    println!(
        "nine quiet clusters: p99 {:.1} ms alone, {:.1} ms beside a noisy one, {:.2} times (limit: 1.2)",
        at(&alone, 99),
        at(&beside, 99),
        at(&beside, 99) / at(&alone, 99)
    );
    Ok(())
}

/// How long each status took, in milliseconds, in order; each cluster asks ten times in a second.
async fn quiet(callers: Vec<Caller>, of_each: usize) -> anyhow::Result<Vec<f64>> {
    let asked = callers.into_iter().map(|mut caller| async move {
        let mut took = Vec::new();
        let mut turns = tokio::time::interval(Duration::from_millis(100));
        for number in 0..of_each {
            turns.tick().await;
            let began = Instant::now();
            caller.status(number).await?;
            took.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        anyhow::Ok(took)
    });
    let mut took = try_join_all(asked).await?.concat();
    took.sort_by(f64::total_cmp);
    Ok(took)
}

/// The figure below which so many of a hundred are.
fn at(sorted: &[f64], of_hundred: usize) -> f64 {
    let index = (sorted.len() * of_hundred / 100).min(sorted.len() - 1);
    sorted[index]
}

async fn callers(
    broker: &Broker,
    filled: &Filled,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<Vec<Caller>> {
    let members = filled.members.get(numbers).context("too few clusters")?;
    try_join_all(
        members
            .iter()
            .map(|member| Caller::open(&broker.url, member)),
    )
    .await
}
