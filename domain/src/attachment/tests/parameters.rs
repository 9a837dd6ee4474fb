use super::fixtures::*;
use crate::attachment::{
    GatewayDefaults, all_credentials_references, credentials_reference, resolve,
};
use crate::gateway::{
    Autoscaling, CONTROLLER_NAME, DeletionPolicy, DnsPolicy, FieldErrorKind, Gateway,
    GatewayParameters, HorizontalAutoscaling, Json, OWN_GROUP, PARAMETERS_KIND, PatchOperation,
    Replica, Resources, RotationParameters,
};
use crate::report::{GatewayFacts, report};
use crate::rotation::Schedule;
use crate::snapshot::{ClusterSnapshot, Reading};
use crate::status::{ConditionType, Reason, Truth};
use crate::workload::{Replicas, WorkloadSpec, WorkloadStatus};

fn naming() -> Gateway {
    let target = object(OWN_GROUP, PARAMETERS_KIND, "shop/p");
    gateway(EDGE).listening(https("web")).parameters(target)
}

fn with(parameters: GatewayParameters) -> ClusterSnapshot {
    cluster().with(naming()).with(parameters)
}

fn flawed(field: &str, kind: FieldErrorKind) -> GatewayParameters {
    GatewayParameters {
        field_errors: vec![field_error(field, kind)],
        ..parameters()
    }
}

fn own_secret() -> GatewayParameters {
    GatewayParameters {
        credentials: Some(object("", "Secret", "shop/cf")),
        ..parameters()
    }
}

fn refusal(cluster: &ClusterSnapshot) -> Option<(Reason, String)> {
    let refusal = resolved(cluster).gateway(EDGE).refusal.clone();
    refusal.map(|refusal| (refusal.reason, refusal.message))
}

#[test]
fn parameters_refuse_a_gateway_only_where_they_are_missing_or_wrong() {
    let mut unread = cluster().with(naming());
    unread.parameters = Reading::Unknown("timeout".into());
    let mut unknown_kind = cluster().with(naming());
    unknown_kind.parameters = Reading::Absent;
    let mut in_part = cluster().with(naming());
    in_part.unreadable.nameless = Some("a.yaml is malformed".into());
    let invalid = |words: Words| Some((Reason::InvalidParameters, words));
    let table: Vec<(&str, ClusterSnapshot, Expected)> = vec![
        ("they say nothing", with(parameters()), None),
        (
            "they are not there",
            cluster().with(naming()),
            invalid(&[
                "Gateway shop/edge",
                "spec.infrastructure.parametersRef",
                "CloudflareGatewayParameters shop/p does not exist",
            ]),
        ),
        (
            "those of that name are in another namespace",
            with(GatewayParameters {
                key: key("infra/p"),
                ..parameters()
            }),
            invalid(&["shop/p does not exist"]),
        ),
        (
            "their kind is not installed",
            unknown_kind,
            invalid(&["install its CRD"]),
        ),
        (
            "they could not be read",
            unread,
            Some((Reason::Pending, &["shop/p", "timeout"])),
        ),
        (
            "they may be in what could not be read",
            in_part,
            Some((Reason::Pending, &["a.yaml"])),
        ),
        (
            "a field is wrong",
            with(flawed("spec.dns.zones[0].name", FieldErrorKind::Invalid)),
            invalid(&["shop/p", "spec.dns.zones[0].name"]),
        ),
        (
            "a field has no effect",
            with(flawed(
                "spec.tunnel.autoscaling",
                FieldErrorKind::Unsupported,
            )),
            None,
        ),
        (
            "they are named in another group",
            cluster().with(gateway(EDGE).listening(https("web")).parameters(object(
                "example.com",
                PARAMETERS_KIND,
                "shop/p",
            ))),
            invalid(&["spec.infrastructure.parametersRef", "is not served; name a"]),
        ),
        (
            "another kind of ours is named",
            cluster().with(gateway(EDGE).listening(https("web")).parameters(object(
                OWN_GROUP,
                "CloudflareGatewayStatus",
                "shop/p",
            ))),
            invalid(&["spec.infrastructure.parametersRef", "is not served; name a"]),
        ),
        ("their Secret is not read yet", with(own_secret()), None),
        (
            "their Secret is not there",
            with(own_secret()).secret_reading("shop/cf", Reading::Absent),
            invalid(&["spec.secretRef", "Secret shop/cf does not exist"]),
        ),
        (
            "their Secret has both keys",
            with(own_secret()).secret("shop/cf", &CREDENTIAL_KEYS),
            None,
        ),
    ];
    for (given, cluster, expected) in table {
        assert_verdict(given, refusal(&cluster), expected);
    }
}

#[test]
fn a_condition_says_whether_every_field_has_its_effect() {
    let plain = || cluster().with(gateway(EDGE).listening(https("web")));
    let table = [
        ("no parameters", plain(), None),
        (
            "all in force",
            with(parameters()),
            Some((Truth::True, Reason::Accepted, "shop/p is in force")),
        ),
        (
            "one without effect",
            with(flawed("spec.tunnel.patches", FieldErrorKind::Unsupported)),
            Some((
                Truth::False,
                Reason::UnsupportedValue,
                "spec.tunnel.patches",
            )),
        ),
        (
            "missing",
            cluster().with(naming()),
            Some((Truth::False, Reason::InvalidParameters, "does not exist")),
        ),
    ];
    for (given, cluster, expected) in table {
        let updates = report(&resolved(&cluster), &facts(GatewayFacts::default()));
        let conditions = parts_of(updates, "Gateway").remove(0).conditions;
        let mut conditions = conditions.into_iter();
        let told = conditions.find(|condition| condition.kind == ConditionType::Parameters);
        let verdict = told.as_ref().map(|told| (told.truth, told.reason));
        let as_expected = expected.map(|(truth, reason, _)| (truth, reason));
        assert_eq!(verdict, as_expected, "{given}: {told:?}");
        if let (Some(told), Some((_, _, word))) = (told, expected) {
            assert!(told.message.contains(word), "{given}: {}", told.message);
        }
    }
}

#[test]
fn dns_follows_the_parameters_and_else_the_default() {
    let zones = || DnsPolicy::Below(vec![host("example.com")]);
    let saying = |dns| {
        with(GatewayParameters {
            dns,
            ..parameters()
        })
    };
    let plain = || cluster().with(gateway(EDGE).listening(https("web")));
    let table = [
        ("nothing said", plain(), DnsPolicy::All, DnsPolicy::All),
        ("off by default", plain(), DnsPolicy::Off, DnsPolicy::Off),
        (
            "parameters without it",
            saying(None),
            DnsPolicy::Off,
            DnsPolicy::Off,
        ),
        (
            "zones",
            saying(Some(zones())),
            DnsPolicy::Off,
            DnsPolicy::Below(vec![host("example.com")]),
        ),
        (
            "on where the default is off",
            saying(Some(DnsPolicy::All)),
            DnsPolicy::Off,
            DnsPolicy::All,
        ),
        (
            "off where the default is on",
            saying(Some(DnsPolicy::Off)),
            DnsPolicy::All,
            DnsPolicy::Off,
        ),
    ];
    for (given, cluster, default, expected) in table {
        let defaults = GatewayDefaults {
            dns: default,
            ..GatewayDefaults::default()
        };
        let resolution = resolve(&cluster, CONTROLLER_NAME, &defaults);
        assert_eq!(resolution.gateway(EDGE).parameters.dns, expected, "{given}");
    }
}

#[test]
fn proxies_run_as_the_parameters_and_the_infrastructure_of_the_gateway_say() {
    let east = Replica {
        name: "east".into(),
        zone: Some("us-east-1a".into()),
        ..Replica::default()
    };
    let resources = Resources {
        requests: [("cpu".to_owned(), "1".to_owned())].into(),
        limits: [].into(),
    };
    let mut labelled = gateway(EDGE).listening(https("web"));
    let label = ("team".to_owned(), "shop".to_owned());
    labelled.infrastructure.labels.extend([label.clone()]);
    let default = || WorkloadSpec {
        class: "cloudflare".to_owned(),
        ..WorkloadSpec::default()
    };
    let table: Vec<(&str, ClusterSnapshot, WorkloadSpec)> = vec![
        (
            "nothing said: two alike",
            with(parameters()),
            WorkloadSpec {
                replicas: Replicas::Alike(2),
                ..default()
            },
        ),
        (
            "a name",
            with(GatewayParameters {
                replicas: Some(vec![east.clone()]),
                ..parameters()
            }),
            WorkloadSpec {
                replicas: Replicas::Named(vec![east]),
                ..default()
            },
        ),
        (
            "no replica wanted",
            with(GatewayParameters {
                replicas: Some(vec![]),
                ..parameters()
            }),
            WorkloadSpec {
                replicas: Replicas::Named(vec![]),
                ..default()
            },
        ),
        (
            "resources replace all of the default's",
            with(GatewayParameters {
                resources: Some(resources.clone()),
                min_ready_seconds: Some(5),
                ..parameters()
            }),
            WorkloadSpec {
                resources,
                min_ready_seconds: 5,
                ..default()
            },
        ),
        ("a label", cluster().with(labelled), {
            let mut spec = default();
            spec.infrastructure.labels.extend([label]);
            spec
        }),
    ];
    for (given, cluster, expected) in table {
        let resolution = resolved(&cluster);
        let found = &resolution.gateway(EDGE).parameters.workload;
        assert_eq!(found, &expected, "{given}");
    }
}

#[test]
fn what_a_gateway_does_not_say_of_its_tunnel_is_taken_from_its_class() {
    let text = |text: &str| Some(text.to_owned());
    let mut of_class = parameters();
    of_class.key = key("infra/of-class");
    of_class.tunnel.settings.protocol = text("quic");
    of_class.tunnel.settings.log_level = text("debug");
    of_class.tunnel.pods.priority_class = text("high");
    let mut own = parameters();
    own.tunnel.settings.protocol = text("http2");
    let class = class().credentials(object(OWN_GROUP, PARAMETERS_KIND, "infra/of-class"));
    let cluster = empty_cluster()
        .with(class)
        .with(naming())
        .with(own)
        .with(of_class);
    let resolution = resolved(&cluster);
    let found = &resolution.gateway(EDGE).parameters.workload.tunnel;
    assert_eq!(found.settings.protocol, text("http2"));
    assert_eq!(found.settings.log_level, text("debug"));
    assert_eq!(found.pods.priority_class, text("high"));
}

#[test]
fn a_token_is_replaced_by_the_schedule_of_the_gateway_or_its_class_or_the_default() {
    let schedule = |cron| Schedule::parse(cron, None).unwrap();
    let said = |is_enabled, cron: Option<_>| RotationParameters {
        is_enabled,
        schedule: cron.map(schedule),
    };
    let nothing = || said(None, None);
    for (own, of_class, expected) in [
        (nothing(), nothing(), Some(Schedule::default())),
        (
            nothing(),
            said(None, Some("@daily")),
            Some(schedule("@daily")),
        ),
        (
            said(Some(true), None),
            said(Some(false), Some("@daily")),
            Some(schedule("@daily")),
        ),
        (
            said(None, Some("@hourly")),
            said(None, Some("@daily")),
            Some(schedule("@hourly")),
        ),
        (said(None, Some("@hourly")), said(Some(false), None), None),
        (
            said(Some(false), None),
            said(Some(true), Some("@daily")),
            None,
        ),
    ] {
        let shown = format!("{own:?} {of_class:?}");
        let of_class = GatewayParameters {
            key: key("infra/of-class"),
            rotation: of_class,
            ..parameters()
        };
        let own = GatewayParameters {
            rotation: own,
            ..parameters()
        };
        let class = class().credentials(object(OWN_GROUP, PARAMETERS_KIND, "infra/of-class"));
        let cluster = empty_cluster().with(class).with(naming());
        let resolution = resolved(&cluster.with(own).with(of_class));
        let found = &resolution.gateway(EDGE).parameters.rotation;
        assert_eq!(found.schedule, expected, "{shown}");
    }
}

#[test]
fn what_becomes_of_a_gateway_that_goes_is_unknown_while_its_parameters_or_its_class_are() {
    let said = |said| GatewayParameters {
        deletion_policy: said,
        ..parameters()
    };
    let refused_class = || {
        let class = class().credentials(object("", "Secret", "infra/cf"));
        let cluster = empty_cluster().with(class);
        cluster.secret_reading("infra/cf", Reading::Absent)
    };
    let (delete, orphan) = (DeletionPolicy::Delete, DeletionPolicy::Orphan);
    for (given, cluster, expected) in [
        ("neither", with(said(None)), Some(delete)),
        ("it is said", with(said(Some(orphan))), Some(orphan)),
        ("no parameters", cluster().with(naming()), None),
        ("no class", refused_class().with(gateway(EDGE)), None),
    ] {
        let resolution = resolved(&cluster);
        let found = resolution.gateway(EDGE).parameters.deletion_policy;
        assert_eq!(found, expected, "{given}");
    }
}

#[test]
fn the_number_of_named_replicas_follows_nothing() {
    let mut own = parameters();
    own.replicas = Some(vec![Replica::default()]);
    own.tunnel.autoscaling = Some(Autoscaling {
        vertical: None,
        horizontal: Some(HorizontalAutoscaling {
            min_replicas: 1,
            max_replicas: 2,
            target_in_flight: 3,
        }),
    });
    let resolution = resolved(&with(own));
    let found = &resolution.gateway(EDGE).parameters;
    let field = "spec.tunnel.autoscaling.horizontal";
    assert_eq!(found.without_effect[0].field, field);
    let autoscaling = found.workload.tunnel.autoscaling.as_ref().unwrap();
    assert_eq!(autoscaling.horizontal, None);
}

#[test]
fn the_condition_says_what_the_cluster_made_of_the_parameters() {
    let told = |field: &str, kind| Some(vec![field_error(field, kind)]);
    let patching = || {
        let mut own = parameters();
        own.tunnel.patches = Some(vec![PatchOperation {
            op: "remove".to_owned(),
            path: "/spec".to_owned(),
            json: Json::new("{}"),
        }]);
        own
    };
    let (field, wrong) = ("spec.tunnel.patches[0]", FieldErrorKind::Invalid);
    let table = [
        (
            "nothing to do",
            parameters(),
            None,
            (Truth::True, Reason::Accepted),
        ),
        (
            "not done yet",
            patching(),
            None,
            (Truth::Unknown, Reason::Pending),
        ),
        (
            "done",
            patching(),
            Some(vec![]),
            (Truth::True, Reason::Accepted),
        ),
        (
            "an operation that fails",
            patching(),
            told(field, wrong),
            (Truth::False, Reason::InvalidParameters),
        ),
        (
            "a kind that is not there",
            parameters(),
            told("spec.tunnel.autoscaling", FieldErrorKind::Unsupported),
            (Truth::False, Reason::UnsupportedValue),
        ),
    ];
    for (given, own, carried_out, expected) in table {
        let facts = facts(GatewayFacts {
            workload: WorkloadStatus {
                parameters: carried_out.clone(),
                ..WorkloadStatus::default()
            },
            ..GatewayFacts::default()
        });
        let updates = report(&resolved(&with(own)), &facts);
        let conditions = parts_of(updates, "Gateway").remove(0).conditions;
        let found = condition(&conditions, ConditionType::Parameters);
        assert_eq!((found.truth, found.reason), expected, "{given}");
        for field_error in carried_out.iter().flatten() {
            assert!(found.message.contains(&field_error.field), "{given}");
        }
    }
}

#[test]
fn credentials_of_the_parameters_come_before_those_of_the_class() {
    let class = class().credentials(object("", "Secret", "infra/cf"));
    let of_class = object("", "Secret", "infra/cf");
    let own = object("", "Secret", "shop/cf");
    let both = empty_cluster()
        .with(class.clone())
        .with(naming())
        .with(own_secret());
    assert_eq!(credentials_reference(&both, &key(EDGE)), Ok(own.clone()));
    let followed = resolved(&both).referenced_secrets();
    assert_eq!(followed, [of_class.clone(), own.clone()].into());
    let all = all_credentials_references(&both, CONTROLLER_NAME);
    assert_eq!(all, [of_class.clone(), own].into());

    let silent = empty_cluster()
        .with(class.clone())
        .with(naming())
        .with(parameters());
    assert_eq!(credentials_reference(&silent, &key(EDGE)), Ok(of_class));

    // The class's account may be another one: nothing is done with it on a guess.
    let missing = empty_cluster().with(class).with(naming());
    let field_error = credentials_reference(&missing, &key(EDGE)).expect_err("nothing to go by");
    assert_eq!(field_error.field, "spec.infrastructure.parametersRef");
}
