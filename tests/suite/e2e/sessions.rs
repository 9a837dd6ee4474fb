//! Visitors with sessions, while endpoints come and go and proxies restart. `SESSIONS` says how many visitors, 500 unless
//! set.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tests::client::Client;
use tests::manifests::{gateway, route_with, service, slice};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

const HOST: &str = "shop.example.com";
/// Rules with sessions of one name; those of the second one end after an hour. The third one has visitors of its own.
const RULES: [(&str, &str); 3] = [
    ("plain", ""),
    ("timed", ", absoluteTimeout: 1h"),
    ("other", ""),
];
/// A pod that terminates and still answers.
const DRAINING: &str = "{ready: false, serving: true, terminating: true}";
const AT_ONCE: usize = 32;

/// Whoever has a session, and with whom.
struct Visitor {
    rule: &'static str,
    cookie: Option<String>,
    endpoint: String,
}

/// What an answer says: who it is from, and the cookie that it sets.
type Told = (String, Option<String>);

/// What came of requests of visitors.
#[derive(Default)]
struct Visits {
    requests: usize,
    /// Those that got another endpoint than before, or their first one.
    moved: usize,
}

impl Visits {
    fn add(&mut self, others: &Self) {
        self.requests += others.requests;
        self.moved += others.moved;
    }
}

/// A shop with endpoints, and two proxies that serve it.
struct Shop {
    world: World,
    pods: BTreeMap<String, Origin>,
    generation: u32,
    all: Visits,
}

async fn ask(client: &Client, rule: &str, cookie: Option<&str>) -> Told {
    let mut request = client.http().get(format!("https://{HOST}/{rule}"));
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let answer = client.send(request).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let set = answer.headers.get_all("set-cookie").iter();
    let set: Vec<_> = set.map(|value| value.to_str().expect("text")).collect();
    assert!(set.len() <= 1, "{set:?}");
    let pair = set.first().and_then(|set| set.split(';').next());
    (answer.told("name"), pair.map(str::to_owned))
}

impl Visitor {
    fn new(rule: &'static str) -> Self {
        Self {
            rule,
            cookie: None,
            endpoint: String::new(),
        }
    }

    /// Asks once. Whether the visitor got another endpoint; that is right only where the one it had does not live any more.
    async fn visit(&mut self, client: &Client, living: &BTreeSet<String>) -> bool {
        let (came, set) = ask(client, self.rule, self.cookie.as_deref()).await;
        if self.cookie.is_some() && living.contains(&self.endpoint) {
            let given = format!("a session of /{}", self.rule);
            assert_eq!((&came, &set), (&self.endpoint, &None), "{given}");
            return false;
        }
        assert!(living.contains(&came), "{came} does not live");
        self.cookie = Some(set.expect("an answer that begins a session tells it"));
        self.endpoint = came;
        true
    }
}

impl Shop {
    async fn open() -> Self {
        let world = World::start().await;
        world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
        Self {
            world,
            pods: BTreeMap::new(),
            generation: 0,
            all: Visits::default(),
        }
    }

    async fn start_pods(&mut self, names: &[String]) {
        for name in names {
            let pod = Origin::start(name).await;
            self.pods.insert(name.clone(), pod);
        }
    }

    /// Those that live.
    fn living(&self) -> BTreeSet<String> {
        self.pods.keys().cloned().collect()
    }

    /// Writes endpoints, of which these drain, and rules that name a new generation in their answers.
    fn publish(&mut self, draining: &[String]) {
        self.generation += 1;
        let mut text = service("shop", &[]);
        for (n, (name, pod)) in self.pods.iter().enumerate() {
            let conditions = if draining.contains(name) {
                DRAINING
            } else {
                "{}"
            };
            text += &slice("shop", n, pod.address, conditions);
        }
        let rule = |(name, more): (&str, &str)| {
            format!(
                "    - name: {name}
      matches: [{{path: {{type: PathPrefix, value: /{name}}}}}]
      filters:
        - type: ResponseHeaderModifier
          responseHeaderModifier: {{set: [{{name: x-generation, value: \"{}\"}}]}}
      sessionPersistence: {{sessionName: stay, type: Cookie{more}}}
      backendRefs: [{{name: shop, port: 80}}]
",
                self.generation
            )
        };
        let rules = RULES.map(rule).concat();
        // One file, so that one table has both.
        text += "---\n";
        text += &route_with("shop", "my-gateway", &[HOST], &rules);
        self.world.write("shop.yaml", &text);
    }

    /// Waits until both proxies serve what was published.
    async fn served(&self) {
        within(Duration::from_secs(20), "both proxies serve it", || async {
            let mut proxies = BTreeSet::new();
            for _ in 0..24 {
                let answer = self
                    .world
                    .client
                    .get(&format!("https://{HOST}/plain"))
                    .await;
                let answer = answer.ok()?;
                let generation = answer.headers.get("x-generation")?.to_str().ok()?;
                (generation == self.generation.to_string()).then_some(())?;
                let headers: serde_json::Value = answer.told("headers").parse().ok()?;
                proxies.insert(headers["cf-warp-tag-id"].to_string());
            }
            (proxies.len() == 2).then_some(())
        })
        .await;
    }

    /// Has visitors ask, and those that live keep theirs.
    async fn visit<'v>(
        world: &World,
        visitors: impl Iterator<Item = &'v mut Visitor>,
        living: &BTreeSet<String>,
    ) -> Visits {
        let client = &world.client;
        let asked = stream::iter(visitors)
            .map(|visitor| visitor.visit(client, living))
            .buffer_unordered(AT_ONCE);
        let count = |visits: Visits, moved| async move {
            Visits {
                requests: visits.requests + 1,
                moved: visits.moved + usize::from(moved),
            }
        };
        asked.fold(Visits::default(), count).await
    }

    /// All visitors ask. `moved` of them get another endpoint.
    async fn all_visit(&mut self, visitors: &mut [Visitor], moved: usize, given: &str) {
        let living = self.living();
        let visits = Self::visit(&self.world, visitors.iter_mut(), &living).await;
        assert_eq!(visits.moved, moved, "{given}");
        self.all.add(&visits);
    }

    /// Publishes; meanwhile all visitors ask that are not with an endpoint that goes.
    async fn change(&mut self, visitors: &mut [Visitor], draining: &[String], gone: &[String]) {
        let mut leaving = BTreeMap::new();
        for name in gone {
            leaving.extend(self.pods.remove_entry(name));
        }
        self.publish(draining);
        let living = self.living();
        let is_served = Cell::new(false);
        let visits = async {
            let mut all = Visits::default();
            while !is_served.get() {
                let staying = visitors.iter_mut();
                let staying = staying.filter(|visitor| !gone.contains(&visitor.endpoint));
                let staying = staying.take_while(|_| !is_served.get());
                all.add(&Self::visit(&self.world, staying, &living).await);
            }
            all
        };
        let served = async {
            self.served().await;
            is_served.set(true);
        };
        let (visits, ()) = tokio::join!(visits, served);
        assert_eq!(visits.moved, 0, "while endpoints change");
        self.all.add(&visits);
    }

    /// New pods come, as long as the old ones drain these keep their sessions, then they are gone.
    async fn roll(&mut self, visitors: &mut [Visitor], old: &[String], new: &[String]) {
        self.start_pods(new).await;
        self.change(visitors, old, &[]).await;
        let mut fresh: Vec<_> = (0..30).map(|_| Visitor::new("plain")).collect();
        self.all_visit(&mut fresh, 30, "new visitors").await;
        let is_drained = |visitor: &Visitor| old.contains(&visitor.endpoint);
        assert!(!fresh.iter().any(is_drained), "a pod that drains gets none");
        self.all_visit(visitors, 0, "while pods drain").await;
        let leaving = visitors
            .iter()
            .filter(|v| old.contains(&v.endpoint))
            .count();
        self.change(visitors, &[], old).await;
        self.all_visit(visitors, leaving, "once pods are gone")
            .await;
    }

    /// Tokens that nobody made, that were changed, or that are of another rule count as none.
    async fn refuses_foreign(&mut self, visitors: &[Visitor]) -> usize {
        let client = &self.world.client;
        let (_, foreign) = ask(client, "other", None).await;
        let foreign = foreign.expect("a token of another rule");
        let own = |rule: &str| {
            let mut all = visitors.iter().filter(|visitor| visitor.rule == rule);
            let cookie = all.next().and_then(|visitor| visitor.cookie.clone());
            cookie.expect("a visitor with a session")
        };
        let (plain, timed) = (own("plain"), own("timed"));
        let changed = |cookie: &str, at: usize| {
            let (_, token) = cookie.split_once('=').expect("a pair");
            let mut token = token.as_bytes().to_vec();
            token[at] = if token[at] == b'A' { b'B' } else { b'A' };
            format!("stay={}", String::from_utf8_lossy(&token))
        };
        let cases = [
            ("plain", "stay=AAAAAAAAAAAAAAAAAAAAAA".to_owned()),
            ("plain", "stay=".to_owned()),
            ("plain", format!("stay={}", "A".repeat(3_000))),
            ("plain", changed(&plain, 0)),
            ("plain", plain[..plain.len() - 2].to_owned()),
            ("plain", foreign),
            ("plain", timed.clone()),
            ("timed", plain),
            // The id, the times and the hash over both.
            ("timed", changed(&timed, 3)),
            ("timed", changed(&timed, 24)),
            ("timed", changed(&timed, 40)),
        ];
        let mut requests = 0;
        for (rule, cookie) in &cases {
            let mut seen = BTreeSet::new();
            for _ in 0..20 {
                let (name, set) = ask(client, rule, Some(cookie)).await;
                assert!(set.is_some(), "{cookie} counts as a session of /{rule}");
                seen.insert(name);
                requests += 1;
            }
            assert!(seen.len() > 1, "{cookie} leads to {seen:?} alone");
        }
        requests
    }
}

fn pods(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("pod-{n:02}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_stays_with_its_endpoint_as_long_as_that_lives() {
    let count = std::env::var("SESSIONS").map_or(500, |count| count.parse().expect("a number"));
    let began = Instant::now();
    let mut shop = Shop::open().await;
    shop.start_pods(&pods(0..10)).await;
    shop.publish(&[]);
    let mut first = shop.world.cfgw().await;
    let mut second = shop.world.replica("second").await;
    shop.world.answers(&format!("https://{HOST}/plain")).await;
    shop.world.connections(8).await;
    shop.served().await;

    let rules = ["plain", "timed"].into_iter().cycle();
    let mut visitors: Vec<_> = rules.take(count).map(Visitor::new).collect();
    shop.all_visit(&mut visitors, count, "sessions begin").await;
    shop.all_visit(&mut visitors, 0, "nothing has changed")
        .await;
    let mut shares = BTreeMap::<_, usize>::new();
    for visitor in &visitors {
        *shares.entry(visitor.endpoint.clone()).or_default() += 1;
    }
    let (least, most) = (shares.values().min(), shares.values().max());
    let shown = format!("{} to {} each", least.unwrap_or(&0), most.unwrap_or(&0));
    let fair = count / 10;
    let is_even = shares.len() == 10 && shares.values().all(|share| *share >= fair / 3);
    assert!(is_even, "{shares:?}");

    let began_changes = shop.all.moved;
    for (old, new) in [(0..3, 10..13), (3..6, 13..16), (6..10, 16..20)] {
        shop.roll(&mut visitors, &pods(old), &pods(new)).await;
    }
    shop.start_pods(&pods(20..24)).await;
    shop.change(&mut visitors, &[], &[]).await;
    shop.all_visit(&mut visitors, 0, "once there are more")
        .await;
    shop.roll(&mut visitors, &pods(18..24), &[]).await;
    let moved = shop.all.moved - began_changes;

    for (name, proxy) in [("state", &mut first), ("second", &mut second)] {
        proxy.terminate().await;
        assert!(proxy.ended(Duration::from_secs(40)).await);
        shop.all_visit(&mut visitors, 0, "while a proxy is away")
            .await;
        *proxy = shop.world.again(name).await;
        shop.world.connections(8).await;
        shop.all_visit(&mut visitors, 0, "after its restart").await;
    }
    let forged = shop.refuses_foreign(&visitors).await;

    println!(
        "{count} sessions over 10 endpoints ({shown}), two proxies: {} requests in {:.0?}; a rollout of all, 10 to 14 to 8, \
         and a restart of each proxy; {moved} sessions began or moved with their endpoint, none without; {forged} requests \
         with forged or foreign tokens, none counted",
        shop.all.requests,
        began.elapsed(),
    );
}
