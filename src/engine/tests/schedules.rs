//! Schedules over a clock that is moved by hand: what fires, what is made up, and what never happens twice.

use super::*;
use crate::engine::batch::Entry;
use crate::engine::schedule::{Composer, Composing};
use crate::model::notification::Priority;
use crate::model::schedule::Schedule;
use crate::store::outbox::Due;

/// Sends anna what the body says.
struct Says;

impl Composer for Says {
    fn compose<'a>(&'a self, body: &'a str) -> Composing<'a> {
        Box::pin(async move {
            if body == "nonsense" {
                return Err("it says nothing".to_owned());
            }
            let notification = notification(|n| n.message = body.to_owned());
            Ok(Entry::One(Submission { notification, content: [0; 16] }))
        })
    }
}

struct Works {
    house: House,
    _says: Arc<Says>,
}

impl Works {
    async fn new() -> Works {
        let (house, says) = (House::new(Mode::Off).await, Arc::new(Says));
        let composer: Weak<Says> = Arc::downgrade(&says);
        house.engine.compose_by(composer);
        Works { house, _says: says }
    }

    async fn schedule(&self, cron: &str, body: &str) -> Schedule {
        let schedule = Schedule {
            id: Uuid::nil(),
            name: None,
            cron: cron.into(),
            timezone: "UTC".into(),
            body: body.into(),
            enabled: true,
            starts_at: None,
            ends_at: None,
            created_at: 0,
            updated_at: 0,
            next_at: None,
            runs: 0,
            last: None,
        };
        self.house.engine.add_schedule(schedule).await.expect("the store takes it")
    }

    async fn now(&self, schedule: &Schedule) -> Schedule {
        let found = self.house.engine.store().schedule(schedule.id).await;
        found.expect("a readable store").expect("it is there")
    }

    /// Moves the clock and fires what is due, until nothing is.
    async fn pass(&self, by: Duration) {
        self.house.clock.advance(by);
        while self.house.engine.turn().await.expect("a readable store").taken > 0 {
            while self.house.engine.shared.leases.count(Lane::Schedule) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// What anna has, oldest first.
    async fn said(&self) -> Vec<String> {
        let store = self.house.engine.store();
        let page = store.inbox("anna", Shelf::All, None, 100, |_| true).await.expect("a readable store");
        page.items.into_iter().rev().map(|entry| entry.accepted.notification.message).collect()
    }
}

#[tokio::test]
async fn it_fires_at_its_times_and_says_how_it_went() {
    let works = Works::new().await;
    let schedule = works.schedule("@hourly", "tick").await;
    assert_eq!(schedule.next_at, Some(NIGHT + 3_600_000));
    works.pass(HOUR - Duration::from_millis(1)).await;
    assert_eq!(works.said().await, [] as [String; 0]);
    works.pass(Duration::from_millis(1)).await;
    works.pass(HOUR).await;
    assert_eq!(works.said().await, ["tick", "tick"]);
    let after = works.now(&schedule).await;
    assert_eq!((after.runs, after.next_at), (2, Some(NIGHT + 3 * 3_600_000)));
    let last = after.last.clone().expect("it fired");
    assert_eq!((last.at, last.result), (NIGHT + 2 * 3_600_000, Ok(after.run_id(NIGHT + 2 * 3_600_000))));
}

#[tokio::test]
async fn runs_that_were_missed_are_made_up_once() {
    let works = Works::new().await;
    let schedule = works.schedule("@hourly", "tick").await;
    works.pass(HOUR * 7 + Duration::from_secs(60)).await;
    assert_eq!(works.said().await, ["tick"]);
    assert_eq!(works.now(&schedule).await.next_at, Some(NIGHT + 8 * 3_600_000));
}

#[tokio::test]
async fn a_run_that_is_repeated_after_a_crash_is_the_same_notification() {
    let works = Works::new().await;
    let schedule = works.schedule("@hourly", "tick").await;
    works.pass(HOUR).await;
    // As if the line had not moved: what a crash can leave is either this or nothing.
    let line = Due::new(Lane::Schedule, NIGHT + 3_600_000, Priority::Medium, schedule.id);
    works
        .house
        .engine
        .store()
        .commit(move |txn| {
            txn.put_due(&line);
            Ok::<_, StoreError>(())
        })
        .await
        .expect("the store takes it");
    works.pass(Duration::from_millis(1)).await;
    assert_eq!(works.said().await, ["tick"]);
}

#[tokio::test]
async fn what_cannot_be_sent_is_told_and_tried_again_at_the_next_time() {
    let works = Works::new().await;
    let schedule = works.schedule("@hourly", "nonsense").await;
    works.pass(HOUR).await;
    let after = works.now(&schedule).await;
    assert_eq!(after.last.expect("it fired").result, Err("it says nothing".to_owned()));
    let change = |schedule: &mut Schedule| schedule.body = "better".into();
    works.house.engine.change_schedule(schedule.id, change).await.expect("the store takes it");
    works.pass(HOUR).await;
    assert_eq!(works.said().await, ["better"]);
}

#[tokio::test]
async fn a_change_moves_the_next_run_and_keeps_one_that_is_due() {
    let works = Works::new().await;
    let schedule = works.schedule("@hourly", "tick").await;
    works.house.clock.advance(HOUR);
    let rename = |schedule: &mut Schedule| schedule.name = Some("clock".into());
    works.house.engine.change_schedule(schedule.id, rename).await.expect("the store takes it");
    works.pass(Duration::ZERO).await;
    assert_eq!(works.said().await, ["tick"], "a new name does not cost a run");
    let pause = |schedule: &mut Schedule| schedule.enabled = false;
    works.house.engine.change_schedule(schedule.id, pause).await.expect("the store takes it");
    works.pass(HOUR * 5).await;
    let resume = |schedule: &mut Schedule| schedule.enabled = true;
    works.house.engine.change_schedule(schedule.id, resume).await.expect("the store takes it");
    works.pass(Duration::ZERO).await;
    assert_eq!(works.said().await.len(), 1, "a pause is not made up");
    works.pass(HOUR).await;
    assert_eq!(works.said().await.len(), 2);
    assert!(works.house.engine.delete_schedule(schedule.id).await.expect("the store takes it"));
    works.pass(HOUR * 3).await;
    assert_eq!(works.said().await.len(), 2);
}

#[tokio::test]
async fn one_that_is_run_by_hand_keeps_its_times() {
    let works = Works::new().await;
    let schedule = works.schedule("@hourly", "tick").await;
    let ran = works.house.engine.run_schedule(schedule.id).await.expect("the store takes it");
    assert!(matches!(ran, Some(Ok(_))));
    let after = works.now(&schedule).await;
    assert_eq!((after.runs, after.next_at), (1, schedule.next_at));
    works.pass(HOUR).await;
    assert_eq!(works.said().await, ["tick", "tick"]);
}
