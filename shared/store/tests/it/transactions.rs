//! A change is made whole and with its entries in the audit, or not at all.

use std::process::{Command, Stdio};

use secrecy::ExposeSecret as _;
use signalbox_store::{
    Error, Store,
    audit::{
        Wanted,
        kind::{INTEGRATION, ORG},
    },
};

use crate::{
    harness::{Database, config, eventually, on_each},
    samples::{at, entry, integration, name},
};

/// Tells the process that [`a_process_that_is_killed_in_a_change`] runs in where it works.
const URL: &str = "SIGNALBOX_TEST_URL";
const DATA_DIR: &str = "SIGNALBOX_TEST_DATA_DIR";

async fn is_empty(store: &Store) -> bool {
    let wanted = Wanted {
        limit: 1,
        ..Wanted::default()
    };
    store.orgs(None, 1).await.unwrap().is_empty()
        && store.all_integrations(None, 1).await.unwrap().is_empty()
        && store.audit(&wanted).await.unwrap().is_empty()
        && store.outbox_depth().await.unwrap().count == 0
}

#[tokio::test]
async fn a_change_without_its_one_entry_is_refused_and_nothing_is_written() {
    on_each(async |store| {
        // None, of another thing, and two.
        for entries in [
            vec![],
            vec![entry("a", INTEGRATION, "2"), entry("b", ORG, "1")],
            vec![entry("a", INTEGRATION, "1"), entry("b", INTEGRATION, "1")],
        ] {
            let mut change = store.change().await.unwrap();
            change
                .create_integration(&integration("1", "acme", "one"))
                .await
                .unwrap();
            for entry in &entries {
                change.audit(entry).await.unwrap();
            }
            match change.commit().await {
                Err(Error::Unaudited { what, .. }) => assert_eq!(what, "integration 1"),
                other => panic!("{other:?}"),
            }
            assert!(is_empty(&store).await, "{entries:?}");
        }
        // What has changed twice in one change is one thing, and an entry may speak of something else besides.
        let mut change = store.change().await.unwrap();
        change
            .create_integration(&integration("1", "acme", "one"))
            .await
            .unwrap();
        change.set_error_message("1", Some("no answer")).await.unwrap();
        change.audit(&entry("a", INTEGRATION, "1")).await.unwrap();
        change.audit(&entry("b", "dead_letter", "1")).await.unwrap();
        change.commit().await.unwrap();
        assert!(!is_empty(&store).await);
    })
    .await;
}

#[tokio::test]
async fn a_change_that_is_dropped_leaves_nothing_and_nobody_waits_for_it() {
    on_each(async |store| {
        for _ in 0..3 {
            let mut change = store.change().await.unwrap();
            change.ensure_org(&name("acme"), at(0)).await.unwrap();
            change.audit(&entry("a", ORG, "acme")).await.unwrap();
            drop(change);
            assert!(is_empty(&store).await);
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_cut_in_a_change_leaves_nothing() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = database.open().await;
    let mut change = store.change().await.unwrap();
    change.ensure_org(&name("acme"), at(0)).await.unwrap();
    change.audit(&entry("a", ORG, "acme")).await.unwrap();
    database
        .server()
        .unwrap()
        .execute("select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'")
        .await;
    let error = change.commit().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(is_empty(&store).await);
    store.close().await;
}

#[tokio::test]
async fn a_process_that_is_killed_in_a_change_leaves_nothing() {
    for database in Database::each().await {
        let store = database.open().await;
        let ready = database.data_dir().join("ready");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["transactions::changes_and_waits_to_be_killed", "--exact", "--ignored"])
            .env(URL, database.config.url.expose_secret())
            .env(DATA_DIR, database.data_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the other process has changed something", async || {
            assert_eq!(child.try_wait().unwrap(), None);
            ready.exists().then_some(())
        })
        .await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_empty(&store).await);
        // What it held is free.
        eventually("another change is made", async || {
            let mut change = store.change().await.ok()?;
            change.ensure_org(&name("acme"), at(0)).await.ok()??;
            change.audit(&entry("a", ORG, "acme")).await.ok()?;
            change.commit().await.ok()
        })
        .await;
        store.close().await;
    }
}

#[tokio::test]
#[ignore = "another test starts it, in a process of its own"]
async fn changes_and_waits_to_be_killed() {
    let data_dir = std::path::PathBuf::from(std::env::var_os(DATA_DIR).unwrap());
    let store = Store::open(&config(&std::env::var(URL).unwrap()), &data_dir)
        .await
        .unwrap();
    let mut change = store.change().await.unwrap();
    change.ensure_org(&name("acme"), at(0)).await.unwrap();
    change
        .create_integration(&integration("1", "acme", "one"))
        .await
        .unwrap();
    change.audit(&entry("a", ORG, "acme")).await.unwrap();
    std::fs::write(data_dir.join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}
