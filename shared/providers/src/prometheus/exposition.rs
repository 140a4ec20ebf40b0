//! Totals as Prometheus reads them: the text format 0.0.4.

use std::fmt::Write as _;

use signalbox_proto::totals::Totals;

/// The type of such a body.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The label of a counter.
pub(super) const LABEL: &str = "agent_id";
/// What is behind the kind in the name of a counter.
const SUFFIX: &str = "_total";
/// Room for most bodies.
const BODY_BYTES: usize = 2 * 1024;

/// All counters, sorted. Kinds are of letters, digits and `_` alone; agents are any text.
pub(super) fn write(prefix: &str, totals: &Totals) -> Vec<u8> {
    let mut body = String::with_capacity(BODY_BYTES);
    for (kind, agents) in totals.kinds() {
        // It follows from the name alone: a name has one help, whichever groups it stands in.
        _ = writeln!(
            body,
            "# HELP {prefix}_{kind}{SUFFIX} Events of the type {kind}.\n# TYPE {prefix}_{kind}{SUFFIX} counter"
        );
        for (agent, total) in agents {
            _ = write!(body, "{prefix}_{kind}{SUFFIX}{{{LABEL}=\"");
            escape(agent, &mut body);
            _ = writeln!(body, "\"}} {total}");
        }
    }
    body.into_bytes()
}

/// What stands between the quotes of a label.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}
