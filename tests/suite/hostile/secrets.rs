//! Secrets stay secret: a run with everything that can go wrong leaves no token in what the program writes.

use std::time::Duration;

use tests::manifests::{gateway, gateway_named, route, secret, service};
use tests::origin::Origin;
use tests::world::{ACCOUNT, World, within};

/// The parts of a text that would give it away: the whole of it, and what it looks like in base64.
fn given_away(written: &str, secret: &str) -> bool {
    written.contains(secret) || secret.len() > 40 && written.contains(&secret[..40])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_in_any_log_state_metric_or_status() {
    let app = Origin::start("app").await;
    let world = World::start().await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("app.yaml", &service("app", &[app.address]));
    world.write("route.yaml", &route("app", "app.example.com", "app"));
    let everything = ("CFGW_LOG__FILTER", "trace".to_owned());
    let mut cfgw = world.cfgw_with(&[everything]).await;
    world.answers("https://app.example.com/").await;
    let mut secrets = world.connector_tokens();
    assert_eq!(secrets.len(), 1);

    // A token that may not write DNS, an unknown one, and one that breaks the YAML around it.
    let forbidden = world.token_without_dns();
    let unknown = "canary-unknown-0123456789abcdef";
    let broken = "canary-broken-0123456789abcdef";
    world.write("creds.yaml", &secret("other-creds", unknown, ACCOUNT));
    world.write("other.yaml", &gateway_named("other"));
    let text = secret("broken", broken, ACCOUNT).replace('"', "*");
    world.write("broken.yaml", &text);
    within(
        Duration::from_secs(10),
        "the broken Secret is named",
        || async { world.problems().contains("broken.yaml").then_some(()) },
    )
    .await;
    for token in [forbidden.as_str(), unknown] {
        let creds = gateway(&world.token, ACCOUNT).replace(&world.token, token);
        world.write("gateway.yaml", &creds);
        world.write(
            "late.yaml",
            &route("late", &format!("l{}.example.com", token.len()), "app"),
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.edge_away().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.edge_back().await;
    world.answers("https://app.example.com/").await;

    secrets.extend(world.connector_tokens());
    secrets.extend([
        world.token.clone(),
        forbidden,
        unknown.to_owned(),
        broken.to_owned(),
    ]);
    let metrics = cfgw.metrics().await;
    let status = world.status_command().await;
    cfgw.terminate().await;
    assert!(cfgw.ended(Duration::from_secs(20)).await);

    let mut written = world.written();
    written.push(("/metrics".into(), metrics));
    written.push(("cfgw standalone status".into(), status));
    assert!(cfgw.log().len() > 1_000, "the log is there");
    for (place, text) in &written {
        for secret in &secrets {
            assert!(
                !given_away(text, secret),
                "{} shows {secret}",
                place.display()
            );
        }
    }
}
