//! Floods while good visitors make requests, with `cfgw` in a cgroup of 512 MiB: it does not die, every good visitor
//! is answered, and the memory that the flood took is given back. Each flood is sent through the stand-in's edge, once over HTTP/2
//! and once over QUIC.
//!
//! `FLOOD=4` makes each four times as large; `make soak` does.

mod crowd;
mod endpoints;
mod good;

use std::time::Duration;

use tests::manifests::{gateway, route, service};
use tests::memory_group::MemoryGroup;
use tests::origin::Origin;
use tests::process::Cfgw;
use tests::world::{ACCOUNT, World};

use crowd::{Crowd, Flood, Then};
use endpoints::Endpoints;
use good::Good;

const MIB: u64 = 1 << 20;
/// What a proxy's container has unless it is set.
const LIMIT: u64 = 512 * MIB;
/// What may be held more than before, some seconds after a flood.
const KEPT: u64 = 64 * MIB;
/// How long a flood is held once it has arrived.
const HELD: Duration = Duration::from_secs(4);
/// Time for memory to be given back, and for the last good visitor. The machine may be busy with other tests.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// How many times as large as usual.
fn size() -> usize {
    let size = std::env::var("FLOOD").ok();
    size.and_then(|size| size.parse().ok()).unwrap_or(1)
}

fn floods() -> [Flood; 5] {
    [
        Flood {
            what: "heads of 100 KB whose endpoint does not answer",
            service: "silent",
            head: 100 << 10,
            number: 1_200,
            ..Flood::default()
        },
        Flood {
            what: "uploads whose endpoint does not read",
            service: "unread",
            body: 4 << 20,
            number: 300,
            ..Flood::default()
        },
        Flood {
            what: "visitors who do not read a large answer",
            service: "large",
            path: "/bytes/67108864",
            number: 400,
            then: Then::ReadNothing,
            ..Flood::default()
        },
        Flood {
            what: "uploads that go on after an early answer",
            service: "early",
            body: 4 << 20,
            number: 400,
            ..Flood::default()
        },
        Flood {
            what: "endpoints that do not accept connections",
            service: "deaf",
            number: 400,
            ..Flood::default()
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_over_http2_cost_no_good_visitor_an_answer_and_leave_no_memory_behind() {
    all("http2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_over_quic_cost_no_good_visitor_an_answer_and_leave_no_memory_behind() {
    all("quic").await;
}

/// Where no cgroup can be made nothing is shown, which must not go unnoticed.
fn group() -> Option<MemoryGroup> {
    match MemoryGroup::of(LIMIT) {
        Ok(group) => Some(group),
        Err(problem) => {
            eprintln!("!! NOT RUN: floods in a cgroup of 512 MiB: {problem}");
            assert!(std::env::var_os("CI").is_none(), "CI needs it: {problem}");
            None
        }
    }
}

async fn all(protocol: &str) {
    let Some(group) = group() else {
        return;
    };
    let mut scene = Scene::start(protocol, group).await;
    let before = scene.held();
    println!("{protocol}: {} at rest", scene.memory());
    for flood in floods() {
        scene.flooded_by(&flood).await;
    }
    let kept = scene.given_back(before).await;
    println!("{protocol}: {} MiB more than before the floods", kept / MIB);
}

/// `cfgw` in its cgroup, with endpoints of every kind behind it.
struct Scene {
    protocol: String,
    // Dropped before its log, which is shown then, and before its cgroup.
    cfgw: Cfgw,
    group: MemoryGroup,
    world: World,
    _endpoints: Endpoints,
    _good: Origin,
}

impl Scene {
    async fn start(protocol: &str, group: MemoryGroup) -> Self {
        let world = World::start_alone().await;
        let good = Origin::start("good").await;
        let endpoints = Endpoints::start().await;
        world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
        let named = endpoints.named().into_iter();
        for (name, address) in named.chain([("good", good.address)]) {
            let host = format!("{name}.example.com");
            world.write(&format!("{name}.yaml"), &service(name, &[address]));
            world.write(&format!("{name}-route.yaml"), &route(name, &host, name));
        }
        // The edge runs in this process, which is as busy as its visitors are many.
        let silence = ("CFGW_TUNNEL__SILENCE_TIMEOUT", "60s".to_owned());
        let settings = [("CFGW_TUNNEL__PROTOCOL", protocol.to_owned()), silence];
        let cfgw = world.cfgw_in(&group, &settings).await;
        world.connections(4).await;
        world.answers_with(good::URL, "good").await;
        for (name, _) in endpoints.named() {
            world.answers_to(&format!("{name}.example.com")).await;
        }
        Self {
            protocol: protocol.to_owned(),
            cfgw,
            group,
            world,
            _endpoints: endpoints,
            _good: good,
        }
    }

    /// Has a flood come, held and ended, with good visitors before, meanwhile and afterwards.
    async fn flooded_by(&mut self, flood: &Flood) {
        let began = tokio::time::Instant::now();
        let connections = self.world.live_connections();
        let good = Good::start(&self.world);
        let crowd = Crowd::start(&self.world.client, flood, size()).await;
        tokio::time::sleep(HELD).await;
        let held = self.memory();
        let seen = crowd.end().await;
        good.are_answered(AFTERWARDS).await;
        let good = good.end().await;
        println!(
            "{}: {}: {seen}; {held}, peak {} MiB; {good}; {:?}",
            self.protocol,
            flood.what,
            self.group.peak() / MIB,
            began.elapsed()
        );
        self.lives();
        let good = good.judged(flood.what);
        assert!(good > 0, "{}: no good visitor came", flood.what);
        let now = self.world.live_connections();
        assert_eq!(now, connections, "{}: connections ended", flood.what);
    }

    fn lives(&mut self) {
        assert!(self.cfgw.is_running(), "the program has ended");
        assert_eq!(self.group.kills(), 0, "the kernel has ended a process");
        assert!(self.group.peak() < LIMIT, "all of the memory was taken");
        assert!(!self.cfgw.log().contains("panicked"), "something panicked");
    }

    /// Waits until what the floods took is given back. How much more is held than before.
    async fn given_back(&mut self, before: u64) -> u64 {
        let deadline = tokio::time::Instant::now() + AFTERWARDS;
        loop {
            let more = self.held().saturating_sub(before);
            if more <= KEPT {
                self.lives();
                return more;
            }
            let text = self.memory();
            assert!(
                tokio::time::Instant::now() < deadline,
                "not given back: {text}, {} MiB before the floods",
                before / MIB
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn held(&self) -> u64 {
        self.cfgw.resident_bytes()
    }

    fn memory(&self) -> String {
        let (resident, usage) = (self.held() / MIB, self.group.usage() / MIB);
        format!("resident {resident} MiB, cgroup {usage} MiB")
    }
}
