//! The keys by which browsers and push services know this server: made once, and never thrown away while browsers may
//! have subscribed under them.

use crate::channel::push::vapid::{self, Key};
use crate::clock::Millis;
use crate::store::push_subscriptions::PushKey;
use crate::store::{Store, StoreError};

/// How many keys are kept. Whoever changes theirs more often than that has browsers subscribe anew.
const KEYS_MAX: usize = 16;

/// The keys of this server, the present one first: the `configured` one, else the one that was in use before, else a new
/// one. What is answered is on disk.
///
/// # Errors
/// Where the store takes no writes.
pub async fn push_keys(
    store: &Store,
    configured: Option<[u8; 32]>,
    now: Millis,
) -> Result<Vec<Key>, StoreError> {
    let all = store
        .commit(move |txn| {
            let before = txn.push_keys()?;
            let all = arranged(before.clone(), configured, now);
            if all != before {
                txn.put_push_keys(&all)?;
            }
            Ok::<_, StoreError>(all)
        })
        .await?;
    Ok(all.iter().filter_map(|key| Key::new(&key.private)).collect())
}

fn arranged(mut all: Vec<PushKey>, configured: Option<[u8; 32]>, now: Millis) -> Vec<PushKey> {
    let wanted = configured.or_else(|| all.first().map(|key| key.private)).unwrap_or_else(vapid::generate);
    match all.iter().position(|key| key.private == wanted) {
        Some(at) => all[..=at].rotate_right(1),
        None => all.insert(0, PushKey { private: wanted, since: now }),
    }
    all.truncate(KEYS_MAX);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> PushKey {
        PushKey { private: [seed; 32], since: 0 }
    }

    fn seeds(all: &[PushKey]) -> Vec<u8> {
        all.iter().map(|key| key.private[0]).collect()
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let made = arranged(Vec::new(), None, 0);
        assert_eq!(made.len(), 1);
        assert!(arranged(made.clone(), None, 5) == made);
    }

    #[test]
    fn a_configured_key_comes_first_and_those_before_it_stay() {
        assert_eq!(seeds(&arranged(vec![key(1)], Some([2; 32]), 0)), [2, 1]);
        assert_eq!(seeds(&arranged(vec![key(2), key(1)], Some([1; 32]), 0)), [1, 2]);
        assert_eq!(
            seeds(&arranged(vec![key(2), key(1)], None, 0)),
            [2, 1],
            "taken out again: nothing changes"
        );
    }

    #[test]
    fn keys_do_not_pile_up() {
        let many = (1..=40).fold(Vec::new(), |all, seed| arranged(all, Some([seed; 32]), 0));
        assert_eq!(many.len(), KEYS_MAX);
    }
}
