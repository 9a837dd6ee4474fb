//! How the records of a Gateway are treated.

use std::collections::BTreeMap;

use super::fixtures::*;
use super::tenants::{class_parameters, with_parameters};
use crate::attachment::{GatewayDefaults, resolve};
use crate::gateway::{
    Adoption, CONFIRM_REMOVAL, CONTROLLER_NAME, DriftPolicy, GatewayParameters, OWN_GROUP,
    PARAMETERS_KIND, RecordParameters, RecordSettings,
};
use crate::names::ZoneId;

fn saying(name: &str, drift: Option<DriftPolicy>) -> RecordParameters {
    RecordParameters {
        drift,
        zone_ids: Some(BTreeMap::from([(host(name), ZoneId::new(name))])),
        adopt: Some(BTreeMap::from([(host(name), Adoption::DryRun)])),
    }
}

fn settings(name: &str, drift: DriftPolicy) -> RecordSettings {
    let said = saying(name, None);
    RecordSettings {
        drift,
        zone_ids: said.zone_ids.unwrap(),
        adopt: said.adopt.unwrap(),
        confirmed_removal: Some("c0de".to_owned()),
    }
}

#[test]
fn who_owns_the_token_says_what_it_is_used_on_and_the_gateway_the_rest() {
    let own = |credentials: Option<&str>| GatewayParameters {
        credentials: credentials.map(|name| object("", "Secret", name)),
        records: saying("own.com", Some(DriftPolicy::Pause)),
        ..parameters()
    };
    let of_class = || GatewayParameters {
        records: saying("class.com", Some(DriftPolicy::Report)),
        ..class_parameters()
    };
    let table = [
        (
            "credentials of its own",
            Some(own(Some("shop/cf"))),
            "own.com",
            DriftPolicy::Pause,
            0,
        ),
        (
            "those of its class",
            Some(own(None)),
            "class.com",
            DriftPolicy::Pause,
            2,
        ),
        (
            "nothing of its own",
            None,
            "class.com",
            DriftPolicy::Report,
            0,
        ),
    ];
    for (given, own, name, drift, without_effect) in table {
        let mut gateway = gateway(EDGE).listening(https("web"));
        gateway.annotations = BTreeMap::from([(CONFIRM_REMOVAL.to_owned(), "c0de".to_owned())]);
        let mut cluster = with_parameters(of_class());
        if let Some(own) = own {
            gateway.parameters = Some(object(OWN_GROUP, PARAMETERS_KIND, "shop/p"));
            cluster = cluster.with(own);
        }
        let resolution = resolved(&cluster.with(gateway));
        let found = &resolution.gateway(EDGE).parameters;
        assert_eq!(found.records, settings(name, drift), "{given}");
        let fields = found
            .without_effect
            .iter()
            .map(|field_error| field_error.field.as_str());
        let fields = fields.filter(|field| field.starts_with("spec.dns"));
        assert_eq!(fields.count(), without_effect, "{given}");
    }
}

#[test]
fn a_code_that_is_too_long_to_be_one_confirms_nothing() {
    let mut gateway = gateway(EDGE).listening(https("web"));
    gateway.annotations = BTreeMap::from([(CONFIRM_REMOVAL.to_owned(), "c".repeat(65))]);
    let resolution = resolved(&cluster().with(gateway));
    let found = &resolution.gateway(EDGE).parameters.records;
    assert_eq!(found.confirmed_removal, None);
}

#[test]
fn what_is_said_about_the_token_has_no_effect_behind_a_broker_and_is_told() {
    let saying = || GatewayParameters {
        credentials: Some(object("", "Secret", "shop/cf")),
        records: saying("own.com", Some(DriftPolicy::Pause)),
        ..parameters()
    };
    let of_class = || GatewayParameters {
        records: saying().records,
        ..class_parameters()
    };
    for (is_behind_broker, told_of_gateway, told_of_class) in [(false, 0, 0), (true, 3, 2)] {
        let mut gateway = gateway(EDGE).listening(https("web"));
        gateway.parameters = Some(object(OWN_GROUP, PARAMETERS_KIND, "shop/p"));
        let cluster = with_parameters(of_class()).with(saying()).with(gateway);
        let defaults = GatewayDefaults {
            is_behind_broker,
            ..GatewayDefaults::default()
        };
        let resolution = resolve(&cluster, CONTROLLER_NAME, &defaults);
        let found = resolution.gateway(EDGE).parameters.without_effect.len();
        assert_eq!(found, told_of_gateway);
        let class = &resolution.classes["cloudflare"];
        assert_eq!(class.without_effect.len(), told_of_class, "{class:?}");
    }
}
