use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// The rule as it is written: the first route of the other kind with a hostname in common, found by looking
/// at each.
#[derive(Default)]
struct Scan {
    routes: Vec<AttachedRoute>,
}

impl Scan {
    fn attach(&mut self, route: &AttachedRoute) -> Result<(), usize> {
        if self
            .routes
            .last()
            .is_some_and(|last| last.position == route.position)
        {
            return Ok(());
        }
        let in_the_way = |other: &&AttachedRoute| other.kind != route.kind && meet(other, route);
        if let Some(other) = self.routes.iter().find(in_the_way) {
            return Err(other.position);
        }
        self.routes.push(route.clone());
        Ok(())
    }
}

fn meet(one: &AttachedRoute, other: &AttachedRoute) -> bool {
    let share = |a: &Hostname| other.hostnames.iter().any(|b| a.intersection(b).is_some());
    one.hostnames.is_empty() || other.hostnames.is_empty() || one.hostnames.iter().any(share)
}

fn attached(position: usize, kind: RouteKind, hostnames: &[&str]) -> AttachedRoute {
    AttachedRoute {
        position,
        kind,
        hostnames: hostnames.iter().map(|name| name.parse().unwrap()).collect(),
    }
}

#[test]
fn a_route_meets_the_first_of_the_other_kind_with_a_hostname_in_common() {
    use RouteKind::{Grpc, Http};
    type Given<'a> = &'a [(RouteKind, &'a [&'a str])];
    let table: [(&str, Given<'_>, Option<usize>); 12] = [
        (
            "one kind",
            &[(Http, &["a.test"]), (Http, &["a.test"])],
            None,
        ),
        (
            "one name",
            &[(Http, &["a.test"]), (Grpc, &["a.test"])],
            Some(0),
        ),
        (
            "names apart",
            &[(Http, &["a.test"]), (Grpc, &["b.test"])],
            None,
        ),
        (
            "every name, then one",
            &[(Http, &[]), (Grpc, &["a.test"])],
            Some(0),
        ),
        (
            "one name, then every",
            &[(Http, &["a.test"]), (Grpc, &[])],
            Some(0),
        ),
        (
            "a wildcard, then a name below",
            &[(Http, &["*.test"]), (Grpc, &["b.a.test"])],
            Some(0),
        ),
        (
            "a name, then a wildcard over it",
            &[(Http, &["b.a.test"]), (Grpc, &["*.test"])],
            Some(0),
        ),
        (
            "a wildcard and its apex",
            &[(Http, &["*.a.test"]), (Grpc, &["a.test"])],
            None,
        ),
        (
            "a wildcard within another",
            &[(Http, &["*.b.a.test"]), (Grpc, &["*.test"])],
            Some(0),
        ),
        (
            "a wildcard around another",
            &[(Http, &["*.test"]), (Grpc, &["*.b.a.test"])],
            Some(0),
        ),
        (
            "an end that is no label's",
            &[(Http, &["*.a.test"]), (Grpc, &["x.ba.test"])],
            None,
        ),
        (
            "the older of two",
            &[
                (Http, &["x.test"]),
                (Http, &["*.a.test"]),
                (Http, &["b.a.test"]),
                (Grpc, &["b.a.test"]),
            ],
            Some(1),
        ),
    ];
    for (given, routes, expected) in table {
        let mut on_listener = AttachedRoutes::default();
        let mut found = None;
        for (position, (kind, hostnames)) in routes.iter().enumerate() {
            let route = attached(position, *kind, hostnames);
            found = on_listener.attach(route).err();
        }
        assert_eq!(found, expected, "{given}");
    }
}

#[test]
fn thousands_of_both_kinds_on_one_listener_are_not_held_against_each_other() {
    let mut routes = AttachedRoutes::default();
    for position in 0..2_000 {
        let kind = [RouteKind::Http, RouteKind::Grpc][position % 2];
        let hostname = format!("r{position}.apps.test");
        assert_eq!(
            routes.attach(attached(position, kind, &[&hostname])),
            Ok(())
        );
    }
    let by_kind = routes.by_kind.as_ref().unwrap();
    let kept = |names: &Names| names.exact.len() + names.wildcard.len() + names.below.len();
    assert_eq!((kept(&by_kind.http), kept(&by_kind.grpc)), (1_002, 1_002));
    assert_eq!(
        routes.attach(attached(2_000, RouteKind::Grpc, &["*.apps.test"])),
        Err(0)
    );
}

const HOSTNAMES: [&str; 10] = [
    "test",
    "a.test",
    "b.test",
    "b.a.test",
    "c.b.a.test",
    "ba.test",
    "*.test",
    "*.a.test",
    "*.b.a.test",
    "*.b.test",
];

fn kinds() -> impl Strategy<Value = RouteKind> {
    select(vec![RouteKind::Http, RouteKind::Http, RouteKind::Grpc])
}

proptest! {
    #[test]
    fn the_same_routes_are_attached_as_by_comparing_each_with_each(
        routes in prop::collection::vec(
            (0..2_usize, kinds(), prop::collection::vec(select(&HOSTNAMES[..]), 0..4)),
            0..24,
        ),
    ) {
        let (mut found, mut scan) = (AttachedRoutes::default(), Scan::default());
        let mut position = 0;
        for (step, kind, hostnames) in &routes {
            position += step;
            let wanted = attached(position, *kind, hostnames);
            prop_assert_eq!(scan.attach(&wanted), found.attach(wanted), "{}: {:?}", position, hostnames);
        }
        let positions = |routes: &[AttachedRoute]| routes.iter().map(|route| route.position).collect::<Vec<_>>();
        prop_assert_eq!(positions(found.routes()), positions(&scan.routes));
    }
}
