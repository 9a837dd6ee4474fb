//! `generate route` and `expose`.

use std::time::Duration;

use cfgwctl::expose::{Said, expose, wanted};
use cfgwctl::screen::as_yaml;
use cfgwctl::wait::Wait;
use domain::Hostname;
use serde_json::json;

use crate::explaining::{credentials, objects, told};
use crate::{PATIENCE, asked, cluster, golden, seen};

fn said() -> Said {
    Said {
        service: "next".to_owned(),
        hostname: Hostname::parse("next.example.com").expect("a hostname"),
        gateway: None,
        port: None,
    }
}

#[tokio::test]
async fn a_service_is_exposed_by_a_route_that_is_waited_for() {
    let mut text = String::new();
    for (given, ready, wait) in [
        ("it becomes ready", Some("True"), PATIENCE),
        ("it is refused", Some("False"), PATIENCE),
        (
            "nobody answers",
            None,
            Wait {
                timeout: Duration::from_millis(30),
                ..PATIENCE
            },
        ),
    ] {
        let (server, cluster) = cluster().await;
        for (plural, object) in objects() {
            server.put(plural, object);
        }
        server.put("cloudflaregatewaystatuses", told());
        server.put("secrets", credentials());
        let route = wanted(&cluster, said()).await.expect("a route");
        text.push_str(&format!("# {given}\n{}---\n", as_yaml(&route.route())));
        let controller = server.clone();
        let answers = tokio::spawn(async move {
            let Some(ready) = ready else { return };
            asked(&controller, "httproutes/next").await;
            let route = controller.get("httproutes", "default", "next");
            let mut route = route.expect("it was made");
            route["status"] = json!({ "parents": [{
                "parentRef": { "name": "web" },
                "conditions": [{
                    "type": "Ready", "status": ready, "reason": "Some",
                    "message": "HTTPRoute default/next: the record is another's",
                }],
            }]});
            controller.put("httproutes", route);
        });
        let shown = seen(async |screen| expose(&cluster, &route, wait, screen).await).await;
        answers.await.expect("it ends");
        text.push_str(&format!("{shown}\n"));
        let again = seen(async |screen| expose(&cluster, &route, wait, screen).await).await;
        assert!(
            again.starts_with("error: HTTPRoute default/next: it exists already; "),
            "{again}"
        );
    }
    golden::check("expose", &text);
}

#[tokio::test]
async fn what_was_not_said_is_looked_up_and_else_asked_for() {
    let (server, cluster) = cluster().await;
    let failure = wanted(&cluster, said()).await.expect_err("no Gateway");
    assert!(
        failure.to_string().contains("there is no Gateway"),
        "{failure}"
    );
    for (plural, object) in objects() {
        if plural != "services" {
            server.put(plural, object);
        }
    }
    let failure = wanted(&cluster, said()).await.expect_err("no Service");
    let expected =
        "error: Service default/next: Not found; name one that is there, or its port with --port";
    assert_eq!(failure.to_string(), expected);
    let with_port = Said {
        port: Some(8080),
        gateway: Some("infra/other".to_owned()),
        ..said()
    };
    let route = wanted(&cluster, with_port).await.expect("a route");
    assert_eq!(
        (route.port, route.gateway.to_string().as_str()),
        (8080, "infra/other")
    );
}
