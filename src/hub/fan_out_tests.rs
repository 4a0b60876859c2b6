//! What the hub promises of large audiences, and of writing straight to a socket.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;

fn hub() -> Hub {
    let limits = Limits {
        connections_max: 10_000,
        connections_per_user_max: 10_000,
        queue_len_max: 10,
        queue_bytes_max: 1000,
    };
    Hub::new(limits, Clock::manual(1_700_000_000_000))
}

fn watcher(hub: &Hub) -> Attachment {
    let attachment = hub.attach(Newcomer::default()).unwrap();
    attachment.subscribe("topic:a").unwrap();
    attachment
}

fn numbered(number: u32) -> Frame {
    Frame::new(Bytes::from(number.to_be_bytes().to_vec()), 0, None)
}

fn waiting(attachment: &Attachment) -> Vec<Frame> {
    let mut frames = VecDeque::new();
    attachment.take(&mut frames);
    frames.into()
}

fn numbers(attachment: &Attachment) -> Vec<u32> {
    waiting(attachment).iter().map(|one| u32::from_be_bytes(one.bytes()[..].try_into().unwrap())).collect()
}

#[derive(Clone, Debug)]
enum Op {
    Publish,
    Step,
    Join,
    Leave(prop::sample::Index),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Publish),
        6 => Just(Op::Step),
        1 => Just(Op::Join),
        1 => any::<prop::sample::Index>().prop_map(Op::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_member_gets_what_is_published_while_it_is_there_once_and_in_order(
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let hub = hub();
        let mut members: Vec<(Attachment, u32)> = (0..200).map(|_| (watcher(&hub), 0)).collect();
        let mut published = 0;
        for op in ops {
            match op {
                Op::Publish => {
                    hub.to_channel("topic:a", &numbered(published));
                    published += 1;
                }
                Op::Step => {
                    hub.fan_out_turn();
                }
                Op::Join => members.push((watcher(&hub), published)),
                Op::Leave(which) => {
                    members.swap_remove(which.index(members.len()));
                }
            }
        }
        while hub.fan_out_turn() {}
        for (member, joined) in &members {
            prop_assert_eq!(numbers(member), (*joined..published).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_large_audience_is_reached_in_steps_and_all_that_waits_comes_at_once() {
    let hub = hub();
    let members: Vec<_> = (0..200).map(|_| watcher(&hub)).collect();
    assert_eq!(hub.to_channel("topic:a", &numbered(0)), 200);
    assert!(hub.fan_out_turn());
    hub.to_channel("topic:a", &numbered(1));
    assert!(hub.fan_out_turn());
    let seen = [&members[0], &members[64], &members[128]].map(numbers);
    assert_eq!(seen, [vec![0], vec![0, 1], vec![]]);
    while hub.fan_out_turn() {}
    let seen = [&members[0], &members[64], &members[128]].map(numbers);
    assert_eq!(seen, [vec![1], vec![], vec![0, 1]]);
}

#[test]
fn a_member_of_two_large_audiences_gets_a_message_to_both_once() {
    let hub = hub();
    let members: Vec<_> = (0..100).map(|_| watcher(&hub)).collect();
    for member in &members[..80] {
        member.subscribe("workflow:b").unwrap();
    }
    hub.to_channels(&["workflow:b", "topic:a"], &numbered(7));
    while hub.fan_out_turn() {}
    assert!(members.iter().all(|member| numbers(member) == [7]));
}

#[test]
fn whoever_the_walk_does_not_reach_in_time_falls_off_and_is_closed() {
    let hub = hub();
    let members: Vec<_> = (0..100).map(|_| watcher(&hub)).collect();
    let large = Frame::new(Bytes::from(vec![0; 40 << 20]), 0, None);
    hub.to_channel("topic:a", &large);
    hub.fan_out_turn();
    assert!(members[..64].iter().all(|member| waiting(member).len() == 1));
    hub.to_channel("topic:a", &large);
    while hub.fan_out_turn() {}
    assert_eq!((members[0].closing(), members[99].closing()), (None, Some(CLOSE_SLOW_CONSUMER)));
    assert_eq!(hub.counters().overflows, 36);
}

/// A connection that sleeps with nothing to write, and the other end of its socket.
async fn idle(hub: &Hub, send_buffer: Option<u32>) -> (Attachment, Arc<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpSocket::new_v4().unwrap();
    if let Some(bytes) = send_buffer {
        near.set_send_buffer_size(bytes).unwrap();
    }
    let near = Arc::new(near.connect(listener.local_addr().unwrap()).await.unwrap());
    let (far, _) = listener.accept().await.unwrap();
    near.writable().await.unwrap();
    let attachment = hub.attach(Newcomer { user_id: Some("ada".to_owned()), ..Newcomer::default() }).unwrap();
    attachment.write_to(near.clone());
    assert_eq!(attachment.poll_ready(&mut Context::from_waker(Waker::noop()), true), Poll::Pending);
    (attachment, near, far)
}

#[tokio::test]
async fn a_publisher_writes_to_an_idle_socket_itself() {
    let hub = hub();
    let (ada, _near, mut far) = idle(&hub, None).await;
    assert_eq!(hub.to_user("ada", &numbered(0x6162_6364)), 1);
    let mut heard = [0; 4];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!((&heard, waiting(&ada).len()), (b"abcd", 0));
    let view = hub.get(&ada.id().to_string()).unwrap();
    assert_eq!((view.sent, view.queue, hub.counters().sent), (1, 0, 1));
}

#[tokio::test]
async fn while_its_task_is_awake_nobody_else_writes() {
    let hub = hub();
    let (ada, _near, far) = idle(&hub, None).await;
    ada.claim();
    hub.to_user("ada", &numbered(1));
    assert_eq!(numbers(&ada), [1]);
    let nothing = far.try_read(&mut [0; 4]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn what_a_full_socket_does_not_take_goes_to_its_task_and_no_byte_is_lost_or_doubled() {
    let hub = hub();
    let (ada, near, mut far) = idle(&hub, Some(4096)).await;
    let sent: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    for part in sent.chunks(100_000) {
        assert_eq!(hub.to_user("ada", &Frame::new(Bytes::copy_from_slice(part), 0, None)), 1);
    }
    assert_eq!(ada.poll_ready(&mut Context::from_waker(Waker::noop()), true), Poll::Ready(()));
    let rest = waiting(&ada);
    assert!(rest[0].is_begun() && rest[0].len() < 100_000, "{}", rest[0].len());
    assert!(!rest[1].is_begun());
    let reader = async {
        let mut heard = vec![0; sent.len()];
        far.read_exact(&mut heard).await.unwrap();
        heard
    };
    let writer = async {
        for frame in &rest {
            let mut left = &frame.bytes()[..];
            while !left.is_empty() {
                near.writable().await.unwrap();
                left = &left[near.try_write(left).unwrap_or(0)..];
            }
        }
    };
    let (heard, ()) = tokio::join!(reader, writer);
    assert!(heard == sent);
}
