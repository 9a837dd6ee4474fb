//! Bad input: each gets a message or a condition that names object, field and remedy; everything else
//! keeps working; what is not ours stays as it is.

use std::time::Duration;

use tests::manifests::{class, gateway, gateway_named, route, route_with, secret, service};
use tests::origin::Origin;
use tests::process::Cfgw;
use tests::world::{ACCOUNT, World, within};

const DNS: &str = "cloudflare-gateway-controller.io/DNS";

/// A good Gateway with a good route, to which a test adds what is wrong.
async fn world() -> (World, Origin) {
    let origin = Origin::start("app").await;
    let world = World::start().await;
    world.write("gateway.yaml", &gateway(&world.token, ACCOUNT));
    world.write("app.yaml", &service("app", &[origin.address]));
    world.write("route.yaml", &route("good", "good.example.com", "app"));
    (world, origin)
}

async fn running(world: &World) -> Cfgw {
    let cfgw = world.cfgw().await;
    world.answers("https://good.example.com/").await;
    cfgw
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_cannot_be_read_are_named_and_the_rest_is_served() {
    let rows = [
        (
            "malformed YAML",
            "apiVersion: v1\nkind: [Service\n",
            "broken.yaml",
            &["broken.yaml"][..],
        ),
        (
            "an unknown kind",
            "apiVersion: example.com/v1\nkind: Teapot\nmetadata: {name: pot}\n",
            "broken.yaml",
            &["broken.yaml", "Teapot"][..],
        ),
        (
            "a document without a name",
            "apiVersion: v1\nkind: Service\nmetadata: {}\n",
            "broken.yaml",
            &["metadata.name"][..],
        ),
    ];
    let (world, _origin) = world().await;
    let _cfgw = running(&world).await;
    for (given, text, file, named) in rows {
        world.write(file, text);
        within(Duration::from_secs(5), given, || async {
            let problems = world.problems();
            named
                .iter()
                .all(|word| problems.contains(word))
                .then_some(())
        })
        .await;
        world.answers("https://good.example.com/").await;
        world.remove(file);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_breaks_while_running_keeps_what_it_last_said() {
    let (world, _origin) = world().await;
    let _cfgw = running(&world).await;
    let before = world.records();
    world.write(
        "route.yaml",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n  spec: {\n",
    );
    within(Duration::from_secs(5), "the problem is named", || async {
        world.problems().contains("route.yaml").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.answers("https://good.example.com/").await;
    assert_eq!(world.records(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_document_is_named_and_the_first_stands() {
    let (world, _origin) = world().await;
    world.write("zz-copy.yaml", &route("good", "other.example.com", "app"));
    let _cfgw = running(&world).await;
    let problems = world.problems();
    assert!(
        problems.contains("zz-copy.yaml") && problems.contains("HTTPRoute default/good"),
        "{problems}"
    );
    assert_eq!(world.records().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_or_key_is_named_on_class_and_gateway() {
    let (world, _origin) = world().await;
    let _cfgw = running(&world).await;
    let other_class = class()
        .replace("name: cloudflare}", "name: other}")
        .replace("cloudflare-creds", "nowhere");
    world.write("class.yaml", &other_class);
    world.write(
        "other.yaml",
        &gateway_named("other").replace("gatewayClassName: cloudflare", "gatewayClassName: other"),
    );
    let refused = world
        .condition("gatewayclass other", "Accepted", |c| c.status == "False")
        .await;
    assert_eq!(refused.reason, "InvalidParameters");
    assert!(
        refused.message.contains("default/nowhere"),
        "{}",
        refused.message
    );
    world
        .condition("gateway default/other", "Accepted", |c| c.status == "False")
        .await;

    world.write(
        "secret.yaml",
        &secret("nowhere", &world.token, ACCOUNT).replace("CLOUDFLARE_ACCOUNT_ID", "ACCOUNT"),
    );
    let refused = world
        .condition("gatewayclass other", "Accepted", |c| {
            c.message.contains("CLOUDFLARE_ACCOUNT_ID")
        })
        .await;
    assert_eq!(refused.status, "False");
    world.answers("https://good.example.com/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_the_dns_permission_serves_and_says_what_is_missing() {
    let (world, _origin) = world().await;
    let weak = world.token_without_dns();
    world.write("gateway.yaml", &gateway(&weak, ACCOUNT));
    let _cfgw = world.cfgw().await;
    let dns = world
        .condition("httproute default/good", DNS, |c| c.status != "True")
        .await;
    assert!(
        dns.message.contains("DNS: Edit"),
        "{}: {}",
        dns.reason,
        dns.message
    );
    let accepted = world
        .condition("httproute default/good", "Accepted", |_| true)
        .await;
    assert_eq!(accepted.status, "True");
    assert!(world.records().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostname_outside_every_zone_stays_accepted_with_a_condition() {
    let (world, _origin) = world().await;
    world.write(
        "outside.yaml",
        &route("outside", "app.elsewhere.org", "app"),
    );
    let _cfgw = running(&world).await;
    let dns = world
        .condition("httproute default/outside", DNS, |c| c.status == "False")
        .await;
    assert_eq!(dns.reason, "NoZone");
    assert!(dns.message.contains("app.elsewhere.org"), "{}", dns.message);
    world
        .condition("httproute default/outside", "Accepted", |c| {
            c.status == "True"
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_record_at_a_wanted_name_is_a_conflict_and_stays_byte_identical() {
    for (kind, content) in [("CNAME", "elsewhere.example.net"), ("A", "192.0.2.7")] {
        let (world, _origin) = world().await;
        world.foreign_record(kind, "wanted.example.com", content);
        let before = world.raw_record("wanted.example.com");
        world.write("wanted.yaml", &route("wanted", "wanted.example.com", "app"));
        let cfgw = running(&world).await;
        let dns = world
            .condition("httproute default/wanted", DNS, |c| c.status == "False")
            .await;
        assert_eq!(dns.reason, "RecordConflict");
        for named in ["wanted.example.com", kind, content] {
            assert!(dns.message.contains(named), "{named} in {}", dns.message);
        }
        world.remove("wanted.yaml");
        world.settled().await;
        drop(cfgw);
        assert_eq!(world.raw_record("wanted.example.com"), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_wanting_one_name_get_one_record_and_the_other_is_told_who_has_it() {
    let (world, _origin) = world().await;
    world.write("second.yaml", &gateway_named("second"));
    let rules = "    - backendRefs: [{name: app, port: 80}]\n";
    world.write(
        "theirs.yaml",
        &route_with("theirs", "second", &["good.example.com"], rules),
    );
    let _cfgw = running(&world).await;
    let told = world
        .condition("httproute default/theirs", DNS, |c| c.status == "False")
        .await;
    assert_eq!(told.reason, "ClaimedByOther");
    assert!(
        told.message.contains("default/my-gateway"),
        "{}",
        told.message
    );
    assert_eq!(world.records().len(), 1);

    // The holder lets go: the other takes the record over in place.
    let id = world.records()[0].id.clone();
    world.remove("route.yaml");
    world
        .condition("httproute default/theirs", DNS, |c| c.status == "True")
        .await;
    let records = world.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].id, id, "one update in place");
    world.answers("https://good.example.com/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_field_that_is_not_served_refuses_its_route_by_name() {
    let (world, _origin) = world().await;
    let rules = "    - filters: [{type: ExtensionRef, extensionRef: {group: a.example, kind: B, name: c}}]\n";
    world.write(
        "extended.yaml",
        &route_with("extended", "my-gateway", &["extended.example.com"], rules),
    );
    let _cfgw = running(&world).await;
    let accepted = world
        .condition("httproute default/extended", "Accepted", |c| {
            c.status == "False"
        })
        .await;
    assert_eq!(accepted.reason, "UnsupportedValue");
    assert!(
        accepted.message.contains("spec.rules[0].filters[0]"),
        "{}",
        accepted.message
    );
}
