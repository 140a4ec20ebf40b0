//! Trackers in memory, which make another of whatever they are asked for: what stands there in the end tells what was done
//! twice.
//!
//! A tracker joins by a file with its [`Site`] and a row of [`trackers`].

mod azure_devops;
mod github_projects;
mod jira;
mod linear;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use super::target::{Answer, Received, Target};

/// A tracker: how it is set up, and how it behaves.
pub(crate) struct Tracker {
    pub(crate) provider: &'static str,
    /// Its name among the doubles of all vendors.
    pub(crate) door: &'static str,
    /// What it is configured with, at this address.
    config: fn(&str) -> Value,
    credentials: Value,
    site: fn() -> Box<dyn Site>,
    /// What stands there at the end of a life with two acceptance criteria and one pull request.
    pub(crate) lived: Lived,
}

/// What stands at a tracker at the end of one life.
pub(crate) struct Lived {
    /// The state of the one issue.
    pub(crate) state: &'static str,
    pub(crate) subtasks: usize,
    pub(crate) links: usize,
}

/// All trackers.
pub(crate) fn trackers() -> Vec<Tracker> {
    vec![
        Tracker {
            provider: "azure_devops",
            door: "azure_devops",
            config: |address| json!({ "base_url": address, "organization": "acme", "project": "shop", "create_subtasks": true }),
            credentials: json!({ "pat": "f".repeat(84) }),
            site: || Box::new(azure_devops::Site::default()),
            lived: Lived {
                state: "Closed",
                subtasks: 2,
                links: 1,
            },
        },
        Tracker {
            provider: "github_projects",
            door: "github_projects",
            config: |address| {
                json!({
                    "base_url": address, "owner": "acme", "project_number": 7,
                    "status_mappings": { "draft": "Backlog", "approved": "Ready", "implemented": "Done" },
                })
            },
            credentials: json!({ "token": "j".repeat(16) }),
            site: || Box::new(github_projects::Site::default()),
            // Its items have no subtasks, and a draft keeps its link in its text.
            lived: Lived {
                state: "Done",
                subtasks: 0,
                links: 1,
            },
        },
        Tracker {
            provider: "jira",
            // An address of Jira's may end in `/jira`, which is no part of its API's.
            door: "jira-issues",
            config: |address| {
                json!({
                    "base_url": address, "project_key": "PROJ", "transition_on_approve": "21", "transition_on_implement": "31",
                    "create_subtasks": true,
                })
            },
            credentials: json!({ "email": "bot@example.com", "api_token": "e".repeat(16) }),
            site: || Box::new(jira::Site::default()),
            lived: Lived {
                state: "Done",
                subtasks: 2,
                links: 1,
            },
        },
        Tracker {
            provider: "linear",
            door: "linear",
            config: |address| {
                json!({
                    "base_url": address, "team_id": "ENG", "labels": ["spec"], "create_subtasks": true,
                    "state_mappings": { "draft": "Backlog", "approved": "Todo", "implemented": "Done" },
                })
            },
            credentials: json!({ "api_key": "k".repeat(16) }),
            site: || Box::new(linear::Site::default()),
            lived: Lived {
                state: "Done",
                subtasks: 2,
                links: 1,
            },
        },
    ]
}

impl Tracker {
    /// One of its sites at a target, below the path of this name.
    pub(crate) fn open(&self, target: &Target, name: &str, silent_at: Option<usize>) -> Arc<Stand> {
        let stand = self.stand(name, silent_at);
        target.script_below(&format!("/{name}/"), [stand.clone().answering()]);
        stand
    }

    /// What one of its sites answers below the path of this name.
    pub(crate) fn answering(&self, name: &str) -> Answer {
        self.stand(name, None).answering()
    }

    fn stand(&self, name: &str, silent_at: Option<usize>) -> Arc<Stand> {
        Arc::new(Stand {
            path: format!("/{name}"),
            site: Mutex::new((self.site)()),
            silent_at,
            count: AtomicUsize::new(0),
        })
    }

    /// What an integration is configured with that lies below the path of this name.
    pub(crate) fn set_up(&self, target: &Target, name: &str) -> (Value, Value) {
        let config = (self.config)(&target.url(&format!("/{name}")));
        (config, self.credentials.clone())
    }
}

/// A vendor in memory.
pub(crate) trait Site: Send {
    /// Does what a request asks for. Its path is what follows the address of the integration.
    fn answer(&mut self, method: &str, path: &str, body: &Value) -> Answer;
    /// What stands there.
    fn has(&self) -> Has;
}

/// What stands at a vendor, all issues together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Has {
    /// The state of each issue.
    pub(crate) issues: Vec<String>,
    /// The names of subtasks.
    pub(crate) subtasks: Vec<String>,
    /// The addresses of links.
    pub(crate) links: Vec<String>,
    /// What each comment says.
    pub(crate) comments: Vec<String>,
}

/// A site that is asked. It can fall silent once: then it does what it is asked for, and says nothing.
pub(crate) struct Stand {
    path: String,
    site: Mutex<Box<dyn Site>>,
    /// The number of the request, from 0, at which it does.
    silent_at: Option<usize>,
    count: AtomicUsize,
}

impl Stand {
    fn answering(self: Arc<Self>) -> Answer {
        Answer::by(move |received| self.answer(received))
    }

    fn answer(&self, received: &Received) -> Answer {
        let path = received.path.strip_prefix(&self.path);
        let path = path.unwrap_or_else(|| panic!("{} is not below {}", received.path, self.path));
        let mut site = self.site.lock().expect("no site panics");
        let answer = site.answer(&received.method, path, &received.json());
        // Whoever sees the count sees what was done.
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        if self.silent_at == Some(number) {
            return Answer::hang();
        }
        answer
    }

    /// How many requests it got.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// The number of the request at which it falls silent.
    pub(crate) fn silent_at(&self) -> Option<usize> {
        self.silent_at
    }

    /// Whether it has.
    pub(crate) fn was_silent(&self) -> bool {
        self.silent_at.is_some_and(|at| at < self.count())
    }

    /// What stands there.
    pub(crate) fn has(&self) -> Has {
        self.site.lock().expect("no site panics").has()
    }
}
