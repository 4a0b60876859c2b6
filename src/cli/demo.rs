//! What `belfry dev` adds to a server: a person to send to, channels that keep what they would send, and the
//! addresses and keys to try.

use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret;

use crate::app::App;
use crate::config::{self, Config, ConfigErrors};
use crate::model::channel::Channel;
use crate::model::preferences::Preferences;
use crate::model::user::User;
use crate::settings::Origin;
use crate::store::{StoreError, Txn};

/// The demo user.
const USER: &str = "demo";
/// How long the printed user token is good: a day's tour.
const TOKEN_SECONDS: u32 = 24 * 3_600;

/// The configuration of the tour: as configured, and every external channel in capture mode that nobody set up.
pub(super) fn load(file: Option<&Path>, given: &[(&str, String)]) -> Result<Config, ConfigErrors> {
    let configured = config::from_process(file, given)?;
    let untouched = |key: &str| *configured.origin(key) == Origin::Default;
    let mut given = given.to_vec();
    for (channel, touched_by) in [
        ("channels.email.mode", "channels.email.host"),
        ("channels.sms.mode", "channels.sms.mode"),
        ("channels.browser_push.mode", "channels.browser_push.mode"),
        ("channels.webhook.mode", "channels.webhook.mode"),
    ] {
        if untouched(channel) && untouched(touched_by) {
            given.push((channel, "capture".to_owned()));
        }
    }
    config::from_process(file, &given)
}

/// Makes the demo user and says what to try.
#[expect(clippy::print_stdout, reason = "what to try is what the command is asked for")]
pub(super) async fn prepare(app: Arc<App>) -> Result<(), String> {
    let failed = |error: StoreError| format!("failed to make the demo user: {error}");
    let now = app.engine().now();
    let mut preferences = Preferences::default();
    preferences.channels.extend(Channel::PREFERRED.map(|channel| (channel, true)));
    let user = User {
        id: USER.to_owned(),
        email: Some("demo@example.org".to_owned()),
        phone: Some("+4915550123456".to_owned()),
        preferences: Some(preferences),
        created_at: now,
        updated_at: now,
        ..User::default()
    };
    app.engine().store().commit(move |txn: &mut Txn<'_>| txn.put_user(&user)).await.map_err(failed)?;
    let minted = app.access().mint_user_token(USER, TOKEN_SECONDS, Some(vec!["*".to_owned()]), None);
    let (token, _) = minted.ok_or("failed to sign the demo user's token")?;
    let url = format!("http://{}", app.address());
    let key = app.first_key().map_or("$BELFRY_KEY", |key| key.expose_secret());
    println!(
        "
What this is          {url}/
The inbox of {USER:8} {url}/inbox#token={}
What would be sent    {url}/captured#key={key}
How it is doing       {url}/admin#key={key}

Send something and watch it arrive:

  curl {url}/v1/workflow-events \\
    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{\"type\":\"workflow_review_required\",\"workflow_id\":\"report-42\",\"user_id\":\"{USER}\",\"stage\":\"final\"}}'

Everything is in a temporary directory and goes when you press Ctrl-C.",
        token.expose_secret()
    );
    Ok(())
}
