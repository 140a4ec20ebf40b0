//! The reference of all settings, made from the defaults that are compiled in: each has its comment above it.

use std::collections::BTreeMap;

const HEAD: &str = "\
# Settings

Made by `signalbox config --reference` from the defaults that are compiled in; a test holds this page to them.

Each setting has a default. A file `signalbox.toml` in the working directory (or `--settings FILE`) goes over the
defaults, and the environment over the file: `SIGNALBOX_<SECTION>__<KEY>`, lists joined by commas. Only variables with
two underscores are settings: `SIGNALBOX_URL`, `SIGNALBOX_KEY` and `SIGNALBOX_DATA_DIR` are flags of the command line. A
wrong value, or a name that no default knows, stops the start and is named. `signalbox config` prints what counts and
where each value came from, secrets masked.
";

/// A setting as its section's file has it.
struct Setting {
    comment: String,
    key: String,
    default: String,
}

/// Writes the page from the texts of all `config.toml`.
pub(super) fn markdown<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut sections: BTreeMap<String, Vec<Setting>> = BTreeMap::new();
    for text in texts {
        read(text, &mut sections);
    }
    let mut page = HEAD.to_owned();
    for (section, settings) in &sections {
        page.push_str(&format!(
            "\n## {section}\n\n| Setting | Default | What |\n| --- | --- | --- |\n"
        ));
        for Setting { comment, key, default } in settings {
            let comment = comment.replace('|', "\\|");
            page.push_str(&format!("| `{section}.{key}` | `{default}` | {comment} |\n"));
        }
    }
    page
}

fn read(text: &str, sections: &mut BTreeMap<String, Vec<Setting>>) {
    let mut section = String::new();
    let mut comment = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            // What stands above a section is about the file.
            comment.clear();
        } else if let Some(more) = line.strip_prefix('#') {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str(more.trim());
        } else if let Some((key, default)) = line.split_once('=') {
            let settings = sections.entry(section.clone()).or_default();
            let comment = if comment.is_empty() {
                // A group of alike settings shares the comment of its first.
                settings.last().map(|last| last.comment.clone()).unwrap_or_default()
            } else {
                std::mem::take(&mut comment)
            };
            settings.push(Setting {
                comment,
                key: key.trim().to_owned(),
                default: default.trim().to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_on_the_page_with_its_default_and_its_comment() {
        let text = "# The file.\n[a]\n# One\n# thing.\nx = 1\n# Two.\ny = \"b\"\nz = \"\"\n";
        let page = markdown([text].into_iter());
        for row in [
            "| `a.x` | `1` | One thing. |",
            "| `a.y` | `\"b\"` | Two. |",
            "| `a.z` | `\"\"` | Two. |",
        ] {
            assert!(page.contains(row), "{row} in\n{page}");
        }
        assert!(!page.contains("The file"), "{page}");
    }
}
