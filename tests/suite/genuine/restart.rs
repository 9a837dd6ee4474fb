//! The edge goes away and comes back: how long until visitors are served again, by our connector and by
//! genuine cloudflared side by side.

use std::time::{Duration, Instant};

use tests::world::{World, within};

use super::cloudflared::{self, Cloudflared};
use super::table::APP;
use super::{Origins, our_connector};

/// For how long the edge is away.
const AWAY: Duration = Duration::from_secs(4);
/// How often it goes.
const ROUNDS: usize = 5;
/// Until visitors are served at most.
const SERVED_WITHIN: Duration = Duration::from_secs(60);
/// Longer than this is not waited for all connections; it counts as this long.
const WHOLE_WITHIN: Duration = Duration::from_secs(10);

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
    let served = within(SERVED_WITHIN, "served again", || async {
        let answer = world.client.get(&url).await;
        answer
            .is_ok_and(|answer| answer.status == 200)
            .then(|| began.elapsed())
    });
    let whole = tokio::time::timeout(WHOLE_WITHIN, async {
        while world.live_connections().len() < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    });
    let (served, whole) = tokio::join!(served, whole);
    let whole = whole.unwrap_or(WHOLE_WITHIN);
    Back { served, whole }
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
    assert!(ours.served < theirs.served, "{ours:?} {theirs:?}");
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
