//! A message to see whether a channel works: sent at once, to an address that is given, and written down nowhere.

use std::time::{Duration, Instant};

use super::Engine;
use crate::model::channel::{Channel, Mode};
use crate::model::delivery::{Outcome, Reason};
use crate::model::ids::new_id;
use crate::model::message::Message;

/// The longest that a trial takes.
const TRIAL_WAIT: Duration = Duration::from_secs(60);

/// What a trial came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What the channel does with messages.
    pub mode: Mode,
    /// What it came to.
    pub outcome: Outcome,
    /// What was done, and after how long.
    pub steps: Vec<(Duration, &'static str, String)>,
}

impl Engine {
    /// Sends a test message to `to`. It is sent even where the provider is left alone, and what comes of it counts.
    pub async fn try_channel(&self, channel: Channel, to: &str) -> Trial {
        let (started, now) = (Instant::now(), self.now());
        let id = new_id(now).to_string();
        let rules = self.shared.rules.load_full();
        let mode = rules.modes.of(channel);
        let message = Message {
            delivery_id: format!("{id}.{channel}"),
            notification_id: id,
            user_id: "test".to_owned(),
            to: to.to_owned(),
            title: "A test message".to_owned(),
            text: "This message shows that the channel works. Nobody needs to answer it.".to_owned(),
            html: None,
            at_ms: now,
            unsubscribe: None,
        };
        let mut steps = vec![(started.elapsed(), "composed", message.delivery_id.clone())];
        let outcome = match mode {
            Mode::Live => {
                steps.push((started.elapsed(), "handed to the provider", format!("to {to}")));
                let sent =
                    tokio::time::timeout(TRIAL_WAIT, self.hand_over(channel, &message, &rules, true)).await;
                let error = format!("no answer within {} s", TRIAL_WAIT.as_secs());
                sent.unwrap_or(Outcome::Down { error, probe_at: None })
            }
            Mode::Capture => Outcome::Sent { detail: "not sent: the channel is in capture mode".to_owned() },
            Mode::Off => Outcome::Skipped { reason: Reason::ChannelDisabled },
        };
        let (step, said) = match &outcome {
            Outcome::Sent { detail } | Outcome::Delivered { detail } => ("taken", detail.clone()),
            Outcome::Retry { error, .. } | Outcome::Down { error, .. } => {
                ("not taken for now", error.clone())
            }
            Outcome::Failed { error, .. } | Outcome::NoSuchAddress { error } => ("refused", error.clone()),
            Outcome::Skipped { reason } => ("skipped", reason.to_string()),
        };
        steps.push((started.elapsed(), step, said));
        Trial { mode, outcome, steps }
    }
}
