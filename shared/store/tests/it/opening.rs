//! Opening a database: files, settings, migrations, a server that is away.

use std::{
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use secrecy::ExposeSecret as _;
use signalbox_store::{Error, Kind, Store};
use sqlx::Row as _;

use crate::{
    harness::{Database, SOON, config, eventually, on_each},
    postgres::Own,
    samples::name,
};

const URL: &str = "SIGNALBOX_TEST_URL";
const DATA_DIR: &str = "SIGNALBOX_TEST_DATA_DIR";
/// Longer than a connection that is refused takes.
const A_WHILE: Duration = Duration::from_millis(700);
/// Processes that bring the tables to this version at once.
const PROCESSES: usize = 4;

#[tokio::test]
async fn it_answers_and_opens_again() {
    for database in Database::each().await {
        let store = database.open().await;
        store.ping().await.unwrap();
        store.set_meta("name", "value").await.unwrap();
        store.close().await;
        assert!(store.ping().await.unwrap_err().is_transient());
        let store = database.open().await;
        assert_eq!(store.meta("name").await.unwrap().as_deref(), Some("value"));
        store.close().await;
    }
}

#[tokio::test]
async fn files_are_for_their_owner_alone() {
    let database = Database::sqlite();
    let store = database.open().await;
    assert_eq!(store.kind(), Kind::Sqlite);
    store.set_meta("name", "value").await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(database.data_dir()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{:?}",
            entry.path()
        );
        files += 1;
    }
    assert_eq!(files, 3, "the file, its log, and the log's index");
    store.close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let path = folder.path().join("file/signalbox.db");
    let error = Store::open(&config(&format!("sqlite:{}", path.display())), folder.path())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::File { path: named, .. } if *named == path),
        "{error:?}"
    );
    assert!(error.to_string().contains("store.url") && !error.is_transient());
    // What is no database is not overwritten.
    let text = "not a database, and longer than the head of one would be: ".repeat(9);
    std::fs::write(folder.path().join("file"), &text).unwrap();
    let url = format!("sqlite:{}", folder.path().join("file").display());
    assert!(
        !Store::open(&config(&url), folder.path())
            .await
            .unwrap_err()
            .is_transient()
    );
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), text);
}

#[tokio::test]
async fn statements_are_limited_and_the_server_knows_us() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = database.open().await;
    let mut connection = database.connect().await;
    let row = sqlx::query("select count(*) as ours from pg_stat_activity where application_name = 'signalbox'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(row.get::<i64, _>("ours") > 0);
    store.close().await;
    // Of a lock that somebody holds, nobody waits for ever.
    let limited = config(&format!(
        "{}?options[statement_timeout]=50",
        database.config.url.expose_secret()
    ));
    let store = Store::open(&limited, database.data_dir()).await.unwrap();
    sqlx::query("begin").execute(&mut connection).await.unwrap();
    sqlx::query("lock table meta").execute(&mut connection).await.unwrap();
    let error = store.meta("name").await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("statement timeout"), "{source}");
    store.close().await;
}

#[tokio::test]
async fn nothing_prints_a_password() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let url = database.config.url.expose_secret();
    let with_password = url.replace("signalbox@", "signalbox:hunter2@");
    let store = Store::open(&config(&with_password), database.data_dir()).await.unwrap();
    let change = store.change().await.unwrap();
    let mut printed = format!("{:?} {store:?} {change:?}", config(&with_password));
    drop(change);
    store.close().await;
    // Nobody listens there, nobody has that name, there is no such database.
    for (from, to) in [
        ("127.0.0.1:", "127.0.0.1:1?port="),
        ("signalbox:", "nobody:"),
        ("/test_", "/none_"),
    ] {
        let wrong = config(&with_password.replace(from, to));
        let error = Store::open(&wrong, database.data_dir()).await.unwrap_err();
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            printed.push_str(&format!(" {error} {error:?}"));
            cause = error.source();
        }
    }
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[tokio::test]
async fn processes_that_start_at_once_make_the_tables_once() {
    for database in Database::each().await {
        let go = database.data_dir().join("go");
        let mut children: Vec<_> = (0..PROCESSES)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["opening::opens_when_told", "--exact", "--ignored"])
                    .env(URL, database.config.url.expose_secret())
                    .env(DATA_DIR, database.data_dir())
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        eventually("all are ready", async || {
            let files = std::fs::read_dir(database.data_dir()).unwrap().count();
            (files == PROCESSES).then_some(())
        })
        .await;
        std::fs::write(go, "").unwrap();
        for child in &mut children {
            assert!(child.wait().unwrap().success());
        }
        let store = database.open().await;
        let made = store.orgs(None, 99).await.unwrap().len();
        assert_eq!(made, 0);
        store.close().await;
    }
}

#[tokio::test]
#[ignore = "another test starts it, in processes of their own"]
async fn opens_when_told() {
    let data_dir = std::path::PathBuf::from(std::env::var_os(DATA_DIR).unwrap());
    std::fs::write(data_dir.join(format!("ready-{}", std::process::id())), "").unwrap();
    eventually("told to go on", async || data_dir.join("go").exists().then_some(())).await;
    let store = Store::open(&config(&std::env::var(URL).unwrap()), &data_dir)
        .await
        .unwrap();
    assert_eq!(store.org(&name("acme")).await.unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn an_older_program_works_with_newer_tables() {
    for database in Database::each().await {
        database.open().await.close().await;
        let mut connection = database.connect().await;
        for statement in [
            "create table later (name text)",
            "alter table orgs add column later bigint",
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
             select 9999, 'later', success, checksum, 0 from _sqlx_migrations where version = 1",
        ] {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        let store = database.open().await;
        let mut change = store.change().await.unwrap();
        assert!(
            change
                .ensure_org(&name("acme"), crate::samples::at(0))
                .await
                .unwrap()
                .is_some()
        );
        drop(change);
        store.close().await;
    }
}

#[tokio::test]
async fn a_released_migration_that_was_edited_is_refused() {
    for database in Database::each().await {
        database.open().await.close().await;
        let mut connection = database.connect().await;
        sqlx::query("update _sqlx_migrations set checksum = $1 where version = 1")
            .bind(vec![0_u8])
            .execute(&mut connection)
            .await
            .unwrap();
        let error = Store::open(&database.config, database.data_dir()).await.unwrap_err();
        assert!(matches!(error, Error::Migrate(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_waited_for() {
    let Some(server) = Own::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = config(&server.url());
    server.stop();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    drop(stop);
    let none = Store::open_within(&settings, folder.path(), async move { drop(stopped.await) }).await;
    assert!(none.unwrap().is_none());

    let mut opening = {
        let settings = settings.clone();
        let data_dir = folder.path().to_owned();
        tokio::spawn(async move { Store::open_within(&settings, &data_dir, std::future::pending()).await })
    };
    let early = tokio::time::timeout(A_WHILE, &mut opening).await;
    assert!(early.is_err(), "{early:?}");
    server.start_again().await;
    let store = tokio::time::timeout(SOON, opening)
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .unwrap();
    store.ping().await.unwrap();

    // It goes away while we run: that passes too.
    server.stop();
    let error = store.set_meta("name", "value").await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    server.start_again().await;
    eventually("it answers again", async || store.set_meta("name", "value").await.ok()).await;
    store.close().await;
}

#[tokio::test]
async fn what_will_not_pass_is_not_waited_for() {
    on_each(async |store| store.ping().await.unwrap()).await;
    let Some(database) = Database::postgres().await else {
        return;
    };
    let wrong = config(&database.config.url.expose_secret().replace("/test_", "/none_"));
    let opening = Store::open_within(&wrong, database.data_dir(), std::future::pending());
    let error = tokio::time::timeout(SOON, opening).await.unwrap().unwrap_err();
    assert!(!error.is_transient(), "{error:?}");
}
