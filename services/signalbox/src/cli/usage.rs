//! A command line that cannot be read: what is wrong with it, for people or for programs.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{
    Error,
    error::{ContextKind, ContextValue, ErrorKind},
};
use serde_json::{Value, json};

use super::{Failure, Format, say};

/// Prints help, or says what is wrong with `arguments`; gives the exit code.
pub(super) fn report(error: &Error, arguments: &[String]) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(1);
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match error.print() {
            Ok(()) => ExitCode::from(code),
            Err(error) => Failure::from(error).report(Format::Table),
        };
    }
    let negative = negative(error, arguments);
    if wants_json(arguments) {
        say(&document(error, negative).to_string());
    } else if let Some(negative) = negative {
        say(&format!("error: {negative}\n\nFor more information, try '--help'."));
    } else {
        // There is nobody to tell that standard error is closed.
        drop(error.print());
    }
    drop(io::stderr().flush());
    ExitCode::from(code)
}

/// A whole number of an option.
pub(crate) fn whole(given: &str) -> Result<u32, String> {
    let number = given.parse();
    number.map_err(|_| format!("is not a whole number from 0 to {}", u32::MAX))
}

/// Whether `--output json` is somewhere in a command line that could not be read.
fn wants_json(arguments: &[String]) -> bool {
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    let mut pairs = pairs.filter(|(name, _)| *name == "--output");
    arguments.iter().any(|argument| argument == "--output=json") || pairs.any(|(_, value)| value == "json")
}

/// A negative number looks like an unknown option, which would be a riddle: what it was given for is named instead.
fn negative(error: &Error, arguments: &[String]) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let found = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(found) => found,
        _ => return None,
    };
    let is_number = |text: &str| {
        text.strip_prefix('-')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    if !is_number(found) {
        return None;
    }
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    let mut pairs = pairs.filter(|(name, value)| name.starts_with("--") && value.starts_with(found.as_str()));
    let (name, value) = pairs.next()?;
    Some(format!(
        "{name}: {value} is negative: numbers begin at 0, and a duration such as 2h says how long ago as it is"
    ))
}

/// What is wrong as a problem document.
fn document(error: &Error, negative: Option<String>) -> Value {
    let detail = negative.unwrap_or_else(|| match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command is missing: `--help` lists what can be said".to_owned()
        }
        _ => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            let lines = text.lines().map(str::trim);
            let lines =
                lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
            let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
            lines.join(" ")
        }
    });
    let mut document = json!({ "code": "usage", "detail": detail });
    let field = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(field)) => Some(field.as_str()),
        Some(ContextValue::Strings(fields)) => fields.first().map(String::as_str),
        _ => None,
    };
    // `--org <ORG>`: the name alone.
    if let Some(field) = field.and_then(|field| field.split(' ').next()) {
        document["field"] = field.into();
    }
    document
}

#[cfg(test)]
mod tests;
