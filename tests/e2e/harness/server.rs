//! nats-server as a process of its own, for scenarios that run each role by itself.

use std::{fs, path::PathBuf, time::Duration};

use tokio::net::TcpStream;

use super::{
    process::{Program, Settings, free_port, nats_server},
    wait::eventually,
};

/// How long a start may take, reading its store included.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// A nats-server with JetStream on one port and one store for all its starts.
pub(crate) struct Server {
    port: u16,
    config: PathBuf,
    log: PathBuf,
    /// `None` before its first start.
    program: Option<Program>,
}

impl Server {
    /// One that is not started yet: [`Self::restart`] starts it.
    pub(crate) fn prepare(folder: &std::path::Path) -> Self {
        Self::prepare_with(folder, "")
    }

    /// As [`Self::prepare`], with more in its config.
    pub(crate) fn prepare_with(folder: &std::path::Path, more: &str) -> Self {
        let port = free_port();
        let config = folder.join("nats-server.conf");
        // The streams' bounds are reserved, not used: a disk that has less free than they add up to is no reason to
        // refuse them.
        let text = format!(
            "host: 127.0.0.1\nport: {port}\nmax_payload: 1048576\n\
             jetstream {{ store_dir: {:?}, max_file_store: 1TB }}\n{more}\n",
            folder.join("nats")
        );
        fs::write(&config, text).expect("the server's config can be written");
        Self {
            port,
            config,
            log: folder.join("nats-server.log"),
            program: None,
        }
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn kill(&mut self) {
        self.running().kill().await;
    }

    /// Starts it again on the same port and store.
    pub(crate) async fn restart(&mut self) {
        self.program = Some(launch(&self.config, &self.log));
        self.ready().await;
    }

    pub(crate) fn assert_alive(&mut self) {
        self.running().assert_alive();
    }

    fn running(&mut self) -> &mut Program {
        self.program.as_mut().expect("the server was started")
    }

    async fn ready(&self) {
        let address = ("127.0.0.1", self.port);
        eventually(READY_TIMEOUT, "nats-server listens", async || {
            TcpStream::connect(address)
                .await
                .map(|_| ())
                .map_err(|error| error.to_string())
        })
        .await;
    }
}

fn launch(config: &std::path::Path, log: &std::path::Path) -> Program {
    let config = config.to_str().expect("the folder's name is UTF-8");
    Program::start(
        "nats-server",
        &nats_server(),
        &["-c", config],
        &Settings::new(),
        log,
        false,
    )
}
