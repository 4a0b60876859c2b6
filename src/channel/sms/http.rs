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
use super::client::{Verdict, call};

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
    /// What an answer's body must contain to be a yes.
    pub success: Option<String>,
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
        match answer.judge(&answer.body) {
            Verdict::Taken { .. } => self.read(&answer.body),
            other => other,
        }
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

    /// What a 2xx answer says.
    fn read(&self, body: &str) -> Verdict {
        if let Some(success) = &self.options.success
            && !body.contains(success.as_str())
        {
            return Verdict::Rejected(super::super::words::tidy(body));
        }
        let id = self.options.id_path.as_deref().and_then(|path| {
            let body: Value = serde_json::from_str(body).ok()?;
            match body.pointer(&format!("/{}", path.replace('.', "/")))? {
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

    #[test]
    fn an_answer_is_a_yes_where_it_says_so_and_its_id_is_found() {
        let options = Options {
            url: String::new(),
            method: Method::POST,
            headers: BTreeMap::new(),
            body: None,
            success: Some("\"ok\"".into()),
            id_path: Some("messages.0.id".into()),
        };
        let gateway = Gateway::new(options);
        let yes = gateway.read(r#"{"status":"ok","messages":[{"id":7}]}"#);
        assert_eq!(yes, Verdict::Taken { id: Some("7".into()) });
        assert!(matches!(gateway.read(r#"{"status":"no credit"}"#), Verdict::Rejected(_)));
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
