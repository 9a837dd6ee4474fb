use adapter_manifests::{ManifestFolder, OpenError, Problem, read_problems};
use domain::ports::ClusterSource;

use crate::{Folder, documents, route, routes, until};

/// Problems as `file:line object`, with `-` for what is not known.
fn summary(problems: &[Problem]) -> Vec<String> {
    let summary = |problem: &Problem| {
        let line = problem.line.map_or("-".to_owned(), |line| line.to_string());
        let object = problem.object.as_deref().unwrap_or("-");
        format!("{}:{line} {object}", problem.file.display())
    };
    problems.iter().map(summary).collect()
}

const BAD_PORT: &str =
    "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 0}]}\n";

#[tokio::test]
async fn each_sort_of_bad_input_is_a_problem_and_everything_else_is_served() {
    let cases: [(&str, &str, &str); 8] = [
        ("x: [1\n", "bad.yaml:-", "not YAML"),
        ("- 1\n- 2\n", "bad.yaml:1 -", "no Kubernetes object"),
        ("kind: Gateway\n", "bad.yaml:1 -", "apiVersion"),
        (
            "apiVersion: v1\nkind: Service\n",
            "bad.yaml:1 -",
            "metadata.name",
        ),
        (
            BAD_PORT,
            "bad.yaml:1 Service default/s",
            "spec.ports[0].port",
        ),
        (
            "# first a comment\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n",
            "bad.yaml:2 Deployment default/d",
            "not served",
        ),
        (
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
            "bad.yaml:1 Kustomization default/",
            "not served",
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {TOKEN: 'hush hush'}\n",
            "bad.yaml:1 Secret default/s",
            "data.TOKEN",
        ),
    ];
    for (bad, expected, message) in cases {
        let bad = documents(&[bad.to_owned(), route("beside")]);
        let folder = Folder::with(&[("bad.yaml", &bad), ("good.yaml", &route("good"))]);
        let source = folder.open();
        let view = source.snapshot().await;
        assert_eq!(routes(&view), ["beside", "good"], "{bad}");
        let problems = source.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        if !expected.ends_with('-') || expected.contains(' ') {
            assert_eq!(summary(&problems), [expected]);
        }
        assert!(problems[0].message.contains(message), "{problems:?}");
        assert!(!format!("{problems:?}").contains("hush"));
        assert_eq!(read_problems(folder.state()).unwrap(), problems);
        let is_passed_over = message == "not served";
        assert_eq!(view.incomplete.is_none(), is_passed_over, "{bad}");
    }
}

#[tokio::test]
async fn a_file_broken_later_leaves_what_was_read_before_in_force() {
    let folder = Folder::with(&[("a.yaml", &documents(&[route("a"), route("b")]))]);
    let source = folder.open();
    source.snapshot().await;
    folder.write(
        "a.yaml",
        &documents(&["x: [1\n".to_owned(), route("b"), route("c")]),
    );
    let view = until(&source, "c is added", |view| routes(view).contains(&"c")).await;
    assert_eq!(routes(&view), ["a", "b", "c"]);
    assert_eq!(
        view.incomplete, None,
        "a may be meant and stays, so nothing is missing"
    );
    assert!(source.problems()[0].message.contains("stays in force"));
    folder.write("a.yaml", &documents(&[route("b"), route("c")]));
    until(&source, "it is mended", |view| routes(view) == ["b", "c"]).await;
    assert_eq!(source.problems(), []);
    assert_eq!(read_problems(folder.state()).unwrap(), []);
}

#[tokio::test]
async fn an_object_broken_later_stays_as_it_was_even_where_it_moved() {
    let service = BAD_PORT.replace("port: 0", "port: 80");
    let folder = Folder::with(&[("a.yaml", &service), ("b.yaml", &route("b"))]);
    let source = folder.open();
    source.snapshot().await;
    folder.write("b.yaml", &documents(&[BAD_PORT.to_owned(), route("c")]));
    folder.remove("a.yaml");
    let view = until(&source, "c is there", |view| routes(view) == ["c"]).await;
    assert_eq!(view.services.items().len(), 1);
    assert_eq!(view.incomplete, None);
    assert_eq!(summary(&source.problems()), ["b.yaml:1 Service default/s"]);
}

#[tokio::test]
async fn what_was_never_read_makes_the_view_incomplete_until_it_is_mended() {
    let folder = Folder::with(&[("a.yaml", &documents(&["x: [1\n".to_owned(), route("a")]))]);
    let source = folder.open();
    let view = source.snapshot().await;
    assert_eq!(view.incomplete.as_deref(), Some("not read: a.yaml"));
    folder.write("a.yaml", &documents(&["x: [2\n".to_owned(), route("b")]));
    let view = until(&source, "b is there", |view| routes(view).contains(&"b")).await;
    assert!(view.incomplete.is_some(), "still never read");
    folder.write("a.yaml", &route("b"));
    let view = until(&source, "it is mended", |view| view.incomplete.is_none()).await;
    assert_eq!(routes(&view), ["b"]);
}

#[tokio::test]
async fn a_file_emptied_in_place_keeps_its_objects_and_a_comment_lets_them_go() {
    let folder = Folder::with(&[("a.yaml", &route("a"))]);
    let source = folder.open();
    source.snapshot().await;
    folder.write("a.yaml", "\n");
    until(&source, "it is noticed", |_| !source.problems().is_empty()).await;
    assert_eq!(routes(&*source.snapshot().await), ["a"]);
    folder.write("a.yaml", "# nothing any more\n");
    until(&source, "a is removed", |view| routes(view).is_empty()).await;
    assert_eq!(source.problems(), []);
}

#[tokio::test]
async fn of_two_documents_with_one_name_the_first_by_file_and_line_stands() {
    let second = route("a").replace("a.example.com", "second.example.com");
    let folder = Folder::with(&[
        ("1.yaml", &documents(&[route("a"), second.clone()])),
        ("2.yaml", &second),
    ]);
    let source = folder.open();
    let view = source.snapshot().await;
    let [only] = view.routes.items() else {
        panic!("{:?}", view.routes);
    };
    assert_eq!(only.hostnames[0].as_str(), "a.example.com");
    assert_eq!(
        summary(&source.problems()),
        [
            "1.yaml:11 HTTPRoute default/a",
            "2.yaml:1 HTTPRoute default/a"
        ]
    );
    folder.remove("1.yaml");
    until(&source, "the other stands", |view| {
        view.routes.items()[0].hostnames[0].as_str() == "second.example.com"
    })
    .await;
    assert_eq!(source.problems(), []);
}

#[tokio::test]
async fn a_folder_that_vanishes_keeps_everything_in_force() {
    let folder = Folder::with(&[("inner/a.yaml", &route("a"))]);
    let source =
        ManifestFolder::open(folder.path().join("inner"), folder.state().to_owned()).unwrap();
    source.snapshot().await;
    let away = folder.path().join("away");
    std::fs::rename(folder.path().join("inner"), &away).unwrap();
    until(&source, "it is noticed", |_| !source.problems().is_empty()).await;
    let view = source.snapshot().await;
    assert_eq!((routes(&view), &view.incomplete), (vec!["a"], &None));
    std::fs::rename(&away, folder.path().join("inner")).unwrap();
    until(&source, "it is back", |_| source.problems().is_empty()).await;
}

#[tokio::test]
async fn a_folder_that_was_never_there_is_an_error_that_names_it() {
    let folder = Folder::with(&[]);
    let missing = folder.path().join("missing");
    let error = ManifestFolder::open(missing.clone(), folder.state().to_owned()).unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }));
    assert!(
        error.to_string().contains(missing.to_str().unwrap()),
        "{error}"
    );
}
