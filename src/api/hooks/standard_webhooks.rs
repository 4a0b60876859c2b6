//! The preset `standard-webhooks`: whoever keeps to the Standard Webhooks specification.
//!
//! A try after one whose answer was lost has the same id and another second, and is answered like the first. The same id
//! with the same second is a replay.

use serde_json::{Map, Value, json};

use super::preset::{Item, Sent, Signed, text};
use crate::channel::webhook::sign;
use crate::clock::Millis;
use crate::model::invalid::Invalid;

/// How far a sender's clock may be from ours.
const TOLERANCE_MS: Millis = 5 * 60 * 1_000;

/// Whether a second since 1970 is near enough to `now`.
///
/// # Errors
/// Why not, to stand after the name of the header.
pub fn in_time(second: &str, now: Millis) -> Result<i64, String> {
    let seconds: i64 = second.parse().map_err(|_| "is not a number of seconds since 1970".to_owned())?;
    let ahead = seconds.saturating_mul(1_000).saturating_sub(now);
    if ahead < -TOLERANCE_MS {
        return Err("is more than five minutes ago".to_owned());
    }
    if ahead > TOLERANCE_MS {
        return Err("is more than five minutes in the future".to_owned());
    }
    Ok(seconds)
}

/// What the signature is worth.
pub fn verify(secret: &[u8], sent: &Sent<'_>) -> Signed {
    let header = |name: &str| sent.header(name).ok_or_else(|| format!("{name} is missing"));
    if [sign::ID, sign::TIMESTAMP, sign::SIGNATURE].iter().all(|name| !sent.headers.contains_key(*name)) {
        return Signed::No;
    }
    let checked = || -> Result<(), String> {
        let (id, second, signature) = (header(sign::ID)?, header(sign::TIMESTAMP)?, header(sign::SIGNATURE)?);
        let seconds = in_time(second, sent.now).map_err(|why| format!("{} {why}", sign::TIMESTAMP))?;
        if sign::is_signed_by(secret, signature, id, seconds, sent.body) {
            return Ok(());
        }
        Err(format!("{} does not fit the id, the timestamp, the body and the hook's secret", sign::SIGNATURE))
    };
    match checked() {
        Ok(()) => Signed::Yes,
        Err(why) => Signed::Badly(why),
    }
}

/// One notification for each event.
pub fn read(sent: &Sent<'_>) -> Result<Vec<Item>, Invalid> {
    let body = sent.json()?;
    if !body.is_object() {
        return Err(Invalid::one("body", "must be a JSON object"));
    }
    let identity = sent.header(sign::ID).map(str::to_owned);
    let attempt = sent.header(sign::TIMESTAMP).map(str::to_owned);
    let fields = fields(&body);
    Ok(vec![Item { identity, attempt, context: body, fields }])
}

fn fields(body: &Value) -> Map<String, Value> {
    let kind = text(body, &["type"]).unwrap_or("event");
    let find = |names: &[&str]| names.iter().find_map(|name| text(body, &["data", name]));
    let mut fields = Map::new();
    fields.insert("type".to_owned(), json!(kind));
    fields.insert("title".to_owned(), json!(find(&["title", "subject", "name"]).unwrap_or(kind)));
    let message = find(&["message", "text", "description", "body"]).map(str::to_owned);
    let data = || body.get("data").map_or_else(|| kind.to_owned(), Value::to_string);
    fields.insert("message".to_owned(), json!(message.unwrap_or_else(data)));
    fields.insert("metadata".to_owned(), json!({ "type": kind, "data": body.get("data") }));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_700_000_000_000;

    fn verified(second: i64, change: impl Fn(&mut http::HeaderMap, &mut Vec<u8>)) -> Signed {
        let (secret, mut body) = (vec![5; 32], b"{}".to_vec());
        let signature = sign::header(std::slice::from_ref(&secret), "msg_1", second, &body);
        let mut headers = http::HeaderMap::new();
        headers.insert(sign::ID, "msg_1".parse().expect("a header"));
        headers.insert(sign::TIMESTAMP, second.into());
        headers.insert(sign::SIGNATURE, signature.parse().expect("a header"));
        change(&mut headers, &mut body);
        verify(&secret, &Sent { headers: &headers, body: &body, now: NOW })
    }

    #[test]
    fn what_is_signed_and_in_time_is_taken_and_the_rest_is_refused_with_the_reason() {
        let now = NOW / 1_000;
        assert_eq!(verified(now, |_, _| {}), Signed::Yes);
        assert_eq!(verified(now - 300, |_, _| {}), Signed::Yes);
        assert_eq!(verified(now, |headers, _| headers.clear()), Signed::No);
        let why = |signed| match signed {
            Signed::Badly(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(why(verified(now - 301, |_, _| {})).contains("ago"));
        assert!(why(verified(now + 301, |_, _| {})).contains("future"));
        assert!(why(verified(now, |_, body| body[0] ^= 1)).contains("does not fit"));
        assert!(why(verified(now, |headers, _| drop(headers.remove(sign::ID)))).contains("missing"));
    }
}
