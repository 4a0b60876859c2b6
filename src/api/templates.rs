//! `/v1/templates`: the built-in templates, and trying them out.

use serde_json::{Value, json};
use warp::reply::Response;

use super::call::Call;
use super::fields::Fields;
use super::problem::{Problem, render_problem};
use super::shapes;
use crate::access::Scope;
use crate::model::template::Template;

fn shape(template: &Template) -> Value {
    json!({
        "name": template.name,
        "type": template.kind,
        "title_template": template.title_template,
        "message_template": template.message_template,
        "variables": template.variables,
        "priority": template.priority,
        "category": template.category,
    })
}

/// `GET`.
pub async fn list(call: Call) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let data: Vec<Value> = call.api.engine.renderer().templates().map(shape).collect();
    Ok(shapes::ok(&json!({ "data": data, "next_cursor": null })))
}

/// `GET /{name}`.
pub async fn show(call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let template = call.api.engine.renderer().template(name).ok_or_else(|| Problem::not_found("template"))?;
    Ok(shapes::ok(&shape(template)))
}

/// `POST /{name}/render`.
pub async fn render(mut call: Call, name: &str) -> Result<Response, Problem> {
    call.holder_of(&Scope::Read)?;
    let body = call.json().await?;
    let renderer = call.api.engine.renderer().clone();
    let template = renderer.template(name).ok_or_else(|| Problem::not_found("template"))?;
    let mut fields = Fields::of(&body)?;
    let variables = match fields.raw("variables") {
        None => json!({}),
        Some(object @ Value::Object(_)) => object.clone(),
        Some(_) => {
            fields.wrong("variables", "must be an object");
            json!({})
        }
    };
    let variables = fields.finish(variables)?;
    let rendered = renderer.render(name, &variables).map_err(|error| render_problem(name, error))?;
    Ok(shapes::ok(&json!({
        "success": true,
        "title": rendered.title,
        "message": rendered.message,
        "priority": template.priority,
        "category": template.category,
    })))
}
