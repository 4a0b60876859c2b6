//! What systemd is told about the state of this process. Outside of systemd nothing of this does anything.

use std::time::Duration;

use sd_notify::NotifyState;

/// The longest status that is sent, in characters; `systemctl status` shows one line.
const STATUS_CHARS_MAX: usize = 200;

/// The server answers requests.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The server is finishing what is in flight.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// The configuration is being read again; [`ready`] ends it. systemd wants to know when it began.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "failed to read the monotonic clock"),
    }
}

/// A line for `systemctl status`.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(&one_line(text))]);
}

/// The server is alive; to be said at every [`watchdog_interval`].
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How often systemd wants to hear [`alive`]: half of the time after which it would restart us, as sd_watchdog_enabled(3)
/// recommends. `None` when it does not watch.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|interval| !interval.is_zero())
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "failed to notify systemd");
    }
}

/// The protocol is one assignment in each line, so a line break in a status would be another message.
fn one_line(text: &str) -> String {
    text.chars().take(STATUS_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cannot_carry_a_second_message() {
        assert_eq!(one_line("fine\nMAINPID=1"), "fine MAINPID=1");
        assert_eq!(one_line(&"x".repeat(1_000)).len(), STATUS_CHARS_MAX);
    }

    #[test]
    fn outside_of_systemd_everything_is_silent() {
        ready();
        reloading();
        status("well");
        alive();
        stopping();
        assert_eq!(watchdog_interval(), None);
    }
}
