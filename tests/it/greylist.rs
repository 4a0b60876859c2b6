//! Claims about many mails at once to a server that delays each at first and refuses some for good: none is unaccounted for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::sink::Sink;
use crate::support::{Client, Server};

/// Mails, if `BELFRY_TEST_MAILS` does not say how many.
const MAILS: usize = 2_000;
/// One in so many addresses does not exist.
const REFUSED_EVERY: usize = 100;
const AT_ONCE: usize = 32;

fn mails() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a test may be told how large it is to be")]
    let told = std::env::var("BELFRY_TEST_MAILS").ok();
    told.map_or(MAILS, |told| told.parse().unwrap())
}

async fn each(count: usize, work: impl AsyncFn(usize)) {
    stream::iter(0..count).map(|at| work(at)).buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
}

/// How often each recipient was asked for, and how often they were sent a mail.
type Seen = Arc<Mutex<HashMap<String, (u32, u32)>>>;

async fn greylisting(seen: &Seen) -> u16 {
    let (asked, took) = (seen.clone(), seen.clone());
    let refuses = move |address: &str| {
        let mut asked = asked.lock();
        let (times, _) = asked.entry(address.to_owned()).or_default();
        *times += 1;
        let number: usize = address.split(['u', '@']).nth(1).unwrap().parse().unwrap();
        match *times {
            1 => Some("450 4.2.0 Greylisted, come back later"),
            _ if number.is_multiple_of(REFUSED_EVERY) => Some("550 5.1.1 No such user"),
            _ => None,
        }
    };
    let took = move |address: &str| took.lock().entry(address.to_owned()).or_default().1 += 1;
    Sink { wait: Duration::ZERO, refuses: Box::new(refuses), took: Box::new(took) }.start().await.unwrap()
}

/// Publishes one mail to each person; the ids.
async fn publish(admin: &Client, mails: usize) -> Vec<String> {
    let id = |at: usize| format!("n-{at}");
    let lines: String = (0..mails)
        .map(|at| {
            let line = json!({ "id": id(at), "user_id": format!("u{at}"), "type": "note", "title": "Hello",
                "message": "There.", "priority": "medium", "category": "system", "channels": ["email"] });
            format!("{line}\n")
        })
        .collect();
    let request = admin.request(Method::POST, "/v1/notifications/batch");
    let request = request.header("content-type", "application/x-ndjson").body(lines);
    let answer = admin.send(request).await.is(202);
    assert_eq!((&answer["successful"], &answer["failed"]), (&json!(mails), &json!(0)));
    (0..mails).map(id).collect()
}

#[tokio::test]
async fn every_mail_is_accounted_for_where_each_is_delayed_first_and_one_in_a_hundred_refused() {
    let (mails, seen) = (mails(), Seen::default());
    let port = greylisting(&seen).await.to_string();
    let server = Server::start_with(&[
        ("CHANNELS__EMAIL__HOST", "127.0.0.1"),
        ("CHANNELS__EMAIL__PORT", &port),
        ("CHANNELS__EMAIL__TLS", "none"),
        ("CHANNELS__EMAIL__FROM", "belfry@belfry.test"),
        ("RETRY__EMAIL__SCHEDULE", "[\"1s\",\"1s\"]"),
    ])
    .await;
    let admin = server.admin();
    each(mails, async |at| {
        let address = json!({ "email": format!("u{at}@example.org") });
        admin.put(&format!("/v1/users/u{at}"), &address).await.is(201);
    })
    .await;
    let ids = publish(&admin, mails).await;
    let (begun, refused) = (Instant::now(), mails.div_ceil(REFUSED_EVERY));
    // Each costs two attempts: more than enough for the slowest machine.
    let patience = Duration::from_secs(60) + Duration::from_millis(20) * u32::try_from(mails).unwrap();
    let counted = loop {
        let counted = admin.get("/v1/analytics").await.is(200);
        if counted["successful_deliveries"] == mails - refused && counted["failed_deliveries"] == refused {
            break counted;
        }
        assert!(begun.elapsed() < patience, "after {:?}: {counted}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    println!("{mails} mails, each tried twice, in {:?}", begun.elapsed());
    assert_eq!(counted["total_notifications"], mails);
    assert_eq!(counted["reason_breakdown"]["provider_rejected"], refused);

    let fates = Mutex::new(BTreeMap::<String, usize>::new());
    each(mails, async |at| {
        let standing = admin.standing(&ids[at], "email").await;
        let fate = format!("{} {} {}", standing["status"], standing["reason"], standing["attempts"]);
        *fates.lock().entry(fate).or_default() += 1;
        let told: Vec<Value> =
            admin.story(&ids[at], "email").await.iter().map(|one| one["event"].clone()).collect();
        assert_eq!(told[..2], ["pending", "retrying"]);
    })
    .await;
    let expected = [("\"failed\" \"provider_rejected\" 2", refused), ("\"sent\" null 2", mails - refused)];
    assert_eq!(fates.into_inner(), expected.map(|(fate, count)| (fate.to_owned(), count)).into());
    assert_eq!(admin.all("/v1/suppressions").await.len(), refused);

    let seen = seen.lock();
    let twice = seen.values().filter(|(asked, _)| *asked == 2).count();
    let once = seen.values().filter(|(_, took)| *took == 1).count();
    assert_eq!((seen.len(), twice, once), (mails, mails, mails - refused));
}
