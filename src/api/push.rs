//! `/v1/users/{id}/push-subscriptions`: the browsers that a person allowed to show notifications, and the key that they
//! subscribe with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::Problem;
use super::shapes::{self, maybe_instant};
use crate::access::Scope;
use crate::channel::push::vapid::is_point;
use crate::clock::Millis;
use crate::engine::report::instant;
use crate::model::ids::new_id;
use crate::model::invalid::Invalid;
use crate::model::push::Subscription;
use crate::model::user::User;
use crate::store::{StoreError, Txn};

/// How much of the end of an endpoint is shown.
const SHOWN_CHARS: usize = 6;
/// The year 10000, in milliseconds since 1970: no instant that can be written is later.
const ENDS_BEFORE_MS: f64 = 253_402_300_800_000.0;

/// `GET /v1/push/vapid-public-key`: for anybody, since a page needs it before it can ask.
pub async fn public_key(call: Call) -> Result<Response, Problem> {
    let key = present_key(&call)?;
    let key = URL_SAFE_NO_PAD.encode(key);
    Ok(shapes::ok(&json!({ "public_key": key, "applicationServerKey": key })))
}

/// `GET`: the browsers, newest first.
pub async fn list(call: Call, id: &str) -> Result<Response, Problem> {
    let id = call.person(id, &Scope::Read)?;
    let all = call.api.engine.store().push_subscriptions(&id).await?;
    let all: Vec<Value> = all.iter().rev().map(shape).collect();
    Ok(shapes::ok(&json!({ "data": all, "next_cursor": null })))
}

/// `POST`: the W3C's `PushSubscription` as a browser gives it.
pub async fn create(mut call: Call, id: &str) -> Result<Response, Problem> {
    let id = call.person(id, &Scope::Admin)?;
    let body = call.json().await?;
    let now = call.api.clock.now();
    let subscription = admitted(&call, &body, now).await?;
    let (kept, fresh) = call
        .api
        .engine
        .store()
        .commit(move |txn: &mut Txn<'_>| {
            if txn.user(&id)?.is_none() {
                let user = User { id: id.clone(), created_at: now, updated_at: now, ..User::default() };
                txn.put_user(&user)?;
            }
            txn.put_push_subscription(&id, subscription)
        })
        .await?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok(shapes::json_response(status, &shape(&kept)))
}

/// `POST /v1/push/renew`: a browser whose push service gave it another address says so by itself, while no page is open and
/// nobody has a token at hand. What shows that it is the same one is the secret of the old subscription.
pub async fn renew(mut call: Call) -> Result<Response, Problem> {
    let body = call.json().await?;
    let old = &body["old"];
    let (Some(endpoint), Some(auth)) =
        (old["endpoint"].as_str(), old["keys"]["auth"].as_str().and_then(decode))
    else {
        return Err(
            Invalid::one("old", "must be the subscription as it was, with its endpoint and keys").into()
        );
    };
    let fresh = admitted(&call, &body["subscription"], call.api.clock.now()).await?;
    let endpoint = endpoint.to_owned();
    let renewed = call
        .api
        .engine
        .store()
        .commit(move |txn: &mut Txn<'_>| txn.renew_push_subscription(&endpoint, &auth, fresh))
        .await
        .map_err(|error: StoreError| Problem::from(error))?;
    if renewed { Ok(shapes::no_content()) } else { Err(Problem::not_found("push subscription")) }
}

/// `DELETE …?endpoint=`: the browser with that endpoint, which is all that the browser itself knows.
pub async fn delete_by_endpoint(call: Call, id: &str) -> Result<Response, Problem> {
    let endpoint = call
        .query("endpoint")
        .ok_or_else(|| Invalid::one("endpoint", "must be given, or the subscription's id in the path"))?;
    delete(call, id, move |s| s.endpoint == endpoint).await
}

/// `DELETE /{subscription}`.
pub async fn delete_by_id(call: Call, id: &str, subscription: &str) -> Result<Response, Problem> {
    let subscription = Uuid::parse_str(subscription).ok();
    delete(call, id, move |s| Some(s.id) == subscription).await
}

async fn delete(
    call: Call,
    id: &str,
    which: impl Fn(&Subscription) -> bool + Send + 'static,
) -> Result<Response, Problem> {
    let id = call.person(id, &Scope::Admin)?;
    let gone = call
        .api
        .engine
        .store()
        .commit(move |txn: &mut Txn<'_>| txn.remove_push_subscriptions(&id, which))
        .await
        .map_err(|error: StoreError| Problem::from(error))?;
    if gone == 0 { Err(Problem::not_found("push subscription")) } else { Ok(shapes::no_content()) }
}

/// A subscription that may be kept: well-formed, made for a key of ours, at an address that may be called.
async fn admitted(call: &Call, body: &Value, now: Millis) -> Result<Subscription, Problem> {
    let mut given = Given::read(body, now)?;
    given.subscription.server_key = match given.server_key {
        Some(key) if call.api.engine.has_push_key(&key) => key,
        Some(_) => {
            let detail = "is not a key of this server; subscribe with GET /v1/push/vapid-public-key";
            return Err(Invalid::one("applicationServerKey", detail).into());
        }
        None => present_key(call)?,
    };
    let url = call.api.outbound.check(&given.subscription.endpoint).await;
    let url = url.map_err(|refused| Invalid::one("endpoint", refused.to_string()))?;
    given.subscription.endpoint = url.into();
    Ok(given.subscription)
}

fn present_key(call: &Call) -> Result<Vec<u8>, Problem> {
    call.api.engine.push_public_key().ok_or_else(|| Problem::not_found("push key"))
}

/// A browser as the outside sees it. Its endpoint is a secret by which anybody could reach it, so most of it is left out,
/// and its keys are.
pub fn shape(subscription: &Subscription) -> Value {
    json!({
        "id": subscription.id.to_string(),
        "endpoint": masked(&subscription.endpoint),
        "created_at": instant(subscription.created_at),
        "expires_at": maybe_instant(subscription.expires_at),
        "last_success": maybe_instant(subscription.last_success),
    })
}

fn masked(endpoint: &str) -> String {
    let origin = endpoint.split('/').take(3).collect::<Vec<_>>().join("/");
    let rest = &endpoint[origin.len()..];
    let hidden = rest.chars().count().saturating_sub(SHOWN_CHARS);
    // A short one would be shown whole otherwise.
    let end: String = rest.chars().skip(hidden.max(SHOWN_CHARS)).collect();
    format!("{origin}/…{end}")
}

struct Given {
    subscription: Subscription,
    server_key: Option<Vec<u8>>,
}

impl Given {
    fn read(body: &Value, now: Millis) -> Result<Given, Invalid> {
        let mut fields = Fields::of(body)?;
        let endpoint = fields.text("endpoint");
        if endpoint.is_none() && fields.raw("endpoint").is_none() {
            fields.wrong("endpoint", "must be given");
        }
        let in_range = |value: &Value| value.as_f64().filter(|at| (0.0..ENDS_BEFORE_MS).contains(at));
        let ends = fields.raw("expirationTime").map(in_range);
        if matches!(ends, Some(None)) {
            fields.wrong("expirationTime", "must be milliseconds since 1970, before the year 10000, or null");
        }
        let keys = body.get("keys").unwrap_or(&Value::Null);
        let mut bytes = |name: &str, right: fn(&[u8]) -> bool, wanted: &str| {
            let found = keys.get(name).and_then(Value::as_str).and_then(decode).filter(|b| right(b));
            if found.is_none() {
                fields.wrong(&format!("keys.{name}"), format!("must be {wanted} in base64url"));
            }
            found.unwrap_or_default()
        };
        let p256dh = bytes("p256dh", is_point, "a point on P-256, uncompressed (65 bytes),");
        let auth = bytes("auth", |b| b.len() == 16, "16 bytes");
        let server_key = fields.text("applicationServerKey").map(decode);
        if matches!(server_key, Some(None)) {
            fields.wrong("applicationServerKey", "must be a key in base64url");
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is an instant before the year 10000")]
        let expires_at = ends.flatten().map(|at| at as Millis);
        let subscription = Subscription {
            id: new_id(now),
            endpoint: endpoint.unwrap_or_default().to_owned(),
            p256dh,
            auth: auth.try_into().unwrap_or_default(),
            server_key: Vec::new(),
            created_at: now,
            expires_at,
            last_success: None,
        };
        fields.finish(Given { subscription, server_key: server_key.flatten() })
    }
}

/// base64url, with or without padding. Nothing that is asked for here is longer than this.
fn decode(text: &str) -> Option<Vec<u8>> {
    const TEXT_BYTES_MAX: usize = 128;
    let text = text.trim_end_matches('=');
    (text.len() <= TEXT_BYTES_MAX).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

    fn wrong(body: &Value) -> Vec<String> {
        match Given::read(body, 1) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.errors.into_iter().map(|error| error.field).collect(),
        }
    }

    #[test]
    fn a_subscription_is_taken_as_browsers_give_it() {
        let body = json!({
            "endpoint": "https://push.example/a", "expirationTime": 2.5,
            "keys": { "p256dh": P256DH, "auth": "BTBZMqHH6r4Tts7J_aSIgg==" }, "something": "new",
        });
        let given = Given::read(&body, 1).expect("it is good").subscription;
        assert_eq!((given.p256dh.len(), given.expires_at, given.created_at), (65, Some(2), 1));
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        assert_eq!(wrong(&json!({})), ["endpoint", "keys.p256dh", "keys.auth"]);
        let off_the_curve = URL_SAFE_NO_PAD.encode([4; 65]);
        for (p256dh, auth, named) in [
            (json!(off_the_curve), json!("BTBZMqHH6r4Tts7J_aSIgg"), "keys.p256dh"),
            (json!("%%%"), json!("BTBZMqHH6r4Tts7J_aSIgg"), "keys.p256dh"),
            (json!(7), json!("BTBZMqHH6r4Tts7J_aSIgg"), "keys.p256dh"),
            (json!(P256DH), json!("BTBZMqHH6r4Tts7J_aSI"), "keys.auth"),
            (json!(P256DH), json!(null), "keys.auth"),
        ] {
            let body =
                json!({ "endpoint": "https://a.example/", "keys": { "p256dh": p256dh, "auth": auth } });
            assert_eq!(wrong(&body), [named]);
        }
        let good = json!({ "p256dh": P256DH, "auth": "BTBZMqHH6r4Tts7J_aSIgg" });
        let body =
            json!({ "endpoint": 7, "keys": good, "expirationTime": "soon", "applicationServerKey": "?" });
        assert_eq!(wrong(&body), ["endpoint", "expirationTime", "applicationServerKey"]);
        assert_eq!(
            wrong(&json!({ "endpoint": "https://a.example/", "keys": 7 })),
            ["keys.p256dh", "keys.auth"]
        );
    }

    #[test]
    fn an_endpoint_is_shown_by_its_service_and_its_end() {
        assert_eq!(
            masked("https://fcm.googleapis.com/fcm/send/abc:defghi123"),
            "https://fcm.googleapis.com/…ghi123"
        );
        assert_eq!(masked("https://a.example/12345"), "https://a.example/…");
    }
}
