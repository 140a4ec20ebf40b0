//! A comment whose answer was lost is looked for among all that were made since.

use super::{document::COMMENT_BYTES_MAX, *};

const HOUR: Duration = Duration::from_secs(3_600);

/// A comment that was asked for and never answered.
struct Lost {
    site: Site,
    remembered: Remembered,
    delivery: Delivery,
    now: Timestamp,
}

impl Lost {
    /// One that Jira has, or not, behind what people said the day before.
    fn new(arrived: bool, said: usize) -> Self {
        let (mut site, mut remembered) = (Site::default(), Remembered::default());
        let first = of("spec.created", "FEAT-1", 1);
        assert_eq!(deliver(&mut site, &mut remembered, &first), Outcome::Delivered);
        (0..said).for_each(|_| site.say("by hand", NOW - 24 * HOUR));
        let mut lost = Self {
            site,
            remembered,
            delivery: of("implementation.started", "FEAT-1", 2),
            now: NOW + 2 * HOUR,
        };
        let (outcome, pages) = lost.attempt(|site, once, request, now| {
            let answer = (arrived || !once).then(|| site.answer(request, now));
            answer.filter(|_| !once)
        });
        assert_eq!((outcome, pages), (None, 0));
        assert_eq!(lost.ours(), usize::from(arrived));
        lost
    }

    /// How it ends, and how many pages of comments were asked for.
    fn attempt(
        &mut self,
        mut answer: impl FnMut(&mut Site, bool, &http::Request, Timestamp) -> Option<Response>,
    ) -> (Option<Outcome>, usize) {
        let Self {
            site,
            remembered,
            delivery,
            now,
        } = self;
        *now = *now + HOUR;
        let came = attempt(
            &*open(config()),
            delivery,
            remembered,
            *now,
            |once, request| match request {
                Request::Http(request) => answer(site, once, request, *now),
                other => panic!("{other:?}"),
            },
        );
        let is_page =
            |(_, request): &&(bool, http::Request)| request.url.query().is_some_and(|query| query.contains("startAt"));
        (came.outcome, came.requests.iter().filter(is_page).count())
    }

    fn again(&mut self) -> (Outcome, usize) {
        let (outcome, pages) = self.attempt(|site, _, request, now| Some(site.answer(request, now)));
        (outcome.expect("nothing is lost"), pages)
    }

    fn say(&mut self, text: &str, count: usize) {
        (0..count).for_each(|_| self.site.say(text, self.now));
    }

    /// How many comments are ours.
    fn ours(&self) -> usize {
        let all = self.site.issues.values().flat_map(|issue| &issue.comments);
        all.filter(|comment| comment["body"].to_string().contains("signalbox-"))
            .count()
    }
}

#[test]
fn it_is_found_behind_all_that_was_said_since() {
    for (said, pages) in [(0, 1), (9, 1), (12, 2), (25, 3), (398, 40)] {
        for arrived in [true, false] {
            let mut lost = Lost::new(arrived, 0);
            lost.say("by hand", said);
            assert_eq!(lost.again(), (Outcome::Delivered, pages), "{said} comments, {arrived}");
            assert_eq!(lost.ours(), 1, "{said} comments, {arrived}");
        }
    }
}

#[test]
fn what_we_may_not_see_hides_none() {
    for arrived in [true, false] {
        let mut lost = Lost::new(arrived, 0);
        lost.say("by hand", 5);
        lost.say(double::SECRETLY, 18);
        lost.say("by hand", 5);
        assert_eq!(lost.again(), (Outcome::Delivered, 3));
        assert_eq!(lost.ours(), 1);
    }
}

#[test]
fn what_was_said_long_before_is_not_read() {
    for arrived in [true, false] {
        let mut lost = Lost::new(arrived, 300);
        lost.say("by hand", 12);
        assert_eq!(lost.again(), (Outcome::Delivered, 2));
        assert_eq!(lost.ours(), 1);
    }
}

#[test]
fn long_comments_hide_none() {
    for arrived in [true, false] {
        let mut lost = Lost::new(arrived, 3);
        lost.say(&"long ".repeat(4_000), 12);
        lost.say(&"too long ".repeat(10_000), 2);
        let (outcome, pages) = lost.again();
        assert_eq!(outcome, Outcome::Delivered);
        assert!(pages <= 20, "{pages}");
        assert_eq!(lost.ours(), 1);
    }
}

#[test]
fn among_too_many_nobody_guesses_and_who_replays_it_wants_it_told() {
    let mut lost = Lost::new(true, 0);
    lost.say("by hand", 500);
    for _ in 0..2 {
        let (outcome, pages) = lost.again();
        assert_eq!(pages, 40);
        let Outcome::Reject { reason } = outcome else {
            panic!("{outcome:?}");
        };
        assert!(reason.contains("replay it if it was not"), "{reason}");
        assert_eq!(lost.ours(), 1);
    }
    lost.delivery.generation = 1;
    lost.delivery.since = lost.now;
    assert_eq!(lost.again().0, Outcome::Delivered);
    assert_eq!(lost.ours(), 2);
}

#[test]
fn an_issue_that_was_deleted_meanwhile_is_made_again() {
    let mut lost = Lost::new(true, 0);
    lost.site.clear();
    assert_eq!(lost.again(), (Outcome::Delivered, 1));
    assert_eq!(lost.site.has().issues, ["To Do"]);
}

#[test]
fn ours_are_short_enough_to_be_seen_whatever_they_say() {
    let jira = find("jira").expect("built in");
    let template = Template {
        title: None,
        body: Some("{{ event.data.message }}".to_owned()),
    };
    let target = jira.open_with_template(config(), credentials(), about(), Some(&template));
    let target = target.expect("a target");
    for message in [
        "界".repeat(20_000),
        "a\n".repeat(20_000),
        "a\n\n".repeat(20_000),
        "\"\\".repeat(20_000),
    ] {
        let (mut site, mut remembered) = (Site::default(), Remembered::default());
        for (event_type, seq) in [("spec.created", 1), ("implementation.started", 2)] {
            let mut event = hostile::event(event_type, &json!({ "message": message }));
            event.id = format!("evt-{seq}");
            event.subject = Some("FEAT-1".to_owned());
            let delivery = hostile::delivery(event, seq);
            let came = attempt(&*target, &delivery, &mut remembered, NOW, |_, request| match request {
                Request::Http(request) => Some(site.answer(request, NOW)),
                other => panic!("{other:?}"),
            });
            assert_eq!(came.outcome, Some(Outcome::Delivered));
        }
        let comments: Vec<String> = site
            .issues
            .values()
            .flat_map(|issue| &issue.comments)
            .map(|comment| comment["body"].to_string())
            .collect();
        let [body] = comments.as_slice() else {
            panic!("{} comments", comments.len());
        };
        assert!(
            (COMMENT_BYTES_MAX / 4..=COMMENT_BYTES_MAX).contains(&body.len()),
            "{} bytes",
            body.len()
        );
        assert!(body.contains("signalbox-"));
    }
}
