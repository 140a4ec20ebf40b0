//! A store that nobody here wrote: moto, which keeps objects in memory and speaks the protocol of Amazon's.

use std::{collections::BTreeMap, fs, time::Duration};

use super::{
    client::{Response, try_request},
    process::{Folder, Program, Settings, free_port},
    wait::eventually,
};
use crate::foreign::python;

/// How long a start may take: Python reads much.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A running store with one bucket.
pub(crate) struct Store {
    _program: Program,
    port: u16,
    bucket: &'static str,
    _folder: Folder,
}

impl Store {
    pub(crate) async fn start(bucket: &'static str) -> Self {
        let (folder, port) = (Folder::new(), free_port());
        fs::create_dir_all(folder.path()).expect("the folder can be made");
        let log = folder.path().join("moto.log");
        let number = port.to_string();
        let arguments = ["-m", "moto.server", "-H", "127.0.0.1", "-p", &number];
        let program = Program::start("moto", &python(), &arguments, &Settings::new(), &log, false);
        let store = Self {
            _program: program,
            port,
            bucket,
            _folder: folder,
        };
        eventually(
            READY_TIMEOUT,
            "the store takes a bucket (`make tools` installs it)",
            async || match store.request("PUT", &format!("/{bucket}")).await? {
                answer if answer.status == 200 => Ok(()),
                answer => Err(answer.text()),
            },
        )
        .await;
        store
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn request(&self, method: &str, path: &str) -> Result<Response, String> {
        try_request(&self.url(), method, path, &[], Vec::new()).await
    }

    /// The keys of all objects.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().map(|key| format!("&start-after={key}")).unwrap_or_default();
            let path = format!("/{}?list-type=2{after}", self.bucket);
            let answer = self.request("GET", &path).await.expect("the store answers");
            assert_eq!(answer.status, 200, "{}", answer.text());
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let found = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
            keys.extend(found.map(|(key, _)| key.to_owned()));
            if !text.contains("<IsTruncated>true</IsTruncated>") {
                return keys;
            }
        }
    }

    /// All objects by their keys.
    pub(crate) async fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = BTreeMap::new();
        for key in self.keys().await {
            let path = format!("/{}/{key}", self.bucket);
            let answer = self.request("GET", &path).await.expect("the store answers");
            assert_eq!(answer.status, 200, "{}", answer.text());
            objects.insert(key, answer.body.to_vec());
        }
        objects
    }
}
