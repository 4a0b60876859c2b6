//! `/u/{signed}`: where the links in mails lead. The page works without JavaScript and without signing in, and looking at
//! it changes nothing, since mail scanners follow every link; mail programs unsubscribe by a POST (RFC 8058).

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use percent_encoding::percent_decode_str;
use warp::reply::Response;

use super::call::Call;
use super::preferences::known_categories;
use super::problem::{Problem, render_problem};
use super::wishes;
use crate::access::Link;
use crate::engine::preferences::Changed;
use crate::model::category::Category;
use crate::model::change::{Origin, Way};
use crate::model::channel::Channel;
use crate::model::preferences::{Choice, Preferences, Setting, decide};
use crate::model::user::User;
use crate::render::{PageRow, PageView};
use crate::store::{StoreError, Txn};

/// The largest form, in bytes.
const FORM_BYTES_MAX: usize = 32 * 1024;
/// The most categories on the page.
const ROWS_MAX: usize = 100;
/// Styles and images of our own, forms to ourselves, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// What a form asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// No more of the link's category on its channel.
    OneClick,
    /// Of the categories shown, those that are to be on.
    Save { shown: Vec<String>, on: Vec<String> },
    /// Nothing that this page has.
    Unknown,
}

/// `GET`: what the person gets, and how to get less of it.
pub async fn show(call: Call, signed: &str) -> Result<Response, Problem> {
    match call.api.engine.link(signed) {
        Some(link) => page(&call, &link, None).await,
        None => broken(&call),
    }
}

/// `POST`: unsubscribes at once, or saves what the page's form says.
pub async fn change(mut call: Call, signed: &str) -> Result<Response, Problem> {
    let body = call.bytes(FORM_BYTES_MAX).await?;
    let Some(link) = call.api.engine.link(signed) else { return broken(&call) };
    let multipart = call.header("content-type").is_some_and(|kind| kind.starts_with("multipart/form-data"));
    let (way, shown, on) = match read(&body, multipart) {
        Form::OneClick => (Way::OneClick, vec![link.category.clone()], Vec::new()),
        Form::Save { shown, on } => (Way::Page, shown, on),
        Form::Unknown => {
            return Err(Problem::bad_request("the body must be a form with List-Unsubscribe=One-Click"));
        }
    };
    let (user, channel, now) = (link.user.clone(), link.channel, call.api.clock.now());
    let save = move |txn: &Txn<'_>, known: Option<User>| {
        // Who was erased gets nothing, and does not come back by an old link.
        let Some(mut user) = known else { return Ok(None) };
        let before = user.preferences.take().unwrap_or_default();
        let mut after = before.clone();
        for name in shown.iter().take(ROWS_MAX) {
            let record = txn.category(name)?;
            let wanted = on.contains(name);
            if way == Way::OneClick || decide(Some(&after), record.as_ref(), name, channel).on != wanted {
                switch(&mut after, record.as_ref(), (name, channel), wanted);
            }
        }
        if after == before {
            return Ok(None);
        }
        after.updated_at = Some(now);
        let fields = wishes::differences(&wishes::wire(&before), &wishes::wire(&after));
        user.preferences = Some(after);
        Ok::<_, StoreError>(Some(Changed { user, fields }))
    };
    let origin = Origin { way, principal: format!("link:{}", link.channel) };
    call.api.engine.change_person(&user, origin, save).await?;
    let notice = if way == Way::Page { "Your choice is saved." } else { "Done." };
    page(&call, &link, Some(notice)).await
}

fn read(body: &[u8], multipart: bool) -> Form {
    if multipart {
        // The one form that mail programs send has one field, so its parts need not be told apart.
        let text = String::from_utf8_lossy(body);
        let one_click = text.contains("name=\"List-Unsubscribe\"") && text.contains("One-Click");
        return if one_click { Form::OneClick } else { Form::Unknown };
    }
    let (mut shown, mut on, mut save) = (Vec::new(), Vec::new(), false);
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    for pair in String::from_utf8_lossy(body).split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (decoded(name).as_str(), decoded(value)) {
            ("List-Unsubscribe", value) if value == "One-Click" => return Form::OneClick,
            ("save", _) => save = true,
            ("shown", value) => shown.push(value),
            ("on", value) => on.push(value),
            _ => {}
        }
    }
    if save { Form::Save { shown, on } } else { Form::Unknown }
}

/// Switches one category on one channel, and leaves everything else as it comes out now.
fn switch(said: &mut Preferences, record: Option<&Category>, (name, channel): (&str, Channel), on: bool) {
    let cell = (name.to_owned(), channel);
    if !on {
        if !record.is_some_and(|record| record.required) {
            said.unsubscribed.insert(cell);
        }
        return;
    }
    said.unsubscribed.remove(&cell);
    if decide(Some(said), record, name, channel).on {
        return;
    }
    let mut channels = match said.categories.get(name) {
        Some(Choice::PerChannel(channels)) => channels.clone(),
        Some(Choice::Everywhere(_)) => {
            Channel::PREFERRED.map(|other| (other, decide(Some(said), record, name, other).on)).into()
        }
        None => BTreeMap::new(),
    };
    channels.insert(channel, true);
    said.categories.insert(name.to_owned(), Choice::PerChannel(channels));
}

async fn page(call: &Call, link: &Link, notice: Option<&str>) -> Result<Response, Problem> {
    let store = call.api.engine.store();
    let user = store.user(&link.user).await?.unwrap_or_else(|| User::named(&link.user));
    let records = store.categories().await?;
    let said = user.preferences.as_ref();
    let mut names = known_categories(said, &records);
    names.retain(|name| *name != link.category);
    names.truncate(ROWS_MAX - 1);
    names.insert(0, link.category.clone());
    let row = |name: String| {
        let record = records.iter().find(|record| record.name == name);
        row(name, record, said, link.channel)
    };
    let rows: Vec<PageRow> = names.into_iter().map(row).collect();
    let required = records.iter().any(|record| record.name == link.category && record.required);
    let (category, by) = (&link.category, words(link.channel));
    let on = rows.first().is_some_and(|row| row.on);
    let (title, detail, leave) = match (required, on) {
        (true, _) => (
            format!("{category} cannot be switched off"),
            Some(format!("Messages of the category {category} always go out by {by}: they are needed.")),
            None,
        ),
        (false, true) => (
            format!("Unsubscribe from {category}?"),
            Some(format!("You get messages of the category {category} by {by}. Nothing has changed yet.")),
            Some(format!("Unsubscribe from {category}")),
        ),
        (false, false) => (
            "You are unsubscribed".to_owned(),
            Some(format!("You get no messages of the category {category} by {by}.")),
            None,
        ),
    };
    let status = if required && notice == Some("Done.") { StatusCode::CONFLICT } else { StatusCode::OK };
    let detail = if on && notice.is_some() { None } else { detail };
    let notice = notice.filter(|_| status == StatusCode::OK).map(str::to_owned);
    let view = PageView { title, notice, detail, leave, user_id: user.id, channel: by.to_owned(), rows };
    html(call, status, &view)
}

fn row(name: String, record: Option<&Category>, said: Option<&Preferences>, channel: Channel) -> PageRow {
    let decided = decide(said, record, &name, channel);
    let required = record.is_some_and(|record| record.required);
    let all_off = !decided.on && decided.by == Setting::UserChannel;
    let note = match record.and_then(|record| record.description.clone()) {
        _ if required => Some("cannot be switched off".to_owned()),
        _ if all_off => Some(format!("you have turned {} off altogether", words(channel))),
        description => description,
    };
    PageRow { name, note, on: decided.on, fixed: required || all_off }
}

fn broken(call: &Call) -> Result<Response, Problem> {
    let view = PageView {
        title: "This link does not work".to_owned(),
        detail: Some("It may have been cut short on its way. Open it from the message again.".to_owned()),
        ..PageView::default()
    };
    html(call, StatusCode::NOT_FOUND, &view)
}

fn html(call: &Call, status: StatusCode, view: &PageView) -> Result<Response, Problem> {
    let rendered = call.api.engine.renderer().preference_page(view);
    let text = rendered.map_err(|error| render_problem("preferences", error))?;
    let mut response = Response::new(bytes::Bytes::from(text).into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address of the page is a right: it is told to no other site.
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

const fn words(channel: Channel) -> &'static str {
    match channel {
        Channel::InApp => "the inbox",
        Channel::Email => "mail",
        Channel::BrowserPush => "browser push",
        Channel::Sms => "text message",
        Channel::Webhook => "webhook",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_one_click_form_is_known_in_both_of_its_encodings() {
        assert_eq!(read(b"List-Unsubscribe=One-Click", false), Form::OneClick);
        let multipart =
            b"--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--";
        assert_eq!(read(multipart, true), Form::OneClick);
        for other in [&b""[..], b"List-Unsubscribe=No", b"\xff=&&=%", b"on=system"] {
            assert_eq!((read(other, false), read(other, true)), (Form::Unknown, Form::Unknown));
        }
        let save = Form::Save { shown: vec!["a".into(), "b".into()], on: vec!["b".into()] };
        assert_eq!(read(b"save=1&shown=a&shown=b&on=b", false), save);
    }

    #[test]
    fn a_category_switched_on_for_one_channel_changes_on_no_other() {
        let mut said = Preferences::default();
        said.categories.insert("billing".into(), Choice::Everywhere(false));
        switch(&mut said, None, ("billing", Channel::Email), true);
        assert!(decide(Some(&said), None, "billing", Channel::Email).on);
        assert!(!decide(Some(&said), None, "billing", Channel::InApp).on);
        switch(&mut said, None, ("billing", Channel::Email), false);
        assert!(!decide(Some(&said), None, "billing", Channel::Email).on);
    }
}
