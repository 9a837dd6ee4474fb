//! The table of docs/faults.md: one thing after another is broken, and what `explain` and `check` say of it.

use std::collections::BTreeSet;
use std::path::Path;

use cfgwctl::check;
use cfgwctl::explain::question::Question;
use cfgwctl::explain::reading;
use cfgwctl::explain::way::explain;
use cfgwctl::screen::Tone;
use serde_json::{Value, json};

use crate::cluster;
use crate::explaining::{CART, FAULTS, Objects, credentials, objects, of, told};

/// A cluster in which all is right.
struct World {
    objects: Objects,
    /// Plurals that the API server refuses.
    refused: Vec<&'static str>,
    may_all: bool,
}

fn world() -> World {
    let mut all = objects();
    of(&mut all, "gatewayclasses")["status"] = json!({ "conditions": [
        { "type": "Accepted", "status": "True", "reason": "Accepted", "message": "" },
    ]});
    all.push(("secrets", credentials()));
    all.push(("cloudflaregatewaystatuses", told()));
    all.push(("deployments", deployment("cfgw", &json!([]))));
    all.push(("leases", lease("cfgw-7d9c", "2999-01-01T00:00:00.000000Z")));
    all.push(("customresourcedefinitions", bundle("v1.6.1")));
    // Objects that nothing refers to, so that their kinds are there.
    for (plural, version, kind) in [
        ("gateways", "gateway.networking.k8s.io/v1", "Gateway"),
        ("grpcroutes", "gateway.networking.k8s.io/v1", "GRPCRoute"),
        (
            "listenersets",
            "gateway.networking.k8s.io/v1",
            "ListenerSet",
        ),
        (
            "backendtlspolicies",
            "gateway.networking.k8s.io/v1",
            "BackendTLSPolicy",
        ),
        (
            "referencegrants",
            "gateway.networking.k8s.io/v1",
            "ReferenceGrant",
        ),
        (
            "cloudflaregatewayparameters",
            "cloudflare-gateway-controller.io/v1",
            "CloudflareGatewayParameters",
        ),
    ] {
        let metadata = json!({ "namespace": "elsewhere", "name": "any" });
        all.push((
            plural,
            json!({
                "apiVersion": version, "kind": kind, "metadata": metadata,
                "spec": { "gatewayClassName": "other", "listeners": [] },
            }),
        ));
    }
    World {
        objects: all,
        refused: Vec::new(),
        may_all: true,
    }
}

fn deployment(name: &str, environment: &Value) -> Value {
    json!({
        "metadata": { "namespace": "cfgw-system", "name": name },
        "spec": { "replicas": 1, "template": { "spec": { "containers": [{ "env": environment }] } } },
        "status": { "readyReplicas": 1 },
    })
}

fn lease(holder: &str, renewed: &str) -> Value {
    json!({
        "metadata": { "namespace": "cfgw-system", "name": "cfgw" },
        "spec": { "holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15 },
    })
}

fn bundle(version: &str) -> Value {
    json!({ "metadata": {
        "name": "gateways.gateway.networking.k8s.io",
        "annotations": { "gateway.networking.k8s.io/bundle-version": version },
    }})
}

fn class_says(world: &mut World, reason: &str, message: &str) {
    let status = match reason {
        "Pending" => "Unknown",
        _ => "False",
    };
    of(&mut world.objects, "gatewayclasses")["status"]["conditions"][0] = json!({
        "type": "Accepted", "status": status, "reason": reason, "message": message,
    });
}

fn record_says(world: &mut World, reason: &str, message: &str) {
    of(&mut world.objects, "cloudflaregatewaystatuses")["status"]["hostnames"][0] = json!({
        "name": "app.example.com", "status": "False", "reason": reason, "message": message,
    });
}

fn without(world: &mut World, gone: &str) {
    world.objects.retain(|(plural, _)| *plural != gone);
}

type BreakWorld = fn(&mut World);

/// What is broken besides the objects of users.
const OF_CLUSTERS: &[(&str, BreakWorld)] = &[
    ("no controller is installed", |world| {
        without(world, "deployments");
        without(world, "leases");
    }),
    ("the controller has no ready replica", |world| {
        of(&mut world.objects, "deployments")["status"]["readyReplicas"] = 0.into();
    }),
    ("two controllers are installed", |world| {
        world
            .objects
            .push(("deployments", deployment("other", &json!([]))));
    }),
    ("no controller leads", |world| without(world, "leases")),
    ("the Lease is out of date", |world| {
        *of(&mut world.objects, "leases") = lease("cfgw-7d9c", "1994-11-06T08:49:30.000000Z");
    }),
    ("the Lease was given away", |world| {
        *of(&mut world.objects, "leases") = lease("", "2999-01-01T00:00:00.000000Z");
    }),
    ("the GatewayClass is refused", |world| {
        let message = "GatewayClass cloudflare: spec.parametersRef: Secret default/credentials does not exist; create it";
        class_says(world, "InvalidParameters", message);
    }),
    ("nobody has answered the GatewayClass", |world| {
        class_says(world, "Pending", "Waiting for controller");
    }),
    ("the Gateway API is too old", |world| {
        *of(&mut world.objects, "customresourcedefinitions") = bundle("v1.0.0");
    }),
    ("the CRD of HTTPRoutes is not there", |world| {
        without(world, "httproutes");
    }),
    ("you may not do what commands need", |world| {
        world.may_all = false;
    }),
    ("you may not read Gateways", |world| {
        world.refused.push("gateways");
    }),
    ("you may not read Services", |world| {
        world.refused.push("services");
    }),
    ("you may not read Deployments", |world| {
        world.refused.push("deployments");
    }),
    ("no zone covers the hostname", |world| {
        record_says(
            world,
            "NoZone",
            "no zone of the account covers app.example.com; add the zone to the account",
        );
    }),
    ("another record has the hostname", |world| {
        record_says(
            world,
            "Conflict",
            "app.example.com has a record that is not ours (A record 192.0.2.1); remove it",
        );
    }),
    ("no proxy of the Gateway is ready", |world| {
        of(&mut world.objects, "cloudflaregatewaystatuses")["status"]["conditions"][0] = json!({
            "type": "Programmed", "status": "False", "reason": "Pending",
            "message": "Deployment default/gateway-web: no replica is ready",
        });
    }),
    ("the credentials have no API token", |world| {
        let secret = of(&mut world.objects, "secrets");
        secret["data"] = json!({ "CLOUDFLARE_ACCOUNT_ID": "YQ==" });
    }),
    ("the Secret of the credentials is not there", |world| {
        without(world, "secrets");
    }),
    ("the controller makes no records by default", |world| {
        let environment = json!([{ "name": "CFGW_DEFAULTS__DNS", "value": "false" }]);
        *of(&mut world.objects, "deployments") = deployment("cfgw", &environment);
    }),
];

/// What both commands say of a world: the obstacle and the notes, and what `check` finds that is not good.
async fn said(world: World, request: &str) -> (Vec<String>, BTreeSet<String>) {
    let (server, cluster) = cluster().await;
    // That of another controller stays.
    server.delete("gatewayclasses", "", "cloudflare");
    for (plural, object) in world.objects {
        if object.is_object() {
            server.put(plural, object);
        }
    }
    world
        .refused
        .iter()
        .for_each(|plural| server.refuse(plural, 403));
    if !world.may_all {
        server.review(json!({ "authenticated": false }));
    }
    let explained = match reading::of_cluster(&cluster).await {
        Ok(known) => {
            let question = Question::parse(request, "GET", &[]).expect("a request");
            let explanation = explain(&question, &known);
            let obstacle = explanation.obstacle.into_iter();
            let notes = explanation.notes.into_iter();
            obstacle
                .chain(notes.map(|note| format!("note: {note}")))
                .collect()
        }
        Err(failure) => vec![failure.to_string()],
    };
    let now = jiff::Timestamp::now().as_second();
    let findings = check::of_cluster(&cluster, now).await.expect("an answer");
    let bad = findings.into_iter().filter(|it| it.tone != Tone::Good);
    let bad = bad.map(|it| format!("{}: {}", it.what, it.told));
    (explained, bad.collect())
}

fn cell(said: &[String]) -> String {
    if said.is_empty() {
        return "–".to_owned();
    }
    let said = said.join("<br>").replace('|', "\\|");
    // What this API server says in place of a real one's words.
    let said = said.replace("as this test wants it", "User \"jane\" cannot list them");
    let said = said.replace("(Refused)", "(Forbidden)");
    match said
        .split_once(" renewed it ")
        .map(|(before, after)| (before, after.split_once(" s ago")))
    {
        Some((before, Some((_, after)))) => format!("{before} renewed it 47 s ago{after}"),
        _ => said,
    }
}

#[tokio::test]
async fn the_table_of_faults_is_what_the_commands_say() {
    let (explained, found) = said(world(), CART).await;
    assert_eq!(explained, [""; 0]);
    assert_eq!(found, BTreeSet::new());
    let mut rows = String::new();
    let mut count = 0;
    let mut silent = Vec::new();
    let of_objects = FAULTS.iter().filter(|(given, request, _)| {
        // The file mode alone can have it.
        let of_files = given.contains("file");
        *given != "nothing is broken" && !of_files && *request != "app.example.com/old"
    });
    let of_objects = of_objects.map(|(given, request, broken)| {
        let mut world = world();
        broken(&mut world.objects);
        (*given, *request, world)
    });
    let of_clusters = OF_CLUSTERS.iter().map(|(given, broken)| {
        let mut world = world();
        broken(&mut world);
        (*given, CART, world)
    });
    for (given, request, world) in of_objects.chain(of_clusters) {
        let (explained, found) = said(world, request).await;
        let found: Vec<String> = found.into_iter().collect();
        if explained.is_empty() && found.is_empty() {
            silent.push(given);
        }
        rows.push_str(&format!(
            "| {given} | {} | {} |\n",
            cell(&explained),
            cell(&found)
        ));
        count += 1;
    }
    assert!(count >= 40, "{count}");
    assert_eq!(silent, [""; 0], "every fault is told of by one of them");
    let text = format!("{HEAD}{rows}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).expect("the file can be written");
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, written, "docs/faults.md: look at it after UPDATE=1");
}

const HEAD: &str = "\
# What the commands say of a fault

One thing of a cluster that serves `https://app.example.com/cart` is broken in each row. `explain` is asked for that request,
or for one that the fault is about; `check` for the cluster. `–`: nothing is in the way, or all is as it should be. A test
writes this table and compares it; see [cfgwctl.md](cfgwctl.md) for the commands.

| what is broken | what `explain` says | what `check` says |
|---|---|---|
";
