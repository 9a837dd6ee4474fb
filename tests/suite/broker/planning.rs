//! What would come of a statement, as the broker plans it: nothing is written for it.

use std::path::Path;

use adapter_manifests::Manifests;
use cfgwctl::plan::Plan;
use cfgwctl::plan::stage::{Access, rehearse_folder_behind};
use domain::ObjectKey;
use domain::broker::ports::{Audit, Intents};
use domain::ports::{Clock, Edge};
use domain::testing::intent;
use tests::broker::{Broker, EAST, Enrolled, WEST};
use tests::manifests::{class_without_parameters, gateway_named, route, service};
use tests::origin::Origin;
use tests::world::World;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("default", name)
}

#[tokio::test(flavor = "multi_thread")]
async fn cfgwctl_plans_behind_a_broker_what_the_broker_would_do() {
    let origin = Origin::start("app").await;
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let taken = broker.client(WEST).await;
    let west = intent(key("of-west"), &["taken.example.com"]);
    taken.reconcile(&west).await.unwrap();
    let app = service("app", &[origin.address]);
    let before = [
        class_without_parameters(),
        gateway_named("my-gateway"),
        app,
        route("old", "old.example.com", "app"),
    ];
    world.write("all.yaml", &before.join("\n---\n"));
    let code = broker.invite(EAST).await;
    let _cfgw = world.cfgw_behind(&broker.url(), &code).await;
    world.answers("https://old.example.com/").await;
    world.settled().await;

    let [class, gateway, app, _] = &before;
    let new = route("new", "new.example.com", "app");
    let wanted = route("taken", "taken.example.com", "app");
    let after = [class, gateway, app, &new, &wanted].map(String::as_str);
    let file = world.write_beside("after.yaml", &after.join("\n---\n"));
    let state = Path::new(&file).with_file_name("state");
    let access = Access {
        broker_url: Some(broker.url()),
        ..Access::default()
    };
    let plan = async |manifests: &Manifests| {
        let now = app::system::SystemClock.now();
        let planned = rehearse_folder_behind(manifests, &state, &access, now).await;
        let (rehearsed, notes) = planned.unwrap();
        Plan::of(&rehearsed, notes)
    };
    let stored = async || {
        let east = Enrolled::of(EAST).cluster;
        let held = broker.store.held(&east, &key("my-gateway")).await.unwrap();
        let audit = broker.store.end().await.unwrap();
        format!("{held:?} {audit:?}")
    };
    let (calls, held) = (world.calls().len(), stored().await);
    let found = plan(&Manifests::read(Path::new(&file)).unwrap()).await;
    assert_eq!(found.problems, Vec::<String>::new());
    let shown: Vec<_> = found
        .changes
        .iter()
        .map(|change| format!("{} {} {}", change.sign, change.what, change.name))
        .filter(|line| line.contains("record"))
        .collect();
    assert_eq!(
        shown,
        ["+ record new.example.com", "- record old.example.com"]
    );
    let refused = |note: &&String| note.contains("HostnameNotPermitted");
    let refused: Vec<_> = found.notes.iter().filter(refused).collect();
    assert!(!refused.is_empty(), "{:?}", found.notes);
    assert!(!format!("{found:?}").contains("west"), "{found:?}");
    let writes = |calls: usize| {
        world.calls()[calls..]
            .iter()
            .filter(|call| call.write)
            .count()
    };
    assert_eq!(writes(calls), 0);
    assert_eq!(stored().await, held, "nothing was written in the store");

    // It is what the broker does then.
    world.write("all.yaml", &after.join("\n---\n"));
    world.answers("https://new.example.com/").await;
    world.settled().await;
    let found = plan(&Manifests::read(Path::new(&file)).unwrap()).await;
    assert_eq!(found.changes, Vec::new());
    assert_eq!(found.writes, 0);
}
