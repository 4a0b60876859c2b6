//! Claims about the backup that is made every night, under a clock that the test moves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::schedules::look;
use crate::support::server::binary;
use crate::support::{Client, Server, until};

const DAY: i64 = 86_400;

async fn copies(dir: &Path, count: usize) -> Vec<PathBuf> {
    let what = format!("{count} copies");
    until(&what, || async {
        let entries = fs::read_dir(dir).ok()?;
        let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        found.sort();
        (found.len() == count).then_some(found)
    })
    .await
}

async fn last_success(client: &Client) -> u64 {
    let text = client.get("/metrics").await.text;
    let name = "belfry_backup_last_success_timestamp_seconds ";
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_backup_is_made_every_night_made_up_once_and_missed_by_nobody() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("copies");
    let mut server = Server::prepare(&[("BACKUP__KEEP", "3")]);
    server.set("BACKUP__DIR", &dir.to_string_lossy());
    server.fake_clock();
    server.start_again().await;
    let admin = server.admin();
    admin.person("clockmaker").await;
    assert_eq!(last_success(&admin).await, 0);
    server.shift(DAY);
    look(&admin).await;
    let first = copies(&dir, 1).await.remove(0);
    assert_eq!(fs::metadata(&first).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    until("the metric to follow", || async { (last_success(&admin).await > 0).then_some(()) }).await;
    // Switched off for some nights.
    server.kill();
    server.shift(DAY * 5);
    server.start_again().await;
    copies(&dir, 2).await;
    server.restart().await;
    let admin = server.admin();
    look(&admin).await;
    copies(&dir, 2).await;
    // What was made can be put back.
    let data = home.path().join("restored");
    let mut restore = Command::new(binary());
    restore.arg("restore").arg(&first).arg("--data").arg(&data).env_clear();
    assert!(restore.output().unwrap().status.success());
    // One that cannot be made is loud.
    fs::rename(&dir, home.path().join("away")).unwrap();
    fs::write(&dir, "in the way").unwrap();
    server.shift(DAY * 6);
    look(&admin).await;
    let ready = until("the failure to be told", || async {
        let ready = admin.get("/readyz").await.is(200);
        (ready["status"] == "degraded").then_some(ready)
    })
    .await;
    assert!(ready["reasons"][0].as_str().unwrap().starts_with("backup_failed: "), "{ready}");
    assert!(server.log().contains("failed to make the nightly backup"));
}
