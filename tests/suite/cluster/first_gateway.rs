//! The first Gateway of a new user, step by step. docs/first-gateway.md is what this prints: `UPDATE=1` writes it anew.

use std::path::Path;

use tests::cluster::{Namespace, eventually};
use tests::installation::{self, Installation, PATIENCE};

use super::user::gone;

const FIRST: &str = include_str!("../../../docs/examples/kubernetes/first-gateway.yaml");
const PARAMETERS: &str = include_str!("../../../docs/examples/kubernetes/parameters.yaml");

/// The page: what was typed, and what was printed, with the names of this run replaced by those of every run.
struct Page<'a> {
    namespace: &'a Namespace,
    text: String,
    names: Vec<(String, &'static str)>,
}

impl Page<'_> {
    /// A paragraph, or several.
    fn say(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    /// Runs kubectl with these words until it prints what holds.
    async fn until(&mut self, command: &str, holds: impl Fn(&str) -> bool) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let printed = eventually(command, PATIENCE, || async {
            let printed = self.namespace.try_kubectl(&words).await?;
            holds(&printed).then_some(printed.clone()).ok_or(printed)
        })
        .await;
        self.show(&format!("kubectl {}", quoted(command)), &printed);
    }

    async fn run(&mut self, command: &str) {
        self.until(command, |_| true).await;
    }

    /// Applies a file of docs/examples/kubernetes as it is, but for the names of this run.
    async fn apply(&mut self, file: &str, text: &str) {
        let mut manifests = text.to_owned();
        for (here, always) in &self.names {
            manifests = manifests.replace(always, here);
        }
        let printed = self
            .namespace
            .try_apply(&manifests)
            .await
            .expect("accepted");
        self.show(&format!("kubectl apply -f {file}"), &printed);
    }

    async fn curl(&mut self, product: &Installation, hostname: &str) {
        product.served(&format!("https://{hostname}/")).await;
        let command = format!("curl -s -o /dev/null -w '%{{http_code}}\\n' https://{hostname}/");
        self.show(&command, "200\n");
    }

    fn show(&mut self, command: &str, printed: &str) {
        let mut printed = printed.to_owned();
        let mut command = command.to_owned();
        for (here, always) in &self.names {
            printed = printed.replace(here, always);
            command = command.replace(here, always);
        }
        let printed = aligned(&printed);
        self.text
            .push_str(&format!("\n```console\n$ {command}\n{printed}```\n"));
    }
}

/// Columns aligned anew, because names of another length stand in them, and each age the same.
fn aligned(printed: &str) -> String {
    let rows: Vec<Vec<String>> = printed
        .lines()
        .map(|line| {
            let cells = line.split("  ").map(str::trim);
            let cells = cells.filter(|cell| !cell.is_empty());
            cells
                .map(|cell| if is_age(cell) { "5s" } else { cell }.to_owned())
                .collect()
        })
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().enumerate();
        let cells = cells.map(|(column, cell)| format!("{cell:<0$}", width(column)));
        let line: Vec<String> = cells.collect();
        text.push_str(line.join("   ").trim_end());
        text.push('\n');
    }
    text
}

/// `5s`, `2m10s`, `3h`.
fn is_age(cell: &str) -> bool {
    let is_unit = |c: char| matches!(c, 's' | 'm' | 'h');
    cell.len() <= 8
        && cell.starts_with(|c: char| c.is_ascii_digit())
        && cell.ends_with(is_unit)
        && cell.chars().all(|c| c.is_ascii_digit() || is_unit(c))
}

/// A command as a shell takes it.
fn quoted(command: &str) -> String {
    let words = command.split(' ').map(|word| match word.split_once('=') {
        Some((flag, value)) if value.starts_with(['{', '[']) => format!("{flag}='{value}'"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

async fn tunnel(namespace: &Namespace) -> String {
    let gateway = namespace
        .get(&["gateway", "my-gateway"])
        .await
        .expect("a Gateway");
    let address = gateway["status"]["addresses"][0]["value"].as_str();
    let address = address.expect("an address");
    address.trim_end_matches(".cfargotunnel.com").to_owned()
}

/// What the cluster is known by: the uid of its namespace kube-system.
async fn instance(product: &Installation) -> String {
    let found = product.cluster.get(&["namespace", "kube-system"]).await;
    let found = found.expect("the namespace kube-system");
    found["metadata"]["uid"].as_str().expect("a uid").to_owned()
}

/// Pods that answer, behind Service `my-service`.
fn backend() -> String {
    include_str!("echo.yaml")
        .replace("{name: echo}", "{name: my-service}")
        .replace("{app: echo}", "{app: my-service}")
        .replace("port: 8080", "port: 80")
}

async fn first(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    page.say(include_str!("first_gateway/beginning.md"));
    page.apply("first-gateway.yaml", FIRST).await;
    page.run("wait --for=condition=Ready gateway/my-gateway --timeout=120s")
        .await;
    let id = tunnel(page.namespace).await;
    page.names
        .push((id, "4f23cf4b-a04f-4810-a7e5-7c6825739ea9"));
    product.served(&format!("https://{hostname}/")).await;
    page.until("get cgs", |text| text.contains("True")).await;
    page.until("get gateways", |text| text.contains("True"))
        .await;
    let both = |text: &str| text.contains("2/2");
    page.until(
        "get deployments -l gateway.networking.k8s.io/gateway-name",
        both,
    )
    .await;
    page.curl(product, hostname).await;
    page.say("What was made at Cloudflare is in the Events of the Gateway:");
    let made = "events --for gateway/my-gateway -o jsonpath={range..items[?(@.reason==\"EdgeChanged\")]}{.message}{\"\\n\"}{end}";
    page.until(made, |text| text.contains("made record")).await;
}

async fn parameters(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    page.say("## More control\n\nThis cluster has one node, in zone `us-east-1a`, and no VerticalPodAutoscaler. The former replicas stay until\nthe new ones are there.");
    page.apply("parameters.yaml", PARAMETERS).await;
    let one = |text: &str| text.contains("us-east-1c") && text.contains("1/1");
    page.until(
        "get deployments -l gateway.networking.k8s.io/gateway-name",
        one,
    )
    .await;
    let told = "get gateway my-gateway -o jsonpath={range.status.conditions[?(@.type==\"cloudflare-gateway-controller.io/Parameters\")]}{.status}{\"\\t\"}{.message}{\"\\n\"}{end}";
    page.until(told, |text| text.contains("VerticalPodAutoscaler"))
        .await;
    page.curl(product, hostname).await;
}

async fn day_to_day(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    const PREFIX: &str = "cloudflare-gateway-controller.io";
    page.say("## From day to day\n\nA new token for the tunnel:");
    page.run(&format!(
        "annotate gateway my-gateway gateways.{PREFIX}/rotateTokenRequestedAt=today"
    ))
    .await;
    let handled = "get cgs my-gateway -o jsonpath={.status.tunnel.token.rotation.lastHandledRotateAt}{\"\\n\"}";
    page.until(handled, |text| text.contains("today")).await;
    page.say("Nothing is written while a Gateway is suspended; requests are served on:");
    page.run(&format!(
        "annotate gateway my-gateway {PREFIX}/reconcile=disabled"
    ))
    .await;
    page.curl(product, hostname).await;
    page.run(&format!(
        "annotate --overwrite gateway my-gateway {PREFIX}/reconcile=enabled"
    ))
    .await;
}

async fn end(page: &mut Page<'_>, product: &Installation, hostname: &str) {
    page.say("## The end\n\nA hostname that is removed loses its record:");
    let patch = "patch httproute my-route --type=json -p=[{\"op\":\"remove\",\"path\":\"/spec/hostnames\"}]";
    page.run(patch).await;
    eventually("the record is gone", PATIENCE, || async {
        let left = product.records_of(hostname);
        (left == 0).then_some(()).ok_or(format!("{left} records"))
    })
    .await;
    page.say("Of a Gateway that is deleted nothing stays in the cluster or at Cloudflare:");
    page.run("delete gateway my-gateway").await;
    gone(product, page.namespace, hostname).await;
    page.until(
        "get cgs,deployments -l gateway.networking.k8s.io/gateway-name",
        str::is_empty,
    )
    .await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/run cluster"]
async fn the_page_of_the_first_gateway_is_what_happens() {
    let product = installation::quiet().await;
    let namespace = product.cluster.namespace("first").await;
    let name = namespace.name();
    let zone = "topology.kubernetes.io/zone=us-east-1a";
    product
        .cluster
        .kubectl(&["label", "--overwrite", "nodes", "--all", zone])
        .await;
    namespace.apply(&backend()).await;
    let hostname = format!("{name}.example.com");
    let secret = product.secret("any", name);
    let token = secret
        .split("CLOUDFLARE_API_TOKEN: ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let account = secret.split('"').nth(1);
    let mut page = Page {
        namespace: &namespace,
        text: String::new(),
        names: vec![
            (hostname.clone(), "app.example.com"),
            (format!("class-{name}"), "my-class"),
            (name.to_owned(), "default"),
            (
                instance(&product).await,
                "9c1f7a52-0c5e-4b0b-8f3e-2f1f8f0d6a11",
            ),
            (token.expect("a token").to_owned(), "your-api-token"),
            (account.expect("an account").to_owned(), "your-account-id"),
        ],
    };
    first(&mut page, &product, &hostname).await;
    day_to_day(&mut page, &product, &hostname).await;
    parameters(&mut page, &product, &hostname).await;
    end(&mut page, &product, &hostname).await;
    let class = format!("gatewayclass/class-{name}");
    product.cluster.kubectl(&["delete", &class]).await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/first-gateway.md");
    let text = page.text;
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).expect("a writable page");
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        written, text,
        "docs/first-gateway.md; UPDATE=1 writes it anew"
    );
}
