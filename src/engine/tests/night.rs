//! The nightly work over a clock that is moved by hand: what goes, what stays, and what the counters say then.

use super::*;
use crate::engine::batch::{Entry, Item, Received};
use crate::model::audience::Target;
use crate::model::category::Category;

const DAY: Duration = Duration::from_secs(86_400);

impl House {
    /// Moves the clock and works until nothing is due, jobs included.
    async fn sleep(&self, by: Duration) {
        self.clock.advance(by);
        while self.engine.turn().await.expect("a readable store").taken > 0 {
            while self.engine.shared.leases.first_end().is_some() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    async fn there(&self, accepted: &Accepted) -> bool {
        self.engine.store().notification(&accepted.id()).await.expect("a readable store").is_some()
    }
}

#[tokio::test]
async fn what_is_older_than_is_kept_goes_with_its_line_and_the_counters_follow() {
    let house = House::new(Mode::Off).await;
    house.engine.plan_night().await.expect("the store takes it");
    let mut old = Vec::new();
    for at in 0..300 {
        old.push(house.send(|n| n.given_id = (at == 0).then(|| "mine".into())).await);
    }
    house.sleep(DAY * 50).await;
    let young = house.send(|_| {}).await;
    assert!(house.there(&old[0]).await);
    house.sleep(DAY * 42).await;
    for gone in &old {
        assert!(!house.there(gone).await, "{}", gone.offset);
    }
    assert!(house.there(&young).await);
    let store = house.engine.store();
    let head = store.inbox_head("anna").await.expect("a readable store");
    assert_eq!((head.offset, head.counts.total, head.counts.unread), (301, 1, 1));
    assert_eq!(store.inbox_trimmed("anna").await.expect("a readable store"), 300);
    // Its id is free again.
    let again = house.send(|n| n.given_id = Some("mine".into())).await;
    assert_eq!(again.offset, 302);
}

#[tokio::test]
async fn offsets_go_on_where_they_were_when_everything_has_gone() {
    let house = House::new(Mode::Off).await;
    house.engine.plan_night().await.expect("the store takes it");
    for _ in 0..3 {
        house.send(|_| {}).await;
    }
    house.sleep(DAY * 92).await;
    let store = house.engine.store();
    let head = store.inbox_head("anna").await.expect("a readable store");
    assert_eq!((head.offset, head.counts), (3, Counts::default()));
    assert_eq!(house.send(|_| {}).await.offset, 4);
    let head = store.inbox_head("anna").await.expect("a readable store");
    assert_eq!(head.counts, Counts { total: 1, unread: 1, unseen: 1 });
}

#[tokio::test]
async fn what_is_still_to_be_delivered_stays_and_categories_have_their_own_terms() {
    let house = House::new(Mode::Capture).await;
    house.engine.plan_night().await.expect("the store takes it");
    let category = |name: &str, days| Category {
        name: name.to_owned(),
        retention_days: Some(days),
        ..Category::default()
    };
    let (short, long) = (category("chatter", 7), category("audit", 400));
    let put = house.engine.store().commit(move |txn| {
        txn.put_category(&short)?;
        txn.put_category(&long)?;
        Ok::<_, StoreError>(())
    });
    put.await.expect("the store takes it");
    let waiting = house.send(|n| n.send_at = Some(NIGHT + 1_000 * 86_400_000)).await;
    let chatter = house.send(|n| n.category = "chatter".into()).await;
    let audit = house.send(|n| n.category = "audit".into()).await;
    let usual = house.send(|_| {}).await;
    house.sleep(DAY * 9).await;
    assert!(!house.there(&chatter).await && house.there(&usual).await);
    house.sleep(DAY * 92).await;
    assert!(!house.there(&usual).await && house.there(&audit).await && house.there(&waiting).await);
    house.sleep(DAY * 310).await;
    assert!(!house.there(&audit).await && house.there(&waiting).await);
}

#[tokio::test]
async fn batches_go_with_their_content_once_nothing_can_point_to_it() {
    let house = House::new(Mode::Off).await;
    house.engine.plan_night().await.expect("the store takes it");
    let submission = Submission { notification: notification(|_| {}), content: [0; 16] };
    let users = vec!["anna".to_owned(), "ben".to_owned()];
    let item = Item { name: "0".into(), read: Ok(Entry::Many(submission, Target::Users(users))) };
    let (batch, results) = house.engine.accept_batch(vec![item], None).await.expect("the store takes it");
    let Some(Ok(Received::Many(sent))) = results.into_iter().next() else { panic!("a send") };
    house.sleep(Duration::ZERO).await;
    let store = house.engine.store();
    let content = |id| store.commit(move |txn| txn.content(id));
    assert!(content(sent.batch.id).await.expect("a readable store").is_some());
    house.sleep(DAY * 92).await;
    assert_eq!(content(sent.batch.id).await.expect("a readable store"), None);
    for id in [batch.id, sent.batch.id] {
        assert_eq!(store.batch(id).await.expect("a readable store"), None);
        assert_eq!(store.batch_members(id, 0).await.expect("a readable store"), [] as [Uuid; 0]);
    }
}
