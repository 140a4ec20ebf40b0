//! Tags as Datadog keeps them.
//!
//! It writes other characters than those allowed as `_` and lets case go. Two texts that become one tag are one series to
//! it, so this is done here, where their counts can still be added.

/// Longest tag, its key with it, in characters.
pub(super) const TAG_CHARS_MAX: usize = 200;
/// The agent of an event that names none.
pub(super) const NO_AGENT: &str = "system";
/// A value of which nothing is left.
const NOTHING_LEFT: &str = "unnamed";

/// The tag of an event's type.
pub(super) fn event_type(name: &str) -> String {
    keyed("event_type:", name)
}

/// The tag of the agent that an event concerns.
pub(super) fn agent(id: Option<&str>) -> String {
    keyed("agent_id:", id.filter(|id| !id.is_empty()).unwrap_or(NO_AGENT))
}

/// A tag of this key, which ends in a colon. It is never without a value: that would be no tag.
pub(super) fn keyed(key: &str, value: &str) -> String {
    let mut tag = String::with_capacity(key.len() + value.len());
    tag.push_str(key);
    push_clean(&mut tag, value, TAG_CHARS_MAX - key.len());
    if tag.len() == key.len() {
        tag.push_str(NOTHING_LEFT);
    }
    tag
}

/// A tag that an owner wrote, as it is kept; `None` where nothing is left of it.
pub(super) fn own(written: &str) -> Option<String> {
    // A tag begins with a letter.
    let begun = written.trim_start_matches(|c: char| !c.is_alphabetic());
    let mut tag = String::with_capacity(begun.len());
    push_clean(&mut tag, begun, TAG_CHARS_MAX);
    (!tag.is_empty()).then_some(tag)
}

/// Appends a text in lower case, each run of other characters as one `_`, and none of them or a colon at the end.
fn push_clean(tag: &mut String, text: &str, chars_max: usize) {
    let begin = tag.len();
    let mut count = 0;
    'text: for c in text.chars() {
        if c.is_alphanumeric() {
            // Some become several, of which not all are letters.
            for lower in c.to_lowercase().filter(|lower| lower.is_alphanumeric()) {
                if count == chars_max {
                    break 'text;
                }
                tag.push(lower);
                count += 1;
            }
            continue;
        }
        let kept = if matches!(c, '-' | ':' | '.' | '/') { c } else { '_' };
        if kept == '_' && tag.ends_with('_') {
            continue;
        }
        if count == chars_max {
            break;
        }
        tag.push(kept);
        count += 1;
    }
    while tag.len() > begin && tag.ends_with(['_', ':']) {
        tag.pop();
    }
}

#[cfg(test)]
mod tests;
