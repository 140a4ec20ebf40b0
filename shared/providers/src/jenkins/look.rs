//! Looking for a build at Jenkins.
//!
//! Jenkins looks itself, by an expression (XPath) over what it lists: whole lists with the parameters of all builds would be
//! larger than is read. First the queue is looked through, then the builds, since the way leads from the one to the other.

use serde::Deserialize;
use signalbox_proto::{Delivery, Timestamp};

use super::{Prepared, QUEUED, answers, build_lessons, parameters::MARK};
use crate::{
    fields,
    http::Response,
    mended,
    once::{CLOCKS, Seen, listed},
    things::{Known, Lesson},
};

/// Builds that are looked through, the newest: as many as Jenkins lists without reading all of them.
const BUILDS: usize = 100;
/// The element around what was found.
const FOUND: &str = "found";

/// Where a place in the queue has led.
#[derive(Deserialize)]
struct Item {
    executable: Option<Executable>,
}

#[derive(Deserialize)]
struct Executable {
    number: Option<u64>,
    url: Option<String>,
}

/// What tells whether a look through the builds has seen ours.
#[derive(Deserialize)]
struct Job {
    #[serde(default)]
    property: Vec<Property>,
    #[serde(default)]
    builds: Vec<Build>,
}

#[derive(Deserialize)]
struct Property {
    #[serde(default, rename = "parameterDefinitions")]
    definitions: Vec<Definition>,
}

#[derive(Deserialize)]
struct Definition {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Build {
    /// In milliseconds since 1970.
    timestamp: Option<i64>,
}

/// What is learnt from a place in the queue that a build has left.
pub(super) fn left(response: &Response) -> Option<Vec<Lesson>> {
    if response.status != 200 {
        return None;
    }
    let Executable { number, url } = mended::object::<Item>(response)?.executable?;
    Some(build_lessons(number?, url.as_deref()).collect())
}

/// Looks for the build of a delivery by its parameter.
pub(super) fn find(
    prepared: &Prepared,
    delivery: &Delivery,
    known: &Known<'_>,
    since: Timestamp,
    now: Timestamp,
) -> Seen {
    let ours = format!("//*[action/parameter[name='{MARK}' and value='{}']]", delivery.id);
    let queue = Look {
        name: "queue",
        url: fields::below(&prepared.base, &["queue", "api", "xml"]),
        tree: "items[id,actions[parameters[name,value]]]".to_owned(),
        xpath: format!("{ours}/id"),
    };
    let found = match queue.seen(prepared, known, now) {
        Ok(found) => found,
        Err(seen) => return seen,
    };
    if let Some(item) = number(&found, "id") {
        return Seen::Found(vec![Lesson::Fact(QUEUED.into(), item.to_string())]);
    }
    let builds = Look {
        name: "builds",
        url: fields::below(&prepared.job, &["api", "xml"]),
        tree: format!("builds[number,url,queueId,actions[parameters[name,value]]]{{0,{BUILDS}}}"),
        xpath: format!("{ours}/*[self::number or self::url or self::queueId]"),
    };
    let found = match builds.seen(prepared, known, now) {
        Ok(found) => found,
        Err(seen) => return seen,
    };
    if let Some(build) = number(&found, "number") {
        // Without it the build is known all the same.
        let item = number(&found, "queueId").unwrap_or_default();
        let fact = Lesson::Fact(QUEUED.into(), item.to_string());
        let url = element(&found, "url").map(|url| url.replace("&amp;", "&"));
        return Seen::Found([fact].into_iter().chain(build_lessons(build, url.as_deref())).collect());
    }
    could_be_seen(prepared, known, since, now)
}

/// One look by an expression.
struct Look {
    name: &'static str,
    url: url::Url,
    tree: String,
    xpath: String,
}

impl Look {
    /// What was found, as XML.
    fn seen(self, prepared: &Prepared, known: &Known<'_>, now: Timestamp) -> Result<String, Seen> {
        let Some(response) = known.answer(self.name) else {
            let query = [("tree", &*self.tree), ("xpath", &*self.xpath), ("wrapper", FOUND)];
            return Err(Seen::Ask(self.name.into(), Box::new(prepared.get(self.url, &query))));
        };
        if response.status != 200 {
            return Err(Seen::End(answers::refusal(response, now)));
        }
        let text = String::from_utf8_lossy(&response.body).into_owned();
        let is_ours = text.contains("<found/>") || text.contains("<found>");
        if is_ours {
            Ok(text)
        } else {
            Err(Seen::End(listed::strange()))
        }
    }
}

/// Whether a build of ours would have been seen: its job has the parameter that it is known by, and not so many builds were
/// begun since that ours may be behind them.
fn could_be_seen(prepared: &Prepared, known: &Known<'_>, since: Timestamp, now: Timestamp) -> Seen {
    const JOB: &str = "job";
    let Some(response) = known.answer(JOB) else {
        let tree = format!(
            "property[parameterDefinitions[name]],builds[timestamp]{{{},{BUILDS}}}",
            BUILDS - 1
        );
        let url = fields::below(&prepared.job, &["api", "json"]);
        return Seen::Ask(JOB.into(), Box::new(prepared.get(url, &[("tree", &*tree)])));
    };
    if response.status != 200 {
        return Seen::End(answers::refusal(response, now));
    }
    let Some(Job { property, builds }) = mended::object::<Job>(response) else {
        return Seen::End(listed::strange());
    };
    let mut definitions = property.iter().flat_map(|property| &property.definitions);
    let is_mark = |definition: &Definition| definition.name.as_deref() == Some(MARK);
    if !definitions.any(is_mark) {
        return Seen::Unclear(
            "the job has no parameter signalbox_delivery, by which a build could be told from others",
        );
    }
    let oldest = (since - CLOCKS).millis();
    let too_many = builds.iter().any(|build| build.timestamp.is_none_or(|at| at >= oldest));
    match too_many {
        true => Seen::Unclear("too many builds were begun since then to look through"),
        false => Seen::Absent,
    }
}

/// The text of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text)
}

fn number(xml: &str, name: &str) -> Option<u64> {
    element(xml, name)?.trim().parse().ok()
}
