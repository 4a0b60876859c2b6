//! The machine: its clock, how many files may be open, the rules of time zones, and what systemd says of the service.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::finding::Finding;
use crate::clock::Millis;
use crate::model::zone;

/// The service that the package installs.
const UNIT: &str = "belfry.service";
/// How long another program may take to answer, and how often it is looked at.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// 2026-01-01: no clock is right that shows an earlier time.
const BUILT_AFTER: Millis = 1_767_225_600_000;
/// How far a clock may lie behind what was written last.
const BACK_MAX_MS: Millis = 60_000;
/// Files that the server opens beside its connections.
const OTHER_FILES: u64 = 64;
/// Where the system keeps the rules of time zones, the first of which has their version in its first line.
const ZONE_FILES: [&str; 2] = ["/usr/share/zoneinfo/tzdata.zi", "/usr/share/zoneinfo/Etc/UTC"];

/// What another program prints, where it is there and answers in time.
fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                let text = child.wait_with_output().ok()?.stdout;
                return status.success().then(|| String::from_utf8_lossy(&text).into_owned());
            }
            Ok(None) if begun.elapsed() < ANSWER_WAIT => std::thread::sleep(LOOK_EVERY),
            Ok(None) | Err(_) => {
                // It is gone one way or the other.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// Whether the clock is right, as far as can be told. `written_at` is when the store was last written.
pub fn clock(now: Millis, written_at: Option<Millis>) -> Finding {
    let said = ask("timedatectl", &["show", "--property=NTPSynchronized", "--value"]);
    judge_clock(now, written_at, said.as_deref().map(str::trim))
}

fn judge_clock(now: Millis, written_at: Option<Millis>, synchronised: Option<&str>) -> Finding {
    let next = "set the clock and keep it right by NTP: timedatectl set-ntp true";
    if now < BUILT_AFTER || written_at.is_some_and(|at| now < at - BACK_MAX_MS) {
        let seen = "the clock is behind what was written before: schedules, quiet hours and tokens go wrong";
        return Finding::fail("clock", seen, next);
    }
    match synchronised {
        Some("yes") => Finding::ok("clock", "synchronised by NTP"),
        Some("no") => Finding::warn("clock", "it is not synchronised", next),
        Some(_) | None => Finding::ok("clock", "plausible; whether it is synchronised cannot be told here"),
    }
}

/// Whether as many connections can be open as are allowed. `unit` is the limit of the service, where there is one.
pub fn descriptors(connections_max: u64, unit: Option<u64>) -> Finding {
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    match unit {
        Some(limit) => judge_descriptors(connections_max, limit, "the service"),
        None => judge_descriptors(connections_max, own, "this shell"),
    }
}

fn judge_descriptors(connections_max: u64, limit: u64, whose: &str) -> Finding {
    let seen = format!("{limit} open files for {whose}, websocket.max_connections is {connections_max}");
    if limit >= connections_max.saturating_add(OTHER_FILES) {
        return Finding::ok("open files", seen);
    }
    let next =
        "raise LimitNOFILE by `systemctl edit belfry` (or ulimit -n), or lower websocket.max_connections";
    Finding::warn("open files", seen, next)
}

/// Whether the rules of time zones are there, and whose they are.
pub fn zones() -> Finding {
    let [versioned, any] = ZONE_FILES;
    let first = std::fs::read_to_string(versioned).ok();
    let version = first.as_deref().and_then(|text| text.lines().next()?.strip_prefix("# version "));
    let of_system = version.map(str::to_owned).or_else(|| {
        std::fs::exists(any).unwrap_or(false).then(|| "of a version that it does not tell".to_owned())
    });
    judge_zones(zone::zone("Europe/Berlin").is_some(), of_system.as_deref())
}

fn judge_zones(found: bool, of_system: Option<&str>) -> Finding {
    match (found, of_system) {
        (false, _) => Finding::fail("time zones", "none are found", "install the package tzdata"),
        (true, Some(version)) => Finding::ok("time zones", format!("the system's, {version}")),
        (true, None) => Finding::warn(
            "time zones",
            "those built into this program, which age with it",
            "install the package tzdata, which follows new rules",
        ),
    }
}

/// What systemd says of the service, and how many files it may open; nothing where there is no such service.
pub fn unit() -> Option<(Finding, Option<u64>)> {
    let properties = "--property=LoadState,ActiveState,SubState,Result,NRestarts,LimitNOFILE";
    judge_unit(&ask("systemctl", &["show", UNIT, properties])?)
}

fn judge_unit(shown: &str) -> Option<(Finding, Option<u64>)> {
    let said: BTreeMap<&str, &str> = shown.lines().filter_map(|line| line.split_once('=')).collect();
    let of = |name: &str| said.get(name).copied().unwrap_or_default();
    if of("LoadState") != "loaded" {
        return None;
    }
    let seen =
        format!("{UNIT} is {} ({}), restarted {} times", of("ActiveState"), of("SubState"), of("NRestarts"));
    let log = format!("journalctl -u {UNIT} -e says why");
    let finding = match of("ActiveState") {
        "active" | "reloading" if of("NRestarts") == "0" => Finding::ok("service", seen),
        "active" | "reloading" => Finding::warn("service", seen, log),
        "failed" => Finding::fail("service", format!("{seen}, {}", of("Result")), log),
        "activating" | "deactivating" => Finding::warn("service", seen, log),
        _ => Finding::warn("service", seen, format!("systemctl start {UNIT}")),
    };
    let limit = match of("LimitNOFILE") {
        "infinity" => Some(u64::MAX),
        number => number.parse().ok(),
    };
    Some((finding, limit))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_clock_that_went_back_is_a_failure_and_one_that_drifts_a_warning() {
        let now = BUILT_AFTER + 1_000_000;
        for (now, written_at, said, level) in [
            (now, None, Some("yes"), Level::Ok),
            (now, Some(now + 1_000), None, Level::Ok),
            (now, Some(now), Some("no"), Level::Warn),
            (now, Some(now + 2 * BACK_MAX_MS), Some("yes"), Level::Fail),
            (0, None, Some("yes"), Level::Fail),
        ] {
            assert_eq!(judge_clock(now, written_at, said).level, level, "{now} {written_at:?} {said:?}");
        }
    }

    #[test]
    fn there_is_a_file_for_every_connection_and_some_to_spare() {
        assert_eq!(judge_descriptors(1_000, 1_024, "x").level, Level::Warn);
        assert_eq!(judge_descriptors(1_000, 1_064, "x").level, Level::Ok);
        assert_eq!(judge_descriptors(u64::MAX, u64::MAX, "x").level, Level::Ok);
    }

    #[test]
    fn zones_of_the_system_are_better_than_our_own_and_those_than_none() {
        let level = |found, system| judge_zones(found, system).level;
        assert_eq!(
            (level(true, Some("2026b")), level(true, None), level(false, None)),
            (Level::Ok, Level::Warn, Level::Fail)
        );
    }

    #[test]
    fn a_service_is_judged_by_what_systemd_says() {
        let unit = |active: &str, restarts: u32| {
            format!(
                "NRestarts={restarts}\nResult=exit-code\nLoadState=loaded\nActiveState={active}\nSubState=x\nLimitNOFILE=1048576\n"
            )
        };
        for (active, restarts, level) in [
            ("active", 0, Level::Ok),
            ("active", 3, Level::Warn),
            ("activating", 0, Level::Warn),
            ("inactive", 0, Level::Warn),
            ("failed", 5, Level::Fail),
        ] {
            let (finding, limit) = judge_unit(&unit(active, restarts)).expect("it is loaded");
            assert_eq!((finding.level, limit), (level, Some(1_048_576)), "{active}");
        }
        assert_eq!(judge_unit("LoadState=not-found\nActiveState=inactive\n"), None);
    }
}
