//! What waits together, what takes another's place, and who goes first.

use super::*;
use crate::engine::resend::Resent;
use crate::model::category::Category;
use crate::model::digest::{Digest, Throttle};
use crate::model::notification::Priority;

const MINUTE: Duration = Duration::from_secs(60);

impl House {
    async fn category(&self, change: impl FnOnce(&mut Category)) {
        let mut category = Category { name: "system".into(), ..Category::default() };
        change(&mut category);
        let put = self.engine.store().commit(move |txn| txn.put_category(&category)).await;
        put.expect("the store takes it");
    }

    async fn send_many(&self, count: usize) -> Vec<Accepted> {
        let mut sent = Vec::new();
        for n in 0..count {
            sent.push(self.send(|notification| notification.title = format!("Disk {n}")).await);
        }
        sent
    }

    async fn mails(&self) -> Vec<crate::model::message::Message> {
        let kept = self.engine.store().captures(None, None, 100).await.expect("a readable store").items;
        kept.into_iter().rev().map(|capture| capture.message).collect()
    }

    async fn forward(&self, by: Duration) {
        self.clock.advance(by);
        self.work().await;
    }

    async fn look_again(&self) {
        let engine = self.engine.clone();
        let looked = self.engine.store().commit(move |txn| {
            let anna = txn.user("anna")?.expect("she is there");
            engine.preferences_changed(txn, &anna)
        });
        looked.await.expect("the store takes it");
    }

    async fn statuses(&self, sent: &[Accepted]) -> Vec<(Status, Option<Reason>)> {
        let mut statuses = Vec::new();
        for accepted in sent {
            statuses.push(self.email(accepted).await);
        }
        statuses
    }
}

#[tokio::test]
async fn more_than_three_that_were_held_leave_as_one_message_with_the_newest_last() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    let sent = house.send_many(4).await;
    house.forward(HOUR * 9).await;
    let mails = house.mails().await;
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].title, "4 notifications");
    let at = |n: usize| mails[0].text.find(&format!("Disk {n}")).expect("it is in it");
    assert!(at(0) < at(1) && at(1) < at(2) && at(2) < at(3));
    assert!(house.statuses(&sent).await.iter().all(|status| *status == (Status::Sent, None)));
    house.forward(HOUR).await;
    assert_eq!(house.mails().await.len(), 1);
}

#[tokio::test]
async fn three_that_were_held_leave_one_by_one() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    house.send_many(3).await;
    house.forward(HOUR * 9).await;
    let mut titles: Vec<String> = house.mails().await.into_iter().map(|mail| mail.title).collect();
    titles.sort();
    assert_eq!(titles, ["Disk 0", "Disk 1", "Disk 2"]);
}

#[tokio::test]
async fn what_was_read_or_withdrawn_meanwhile_is_not_in_the_message() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    let sent = house.send_many(6).await;
    house.engine.cancel(sent[0].key).await.expect("the store takes it");
    let read = house.engine.mark("anna", Selection::Ids(vec![sent[1].id()]), Mark::Read).await;
    read.expect("the store takes it");
    house.forward(HOUR * 9).await;
    let mails = house.mails().await;
    assert_eq!((mails.len(), mails[0].title.as_str()), (1, "4 notifications"));
    assert!(!mails[0].text.contains("Disk 0") && !mails[0].text.contains("Disk 1"));
    assert_eq!(house.email(&sent[0]).await, (Status::Canceled, Some(Reason::Canceled)));
    assert_eq!(house.email(&sent[1]).await, (Status::Skipped, Some(Reason::ReadElsewhere)));
}

#[tokio::test]
async fn a_digest_that_could_not_be_sent_is_tried_again_as_the_same_message() {
    let house = House::new(Mode::Live).await;
    house.user(quiet).await;
    let sent = house.send_many(5).await;
    house.forward(HOUR * 9).await;
    let retrying = (Status::Retrying, Some(Reason::ProviderUnreachable));
    assert!(house.statuses(&sent).await.iter().all(|status| *status == retrying));
    // What comes meanwhile is no part of it.
    let later = house.send(|_| {}).await;
    house.forward(HOUR * 2).await;
    house.forward(HOUR * 2).await;
    let exhausted = (Status::Failed, Some(Reason::AttemptsExhausted));
    assert!(house.statuses(&sent).await.iter().all(|status| *status == exhausted));
    let standing = house.engine.standing(sent[0].key).await.expect("readable").expect("it is there");
    let email = standing.channels.iter().find(|c| c.channel == Channel::Email).expect("considered");
    assert_eq!(email.attempts, 3);
    assert_eq!(house.email(&later).await.0, Status::Retrying);
}

#[tokio::test]
async fn a_category_that_gathers_goes_out_as_one_when_its_window_closes() {
    let house = House::new(Mode::Capture).await;
    house.category(|category| category.digest = Some(Digest::Fixed { window_seconds: 600 })).await;
    let sent = house.send_many(2).await;
    house.work().await;
    assert_eq!(house.statuses(&sent).await, [(Status::Batched, Some(Reason::Batched)); 2]);
    let urgent = house.send(|n| n.priority = Priority::Critical).await;
    house.work().await;
    assert_eq!(house.email(&urgent).await, (Status::Sent, None), "what is critical does not wait");
    house.forward(MINUTE * 10 - Duration::from_millis(1)).await;
    assert_eq!(house.mails().await.len(), 1);
    house.forward(Duration::from_millis(1)).await;
    let mails = house.mails().await;
    assert_eq!((mails.len(), mails[1].title.as_str()), (2, "2 notifications"));
    let next = house.send(|_| {}).await;
    house.forward(MINUTE * 10).await;
    assert_eq!(house.email(&next).await, (Status::Sent, None));
    assert_eq!(house.mails().await[2].title, "Disk", "one alone is no digest");
}

#[tokio::test]
async fn a_sliding_window_moves_with_each_and_has_an_end() {
    let house = House::new(Mode::Capture).await;
    let sliding = Digest::Sliding { window_seconds: 300, max_seconds: 600 };
    house.category(|category| category.digest = Some(sliding)).await;
    house.send_many(1).await;
    for _ in 0..2 {
        house.forward(MINUTE * 4).await;
        house.send_many(1).await;
        assert_eq!(house.mails().await.len(), 0);
    }
    house.forward(MINUTE * 2).await;
    assert_eq!(house.mails().await[0].title, "3 notifications");
}

#[tokio::test]
async fn different_digest_keys_gather_apart() {
    let house = House::new(Mode::Capture).await;
    house.category(|category| category.digest = Some(Digest::Fixed { window_seconds: 600 })).await;
    for key in ["a", "a", "b", "b", "b"] {
        house.send(|n| n.digest_key = Some(key.into())).await;
    }
    house.forward(MINUTE * 10).await;
    let mut titles: Vec<String> = house.mails().await.into_iter().map(|mail| mail.title).collect();
    titles.sort();
    assert_eq!(titles, ["2 notifications", "3 notifications"]);
}

#[tokio::test]
async fn a_digest_that_closes_in_quiet_hours_waits_for_their_end() {
    let house = House::new(Mode::Capture).await;
    house.category(|category| category.digest = Some(Digest::Fixed { window_seconds: 600 })).await;
    house.user(quiet).await;
    let sent = house.send_many(5).await;
    house.forward(MINUTE * 10).await;
    assert_eq!(house.email(&sent[0]).await, (Status::Deferred, Some(Reason::QuietHours)));
    house.forward(HOUR * 9).await;
    assert_eq!(house.mails().await.len(), 1);
}

#[tokio::test]
async fn over_its_rate_a_category_goes_to_the_inbox_alone_and_says_so() {
    let house = House::new(Mode::Capture).await;
    let throttle = Throttle { max: 2, per_seconds: 60, key: Some("digest_key".into()) };
    house.category(|category| category.throttle = Some(throttle)).await;
    let sent = house.send_many(3).await;
    let other = house.send(|n| n.digest_key = Some("other".into())).await;
    let urgent = house.send(|n| n.priority = Priority::Critical).await;
    house.work().await;
    let of = house.statuses(&sent).await;
    assert_eq!(of, [(Status::Sent, None), (Status::Sent, None), (Status::Skipped, Some(Reason::Throttled))]);
    assert_eq!(house.statuses(&[other, urgent]).await, [(Status::Sent, None); 2]);
    assert_eq!(house.witness.arrived.lock().len(), 5);
    house.clock.advance(MINUTE);
    let next = house.send(|_| {}).await;
    house.work().await;
    assert_eq!(house.email(&next).await, (Status::Sent, None));
}

#[tokio::test]
async fn the_same_dedupe_key_within_a_day_is_a_duplicate_and_reaches_nobody() {
    let house = House::new(Mode::Capture).await;
    let keyed = |n: &mut Notification| n.dedupe_key = Some("disk-3".into());
    let first = house.send(keyed).await;
    let second = house.send(keyed).await;
    house.work().await;
    assert_eq!(
        house.statuses(&[first, second]).await,
        [(Status::Sent, None), (Status::Skipped, Some(Reason::Duplicate))]
    );
    assert_eq!(*house.witness.arrived.lock(), [1]);
    house.clock.advance(HOUR * 24);
    let next_day = house.send(keyed).await;
    house.work().await;
    assert_eq!(house.email(&next_day).await, (Status::Sent, None));
}

#[tokio::test]
async fn a_newer_one_takes_the_place_of_what_has_not_left() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    let keyed = |n: &mut Notification| n.collapse_key = Some("disk-3".into());
    let older = house.send(keyed).await;
    let newer = house.send(keyed).await;
    assert_eq!(house.email(&older).await, (Status::Skipped, Some(Reason::Superseded)));
    house.forward(HOUR * 9).await;
    assert_eq!(house.email(&newer).await, (Status::Sent, None));
    assert_eq!(house.mails().await.len(), 1);
}

#[tokio::test]
async fn what_is_critical_goes_before_a_backlog_and_a_flood_to_one_goes_after_the_others() {
    let house = House::new(Mode::Capture).await;
    let mut sent = Vec::new();
    for n in 0..60 {
        sent.push(house.send(|notification| notification.title = format!("flood {n}")).await);
    }
    let bert = User { id: "bert".into(), email: Some("bert@example.org".into()), ..User::default() };
    house.engine.store().commit(move |txn| txn.put_user(&bert)).await.expect("the store takes it");
    house.send(|n| (n.user_id, n.title) = ("bert".into(), "other".into())).await;
    house.send(|n| (n.priority, n.title) = (Priority::Critical, "critical".into())).await;
    house.work().await;
    let order: Vec<String> = house.mails().await.into_iter().map(|mail| mail.title).collect();
    let place = |title: &str| order.iter().position(|other| other == title).expect("it was sent");
    assert_eq!(order.len(), 62);
    assert!(place("critical") < 8, "{order:?}");
    assert!(place("other") < 48, "{order:?}");
}

#[tokio::test]
async fn the_end_of_a_window_that_the_person_moved_holds_for_what_waits_already() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    let sent = house.send_many(1).await;
    house
        .user(|preferences| (preferences.quiet_hours.enabled, preferences.quiet_hours.end) = (true, 60))
        .await;
    house.look_again().await;
    house.work().await;
    assert_eq!(house.email(&sent[0]).await, (Status::Deferred, Some(Reason::QuietHours)));
    house.forward(HOUR * 2).await;
    assert_eq!(house.email(&sent[0]).await, (Status::Sent, None));
}

#[tokio::test]
async fn quiet_hours_that_are_turned_off_let_go_at_once() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    let sent = house.send_many(5).await;
    house.user(|_| {}).await;
    house.look_again().await;
    house.work().await;
    assert_eq!(house.mails().await.len(), 1);
    assert_eq!(house.email(&sent[0]).await, (Status::Sent, None));
}

#[tokio::test]
async fn a_change_of_something_else_leaves_what_waits_alone() {
    let house = House::new(Mode::Capture).await;
    house.category(|category| category.digest = Some(Digest::Fixed { window_seconds: 600 })).await;
    let gathered = house.send_many(2).await;
    house.category(|_| {}).await;
    house.user(quiet).await;
    let held = house.send(|_| {}).await;
    house.category(|category| category.digest = Some(Digest::Fixed { window_seconds: 600 })).await;
    house.look_again().await;
    house.work().await;
    let events = house.engine.store().events(held.key).await.expect("readable");
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(house.email(&gathered[0]).await, (Status::Batched, Some(Reason::Batched)));
}

#[tokio::test]
async fn what_failed_is_sent_again_when_asked_for_as_a_message_of_its_own() {
    let house = House::new(Mode::Capture).await;
    let sent = house.send(|_| {}).await;
    house.work().await;
    let resend = |channels| house.engine.resend(sent.key, channels);
    let asked = resend(None).await.expect("the store takes it");
    assert_eq!(asked, Resent::Nothing, "nothing has failed");
    let asked = resend(Some(vec![Channel::Email])).await.expect("the store takes it");
    assert_eq!(asked, Resent::Queued(vec![Channel::Email]));
    let asked = resend(Some(vec![Channel::Email])).await.expect("the store takes it");
    assert_eq!(asked, Resent::UnderWay(Channel::Email));
    assert_eq!(house.email(&sent).await, (Status::Pending, None));
    house.work().await;
    assert_eq!(house.email(&sent).await, (Status::Sent, None));
    let mails = house.mails().await;
    assert_eq!(mails.len(), 2);
    assert_ne!(mails[0].delivery_id, mails[1].delivery_id);
}

#[tokio::test]
async fn what_is_sent_again_can_be_withdrawn_and_honours_what_the_person_wants() {
    let house = House::new(Mode::Capture).await;
    let sent = house.send(|n| n.channels = Some(vec![Channel::InApp])).await;
    let resend = || house.engine.resend(sent.key, Some(vec![Channel::Email]));
    resend().await.expect("the store takes it");
    assert_eq!(house.engine.cancel(sent.key).await.expect("the store takes it"), 1);
    house.work().await;
    assert_eq!(house.email(&sent).await, (Status::Canceled, Some(Reason::Canceled)));
    house.user(|preferences| *preferences.channels.entry(Channel::Email).or_default() = false).await;
    resend().await.expect("the store takes it");
    house.work().await;
    assert_eq!(house.email(&sent).await, (Status::Skipped, Some(Reason::PreferenceChannelOff)));
    assert_eq!(house.captured().await, 0);
}

#[tokio::test]
async fn new_rules_of_time_zones_hold_for_what_waits_already() {
    let house = House::new(Mode::Capture).await;
    house.engine.keep_to_zones().await.expect("a readable store");
    house.user(quiet).await;
    let sent = house.send_many(1).await;
    // As if it had been planned while the country kept other time.
    house
        .user(|preferences| (preferences.quiet_hours.enabled, preferences.quiet_hours.end) = (true, 60))
        .await;
    house.engine.keep_to_zones().await.expect("a readable store");
    house.forward(HOUR * 2).await;
    assert_eq!(house.email(&sent[0]).await.0, Status::Deferred, "the rules are the same");
    let other = house.engine.store().commit(|txn| {
        txn.put_zone_rules(1);
        Ok::<_, StoreError>(())
    });
    other.await.expect("the store takes it");
    house.engine.keep_to_zones().await.expect("a readable store");
    house.work().await;
    assert_eq!(house.email(&sent[0]).await, (Status::Sent, None));
}
