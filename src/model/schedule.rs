//! A schedule: what is sent again and again, when, and how it went last.

use uuid::Uuid;

use crate::clock::Millis;
use crate::model::cron::Cron;
use crate::model::zone::zone;

/// Something that recurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its id (UUIDv7).
    pub id: Uuid,
    /// What its maker calls it.
    pub name: Option<String>,
    /// The cron expression.
    pub cron: String,
    /// The IANA time zone on whose clocks that is read.
    pub timezone: String,
    /// What is sent, as its maker wrote it: JSON text, read when it fires.
    pub body: String,
    /// Whether it fires at all.
    pub enabled: bool,
    /// Not before.
    pub starts_at: Option<Millis>,
    /// Not after.
    pub ends_at: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
    /// When it was last changed by somebody.
    pub updated_at: Millis,
    /// When it fires next: the instant of its line in the due index.
    pub next_at: Option<Millis>,
    /// How often it has fired.
    pub runs: u64,
    /// How it went last.
    pub last: Option<Run>,
}

/// One time that it fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// When.
    pub at: Millis,
    /// The id of what was sent, or why nothing was.
    pub result: Result<String, String>,
}

impl Schedule {
    /// The first instant after `after` at which it fires.
    pub fn next_after(&self, after: Millis) -> Option<Millis> {
        if !self.enabled {
            return None;
        }
        let (cron, zone) = (Cron::parse(&self.cron).ok()?, zone(&self.timezone)?);
        let after = self.starts_at.map_or(after, |starts| after.max(starts - 1));
        cron.next_after(&zone, after).filter(|at| self.ends_at.is_none_or(|ends| *at <= ends))
    }

    /// The next `count` instants after `after`.
    pub fn upcoming(&self, after: Millis, count: usize) -> Vec<Millis> {
        std::iter::successors(self.next_after(after), |last| self.next_after(*last)).take(count).collect()
    }

    /// All that decides when it fires.
    pub fn when(&self) -> (&str, &str, bool, Option<Millis>, Option<Millis>) {
        (&self.cron, &self.timezone, self.enabled, self.starts_at, self.ends_at)
    }

    /// The id of what it sends at `at`: the same for the same run, so that a repeat is recognised.
    pub fn run_id(&self, at: Millis) -> String {
        let instant = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        format!("schedule:{}:{instant}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hourly() -> Schedule {
        Schedule {
            id: Uuid::from_u128(7),
            name: None,
            cron: "@hourly".into(),
            timezone: "UTC".into(),
            body: "{}".into(),
            enabled: true,
            starts_at: None,
            ends_at: None,
            created_at: 0,
            updated_at: 0,
            next_at: None,
            runs: 0,
            last: None,
        }
    }

    const HOUR: Millis = 3_600_000;

    #[test]
    fn it_fires_from_its_start_to_its_end_and_both_count() {
        let bounded = Schedule { starts_at: Some(2 * HOUR), ends_at: Some(4 * HOUR), ..hourly() };
        assert_eq!(bounded.upcoming(0, 5), [2 * HOUR, 3 * HOUR, 4 * HOUR]);
        assert_eq!(Schedule { enabled: false, ..bounded }.upcoming(0, 5), [] as [Millis; 0]);
    }

    #[test]
    fn the_same_run_has_the_same_id() {
        assert_eq!(
            hourly().run_id(HOUR),
            "schedule:00000000-0000-0000-0000-000000000007:1970-01-01T01:00:00Z"
        );
    }
}
