//! Who sends to a hook: the holder of its token, of a key for it, or of the secret that signs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::preset::{Sent, Signed};
use super::registry::Hook;
use crate::access::Scope;
use crate::api::call::Call;
use crate::api::problem::Problem;

/// Refuses a request that is neither signed by the hook's secret nor carries its token or a key for it. A signature
/// that is there must hold, whatever else the request carries.
///
/// # Errors
/// 401 with the reason, 403 for a token that is good for something else.
pub fn check(call: &Call, hook: &Hook, sent: &Sent<'_>) -> Result<(), Problem> {
    let signed = match call.api.hooks.secret(hook) {
        Some(secret) => hook.preset.verify(&secret, sent),
        None => Signed::No,
    };
    let token = call.bearer().map(str::to_owned).or_else(|| basic_password(call));
    match (signed, token) {
        (Signed::Badly(why), _) => Err(Problem::unauthorized(why)),
        (Signed::Yes, _) => Ok(()),
        (Signed::No, Some(token)) => holds(call, hook, &token),
        (Signed::No, None) => Err(Problem::unauthorized(
            "send the hook's token, as Authorization: Bearer, or sign the body as the hook's preset does",
        )),
    }
}

fn holds(call: &Call, hook: &Hook, token: &str) -> Result<(), Problem> {
    if hook.is_token(token) {
        return Ok(());
    }
    let principal = call.api.access.authenticate(token)?;
    let by_id = Scope::Ingest(hook.record.id.to_string());
    if principal.has(&by_id) || principal.has(&Scope::Ingest(hook.record.name.clone())) {
        return Ok(());
    }
    Err(Problem::forbidden(format!("this token does not carry the scope ingest:{}", hook.record.name)))
}

/// The password in the `Authorization` header (RFC 7617), for senders that can send nothing else.
fn basic_password(call: &Call) -> Option<String> {
    let (scheme, encoded) = call.header("authorization")?.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    Some(String::from_utf8(decoded).ok()?.split_once(':')?.1.to_owned())
}
