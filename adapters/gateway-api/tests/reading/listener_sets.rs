use adapter_gateway_api::Object;
use domain::Timestamp;
use domain::gateway::{AllowedNamespaces, ListenerSet};

use crate::{gateway, object, reference, summary};

fn listener_set(spec: &str) -> ListenerSet {
    let yaml = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {{name: own, namespace: \
         apps, generation: 4, creationTimestamp: '1970-01-01T00:00:07Z'}}\nspec:\n{spec}"
    );
    match object(&yaml) {
        Object::ListenerSet(set) => set,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_listener_set_is_read_with_its_parent_and_its_listeners() {
    let set = listener_set(
        "
  parentRef: {name: web}
  listeners:
  - name: app
    protocol: HTTPS
    port: 443
    hostname: app.example.com
    tls: {certificateRefs: [{name: cert}]}
    allowedRoutes: {namespaces: {from: All}}
  - {name: plain, protocol: HTTP, port: 80}
",
    );
    assert_eq!((set.generation, set.created), (4, Timestamp(7)));
    let web = reference("gateway.networking.k8s.io", "Gateway", "apps", "web");
    assert_eq!(set.parent, web);
    assert_eq!(set.gateway(), Some(&web.key));
    assert_eq!(set.field_errors, []);
    let [app, plain] = set.listeners.as_slice() else {
        panic!("{:?}", set.listeners);
    };
    let certificates = &app.tls.as_ref().expect("tls").certificates;
    assert_eq!(certificates[0], reference("", "Secret", "apps", "cert"));
    assert_eq!(app.namespaces, AllowedNamespaces::All);
    assert_eq!(plain.namespaces, AllowedNamespaces::Same);
    assert!(set.listeners.iter().all(|l| l.field_errors.is_empty()));

    let elsewhere = listener_set("  parentRef: {name: web, namespace: infra, group: g, kind: K}\n");
    assert_eq!(elsewhere.parent, reference("g", "K", "infra", "web"));
    assert_eq!(elsewhere.gateway(), None);
}

#[test]
fn field_errors_of_a_listener_are_its_own_and_the_rest_is_the_sets() {
    let set = listener_set(
        "
  parentRef: {namespace: infra}
  shape: round
  listeners:
  - {name: good, protocol: HTTPS, port: 443}
  - {name: port, protocol: HTTPS, port: 0}
",
    );
    assert_eq!(
        summary(&set.field_errors),
        ["invalid spec.parentRef.name", "unsupported spec.shape"]
    );
    let of_listeners = set.listeners.iter().map(|listener| {
        let errors = listener.field_errors.iter().map(|(_, error)| error.clone());
        summary(&errors.collect::<Vec<_>>())
    });
    let expected = [vec![], vec!["invalid spec.listeners[1].port".to_owned()]];
    assert_eq!(of_listeners.collect::<Vec<_>>(), expected);
}

#[test]
fn a_gateway_says_whose_listener_sets_it_takes() {
    let selector =
        "  allowedListeners: {namespaces: {from: Selector, selector: {matchLabels: {a: b}}}}";
    for (given, spec, is_as_written) in [
        ("nothing", "", AllowedNamespaces::None),
        (
            "no namespaces",
            "  allowedListeners: {}",
            AllowedNamespaces::None,
        ),
        (
            "no from",
            "  allowedListeners: {namespaces: {}}",
            AllowedNamespaces::None,
        ),
        (
            "Same",
            "  allowedListeners: {namespaces: {from: Same}}",
            AllowedNamespaces::Same,
        ),
        (
            "All",
            "  allowedListeners: {namespaces: {from: All}}",
            AllowedNamespaces::All,
        ),
        (
            "what is not known admits nobody",
            "  allowedListeners: {namespaces: {from: Friends}}",
            AllowedNamespaces::None,
        ),
    ] {
        assert_eq!(gateway(spec).allowed_listeners, is_as_written, "{given}");
    }
    let allowed = gateway(selector).allowed_listeners;
    assert!(
        matches!(allowed, AllowedNamespaces::Selector(_)),
        "{allowed:?}"
    );
    let wrong = gateway("  allowedListeners: {namespaces: {from: Friends}}");
    let errors: Vec<_> = wrong.field_errors.iter().map(|(_, it)| &it.field).collect();
    assert_eq!(
        errors,
        ["spec.allowedListeners.namespaces.from", "spec.listeners"]
    );
}
