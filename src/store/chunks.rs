//! Long values in pieces: sled keeps values up to a few KiB in its log and longer ones in files of their own, which
//! our `fdatasync` of the log would not cover.

use super::keys;

/// The most bytes of a value under one key.
pub(super) const PIECE_BYTES_MAX: usize = 4 * 1024;

/// In front of a value that is whole.
const WHOLE: u8 = 0;
/// In front of the first piece of a value that is not, followed by the number of further pieces.
const FIRST_OF_MANY: u8 = 1;

/// The pairs to write for `value` under `key`, the first of them under `key` itself.
pub(super) fn split(key: Vec<u8>, value: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    if value.len() <= PIECE_BYTES_MAX {
        let mut whole = Vec::with_capacity(1 + value.len());
        whole.push(WHOLE);
        whole.extend_from_slice(value);
        return vec![(key, whole)];
    }
    let mut pieces = value.chunks(PIECE_BYTES_MAX);
    let further = u16::try_from(pieces.len() - 1).expect("the doors bound every value far below 256 MiB");
    let mut first = vec![FIRST_OF_MANY];
    first.extend_from_slice(&further.to_be_bytes());
    first.extend_from_slice(pieces.next().unwrap_or_default());
    let rest: Vec<_> =
        (0u16..).zip(pieces).map(|(number, piece)| (piece_key(&key, number), piece.to_vec())).collect();
    std::iter::once((key, first)).chain(rest).collect()
}

/// How many further pieces a stored value has.
pub(super) fn further(stored: &[u8]) -> u16 {
    match stored {
        [FIRST_OF_MANY, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

/// The value of which `stored` is what stands under `key`; `read` fetches a further piece. `None` if one is missing.
pub(super) fn join(
    key: &[u8],
    stored: &[u8],
    mut read: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let pieces = further(stored);
    let mut value = stored.get(if pieces == 0 { 1 } else { 3 }..)?.to_vec();
    for number in 0..pieces {
        value.extend_from_slice(&read(&piece_key(key, number))?);
    }
    Some(value)
}

/// Where a further piece of the value under `key` stands.
pub(super) fn piece_key(key: &[u8], number: u16) -> Vec<u8> {
    let mut piece = keys::named(keys::PIECE, key);
    piece.extend_from_slice(&number.to_be_bytes());
    piece
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_split_joins_again(length in 0usize..40_000, seed: u8) {
            let value: Vec<u8> = (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
            let stored: BTreeMap<_, _> = split(b"nkey".to_vec(), &value).into_iter().collect();
            prop_assert!(stored.values().all(|piece| piece.len() <= PIECE_BYTES_MAX + 3));
            let first = &stored[b"nkey".as_slice()];
            prop_assert_eq!(join(b"nkey", first, |key| stored.get(key).cloned()), Some(value));
        }
    }
}
