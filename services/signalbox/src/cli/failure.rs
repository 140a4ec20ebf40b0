//! How a command fails: what it says on standard error, and its exit code.

use std::{io, process::ExitCode};

use serde_json::Value;

use super::say;
use crate::file;

/// Something failed.
const FAILED: u8 = 1;
/// The command was not given as it must be.
const USAGE: u8 = 2;
/// What was asked for is not there.
const NOT_FOUND: u8 = 3;
/// The API said no.
const REFUSED: u8 = 4;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something between us and the API, or here.
    Failed(anyhow::Error),
    /// The arguments do not fit together.
    Usage(String),
    /// What was asked for is not there, as found out here.
    NotFound(String),
    /// The API answered with a problem document.
    Problem(Problem),
    /// What the caller wrote is refused; each line says where and why.
    Refused(String),
}

/// A problem document of the API.
#[derive(Debug)]
pub(crate) struct Problem {
    pub status: u16,
    pub document: Value,
}

impl Problem {
    /// The stable word for what is wrong.
    pub(crate) fn code(&self) -> &str {
        self.document["code"].as_str().unwrap_or_default()
    }
}

impl Failure {
    /// Says why on standard error and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (code, message) = match self {
            // Whoever reads our output has seen enough.
            Self::Failed(error) if is_broken_pipe(&error) => return ExitCode::SUCCESS,
            Self::Failed(error) => (FAILED, format!("{error:#}")),
            Self::Usage(message) => (USAGE, message),
            Self::NotFound(message) => (NOT_FOUND, message),
            Self::Refused(message) => (REFUSED, message),
            Self::Problem(problem) => (code_of(problem.status), text_of(&problem)),
        };
        say(&format!("error: {message}"));
        ExitCode::from(code)
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

fn code_of(status: u16) -> u8 {
    match status {
        404 => NOT_FOUND,
        400..=499 => REFUSED,
        _ => FAILED,
    }
}

fn text_of(problem: &Problem) -> String {
    let document = &problem.document;
    let detail = document["detail"]
        .as_str()
        .unwrap_or("the API refused without saying why");
    let mut text = match document["field"].as_str() {
        Some(field) => format!("{field}: {detail}"),
        None => detail.to_owned(),
    };
    if matches!(problem.code(), "unauthenticated" | "bad_key") {
        text.push_str(
            "\ngive the admin key with --key or SIGNALBOX_KEY, or the folder with its admin.key with --data-dir",
        );
    }
    for source in document["sources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        text.push_str(&format!("\n  --source {source}"));
    }
    text
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<file::Error> for Failure {
    fn from(error: file::Error) -> Self {
        match error {
            file::Error::Unreadable(path, error) => {
                Self::Failed(anyhow::Error::new(error).context(format!("cannot read {}", path.display())))
            }
            file::Error::Invalid(invalid) => invalid.into(),
        }
    }
}

impl From<file::Invalid> for Failure {
    fn from(invalid: crate::file::Invalid) -> Self {
        Self::Refused(invalid.to_string())
    }
}
