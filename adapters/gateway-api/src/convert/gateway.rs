//! Gateway, and listeners as it and ListenerSets have them.

use domain::gateway::{
    AllowedKind, AllowedNamespaces, FieldError, GATEWAY_GROUP, Gateway, GatewayPart,
    Infrastructure, LabelSelector, Listener, ListenerTls, Protocol, RouteKind, SelectorRule,
};
use domain::{ObjectKey, ObjectRef};

use super::addresses::{self, ADDRESSES};
use super::{filters, frontend, references, text};
use crate::error::ReadError;
use crate::fields::{Fields, is_within};
use crate::metadata::Header;
use crate::types::{
    self, GatewaySpec, GatewayTLSConfig, LabelSelectorRequirement, ListenerTLSConfig,
    LocalParametersReference, RouteGroupKind, RouteNamespaces,
};

pub(crate) fn read(header: &Header, fields: &Fields) -> Result<Gateway, ReadError> {
    let spec: GatewaySpec = fields.read("spec")?;
    if spec.gateway_class_name.is_empty() {
        let message = "it is missing, so the Gateway belongs to no controller; name a GatewayClass";
        return Err(fields.error("spec.gatewayClassName", message.to_owned()));
    }
    let key = header.key();
    if !matches!(spec.default_scope.as_deref(), None | Some("" | "None")) {
        let message = "Gateways are not chosen by default; remove it, and name the Gateway in spec.parentRefs of routes";
        fields.unsupported("spec.defaultScope", message);
    }
    let listeners = listeners(fields, &spec.listeners, &key);
    let allowed = spec.allowed_listeners.unwrap_or_default().namespaces;
    let allowed_listeners = namespaces(fields, ALLOWED_LISTENERS, allowed.as_ref(), "None");
    let infrastructure = spec.infrastructure.unwrap_or_default();
    let parameters = infrastructure.parameters_ref.as_ref();
    let parameters = parameters.map(|parameters| own_parameters(fields, parameters, &key));
    let mut gateway = Gateway {
        generation: header.metadata.generation,
        created: header.created(fields)?,
        deleting: header.is_deleting(),
        class: spec.gateway_class_name,
        listeners,
        allowed_listeners,
        parameters,
        addresses: addresses::read(fields, &spec.addresses),
        infrastructure: Infrastructure {
            labels: infrastructure.labels,
            annotations: infrastructure.annotations,
        },
        client_certificate: client_certificate(fields, spec.tls.as_ref(), &key),
        frontend: spec
            .tls
            .as_ref()
            .and_then(|tls| tls.frontend.as_ref())
            .map(|written| frontend::read(fields, written, &key)),
        annotations: header.annotations(),
        field_errors: Vec::new(),
        key,
    };
    let rest = hand_out_field_errors(&mut gateway.listeners, fields);
    gateway.field_errors = rest.into_iter().map(|it| (part_of(&it), it)).collect();
    Ok(gateway)
}

/// `spec.listeners` of a Gateway or of a ListenerSet.
pub(super) fn listeners(
    fields: &Fields,
    written: &[types::Listener],
    own: &ObjectKey,
) -> Vec<Listener> {
    let listeners = written.iter().enumerate();
    listeners
        .map(|(index, written)| listener(fields, &listener_field(index), written, own))
        .collect()
}

fn client_certificate(
    fields: &Fields,
    written: Option<&GatewayTLSConfig>,
    own: &ObjectKey,
) -> Option<ObjectRef> {
    let written = written?.backend.as_ref()?.client_certificate_ref.as_ref()?;
    let field = "spec.tls.backend.clientCertificateRef.name";
    fields.required(field, &written.name);
    Some(references::target(
        written.group.as_deref(),
        written.kind.as_deref(),
        (written.namespace.as_deref(), &written.name),
        ("", "Secret"),
        &own.namespace,
    ))
}

fn listener_field(index: usize) -> String {
    format!("spec.listeners[{index}]")
}

const ALLOWED_LISTENERS: &str = "spec.allowedListeners.namespaces";
const PARAMETERS_REF: &str = "spec.infrastructure.parametersRef";

/// Gives each listener its own field errors, and the rest back.
pub(super) fn hand_out_field_errors(
    listeners: &mut [Listener],
    fields: &Fields,
) -> Vec<FieldError> {
    let mut rest = Vec::new();
    for field_error in fields.field_errors() {
        let mut listeners = listeners.iter_mut().enumerate();
        let owner =
            listeners.find(|(index, _)| is_within(&field_error.field, &listener_field(*index)));
        match owner {
            Some((index, listener)) => {
                let part = part_of_listener(&field_error, &listener_field(index));
                listener.field_errors.push((part, field_error));
            }
            None => rest.push(field_error),
        }
    }
    rest
}

fn part_of_listener(field_error: &FieldError, listener: &str) -> GatewayPart {
    let is_of = |member: &str| is_within(&field_error.field, &format!("{listener}.{member}"));
    if is_of("hostname") {
        GatewayPart::ListenerHostname
    } else if is_of("filters") {
        GatewayPart::ListenerFilters
    } else {
        GatewayPart::Other
    }
}

/// The part of the Gateway that a field error is in which no listener has.
fn part_of(field_error: &FieldError) -> GatewayPart {
    match field_error.field.as_str() {
        field if is_within(field, ADDRESSES) => GatewayPart::Addresses,
        field if is_within(field, PARAMETERS_REF) => GatewayPart::ParametersRef,
        _ => GatewayPart::Other,
    }
}

fn own_parameters(
    fields: &Fields,
    written: &LocalParametersReference,
    own: &ObjectKey,
) -> ObjectRef {
    fields.required(format!("{PARAMETERS_REF}.kind"), &written.kind);
    fields.required(format!("{PARAMETERS_REF}.name"), &written.name);
    ObjectRef {
        group: written.group.clone(),
        kind: written.kind.clone(),
        key: ObjectKey::new(&own.namespace, &written.name),
    }
}

fn listener(fields: &Fields, field: &str, written: &types::Listener, own: &ObjectKey) -> Listener {
    fields.required(format!("{field}.name"), &written.name);
    fields.required(format!("{field}.protocol"), &written.protocol);
    let allowed = written.allowed_routes.clone().unwrap_or_default();
    let tls = written.tls.as_ref();
    Listener {
        name: written.name.clone(),
        hostname: text::hostname(
            fields,
            format!("{field}.hostname"),
            written.hostname.as_deref(),
        ),
        port: fields
            .port(format!("{field}.port"), written.port)
            .unwrap_or(0),
        protocol: match written.protocol.as_str() {
            "HTTP" => Protocol::Http,
            "HTTPS" => Protocol::Https,
            other => Protocol::Other(other.to_owned()),
        },
        tls: tls.map(|tls| listener_tls(fields, &format!("{field}.tls"), tls, own)),
        namespaces: namespaces(
            fields,
            &format!("{field}.allowedRoutes.namespaces"),
            allowed.namespaces.as_ref(),
            "Same",
        ),
        kinds: allowed.kinds.iter().map(allowed_kind).collect(),
        filters: match &written.filters {
            Some(written) => filters::of_listener(fields, field, &written.requests, own),
            None => Vec::new(),
        },
        field_errors: Vec::new(),
    }
}

fn listener_tls(
    fields: &Fields,
    field: &str,
    written: &ListenerTLSConfig,
    own: &ObjectKey,
) -> ListenerTls {
    let mode = written.mode.as_deref().unwrap_or("Terminate");
    match mode {
        "Terminate" => {}
        "Passthrough" => fields.unsupported(
            format!("{field}.mode"),
            "Unsupported value: Passthrough: Cloudflare's edge terminates TLS; write Terminate",
        ),
        other => fields.invalid(
            format!("{field}.mode"),
            format!("Unsupported value: {other:?}: write Terminate"),
        ),
    }
    let certificates = written.certificate_refs.iter().enumerate();
    let certificates = certificates.map(|(index, certificate)| {
        fields.required(
            format!("{field}.certificateRefs[{index}].name"),
            &certificate.name,
        );
        references::target(
            certificate.group.as_deref(),
            certificate.kind.as_deref(),
            (certificate.namespace.as_deref(), &certificate.name),
            ("", "Secret"),
            &own.namespace,
        )
    });
    ListenerTls {
        terminates: mode == "Terminate",
        certificates: certificates.collect(),
    }
}

fn allowed_kind(written: &RouteGroupKind) -> AllowedKind {
    let group = written.group.as_deref().unwrap_or(GATEWAY_GROUP);
    match RouteKind::named(&written.kind) {
        Some(kind) if group == GATEWAY_GROUP => AllowedKind::Route(kind),
        _ => AllowedKind::Other(format!("{group}/{}", written.kind)),
    }
}

/// What is noted as a field error admits nobody: the narrowest reading is the safe one. `default` is what holds where
/// `from` is not written.
fn namespaces(
    fields: &Fields,
    field: &str,
    written: Option<&RouteNamespaces>,
    default: &str,
) -> AllowedNamespaces {
    let from = written.and_then(|it| it.from.as_deref()).unwrap_or(default);
    let selector = written.and_then(|it| it.selector.as_ref());
    match (from, selector) {
        ("Same", _) => AllowedNamespaces::Same,
        ("All", _) => AllowedNamespaces::All,
        ("None", _) => AllowedNamespaces::None,
        ("Selector", Some(written)) => {
            label_selector(fields, &format!("{field}.selector"), written)
                .map_or(AllowedNamespaces::None, AllowedNamespaces::Selector)
        }
        ("Selector", None) => {
            fields.invalid(
                format!("{field}.selector"),
                "Required value: `from` is Selector; write a selector",
            );
            AllowedNamespaces::None
        }
        (other, _) => {
            fields.invalid(
                format!("{field}.from"),
                format!("{other:?} is not known; write Same, All, Selector or None"),
            );
            AllowedNamespaces::None
        }
    }
}

pub(super) fn label_selector(
    fields: &Fields,
    field: &str,
    written: &types::LabelSelector,
) -> Option<LabelSelector> {
    let labels = written
        .match_labels
        .iter()
        .map(|(key, value)| Some(SelectorRule::In(key.clone(), vec![value.clone()])));
    let expressions = written.match_expressions.iter().enumerate();
    let expressions = expressions.map(|(index, requirement)| {
        let field = format!("{field}.matchExpressions[{index}]");
        selector_rule(fields, &field, requirement)
    });
    let rules = labels.chain(expressions).collect::<Option<_>>()?;
    Some(LabelSelector { rules })
}

fn selector_rule(
    fields: &Fields,
    field: &str,
    written: &LabelSelectorRequirement,
) -> Option<SelectorRule> {
    let (key, values) = (written.key.clone(), written.values.clone());
    fields.required(format!("{field}.key"), &key);
    Some(match written.operator.as_str() {
        "In" => SelectorRule::In(key, values),
        "NotIn" => SelectorRule::NotIn(key, values),
        "Exists" => SelectorRule::Exists(key),
        "DoesNotExist" => SelectorRule::DoesNotExist(key),
        other => {
            fields.invalid(
                format!("{field}.operator"),
                format!("{other:?} is not known; write In, NotIn, Exists or DoesNotExist"),
            );
            return None;
        }
    })
}
