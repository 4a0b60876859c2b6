//! `POST /v1/notifications/simulate`: what would happen to a notification, and when.

use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::Problem;
use super::shapes;
use super::submission::{Inbound, inbound_at};
use crate::access::{Principal, Scope};
use crate::engine::report::{by_default, evidence, instant};
use crate::engine::simulate::Simulated;
use crate::model::invalid::Invalid;
use crate::model::notification::{Decision, Verdict};

/// The body is that of a notification, and `at` the instant at which it would come in; now, where it is left out.
pub async fn simulate(mut call: Call) -> Result<Response, Problem> {
    let principal = call.principal()?;
    // Who may send may ask what would come of it, and who may read anything may too.
    let may = principal.has(&Scope::Publish) || principal.has(&Scope::Read);
    if !may {
        return Err(Problem::forbidden(match principal {
            Principal::Key { .. } => "this key carries neither the scope publish nor read",
            Principal::User { .. } => "a user token reaches that user's own resources only",
        }));
    }
    let mut body = call.json().await?;
    let mut fields = Fields::of(&body)?;
    let at = fields.instant("at");
    let at = fields.finish(at)?.unwrap_or_else(|| call.api.clock.now());
    if let Some(fields) = body.as_object_mut() {
        fields.remove("at");
    }
    let submission = match inbound_at(&call.api, &body, at).await? {
        Inbound::One(submission) => submission,
        Inbound::Many(..) => {
            let field = if body["topic"].is_null() { "to" } else { "topic" };
            return Err(Invalid::one(field, "cannot be simulated; name one person as user_id").into());
        }
    };
    let simulated = call.api.engine.simulate(submission.notification, at).await?;
    let plan: Vec<Value> = simulated
        .accepted
        .decisions
        .iter()
        .zip(&simulated.decided)
        .map(|(decision, decided)| planned(decision, decided))
        .collect();
    let supersedes = simulated.supersedes.as_ref().map(|(earlier, channels)| {
        let channels: Vec<&str> = channels.iter().map(|channel| channel.name()).collect();
        json!({ "notification_id": earlier, "channels": channels })
    });
    Ok(shapes::ok(&json!({
        "at": instant(at),
        "user_id": simulated.accepted.notification.user_id,
        "plan": plan,
        "quiet_hours_overridden": simulated.accepted.quiet_hours_overridden,
        "supersedes": supersedes,
        "rendered": rendered(&simulated),
    })))
}

fn planned(decision: &Decision, decided: &str) -> Value {
    let mut entry = json!({ "channel": decision.channel.name() });
    let (word, because) = match &decision.verdict {
        Verdict::Send => ("send", Some(decided.to_owned())),
        Verdict::Deferred { until, reason, because } => {
            entry["until"] = json!(instant(*until));
            entry["reason"] = json!(reason.name());
            ("deferred", Some(evidence(because, *until)))
        }
        Verdict::Skipped { reason, because } => {
            entry["reason"] = json!(reason.name());
            let known = || by_default(*reason).map(|_| decided.to_owned());
            ("skipped", because.clone().or_else(known))
        }
    };
    entry["decision"] = json!(word);
    if let Some(because) = because {
        entry["because"] = json!(because);
    }
    entry
}

/// The notification as the inbox shows it, and as each channel would send it that would.
fn rendered(simulated: &Simulated) -> Value {
    let n = &simulated.accepted.notification;
    let channels: Map<String, Value> = simulated
        .messages
        .iter()
        .map(|(channel, message)| {
            let shown = match message {
                Ok(message) => json!({ "title": message.title, "text": message.text, "html": message.html }),
                Err(error) => json!({ "error": error }),
            };
            (channel.name().to_owned(), shown)
        })
        .collect();
    json!({
        "title": n.title,
        "message": n.message,
        "type": n.kind,
        "priority": n.priority.name(),
        "category": n.category,
        "channels": channels,
    })
}
