//! The edge goes away and comes back: how long until visitors are served again, by our connector and by
//! genuine cloudflared side by side.

use std::time::{Duration, Instant};

use tests::world::World;

use super::cloudflared::{self, Cloudflared};
use super::table::APP;
use super::{Origins, our_connector};

/// For how long the edge is away.
const AWAY: Duration = Duration::from_secs(4);
/// How often it goes.
const ROUNDS: usize = 5;
/// Longer than this nothing is waited for; it counts as this long.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// From the edge's return to the first answer, and to four connections.
#[derive(Debug, Clone, Copy)]
struct Back {
    served: Duration,
    whole: Duration,
}

async fn restart(world: &World) -> Back {
    world.edge_away().await;
    tokio::time::sleep(AWAY).await;
    world.edge_back().await;
    let began = Instant::now();
    let url = format!("https://{APP}/");
    let served = until(began, || async {
        let answer = world.client.get(&url).await;
        answer.is_ok_and(|answer| answer.status == 200)
    });
    let whole = until(began, || async { world.live_connections().len() >= 4 });
    let (served, whole) = tokio::join!(served, whole);
    Back { served, whole }
}

/// How long after `began` it is so.
async fn until<F: Future<Output = bool>>(began: Instant, it_is_so: impl Fn() -> F) -> Duration {
    let waited = tokio::time::timeout(BACK_WITHIN, async {
        while !it_is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    });
    waited.await.unwrap_or(BACK_WITHIN)
}

/// Restarts the edge again and again; prints and returns the medians.
async fn medians(driver: &str, world: &World) -> Back {
    world.connections(4).await;
    let (mut served, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let back = restart(world).await;
        served.push(back.served);
        whole.push(back.whole);
    }
    served.sort();
    whole.sort();
    println!(
        "{driver}: served after {served:.2?}, with four connections after {whole:.2?} from the edge's return"
    );
    Back {
        served: served[ROUNDS / 2],
        whole: whole[ROUNDS / 2],
    }
}

async fn ours(protocol: &str) -> Back {
    let world = World::start().await;
    let origins = Origins::start().await;
    let over = [("CFGW_TUNNEL__PROTOCOL", protocol.to_owned())];
    let _running = our_connector(&world, &origins, &over).await;
    medians(&format!("ours over {protocol}"), &world).await
}

async fn theirs(protocol: &str) -> Option<Back> {
    let Some(program) = cloudflared::program() else {
        println!(
            "NOT RUN: genuine cloudflared is absent, nothing to compare with; set CLOUDFLARED"
        );
        return None;
    };
    let world = World::start().await;
    let origins = Origins::start().await;
    let _running = Cloudflared::start(program, protocol, &world, &origins).await;
    world.answers(&format!("https://{APP}/")).await;
    Some(medians(&format!("cloudflared over {protocol}"), &world).await)
}

async fn compare(protocol: &str) {
    let (ours, theirs) = tokio::join!(ours(protocol), theirs(protocol));
    println!("medians over {protocol}: ours {ours:.2?}, cloudflared {theirs:.2?}");
    assert!(ours.served < Duration::from_secs(10), "{ours:?}");
    let Some(theirs) = theirs else { return };
    // Who has the first answer is mostly luck, within half a second; who has all connections is not.
    assert!(ours.whole < theirs.whole, "{ours:?} {theirs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_edge_we_are_back_before_cloudflared_over_http2() {
    compare("http2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_edge_we_are_back_before_cloudflared_over_quic() {
    compare("quic").await;
}
