//! A person's inbox: one short line for each of their notifications, in the order of their offsets.
//!
//! A line points at the notification, carries its marks, and the running counters as they stand after it; the newest
//! line's counters are the inbox's. So a notification costs one line and no separate counter, and counting costs one
//! read whatever the inbox holds. Notifications that skip the inbox have a line too, unmarked: the lines are also the
//! list of what concerns the person.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::categories;
use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::notifications::{self};
use super::open::Store;
use super::txn::Txn;
use super::users::{self, Page};
use super::view::Read;
use crate::model::category::Category;
use crate::model::notification::Accepted;
use crate::model::user::User;

/// The marks of one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// It is in the inbox at all.
    pub listed: bool,
    /// The person has had it before their eyes.
    pub seen: bool,
    /// The person has read it.
    pub read: bool,
    /// The person has put it away.
    pub archived: bool,
}

/// How much is in an inbox, put away or not listed aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Everything.
    pub total: u64,
    /// What is not read.
    pub unread: u64,
    /// What is not seen.
    pub unseen: u64,
}

impl Counts {
    fn apply(self, before: Marks, after: Marks) -> Counts {
        let shift = |count: u64, held: bool, holds: bool| match (held, holds) {
            (true, false) => count.saturating_sub(1),
            (false, true) => count + 1,
            (true, true) | (false, false) => count,
        };
        let live = |marks: Marks| marks.listed && !marks.archived;
        Counts {
            total: shift(self.total, live(before), live(after)),
            unread: shift(self.unread, live(before) && !before.read, live(after) && !after.read),
            unseen: shift(self.unseen, live(before) && !before.seen, live(after) && !after.seen),
        }
    }
}

/// One line with its notification.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The notification.
    pub accepted: Accepted,
    /// Its marks.
    pub marks: Marks,
}

/// Where an inbox stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The newest offset; 0 where there is none.
    pub offset: u64,
    /// The counters.
    pub counts: Counts,
}

/// What a person does to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It was before their eyes.
    Seen,
    /// They read it. What is read has been seen.
    Read,
    /// They want to come back to it.
    Unread,
    /// They put it away.
    Archived,
}

impl Mark {
    /// The mark of that name.
    pub fn from_name(name: &str) -> Option<Mark> {
        match name {
            "seen" => Some(Mark::Seen),
            "read" => Some(Mark::Read),
            "unread" => Some(Mark::Unread),
            "archived" => Some(Mark::Archived),
            _ => None,
        }
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Mark::Seen => "seen",
            Mark::Read => "read",
            Mark::Unread => "unread",
            Mark::Archived => "archived",
        }
    }

    fn apply(self, marks: Marks) -> Marks {
        match self {
            Mark::Seen => Marks { seen: true, ..marks },
            Mark::Read => Marks { seen: true, read: true, ..marks },
            Mark::Unread => Marks { read: false, archived: false, ..marks },
            Mark::Archived => Marks { archived: true, ..marks },
        }
    }
}

/// Which lines of an inbox are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// Those that are not put away.
    All,
    /// Of those, the unread.
    Unread,
    /// Those that are put away.
    Archived,
    /// Every notification that concerns the person, in the inbox or not.
    Everything,
}

impl Shelf {
    fn holds(self, marks: Marks) -> bool {
        match self {
            Shelf::All => marks.listed && !marks.archived,
            Shelf::Unread => marks.listed && !marks.archived && !marks.read,
            Shelf::Archived => marks.listed && marks.archived,
            Shelf::Everything => true,
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct LineV1 {
    key: [u8; 16],
    /// Listed 1, seen 2, read 4, archived 8.
    marks: u8,
    total: u64,
    unread: u64,
    unseen: u64,
}

impl Record for LineV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "inbox line";
}

impl LineV1 {
    fn marks(&self) -> Marks {
        let bit = |bit| self.marks & bit != 0;
        Marks { listed: bit(1), seen: bit(2), read: bit(4), archived: bit(8) }
    }

    fn set_marks(&mut self, marks: Marks) {
        self.marks = u8::from(marks.listed)
            | u8::from(marks.seen) << 1
            | u8::from(marks.read) << 2
            | u8::from(marks.archived) << 3;
    }

    fn counts(&self) -> Counts {
        Counts { total: self.total, unread: self.unread, unseen: self.unseen }
    }

    fn set_counts(&mut self, counts: Counts) {
        (self.total, self.unread, self.unseen) = (counts.total, counts.unread, counts.unseen);
    }
}

/// Where the offsets of somebody who was erased ended. If they come back theirs go on from there: within an epoch an
/// offset never means two things.
#[derive(Serialize, Deserialize)]
pub(super) struct FloorV1 {
    offset: u64,
}

impl Record for FloorV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "offset floor";
}

/// Up to which offset lines were let go of: whoever resumes below it cannot be told everything.
#[derive(Serialize, Deserialize)]
pub(super) struct TrimmedV1 {
    offset: u64,
}

impl Record for TrimmedV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "trimmed inbox";
}

/// The most lines that one page looks at, or that one write marks.
const LINES_MAX: usize = 1_000;

fn lines_end(user: &str) -> Vec<u8> {
    let mut end = keys::inbox_of(user);
    end.extend_from_slice(&[0xff; 9]);
    end
}

fn newest(read: &impl Read, user: &str) -> Answer<Option<(u64, LineV1)>> {
    let Some((key, value)) = read.newest(&keys::inbox_of(user), &lines_end(user))? else { return Ok(None) };
    Ok(Some((keys::last_u64(&key).unwrap_or(0), read.open_value(&key, &value)?)))
}

fn head(read: &impl Read, user: &str) -> Answer<Head> {
    match newest(read, user)? {
        Some((offset, line)) => Ok(Head { offset, counts: line.counts() }),
        None => {
            let floor: Option<FloorV1> = read.get(&keys::offset_floor(user))?;
            Ok(Head { offset: floor.map_or(0, |floor| floor.offset), counts: Counts::default() })
        }
    }
}

/// The marks of a line; none where there is no such line.
pub(super) fn marks(read: &impl Read, user: &str, offset: u64) -> Answer<Marks> {
    let line: Option<LineV1> = read.get(&keys::inbox_line(user, offset))?;
    Ok(line.map_or_else(Marks::default, |line| line.marks()))
}

impl Store {
    /// Where a person's inbox stands.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn inbox_head(&self, user: &str) -> Answer<Head> {
        let user = user.to_owned();
        self.read(move |view| head(view, &user)).await
    }

    /// A page of a person's inbox, newest first, of what is older than `before` and that `wanted` takes.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn inbox(
        &self,
        user: &str,
        shelf: Shelf,
        before: Option<u64>,
        limit: usize,
        wanted: impl Fn(&Accepted) -> bool + Send + 'static,
    ) -> Answer<Page<Entry>> {
        let user = user.to_owned();
        self.read(move |view| {
            let to = before.map_or_else(|| lines_end(&user), |before| keys::inbox_line(&user, before));
            let (mut items, mut looked_at, mut last, mut more) = (Vec::new(), 0, 0, false);
            view.scan(&keys::inbox_of(&user), &to, true, &mut |key, value| {
                if items.len() == limit || looked_at == LINES_MAX {
                    more = true;
                    return Ok(false);
                }
                looked_at += 1;
                last = keys::last_u64(key).unwrap_or(0);
                let line: LineV1 = view.open_value(key, value)?;
                if shelf.holds(line.marks())
                    && let Some(accepted) = notifications::get(view, Uuid::from_bytes(line.key))?
                    && wanted(&accepted)
                {
                    items.push(Entry { accepted, marks: line.marks() });
                }
                Ok(true)
            })?;
            Ok(Page { items, next: more.then(|| last.to_string()) })
        })
        .await
    }

    /// Up to which offset a person's lines were let go of, because they were old; 0 where none were.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn inbox_trimmed(&self, user: &str) -> Answer<u64> {
        let key = keys::named(keys::TRIMMED, user.as_bytes());
        self.read(move |view| Ok(view.get::<TrimmedV1>(&key)?.map_or(0, |trimmed| trimmed.offset))).await
    }

    /// What came into a person's inbox after the offset `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn inbox_since(&self, user: &str, after: u64, limit: usize) -> Answer<Vec<Entry>> {
        let user = user.to_owned();
        self.read(move |view| {
            let from = keys::inbox_line(&user, after.saturating_add(1));
            let mut entries = Vec::new();
            view.scan(&from, &lines_end(&user), false, &mut |key, value| {
                let line: LineV1 = view.open_value(key, value)?;
                if line.marks().listed
                    && let Some(accepted) = notifications::get(view, Uuid::from_bytes(line.key))?
                {
                    entries.push(Entry { accepted, marks: line.marks() });
                }
                Ok(entries.len() < limit)
            })?;
            Ok(entries)
        })
        .await
    }
}

impl Store {
    /// What a due delivery needs to know: the notification, its person, its category, and the marks of its line.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn delivery(&self, key: Uuid) -> Answer<Option<(Accepted, User, Option<Category>, Marks)>> {
        self.read(move |view| {
            let Some(accepted) = notifications::get(view, key)? else { return Ok(None) };
            let user_id = &accepted.notification.user_id;
            let user =
                users::get(view, user_id)?.unwrap_or_else(|| User { id: user_id.clone(), ..User::default() });
            let marks = marks(view, user_id, accepted.offset)?;
            let category = categories::get(view, &accepted.notification.category)?;
            Ok(Some((accepted, user, category, marks)))
        })
        .await
    }
}

impl Txn<'_> {
    /// Where a person's inbox stands.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn inbox_head(&self, user: &str) -> Answer<Head> {
        head(self, user)
    }

    /// Appends a line at the person's next offset and gives where the inbox stands then.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn push_line(&mut self, user: &str, key: Uuid, listed: bool) -> Answer<Head> {
        let before = self.inbox_head(user)?;
        let marks = Marks { listed, ..Marks::default() };
        let after = Head { offset: before.offset + 1, counts: before.counts.apply(Marks::default(), marks) };
        let mut line = LineV1 { key: *key.as_bytes(), marks: 0, total: 0, unread: 0, unseen: 0 };
        line.set_marks(marks);
        line.set_counts(after.counts);
        self.put(keys::inbox_line(user, after.offset), &line);
        Ok(after)
    }

    /// Moves an unlisted line to the end of the inbox and lists it: a notification that was held comes in now.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn relist_line(&mut self, user: &str, offset: u64, key: Uuid) -> Answer<Head> {
        let head = self.push_line(user, key, true)?;
        self.remove_short(keys::inbox_line(user, offset));
        Ok(head)
    }

    /// Marks the lines at `offsets` and gives the counters after it and the offsets whose marks changed.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn mark_lines(&mut self, user: &str, offsets: &[u64], mark: Mark) -> Answer<(Counts, Vec<u64>)> {
        let Some((newest_offset, _)) = newest(self, user)? else {
            return Ok((Counts::default(), Vec::new()));
        };
        let mut counts = self.inbox_head(user)?.counts;
        let mut changed = Vec::new();
        for offset in offsets {
            let key = keys::inbox_line(user, *offset);
            let Some(mut line) = self.get::<LineV1>(&key)? else { continue };
            let (before, after) = (line.marks(), mark.apply(line.marks()));
            if !before.listed || before == after {
                continue;
            }
            counts = counts.apply(before, after);
            line.set_marks(after);
            self.put(key, &line);
            changed.push(*offset);
        }
        if !changed.is_empty() {
            let key = keys::inbox_line(user, newest_offset);
            if let Some(mut line) = self.get::<LineV1>(&key)? {
                line.set_counts(counts);
                self.put(key, &line);
            }
        }
        Ok((counts, changed))
    }

    /// Offsets below `before` whose lines `mark` would change, newest first, and where to go on looking.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn lines_to_mark(&self, user: &str, mark: Mark, before: u64) -> Answer<(Vec<u64>, Option<u64>)> {
        let (mut offsets, mut looked_at, mut next) = (Vec::new(), 0, None);
        self.scan(&keys::inbox_of(user), &keys::inbox_line(user, before), true, &mut |key, value| {
            let offset = keys::last_u64(key).unwrap_or(0);
            if looked_at == LINES_MAX {
                next = Some(offset + 1);
                return Ok(false);
            }
            looked_at += 1;
            let marks = self.open_value::<LineV1>(key, value)?.marks();
            if marks.listed && !marks.archived && mark.apply(marks) != marks {
                offsets.push(offset);
            }
            Ok(true)
        })?;
        Ok((offsets, next))
    }

    /// Lets go of the line of a notification that is removed. Somebody's newest line stays, unlisted: it says where their
    /// offsets go on and what the counters are.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub(super) fn trim_line(&mut self, user: &str, offset: u64, key: Uuid) -> Result<(), StoreError> {
        let at = keys::inbox_line(user, offset);
        let Some(mut line) = self.get::<LineV1>(&at)?.filter(|line| line.key == *key.as_bytes()) else {
            return Ok(());
        };
        let Some((newest_offset, mut newest)) = newest(self, user)? else { return Ok(()) };
        let marks = line.marks();
        let counts = newest.counts().apply(marks, Marks::default());
        if newest_offset == offset {
            line.set_marks(Marks::default());
            line.set_counts(counts);
            self.put(at, &line);
        } else {
            self.remove_short(at);
            newest.set_counts(counts);
            self.put(keys::inbox_line(user, newest_offset), &newest);
        }
        if !marks.listed {
            return Ok(());
        }
        let floor = keys::named(keys::TRIMMED, user.as_bytes());
        let before = self.get::<TrimmedV1>(&floor)?.map_or(0, |trimmed| trimmed.offset);
        self.put(floor, &TrimmedV1 { offset: before.max(offset) });
        Ok(())
    }

    /// Removes the newest lines of a person with all that is stored of their notifications, at most `limit`; answers how
    /// many there were. What stays is where their offsets ended, without their name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn erase_lines(&mut self, user: &str, limit: usize) -> Answer<usize> {
        let head = self.inbox_head(user)?;
        if head.offset > 0 {
            self.put(keys::offset_floor(user), &FloorV1 { offset: head.offset });
        }
        self.remove_short(keys::named(keys::TRIMMED, user.as_bytes()));
        let mut found = Vec::new();
        self.scan(&keys::inbox_of(user), &lines_end(user), true, &mut |key, value| {
            found.push((key.to_vec(), Uuid::from_bytes(self.open_value::<LineV1>(key, value)?.key)));
            Ok(found.len() < limit)
        })?;
        let count = found.len();
        for (line, key) in found {
            self.erase_notification(key)?;
            self.remove_short(line);
        }
        Ok(count)
    }

    /// The notification at an offset.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn line_key(&self, user: &str, offset: u64) -> Result<Option<Uuid>, StoreError> {
        Ok(self.get::<LineV1>(&keys::inbox_line(user, offset))?.map(|line| Uuid::from_bytes(line.key)))
    }
}
