//! The catalogue of key spaces: the first byte of a key says what it is, the rest sorts as it is asked for.
//!
//! | space | key | value |
//! |---|---|---|
//! | `m` | name | store-wide facts: format, epoch, groups written, how much waits |
//! | `u` | user id | the person and their preferences |
//! | `n` | notification key (UUIDv7) | the notification and its plan; grows at its right edge |
//! | `i` | user id, 0, offset | one inbox line: notification key, marks, running counters |
//! | `D` | lane, turn, due instant, key | what is still to be done: the due index |
//! | `g` | user id, 0, channel, group | what waits together: when it leaves |
//! | `h` | user id, 0, channel, notification key | a delivery that waits in a group, and in which |
//! | `d` | message id (UUIDv7) | which deliveries left together as one text message, until that is reported on |
//! | `q` | user id, 0, kind, hash | the latest notification of a sender's key, or a count against a rate |
//! | `a` | notification key, number | what happened after the plan: attempts, marks, changes |
//! | `x` | sender's id | the notification key that it stands for |
//! | `s` | hour, hash | an answer kept for its idempotency key |
//! | `M` | hour, hash | how far an upload with an idempotency key is |
//! | `k` | key id | an API key's hash and rights |
//! | `c` | capture id (UUIDv7) | a message that a channel in capture mode kept |
//! | `C` | category | what the operator says of it |
//! | `H` | user id, 0, number | a change of the person's preferences |
//! | `t` | topic | what it is for, how many members it has |
//! | `j` | topic, 0, user id | a member of a topic |
//! | `J` | user id, 0, topic | the same from the person's side |
//! | `b` | batch id (UUIDv7) | many notifications that belong together: how far they are |
//! | `B` | batch id, number | the notifications that one commit took into a batch |
//! | `W` | user id, 0, workflow | that the person takes part in the workflow, and since what day |
//! | `w` | day, user id, 0, workflow | the same, in the order in which it runs out |
//! | `S` | send id (UUIDv7) | the content that many notifications share |
//! | `T` | send id | a send to many that is under way: whom it goes to, and how far it is |
//! | `U` | send id, number | some of the people that it names |
//! | `r` | schedule id (UUIDv7) | what recurs: when, and what is sent |
//! | `y` | template name | which version of a template holds |
//! | `Y` | template name, 0, version | one version of a template |
//! | `f` | user id | up to which offset the person's lines were let go of |
//! | `p` | user id | the browsers that the person allowed to show notifications |
//! | `P` | hash of an endpoint | whose browser it is |
//! | `O` | notification key | which browsers are done with it, while it is tried again on others |
//! | `e` | notification key, or that of several together | which of the person's own endpoints are done with it, while it is tried again on others |
//! | `o` | hash of a user id | where the offsets of somebody who was erased ended |
//! | `E` | endpoint id (UUIDv7) | an outbound webhook |
//! | `V` | endpoint, notification, event id | an event that waits for its endpoint; together the order of one notification |
//! | `Q` | endpoint, due instant, notification, event id | the first waiting event of a notification at an endpoint: their due index |
//! | `F` | endpoint, event id, notification | an event that its endpoint never took |
//! | `A` | endpoint, attempt id (UUIDv7) | a call to an endpoint |
//! | `1`, `2`, `3` | minute, hour, second | how often what happened to the notifications of that span |
//! | `I` | hook id (UUIDv7) | an inbound webhook |
//! | `l` | hash of a channel and an address | which suppression holds of it |
//! | `L` | suppression id (UUIDv7) | an address that nothing is sent to |
//! | `z` | key, number | a further piece of a value that is too long for one |

use uuid::Uuid;

use super::holds::GroupId;
use super::outbox::{Due, Lane};
use super::recent::Word;
use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::notification::Priority;

/// Room for what most keys have after a name, so that they need not be moved while they are put together.
const SUFFIX_BYTES: usize = 10;

pub(super) const META: u8 = b'm';
pub(super) const USER: u8 = b'u';
pub(super) const NOTIFICATION: u8 = b'n';
pub(super) const INBOX: u8 = b'i';
pub(super) const DUE: u8 = b'D';
pub(super) const GROUP: u8 = b'g';
pub(super) const HELD: u8 = b'h';
pub(super) const DIGEST: u8 = b'd';
pub(super) const RECENT: u8 = b'q';
pub(super) const EVENT: u8 = b'a';
pub(super) const GIVEN_ID: u8 = b'x';
pub(super) const IDEMPOTENCY: u8 = b's';
pub(super) const UPLOAD: u8 = b'M';
pub(super) const API_KEY: u8 = b'k';
pub(super) const CAPTURE: u8 = b'c';
pub(super) const CATEGORY: u8 = b'C';
pub(super) const CHANGE: u8 = b'H';
pub(super) const TOPIC: u8 = b't';
pub(super) const MEMBER: u8 = b'j';
pub(super) const MEMBERSHIP: u8 = b'J';
pub(super) const BATCH: u8 = b'b';
pub(super) const BATCH_PART: u8 = b'B';
pub(super) const PARTICIPATION: u8 = b'W';
pub(super) const PARTICIPATION_DAY: u8 = b'w';
pub(super) const CONTENT: u8 = b'S';
pub(super) const SENDING: u8 = b'T';
pub(super) const SENDING_PART: u8 = b'U';
pub(super) const SCHEDULE: u8 = b'r';
pub(super) const TEMPLATE: u8 = b'y';
pub(super) const TEMPLATE_VERSION: u8 = b'Y';
pub(super) const TRIMMED: u8 = b'f';
pub(super) const PUSH_SUBSCRIPTIONS: u8 = b'p';
pub(super) const PUSH_ENDPOINT: u8 = b'P';
pub(super) const PUSHED: u8 = b'O';
pub(super) const OWN_CALLS: u8 = b'e';
pub(super) const MINUTE: u8 = b'1';
pub(super) const HOUR: u8 = b'2';
pub(super) const SECOND: u8 = b'3';
pub(super) const OFFSET_FLOOR: u8 = b'o';
pub(super) const SUPPRESSED_ADDRESS: u8 = b'l';
pub(super) const SUPPRESSION: u8 = b'L';
pub(super) const PIECE: u8 = b'z';
pub(super) const HOOK: u8 = b'I';
pub(super) const ENDPOINT: u8 = b'E';
pub(super) const ENDPOINT_WAITING: u8 = b'V';
pub(super) const ENDPOINT_DUE: u8 = b'Q';
pub(super) const ENDPOINT_FAILED: u8 = b'F';
pub(super) const ENDPOINT_ATTEMPT: u8 = b'A';

pub(super) fn named(space: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len() + SUFFIX_BYTES);
    key.push(space);
    key.extend_from_slice(name);
    key
}

/// How many groups of writes the store holds.
pub(super) fn groups() -> Vec<u8> {
    named(META, b"groups")
}

/// How much waits, as of the last group.
pub(super) fn backlog() -> Vec<u8> {
    named(META, b"backlog")
}

pub(super) fn notification(key: Uuid) -> Vec<u8> {
    named(NOTIFICATION, key.as_bytes())
}

/// All lines of one person. The zero byte cannot be in a user id, so no id is another's prefix.
pub(super) fn inbox_of(user: &str) -> Vec<u8> {
    let mut key = named(INBOX, user.as_bytes());
    key.push(0);
    key
}

pub(super) fn inbox_line(user: &str, offset: u64) -> Vec<u8> {
    let mut key = inbox_of(user);
    key.extend_from_slice(&offset.to_be_bytes());
    key
}

/// From where to where the changes of a person's preferences are.
pub(super) fn changes_of(user: &str) -> (Vec<u8>, Vec<u8>) {
    let mut from = named(CHANGE, user.as_bytes());
    let mut to = from.clone();
    from.push(0);
    to.push(1);
    (from, to)
}

pub(super) fn change(user: &str, number: u64) -> Vec<u8> {
    let (mut key, _) = changes_of(user);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Nameless: who it was cannot be read off it.
pub(super) fn offset_floor(user: &str) -> Vec<u8> {
    let digest = ring::digest::digest(&ring::digest::SHA256, user.as_bytes());
    named(OFFSET_FLOOR, &digest.as_ref()[..16])
}

/// All members of a topic. The zero byte cannot be in a name, so no name is another's prefix.
pub(super) fn members_of(topic: &str) -> Vec<u8> {
    let mut key = named(MEMBER, topic.as_bytes());
    key.push(0);
    key
}

pub(super) fn member(topic: &str, user: &str) -> Vec<u8> {
    let mut key = members_of(topic);
    key.extend_from_slice(user.as_bytes());
    key
}

/// All topics that a person is a member of.
pub(super) fn topics_of(user: &str) -> Vec<u8> {
    let mut key = named(MEMBERSHIP, user.as_bytes());
    key.push(0);
    key
}

pub(super) fn membership(user: &str, topic: &str) -> Vec<u8> {
    let mut key = topics_of(user);
    key.extend_from_slice(topic.as_bytes());
    key
}

/// All workflows that a person takes part in.
pub(super) fn participations_of(user: &str) -> Vec<u8> {
    let mut key = named(PARTICIPATION, user.as_bytes());
    key.push(0);
    key
}

pub(super) fn participation(user: &str, workflow: &str) -> Vec<u8> {
    let mut key = participations_of(user);
    key.extend_from_slice(workflow.as_bytes());
    key
}

/// All participations whose last event was on a day.
pub(super) fn participations_on(day: u32) -> Vec<u8> {
    named(PARTICIPATION_DAY, &day.to_be_bytes())
}

pub(super) fn participation_day(day: u32, user: &str, workflow: &str) -> Vec<u8> {
    let mut key = participations_on(day);
    key.extend_from_slice(&participation(user, workflow)[1..]);
    key
}

/// The participation that a key under its day belongs to.
pub(super) fn participation_of_day(key: &[u8]) -> Vec<u8> {
    named(PARTICIPATION, key.get(5..).unwrap_or_default())
}

pub(super) fn events_of(key: Uuid) -> Vec<u8> {
    named(EVENT, key.as_bytes())
}

pub(super) fn event(key: Uuid, number: u16) -> Vec<u8> {
    let mut bytes = events_of(key);
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes
}

const fn lane_byte(lane: Lane) -> u8 {
    match lane {
        Lane::Channel(channel) => channel_byte(channel),
        Lane::Schedule => 6,
        Lane::Job => 7,
    }
}

fn lane_of(byte: u8) -> Option<Lane> {
    let channel = Channel::ALL.into_iter().find(|channel| channel_byte(*channel) == byte);
    let others = [Lane::Schedule, Lane::Job];
    channel.map(Lane::Channel).or_else(|| others.into_iter().find(|lane| lane_byte(*lane) == byte))
}

/// When it is a line's turn within its lane: urgent before calm, and within that those who have little waiting first.
pub(super) fn turn_of(due: &Due) -> u8 {
    (3 - priority_byte(due.priority)) * 2 + u8::from(due.crowded)
}

/// Where a turn begins in a lane of the due index.
pub(super) fn due_turn(lane: Lane, turn: u8) -> Vec<u8> {
    vec![DUE, lane_byte(lane), turn]
}

/// The end of a lane of the due index.
pub(super) fn due_end(lane: Lane) -> Vec<u8> {
    vec![DUE, lane_byte(lane) + 1]
}

/// A line of the due index: by lane, by turn, then earlier before later, then older before newer.
pub(super) fn due(due: &Due) -> Vec<u8> {
    let mut bytes = due_turn(due.lane, turn_of(due));
    bytes.extend_from_slice(&u64::try_from(due.at).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(due.key.as_bytes());
    bytes
}

/// What a key of the due index says by itself.
pub(super) fn read_due(key: &[u8]) -> Option<Due> {
    let [DUE, lane, turn, rest @ ..] = key else { return None };
    let at = u64::from_be_bytes(rest.get(..8)?.try_into().ok()?);
    let priority = priority_of(3_u8.checked_sub(turn / 2)?)?;
    let key = Uuid::from_slice(rest.get(8..)?).ok()?;
    let due = Due::new(lane_of(*lane)?, i64::try_from(at).ok()?, priority, key);
    Some(Due { crowded: turn % 2 == 1, ..due })
}

/// All groups, or all that waits in groups, of one person; on one channel, if one is named.
pub(super) fn held_by(space: u8, user: &str, channel: Option<Channel>) -> Vec<u8> {
    let mut key = named(space, user.as_bytes());
    key.push(0);
    key.extend(channel.map(channel_byte));
    key
}

/// The end of all keys that begin with `prefix` and have no more than 17 bytes behind it.
pub(super) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    end.extend_from_slice(&[0xff; 18]);
    end
}

/// One of a person's recent keys.
pub(super) fn recent(user: &str, word: Word<'_>) -> Vec<u8> {
    let mut key = held_by(RECENT, user, None);
    key.extend_from_slice(&word.to_bytes());
    key
}

/// The rollup of the minute that an instant is in.
pub(super) fn minute(at: Millis) -> Vec<u8> {
    minute_number(at.div_euclid(60_000))
}

/// The rollup of the hour that an instant is in.
pub(super) fn hour(at: Millis) -> Vec<u8> {
    hour_number(at.div_euclid(3_600_000))
}

/// The rollup of the second that an instant is in.
pub(super) fn second(at: Millis) -> Vec<u8> {
    second_number(at.div_euclid(1_000))
}

/// The rollup of a second, counted from 1970.
pub(super) fn second_number(number: i64) -> Vec<u8> {
    span(SECOND, number)
}

/// The number of the span that a rollup is of.
pub(super) fn span_of(key: &[u8]) -> Option<i64> {
    let number = u64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
    Some((number ^ (1 << 63)).cast_signed())
}

/// The rollup of a minute, counted from 1970.
pub(super) fn minute_number(number: i64) -> Vec<u8> {
    span(MINUTE, number)
}

/// The rollup of an hour, counted from 1970.
pub(super) fn hour_number(number: i64) -> Vec<u8> {
    span(HOUR, number)
}

/// Spans before 1970 sort before the others.
fn span(space: u8, number: i64) -> Vec<u8> {
    named(space, &(number.cast_unsigned() ^ (1 << 63)).to_be_bytes())
}

/// One group of a person.
pub(super) fn group(user: &str, channel: Channel, group: GroupId) -> Vec<u8> {
    let mut key = held_by(GROUP, user, Some(channel));
    key.extend_from_slice(&group.to_bytes());
    key
}

/// The channel and the group of a group's key.
pub(super) fn read_group(key: &[u8]) -> Option<(Channel, GroupId)> {
    let (channel, group) = key.get(key.len().checked_sub(9)?..)?.split_first()?;
    Some((lane_of(*channel)?.channel()?, GroupId::from_bytes(group.try_into().ok()?)))
}

/// A delivery that waits in a group.
pub(super) fn held(user: &str, channel: Channel, notification: Uuid) -> Vec<u8> {
    let mut key = held_by(HELD, user, Some(channel));
    key.extend_from_slice(notification.as_bytes());
    key
}

/// A key of ids and instants behind a space's byte.
pub(super) fn joined(space: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![space];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// An instant as it sorts.
pub(super) fn instant(at: Millis) -> [u8; 8] {
    u64::try_from(at).unwrap_or(0).to_be_bytes()
}

/// The id that a key has from byte `at` on.
pub(super) fn id_at(key: &[u8], at: usize) -> Option<Uuid> {
    Uuid::from_slice(key.get(at..at + 16)?).ok()
}

/// The instant that a key has from byte `at` on.
pub(super) fn instant_at(key: &[u8], at: usize) -> Option<Millis> {
    i64::try_from(u64::from_be_bytes(key.get(at..at + 8)?.try_into().ok()?)).ok()
}

pub(super) const fn channel_byte(channel: Channel) -> u8 {
    match channel {
        Channel::InApp => 0,
        Channel::Email => 1,
        Channel::BrowserPush => 2,
        Channel::Sms => 3,
        Channel::Webhook => 4,
    }
}

pub(super) fn priority_byte(priority: Priority) -> u8 {
    match priority {
        Priority::Low => 0,
        Priority::Medium => 1,
        Priority::High => 2,
        Priority::Critical => 3,
    }
}

pub(super) fn priority_of(byte: u8) -> Option<Priority> {
    Priority::ALL.get(usize::from(byte)).copied()
}

/// One of the numbered parts of what `id` names: a list of a batch's notifications, or of a send's people.
pub(super) fn part(space: u8, id: Uuid, number: u32) -> Vec<u8> {
    let mut key = named(space, id.as_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// One version of a template. The zero byte cannot be in a name, so no name is another's prefix.
pub(super) fn template_version(name: &str, version: u32) -> Vec<u8> {
    let mut key = named(TEMPLATE_VERSION, name.as_bytes());
    key.push(0);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

/// The last four bytes of a key as a number: a template's version.
pub(super) fn last_u32(key: &[u8]) -> Option<u32> {
    let at = key.len().checked_sub(4)?;
    Some(u32::from_be_bytes(key.get(at..)?.try_into().ok()?))
}

/// The last eight bytes of a key as a number: an inbox line's offset.
pub(super) fn last_u64(key: &[u8]) -> Option<u64> {
    let at = key.len().checked_sub(8)?;
    Some(u64::from_be_bytes(key.get(at..)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_two_spaces_begin_with_the_same_byte() {
        let spaces = include_str!("keys.rs").lines().filter_map(|line| {
            line.strip_prefix("pub(super) const ")?.split_once(": u8 = ").map(|(_, byte)| byte)
        });
        let mut spaces: Vec<&str> = spaces.collect();
        let all = spaces.len();
        spaces.sort_unstable();
        spaces.dedup();
        assert!(all > 15, "the catalogue was not found");
        assert_eq!(spaces.len(), all, "{spaces:?}");
    }

    #[test]
    fn what_is_due_sooner_or_matters_more_sorts_first() {
        let key = Uuid::from_u128(7);
        let line = |at, priority| Due::new(Lane::Channel(Channel::Email), at, priority, key);
        let crowded = Due { crowded: true, ..line(1, Priority::High) };
        assert!(due(&line(2, Priority::Critical)) < due(&line(1, Priority::High)));
        assert!(due(&line(1, Priority::High)) < due(&line(2, Priority::High)));
        assert!(due(&line(2, Priority::High)) < due(&crowded));
        assert!(due(&crowded) < due(&line(1, Priority::Low)));
    }

    proptest! {
        #[test]
        fn a_due_key_gives_back_what_it_was_made_of(
            at in 0i64..i64::MAX, id: u128, lane in prop::sample::select(vec![0_u8, 1, 2, 3, 4, 6, 7]), rank in 0u8..4, crowded: bool,
        ) {
            let (lane, priority) = (lane_of(lane).expect("a lane"), priority_of(rank).expect("a priority"));
            let line = Due { crowded, ..Due::new(lane, at, priority, Uuid::from_u128(id)) };
            prop_assert_eq!(read_due(&due(&line)), Some(line));
        }

        #[test]
        fn a_group_key_gives_back_what_it_was_made_of(user in "[a-z@.]{1,8}", id: [u8; 8]) {
            let id = GroupId::from_bytes(id);
            prop_assert_eq!(read_group(&group(&user, Channel::Sms, id)), Some((Channel::Sms, id)));
        }

        #[test]
        fn one_persons_lines_never_fall_into_anothers(a in "[a-z@.]{1,8}", b in "[a-z@.]{1,8}", offset: u64) {
            prop_assume!(a != b);
            prop_assert!(!inbox_line(&a, offset).starts_with(&inbox_of(&b)));
        }
    }
}
