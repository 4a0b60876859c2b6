//! `/v1/templates`: what notifications say, in every version, and trying it out.

use http::StatusCode;
use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::{Problem, render_problem};
use super::shapes;
use crate::access::Scope;
use crate::engine::templates::{Preview, PutError};
use crate::model::channel::Channel;
use crate::model::ids::check_word;
use crate::model::invalid::Invalid;
use crate::model::notification::{METADATA_BYTES_MAX, Priority};
use crate::model::template::{
    LOCALES_MAX, Part, SOURCES_BYTES_MAX, Template, Texts, VARIABLES_MAX, check_locale, check_template_name,
};
use crate::model::zone::check_zone;
use crate::render::{Composed, Loaded, Reader, TEMPLATE_BYTES_MAX, Unfit};
use crate::store::templates::{RollBackError, Stored};

/// The longest name of a variable.
const VARIABLE_CHARS_MAX: usize = 128;

/// A template as the outside sees it.
fn shape(loaded: &Loaded) -> Value {
    let mut body = text_shape(loaded.template());
    body["version"] = json!(loaded.version());
    body["built_in"] = json!(loaded.version() == 0);
    body["updated_at"] = shapes::maybe_instant(loaded.stored_at());
    if let Some(trouble) = loaded.trouble() {
        body["error"] = json!(trouble);
    }
    body
}

fn text_shape(template: &Template) -> Value {
    let mut body = json!({
        "name": template.name,
        "type": template.kind,
        "variables": template.variables,
        "optional_variables": template.optional,
        "priority": template.priority.name(),
        "category": template.category,
        "channels": {},
        "locales": {},
    });
    write_texts(&mut body, &template.texts);
    for (locale, texts) in &template.locales {
        let mut own = json!({});
        write_texts(&mut own, texts);
        body["locales"][locale] = own;
    }
    body
}

fn write_texts(body: &mut Value, texts: &Texts) {
    for (part, source) in texts {
        let place = part.field().split('.').fold(&mut *body, |at, step| &mut at[step]);
        *place = json!(source);
    }
}

/// `GET`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let mut found = call.api.engine.renderer().templates(page.cursor.as_deref(), page.limit + 1);
    let more = found.len() > page.limit;
    found.truncate(page.limit);
    let next = found.last().filter(|_| more).map(|last| last.template().name.clone());
    let data: Vec<Value> = found.iter().map(|loaded| shape(loaded)).collect();
    Ok(shapes::ok(&json!({ "data": data, "next_cursor": next })))
}

/// `GET /{name}`.
pub async fn show(call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let loaded = call.api.engine.renderer().template(name).ok_or_else(|| Problem::not_found("template"))?;
    Ok(shapes::ok(&shape(&loaded)))
}

/// `PUT /{name}`: a new version, which holds at once.
pub async fn put(mut call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    check_template_name(name).map_err(|detail| Invalid::one("name", detail))?;
    let body = call.json().await?;
    let template = read(&body, name)?;
    let (loaded, fresh) = call.api.engine.put_template(template).await.map_err(put_problem)?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok(shapes::json_response(status, &shape(&loaded)))
}

/// `DELETE /{name}`: what is built in comes back.
pub async fn remove(call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    if call.api.engine.remove_template(name).await? {
        return Ok(shapes::no_content());
    }
    Err(match call.api.engine.renderer().built_in(name) {
        Some(_) => {
            Problem::conflict("this template is built in; store one of the same name to say it otherwise")
        }
        None => Problem::not_found("template"),
    })
}

/// `GET /{name}/versions`.
pub async fn versions(call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let page = call.page()?;
    let loaded = call.api.engine.renderer().template(name).ok_or_else(|| Problem::not_found("template"))?;
    if loaded.version() == 0 {
        let mut only = shape(&loaded);
        only["current"] = json!(true);
        return Ok(shapes::ok(&json!({ "data": [only], "next_cursor": null })));
    }
    let before = page.cursor.map(|cursor| cursor.parse::<u32>());
    let before = before.transpose().map_err(|_| Invalid::one("cursor", "is not one that this list gave"))?;
    let found = call.api.engine.store().template_versions(name, before, page.limit).await?;
    Ok(shapes::page(found, |Stored { version, at, template }| {
        let mut body = text_shape(&template);
        body["version"] = json!(version);
        body["current"] = json!(version == loaded.version());
        body["updated_at"] = shapes::maybe_instant(Some(at));
        body
    }))
}

/// `POST /{name}/rollback`.
pub async fn roll_back(mut call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Admin)?;
    let body = call.json().await?;
    let mut fields = Fields::of(&body)?;
    let version = fields.integer("version", 1, i64::from(u32::MAX));
    let version = fields.required("version", version);
    let version = fields.finish(version)?.and_then(|version| u32::try_from(version).ok()).unwrap_or_default();
    let loaded = call.api.engine.roll_back_template(name, version).await.map_err(|error| match error {
        RollBackError::NoTemplate => Problem::not_found("template"),
        RollBackError::NoVersion(_) => Problem::not_found("version of this template"),
        RollBackError::Store(error) => error.into(),
    })?;
    Ok(shapes::ok(&shape(&loaded)))
}

/// `POST /{name}/render`: what it would say; nothing is sent.
pub async fn render(mut call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let body = call.json().await?;
    let engine = call.api.engine.clone();
    let loaded = engine.renderer().template(name).ok_or_else(|| Problem::not_found("template"))?;
    let mut fields = Fields::of(&body)?;
    let variables = variables(&mut fields);
    let locale = fields.text("locale");
    if let Some(Err(detail)) = locale.map(check_locale) {
        fields.wrong("locale", detail);
    }
    let zone = fields.text("timezone");
    if let Some(Err(detail)) = zone.map(check_zone) {
        fields.wrong("timezone", detail);
    }
    let user = fields.name("user_id");
    let channel = fields.one_of("channel", &Channel::ALL.map(Channel::name), Channel::from_name);
    let variables = fields.finish(variables)?.unwrap_or_else(|| json!({}));
    let known = match user {
        Some(user) => engine.store().user(user).await?,
        None => None,
    };
    let own = |text: Option<&str>| text.map(str::to_owned);
    let reader = Reader {
        locale: own(locale).or_else(|| known.as_ref()?.locale.clone()),
        zone: own(zone).or_else(|| known.as_ref()?.timezone.clone()),
    };
    let preview = engine.preview(loaded.clone(), &variables, reader, user).await;
    let preview = preview.map_err(|error| render_problem(name, error))?;
    Ok(shapes::ok(&preview_shape(loaded.template(), &preview, channel)))
}

/// What was rendered. Where one channel was asked for, title and message are what that channel says.
fn preview_shape(template: &Template, preview: &Preview, channel: Option<Channel>) -> Value {
    let mut body = json!({
        "success": true,
        "title": preview.rendered.title,
        "message": preview.rendered.message,
        "priority": template.priority.name(),
        "category": template.category,
    });
    let Some(channel) = channel else {
        let each = preview.channels.iter();
        let each =
            each.map(|(channel, composed)| (channel.name().to_owned(), channel_shape(*channel, composed)));
        body["channels"] = Value::Object(each.collect());
        return body;
    };
    body["channel"] = json!(channel.name());
    if let Some((_, composed)) = preview.channels.iter().find(|(of, _)| *of == channel) {
        body["title"] = json!(composed.title);
        body["message"] = json!(composed.text);
        if let (Value::Object(body), Value::Object(own)) = (&mut body, channel_shape(channel, composed)) {
            for (name, value) in own {
                body.entry(name).or_insert(value);
            }
        }
    }
    body
}

fn channel_shape(channel: Channel, composed: &Composed) -> Value {
    match channel {
        Channel::Email => json!({ "subject": composed.title, "html": composed.html, "text": composed.text }),
        Channel::Sms => json!({ "text": composed.text }),
        Channel::BrowserPush => json!({ "title": composed.title, "body": composed.text }),
        Channel::InApp | Channel::Webhook => json!({ "title": composed.title, "message": composed.text }),
    }
}

/// What a template is to be rendered with.
pub fn variables(fields: &mut Fields<'_>) -> Option<Value> {
    let text = fields.json_object("variables", METADATA_BYTES_MAX);
    text.and_then(|text| serde_json::from_str(&text).ok())
}

fn put_problem(error: PutError) -> Problem {
    match error {
        PutError::Unfit(Unfit { errors }) => {
            let mut invalid = Invalid::default();
            errors.into_iter().for_each(|(field, refusal)| invalid.push(field, refusal.to_string()));
            invalid.into()
        }
        PutError::TooMany => Problem::conflict(error.to_string()),
        PutError::Store(error) => error.into(),
    }
}

fn read(body: &Value, name: &str) -> Result<Template, Invalid> {
    let mut fields = Fields::of(body)?;
    if fields.text("name").is_some_and(|named| named != name) {
        fields.wrong("name", "must be the name in the path, or be left out");
    }
    let kind = fields.word("type").map(str::to_owned);
    // A template that is called like a kind of notification is for that kind.
    let kind = kind.or_else(|| check_word("type", name).is_ok().then(|| name.to_owned()));
    let kind = fields.required("type", kind);
    let texts = read_texts(&mut fields, true);
    let locales = fields.object("locales", read_locales).unwrap_or_default();
    let variables = read_variables(&mut fields);
    let priority = fields.one_of("priority", &Priority::ALL.map(Priority::name), Priority::from_name);
    let category = fields.word("category").map(str::to_owned);
    let template = Template {
        name: name.to_owned(),
        kind: kind.unwrap_or_default(),
        texts,
        locales,
        variables,
        optional: Vec::new(),
        priority: priority.unwrap_or_default(),
        category: category.unwrap_or_else(|| super::submission::DEFAULT_CATEGORY.to_owned()),
    };
    let bytes: usize = template.sources().map(|(_, _, source)| source.len()).sum();
    if bytes > SOURCES_BYTES_MAX {
        let detail =
            format!("all texts together must be at most {SOURCES_BYTES_MAX} bytes, these have {bytes}");
        fields.wrong("locales", detail);
    }
    fields.finish(template)
}

fn read_texts(fields: &mut Fields<'_>, whole: bool) -> Texts {
    let mut texts = Texts::new();
    for part in [Part::Title, Part::Message] {
        let source = read_source(fields, part.field());
        let source = if whole { fields.required(part.field(), source) } else { source };
        texts.extend(source.map(|source| (part, source)));
    }
    let own = Part::ALL.into_iter().filter(|part| part.channel().is_some());
    let own: Vec<(Part, Vec<&str>)> = own.map(|part| (part, part.field().split('.').collect())).collect();
    fields.object("channels", |channels| {
        channels.only(&["email", "sms", "browser_push"]);
        for channel in ["email", "sms", "browser_push"] {
            let parts: Vec<(Part, &str)> = own
                .iter()
                .filter(|(_, path)| path[1] == channel)
                .map(|(part, path)| (*part, path[2]))
                .collect();
            let names: Vec<&str> = parts.iter().map(|(_, name)| *name).collect();
            channels.object(channel, |fields| {
                fields.only(&names);
                for (part, name) in &parts {
                    texts.extend(read_source(fields, name).map(|source| (*part, source)));
                }
            });
        }
    });
    texts
}

fn read_source(fields: &mut Fields<'_>, name: &str) -> Option<String> {
    let source = fields.text(name)?;
    if source.trim().is_empty() {
        fields.wrong(name, "must not be empty; leave it out to say what is said everywhere");
    } else if source.len() > TEMPLATE_BYTES_MAX {
        fields.wrong(name, format!("must be at most {TEMPLATE_BYTES_MAX} bytes, this has {}", source.len()));
    }
    Some(source.to_owned())
}

fn read_locales(fields: &mut Fields<'_>) -> std::collections::BTreeMap<String, Texts> {
    let names: Vec<String> = fields.entries().map(|(name, _)| name.clone()).collect();
    if names.len() > LOCALES_MAX {
        fields.invalid.push("locales", format!("must be at most {LOCALES_MAX}, these are {}", names.len()));
        return std::collections::BTreeMap::new();
    }
    let mut locales = std::collections::BTreeMap::new();
    for name in names {
        if let Err(detail) = check_locale(&name) {
            fields.wrong(&name, detail);
            continue;
        }
        let texts = fields.object(&name, |fields| {
            fields.only(&["title_template", "message_template", "channels"]);
            read_texts(fields, false)
        });
        locales.extend(texts.map(|texts| (name, texts)));
    }
    locales
}

fn read_variables(fields: &mut Fields<'_>) -> Vec<String> {
    let mut variables: Vec<String> = Vec::new();
    for (at, name) in fields.texts("variables", VARIABLES_MAX).into_iter().flatten().enumerate() {
        let readable = !name.is_empty() && !name.chars().any(|c| c.is_control() || c.is_whitespace());
        if !readable || name.chars().count() > VARIABLE_CHARS_MAX {
            let detail = format!(
                "must be the name of a variable: 1 to {VARIABLE_CHARS_MAX} characters, none of them a space"
            );
            fields.wrong(&format!("variables[{at}]"), detail);
        } else if !variables.iter().any(|known| known == name) {
            variables.push(name.to_owned());
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn wrong(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<String> {
        let mut body = json!({ "title_template": "{{a}}", "message_template": "b" });
        change(body.as_object_mut().unwrap());
        match read(&body, "welcome") {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.errors.into_iter().map(|error| error.field).collect(),
        }
    }

    #[test]
    fn what_is_read_is_what_is_shown() {
        let body = json!({
            "name": "welcome", "type": "greeting", "title_template": "t", "message_template": "m",
            "variables": ["a"], "optional_variables": [], "priority": "high", "category": "system",
            "channels": { "email": { "subject": "s", "html": "h", "text": "x" }, "sms": { "text": "x" },
                "browser_push": { "title": "p", "body": "b" } },
            "locales": { "pt-BR": { "title_template": "o", "channels": { "sms": { "text": "y" } } } },
        });
        assert_eq!(text_shape(&read(&body, "welcome").unwrap()), body);
    }

    #[test]
    fn everything_that_is_wrong_is_named_by_its_path() {
        let none: Vec<String> = Vec::new();
        assert_eq!(wrong(|_| {}), none);
        assert_eq!(wrong(|body| drop(body.remove("title_template"))), ["title_template"]);
        assert_eq!(wrong(|body| drop(body.insert("name".into(), json!("other")))), ["name"]);
        assert_eq!(wrong(|body| drop(body.insert("variables".into(), json!(["a b", 1])))).len(), 2);
        let channels = json!({ "email": { "subjekt": "x", "html": "" }, "fax": {}, "sms": "x" });
        let named = wrong(|body| drop(body.insert("channels".into(), channels)));
        assert_eq!(named, ["channels.fax", "channels.email.subjekt", "channels.email.html", "channels.sms"]);
        let locales = json!({ "de": { "channels": { "sms": { "text": 5 } } }, "no locale": {} });
        let named = wrong(|body| drop(body.insert("locales".into(), locales)));
        assert_eq!(named, ["locales.de.channels.sms.text", "locales.no locale"]);
    }
}
