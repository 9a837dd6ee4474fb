//! Paths that a backend would read otherwise than a rule (docs/routing.md, "Paths").

use super::rig::{CANARY, Proxy, Recorder};

#[tokio::test]
async fn no_way_of_writing_a_path_leads_around_a_rule() {
    let (public, admin) = (Recorder::start().await, Recorder::start().await);
    let rows = [
        ("/canary", "public"),
        ("/admin", "admin"),
        ("/admin/canary", "admin"),
        ("/admin?canary=/../x", "admin"),
        // Not the same element.
        ("/administration", "public"),
        ("/canary/admin", "public"),
        // Another case is another path (RFC 3986 §6.2.2.1).
        ("/ADMIN", "public"),
        // What is encoded twice is data.
        ("/%2561dmin", "public"),
        // What a backend may undo.
        ("/%61dmin/canary", "admin"),
        ("/%61%64%6D%69%6e", "admin"),
        ("//admin", "admin"),
        ("///admin//canary", "admin"),
        ("/%2Fadmin", "admin"),
        ("/%2fadmin%2Fcanary", "admin"),
        ("/admin%2Fcanary", "admin"),
        ("/%5Cadmin", "admin"),
        // What could only deceive.
        ("/canary/../admin", "refused"),
        ("/admin/../canary", "refused"),
        ("/canary/%2e%2e/admin", "refused"),
        ("/canary/.%2E/admin", "refused"),
        ("/canary%2f..%2fadmin", "refused"),
        ("/canary/..%2fadmin", "refused"),
        ("/canary/..;/admin", "refused"),
        ("/canary/..;a=b/admin", "refused"),
        ("/canary/..%3b/admin", "refused"),
        ("/canary/..%5cadmin", "refused"),
        ("/./admin", "refused"),
        ("/%2e/admin", "refused"),
        ("/admin%00canary", "refused"),
        ("/canary/..", "refused"),
    ];
    for (path, then) in rows {
        // A proxy for each row: one that refuses many in a second leaves lines out.
        let proxy = Proxy::start(&[("/", public.address), ("/admin", admin.address)]).await;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n");

        let statuses = proxy.statuses(request.as_bytes()).await;

        let [public, admin] = [&public, &admin].map(|app| {
            let reached = app.take().into_iter();
            reached.map(|request| request.target).collect::<Vec<_>>()
        });
        let logged = proxy.logged();
        // Whoever gets it gets it as it was written.
        let as_written = vec![path.to_owned()];
        let expected = match then {
            "public" => (vec![200], as_written, vec![]),
            "admin" => (vec![200], vec![], as_written),
            _ => (vec![400], vec![], vec![]),
        };
        assert_eq!((statuses, public, admin), expected, "{path}");
        assert_eq!(logged.len(), usize::from(then == "refused"), "{logged:?}");
        assert!(!logged.concat().contains(CANARY), "{logged:?}");
    }
}
