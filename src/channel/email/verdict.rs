//! What an attempt came to, as the engine understands it: the server's answer, or the lack of one, to an outcome.
//!
//! Only a clear "no" to this very message is final. Trouble with the connection, the certificate or our own
//! credentials says nothing about the recipient, so it never costs a delivery more than an attempt.

use crate::model::delivery::{Outcome, Reason};

use super::super::words::tidy;
use super::compose::Refusal;

/// Where in the conversation an attempt came to grief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waiting for one of the connections to become free.
    Wait,
    /// Connecting: TCP, TLS, greeting, EHLO.
    Connect,
    /// Logging in.
    Login,
    /// Naming the sender, and asking to send.
    Envelope,
    /// Naming the recipient.
    Recipient,
    /// Sending the mail itself.
    Content,
}

/// Why an attempt did not end with the server's yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Where it happened.
    pub(super) stage: Stage,
    /// The server's answer, where there was one: RFC 5321, section 4.2.
    pub(super) code: Option<u16>,
    /// The server's words after the code, or ours.
    pub(super) words: String,
    /// True where this server can never take this message.
    pub(super) hopeless: bool,
}

impl Trouble {
    /// Trouble without an answer from the server.
    pub(super) fn silent(stage: Stage, words: impl Into<String>) -> Trouble {
        Trouble { stage, code: None, words: words.into(), hopeless: false }
    }
}

const CREDENTIALS: &str = "check channels.email.username and channels.email.password";
const NO_LOGIN: &str = "the server wants a login or TLS first: check channels.email.username, channels.email.password and channels.email.tls";

/// The server took it.
pub(super) fn sent(words: &str) -> Outcome {
    Outcome::Sent { detail: tidy(words) }
}

/// The message cannot become a mail.
pub(super) fn refused(refusal: Refusal) -> Outcome {
    let reason = match refusal {
        Refusal::Large(_) => Reason::PayloadTooLarge,
        Refusal::Address(_) | Refusal::Control(_) | Refusal::Long(_) | Refusal::Compose(_) => {
            Reason::ProviderRejected
        }
    };
    Outcome::Failed { reason, error: tidy(&refusal.to_string()) }
}

/// The server did not take it.
pub(super) fn judge(trouble: &Trouble) -> Outcome {
    let said = match trouble.code {
        Some(code) => format!("{code} {}", trouble.words),
        None => trouble.words.clone(),
    };
    let retry =
        |error: &str| Outcome::Retry { reason: Reason::ProviderUnreachable, error: tidy(error), after: None };
    let down = |error: &str| Outcome::Down { error: tidy(error), probe_at: None };
    match (trouble.stage, trouble.code) {
        _ if trouble.hopeless => Outcome::Failed { reason: Reason::ProviderRejected, error: tidy(&said) },
        (Stage::Login, _) => down(&format!("failed to log in to the mail server ({CREDENTIALS}): {said}")),
        (Stage::Wait | Stage::Connect, _) => down(&format!("failed to reach the mail server: {said}")),
        (Stage::Envelope | Stage::Recipient | Stage::Content, Some(530 | 534 | 535 | 538)) => {
            down(&format!("{NO_LOGIN}: {said}"))
        }
        (Stage::Envelope | Stage::Recipient | Stage::Content, Some(552))
            if trouble.words.trim_start().starts_with("5.3.4") =>
        {
            Outcome::Failed { reason: Reason::PayloadTooLarge, error: tidy(&said) }
        }
        (Stage::Recipient, Some(code @ 500..=599)) if names_nobody(code, &trouble.words) => {
            Outcome::NoSuchAddress { error: tidy(&said) }
        }
        (Stage::Envelope | Stage::Recipient | Stage::Content, Some(500..=599)) => {
            Outcome::Failed { reason: Reason::ProviderRejected, error: tidy(&said) }
        }
        (Stage::Envelope | Stage::Recipient | Stage::Content, Some(_)) => retry(&said),
        (Stage::Envelope | Stage::Recipient, None) => retry(&format!("the mail server broke off: {said}")),
        (Stage::Content, None) => {
            retry(&format!("the mail server broke off, so it may or may not have the mail: {said}"))
        }
    }
}

/// Whether a refusal of a recipient says that there is nobody of that address, and is no policy that others would fall
/// under as well: by the enhanced status code (RFC 3463, section 3.2) where the server gives one, else by its words.
pub(super) fn names_nobody(code: u16, words: &str) -> bool {
    let first = words.split_whitespace().next().unwrap_or_default();
    if first.starts_with("5.") {
        return speaks_of_the_address(first);
    }
    let words = words.to_lowercase();
    matches!(code, 550 | 551 | 553) && NOBODY.iter().any(|phrase| words.contains(phrase))
}

/// Whether an enhanced status code says that it is the address that is wrong.
pub(super) fn speaks_of_the_address(status: &str) -> bool {
    ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"].contains(&status)
}

/// How servers without enhanced status codes say that there is nobody of that address.
const NOBODY: [&str; 10] = [
    "no such user",
    "no such recipient",
    "no such mailbox",
    "user unknown",
    "unknown user",
    "unknown recipient",
    "recipient unknown",
    "user not found",
    "mailbox not found",
    "user does not exist",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::ERROR_CHARS_MAX;

    fn judged(stage: Stage, code: impl Into<Option<u16>>, words: &str) -> Outcome {
        judge(&Trouble { stage, code: code.into(), words: words.to_owned(), hopeless: false })
    }

    fn error(outcome: Outcome) -> (Option<Reason>, bool, String) {
        match outcome {
            Outcome::Retry { reason, error, after: None } => (Some(reason), true, error),
            Outcome::Down { error, .. } => (Some(Reason::ProviderUnreachable), true, error),
            Outcome::Failed { reason, error } => (Some(reason), false, error),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_clear_no_to_this_message_is_final_and_keeps_the_servers_words() {
        for stage in [Stage::Envelope, Stage::Content] {
            for code in [500, 503, 550, 551, 552, 553, 554, 555, 571] {
                let (reason, retry, error) = error(judged(stage, code, "5.1.1 no such user"));
                assert_eq!((reason, retry), (Some(Reason::ProviderRejected), false), "{stage:?} {code}");
                assert_eq!(error, format!("{code} 5.1.1 no such user"));
            }
        }
    }

    #[test]
    fn only_a_recipient_that_there_is_not_is_no_address() {
        for (code, words) in [
            (550, "5.1.1 x"),
            (553, "5.1.3 x"),
            (556, "5.1.10 x"),
            (550, "No such user here"),
            (550, "User unknown"),
        ] {
            let gone = Outcome::NoSuchAddress { error: format!("{code} {words}") };
            assert_eq!(judged(Stage::Recipient, code, words), gone);
            assert!(matches!(judged(Stage::Content, code, words), Outcome::Failed { .. }), "{words}");
        }
        for (code, words) in [
            (550, "5.7.1 no such user may send here"),
            (550, "5.1.8 bad sender"),
            (552, "5.2.2 full"),
            (554, "no such user"),
            (550, "blocked"),
            (550, ""),
        ] {
            assert!(matches!(judged(Stage::Recipient, code, words), Outcome::Failed { .. }), "{words}");
        }
        assert!(error(judged(Stage::Recipient, 450, "4.1.1 later")).1);
    }

    #[test]
    fn a_no_for_now_is_tried_again() {
        for stage in [Stage::Envelope, Stage::Content] {
            for code in [421, 450, 451, 452, 454, 455, 354] {
                let (reason, retry, _) = error(judged(stage, code, "4.2.0 later"));
                assert_eq!((reason, retry), (Some(Reason::ProviderUnreachable), true), "{stage:?} {code}");
            }
        }
    }

    #[test]
    fn a_mail_too_large_for_the_server_is_too_large_and_a_full_mailbox_is_a_refusal() {
        let large = error(judged(Stage::Envelope, 552, "5.3.4 message too big"));
        assert_eq!((large.0, large.1), (Some(Reason::PayloadTooLarge), false));
        let full = error(judged(Stage::Envelope, 552, "5.2.2 mailbox full"));
        assert_eq!((full.0, full.1), (Some(Reason::ProviderRejected), false));
    }

    #[test]
    fn our_own_wrong_credentials_never_cost_a_recipient_the_delivery() {
        for code in [Some(535), Some(534), Some(454), Some(500), Some(504), None] {
            let (_, retry, error) = error(judged(Stage::Login, code, "no"));
            assert!(retry && error.contains("channels.email.password"), "{error}");
        }
        for code in [530, 534, 535, 538] {
            let (_, retry, error) = error(judged(Stage::Envelope, code, "authentication required"));
            assert!(retry && error.contains("channels.email.username"), "{error}");
        }
    }

    #[test]
    fn trouble_before_the_envelope_or_without_an_answer_is_tried_again() {
        for code in [Some(554), Some(421), None] {
            assert!(error(judged(Stage::Connect, code, "no service")).1);
        }
        for stage in [Stage::Wait, Stage::Envelope, Stage::Content] {
            assert!(error(judged(stage, None, "cut")).1);
        }
    }

    #[test]
    fn what_a_server_says_is_one_short_line_without_control_characters() {
        let words = format!("\u{1b}[31mred\r\n\0{}", "é".repeat(1_000));
        let (_, _, error) = error(judged(Stage::Envelope, 550, &words));
        assert_eq!(error.chars().count(), ERROR_CHARS_MAX);
        assert!(error.starts_with("550 [31mred é") && !error.chars().any(char::is_control));
    }

    #[test]
    fn a_message_that_cannot_become_a_mail_has_failed_and_says_why() {
        let (reason, retry, said) = error(refused(Refusal::Control("title")));
        assert_eq!((reason, retry), (Some(Reason::ProviderRejected), false));
        assert!(said.contains("title") && said.contains("line break"), "{said}");
        assert_eq!(error(refused(Refusal::Large("text"))).0, Some(Reason::PayloadTooLarge));
    }
}
