//! The files of the workspace.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folders that hold our code.
const CODE: [&str; 4] = ["proto", "shared", "services", "tests"];

/// One Rust source.
pub(crate) struct Source {
    /// From the root of the workspace, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

impl Source {
    /// Whether it only takes part in tests or benchmarks.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.ends_with("/tests.rs")
            || ["/tests/", "/benches/"].iter().any(|folder| self.path.contains(folder))
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies in the workspace")
        .to_path_buf()
}

/// All Rust sources, by path.
pub(crate) fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in CODE {
        walk(&root().join(folder), &mut paths);
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.sort();
    assert!(!paths.is_empty(), "no sources below {}", root().display());
    paths
        .iter()
        .map(|path| Source {
            path: relative(path),
            text: read(path),
        })
        .collect()
}

/// What ships and how it is built, by path: sources, settings, scripts, the build. Documents, tests, benchmarks and what they
/// compare with are none of it.
pub(crate) fn shipped() -> Vec<Source> {
    const FOLDERS: [&str; 7] = ["proto", "shared", "services", "examples", "scripts", ".ci", ".cargo"];
    const FILES: [&str; 6] = [
        "Cargo.toml",
        "Dockerfile",
        "Makefile",
        "clippy.toml",
        "deny.toml",
        "docker-compose.yml",
    ];
    let mut paths: Vec<PathBuf> = FILES.iter().map(|file| root().join(file)).collect();
    for folder in FOLDERS {
        walk(&root().join(folder), &mut paths);
    }
    let mut shipped: Vec<Source> = paths
        .iter()
        .filter(|path| path.extension().is_none_or(|extension| extension != "md"))
        .map(|path| (path, relative(path)))
        .filter(|(_, path)| {
            !["/golden/", "/tests/", "/proptest-regressions/"]
                .iter()
                .any(|part| path.contains(part))
        })
        .map(|(path, relative)| Source {
            path: relative,
            text: without_tests(&read(path)),
        })
        .filter(|source| !source.is_test())
        .collect();
    shipped.sort_by(|a, b| a.path.cmp(&b.path));
    shipped
}

/// A source up to its tests, where they stand in the same file.
fn without_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text.split_at(end).0.to_owned()
}

/// The folders directly inside a folder of the workspace, by name.
pub(crate) fn folders(inside: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join(inside))
        .expect(inside)
        .map(|entry| entry.expect(inside))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("names are UTF-8"))
        .collect();
    names.sort();
    names
}

/// A file of the workspace.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A path from the root of the workspace, with `/`.
fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).expect("inside the workspace");
    path.iter()
        .map(|part| part.to_str().expect("names are UTF-8"))
        .collect::<Vec<_>>()
        .join("/")
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, paths);
        } else {
            paths.push(path);
        }
    }
}
