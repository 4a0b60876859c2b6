//! `/v1/users`: who people are and where they can be reached.

use http::StatusCode;
use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::Problem;
use super::{shapes, wishes};
use crate::access::{Principal, Scope};
use crate::engine::preferences::Changed;
use crate::engine::report::instant;
use crate::model::change::{Origin, Way};
use crate::model::ids::check_name;
use crate::model::invalid::Invalid;
use crate::model::notification::METADATA_BYTES_MAX;
use crate::model::phone::CallingCode;
use crate::model::user::{EMAIL_BYTES_MAX, User, check_email, check_phone};
use crate::model::zone::check_zone;
use crate::store::{StoreError, Txn};

/// How long a minted token is good where the request does not say, and at most, in seconds.
const TOKEN_SECONDS: i64 = 3_600;
const TOKEN_SECONDS_MAX: i64 = 365 * 24 * 3_600;
/// The most workflows or topics that one token names.
const GRANTS_MAX: usize = 100;

/// A person as the outside sees them.
pub fn shape(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "phone": user.phone,
        "locale": user.locale,
        "timezone": user.timezone,
        "attributes": shapes::stored_json(user.attributes.as_deref()),
        "created_at": instant(user.created_at),
        "updated_at": instant(user.updated_at),
    })
}

/// `GET /v1/users`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let with_said = call.includes_said()?;
    let users = call.api.engine.store().users(page.cursor, page.limit).await?;
    Ok(shapes::page(users, |user| {
        let mut shown = shape(&user);
        if with_said {
            shown["said"] = user.preferences.as_ref().map_or(Value::Null, wishes::wire);
        }
        shown
    }))
}

/// `GET /v1/users/{id}`.
pub async fn show(call: Call, id: &str) -> Result<Response, Problem> {
    let id = call.person(id, &Scope::Read)?;
    let user = call.api.engine.store().user(&id).await?.ok_or_else(|| Problem::not_found("user"))?;
    Ok(shapes::ok(&shape(&user)))
}

/// `PUT /v1/users/{id}`: the person as given; preferences stay.
pub async fn put(mut call: Call, id: &str) -> Result<Response, Problem> {
    let id = admin_names(&call, id)?;
    let body = call.json().await?;
    let change = Change::read(&body, &id, call.api.limits.load().calling_code)?;
    write(&call, id, change, true).await
}

/// `PATCH /v1/users/{id}`: what is given changes, null removes, the rest stays (RFC 7396).
pub async fn patch(mut call: Call, id: &str) -> Result<Response, Problem> {
    let id = call.person(id, &Scope::Admin)?;
    let by_themselves = matches!(call.principal()?, Principal::User { .. });
    let body = call.json().await?;
    let change = Change::read(&body, &id, call.api.limits.load().calling_code)?;
    let own = ["locale", "timezone"];
    if by_themselves && change.given.iter().any(|name| !own.contains(&name.as_str())) {
        return Err(Problem::forbidden("a user token can change locale and timezone only"));
    }
    write(&call, id, change, false).await
}

/// `POST /v1/users/{id}/tokens`.
pub async fn mint(mut call: Call, id: &str) -> Result<Response, Problem> {
    let id = admin_names(&call, id)?;
    let body = call.optional_json().await?;
    let mut fields = Fields::of(&body)?;
    fields.only(&["expires_in", "workflows", "topics"]);
    let seconds = fields.integer("expires_in", 1, TOKEN_SECONDS_MAX);
    let mut names = |field: &str| {
        fields.texts(field, GRANTS_MAX).map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let (workflows, topics) = (names("workflows"), names("topics"));
    let seconds = fields.finish(seconds)?.unwrap_or(TOKEN_SECONDS);
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    let minted = call.api.access.mint_user_token(&id, seconds, workflows, topics);
    let (token, expires_at) = minted.ok_or_else(|| Problem::overloaded("the token could not be signed"))?;
    let body = json!({
        "token": secrecy::ExposeSecret::expose_secret(&token),
        "user_id": id,
        "expires_at": instant(expires_at),
    });
    Ok(shapes::json_response(StatusCode::CREATED, &body))
}

/// The id of a person that an admin key names.
///
/// # Errors
/// 403 for any other key, 422 for what is no id.
pub fn admin_names(call: &Call, id: &str) -> Result<String, Problem> {
    call.holder_of(&Scope::Admin)?;
    if id == "me" {
        return Err(Problem::forbidden("an API key belongs to no user; name the user's id"));
    }
    check_name("id", id).map_err(|error| Invalid { errors: vec![error] })?;
    Ok(id.to_owned())
}

/// What a body says of a person.
struct Change {
    given: Vec<String>,
    user: User,
}

impl Change {
    fn read(body: &Value, id: &str, country: Option<CallingCode>) -> Result<Change, Problem> {
        let mut fields = Fields::of(body)?;
        if fields.name("id").is_some_and(|named| named != id) {
            fields.wrong("id", "must be the id in the path, or be left out");
        }
        let email = fields.short_text("email", EMAIL_BYTES_MAX);
        if let Some(Err(detail)) = email.map(check_email) {
            fields.wrong("email", detail);
        }
        let phone = fields.short_text("phone", 32);
        let phone = phone.map(|phone| country.map_or(phone.to_owned(), |country| country.complete(phone)));
        if let Some(Err(detail)) = phone.as_deref().map(check_phone) {
            fields.wrong("phone", detail);
        }
        let locale = fields.short_text("locale", 35);
        let tag = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if locale.is_some_and(|locale| !tag(locale)) {
            fields.wrong("locale", "must be a language tag such as de or en-GB");
        }
        let mut timezone = None;
        match fields.text("timezone").map(check_zone) {
            Some(Ok(zone)) => timezone = Some(zone),
            Some(Err(detail)) => fields.wrong("timezone", detail),
            None => {}
        }
        let attributes = fields.json_object("attributes", METADATA_BYTES_MAX);
        let known = ["email", "phone", "locale", "timezone", "attributes"];
        let given =
            fields.entries().map(|(name, _)| name.clone()).filter(|name| known.contains(&name.as_str()));
        let own = |text: Option<&str>| text.map(str::to_owned);
        let change = Change {
            given: given.collect(),
            user: User {
                id: id.to_owned(),
                email: own(email),
                phone,
                locale: own(locale),
                timezone,
                attributes,
                ..User::default()
            },
        };
        Ok(fields.finish(change)?)
    }

    fn apply(self, user: &mut User, whole: bool) {
        let has = |name: &str| whole || self.given.iter().any(|given| given == name);
        if has("email") {
            user.email = self.user.email;
        }
        if has("phone") {
            user.phone = self.user.phone;
        }
        if has("locale") {
            user.locale = self.user.locale;
        }
        if has("timezone") {
            user.timezone = self.user.timezone;
        }
        if has("attributes") {
            user.attributes = self.user.attributes;
        }
    }
}

async fn write(call: &Call, id: String, change: Change, whole: bool) -> Result<Response, Problem> {
    let origin = Origin { way: Way::Api, principal: call.principal()?.label() };
    let named = id.clone();
    let changed = move |_: &Txn<'_>, known: Option<User>| {
        if known.is_none() && !whole {
            return Ok(None);
        }
        let mut user = known.unwrap_or_else(|| User { id: named, ..User::default() });
        let home = |user: &User| json!({ "timezone": user.timezone });
        let before = home(&user);
        change.apply(&mut user, whole);
        // When somebody may be disturbed follows the zone that they live in.
        let fields = wishes::differences(&before, &home(&user));
        Ok::<_, StoreError>(Some(Changed { user, fields }))
    };
    let person = call.api.engine.change_person(&id, origin, changed).await?;
    let person = person.ok_or_else(|| Problem::not_found("user"))?;
    let status = if person.fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok(shapes::json_response(status, &shape(&person.user)))
}
