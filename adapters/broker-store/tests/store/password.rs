//! A PostgreSQL on another machine: who it is, and who we are.

use adapter_broker_store::SqlStore;
use domain::broker::ports::Clusters as _;
use secrecy::SecretString;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::postgres::Postgres;

#[tokio::test]
async fn a_server_is_asked_over_tls_with_a_password_and_a_new_one_is_taken_up() {
    const OLD: &str = "canary/old@1";
    let Some((server, authority)) = Postgres::with_password(OLD) else {
        return;
    };
    let plain = server.port_address();
    let named = format!(
        "{plain}?sslmode=verify-full&sslrootcert={}",
        authority.display()
    );
    let open = async |address: &str, password: &str| {
        let password = SecretString::from(password);
        let opened = SqlStore::open(address, Some(&password)).await;
        opened.map_err(|error| error.to_string())
    };
    let unknown_authority = format!("{plain}?sslmode=verify-full");
    for (address, password) in [(&named, "canary-wrong"), (&unknown_authority, OLD)] {
        let refused = open(address, password).await.err().expect("a refusal");
        assert!(!refused.contains("canary"), "{refused}");
    }
    let store = open(&named, OLD).await.expect("a store");
    store.tenants().await.expect("a reading");

    let mut admin = PgConnection::connect(&named.replacen("cfgw@", "cfgw:canary%2Fold%401@", 1))
        .await
        .expect("a connection");
    admin
        .execute("ALTER USER cfgw PASSWORD 'new'")
        .await
        .expect("a new password");
    admin
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cfgw' AND pid <> pg_backend_pid()")
        .await
        .expect("no connection but this");
    store.tenants().await.expect_err("the old password");
    store
        .set_password(&SecretString::from("new"))
        .expect("an address");
    store.tenants().await.expect("the new password");
}
