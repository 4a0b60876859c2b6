//! The engine over a real store and a clock that is moved by hand.

mod backups;
mod night;
mod schedules;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::accept::{AcceptError, Submission, Taken};
use super::inbox::Selection;
use super::*;
use crate::access::Vault;
use crate::channel::email::{Email, Options as EmailOptions, Tls};
use crate::channel::webhook::Webhook;
use crate::model::channel::Mode;
use crate::model::delivery::{Reason, Status};
use crate::model::notification::{Notification, sample};
use crate::model::preferences::Preferences;
use crate::model::user::User;
use crate::outbound::Outbound;
use crate::store::inbox::{Mark, Shelf};
use crate::store::outbox::Lane;
use crate::store::{Options, StoreError};

/// 2026-11-23, 23:00 in UTC: within the quiet hours of whoever has them.
const NIGHT: Millis = 1_795_474_800_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// Writes down the offsets of what arrived.
#[derive(Default)]
struct Witness {
    arrived: Mutex<Vec<u64>>,
}

impl Watcher for Witness {
    fn arrived(&self, accepted: &Accepted, _: Counts) {
        self.arrived.lock().push(accepted.offset);
    }
    fn moved(&self, _: &Progress) {}
    fn marked(&self, _: &str, _: Mark, _: &[String], _: Counts) {}
    fn left(&self, _: &str, _: &[String]) {}
}

fn rules(email: Mode) -> Rules {
    Rules {
        modes: Modes { email, browser_push: Mode::Off, sms: Mode::Capture, webhook: Mode::Off },
        schedules: std::array::from_fn(|_| vec![HOUR, HOUR]),
        slots: [8; 5],
        rates: [None; 5],
        rate_per_host: None,
        give_up_after: Duration::from_secs(5 * 86_400),
        patience: Patience { failures_max: 10, wait_max_ms: 30_000 },
        lease: HOUR,
        base_url: None,
        retention_days: 90,
        captures_max: 100,
        backup: None,
    }
}

struct House {
    _dir: TempDir,
    engine: Engine,
    clock: Clock,
    witness: Arc<Witness>,
}

impl House {
    async fn new(email: Mode) -> House {
        let dir = tempfile::tempdir().expect("a directory");
        let (clock, supervisor, witness) =
            (Clock::manual(NIGHT), Supervisor::new(), Arc::new(Witness::default()));
        let options = Options { path: dir.path().to_owned(), cache_bytes: 8 << 20 };
        let engine = Engine::new(Parts {
            store: Store::open(&options, &supervisor).expect("a new store"),
            clock: clock.clone(),
            watcher: witness.clone(),
            ways: Arc::new(Ways { email: Some(nobody_there()), ..Ways::default() }),
            webhook: Webhook::new(Outbound::new(&Default::default()).expect("the defaults")),
            vault: Vault::open_at(dir.path()).expect("a new key"),
            renderer: Arc::new(Renderer::new().expect("our own templates")),
            metrics: Arc::new(Metrics::new()),
            supervisor,
            rules: rules(email),
        });
        let house = House { _dir: dir, engine, clock, witness };
        house.user(|_| {}).await;
        house
    }

    /// Anna, with preferences as `change` makes them.
    async fn user(&self, change: impl FnOnce(&mut Preferences)) {
        let mut preferences = Preferences::default();
        change(&mut preferences);
        let anna = User {
            id: "anna".into(),
            email: Some("anna@example.org".into()),
            preferences: Some(preferences),
            ..User::default()
        };
        let put = self.engine.store().commit(move |txn| txn.put_user(&anna)).await;
        put.expect("the store takes it");
    }

    async fn send(&self, change: impl FnOnce(&mut Notification)) -> Accepted {
        let submission = Submission { notification: notification(change), content: [0; 16] };
        let taken = self.engine.accept(vec![submission], None).await.expect("the store takes it");
        taken.into_iter().next().expect("one for one").expect("it is new").accepted().clone()
    }

    /// Turns until nothing is due any more, and lets what was taken finish.
    async fn work(&self) {
        while self.engine.turn().await.expect("a readable store").taken > 0 {
            while self.engine.shared.leases.count(Lane::Channel(Channel::Email))
                + self.engine.shared.leases.count(Lane::Channel(Channel::InApp))
                > 0
            {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    async fn email(&self, accepted: &Accepted) -> (Status, Option<Reason>) {
        let standing =
            self.engine.standing(accepted.key).await.expect("a readable store").expect("it is there");
        let email = standing.channels.into_iter().find(|c| c.channel == Channel::Email).expect("considered");
        (email.status, email.reason)
    }

    async fn captured(&self) -> usize {
        self.engine.store().captures(None, None, 100).await.expect("a readable store").items.len()
    }
}

/// A mail server that refuses every connection: nothing listens on port 1.
fn nobody_there() -> Email {
    Email::new(EmailOptions {
        host: "127.0.0.1".into(),
        port: 1,
        tls: Tls::None,
        username: None,
        password: None,
        from: "belfry@example.org".into(),
        reply_to: None,
        ca_file: None,
        dkim: None,
        timeout: Duration::from_secs(5),
        connections_max: 2,
        base_url: None,
    })
    .expect("valid options")
}

fn notification(change: impl FnOnce(&mut Notification)) -> Notification {
    let mut notification = sample();
    change(&mut notification);
    notification
}

fn quiet(preferences: &mut Preferences) {
    preferences.quiet_hours.enabled = true;
}

#[tokio::test]
async fn what_is_accepted_arrives_at_once_and_its_mail_leaves_once() {
    let house = House::new(Mode::Capture).await;
    let accepted = house.send(|_| {}).await;
    assert_eq!(*house.witness.arrived.lock(), [1]);
    assert_eq!(house.email(&accepted).await, (Status::Pending, None));
    house.work().await;
    house.work().await;
    assert_eq!(house.email(&accepted).await, (Status::Sent, None));
    assert_eq!(house.captured().await, 1);
}

#[tokio::test]
async fn a_mail_in_quiet_hours_waits_until_morning() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    let accepted = house.send(|_| {}).await;
    house.work().await;
    assert_eq!(house.email(&accepted).await, (Status::Deferred, Some(Reason::QuietHours)));
    let seven_to_eight = HOUR * 9 - Duration::from_millis(1);
    house.clock.advance(seven_to_eight);
    house.work().await;
    assert_eq!(house.captured().await, 0);
    house.clock.advance(Duration::from_millis(1));
    house.work().await;
    assert_eq!(house.email(&accepted).await, (Status::Sent, None));
}

#[tokio::test]
async fn what_was_read_meanwhile_is_not_mailed_in_the_morning() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    let accepted = house.send(|_| {}).await;
    let marked = house.engine.mark("anna", Selection::Ids(vec![accepted.id()]), Mark::Read).await;
    assert_eq!(marked.expect("the store takes it").counts.unread, 0);
    // At once, and not only in the morning.
    assert_eq!(house.email(&accepted).await, (Status::Skipped, Some(Reason::ReadElsewhere)));
    house.clock.advance(HOUR * 9);
    house.work().await;
    assert_eq!(house.captured().await, 0);
}

#[tokio::test]
async fn what_was_turned_off_meanwhile_is_not_mailed_either() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    let accepted = house.send(|_| {}).await;
    house.user(|preferences| *preferences.channels.entry(Channel::Email).or_default() = false).await;
    house.clock.advance(HOUR * 9);
    house.work().await;
    assert_eq!(house.email(&accepted).await, (Status::Skipped, Some(Reason::PreferenceChannelOff)));
}

#[tokio::test]
async fn what_expires_while_it_is_held_never_leaves() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    let accepted = house.send(|n| n.expires_at = Some(NIGHT + 1_000)).await;
    house.clock.advance(HOUR * 9);
    house.work().await;
    assert_eq!(house.email(&accepted).await, (Status::Expired, Some(Reason::Expired)));
}

#[tokio::test]
async fn a_canceled_notification_never_leaves() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    let accepted = house.send(|_| {}).await;
    assert_eq!(house.engine.cancel(accepted.key).await.expect("the store takes it"), 1);
    house.clock.advance(HOUR * 9);
    house.work().await;
    assert_eq!(house.email(&accepted).await, (Status::Canceled, Some(Reason::Canceled)));
    assert_eq!(house.captured().await, 0);
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again_by_the_schedule_until_that_ends() {
    let house = House::new(Mode::Live).await;
    let accepted = house.send(|_| {}).await;
    house.work().await;
    assert_eq!(house.email(&accepted).await, (Status::Retrying, Some(Reason::ProviderUnreachable)));
    house.clock.advance(HOUR * 2);
    house.work().await;
    assert_eq!(house.email(&accepted).await, (Status::Retrying, Some(Reason::ProviderUnreachable)));
    house.clock.advance(HOUR * 2);
    house.work().await;
    assert_eq!(house.email(&accepted).await, (Status::Failed, Some(Reason::AttemptsExhausted)));
    let standing = house.engine.standing(accepted.key).await.expect("a readable store").expect("it is there");
    let attempts: Vec<u32> = standing.channels.iter().map(|channel| channel.attempts).collect();
    assert_eq!(attempts, [1, 3, 0, 0]);
}

#[tokio::test]
async fn what_is_sent_for_later_arrives_later_at_the_end_of_the_inbox() {
    let house = House::new(Mode::Capture).await;
    let later = house.send(|n| n.send_at = Some(NIGHT + 1_000)).await;
    let now = house.send(|_| {}).await;
    house.work().await;
    assert_eq!((later.offset, now.offset), (1, 2));
    assert_eq!(*house.witness.arrived.lock(), [2]);
    house.clock.advance(Duration::from_secs(1));
    house.work().await;
    assert_eq!(*house.witness.arrived.lock(), [2, 3]);
    let inbox = house.engine.store().inbox("anna", Shelf::All, None, 10, |_| true).await.expect("readable");
    let ids: Vec<String> = inbox.items.iter().map(|entry| entry.accepted.id()).collect();
    assert_eq!(ids, [later.id(), now.id()]);
}

#[tokio::test]
async fn an_id_that_is_sent_again_is_the_same_notification_and_with_other_content_a_conflict() {
    let house = House::new(Mode::Capture).await;
    let again =
        |content| Submission { notification: notification(|n| n.given_id = Some("n-1".into())), content };
    let taken = house.engine.accept(vec![again([1; 16]), again([1; 16]), again([2; 16])], None).await;
    let taken = taken.expect("the store takes it");
    let [Ok(Taken::New(first)), Ok(Taken::Repeat(second)), Err(AcceptError::Conflict { id })] = &taken[..]
    else {
        panic!("{taken:?}");
    };
    assert_eq!((first, id.as_str()), (second, "n-1"));
    house.work().await;
    assert_eq!(house.captured().await, 1);
}

#[tokio::test]
async fn an_erased_person_leaves_nothing_behind() {
    let house = House::new(Mode::Capture).await;
    house.user(quiet).await;
    let accepted = house.send(|n| n.given_id = Some("n-1".into())).await;
    assert!(house.engine.erase_user("anna").await.expect("the store takes it"));
    let store = house.engine.store();
    assert!(store.user("anna").await.expect("readable").is_none());
    assert!(store.notification("n-1").await.expect("readable").is_none());
    assert!(store.events(accepted.key).await.expect("readable").is_empty());
    assert_eq!(store.inbox_head("anna").await.expect("readable").counts, Counts::default());
    house.clock.advance(HOUR * 9);
    house.work().await;
    assert_eq!(house.captured().await, 0);
    assert!(!house.engine.erase_user("anna").await.expect("the store takes it"));
    assert_eq!(house.send(|_| {}).await.offset, 2, "an offset never means two things");
}

#[tokio::test]
async fn counters_follow_every_mark() {
    let house = House::new(Mode::Capture).await;
    let first = house.send(|_| {}).await;
    house.send(|_| {}).await;
    let counts =
        |marked: Result<super::inbox::Marked, StoreError>| marked.expect("the store takes it").counts;
    let some = |mark| house.engine.mark("anna", Selection::Ids(vec![first.id()]), mark);
    assert_eq!(counts(some(Mark::Seen).await), Counts { total: 2, unread: 2, unseen: 1 });
    assert_eq!(counts(some(Mark::Read).await), Counts { total: 2, unread: 1, unseen: 1 });
    assert_eq!(counts(some(Mark::Unread).await), Counts { total: 2, unread: 2, unseen: 1 });
    assert_eq!(counts(some(Mark::Archived).await), Counts { total: 1, unread: 1, unseen: 1 });
    let all = house.engine.mark("anna", Selection::All, Mark::Read).await;
    assert_eq!(counts(all), Counts { total: 1, unread: 0, unseen: 0 });
    house.send(|_| {}).await;
    let head = house.engine.store().inbox_head("anna").await.expect("readable");
    assert_eq!(head.counts, Counts { total: 2, unread: 1, unseen: 1 });
}

mod together;
