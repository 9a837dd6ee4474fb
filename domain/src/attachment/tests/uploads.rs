//! Which certificates of a Gateway's listeners are uploaded, by whoever owns the account.

use super::fixtures::*;
use super::tenants::{class_parameters, shared_gateway, tenant, with_parameters};
use crate::attachment::{GatewayDefaults, ParametersResolution, Uploads, resolve};
use crate::gateway::{
    CONTROLLER_NAME, DnsPolicy, GatewayParameters, OWN_GROUP, PARAMETERS_KIND, Tenant,
};

/// What follows for a Gateway with these parameters; `permitted`: the class has an entry for it, which permits uploads or
/// does not.
fn found(
    own: GatewayParameters,
    permitted: Option<bool>,
    defaults: &GatewayDefaults,
) -> ParametersResolution {
    let tenants = permitted.map(|may_upload_certificates| {
        vec![Tenant {
            may_upload_certificates,
            ..tenant(None)
        }]
    });
    let of_class = GatewayParameters {
        tenants,
        ..class_parameters()
    };
    let target = object(OWN_GROUP, PARAMETERS_KIND, "shop/p");
    let named = shared_gateway().parameters(target);
    let cluster = with_parameters(of_class).with(named).with(own);
    let resolution = resolve(&cluster, CONTROLLER_NAME, defaults);
    resolution.gateway(EDGE).parameters.clone()
}

#[test]
fn certificates_are_uploaded_where_whoever_owns_the_account_permits_it() {
    struct Case {
        given: &'static str,
        asked: Option<bool>,
        own_account: bool,
        by_default: bool,
        tenant: Option<bool>,
        uploaded: bool,
    }
    let case = |given, asked, own_account, by_default, tenant, uploaded| Case {
        given,
        asked,
        own_account,
        by_default,
        tenant,
        uploaded,
    };
    let table = [
        case("nothing said", None, false, false, None, false),
        case("the default is on", None, false, true, None, true),
        case("the Gateway says no", Some(false), false, true, None, false),
        case(
            "the class's account, asked for",
            Some(true),
            false,
            false,
            None,
            false,
        ),
        case(
            "the class's account, permitted",
            Some(true),
            false,
            true,
            None,
            true,
        ),
        case("its own account", Some(true), true, false, None, true),
        case(
            "an entry without a word",
            Some(true),
            false,
            true,
            Some(false),
            false,
        ),
        case(
            "its own account, denied",
            Some(true),
            true,
            true,
            Some(false),
            false,
        ),
        case(
            "an entry permits it",
            Some(true),
            false,
            false,
            Some(true),
            true,
        ),
        case(
            "permitted, not asked for",
            None,
            false,
            false,
            Some(true),
            false,
        ),
        case(
            "permitted, and the default",
            None,
            false,
            true,
            Some(true),
            true,
        ),
    ];
    for case in table {
        let own = GatewayParameters {
            upload_certificates: case.asked,
            credentials: case.own_account.then(|| object("", "Secret", "shop/cf")),
            ..parameters()
        };
        let defaults = GatewayDefaults {
            upload_certificates: case.by_default,
            ..GatewayDefaults::default()
        };
        let found = found(own, case.tenant, &defaults);
        let uploads = match case.uploaded {
            true => Uploads::NamesHeld,
            false => Uploads::None,
        };
        assert_eq!(found.uploads, uploads, "{}", case.given);
        let told: Vec<&str> = found
            .without_effect
            .iter()
            .map(|field_error| field_error.field.as_str())
            .collect();
        let refused = case.asked == Some(true) && !case.uploaded;
        let expected: &[&str] = match refused {
            true => &["spec.certificates.upload"],
            false => &[],
        };
        assert_eq!(told, expected, "{}", case.given);
    }
}

#[test]
fn uploads_are_for_any_name_where_the_operator_makes_the_records() {
    use DnsPolicy::{All, Off};
    let (open, entry) = (None, Some(true));
    let table = [
        (
            "records are made by us",
            All,
            None,
            true,
            open,
            Uploads::NamesHeld,
        ),
        ("by the operator", Off, None, true, open, Uploads::AnyName),
        (
            "for this Gateway by us",
            Off,
            Some(All),
            true,
            open,
            Uploads::NamesHeld,
        ),
        (
            "for this Gateway alone not by us",
            All,
            Some(Off),
            true,
            open,
            Uploads::NamesHeld,
        ),
        ("uploads are off", Off, None, false, open, Uploads::None),
        (
            "the class has tenants",
            Off,
            None,
            true,
            entry,
            Uploads::NamesHeld,
        ),
    ];
    for (given, dns, own_dns, upload_certificates, tenant, expected) in table {
        let own = GatewayParameters {
            dns: own_dns,
            ..parameters()
        };
        let defaults = GatewayDefaults {
            dns,
            upload_certificates,
            ..GatewayDefaults::default()
        };
        let found = found(own, tenant, &defaults);
        assert_eq!(found.uploads, expected, "{given}");
    }
}
