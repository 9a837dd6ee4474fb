//! A broker ends at any of its writes, in its store or at Cloudflare, before the write or after it: nothing that was answered
//! is lost, nothing is done twice, and the audit is whole. `FAULT_POINTS=all` takes all of them, and not each eleventh.

mod ends;
mod process;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use domain::ObjectKey;
use domain::broker::audit::End;
use domain::broker::ports::{Audit as _, Intents as _};
use domain::edge::{EdgeIntent, HostnameOutcome};
use domain::ports::{Edge, PortError};
use domain::secret::ConnectorToken;
use domain::testing::{FakeCloudflare, Moment, intent};
use futures_util::StreamExt as _;

use ends::Ending;
use process::{Database, Group};

/// Of this many ends one is taken, unless all are. It is odd, so that both sides of writes are among them.
const STEP: usize = 11;

/// Scenes that are played at a time.
const AT_A_TIME: usize = 4;

/// How often something is asked for again before it counts as lost.
const ATTEMPTS: usize = 400;

async fn again<T>(what: &str, ask: impl AsyncFn() -> Result<T, PortError>) -> T {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: {last}")
}

/// States something until all of it is there.
async fn made(edge: &dyn Edge, wanted: &EdgeIntent) {
    again("an intent", async || {
        let status = edge.reconcile(wanted).await?;
        let is_there = |name| status.hostnames.get(name) == Some(&HostnameOutcome::Applied);
        match wanted.hostnames.iter().all(is_there) && status.failures.is_empty() {
            true => Ok(()),
            false => Err(PortError::unavailable(format!("{status:?}"))),
        }
    })
    .await;
}

/// What a cluster asks for; the token of the one Gateway that stays, before and after its rotation.
async fn state_all(
    edge: &dyn Edge,
    one: &ObjectKey,
    other: &ObjectKey,
) -> (ConnectorToken, ConnectorToken) {
    let of_one = |names: &[&str]| intent(one.clone(), names);
    made(edge, &of_one(&["app.example.com", "going.example.com"])).await;
    made(edge, &intent(other.clone(), &["*.example.com"])).await;
    made(edge, &of_one(&["app.example.com", "coming.example.com"])).await;
    let token = again("a token", async || edge.connector_token(one).await).await;
    let hash = token.hash();
    again("a retirement", async || edge.retire_token(one, hash).await).await;
    again("a closing", async || edge.close_connections(one).await).await;
    let renewed = again("a token", async || edge.connector_token(one).await).await;
    again("a removal", async || edge.remove(other).await).await;
    (token, renewed)
}

/// A cluster states, changes, rotates and removes while its broker ends where it is told to, and something else happens; how many
/// writes the first broker made.
async fn play(
    database: Database,
    brokers: usize,
    ending: Option<Ending>,
    meanwhile: impl Future<Output = ()>,
) -> usize {
    let cloudflare = FakeCloudflare::with_zones(&["example.com"]);
    let group = Group::start(&database, &cloudflare, brokers, ending).await;
    let edge = group.client();
    let [one, other] = ["one", "other"].map(|name| ObjectKey::new("default", name));
    let ((token, renewed), ()) = tokio::join!(state_all(&*edge, &one, &other), meanwhile);
    let writes = group.writes();
    let store = group.end().await;

    let entries = store.after(0, 10_000).await.expect("the audit");
    let told = format!("{ending:?} {entries:#?}");
    let [tunnel] = &cloudflare.tunnels()[..] else {
        panic!("{told}: {:?}", cloudflare.tunnels());
    };
    let mut records: Vec<_> = cloudflare
        .records()
        .into_iter()
        .filter(|record| record.data.kind == "CNAME")
        .map(|record| (record.data.name, record.data.content))
        .collect();
    records.sort();
    let expected = ["app.example.com", "coming.example.com"];
    let expected = expected.map(|name| (name.to_owned(), tunnel.id.address()));
    assert_eq!(records, expected, "{told}");
    assert_eq!(
        cloudflare.replaced_tokens(tunnel.id),
        1,
        "{told}: one rotation"
    );
    assert!(!token.is_same(&renewed), "{told}");
    let cluster = process::cluster();
    let placed = store.placed(&cluster).await.expect("a reading");
    assert_eq!(placed.gateways, [one].into(), "{told}");
    let end = entries.iter().try_fold(End::default(), End::verify);
    assert_eq!(
        end.expect("a whole chain"),
        store.end().await.expect("its end"),
        "{told}"
    );
    writes
}

/// Plays the scene once for each write that a broker may end at.
async fn play_all(brokers: usize, database: impl Fn(String) -> Database) {
    let writes = play(database("whole".to_owned()), brokers, None, ready(())).await;
    let step = match std::env::var("FAULT_POINTS").as_deref() {
        Ok("all") => 1,
        _ => STEP,
    };
    let points = (1..=writes)
        .flat_map(|write| [Moment::Before, Moment::After].map(|moment| Ending { write, moment }));
    let points: Vec<_> = points.step_by(step).collect();
    println!("{} writes, {} ends", writes, points.len());
    assert!(writes > 10, "{writes}");
    let scenes = points.into_iter().map(|point| {
        let name = format!("{}_{:?}", point.write, point.moment).to_lowercase();
        play(database(name), brokers, Some(point), ready(()))
    });
    futures_util::stream::iter(scenes)
        .buffer_unordered(AT_A_TIME)
        .for_each(async |_| {})
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_ends_at_any_write_loses_nothing_and_does_nothing_twice() {
    let files = tempfile::tempdir().expect("a temporary folder");
    let folder = files.path().to_owned();
    play_all(1, |name| Database::sqlite(&folder.join(name))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_brokers_one_that_ends_at_any_write_is_stood_in_for_by_the_other() {
    let Some(server) = crate::postgres::Postgres::start() else {
        return;
    };
    let server = Arc::new(server);
    play_all(2, |name| Database::postgres(&server, &name)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_takes_over_from_a_killed_database_has_all_that_was_answered() {
    for milliseconds in [150, 400, 650] {
        let Some(primary) = crate::postgres::Postgres::start() else {
            return;
        };
        let name = Arc::new(crate::postgres::Name::of(&primary));
        let database = Database::named(&name, &milliseconds.to_string());
        database.make().await;
        let (servers, moved) = (Arc::new((primary.standby(), primary)), name.clone());
        let fail_over = async {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            let servers = servers.clone();
            let done = tokio::task::spawn_blocking(move || {
                let (standby, primary) = &*servers;
                primary.kill();
                // For a moment the name leads to a server that takes no writes yet.
                moved.lead_to(standby);
                std::thread::sleep(Duration::from_millis(300));
                standby.promote();
            });
            done.await.expect("it takes over");
        };
        play(database, 2, None, fail_over).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_under_two_brokers_loses_nothing_and_nothing_is_done_twice() {
    let Some(server) = crate::postgres::Postgres::start() else {
        return;
    };
    let server = Arc::new(server);
    for milliseconds in [100, 300, 500, 700] {
        let crashing = server.clone();
        let crash = async move {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            let crashed = tokio::task::spawn_blocking(move || crashing.crash());
            crashed.await.expect("it starts again");
        };
        let name = milliseconds.to_string();
        play(Database::postgres(&server, &name), 2, None, crash).await;
    }
}
