//! The page as HTML.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    openapi,
    routes::{Answer, Place, Route, Shape, TAGS, Taken, Who},
};

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--get:#2a7;--post:#27c;--put:#a70;--delete:#c33}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}\
nav{columns:2;font-size:.9rem}nav ul{margin:0 0 .8rem;padding:0;list-style:none;break-inside:avoid}\
code,pre{font:.875em/1.45 ui-monospace,monospace}pre{overflow:auto;padding:.7rem;background:var(--soft);border-radius:.3rem}\
section{border-top:1px solid var(--line);margin-top:1.2rem;padding-top:.4rem}h3 code{font-size:1rem}\
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;\
border-bottom:1px solid var(--line)}b.method{font:700 .8rem ui-monospace,monospace;color:#fff;padding:.1rem .4rem;border-radius:.2rem;\
background:var(--post)}b.GET{background:var(--get)}b.PUT{background:var(--put)}b.DELETE{background:var(--delete)}\
details{margin:.3rem 0}summary{cursor:pointer}";

/// The whole page. `document` is the OpenAPI document of the same table.
pub(super) fn page(table: &[Route], document: &Value) -> String {
    let mut page = String::new();
    let version = document["info"]["version"].as_str().unwrap_or_default();
    let about = document["info"]["description"].as_str().unwrap_or_default();
    add(
        &mut page,
        format_args!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>Signalbox API</title><style>{STYLE}</style></head><body>\
             <h1>Signalbox API <small>{}</small></h1>{}<p>The same for programs: <a href=\"/openapi.json\">OpenAPI 3.1</a>.</p>",
            escape(version),
            prose(about)
        ),
    );
    page.push_str("<nav>");
    for (tag, _) in TAGS {
        add(&mut page, format_args!("<ul><li><b>{}</b></li>", escape(tag)));
        for route in of_tag(table, tag) {
            add(
                &mut page,
                format_args!("<li><a href=\"#{}\">{}</a></li>", route.id, escape(route.summary)),
            );
        }
        page.push_str("</ul>");
    }
    page.push_str("</nav>");
    let schemas = &document["components"]["schemas"];
    for (tag, about) in TAGS {
        add(
            &mut page,
            format_args!("<h2>{}</h2><p>{}</p>", escape(tag), escape(about)),
        );
        for route in of_tag(table, tag) {
            section(&mut page, route, schemas);
        }
    }
    page.push_str("<h2>schemas</h2>");
    for (name, schema) in schemas.as_object().into_iter().flatten() {
        add(
            &mut page,
            format_args!(
                "<details><summary><code>{name}</code></summary><div id=\"schema-{name}\">{}</div></details>",
                pretty(schema),
                name = escape(name)
            ),
        );
    }
    page.push_str("</body></html>");
    page
}

fn of_tag<'t>(table: &'t [Route], tag: &'t str) -> impl Iterator<Item = &'t Route> {
    table.iter().filter(move |route| route.tag == tag)
}

fn section(page: &mut String, route: &Route, schemas: &Value) {
    let method = route.method.as_str();
    add(
        page,
        format_args!(
            "<section id=\"{}\"><h3><b class=\"method {method}\">{method}</b> <code>{}</code> {}</h3>{}",
            route.id,
            escape(route.path),
            escape(route.summary),
            prose(&openapi::description(route))
        ),
    );
    let params = openapi::all_params(route);
    if !params.is_empty() {
        page.push_str("<table><tr><th>Parameter</th><th>In</th><th>What</th></tr>");
        for param in params {
            add(
                page,
                format_args!(
                    "<tr><td><code>{}</code></td><td>{}</td><td>{}{}</td></tr>",
                    escape(param.name),
                    param.place.as_str(),
                    inline(param.about),
                    bounds(&param.schema)
                ),
            );
        }
        page.push_str("</table>");
    }
    if let Some(Taken { kinds, .. }) = &route.body {
        for (media, shape) in kinds {
            folded(page, &format!("Body: {media}"), shape, schemas);
        }
    }
    page.push_str("<table><tr><th>Status</th><th>Answer</th></tr>");
    for Answer { status, about, .. } in &route.answers {
        add(
            page,
            format_args!("<tr><td>{status}</td><td>{}</td></tr>", inline(about)),
        );
    }
    for (status, codes) in openapi::refusals(route) {
        let codes: Vec<String> = codes
            .iter()
            .map(|(code, about)| format!("<code>{}</code> {}", escape(code), inline(about)))
            .collect();
        add(
            page,
            format_args!("<tr><td>{status}</td><td>{}</td></tr>", codes.join("<br>")),
        );
    }
    page.push_str("</table>");
    for Answer { status, shapes, .. } in &route.answers {
        for shape in shapes {
            folded(page, &format!("Answer {status}"), shape, schemas);
        }
    }
    add(page, format_args!("<pre>{}</pre></section>", escape(&curl(route))));
}

/// A schema, with links to those that it names.
fn folded(page: &mut String, title: &str, shape: &Shape, schemas: &Value) {
    let Some(schema) = schemas.get(&shape.name) else { return };
    let mut named = openapi::references(schema);
    named.sort();
    named.dedup();
    let links: Vec<String> = named
        .iter()
        .map(|name| format!("<a href=\"#schema-{name}\">{name}</a>", name = escape(name)))
        .collect();
    add(
        page,
        format_args!(
            "<details><summary>{}: <code>{}</code></summary>{}<p>{}</p></details>",
            escape(title),
            escape(&shape.name),
            pretty(schema),
            links.join(" · ")
        ),
    );
}

/// What a parameter may be, in a few words.
fn bounds(schema: &Value) -> String {
    let mut words = Vec::new();
    if let Some(list) = schema.get("enum").and_then(Value::as_array) {
        let list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        words.push(format!("one of {}", list.join(", ")));
    }
    for (field, word) in [
        ("minimum", "from"),
        ("maximum", "to"),
        ("default", "default"),
        ("pattern", "as"),
    ] {
        if let Some(value) = schema.get(field) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            words.push(format!("{word} {text}"));
        }
    }
    if words.is_empty() {
        String::new()
    } else {
        format!(" <small>({})</small>", escape(&words.join(", ")))
    }
}

/// A request that can be tried.
pub(super) fn curl(route: &Route) -> String {
    let mut address = route.path.to_owned();
    for param in route.params.iter().filter(|param| param.place == Place::Path) {
        address = address.replace(&format!("{{{}}}", param.name), &param.example());
    }
    let mut command = String::from("curl");
    let method = route.method.as_str();
    if method != "GET" {
        add(&mut command, format_args!(" -X {method}"));
    }
    add(&mut command, format_args!(" 'http://127.0.0.1:8080{address}'"));
    if route.access != Who::Anyone {
        command.push_str(" \\\n  -H \"Authorization: Bearer $SIGNALBOX_KEY\"");
    }
    if let Some(body) = &route.body {
        let body = body.example.to_string().replace('\'', "'\\''");
        add(
            &mut command,
            format_args!(" \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'"),
        );
    }
    command
}

fn pretty(schema: &Value) -> String {
    format!("<pre>{}</pre>", escape(&format!("{schema:#}")))
}

/// Paragraphs.
fn prose(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| format!("<p>{}</p>", inline(paragraph)));
    paragraphs.collect()
}

/// A line with `code` and **strong** words.
fn inline(text: &str) -> String {
    let mut line = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            add(&mut line, format_args!("<code>{}</code>", escape(part)));
            continue;
        }
        for (index, part) in part.split("**").enumerate() {
            match index % 2 {
                1 => add(&mut line, format_args!("<b>{}</b>", escape(part))),
                _ => line.push_str(&escape(part)),
            }
        }
    }
    line
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a String takes everything");
}
