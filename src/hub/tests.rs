//! What the hub promises, without a socket.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::*;

const NOW: Millis = 1_700_000_000_000;

fn hub() -> Hub {
    hub_for(100)
}

fn hub_for(connections_max: usize) -> Hub {
    let connections_per_user_max = connections_max.min(300);
    let limits =
        Limits { connections_max, connections_per_user_max, queue_len_max: 10, queue_bytes_max: 1000 };
    Hub::new(limits, Clock::manual(NOW))
}

fn walked(hub: &Hub) {
    while hub.fan_out_turn() {}
}

fn newcomer(user: &str) -> Newcomer {
    Newcomer { user_id: Some(user.to_owned()), session_id: None, connected_at_ms: NOW }
}

fn frame(text: &'static str) -> Frame {
    Frame::new(Bytes::from_static(text.as_bytes()), 0, None)
}

fn waiting(attachment: &Attachment) -> Vec<Frame> {
    let mut frames = VecDeque::new();
    attachment.take(&mut frames);
    frames.into()
}

#[test]
fn a_message_to_a_user_reaches_all_of_their_connections_and_nobody_else() {
    let hub = hub();
    let (phone, desk) = (hub.attach(newcomer("ada")).unwrap(), hub.attach(newcomer("ada")).unwrap());
    let other = hub.attach(newcomer("bob")).unwrap();
    assert_eq!(hub.to_user("ada", &frame("x")), 2);
    assert_eq!((waiting(&phone).len(), waiting(&desk).len(), waiting(&other).len()), (1, 1, 0));
}

#[test]
fn a_message_to_overlapping_channels_is_delivered_once() {
    let hub = hub();
    let both = hub.attach(newcomer("ada")).unwrap();
    both.subscribe("workflow:a").unwrap();
    both.subscribe("topic:b").unwrap();
    assert_eq!(hub.to_channels(&["workflow:a", "topic:b", "topic:nobody"], &frame("x")), 1);
    assert_eq!(waiting(&both).len(), 1);
    assert!(both.unsubscribe("topic:b"));
    assert_eq!(hub.to_channel("topic:b", &frame("x")), 0);
}

#[test]
fn a_broadcast_reaches_users_and_strangers() {
    let hub = hub();
    let user = hub.attach(newcomer("ada")).unwrap();
    let stranger = hub.attach(Newcomer::default()).unwrap();
    assert_eq!(hub.to_all(&frame("x")), 2);
    assert_eq!((waiting(&user).len(), waiting(&stranger).len()), (1, 1));
}

#[test]
fn a_reader_that_has_not_run_yet_may_be_sent_a_burst() {
    let hub = hub();
    let reader = hub.attach(newcomer("ada")).unwrap();
    let taken: usize = (0..4096).map(|_| hub.to_user("ada", &frame("x"))).sum();
    assert_eq!((taken, reader.closing()), (4096, None));
    assert_eq!(hub.to_user("ada", &frame("x")), 0);
    assert_eq!(reader.closing(), Some(CLOSE_SLOW_CONSUMER));
}

#[test]
fn a_stalled_reader_overflows_alone_and_its_queue_is_freed() {
    let hub = hub();
    let (slow, quick) = (hub.attach(newcomer("ada")).unwrap(), hub.attach(newcomer("ada")).unwrap());
    slow.hold(3, 3, true);
    let taken: usize = (0..8).map(|_| hub.to_user("ada", &frame("x"))).sum();
    assert_eq!(taken, 7 + 8);
    assert_eq!((slow.closing(), quick.closing()), (Some(4008), None));
    assert_eq!((waiting(&slow).len(), waiting(&quick).len()), (0, 8));
    assert_eq!(hub.counters().overflows, 1);
}

#[test]
fn a_reader_that_stalls_over_a_full_queue_is_closed_at_once() {
    let hub = hub();
    let slow = hub.attach(newcomer("ada")).unwrap();
    (0..11).for_each(|_| assert_eq!(hub.to_user("ada", &frame("x")), 1));
    slow.hold(0, 0, false);
    assert_eq!(slow.closing(), None);
    slow.hold(0, 0, true);
    assert_eq!(slow.closing(), Some(CLOSE_SLOW_CONSUMER));
}

#[test]
fn a_stalled_reader_is_bounded_in_bytes_too() {
    let hub = hub();
    let slow = hub.attach(newcomer("ada")).unwrap();
    slow.hold(1, 600, true);
    let big = Frame::new(Bytes::from(vec![0; 500]), 0, None);
    assert_eq!(hub.to_user("ada", &big), 0);
    assert_eq!(slow.closing(), Some(CLOSE_SLOW_CONSUMER));
}

#[test]
fn while_replaying_only_frames_without_offset_are_queued() {
    let hub = hub();
    let reader = hub.attach(newcomer("ada")).unwrap();
    reader.replaying(true);
    hub.to_user("ada", &Frame::new(Bytes::from_static(b"n"), 0, Some(7)));
    hub.to_user("ada", &frame("x"));
    assert_eq!(waiting(&reader), [frame("x")]);
    reader.replaying(false);
    hub.to_user("ada", &Frame::new(Bytes::from_static(b"n"), 0, Some(8)));
    assert_eq!(waiting(&reader).len(), 1);
}

#[test]
fn a_dropped_attachment_is_forgotten_everywhere() {
    let hub = hub();
    let gone = hub.attach(newcomer("ada")).unwrap();
    gone.subscribe("topic:b").unwrap();
    let id = gone.id().to_string();
    drop(gone);
    assert_eq!(hub.to_user("ada", &frame("x")) + hub.to_channel("topic:b", &frame("x")), 0);
    assert_eq!((hub.get(&id), hub.list(None, 10, None)), (None, (Vec::new(), None)));
    assert_eq!(hub.totals(0), Totals { total: 0, active: 0, idle: 0 });
}

#[test]
fn a_fourth_connection_over_a_limit_of_three_is_refused_until_one_leaves() {
    let hub = hub_for(3);
    let seats: Vec<_> = (0..2).map(|_| hub.attach(newcomer("ada")).unwrap()).collect();
    let reserved = hub.reserve().unwrap();
    assert_eq!(hub.attach(newcomer("bob")).unwrap_err(), Full);
    drop(reserved);
    assert!(hub.attach(newcomer("bob")).is_ok());
    drop(seats);
}

#[test]
fn a_user_has_a_bounded_number_of_connections() {
    let hub = hub_for(1000);
    let mut seats: Vec<_> = (0..300).map(|_| hub.attach(newcomer("ada")).unwrap()).collect();
    assert_eq!(hub.reserve_for("ada").err(), Some(Full));
    assert_eq!(
        hub.attach(newcomer("ada")).err(),
        Some(Full),
        "a seat that was had before is no way round it"
    );
    assert!(hub.attach(newcomer("bob")).is_ok() && hub.reserve_for("bob").is_ok());
    seats.pop();
    assert!(hub.attach(newcomer("ada")).is_ok());
}

#[test]
fn fifty_connections_are_listed_newest_first_page_by_page() {
    let hub = hub();
    let attached: Vec<_> = (0..50).map(|n| hub.attach(newcomer(["ada", "bob"][n % 2])).unwrap()).collect();
    let mut ids: Vec<_> = attached.iter().map(|one| one.id().to_string()).collect();
    ids.reverse();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = hub.list(after.as_deref(), 20, None);
        seen.extend(page.into_iter().map(|view| view.id));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);
    let (ada, next) = hub.list(None, 20, Some("ada"));
    assert_eq!((ada.len(), next.as_deref()), (20, Some(ada[19].id.as_str())));
    assert_eq!(hub.list(next.as_deref(), 20, Some("ada")).0.len(), 5);
}

#[test]
fn a_large_audience_stays_in_order_and_is_left_one_by_one() {
    let hub = hub_for(300);
    let mut attached: Vec<_> = (0..300).map(|_| hub.attach(newcomer("ada")).unwrap()).collect();
    assert_eq!(hub.to_user("ada", &frame("x")), 300);
    walked(&hub);
    assert!(attached.iter().all(|one| waiting(one) == [frame("x")]));
    let (page, _) = hub.list(None, 1, Some("ada"));
    assert_eq!(page[0].id, attached[299].id().to_string());
    attached.truncate(100);
    assert_eq!(hub.to_user("ada", &frame("x")), 100);
}

#[test]
fn a_connection_watches_a_bounded_number_of_channels() {
    let hub = hub();
    let one = hub.attach(newcomer("ada")).unwrap();
    for n in 0..SUBSCRIPTIONS_MAX {
        assert_eq!(one.subscribe(&format!("topic:{n}")), Ok(true));
    }
    assert_eq!(one.subscribe("topic:0"), Ok(false));
    assert_eq!(one.subscribe("topic:more"), Err(TooMany));
}

#[tokio::test]
async fn a_publisher_wakes_the_waiting_owner() {
    let hub = hub();
    let reader = hub.attach(newcomer("ada")).unwrap();
    let (publisher, woken) = (hub.clone(), poll_fn(|cx| reader.poll_ready(cx, true)));
    tokio::join!(woken, async { publisher.to_user("ada", &frame("x")) });
    assert_eq!(waiting(&reader).len(), 1);
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_burst_wakes_its_owner_once_and_costs_nothing_more_than_the_pushes() {
    let hub = hub();
    let reader = hub.attach(newcomer("ada")).unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    assert_eq!(reader.poll_ready(&mut cx, true), Poll::Pending);
    (0..100).for_each(|_| assert_eq!(hub.to_user("ada", &frame("x")), 1));
    assert_eq!((wakes.0.load(Ordering::SeqCst), waiting(&reader).len()), (1, 100));
    assert_eq!(reader.poll_ready(&mut cx, false), Poll::Pending);
    hub.to_user("ada", &frame("x"));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1, "a blocked owner is left asleep");
}

#[test]
fn an_owner_that_wants_no_frames_is_ready_for_closing_alone() {
    let hub = hub();
    let reader = hub.attach(newcomer("ada")).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    hub.to_user("ada", &frame("x"));
    assert_eq!(reader.poll_ready(&mut cx, false), Poll::Pending);
    assert!(hub.kick(&reader.id().to_string(), 4503));
    assert!(!hub.kick(&reader.id().to_string(), 4001));
    assert_eq!(reader.poll_ready(&mut cx, false), Poll::Ready(()));
    assert_eq!(reader.closing(), Some(4503));
    assert_eq!(hub.get(&reader.id().to_string()).unwrap().state, "closing");
}

#[tokio::test(start_paused = true)]
async fn the_hub_is_emptied_when_the_last_one_leaves() {
    let hub = hub();
    let last = hub.attach(newcomer("ada")).unwrap();
    hub.close_all(4001);
    assert_eq!(last.closing(), Some(4001));
    assert!(!hub.emptied(Duration::from_secs(1)).await);
    let leaving = async move { drop(last) };
    assert!(tokio::join!(hub.emptied(Duration::from_secs(1)), leaving).0);
}

#[test]
fn traffic_within_a_minute_makes_a_connection_active() {
    let hub = hub();
    let (busy, _quiet) = (hub.attach(newcomer("ada")).unwrap(), hub.attach(newcomer("bob")).unwrap());
    busy.wrote(2, 1_700_000_090_000);
    assert_eq!(hub.totals(1_700_000_100_000), Totals { total: 2, active: 1, idle: 1 });
    assert_eq!(hub.counters().sent, 2);
}
