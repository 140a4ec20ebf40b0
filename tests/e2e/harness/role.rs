//! Each role as a process of its own on one nats-server, as production runs them.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    process::ExitStatus,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    client::{self, Client},
    process::{Folder, Program, Settings, free_port, settings, signalbox},
    server::Server,
    wait::eventually,
};

/// All roles, in the order in which a cluster starts them.
pub(crate) const ROLES: [&str; 5] = ["api", "ingest", "router", "delivery", "keeper"];
/// How long a role may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// One role's process; restarted on the same ports with the same settings.
pub(crate) struct Role {
    arguments: Vec<String>,
    settings: Settings,
    admin: String,
    log: std::path::PathBuf,
    program: Program,
}

impl Role {
    pub(crate) async fn kill(&mut self) {
        self.program.kill().await;
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.program.stop().await
    }

    /// Starts it again and waits until it is ready.
    pub(crate) async fn restart(&mut self) {
        self.program = launch(&self.arguments, &self.settings, &self.log);
        self.ready().await;
    }

    /// Starts it again, and does not wait for anything.
    pub(crate) fn begin(&mut self) {
        self.program = launch(&self.arguments, &self.settings, &self.log);
    }

    pub(crate) fn assert_alive(&mut self) {
        self.program.assert_alive();
    }

    /// Starts it again, sees that it ends by itself as something is wrong, and gives what it said.
    pub(crate) async fn refused(&mut self) -> String {
        let before = self.log().len();
        self.program = launch(&self.arguments, &self.settings, &self.log);
        let ended = tokio::time::timeout(READY_TIMEOUT, self.program.child().wait()).await;
        let status = ended.expect("it ends by itself").expect("a child can be waited for");
        assert!(!status.success(), "it ended with {status}");
        self.log().split_off(before)
    }

    /// The process id; of a process that has ended, none.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.program.pid()
    }

    /// What its admin port answers at a path.
    pub(crate) async fn ask(&self, path: &str) -> Result<client::Response, String> {
        client::try_request(&self.admin, "GET", path, &[], Vec::new()).await
    }

    /// What it has logged behind so many bytes, and how many there are.
    pub(crate) fn log_behind(&self, bytes: usize) -> (String, usize) {
        let mut file = fs::File::open(&self.log).expect("a role has a log");
        file.seek(SeekFrom::Start(bytes as u64)).expect("a log is a file");
        let mut new = Vec::new();
        file.read_to_end(&mut new).expect("a log can be read");
        (String::from_utf8_lossy(&new).into_owned(), bytes + new.len())
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("a role has a log")
    }

    async fn ready(&mut self) {
        let (program, admin) = (&mut self.program, &self.admin);
        eventually(READY_TIMEOUT, "the role is ready", async || {
            program.assert_alive();
            let answer = client::try_request(admin, "GET", "/readyz", &[], Vec::new()).await?;
            if answer.status == 200 {
                Ok(())
            } else {
                Err(answer.text())
            }
        })
        .await;
    }
}

fn launch(arguments: &[String], settings: &Settings, log: &std::path::Path) -> Program {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Program::start(
        &format!("signalbox {}", arguments.join(" ")),
        &signalbox(),
        &arguments,
        settings,
        log,
        false,
    )
}

/// nats-server and every role beside it.
pub(crate) struct Cluster {
    // Dropped in this order: roles before their server, files last.
    roles: BTreeMap<&'static str, Role>,
    pub(crate) server: Server,
    /// `None` until all are ready.
    client: Option<Client>,
    /// Of the API and of publishing.
    addresses: [String; 2],
    key: String,
    folder: Folder,
}

impl Cluster {
    /// Starts all of them and waits until they are ready.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As [`Self::start`], with further settings.
    pub(crate) async fn start_with(more: &[(&str, &str)]) -> Self {
        let mut cluster = Self::launch(more, ROLES).await;
        cluster.server.restart().await;
        cluster.ready().await;
        cluster
    }

    /// Starts the roles in an order, and no nats-server.
    pub(crate) async fn without_server(order: [&'static str; 5]) -> Self {
        Self::launch(&[], order).await
    }

    async fn launch(more: &[(&str, &str)], order: [&'static str; 5]) -> Self {
        let folder = Folder::new();
        let server = Server::prepare(folder.path());
        let key = format!("sbx_{:016x}{:016x}", random(), random());
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a key file can be written");
            path.to_str().expect("the folder's name is UTF-8").to_owned()
        };
        let bytes: Vec<u8> = (0..4).flat_map(|_| random().to_be_bytes()).collect();
        let mut settings = settings();
        settings.extend([
            ("SIGNALBOX_NATS__URL".to_owned(), server.url()),
            (
                "SIGNALBOX_AUTH__ADMIN_KEY_FILE".to_owned(),
                write("admin.key", key.clone()),
            ),
            (
                "SIGNALBOX_SECRETS__KEY_FILE".to_owned(),
                write("master.key", STANDARD.encode(bytes)),
            ),
        ]);
        settings.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let (ingest, api) = (free_port(), free_port());
        let mut roles = BTreeMap::new();
        for name in order {
            let listen = match name {
                "api" => Some(api),
                "ingest" => Some(ingest),
                _ => None,
            };
            let admin = format!("127.0.0.1:{}", free_port());
            let mut arguments = vec![
                "run".to_owned(),
                name.to_owned(),
                "--admin-listen".to_owned(),
                admin.clone(),
            ];
            if name == "delivery" {
                arguments.extend(["--provider".to_owned(), "webhook".to_owned()]);
            }
            if let Some(port) = listen {
                arguments.extend(["--listen".to_owned(), format!("127.0.0.1:{port}")]);
            }
            let log = folder.path().join(format!("{name}.log"));
            let program = launch(&arguments, &settings, &log);
            let settings = settings.clone();
            roles.insert(
                name,
                Role {
                    arguments,
                    settings,
                    admin: format!("http://{admin}"),
                    log,
                    program,
                },
            );
        }
        let addresses = [format!("http://127.0.0.1:{api}"), format!("http://127.0.0.1:{ingest}")];
        Self {
            roles,
            server,
            client: None,
            addresses,
            key,
            folder,
        }
    }

    /// Waits until every role is ready, and connects a client.
    pub(crate) async fn ready(&mut self) {
        for role in self.roles.values_mut() {
            role.ready().await;
        }
        let [api, ingest] = &self.addresses;
        self.client = Some(Client::new(api, ingest, &self.server.url(), &self.key).await);
    }

    /// Starts so many processes more of the role `delivery`, and waits until they are ready.
    pub(crate) async fn more_workers(&self, count: usize) -> Vec<Role> {
        let first = &self.roles["delivery"];
        let mut workers = Vec::new();
        for number in 0..count {
            let admin = format!("127.0.0.1:{}", free_port());
            let old = first.admin.strip_prefix("http://").unwrap_or_default();
            let renamed = |argument: &String| {
                if argument == old {
                    admin.clone()
                } else {
                    argument.clone()
                }
            };
            let arguments: Vec<String> = first.arguments.iter().map(renamed).collect();
            let log = self.folder.path().join(format!("delivery-{}.log", number + 2));
            let mut role = Role {
                program: launch(&arguments, &first.settings, &log),
                settings: first.settings.clone(),
                admin: format!("http://{admin}"),
                arguments,
                log,
            };
            role.ready().await;
            workers.push(role);
        }
        workers
    }

    /// Starts a further process of a role beside the others, with further settings, and waits until it is ready. Gives
    /// its address, where it has one, too.
    pub(crate) async fn further(&self, name: &str, more: &[(&str, &str)]) -> (Role, String) {
        let mut settings = self.roles["api"].settings.clone();
        settings.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let (admin, listen) = (
            format!("127.0.0.1:{}", free_port()),
            format!("127.0.0.1:{}", free_port()),
        );
        let mut arguments = ["run", name, "--admin-listen", &admin].map(str::to_owned).to_vec();
        if ["api", "ingest"].contains(&name) {
            arguments.extend(["--listen".to_owned(), listen.clone()]);
        }
        let log = self.folder.path().join(format!("further-{name}.log"));
        let mut role = Role {
            program: launch(&arguments, &settings, &log),
            settings,
            admin: format!("http://{admin}"),
            arguments,
            log,
        };
        role.ready().await;
        (role, format!("http://{listen}"))
    }

    pub(crate) fn client(&self) -> &Client {
        self.client.as_ref().expect("the roles are ready")
    }

    /// The file of the sealing keys, which all roles share.
    pub(crate) fn key_file(&self) -> std::path::PathBuf {
        self.folder.path().join("master.key")
    }

    /// The role of this name.
    pub(crate) fn role(&mut self, name: &str) -> &mut Role {
        self.roles
            .get_mut(name)
            .unwrap_or_else(|| panic!("there is no role {name} in {}", self.folder.path().display()))
    }

    /// Fails if any process has ended by itself.
    pub(crate) fn assert_alive(&mut self) {
        self.server.assert_alive();
        self.assert_roles_alive();
    }

    /// As [`Self::assert_alive`], while the server is gone on purpose.
    pub(crate) fn assert_roles_alive(&mut self) {
        self.roles.values_mut().for_each(Role::assert_alive);
    }
}

fn random() -> u64 {
    getrandom::u64().expect("the system gives random numbers")
}
