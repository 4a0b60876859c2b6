//! Names of things: those that we make (UUIDv7, so that they sort by time) and those that senders give.

use std::sync::Mutex;

use uuid::{ContextV7, Timestamp, Uuid};

use crate::clock::Millis;
use crate::model::invalid::FieldError;

/// The most bytes in a name that a sender gives.
pub const NAME_BYTES_MAX: usize = 128;

static SEQUENCE: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// A new UUIDv7 (RFC 9562, section 5.7) for the instant `now`; later calls with the same instant sort after it.
pub fn new_id(now: Millis) -> Uuid {
    let now = u64::try_from(now).unwrap_or(0);
    let nanos = u32::try_from(now % 1_000).unwrap_or(0) * 1_000_000;
    let sequence = SEQUENCE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Uuid::new_v7(Timestamp::from_unix(&*sequence, now / 1_000, nanos))
}

/// A name that a sender chose for a person, a notification or a workflow: 1 to 128 bytes, no white space and no control
/// characters.
pub fn check_name(field: &str, text: &str) -> Result<(), FieldError> {
    let detail = if text.is_empty() {
        "must not be empty".to_owned()
    } else if text.len() > NAME_BYTES_MAX {
        format!("must be at most {NAME_BYTES_MAX} bytes, this has {}", text.len())
    } else if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        "must hold no white space and no control characters".to_owned()
    } else if text == "me" {
        "must not be me, which stands for whoever asks".to_owned()
    } else {
        return Ok(());
    };
    Err(FieldError { field: field.to_owned(), detail })
}

/// A word of an open set, such as a type or a category: snake_case, 1 to 64 characters, starting with a letter.
pub fn check_word(field: &str, text: &str) -> Result<(), FieldError> {
    let mut bytes = text.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
    if starts && text.len() <= 64 && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    {
        return Ok(());
    }
    Err(FieldError {
        field: field.to_owned(),
        detail: "must be snake_case: a lowercase letter, then up to 63 letters, digits or underscores"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_made_at_the_same_instant_still_sort_in_the_order_made() {
        let ids: Vec<Uuid> = (0..1_000).map(|_| new_id(1_700_000_000_000)).collect();
        assert!(ids.is_sorted());
    }

    #[test]
    fn an_id_tells_its_instant() {
        // Later than any other test's instant: ids never go back.
        let (secs, nanos) = new_id(1_900_000_000_123).get_timestamp().expect("a v7 id").to_unix();
        assert_eq!((secs, nanos / 1_000_000), (1_900_000_000, 123));
    }

    #[test]
    fn words_are_snake_case() {
        assert!(check_word("type", "workflow_completed").is_ok());
        for wrong in ["", "Workflow", "9lives", "with space", "a-b", &"a".repeat(65)] {
            assert!(check_word("type", wrong).is_err(), "{wrong:?}");
        }
    }
}
