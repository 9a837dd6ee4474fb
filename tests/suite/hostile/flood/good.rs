//! Visitors who do nothing wrong, all the while.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tests::client::{Answer, Client};
use tests::load::Load;
use tests::world::World;

/// What they ask for.
pub(super) const URL: &str = "https://good.example.com/";
/// What some of them send, which comes back.
const BODY: &str = "good";

/// Good visitors, a request every few milliseconds each.
pub(super) struct Good {
    load: Load,
    client: Client,
    seen: Arc<Mutex<Seen>>,
}

/// What they have seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    served: u64,
    /// Told to come again: 503 with `Retry-After`.
    sent_away: u64,
    longest: Duration,
    failures: Vec<String>,
}

impl Good {
    pub(super) fn start(world: &World) -> Self {
        let client = world.client.clone();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (visitor, notes) = (client.clone(), Arc::clone(&seen));
        let load = Load::start(4, Duration::from_millis(20), move || {
            let (client, notes) = (visitor.clone(), Arc::clone(&notes));
            async move {
                let began = Instant::now();
                let outcome = visit(&client).await;
                notes.lock().unwrap().note(outcome, began.elapsed());
                Ok(())
            }
        });
        Self { load, client, seen }
    }

    /// Waits until twenty requests in a row are served.
    pub(super) async fn are_answered(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut in_a_row = 0;
        while in_a_row < 20 {
            match visit(&self.client).await {
                Outcome::Served => in_a_row += 1,
                other => {
                    assert!(Instant::now() < deadline, "after the flood: {other:?}");
                    in_a_row = 0;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// They leave when their last requests are answered.
    pub(super) async fn end(self) -> Seen {
        self.load.stop().await;
        let seen = self.seen.lock().unwrap();
        seen.clone()
    }
}

#[derive(Debug)]
enum Outcome {
    Served,
    SentAway,
    Failed(String),
}

/// A request with a body after one without.
async fn visit(client: &Client) -> Outcome {
    let get = match client.get(URL).await {
        Ok(answer) if answer.status == 200 && answer.told("name") == "good" => Outcome::Served,
        other => not_served("GET", other),
    };
    if !matches!(get, Outcome::Served) {
        return get;
    }
    let post = client.http().post(format!("{URL}echo")).body(BODY);
    match client.send(post).await {
        Ok(answer) if answer.status == 200 && answer.body == BODY => Outcome::Served,
        other => not_served("POST", other),
    }
}

fn not_served(what: &str, answer: Result<Answer, String>) -> Outcome {
    match answer {
        Ok(answer) if answer.status == 503 && answer.headers.contains_key("retry-after") => {
            Outcome::SentAway
        }
        Ok(answer) => Outcome::Failed(format!("{what}: {} {}", answer.status, answer.body)),
        Err(error) => Outcome::Failed(format!("{what}: {error}")),
    }
}

impl Seen {
    fn note(&mut self, outcome: Outcome, took: Duration) {
        self.longest = self.longest.max(took);
        match outcome {
            Outcome::Served => self.served += 1,
            Outcome::SentAway => self.sent_away += 1,
            Outcome::Failed(failure) => self.failures.push(failure),
        }
    }

    /// How many were served; each of them must be.
    pub(super) fn judged(&self, flood: &str) -> u64 {
        assert!(self.failures.is_empty(), "{flood}: {:#?}", self.failures);
        assert_eq!(self.sent_away, 0, "{flood}: good visitors were sent away");
        self.served
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failures.len();
        let (served, away) = (self.served, self.sent_away);
        write!(
            f,
            "good visitors: {served} served, {away} sent away, {failed} failed, {:?} at most",
            self.longest
        )
    }
}
