//! How a command fails: what it says on standard error, and its exit code.
//!
//! People read a sentence that names the remedy; with `--output json` it is a problem document as the API gives them.

use std::{io, process::ExitCode};

use serde_json::{Value, json};

use super::{Format, say};
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
    /// What the caller can do about it, where this side knows more than the API.
    pub remedy: Option<String>,
}

impl Problem {
    /// The stable word for what is wrong.
    pub(crate) fn code(&self) -> &str {
        self.document["code"].as_str().unwrap_or_default()
    }
}

impl Failure {
    /// Says why on standard error and gives the exit code.
    pub(crate) fn report(self, format: Format) -> ExitCode {
        // Whoever reads our output has seen enough.
        if matches!(&self, Self::Failed(error) if is_broken_pipe(error)) {
            return ExitCode::SUCCESS;
        }
        say(&match format {
            Format::Table => format!("error: {}", self.text()),
            Format::Json => self.document().to_string(),
        });
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => FAILED,
            Self::Usage(_) => USAGE,
            Self::NotFound(_) => NOT_FOUND,
            Self::Refused(_) => REFUSED,
            Self::Problem(problem) => code_of(problem.status),
        }
    }

    /// For people.
    fn text(&self) -> String {
        match self {
            Self::Failed(error) => format!("{error:#}"),
            Self::Usage(message) | Self::NotFound(message) | Self::Refused(message) => message.clone(),
            Self::Problem(problem) => text_of(problem),
        }
    }

    /// For programs, which find `code` and `detail` whoever refused.
    fn document(&self) -> Value {
        let code = match self {
            Self::Failed(_) => "failed",
            Self::Usage(_) => "usage",
            Self::NotFound(_) => "not_found",
            Self::Refused(_) => "refused",
            Self::Problem(problem) => {
                let mut document = problem.document.clone();
                if let Some(remedy) = &problem.remedy {
                    document["remedy"] = remedy.as_str().into();
                }
                return document;
            }
        };
        json!({ "code": code, "detail": self.text() })
    }
}

/// Why a file cannot be read or written, in the words of people.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not".to_owned(),
        io::ErrorKind::InvalidData => "it is not text in UTF-8".to_owned(),
        _ => error.to_string(),
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
    if let Some(remedy) = &problem.remedy {
        text.push_str(&format!("\n{remedy}"));
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
                Self::Failed(anyhow::anyhow!("cannot read {}: {}", path.display(), reason(&error)))
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

#[cfg(test)]
mod tests;
