//! The chart installed, a Service exposed, five things broken and found, all of it removed. docs/install.md is what this
//! prints: `UPDATE=1` writes it anew.

use tests::cluster::eventually;
use tests::installation::{self, CLASS, Installation, NAMESPACE, PATIENCE};

use super::cfgwctl::cfgwctl;
use super::chart::removed;
use super::first_gateway::{backend, instance, tunnel};
use super::page::Page;
use super::user::{gateway, gone};

const CHECK: &str = "check --edge edge.test:7844 --cloudflare-url https://cloudflare.test/client/v4 --cloudflare-ca roots.pem";
const EXPLAIN: &str = "explain app.example.com/cart";

/// Said or not, by how quick the cluster was.
fn varies(line: &str) -> bool {
    line.starts_with("Waiting: ")
        || line.starts_with("endpoint ")
        || line.ends_with(": not told of yet")
}

/// What cfgwctl prints once that holds.
async fn printed(page: &Page<'_>, arguments: &str, holds: impl Fn(&str) -> bool) -> String {
    eventually(arguments, PATIENCE, || async {
        let (printed, _) = cfgwctl(page.namespace, &page.meant(arguments)).await;
        holds(&printed).then_some(printed.clone()).ok_or(printed)
    })
    .await
}

/// Runs cfgwctl until what it prints holds.
async fn shown(page: &mut Page<'_>, arguments: &str, holds: impl Fn(&str) -> bool) {
    let printed = printed(page, arguments, holds).await;
    page.show_as_it_is(&format!("cfgwctl {arguments}"), &printed, varies);
}

/// The same of a table.
async fn shown_aligned(page: &mut Page<'_>, arguments: &str, holds: impl Fn(&str) -> bool) {
    let printed = printed(page, arguments, holds).await;
    page.show(&format!("cfgwctl {arguments}"), &printed);
}

/// Runs a check or an explanation until what it prints holds; of a check what is not as it should be is shown.
async fn asked(page: &mut Page<'_>, question: &str, holds: impl Fn(&str) -> bool) {
    if question != CHECK {
        return shown(page, question, holds).await;
    }
    let printed = printed(page, question, holds).await;
    let command = format!("cfgwctl {question} | grep -v ^ok");
    page.show_as_it_is(&command, &printed, |line| line.starts_with("ok "));
}

async fn install(page: &mut Page<'_>, product: &Installation) {
    page.say(include_str!("operated/beginning.md"));
    product
        .helm_with_values(&["install"], &installation::chart(), &[])
        .await;
    let command = "helm install cfgw charts/cloudflare-gateway-controller --namespace cfgw-system --values values.yaml --wait";
    page.show_as_it_is(command, "", varies);
    page.until("get deployments --namespace cfgw-system", |text| {
        text.contains("3/3")
    })
    .await;
    product.leader().await;
    let lease = ["lease", "--namespace", NAMESPACE];
    let lease = product.cluster.get(&lease).await.expect("a Lease");
    let holder = &lease["items"][0]["spec"]["holderIdentity"];
    page.call(
        holder.as_str().expect("a name").to_owned(),
        "cfgw-cloudflare-gateway-controller-6d9f7c5b48-x7k2p_10.1.2.5:8443",
    );
    let is_well = |text: &str| !text.contains("fail ") && text.contains("leads");
    let seen = printed(page, CHECK, is_well).await;
    // What other tests left on purpose.
    let of_tunnels = seen
        .lines()
        .find(|line| line.contains("tunnels of account"));
    let (_, count) = of_tunnels
        .and_then(|line| line.split_once("it sees "))
        .expect("a number of tunnels");
    page.call(format!("it sees {count}"), "it sees 0");
    shown(page, CHECK, is_well).await;
}

async fn expose(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    page.say("## A Gateway, and a Service through it");
    page.apply("gateway.yaml", &gateway()).await;
    page.run("wait --for=condition=Ready gateway/my-gateway --timeout=120s")
        .await;
    page.call(
        tunnel(page.namespace).await,
        "4f23cf4b-a04f-4810-a7e5-7c6825739ea9",
    );
    shown(
        page,
        "expose my-service --hostname app.example.com",
        |text| text.contains("Created"),
    )
    .await;
    page.curl(product, hostname).await;
    shown(page, EXPLAIN, |text| {
        text.contains("CNAME") && !text.contains("error")
    })
    .await;
    shown_aligned(page, "status", |text| text.contains("Applied")).await;
}

async fn day_to_day(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    page.say("## From day to day");
    shown(page, "rotate gateway token my-gateway", |text| {
        text.contains("Requested")
    })
    .await;
    eventually("a new token", PATIENCE, || async {
        let count = product.replaced_tokens(page.namespace.name());
        (count == 1).then_some(()).ok_or(format!("{count}"))
    })
    .await;
    shown(page, "watch gateway token my-gateway", |text| {
        text.starts_with("No ongoing")
    })
    .await;
    shown(page, "suspend gateway my-gateway", |_| true).await;
    page.curl(product, hostname).await;
    shown(page, "resume gateway my-gateway", |text| {
        text.contains("completed")
    })
    .await;
}

/// What breaks something, what finds it and what it says, and what mends it.
const FAULTS: [(&str, &str, &str, &str); 5] = [
    (
        "delete service my-service",
        EXPLAIN,
        "Service default/my-service does not exist",
        "",
    ),
    (
        "patch httproute my-service --type=json -p=[{\"op\":\"add\",\"path\":\"/spec/parentRefs/0/sectionName\",\"value\":\"htps\"}]",
        EXPLAIN,
        "no listener has sectionName htps",
        "patch httproute my-service --type=json -p=[{\"op\":\"remove\",\"path\":\"/spec/parentRefs/0/sectionName\"}]",
    ),
    (
        "scale deployment my-service --replicas=0",
        EXPLAIN,
        "has no ready endpoint",
        "scale deployment my-service --replicas=2",
    ),
    (
        "patch httproute my-service --type=json -p=[{\"op\":\"replace\",\"path\":\"/spec/hostnames/0\",\"value\":\"app.example.net\"}]",
        "explain app.example.net",
        "NoZone",
        "patch httproute my-service --type=json -p=[{\"op\":\"replace\",\"path\":\"/spec/hostnames/0\",\"value\":\"app.example.com\"}]",
    ),
    (
        "patch secret cloudflare --namespace cfgw-system -p={\"stringData\":{\"CLOUDFLARE_API_TOKEN\":\"0123456789abcdefghijklmnopqrstuvwxyzABCD\"}}",
        CHECK,
        "fail ",
        "patch secret cloudflare --namespace cfgw-system -p={\"stringData\":{\"CLOUDFLARE_API_TOKEN\":\"your-api-token\"}}",
    ),
];

async fn break_and_find(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    page.say("## Five faults, each found and mended");
    for (fault, question, answer, remedy) in FAULTS {
        page.run(fault).await;
        let found = page.meant(answer);
        asked(page, question, |text| text.contains(&found)).await;
        match remedy {
            "" => page.apply("my-service.yaml", &backend()).await,
            _ => page.run(remedy).await,
        }
        page.curl(product, hostname).await;
    }
    asked(page, CHECK, |text| !text.contains("fail ")).await;
}

async fn end(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    page.say("## The end\n\nNothing stays at Cloudflare, and of the release nothing but its CRDs.");
    page.run("delete gateway my-gateway").await;
    gone(product, page.namespace, hostname).await;
    shown(page, "status", |_| true).await;
    removed(product).await;
    let command = "helm uninstall cfgw --namespace cfgw-system --wait";
    page.show_as_it_is(command, "release \"cfgw\" uninstalled\n", varies);
    page.run("get all,leases,networkpolicies --namespace cfgw-system")
        .await;
    let crds = product
        .cluster
        .kubectl(&["get", "crds", "--output=name"])
        .await;
    let command = "kubectl get crds --output=name | grep cloudflare-gateway-controller";
    page.show_as_it_is(command, &crds, |line| {
        !line.contains("cloudflare-gateway-controller")
    });
}

/// What tests before this one left is gone: `check` tells of every GatewayClass and every tunnel.
async fn is_empty(product: &Installation) {
    eventually("no Gateway and no class of others", PATIENCE, || async {
        let found = [
            "get",
            "gateways,gatewayclasses",
            "--all-namespaces",
            "--output=name",
        ];
        let found = product.cluster.try_kubectl(&found).await?;
        let own = format!("gatewayclass.gateway.networking.k8s.io/{CLASS}");
        let left: Vec<_> = found.lines().filter(|line| *line != own).collect();
        let gateways = [
            "delete",
            "gateways",
            "--all",
            "--all-namespaces",
            "--wait=false",
        ];
        product.cluster.try_kubectl(&gateways).await?;
        for class in left.iter().filter(|name| name.starts_with("gatewayclass")) {
            let delete = ["delete", "--wait=false", "--ignore-not-found", *class];
            product.cluster.try_kubectl(&delete).await?;
        }
        left.is_empty().then_some(()).ok_or(found)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn the_page_from_install_to_uninstall_is_what_happens() {
    let product = installation::alone().await;
    is_empty(&product).await;
    removed(&product).await;
    let namespace = product.cluster.namespace("operated").await;
    let name = namespace.name();
    namespace.apply(&backend()).await;
    let hostname = format!("{name}.example.com");
    let edge = product.standin.edge().tunnel_addresses()[0];
    let roots = product.cluster.state().join("standin-ca.pem");
    let account = tests::world::ACCOUNT.to_owned();
    let mut page = Page::new(
        &namespace,
        vec![
            (hostname.clone(), "app.example.com"),
            (format!("{name}.example.net"), "app.example.net"),
            (
                instance(&product).await,
                "9c1f7a52-0c5e-4b0b-8f3e-2f1f8f0d6a11",
            ),
            (product.token.clone(), "your-api-token"),
            (account, "your-account-id"),
            (edge.to_string(), "edge.test:7844"),
            (
                product.standin.api_url(),
                "https://cloudflare.test/client/v4",
            ),
            (roots.display().to_string(), "roots.pem"),
            (name.to_owned(), "default"),
        ],
    );
    install(&mut page, &product).await;
    expose(&mut page, &product, &hostname).await;
    day_to_day(&mut page, &product, &hostname).await;
    break_and_find(&mut page, &product, &hostname).await;
    end(&mut page, &product, &hostname).await;
    product
        .helm_with_values(&["install"], &installation::chart(), &[])
        .await;
    page.is_as_written("install.md");
}
