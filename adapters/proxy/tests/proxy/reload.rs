//! Replacing the table under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use domain::route_table::UpstreamProtocol::{H2c, Http1};

use crate::endpoint::Endpoint;
use crate::rig::{Sketch, engine, eventually, get, next_text, read, share};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_tables_under_load_cost_no_request() {
    for protocol in [Http1, H2c] {
        let pods = Endpoint::start_many(3).await;
        let engine = engine();
        let tables: Vec<_> = [[0, 1], [1, 2], [2, 0]]
            .map(|[a, b]| Sketch::simple(protocol, &[pods[a].at, pods[b].at]))
            .into();
        engine.load(Arc::clone(&tables[0]));

        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let (engine, stop, served) =
                    (Arc::clone(&engine), Arc::clone(&stop), Arc::clone(&served));
                tokio::spawn(async move {
                    while !stop.load(SeqCst) {
                        assert_eq!(read(get(&engine, "/").await).await.0, 200);
                        served.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        for turn in 0..200 {
            engine.load(Arc::clone(&tables[turn % tables.len()]));
            let before = served.load(SeqCst);
            eventually("requests between two tables", || {
                served.load(SeqCst) > before
            })
            .await;
        }
        stop.store(true, SeqCst);
        for client in clients {
            client.await.unwrap();
        }
        assert!(served.load(SeqCst) >= 200);
    }
}

#[tokio::test]
async fn a_removed_endpoint_finishes_what_it_has_and_gets_nothing_more() {
    for protocol in [Http1, H2c] {
        let (old, new) = (Endpoint::start("old").await, Endpoint::start("new").await);
        let engine = engine();
        engine.load(Sketch::simple(protocol, &[old.at]));
        // One idle connection and one in use.
        let mut events = get(&engine, "/events").await.into_body();
        assert_eq!(next_text(&mut events).await.unwrap(), "data: 0\n\n");
        assert_eq!(read(get(&engine, "/").await).await.1, "old");

        engine.load(Sketch::simple(protocol, &[new.at]));
        for _ in 0..20 {
            assert_eq!(read(get(&engine, "/").await).await.1, "new");
        }
        eventually("the idle connection is closed", || {
            old.seen.open.load(SeqCst) == 1
        })
        .await;

        for event in ["data: 1\n\n", "data: 2\n\n"] {
            old.seen.go_on.add_permits(1);
            assert_eq!(next_text(&mut events).await.unwrap(), event);
        }
        old.seen.go_on.add_permits(1);
        assert_eq!(next_text(&mut events).await, None);
        eventually("the other one after its request", || {
            old.seen.open.load(SeqCst) == 0
        })
        .await;
    }
}

#[tokio::test]
async fn endpoints_that_stay_keep_their_connections() {
    for protocol in [Http1, H2c] {
        let (app, other) = (Endpoint::start("app").await, Endpoint::start("other").await);
        let engine = engine();
        engine.load(Sketch::simple(protocol, &[app.at]));
        read(get(&engine, "/").await).await;
        for turn in 0..20 {
            // The same endpoint under other Services, alone and with another rule beside it.
            let name = format!("service-{turn}");
            let table = Sketch::default()
                .rule("/other", vec![], vec![share("other", 1)])
                .rule("/", vec![], vec![share(&name, 1)])
                .upstream("other", protocol, &[other.at])
                .upstream(&name, protocol, &[app.at])
                .table();
            engine.load(table);
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert_eq!(read(get(&engine, "/").await).await.1, "app");
        }
        let accepted = app.seen.accepted.load(SeqCst);
        assert!(accepted <= 2, "{protocol:?}: {accepted} connections");
    }
}
