//! Claims about copies: they are whole or refused, and hold what was written while they were made.

use super::super::open::Options;
use super::super::restore::{Restore, RestoreError, restore};
use super::*;
use crate::model::user::User;
use crate::supervise::Supervisor;

fn open(path: &Path) -> Store {
    let options = Options { path: path.to_owned(), cache_bytes: 8 * 1024 * 1024 };
    Store::open(&options, &Supervisor::new()).expect("a store")
}

fn person(number: usize) -> User {
    User { id: format!("user-{number}"), ..User::default() }
}

async fn put(store: &Store, number: usize) {
    let user = person(number);
    store.commit(move |txn| txn.put_user(&user)).await.expect("a good store");
}

fn wish(file: PathBuf, path: PathBuf) -> Restore {
    Restore { file, path, force: false, keep_epoch: false, now: 7 }
}

#[tokio::test]
async fn what_is_written_while_a_copy_is_made_is_in_it_too() {
    let home = tempfile::tempdir().expect("a directory");
    let store = open(&home.path().join("data"));
    put(&store, 1).await;
    let copy = store.begin_copy(1_000).expect("a copy");
    put(&store, 2).await;
    assert!(matches!(store.begin_copy(1_000), Err(BackupError::Running)));
    let (file, summary) = copy.write_into(home.path(), &CancellationToken::new()).expect("room");
    assert_eq!(check(&file).expect("a whole copy"), summary);
    put(&store, 3).await;
    let restored = home.path().join("restored");
    restore(&wish(file.clone(), restored.clone())).expect("a good copy");
    let again = open(&restored);
    assert_ne!(again.epoch(), store.epoch(), "who saw more than the copy has must begin anew");
    for (number, there) in [(1, true), (2, true), (3, false)] {
        let found = again.user(&person(number).id).await.expect("a good store");
        assert_eq!(found.is_some(), there, "{number}");
    }
    assert_eq!(again.verify(|_| ()).expect("a good store").damaged, 0);
    let occupied = restore(&wish(file.clone(), restored));
    assert!(matches!(occupied, Err(RestoreError::Occupied(_))));
    let kept = Restore { keep_epoch: true, ..wish(file, home.path().join("kept")) };
    restore(&kept).expect("a good copy");
    assert_eq!(open(&kept.path).epoch(), store.epoch());
}

#[tokio::test]
async fn a_copy_that_was_changed_or_cut_off_is_refused_and_writes_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let store = open(&home.path().join("data"));
    put(&store, 1).await;
    let copy = store.begin_copy(1_000).expect("a copy");
    let (file, _) = copy.write_into(home.path(), &CancellationToken::new()).expect("room");
    let whole = fs::read(&file).expect("it is there");
    let restored = home.path().join("restored");
    for at in [0, 9, 20, 40, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        for bytes in [&changed[..], &whole[..at]] {
            fs::write(&file, bytes).expect("it is writable");
            assert!(restore(&wish(file.clone(), restored.clone())).is_err(), "at {at}");
            assert!(!restored.exists(), "at {at}");
        }
    }
}

#[tokio::test]
async fn a_copy_that_is_let_go_of_lets_another_begin() {
    let home = tempfile::tempdir().expect("a directory");
    let store = open(home.path());
    drop(store.begin_copy(1_000).expect("a copy"));
    let stop = CancellationToken::new();
    stop.cancel();
    let broken_off = store.begin_copy(1_000).expect("another").write(io::sink(), &stop);
    assert!(matches!(broken_off, Err(BackupError::BrokenOff)));
    store.begin_copy(1_000).expect("and another");
}

#[tokio::test]
async fn what_a_broken_off_copy_left_goes_when_the_next_is_made() {
    let home = tempfile::tempdir().expect("a directory");
    let (store, to) = (open(&home.path().join("data")), home.path().join("copies"));
    fs::create_dir(&to).expect("a directory");
    for name in [".belfry-abc.unfinished", ".belfry-abc", "other.unfinished"] {
        fs::write(to.join(name), "").expect("it is writable");
    }
    let copy = store.begin_copy(1_000).expect("a copy");
    let (file, _) = copy.write_into(&to, &CancellationToken::new()).expect("room");
    let names = fs::read_dir(&to).expect("readable").map(|entry| entry.expect("readable").file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    let kept = file.file_name().expect("it has one").to_owned();
    assert_eq!(names, [".belfry-abc".into(), kept, "other.unfinished".into()]);
}

#[test]
fn only_the_newest_copies_are_kept_and_nothing_else_is_touched() {
    let home = tempfile::tempdir().expect("a directory");
    for name in ["belfry-1.backup", "belfry-2.backup", "belfry-3.backup", "other.txt"] {
        fs::write(home.path().join(name), "").expect("it is writable");
    }
    assert_eq!(keep_newest(home.path(), 2).expect("readable"), 1);
    assert!(!home.path().join("belfry-1.backup").exists());
    assert!(home.path().join("belfry-2.backup").exists() && home.path().join("other.txt").exists());
}
