//! How many messages a second come of a compiled template, beside compiling it for each.
//!
//! Both in one process and in turns; only the ratio means anything.

use std::time::{Duration, Instant};

use belfry::model::channel::Channel;
use belfry::model::template::{Part, Template, Texts};
use belfry::render::{EmailView, Loaded, Reader, RenderError, Renderer};
use serde_json::{Value, json};

const ROUNDS: usize = 7;
const MEASURED: Duration = Duration::from_millis(400);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let renderer = Renderer::new()?;
    let template = template();
    let reader = Reader { locale: Some("de".to_owned()), zone: Some("Europe/Berlin".to_owned()) };
    let values = json!({
        "name": "Ada", "order": "A-1001", "arrives": "2026-11-27T15:00:00Z", "total": 1234.5,
        "items": [{ "name": "Lamp", "count": 1 }, { "name": "Cable", "count": 3 }, { "name": "Bulb", "count": 12 }],
    });
    let compile = || renderer.compile(template.clone()).map_err(|unfit| unfit.to_string());
    let kept = compile()?;
    let (mut once, mut each) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        once.push(per_second(|| {
            mail(&renderer, &kept, &values, &reader).map_err(|error| error.to_string())
        })?);
        each.push(per_second(|| {
            mail(&renderer, &compile()?, &values, &reader).map_err(|error| error.to_string())
        })?);
    }
    let ratio = median(once.iter().zip(&each).map(|(once, each)| once / each).collect());
    println!("rendering one mail, title and text message, medians of {ROUNDS} interleaved rounds");
    println!("  {:<34}{:>12.0} /s", "compiled once and kept", median(once));
    println!("  {:<34}{:>12.0} /s", "compiled for each", median(each));
    println!("  {:<34}{:>12.1} x", "ratio", ratio);
    Ok(())
}

fn mail(renderer: &Renderer, loaded: &Loaded, values: &Value, reader: &Reader) -> Result<usize, RenderError> {
    let rendered = renderer.render(loaded, values, reader)?;
    let view = EmailView {
        title: &rendered.title,
        message: &rendered.message,
        action: None,
        priority: "medium",
        category: "orders",
        user_id: "ada",
        base_url: Some("https://belfry.example.org"),
        unsubscribe: None,
    };
    let own = renderer.render_own(loaded, Channel::Email, values, reader)?;
    let mail = renderer.compose(Channel::Email, &view, own)?;
    let own = renderer.render_own(loaded, Channel::Sms, values, reader)?;
    let sms = renderer.compose(Channel::Sms, &view, own)?;
    Ok(mail.text.len() + sms.text.len())
}

fn template() -> Template {
    let text = |part, source: &str| (part, source.to_owned());
    Template {
        texts: Texts::from([
            text(Part::Title, "Order {{order}} is on its way"),
            text(
                Part::Message,
                "Hello {{name}}, {{order}} arrives {{date arrives}}: {{number total decimals=2}} EUR.",
            ),
            text(Part::EmailSubject, "{{order}} arrives {{date arrives format=\"date\"}}"),
            text(
                Part::EmailHtml,
                "<p>Hello {{name}},</p><ul>{{#each items}}<li>{{plural count one=\"# piece\" other=\"# pieces\"}} \
                 {{name}}</li>{{/each}}</ul><p>{{number total decimals=2}} EUR</p>",
            ),
            text(Part::SmsText, "{{order}} arrives {{date arrives}}"),
        ]),
        ..Template::built_in().remove(0)
    }
}

fn per_second(mut work: impl FnMut() -> Result<usize, String>) -> Result<f64, String> {
    let (started, mut done) = (Instant::now(), 0_u32);
    while started.elapsed() < MEASURED {
        std::hint::black_box(work()?);
        done += 1;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
