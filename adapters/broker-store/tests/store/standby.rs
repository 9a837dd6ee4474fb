//! A PostgreSQL that is a standby.

use adapter_broker_store::SqlStore;
use domain::broker::ports::{Clusters as _, StoreError, WorkQueue as _};

use crate::postgres::{Name, Postgres};

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_as_away_as_no_server_until_it_takes_writes() {
    let Some(primary) = Postgres::start() else {
        return;
    };
    let name = Name::of(&primary);
    let store = SqlStore::open(&name.address(), None).await.unwrap();
    let standby = primary.standby();
    crate::furnished(&store, "east").await;
    let time = store.time().await.unwrap();
    assert!(
        time.is_some_and(|time| time > 1_700_000_000_000),
        "{time:?}"
    );

    primary.kill();
    name.lead_to(&standby);
    let tenants = store.tenants().await;
    assert!(matches!(tenants, Err(StoreError::Failed(_))), "{tenants:?}");

    standby.promote();
    let tenants = store.tenants().await.unwrap();
    assert_eq!(
        tenants,
        [crate::tenant("east")],
        "what was answered is there"
    );
}
