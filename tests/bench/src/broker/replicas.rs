//! Two brokers on one PostgreSQL beside one, where each change takes Cloudflare 100 ms and a broker does eight at a time: the
//! wait is the limit, and not the processor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use adapter_broker_store::SqlStore;
use tokio_util::sync::CancellationToken;

use super::Shape;
use super::filled::{Willing, engine, member};
use crate::postgres::Postgres;

/// What Cloudflare takes for a Gateway.
const TAKES: Duration = Duration::from_millis(100);

/// What is to be done. Of one cluster four pieces of work are done at a time, so there are many.
const SHAPE: Shape = Shape {
    clusters: 40,
    gateways: 20,
    hostnames: 3,
};

pub(super) async fn measure() -> anyhow::Result<()> {
    let Some(one) = rate(1).await? else {
        println!("two brokers: NOT MEASURED, there is no PostgreSQL");
        return Ok(());
    };
    let two = rate(2).await?.unwrap_or(f64::NAN);
    println!(
        "changes in a second on PostgreSQL: {one:.0} by one broker, {two:.0} by two, {:.2} times (limit: at least 1.7)",
        two / one
    );
    Ok(())
}

/// Changes in a second by so many brokers.
async fn rate(brokers: usize) -> anyhow::Result<Option<f64>> {
    let Some(server) = Postgres::start() else {
        return Ok(None);
    };
    let store = SqlStore::open(&server.address(), None).await?;
    for number in 0..SHAPE.clusters {
        member(&store, &SHAPE, number).await?;
    }
    let (made, stop, began) = (
        Arc::new(AtomicUsize::new(0)),
        CancellationToken::new(),
        Instant::now(),
    );
    let mut running = Vec::new();
    for _ in 0..brokers {
        let store = Arc::new(SqlStore::open(&server.address(), None).await?);
        let edge = Willing {
            made: made.clone(),
            takes: TAKES,
        };
        running.push(tokio::spawn(engine(store, edge).run(stop.clone())));
    }
    let all = SHAPE.clusters * SHAPE.gateways;
    while made.load(Ordering::SeqCst) < all {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = began.elapsed();
    // Time for what would be done twice.
    tokio::time::sleep(TAKES * 5).await;
    stop.cancel();
    for broker in running {
        broker.await?;
    }
    let made = made.load(Ordering::SeqCst);
    anyhow::ensure!(made == all, "{made} changes of {all} were made");
    Ok(Some(all as f64 / took.as_secs_f64()))
}
