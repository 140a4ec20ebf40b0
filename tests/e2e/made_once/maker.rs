//! GitHub, GitLab and Jenkins as far as they are asked to make something and to show what they have made: each request makes
//! another, whatever is answered to it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use signalbox_proto::Timestamp;

use crate::harness::{Answer, Target, target::Received};

/// How long a vendor takes for an answer.
const ANSWER_AFTER: Duration = Duration::from_millis(20);
/// The issue that is commented on.
const COMMENTED: u32 = 7;
/// Builds of a job that are listed.
const BUILDS_MAX: usize = 100;

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    GithubIssue,
    GithubComment,
    GithubRun,
    GitlabPipeline,
    GitlabIssue,
    JenkinsBuild,
}

/// All of them.
pub(super) const SORTS: [Sort; 6] = [
    Sort::GithubIssue,
    Sort::GithubComment,
    Sort::GithubRun,
    Sort::GitlabPipeline,
    Sort::GitlabIssue,
    Sort::JenkinsBuild,
];

/// How a vendor behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manner {
    /// It does what it is asked for, and says so.
    #[default]
    Answers,
    /// It makes what it is asked for and says nothing; it shows what it has made.
    MakesSilently,
    /// As [`Self::MakesSilently`], and it shows nothing either.
    Silent,
    /// It makes nothing, and says nothing of that.
    Loses,
}

/// One vendor.
pub(super) struct Maker {
    sort: Sort,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    manner: Manner,
    made: Vec<Made>,
    /// How often it was asked to make something, and to show what it has made.
    asked: usize,
    looked: usize,
}

#[derive(Clone)]
struct Made {
    id: usize,
    at: Timestamp,
    /// The delivery that it was made for.
    mark: String,
    /// The text of an issue or a comment.
    text: String,
}

impl Maker {
    /// One at this target, below the path of its name.
    pub(super) fn at(target: &Target, sort: Sort) -> Arc<Self> {
        let maker = Arc::new(Self {
            sort,
            state: Mutex::default(),
        });
        let answering = maker.clone();
        let by = Answer::by(move |received| answering.answer(received));
        target.script_below(&format!("/{}/", sort.name()), [by]);
        maker
    }

    pub(super) fn be(&self, manner: Manner) {
        self.state().manner = manner;
    }

    pub(super) fn asked(&self) -> usize {
        self.state().asked
    }

    pub(super) fn looked(&self) -> usize {
        self.state().looked
    }

    /// How many it has made for each delivery.
    pub(super) fn made(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for made in &self.state().made {
            *counts.entry(made.mark.clone()).or_default() += 1;
        }
        counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn answer(&self, received: &Received) -> Answer {
        let mut state = self.state();
        let is_wanted = received.method == "POST";
        if is_wanted {
            state.asked += 1;
        } else {
            state.looked += 1;
        }
        match (state.manner, is_wanted) {
            (Manner::Loses, true) | (Manner::Silent, false) => Answer::hang(),
            (Manner::MakesSilently | Manner::Silent, true) => {
                self.sort.make(&mut state, received);
                Answer::hang()
            }
            (Manner::Answers, true) => {
                let id = self.sort.make(&mut state, received);
                self.sort.told(id).after(ANSWER_AFTER)
            }
            (_, false) => self.sort.shown(&state.made, &received.path),
        }
    }
}

impl Sort {
    /// The name of its integration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::GithubIssue => "github-issue",
            Self::GithubComment => "github-comment",
            Self::GithubRun => "github-run",
            Self::GitlabPipeline => "gitlab-pipeline",
            Self::GitlabIssue => "gitlab-issue",
            Self::JenkinsBuild => "jenkins-build",
        }
    }

    /// Its integration at a target.
    pub(super) fn integration(self, target: &Target, timeout: &str) -> Value {
        let base_url = target.url(&format!("/{}", self.name()));
        let github = json!({ "token": "github_pat_1" });
        let (provider, config, credentials) = match self {
            Self::GithubIssue => ("github", json!({ "repo": "acme/shop" }), github),
            Self::GithubComment => (
                "github",
                json!({ "repo": "acme/shop", "action": "create_comment", "issue_number": COMMENTED }),
                github,
            ),
            Self::GithubRun => (
                "github",
                json!({
                    "repo": "acme/shop", "action": "trigger_workflow", "workflow_id": "deploy.yml",
                    "delivery_input": "delivery",
                }),
                github,
            ),
            Self::GitlabPipeline => (
                "gitlab",
                json!({ "project": "acme/shop" }),
                json!({ "token": "glpat-1", "trigger_token": "glptt-1" }),
            ),
            Self::GitlabIssue => (
                "gitlab",
                json!({ "project": "acme/shop", "action": "create_issue" }),
                json!({ "token": "glpat-1" }),
            ),
            Self::JenkinsBuild => (
                "jenkins",
                json!({ "job": "shop/deploy" }),
                json!({ "user": "signalbox", "api_token": "11aa" }),
            ),
        };
        let mut integration = json!({
            "name": self.name(), "provider": provider, "config": config, "credentials": credentials, "events": ["tick"],
            "timeout": timeout, "rate_limit": "none", "retry": { "schedule": vec!["1s"; 8] },
        });
        integration["config"]["base_url"] = base_url.into();
        integration
    }

    /// Makes another.
    fn make(self, state: &mut State, received: &Received) -> usize {
        let body = received.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of_text = |text: &str| {
            let rest = text.strip_prefix("<!-- signalbox:").unwrap_or_default();
            rest.split(' ').next().unwrap_or_default().to_owned()
        };
        let (mark, text) = match self {
            Self::GithubIssue | Self::GithubComment => (of_text(&text(&body["body"])), text(&body["body"])),
            Self::GithubRun => (text(&body["inputs"]["delivery"]), String::new()),
            Self::GitlabPipeline => (text(&body["variables"]["SIGNALBOX_DELIVERY"]), String::new()),
            Self::GitlabIssue => (of_text(&text(&body["description"])), text(&body["description"])),
            Self::JenkinsBuild => {
                let form = String::from_utf8_lossy(&received.body).into_owned();
                let mark = form
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("signalbox_delivery="));
                let user = STANDARD.encode("signalbox:11aa");
                assert_eq!(received.header("authorization"), format!("Basic {user}"));
                (mark.unwrap_or_default().to_owned(), String::new())
            }
        };
        assert!(!mark.is_empty(), "{}: what is made bears no mark: {body}", self.name());
        let id = state.made.len() + 1;
        state.made.push(Made {
            id,
            at: Timestamp::now(),
            mark,
            text,
        });
        id
    }

    /// What is answered where one was made.
    fn told(self, id: usize) -> Answer {
        let said = |status: u16, body: Value| Answer::status(status).body(&body.to_string());
        match self {
            Self::GithubIssue => said(
                201,
                json!({ "number": id, "html_url": format!("https://github.com/i/{id}") }),
            ),
            Self::GithubComment => said(
                201,
                json!({ "id": id, "html_url": format!("https://github.com/c/{id}") }),
            ),
            Self::GithubRun => said(
                200,
                json!({ "workflow_run_id": id, "html_url": format!("https://github.com/r/{id}") }),
            ),
            Self::GitlabPipeline => said(
                201,
                json!({ "id": id, "web_url": format!("https://gitlab.com/p/{id}") }),
            ),
            Self::GitlabIssue => said(
                201,
                json!({ "iid": id, "web_url": format!("https://gitlab.com/i/{id}") }),
            ),
            Self::JenkinsBuild => Answer::status(201).header("Location", &format!("http://internal/queue/item/{id}/")),
        }
    }

    /// What a look shows.
    fn shown(self, made: &[Made], path: &str) -> Answer {
        let said = |body: Value| Answer::status(200).body(&body.to_string());
        let number = |name: &str| query(path, name).and_then(|text| text.parse::<usize>().ok());
        let (size, page) = (number("per_page").unwrap_or(30), number("page").unwrap_or(1));
        let newest_first = made.iter().rev();
        let paged = |all: &mut dyn Iterator<Item = Value>| all.skip((page - 1) * size).take(size).collect::<Vec<_>>();
        match self {
            Self::GithubIssue => {
                let issue =
                    |one: &Made| json!({ "number": one.id, "created_at": one.at.to_string(), "body": one.text });
                said(paged(&mut newest_first.map(issue)).into())
            }
            Self::GithubComment => {
                assert!(path.contains(&format!("/issues/{COMMENTED}/comments?")), "{path}");
                let comment = |one: &Made| json!({ "id": one.id, "created_at": one.at.to_string(), "body": one.text });
                said(paged(&mut made.iter().map(comment)).into())
            }
            Self::GithubRun => {
                let run = |one: &Made| json!({ "id": one.id, "display_title": format!("Deploy for {}", one.mark) });
                said(json!({ "total_count": made.len(), "workflow_runs": paged(&mut newest_first.map(run)) }))
            }
            Self::GitlabPipeline => match path.split("/pipelines/").nth(1) {
                Some(rest) => {
                    let id = rest.trim_end_matches("/variables");
                    let one = made.iter().find(|one| one.id.to_string() == id);
                    let mark = one.map(|one| one.mark.as_str());
                    said(json!([{ "key": "SIGNALBOX_DELIVERY", "value": mark, "variable_type": "env_var" }]))
                }
                None => {
                    let pipeline = |one: &Made| json!({ "id": one.id, "created_at": one.at.to_string() });
                    said(paged(&mut newest_first.map(pipeline)).into())
                }
            },
            Self::GitlabIssue => {
                let issue =
                    |one: &Made| json!({ "iid": one.id, "created_at": one.at.to_string(), "description": one.text });
                said(paged(&mut newest_first.map(issue)).into())
            }
            Self::JenkinsBuild => jenkins(made, path),
        }
    }
}

/// What a Jenkins shows whose builds have all left the queue.
fn jenkins(made: &[Made], path: &str) -> Answer {
    let xml = |text: &str| Answer::status(200).body(text);
    let job = "/job/shop/job/deploy";
    if path.contains("/queue/api/xml?") {
        return xml("<found/>");
    }
    if path.contains(&format!("{job}/api/xml?")) {
        // The expression holds the mark as it is.
        let listed = made.iter().rev().take(BUILDS_MAX);
        let found = listed.filter(|one| path.contains(&one.mark)).map(|one| {
            let id = one.id;
            format!("<number>{id}</number><queueId>{id}</queueId><url>https://ci.example.com{job}/{id}/</url>")
        });
        let found: String = found.collect();
        return xml(&format!("<found>{found}</found>"));
    }
    if path.contains(&format!("{job}/api/json?")) {
        let hundredth = made.iter().rev().nth(BUILDS_MAX - 1);
        let builds: Vec<Value> = hundredth
            .iter()
            .map(|one| json!({ "timestamp": one.at.millis() }))
            .collect();
        let parameters = json!([{ "parameterDefinitions": [{ "name": "signalbox_delivery" }] }]);
        return Answer::status(200).body(&json!({ "property": parameters, "builds": builds }).to_string());
    }
    assert!(path.contains("/queue/item/"), "{path}");
    let id = path.split("/item/").nth(1).and_then(|rest| rest.split('/').next());
    let id: usize = id.and_then(|id| id.parse().ok()).expect("a number");
    let build = json!({ "executable": { "number": id, "url": format!("https://ci.example.com{job}/{id}/") } });
    Answer::status(200).body(&build.to_string())
}

fn query<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = path.split_once('?')?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
