//! Schedules: one record each. When one fires next is its line in the due index.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::users::Page;
use super::view::Read;
use crate::clock::Millis;
use crate::model::schedule::{Run, Schedule};

#[derive(Serialize, Deserialize)]
pub(super) struct ScheduleV1 {
    name: Option<String>,
    cron: String,
    timezone: String,
    body: String,
    enabled: bool,
    starts_at: Option<Millis>,
    ends_at: Option<Millis>,
    created_at: Millis,
    updated_at: Millis,
    next_at: Option<Millis>,
    runs: u64,
    last: Option<(Millis, Result<String, String>)>,
}

impl Record for ScheduleV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "schedule";
}

impl From<&Schedule> for ScheduleV1 {
    fn from(schedule: &Schedule) -> ScheduleV1 {
        let s = schedule.clone();
        ScheduleV1 {
            name: s.name,
            cron: s.cron,
            timezone: s.timezone,
            body: s.body,
            enabled: s.enabled,
            starts_at: s.starts_at,
            ends_at: s.ends_at,
            created_at: s.created_at,
            updated_at: s.updated_at,
            next_at: s.next_at,
            runs: s.runs,
            last: s.last.map(|run| (run.at, run.result)),
        }
    }
}

impl ScheduleV1 {
    fn into_schedule(self, id: Uuid) -> Schedule {
        Schedule {
            id,
            name: self.name,
            cron: self.cron,
            timezone: self.timezone,
            body: self.body,
            enabled: self.enabled,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            next_at: self.next_at,
            runs: self.runs,
            last: self.last.map(|(at, result)| Run { at, result }),
        }
    }
}

fn get(read: &impl Read, id: Uuid) -> Answer<Option<Schedule>> {
    let record: Option<ScheduleV1> = read.get(&keys::named(keys::SCHEDULE, id.as_bytes()))?;
    Ok(record.map(|record| record.into_schedule(id)))
}

impl Store {
    /// The schedule of that id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn schedule(&self, id: Uuid) -> Answer<Option<Schedule>> {
        self.read(move |view| get(view, id)).await
    }

    /// Schedules, newest first, older than `before`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn schedules(&self, before: Option<Uuid>, limit: usize) -> Answer<Page<Schedule>> {
        self.read(move |view| {
            let to = before
                .map_or_else(|| vec![keys::SCHEDULE + 1], |id| keys::named(keys::SCHEDULE, id.as_bytes()));
            let mut items = Vec::new();
            view.scan(&[keys::SCHEDULE], &to, true, &mut |key, value| {
                let Some(id) = key.get(1..).and_then(|id| Uuid::from_slice(id).ok()) else { return Ok(true) };
                items.push(view.open_value::<ScheduleV1>(key, value)?.into_schedule(id));
                Ok(items.len() <= limit)
            })?;
            Ok(Page::cut(items, limit, |schedule| schedule.id.to_string()))
        })
        .await
    }
}

impl Txn<'_> {
    /// The schedule of that id.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn schedule(&self, id: Uuid) -> Answer<Option<Schedule>> {
        get(self, id)
    }

    /// Writes a schedule.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_schedule(&mut self, schedule: &Schedule) -> Result<(), StoreError> {
        self.replace(keys::named(keys::SCHEDULE, schedule.id.as_bytes()), &ScheduleV1::from(schedule))
    }

    /// Removes a schedule; not its line in the due index.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn remove_schedule(&mut self, id: Uuid) -> Result<(), StoreError> {
        self.remove(&keys::named(keys::SCHEDULE, id.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;

    #[test]
    fn a_schedule_keeps_its_bytes_and_reads_back_as_it_was_written() {
        let id = Uuid::from_u128(9);
        let schedule = Schedule {
            id,
            name: Some("a".into()),
            cron: "@hourly".into(),
            timezone: "UTC".into(),
            body: "{}".into(),
            enabled: true,
            starts_at: None,
            ends_at: Some(4),
            created_at: 1,
            updated_at: 2,
            next_at: Some(3),
            runs: 5,
            last: Some(Run { at: 6, result: Err("no".into()) }),
        };
        let stored = encode(&ScheduleV1::from(&schedule));
        let golden = [
            &[1, 1, 1, b'a', 7][..],
            b"@hourly",
            &[3],
            b"UTC",
            &[2, b'{', b'}', 1, 0, 1, 8, 2, 4, 1, 6, 5, 1, 12, 1, 2, b'n', b'o'],
        ]
        .concat();
        assert_eq!(stored, golden, "a changed shape is a new version");
        let read: ScheduleV1 = decode(&stored).expect("our own bytes");
        assert_eq!(read.into_schedule(id), schedule);
    }
}
