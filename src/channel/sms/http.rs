//! Any gateway with an HTTP interface: the operator says method, headers and body in Handlebars.
//!
//! What is put in is escaped for the place where it stands: for a URL in the URL, for JSON, XML or a form in a body of
//! that type. So no text, whatever a sender writes into it, can say more than it is meant to.

use std::collections::BTreeMap;

use handlebars::Handlebars;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Url};
use serde_json::{Value, json};

use super::Text;
use super::client::{Answer, Verdict, call};

/// The most bytes of a body or a URL.
const RENDERED_BYTES_MAX: usize = 256 * 1024;
/// What is sent where the operator writes no body.
const BODY: &str = r#"{"to":"{{to}}","from":"{{from}}","text":"{{text}}","delivery_id":"{{delivery_id}}","status_url":"{{status_url}}"}"#;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    Json,
    Form,
    Xml,
    Plain,
    Header,
}

impl Escape {
    fn of_body(body: &str, content_type: Option<&str>) -> Escape {
        let told = content_type.unwrap_or("").to_ascii_lowercase();
        let has = |word| told.contains(word);
        match body.trim_start().as_bytes() {
            _ if has("json") => Escape::Json,
            _ if has("urlencoded") => Escape::Form,
            _ if has("xml") || has("html") => Escape::Xml,
            _ if !told.is_empty() => Escape::Plain,
            [b'{' | b'[', ..] => Escape::Json,
            [b'<', ..] => Escape::Xml,
            _ => Escape::Form,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Escape::Json => "application/json",
            Escape::Form => "application/x-www-form-urlencoded",
            Escape::Xml => "application/xml; charset=utf-8",
            Escape::Plain | Escape::Header => "text/plain; charset=utf-8",
        }
    }

    fn write(self, text: &str) -> String {
        match self {
            Escape::Json => {
                let quoted = Value::from(text).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
            Escape::Form => utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
            Escape::Xml => handlebars::html_escape(text),
            Escape::Plain => text.to_owned(),
            Escape::Header => text.chars().filter(|c| !c.is_control()).collect(),
        }
    }
}

/// When an answer is a yes: all that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Success {
    /// The status codes; without any, every 2xx.
    pub statuses: Vec<u16>,
    /// What the body must contain.
    pub contains: Option<String>,
    /// What must stand where in a body of JSON.
    pub field: Option<Field>,
}

/// A place in JSON and what must stand there, as `messages.0.status=0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    path: String,
    value: String,
}

impl Field {
    /// The field that `text` writes.
    pub fn read(text: &str) -> Option<Field> {
        let (path, value) = text.split_once('=')?;
        let (path, value) = (path.trim(), value.trim());
        let whole = !path.is_empty() && path.split('.').all(|name| !name.is_empty());
        (whole && !text.contains(char::is_control))
            .then(|| Field { path: path.to_owned(), value: value.to_owned() })
    }

    fn holds(&self, body: &str) -> bool {
        let body: Option<Value> = serde_json::from_str(body).ok();
        match body.as_ref().and_then(|body| at(body, &self.path)) {
            Some(Value::String(text)) => *text == self.value,
            Some(plain @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => {
                serde_json::from_str::<Value>(&self.value).is_ok_and(|value| value == *plain)
            }
            Some(Value::Array(_) | Value::Object(_)) | None => false,
        }
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.path, self.value)
    }
}

/// What stands at names and numbers joined by dots.
fn at<'a>(body: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(body, |inner, name| match inner {
        Value::Object(fields) => fields.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

/// What the operator says of the gateway.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to, with placeholders.
    pub url: String,
    /// How.
    pub method: Method,
    /// Headers, with placeholders in their values.
    pub headers: BTreeMap<String, String>,
    /// The body, with placeholders. Without it: all of them, as JSON; nothing at all for a GET.
    pub body: Option<String>,
    /// When an answer is a yes.
    pub success: Success,
    /// Where in an answer of JSON the gateway's id stands, as `messages.0.id`.
    pub id_path: Option<String>,
}

/// A gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    options: Options,
}

/// Whether `template` can be rendered: nothing but the placeholders that there are.
pub fn check(template: &str) -> bool {
    let sample = Text {
        to: "+1",
        from: "1",
        text: "text",
        delivery_id: "1.sms",
        status_url: Some("https://a.example/"),
    };
    render(template, Escape::Plain, &sample).is_some()
}

fn render(template: &str, escape: Escape, text: &Text<'_>) -> Option<String> {
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    handlebars.register_escape_fn(move |value| escape.write(value));
    let values = json!({
        "to": text.to,
        "from": text.from,
        "text": text.text,
        "delivery_id": text.delivery_id,
        "status_url": text.status_url.unwrap_or(""),
    });
    handlebars.render_template(template, &values).ok().filter(|text| text.len() <= RENDERED_BYTES_MAX)
}

impl Gateway {
    pub(super) fn new(options: Options) -> Gateway {
        Gateway { options }
    }

    pub(super) async fn send(&self, client: &Client, text: &Text<'_>) -> Verdict {
        let Some(request) = self.request(client, text) else {
            return Verdict::Rejected("the templates of channels.sms.http do not fit this text".to_owned());
        };
        let answer = match call(request).await {
            Ok(answer) => answer,
            Err(error) => return Verdict::Down(error),
        };
        self.read(&answer)
    }

    fn request(&self, client: &Client, text: &Text<'_>) -> Option<reqwest::RequestBuilder> {
        let options = &self.options;
        let url: Url = render(&options.url, Escape::Form, text)?.parse().ok()?;
        let mut request = client.request(options.method.clone(), url);
        let own_type =
            options.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()));
        for (name, value) in &options.headers {
            let value = HeaderValue::from_str(&render(value, Escape::Header, text)?).ok()?;
            request = request.header(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
        }
        let body = match &options.body {
            None if options.method == Method::GET => return Some(request),
            None => BODY,
            Some(body) => body,
        };
        let escape = Escape::of_body(body, own_type.map(|(_, value)| value.as_str()));
        if own_type.is_none() {
            request = request.header(CONTENT_TYPE, escape.content_type());
        }
        Some(request.body(render(body, escape, text)?))
    }

    /// What an answer says.
    fn read(&self, answer: &Answer) -> Verdict {
        let (Success { statuses, contains, field }, body) = (&self.options.success, answer.body.as_str());
        let is_yes = if statuses.is_empty() {
            (200..300).contains(&answer.status)
        } else {
            statuses.contains(&answer.status)
        };
        match answer.judge(body) {
            // A success that the operator did not name is none.
            Verdict::Taken { .. } if !is_yes => return Verdict::Rejected(answer.said()),
            other if !is_yes => return other,
            _ => {}
        }
        let says_so = contains.as_ref().is_none_or(|words| body.contains(words.as_str()))
            && field.as_ref().is_none_or(|field| field.holds(body));
        if !says_so {
            return Verdict::Rejected(answer.said());
        }
        let id = self.options.id_path.as_deref().and_then(|path| {
            let body: Value = serde_json::from_str(body).ok()?;
            match at(&body, path)? {
                Value::String(id) => Some(id.clone()),
                Value::Number(id) => Some(id.to_string()),
                _ => None,
            }
        });
        Verdict::Taken { id }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(said: &str) -> Text<'_> {
        Text { to: "+491701234567", from: "Belfry", text: said, delivery_id: "1.sms", status_url: None }
    }

    #[test]
    fn an_unknown_placeholder_a_partial_and_a_torn_template_are_refused() {
        assert!(check("{{to}} {{from}} {{text}} {{delivery_id}} {{status_url}}"));
        for wrong in ["{{too}}", "{{> x}}", "{{to", "{{#if to}}"] {
            assert!(!check(wrong), "{wrong}");
        }
    }

    #[test]
    fn the_body_says_how_it_is_escaped_where_no_header_does() {
        for (body, header, escape) in [
            ("{\"a\":\"{{text}}\"}", None, Escape::Json),
            (" [1]", None, Escape::Json),
            ("a={{text}}", None, Escape::Form),
            ("<a>{{text}}</a>", None, Escape::Xml),
            ("{{text}}", Some("text/plain"), Escape::Plain),
            ("{{text}}", Some("Application/JSON; charset=utf-8"), Escape::Json),
        ] {
            assert_eq!(Escape::of_body(body, header), escape, "{body}");
        }
    }

    fn answered(success: Success, status: u16, body: &str) -> Verdict {
        let options = Options {
            url: String::new(),
            method: Method::POST,
            headers: BTreeMap::new(),
            body: None,
            success,
            id_path: Some("messages.0.id".into()),
        };
        Gateway::new(options).read(&Answer { status, body: body.to_owned(), after: None })
    }

    #[test]
    fn an_answer_is_a_yes_where_it_says_so_and_its_id_is_found() {
        let success = || Success { contains: Some("\"ok\"".into()), ..Success::default() };
        let yes = answered(success(), 200, r#"{"status":"ok","messages":[{"id":7}]}"#);
        assert_eq!(yes, Verdict::Taken { id: Some("7".into()) });
        assert!(matches!(answered(success(), 200, r#"{"status":"no credit"}"#), Verdict::Rejected(_)));
        assert!(matches!(answered(success(), 503, "\"ok\""), Verdict::Busy(..)), "the status comes first");
    }

    #[test]
    fn the_statuses_of_a_yes_can_be_named() {
        let success = || Success { statuses: vec![200, 409], ..Success::default() };
        for yes in [200, 409] {
            assert_eq!(answered(success(), yes, ""), Verdict::Taken { id: None }, "{yes}");
        }
        assert_eq!(answered(success(), 202, "queued"), Verdict::Rejected("202 queued".into()));
        assert!(matches!(answered(success(), 500, ""), Verdict::Busy(..)));
        assert!(matches!(answered(success(), 401, ""), Verdict::Down(_)));
    }

    #[test]
    fn a_field_is_a_yes_where_it_stands_and_says_just_that() {
        let success = |text| Success { field: Field::read(text), ..Success::default() };
        let body = r#"{"messages":[{"status":"0"},{"status":10}],"ok":true,"error":null}"#;
        for yes in ["messages.0.status=0", "messages.1.status=10", "ok=true", "error = null"] {
            assert_eq!(answered(success(yes), 200, body), Verdict::Taken { id: None }, "{yes}");
        }
        for no in ["messages.1.status=0", "messages.1.status=1", "messages=0", "absent=", "ok=True"] {
            assert!(matches!(answered(success(no), 200, body), Verdict::Rejected(_)), "{no}");
        }
        assert!(matches!(answered(success("ok=true"), 200, "not JSON"), Verdict::Rejected(_)));
        for wrong in ["", "ok", "=1", "a..b=1", ".=1"] {
            assert_eq!(Field::read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_place(said in any::<String>()) {
            let body = render(BODY, Escape::Json, &text(&said)).expect("it renders");
            let read: Value = serde_json::from_str(&body).expect("JSON");
            prop_assert_eq!(read["text"].as_str(), Some(said.as_str()));
            let form = render("a={{text}}&b={{to}}", Escape::Form, &text(&said)).expect("it renders");
            prop_assert_eq!(form.matches(['&', '=']).count(), 3);
            let header = render("{{text}}", Escape::Header, &text(&said)).expect("it renders");
            prop_assert!(!header.contains(['\r', '\n']));
        }
    }
}
