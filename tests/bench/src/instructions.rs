//! Instructions per request, counted by callgrind: the same on a busy machine as on a quiet one.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::alone::proxy;
use crate::features::Feature;
use crate::load::{Load, Until};
use crate::process::{find, free_address};
use crate::proxy::DOMAIN;
use crate::routes::Routes;
use crate::{Plan, origin};

/// Requests of the shorter and the longer run; only their difference counts, so that the start is left out.
const RUNS: [usize; 2] = [2_000, 10_000];
/// Connections to the proxy.
const CONNECTIONS: usize = 8;

/// Measures and prints.
pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let Some(valgrind) = find(Path::new("valgrind")) else {
        println!("\nvalgrind is ABSENT: no instructions were counted");
        return Ok(());
    };
    println!(
        "\n### Instructions per request (user mode, callgrind)\n\n| routes | router alone | proxy process |\n|---|---|---|"
    );
    for routes in [1, plan.routes] {
        let mut router = Vec::new();
        let mut proxy = Vec::new();
        for requests in RUNS {
            router.push(count_router(&valgrind, routes, requests)?);
            proxy.push(count_proxy(&valgrind, routes, requests, Feature::Plain).await?);
        }
        println!(
            "| {routes} | {:.0} | {:.0} |",
            slope(&router),
            slope(&proxy)
        );
    }
    Ok(())
}

/// Measures and prints what a rule's features cost.
pub(crate) async fn measure_features() -> anyhow::Result<()> {
    let Some(valgrind) = find(Path::new("valgrind")) else {
        println!("\nvalgrind is ABSENT: no instructions were counted");
        return Ok(());
    };
    let count = async |with| -> anyhow::Result<f64> {
        let short = count_proxy(&valgrind, 1, RUNS[0], with).await?;
        let long = count_proxy(&valgrind, 1, RUNS[1], with).await?;
        Ok(slope(&[short, long]))
    };
    println!(
        "\n### Instructions per request by what its rule has (user mode, callgrind, 1 route)\n\n\
         | rule | instructions | of a plain one | at most |\n|---|---|---|---|"
    );
    let plain = count(Feature::Plain).await?;
    println!("| plain | {plain:.0} | 1 | |");
    for (feature, limit) in Feature::LIMITS {
        let counted = count(feature).await?;
        let ratio = counted / plain;
        let verdict = if ratio <= limit { "" } else { " MISSED" };
        println!("| {feature:?} | {counted:.0} | {ratio:.3}{verdict} | {limit} |");
    }
    Ok(())
}

fn slope(counts: &[u64]) -> f64 {
    (counts[1] as f64 - counts[0] as f64) / (RUNS[1] - RUNS[0]) as f64
}

fn callgrind(valgrind: &Path, out: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(valgrind);
    command.arg("--tool=callgrind");
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(std::env::current_exe()?);
    Ok(command)
}

fn count_router(valgrind: &Path, routes: usize, requests: usize) -> anyhow::Result<u64> {
    let folder = TempDir::with_prefix("cfgw-bench-")?;
    let out = folder.path().join("callgrind.out");
    let output = callgrind(valgrind, &out)?
        .args(["router", "--routes", &routes.to_string()])
        .args(["--requests", &requests.to_string()])
        .output()?;
    let printed = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "callgrind failed: {printed}");
    total(&out)
}

async fn count_proxy(
    valgrind: &Path,
    count: usize,
    requests: usize,
    with: Feature,
) -> anyhow::Result<u64> {
    let folder = TempDir::with_prefix("cfgw-bench-")?;
    let out = folder.path().join("callgrind.out");
    let (listen, origin) = (free_address()?, origin::start().await?);
    let routes = Routes::new(count, DOMAIN);
    let command = callgrind(valgrind, &out)?;
    let folder = folder.path();
    let process = proxy(command, folder, listen, origin, None, &routes, with)?;
    let mut load = Load::new(listen, &routes);
    load.ready(Duration::from_secs(120)).await?;
    if with == Feature::Session {
        load.begin_session().await?;
    }
    load.run(CONNECTIONS, Until::Requests(requests / CONNECTIONS))
        .await?;
    process.finish(Duration::from_secs(60))?;
    total(&out)
}

/// All instructions of a run.
fn total(out: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(out).context("callgrind wrote nothing")?;
    let total = text
        .lines()
        .find_map(|line| {
            line.strip_prefix("totals:")
                .or(line.strip_prefix("summary:"))
        })
        .context("callgrind wrote no total")?;
    Ok(total.trim().parse()?)
}
