//! A comment whose answer was lost is looked for among all that were made since.

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// A comment that was asked for and never answered.
struct Lost {
    vendor: Organization,
    remembered: Remembered,
    delivery: Delivery,
    now: Timestamp,
}

impl Lost {
    /// One that Azure DevOps has, or not, behind what people said the day before.
    fn new(arrived: bool, said: usize) -> Self {
        let (mut vendor, mut remembered) = (Organization::default(), Remembered::default());
        let first = of("spec.created", "FEAT-1", 1);
        assert_eq!(deliver(&mut vendor, &mut remembered, &first), Outcome::Delivered);
        (0..said).for_each(|_| vendor.say("by hand", NOW - 24 * HOUR));
        let mut lost = Self {
            vendor,
            remembered,
            delivery: of("implementation.started", "FEAT-1", 2),
            now: NOW + 2 * HOUR,
        };
        let (outcome, pages) = lost.attempt(|vendor, once, request, now| {
            let answer = (arrived || !once).then(|| vendor.answer(request, now));
            answer.filter(|_| !once)
        });
        assert_eq!((outcome, pages), (None, 0));
        assert_eq!(lost.ours(), usize::from(arrived));
        lost
    }

    /// How it ends, and how many pages of comments were asked for.
    fn attempt(
        &mut self,
        mut answer: impl FnMut(&mut Organization, bool, &http::Request, Timestamp) -> Option<Response>,
    ) -> (Option<Outcome>, usize) {
        let Self {
            vendor,
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
                Request::Http(request) => answer(vendor, once, request, *now),
                other => panic!("{other:?}"),
            },
        );
        let is_page = |(_, request): &&(bool, http::Request)| {
            request.method == Method::GET && request.url.path().ends_with("/comments")
        };
        (came.outcome, came.requests.iter().filter(is_page).count())
    }

    fn again(&mut self) -> (Outcome, usize) {
        let (outcome, pages) = self.attempt(|vendor, _, request, now| Some(vendor.answer(request, now)));
        (outcome.expect("nothing is lost"), pages)
    }

    fn say(&mut self, text: &str, count: usize) {
        (0..count).for_each(|_| self.vendor.say(text, self.now));
    }

    /// How many comments are ours.
    fn ours(&self) -> usize {
        let all = self.vendor.items.values().flat_map(|item| &item.comments);
        all.filter(|comment| comment["text"].to_string().contains("signalbox-"))
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
        let (outcome, pages) = lost.again();
        assert_eq!(outcome, Outcome::Delivered);
        assert!(pages <= 20, "{pages}");
        assert_eq!(lost.ours(), 1);
    }
}

#[test]
fn behind_one_that_is_too_long_nobody_sees_and_nobody_guesses() {
    for arrived in [true, false] {
        let mut lost = Lost::new(arrived, 0);
        lost.say("by hand", 5);
        lost.say(&"too long ".repeat(10_000), 1);
        lost.say("by hand", 1);
        let (outcome, pages) = lost.again();
        assert_eq!(pages, 3);
        let Outcome::Reject { reason } = outcome else {
            panic!("{outcome:?}");
        };
        assert!(reason.contains("too long") && reason.contains("replay"), "{reason}");
        assert_eq!(lost.ours(), usize::from(arrived));
        lost.delivery.generation = 1;
        lost.delivery.since = lost.now;
        assert_eq!(lost.again().0, Outcome::Delivered);
        assert_eq!(lost.ours(), 1 + usize::from(arrived));
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
fn a_work_item_that_was_deleted_meanwhile_is_made_again() {
    let mut lost = Lost::new(true, 0);
    lost.vendor.clear();
    assert_eq!(lost.again(), (Outcome::Delivered, 1));
    assert_eq!(lost.vendor.has().issues, ["New"]);
}
