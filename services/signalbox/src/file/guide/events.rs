//! Event names with underscores, as the guide writes them, and the types that they stand for.

use signalbox_proto::types::BUILT_IN;
use signalbox_providers::wording;

/// The type or pattern that a name stands for. What has dots or wildcards, or no underscore, is taken as it is.
pub(super) fn translate(name: &str) -> Result<String, String> {
    if name.contains(['.', '*', '>']) || !name.contains('_') {
        return Ok(name.to_owned());
    }
    let old: Vec<String> = BUILT_IN.iter().map(|known| known.name.replace('.', "_")).collect();
    if let Some(index) = old.iter().position(|known| known == name) {
        return Ok(BUILT_IN[index].name.to_owned());
    }
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    let family = |name: &str| name.split('_').next().unwrap_or_default().to_owned();
    let relatives: Vec<&str> = old
        .iter()
        .copied()
        .filter(|known| family(known) == family(name))
        .collect();
    let right = match wording::nearest(name, &old) {
        _ if !relatives.is_empty() => format!("there are {}", relatives.join(", ")),
        Some(known) => format!("did you mean {known}?"),
        None => format!("there are {}", old.join(", ")),
    };
    let quoted: String = name.chars().take(80).collect();
    Err(format!(
        "{quoted:?} is not the name of a built-in event: {right} (other types are written with dots)"
    ))
}

#[cfg(test)]
mod tests;
