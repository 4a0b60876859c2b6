//! The nightly backup over a clock that is moved by hand: one each night, one for all that were missed, none lost to a
//! failure.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::engine::backup::Nightly;
use crate::store::backup::check;
use crate::store::nightly::Backups;

const DAY: Duration = Duration::from_secs(86_400);

impl House {
    async fn back_up_into(&self, dir: Option<PathBuf>) {
        let backup = dir.map(|dir| Nightly { dir, keep: 2, at: 150 });
        let rules = Rules { backup, ..rules(Mode::Capture) };
        self.engine.reconfigure(rules, Ways::default());
        self.engine.plan_backups().await.expect("the store takes it");
    }

    /// Moves the clock and makes what is due.
    async fn pass(&self, by: Duration) -> Backups {
        self.clock.advance(by);
        while self.engine.turn().await.expect("a readable store").taken > 0 {
            while self.engine.shared.leases.first_end().is_some() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        self.engine.backups()
    }
}

fn copies(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .map(|entries| entries.map(|entry| entry.expect("readable").path()).collect())
        .unwrap_or_default();
    found.sort();
    found
}

#[tokio::test]
async fn each_night_has_one_backup_and_the_newest_are_kept() {
    let (house, home) = (House::new(Mode::Capture).await, tempfile::tempdir().expect("a directory"));
    let dir = home.path().join("copies");
    house.back_up_into(Some(dir.clone())).await;
    assert_eq!(house.pass(HOUR * 3).await.last_success_at, None);
    let first = house.pass(HOUR).await;
    assert_eq!((copies(&dir).len(), first.last_success_at), (1, Some(house.clock.now())));
    for kept in [2, 2, 2] {
        let before = copies(&dir);
        house.pass(DAY).await;
        let after = copies(&dir);
        assert_eq!(after.len(), kept);
        assert!(!before.contains(after.last().expect("one")));
        check(after.last().expect("one")).expect("a whole copy");
    }
    house.back_up_into(None).await;
    let before = copies(&dir);
    house.pass(DAY * 3).await;
    assert_eq!(copies(&dir), before);
}

#[tokio::test]
async fn nights_that_were_missed_are_made_up_once_at_the_start() {
    let (house, home) = (House::new(Mode::Capture).await, tempfile::tempdir().expect("a directory"));
    house.back_up_into(Some(home.path().to_owned())).await;
    house.clock.advance(DAY * 5);
    house.engine.plan_backups().await.expect("the store takes it");
    let made_up = house.pass(Duration::ZERO).await;
    assert_eq!((copies(home.path()).len(), made_up.last_success_at), (1, Some(house.clock.now())));
    house.engine.plan_backups().await.expect("the store takes it");
    house.pass(HOUR).await;
    assert_eq!(copies(home.path()).len(), 1);
}

#[tokio::test]
async fn a_backup_that_fails_is_known_and_tried_again_within_the_hour() {
    let (house, home) = (House::new(Mode::Capture).await, tempfile::tempdir().expect("a directory"));
    let dir = home.path().join("copies");
    fs::write(&dir, "in the way").expect("it is writable");
    house.back_up_into(Some(dir.clone())).await;
    let failed = house.pass(HOUR * 4).await;
    assert_eq!((failed.last_success_at, failed.failed.map(|(at, _)| at)), (None, Some(house.clock.now())));
    fs::remove_file(&dir).expect("it is there");
    assert_eq!(house.pass(HOUR / 2).await.last_success_at, None);
    let again = house.pass(HOUR / 2).await;
    assert_eq!((again.last_success_at, again.failed), (Some(house.clock.now()), None));
    assert_eq!(copies(&dir).len(), 1);
}
