//! Conversations with the session alone.

use super::*;
use crate::ws::frame::Event;
use crate::ws::join::{Replay, join, mark, replay};
use crate::ws::out::Out;
use crate::ws::rights::watch;
use crate::ws::session::{Closing, Need};

/// A client and its session, with the house behind it and nothing in between.
struct Talk {
    house: Arc<House>,
    shared: Shared<House>,
    session: Session,
    out: Out,
    replay: Option<Box<Replay>>,
    closed: Option<u16>,
}

impl Talk {
    fn with(house: &Arc<House>, limits: Limits) -> Talk {
        let session = Session::new(&limits, house.hub.clone(), START);
        let shared = Shared {
            backend: house.clone(),
            hub: house.hub.clone(),
            limits,
            clock: Clock::manual(START),
            stopping: CancellationToken::new(),
            waiting: AtomicUsize::new(0),
        };
        let (out, replay, closed) = (Out::default(), None, None);
        Talk { house: house.clone(), shared, session, out, replay, closed }
    }

    fn new() -> Talk {
        Talk::with(&House::new(10), limits())
    }

    async fn connected(token: &str) -> Talk {
        let mut talk = Talk::new();
        assert_eq!(kind(&talk.say(&connect(token)).await[0]), "hello");
        talk
    }

    async fn say(&mut self, message: &Value) -> Vec<Value> {
        self.send(Event::Text(message.to_string())).await
    }

    async fn send(&mut self, event: Event) -> Vec<Value> {
        let now = self.shared.clock.now();
        self.session.heard(now);
        let need = self.session.on_event(event, &*self.house.clone(), now, &mut self.out);
        self.meet(need).await;
        self.heard()
    }

    async fn pass(&mut self, seconds: u64) -> Vec<Value> {
        self.shared.clock.advance(Duration::from_secs(seconds));
        let need = self.session.on_time(self.shared.clock.now(), &mut self.out);
        self.meet(need).await;
        self.heard()
    }

    async fn meet(&mut self, need: Need) {
        match need {
            Need::Nothing => {}
            Need::Join(wish) => {
                match join(&mut self.session, &self.shared, None, *wish, &mut self.out).await {
                    Ok(replay) => self.replay = replay,
                    Err(Closing { code, .. }) => self.closed = Some(code),
                }
                while let Some(under_way) = self.replay.take() {
                    let (session, shared) = (&mut self.session, &self.shared);
                    self.replay = replay(session, shared, under_way, &mut self.out).await.unwrap();
                }
            }
            Need::Watch(wish) => {
                let need = watch(&mut self.session, &self.shared, *wish, &mut self.out).await;
                Box::pin(self.meet(need)).await;
            }
            Need::Mark(wish) => {
                let need = mark(&mut self.session, &self.shared, *wish, &mut self.out).await;
                assert!(matches!(need, Need::Nothing));
            }
            Need::Close(Closing { code, .. }) | Need::Leave(code) => self.closed = Some(code),
        }
    }

    /// What the client hears: answers first, then what the hub queued.
    fn heard(&mut self) -> Vec<Value> {
        let mut frames = self.out.drain();
        if let Some(attachment) = &self.session.attachment {
            self.out.take(attachment);
        }
        frames.extend(self.out.drain());
        let json = |frame: &crate::hub::Frame| {
            let bytes = frame.bytes();
            let head = if bytes[1] < 126 { 2 } else { 4 };
            serde_json::from_slice(&bytes[head..]).unwrap_or(Value::Null)
        };
        frames.iter().map(json).collect()
    }
}

fn offsets(frames: &[Value]) -> Vec<u64> {
    frames.iter().filter_map(|frame| frame["offset"].as_u64()).collect()
}

#[tokio::test]
async fn hello_says_all_that_a_client_needs_to_stay_connected() {
    let mut talk = Talk::new();
    let mut hello = talk.say(&json!({"type": "connect", "token": "ada", "session_id": "w1"})).await.remove(0);
    let id = hello["connection_id"].take();
    let expected = json!({
        "type": "hello", "timestamp": "2023-11-14T22:13:20.000Z", "connection_id": null, "user_id": "ada",
        "session_id": "w1", "epoch": "e1", "offset": 0, "recovered": false, "heartbeat_interval": 30,
        "connection_timeout": 300, "max_message_size": 100_000, "unread": 0,
        "reconnect": {"max_attempts": 5, "delay_ms": 1000, "factor": 2, "jitter": 0.5},
    });
    assert_eq!(hello, expected);
    let view = talk.house.hub.get(id.as_str().unwrap()).unwrap();
    assert_eq!((view.state, view.session_id.as_deref()), ("connected", Some("w1")));
    assert_eq!(view.subscriptions, ["workflow:w1"]);
}

#[tokio::test]
async fn a_session_of_a_foreign_workflow_does_not_watch_it() {
    let mut talk = Talk::new();
    talk.say(&json!({"type": "connect", "token": "ada", "session_id": "w2"})).await;
    assert_eq!(talk.house.hub.list(None, 1, None).0[0].subscriptions, Vec::<String>::new());
}

#[tokio::test]
async fn without_a_token_in_time_the_connection_is_closed() {
    let mut talk = Talk::new();
    assert_eq!(talk.say(&json!({"type": "ping"})).await[0]["code"], "AUTHENTICATION_FAILED");
    assert_eq!((talk.pass(9).await.len(), talk.closed), (0, None));
    assert_eq!(talk.pass(1).await[0]["code"], "AUTHENTICATION_FAILED");
    assert_eq!(talk.closed, Some(4502));
}

#[tokio::test]
async fn a_bad_token_and_a_token_without_the_right_are_told_apart() {
    let mut bad = Talk::new();
    assert_eq!(bad.say(&connect("bad")).await[0]["code"], "AUTHENTICATION_FAILED");
    let mut ingest = Talk::new();
    assert_eq!(ingest.say(&connect("ingest")).await[0]["code"], "FORBIDDEN");
    assert_eq!((bad.closed, ingest.closed), (Some(4500), Some(4507)));
}

#[tokio::test]
async fn a_late_token_in_a_full_house_is_closed_with_4504() {
    let house = House::new(1);
    let mut first = Talk::with(&house, limits());
    first.say(&connect("ada")).await;
    let mut second = Talk::with(&house, limits());
    second.say(&connect("ada")).await;
    assert_eq!((first.closed, second.closed), (None, Some(4504)));
}

#[tokio::test]
async fn a_reading_key_connects_without_a_user() {
    let mut talk = Talk::new();
    let hello = talk.say(&connect("key")).await.remove(0);
    assert_eq!((&hello["user_id"], &hello["epoch"]), (&Value::Null, &Value::Null));
    let answer = talk.say(&json!({"type": "subscribe", "channel": "topic:any"})).await.remove(0);
    assert_eq!(kind(&answer), "subscribed");
}

#[tokio::test]
async fn subscribing_is_answered_and_brings_the_updates() {
    let mut talk = Talk::connected("ada").await;
    let answer = talk.say(&json!({"type": "subscribe", "channel": "workflow:w1", "id": 7})).await.remove(0);
    assert_eq!(
        (kind(&answer), &answer["channel"], &answer["id"]),
        ("subscribed", &json!("workflow:w1"), &json!(7))
    );
    let news = json!({"type": "news", "timestamp": "t"});
    let frame = protocol::broadcast(news.as_object().unwrap(), START);
    assert_eq!(talk.house.hub.to_channel("workflow:w1", &frame), 1);
    assert_eq!(talk.heard(), [news]);
    let answer = talk.say(&json!({"type": "unsubscribe", "channel": "workflow:w1"})).await.remove(0);
    assert_eq!(kind(&answer), "unsubscribed");
    assert_eq!(talk.house.hub.to_channel("workflow:w1", &frame), 0);
}

#[tokio::test]
async fn a_foreign_channel_is_forbidden_and_the_id_is_echoed() {
    let mut talk = Talk::connected("ada").await;
    let answer = talk.say(&json!({"type": "subscribe", "channel": "workflow:w2", "id": "q"})).await.remove(0);
    assert_eq!((&answer["code"], &answer["id"]), (&json!("FORBIDDEN"), &json!("q")));
    assert_eq!(talk.house.hub.to_channel("workflow:w2", &protocol::broadcast(&Default::default(), START)), 0);
}

#[tokio::test]
async fn questions_are_answered() {
    let mut talk = Talk::connected("ada").await;
    assert_eq!(kind(&talk.say(&json!({"type": "ping"})).await[0]), "pong");
    assert_eq!(talk.say(&json!({"type": "large_data", "data": "x".repeat(90_000)})).await[0]["size"], 90_000);
    assert_eq!(talk.say(&json!({"type": "ack", "offset": 3})).await.len(), 0);
    let inbox = talk.say(&json!({"type": "mark", "ids": ["n1"], "as": "read"})).await.remove(0);
    assert_eq!((kind(&inbox), &inbox["op"], &inbox["ids"]), ("inbox", &json!("read"), &json!(["n1"])));
    let refused =
        talk.say(&json!({"type": "mark", "ids": ["unknown"], "as": "read", "id": 1})).await.remove(0);
    assert_eq!((&refused["code"], &refused["id"]), (&json!("INVALID_MESSAGE_FORMAT"), &json!(1)));
}

#[tokio::test]
async fn a_bad_frame_gets_an_error_and_the_connection_lives() {
    let mut talk = Talk::connected("ada").await;
    assert_eq!(talk.send(Event::Text("{".to_owned())).await[0]["code"], "INVALID_MESSAGE_FORMAT");
    assert_eq!(talk.send(Event::Binary).await[0]["code"], "INVALID_MESSAGE_FORMAT");
    assert_eq!(talk.send(Event::TooLarge).await[0]["code"], "MESSAGE_TOO_LARGE");
    assert_eq!(talk.say(&json!({"type": "dance"})).await[0]["code"], "UNKNOWN_MESSAGE_TYPE");
    assert_eq!((kind(&talk.say(&json!({"type": "ping"})).await[0]), talk.closed), ("pong", None));
    assert_eq!(talk.house.hub.counters().errors, 4);
}

#[tokio::test]
async fn a_flood_of_errors_or_frames_is_closed() {
    let mut wrong = Talk::connected("ada").await;
    for _ in 0..20 {
        wrong.send(Event::Binary).await;
    }
    assert_eq!(wrong.closed, None);
    assert_eq!(wrong.send(Event::Binary).await[0]["code"], "RATE_LIMIT_EXCEEDED");
    let mut busy = Talk::connected("ada").await;
    for _ in 0..2000 {
        busy.send(Event::Pong).await;
    }
    assert_eq!((wrong.closed, busy.closed), (Some(4013), Some(4013)));
}

#[tokio::test]
async fn the_server_pings_and_closes_a_silent_connection() {
    let mut talk = Talk::connected("ada").await;
    assert_eq!(kind(&talk.pass(30).await[0]), "ping");
    talk.send(Event::Pong).await;
    for _ in 0..9 {
        assert_eq!(kind(&talk.pass(30).await[0]), "ping");
    }
    assert_eq!(talk.pass(30).await[0]["code"], "CONNECTION_TIMEOUT");
    assert_eq!(talk.closed, Some(4012));
}

#[tokio::test]
async fn a_token_that_expires_closes_the_connection_unless_a_fresh_one_comes() {
    let mut talk = Talk::connected(&format!("ada@{}", START + 5_000)).await;
    talk.say(&connect(&format!("ada@{}", START + 10_000))).await;
    assert_eq!((talk.pass(5).await.len(), talk.closed), (0, None));
    assert_eq!(talk.session.next_due(), START + 10_000);
    talk.pass(5).await;
    assert_eq!(talk.closed, Some(4005));
}

#[tokio::test]
async fn a_connection_does_not_change_hands() {
    let mut talk = Talk::connected("ada").await;
    assert_eq!(talk.say(&connect("bob")).await[0]["code"], "FORBIDDEN");
    assert_eq!(talk.house.notify("bob", "x"), 0);
}

#[tokio::test]
async fn a_resuming_client_gets_each_missed_notification_once_and_in_order() {
    let house = House::new(10);
    for _ in 0..600 {
        house.notify("ada", "missed");
    }
    *house.meanwhile.lock() = 3;
    let mut talk = Talk::with(&house, limits());
    let resume = json!({"type": "connect", "token": "ada", "resume": {"epoch": "e1", "offset": 100}});
    let mut heard = talk.say(&resume).await;
    let hello = heard.remove(0);
    assert_eq!((&hello["recovered"], &hello["offset"]), (&json!(true), &json!(600)));
    house.notify("ada", "live");
    heard.extend(talk.heard());
    assert_eq!(offsets(&heard), (101..=604).collect::<Vec<_>>());
    assert_eq!((&heard[0]["replay"], &heard[503].get("replay")), (&json!(true), &None));
}

#[tokio::test]
async fn what_comes_between_the_last_read_and_going_live_is_not_sent_twice() {
    let house = House::new(10);
    house.notify("ada", "missed");
    let mut talk = Talk::with(&house, limits());
    // The second read, after the hub queues again, finds what is published during it by the next one only.
    let resume = json!({"type": "connect", "token": "ada", "resume": {"epoch": "e1", "offset": 0}});
    let now = talk.shared.clock.now();
    let event = Event::Text(resume.to_string());
    let Need::Join(wish) = talk.session.on_event(event, &*house, now, &mut talk.out) else {
        panic!("no join")
    };
    let first = join(&mut talk.session, &talk.shared, None, *wish, &mut talk.out).await.unwrap().unwrap();
    let second = replay(&mut talk.session, &talk.shared, first, &mut talk.out).await.unwrap().unwrap();
    house.notify("ada", "queued and in the store");
    *house.meanwhile.lock() = 1;
    assert!(replay(&mut talk.session, &talk.shared, second, &mut talk.out).await.unwrap().is_none());
    let heard = talk.heard();
    assert_eq!(offsets(&heard[1..]), [1, 2, 3]);
}

#[tokio::test]
async fn a_client_that_cannot_be_given_everything_is_told_so_and_goes_live() {
    let house = House::new(10);
    for _ in 0..5 {
        house.notify("ada", "missed");
    }
    *house.forgotten.lock() = 2;
    for resume in [
        json!({"epoch": "e1", "offset": 1}),
        json!({"epoch": "old", "offset": 4}),
        json!({"epoch": "e1", "offset": 9}),
    ] {
        let mut talk = Talk::with(&house, limits());
        let heard = talk.say(&json!({"type": "connect", "token": "ada", "resume": resume})).await;
        assert_eq!((heard.len(), &heard[0]["recovered"]), (1, &json!(false)), "{resume}");
        let at = house.stored.lock()["ada"].len() as u64;
        house.notify("ada", "live");
        assert_eq!(offsets(&talk.heard()), [at + 1]);
    }
}

#[tokio::test]
async fn a_client_may_resume_after_its_hello_and_hears_nothing_twice() {
    let house = House::new(10);
    for _ in 0..3 {
        house.notify("ada", "missed");
    }
    let mut talk = Talk::with(&house, limits());
    talk.say(&connect("ada")).await;
    house.notify("ada", "live");
    assert_eq!(offsets(&talk.heard()), [4]);
    let resume = json!({"type": "connect", "resume": {"epoch": "e1", "offset": 1}});
    let heard = talk.say(&resume).await;
    assert_eq!((&heard[0]["recovered"], offsets(&heard[1..])), (&json!(true), vec![2, 3]));
    assert_eq!(talk.say(&resume).await.len(), 1);
}

#[tokio::test]
async fn an_anonymous_listener_hears_broadcasts_and_may_say_later_who_it_is() {
    let house = House::new(1);
    let mut talk = Talk::with(&house, Limits { require_authentication: false, ..limits() });
    let wish = Join { who: Who::New(None), connect: Default::default(), id: None };
    talk.meet(Need::Join(Box::new(wish))).await;
    assert_eq!(talk.heard()[0]["user_id"], Value::Null);
    assert_eq!(talk.say(&json!({"type": "subscribe", "channel": "topic:t1"})).await[0]["code"], "FORBIDDEN");
    assert_eq!(house.hub.to_all(&protocol::broadcast(&Default::default(), START)), 1);
    assert_eq!(talk.heard().len(), 1);
    assert_eq!(talk.say(&connect("ada")).await[0]["user_id"], "ada");
    assert_eq!(house.notify("ada", "x"), 1);
}

#[tokio::test]
async fn a_member_watches_a_topic_until_the_membership_ends() {
    let leave =
        |user: &str| crate::hub::Leave::Member { user: user.to_owned(), channel: "topic:members".to_owned() };
    let wish = json!({"type": "subscribe", "channel": "topic:members", "id": 1});
    let mut bob = Talk::connected("bob").await;
    assert_eq!(bob.say(&wish).await[0]["code"], "FORBIDDEN");
    assert_eq!(bob.house.hub.withdraw(&leave("bob")), 0);
    let mut ada = Talk::connected("ada").await;
    assert_eq!(kind(&ada.say(&wish).await[0]), "subscribed");
    assert_eq!(ada.house.hub.withdraw(&leave("ada")), 1);
    let need = ada.session.on_withdrawn(START, &mut ada.out);
    assert!(matches!(need, Need::Nothing));
    let told = ada.heard();
    assert_eq!((kind(&told[0]), &told[0]["channel"]), ("unsubscribed", &json!("topic:members")));
    let frame = protocol::broadcast(&Default::default(), START);
    assert_eq!(ada.house.hub.to_channel("topic:members", &frame), 0);
    // Whoever leaves by themselves holds nothing any more.
    ada.say(&wish).await;
    ada.say(&json!({"type": "unsubscribe", "channel": "topic:members"})).await;
    assert_eq!(ada.house.hub.withdraw(&leave("ada")), 0);
}

#[tokio::test]
async fn a_revoked_key_ends_its_connection_also_where_it_is_just_coming_in() {
    let mut talk = Talk::connected("key").await;
    assert_eq!(talk.house.hub.withdraw(&crate::hub::Leave::Key("k".to_owned())), 1);
    let need = talk.session.on_withdrawn(START, &mut talk.out);
    assert!(matches!(need, Need::Close(Closing { code: close::INVALID_TOKEN, .. })));
    let house = House::new(1);
    *house.revoked.lock() = true;
    let mut late = Talk::with(&house, limits());
    late.say(&connect("key")).await;
    assert_eq!(late.closed, Some(close::INVALID_TOKEN));
}
