//! The helpers that templates can call: dates, numbers and plurals as the reader writes them, and a few for words.
//!
//! What a helper needs to know of the reader comes with the values, under a name that no template can spell.

use std::ops::RangeInclusive;

use handlebars::{
    Context, Handlebars, Helper as Used, HelperDef, JsonRender, JsonTruthy, RenderContext, RenderError,
    RenderErrorReason, ScopedJson,
};
use serde_json::{Value, json};

use super::words;

/// Under what the reader's locale and zone stand among the values: a template's paths cannot begin like this.
const READER: &str = "\u{0}reader";

/// For whom something is rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// Their language tag, where it is known.
    pub locale: Option<String>,
    /// Their IANA time zone, where it is known.
    pub zone: Option<String>,
}

impl Reader {
    /// Puts what the helpers need to know among the values.
    pub(super) fn join(&self, values: &mut serde_json::Map<String, Value>) {
        values.insert(READER.to_owned(), json!({ "locale": self.locale, "zone": self.zone }));
    }
}

/// A helper: what it is called with and what it does.
#[derive(Debug)]
pub(super) struct Helper {
    name: &'static str,
    /// How many values it takes.
    pub(super) takes: RangeInclusive<usize>,
    /// The options that it knows.
    pub(super) options: &'static [&'static str],
    /// Those of them that must be given.
    pub(super) must: &'static [&'static str],
    /// True where it asks whether something is there, so that its values may be absent.
    pub(super) guards: bool,
    run: fn(&Call<'_>) -> Result<Value, String>,
}

/// One call of a helper.
struct Call<'a> {
    values: Vec<&'a Value>,
    used: &'a Used<'a>,
    locale: Option<&'a str>,
    zone: Option<&'a str>,
}

impl Call<'_> {
    fn value(&self, index: usize) -> &Value {
        self.values.get(index).copied().unwrap_or(&Value::Null)
    }

    fn text(&self, index: usize) -> String {
        self.value(index).render()
    }

    fn option(&self, name: &str) -> Option<&Value> {
        self.used.hash_get(name).map(|value| value.value()).filter(|value| !value.is_null())
    }

    fn text_option(&self, name: &str) -> Option<String> {
        self.option(name).map(|value| value.render())
    }
}

static HELPERS: [Helper; 20] = [
    Helper { options: &["format", "zone"], ..plain("date", 1..=1, date) },
    Helper { options: &["decimals"], ..plain("number", 1..=1, number) },
    Helper {
        options: &["zero", "one", "two", "few", "many", "other"],
        must: &["other"],
        ..plain("plural", 1..=1, plural)
    },
    plain("upper", 1..=1, |call| Ok(call.text(0).to_uppercase().into())),
    plain("lower", 1..=1, |call| Ok(call.text(0).to_lowercase().into())),
    Helper { options: &["length", "ending"], ..plain("truncate", 1..=2, truncate) },
    plain("json", 1..=1, |call| Ok(as_json(call.value(0)).to_string().into())),
    plain("len", 1..=1, len),
    plain("lookup", 2..=2, lookup),
    asking("default", 2..=2, |call| Ok(call.value(usize::from(is_absent(call.value(0)))).clone())),
    asking("eq", 2..=2, |call| Ok(equal(call).into())),
    asking("ne", 2..=2, |call| Ok((!equal(call)).into())),
    asking("lt", 2..=2, |call| compared(call, std::cmp::Ordering::is_lt)),
    asking("lte", 2..=2, |call| compared(call, std::cmp::Ordering::is_le)),
    asking("gt", 2..=2, |call| compared(call, std::cmp::Ordering::is_gt)),
    asking("gte", 2..=2, |call| compared(call, std::cmp::Ordering::is_ge)),
    asking("and", 2..=8, |call| Ok(call.values.iter().all(|value| value.is_truthy(false)).into())),
    asking("or", 2..=8, |call| Ok(call.values.iter().any(|value| value.is_truthy(false)).into())),
    asking("not", 1..=1, |call| Ok((!call.value(0).is_truthy(false)).into())),
    asking("coalesce", 2..=8, coalesce),
];

const fn plain(
    name: &'static str,
    takes: RangeInclusive<usize>,
    run: fn(&Call<'_>) -> Result<Value, String>,
) -> Helper {
    Helper { name, takes, options: &[], must: &[], guards: false, run }
}

const fn asking(
    name: &'static str,
    takes: RangeInclusive<usize>,
    run: fn(&Call<'_>) -> Result<Value, String>,
) -> Helper {
    Helper { name, takes, options: &[], must: &[], guards: true, run }
}

/// The helper of that name.
pub(super) fn named(name: &str) -> Option<&'static Helper> {
    HELPERS.iter().find(|helper| helper.name == name)
}

/// The names of all helpers.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    HELPERS.iter().map(|helper| helper.name)
}

/// Gives every helper to `handlebars`.
pub(super) fn register(handlebars: &mut Handlebars<'static>) {
    // A template has no business in the server's log.
    handlebars.unregister_helper("log");
    handlebars.unregister_helper("raw");
    for helper in &HELPERS {
        handlebars.register_helper(helper.name, Box::new(Registered(helper)));
    }
}

struct Registered(&'static Helper);

impl HelperDef for Registered {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        used: &Used<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let missing = |path: &str| RenderErrorReason::MissingVariable(Some(path.to_owned()));
        if used.params().is_empty() && used.hash().is_empty() {
            // A variable that is called like a helper, such as {{date}}, is that variable.
            let value = render.evaluate(context, self.0.name)?;
            return if value.is_missing() { Err(missing(self.0.name).into()) } else { Ok(value) };
        }
        if let Some(absent) = used.params().iter().find(|value| value.is_value_missing() && !self.0.guards) {
            return Err(missing(absent.relative_path().map_or(self.0.name, String::as_str)).into());
        }
        let reader = |name: &str| context.data().get(READER).and_then(|reader| reader.get(name)?.as_str());
        let call = Call {
            values: used.params().iter().map(|value| value.value()).collect(),
            used,
            locale: reader("locale"),
            zone: reader("zone"),
        };
        let value = (self.0.run)(&call);
        value.map(ScopedJson::Derived).map_err(|detail| {
            let what = used.params().first().and_then(|value| value.relative_path().cloned());
            let what = what.map_or_else(String::new, |path| format!(" {path}"));
            RenderErrorReason::Other(format!("{}{what}: {detail}", self.0.name)).into()
        })
    }
}

fn date(call: &Call<'_>) -> Result<Value, String> {
    let zone = call.text_option("zone");
    let zone = zone.as_deref().or(call.zone);
    let format = call.text_option("format");
    words::date(call.value(0), format.as_deref(), zone, call.locale).map(Value::String)
}

fn number(call: &Call<'_>) -> Result<Value, String> {
    let decimals = match call.option("decimals") {
        None => None,
        Some(value) => {
            let decimals = value.as_u64().or_else(|| value.as_str()?.parse().ok());
            let decimals = decimals.and_then(|decimals| usize::try_from(decimals).ok());
            Some(decimals.filter(|decimals| *decimals <= 20).ok_or("decimals must be from 0 to 20")?)
        }
    };
    words::number(call.value(0), decimals, call.locale).map(Value::String)
}

fn plural(call: &Call<'_>) -> Result<Value, String> {
    let count = words::count(call.value(0)).ok_or("must be a number")?;
    let form = |name: &str| call.text_option(name);
    let none = if count == 0.0 { form("zero") } else { None };
    let text = none.or_else(|| form(words::plural_form(count, call.locale))).or_else(|| form("other"));
    let shown = words::number(call.value(0), None, call.locale)?;
    Ok(text.unwrap_or_default().replace('#', &shown).into())
}

fn truncate(call: &Call<'_>) -> Result<Value, String> {
    let length = if call.values.len() > 1 { Some(call.value(1)) } else { call.option("length") };
    let length = length.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    let length = length.ok_or("needs a length, as in {{truncate text 80}}")?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let text = call.text(0);
    if text.chars().count() <= length {
        return Ok(text.into());
    }
    let ending = call.text_option("ending").unwrap_or_else(|| "…".to_owned());
    let kept = length.saturating_sub(ending.chars().count());
    let start: String = text.chars().take(kept).collect();
    let ending: String = ending.chars().take(length).collect();
    Ok(format!("{}{ending}", start.trim_end()).into())
}

fn len(call: &Call<'_>) -> Result<Value, String> {
    match call.value(0) {
        Value::Array(items) => Ok(items.len().into()),
        Value::Object(fields) => Ok(fields.len().into()),
        Value::String(text) => Ok(text.chars().count().into()),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            Err("must be a list, an object or a text".to_owned())
        }
    }
}

fn lookup(call: &Call<'_>) -> Result<Value, String> {
    let key = call.value(1);
    let found = match call.value(0) {
        Value::Array(items) => key.as_u64().and_then(|at| items.get(usize::try_from(at).ok()?)),
        Value::Object(fields) => fields.get(key.render().as_str()).filter(|_| key.as_str() != Some(READER)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    found.cloned().ok_or_else(|| format!("has nothing under {}", key.render()))
}

fn coalesce(call: &Call<'_>) -> Result<Value, String> {
    let there = call.values.iter().copied().find(|value| !is_absent(value));
    Ok(there.unwrap_or(&Value::Null).clone())
}

/// Absent, null, or a text of nothing: what a default stands in for.
fn is_absent(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

/// The value without what we put into it.
fn as_json(value: &Value) -> std::borrow::Cow<'_, Value> {
    match value {
        Value::Object(fields) if fields.contains_key(READER) => {
            let mut fields = fields.clone();
            fields.remove(READER);
            std::borrow::Cow::Owned(Value::Object(fields))
        }
        other => std::borrow::Cow::Borrowed(other),
    }
}

fn equal(call: &Call<'_>) -> bool {
    let (one, other) = (call.value(0), call.value(1));
    one == other || matches!((one.as_f64(), other.as_f64()), (Some(one), Some(other)) if one == other)
}

fn compared(call: &Call<'_>, is: fn(std::cmp::Ordering) -> bool) -> Result<Value, String> {
    let (one, other) = (call.value(0), call.value(1));
    let ordering = match (one, other) {
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => words::count(one).zip(words::count(other)).and_then(|(one, other)| one.partial_cmp(&other)),
    };
    // What cannot be compared, such as what is absent, is neither more nor less.
    Ok(ordering.is_some_and(is).into())
}
