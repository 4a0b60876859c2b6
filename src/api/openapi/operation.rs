//! One operation of the API as OpenAPI describes it. What all of a kind have in common, such as a 401 where a token is
//! asked for, is added here and not written down each time.

use serde_json::{Map, Value, json};

/// Who may use an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody.
    Public,
    /// A key with this scope.
    Key(&'static str),
    /// The person themselves, or a key with this scope.
    Own(&'static str),
    /// Whoever holds a token of their own for it.
    Token(&'static str),
}

/// What a request or an answer carries.
#[derive(Clone, Debug)]
enum Content {
    Json(Value),
    Other(&'static str, Value),
    Nothing,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    method: &'static str,
    path: &'static str,
    tag: &'static str,
    summary: &'static str,
    about: &'static str,
    access: Access,
    bodies: Vec<Content>,
    body_required: bool,
    query: Vec<Value>,
    answers: Vec<(u16, &'static str, Content)>,
    problems: Vec<u16>,
    example: Option<Value>,
}

/// The operation `method` on `path`, which `access` may use.
pub(super) fn op(
    method: &'static str,
    path: &'static str,
    tag: &'static str,
    access: Access,
    summary: &'static str,
) -> Operation {
    Operation {
        method,
        path,
        tag,
        summary,
        about: "",
        access,
        bodies: Vec::new(),
        body_required: true,
        query: Vec::new(),
        answers: Vec::new(),
        problems: Vec::new(),
        example: None,
    }
}

/// A schema of the components.
pub(super) fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A page of a list.
fn page(item: &str) -> Value {
    json!({
        "type": "object",
        "required": ["data", "next_cursor"],
        "properties": {
            "data": { "type": "array", "items": schema(item) },
            "next_cursor": { "type": ["string", "null"], "description": "What `cursor` is for the next page." },
        },
    })
}

impl Operation {
    /// More than the summary says. Markdown.
    pub(super) fn about(mut self, about: &'static str) -> Operation {
        self.about = about;
        self
    }

    /// Takes a JSON body of that schema.
    pub(super) fn takes(mut self, name: &str) -> Operation {
        self.bodies.push(Content::Json(schema(name)));
        self
    }

    /// Takes a JSON body of that schema, or none.
    pub(super) fn may_take(mut self, name: &str) -> Operation {
        self.body_required = false;
        self.takes(name)
    }

    /// Takes a body of another kind.
    pub(super) fn takes_raw(mut self, media: &'static str, about: &str) -> Operation {
        self.bodies.push(Content::Other(media, json!({ "type": "string", "description": about })));
        self
    }

    /// What a body looks like.
    pub(super) fn example(mut self, example: Value) -> Operation {
        self.example = Some(example);
        self
    }

    /// Takes a value in the query.
    pub(super) fn query(mut self, name: &str, schema: Value, about: &str) -> Operation {
        let parameter = json!({ "name": name, "in": "query", "description": about, "schema": schema });
        self.query.push(parameter);
        self
    }

    /// Takes a header.
    pub(super) fn header(mut self, name: &str, about: &str) -> Operation {
        let schema = json!({ "type": "string" });
        self.query.push(json!({ "name": name, "in": "header", "description": about, "schema": schema }));
        self
    }

    /// Answers with a body of that schema.
    pub(super) fn gives(mut self, status: u16, name: &str, about: &'static str) -> Operation {
        self.answers.push((status, about, Content::Json(schema(name))));
        self
    }

    /// Answers with a body of another kind.
    pub(super) fn gives_raw(mut self, status: u16, media: &'static str, about: &'static str) -> Operation {
        self.answers.push((status, about, Content::Other(media, json!({ "type": "string" }))));
        self
    }

    /// Answers without a body.
    pub(super) fn gives_nothing(mut self, status: u16, about: &'static str) -> Operation {
        self.answers.push((status, about, Content::Nothing));
        self
    }

    /// Answers with a page of items of that schema.
    pub(super) fn lists(mut self, item: &str) -> Operation {
        self.answers.push((200, "A page of the list.", Content::Json(page(item))));
        let shared = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
        self.query.extend([shared("limit"), shared("cursor")]);
        self
    }

    /// May also answer with these problems.
    pub(super) fn fails(mut self, problems: &[u16]) -> Operation {
        self.problems.extend(problems);
        self
    }

    /// The path, with its parameters in braces.
    pub(super) fn path(&self) -> String {
        self.path.to_owned()
    }

    /// The method as OpenAPI spells it.
    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    /// As OpenAPI describes it.
    pub(super) fn describe(&self) -> Value {
        let mut described = json!({
            "operationId": self.id(),
            "tags": [self.tag],
            "summary": self.summary,
            "description": self.description(),
            "responses": self.responses(),
        });
        let parameters = self.parameters();
        if !parameters.is_empty() {
            described["parameters"] = Value::Array(parameters);
        }
        if !self.bodies.is_empty() {
            let content: Map<String, Value> =
                self.bodies.iter().filter_map(|body| self.content(body)).collect();
            described["requestBody"] = json!({ "required": self.body_required, "content": content });
        }
        if self.access == Access::Public {
            described["security"] = json!([]);
        }
        described
    }

    /// `put_templates_name`: unique because method and path are.
    fn id(&self) -> String {
        let path = self.path.trim_start_matches("/v1").replace(['{', '}'], "").replace(['/', '-', '.'], "_");
        format!("{}{path}", self.method)
    }

    fn description(&self) -> String {
        let access = match self.access {
            Access::Public => "Needs no token.".to_owned(),
            Access::Key(scope) => format!("Needs a key with the scope `{scope}`."),
            Access::Own(scope) => {
                format!(
                    "For the user themselves (`me` with a user token), or a key with the scope `{scope}`."
                )
            }
            Access::Token(whose) => whose.to_owned(),
        };
        if self.about.is_empty() { access } else { format!("{}\n\n{access}", self.about) }
    }

    fn content(&self, content: &Content) -> Option<(String, Value)> {
        match content {
            Content::Json(schema) => {
                let mut media = json!({ "schema": schema });
                if let Some(example) = &self.example {
                    media["example"] = example.clone();
                }
                Some(("application/json".to_owned(), media))
            }
            Content::Other(media, schema) => Some(((*media).to_owned(), json!({ "schema": schema }))),
            Content::Nothing => None,
        }
    }

    fn parameters(&self) -> Vec<Value> {
        let names = self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let mut all: Vec<Value> = names
            .map(|name| {
                let schema = json!({ "type": "string", "minLength": 1, "maxLength": 128 });
                json!({ "name": name, "in": "path", "required": true, "schema": schema })
            })
            .collect();
        all.extend(self.query.iter().cloned());
        // A stream is not kept, so it cannot be given again.
        let stream = |content: &Content| matches!(content, Content::Other("application/octet-stream", _));
        let kept = !self.answers.iter().any(|(.., content)| stream(content));
        if self.method == "post" && self.access != Access::Public && kept {
            all.push(json!({ "$ref": "#/components/parameters/idempotency_key" }));
        }
        all
    }

    fn responses(&self) -> Value {
        let mut responses = Map::new();
        for (status, about, content) in &self.answers {
            let mut answer = json!({ "description": about });
            let of = Operation { example: None, ..self.clone() };
            let bodies: Map<String, Value> = self
                .answers
                .iter()
                .filter(|(of, ..)| of == status)
                .filter_map(|(.., content)| of.content(content))
                .collect();
            if !matches!(content, Content::Nothing) {
                answer["content"] = Value::Object(bodies);
            }
            responses.insert(status.to_string(), answer);
        }
        let mut problems = self.problems.clone();
        if self.access != Access::Public {
            problems.extend([401, 403, 429]);
        }
        if self.path.contains('{') {
            problems.extend([404, 422]);
        }
        if !self.query.is_empty() {
            problems.push(422);
        }
        if !self.bodies.is_empty() {
            problems.extend([400, 408, 413, 415, 422]);
        }
        if self.method == "post" && self.access != Access::Public {
            problems.extend([400, 409, 413, 422]);
        }
        if self.path.starts_with("/v1") {
            problems.push(503);
        }
        for problem in problems {
            let name = format!("#/components/responses/{problem}");
            responses.entry(problem.to_string()).or_insert_with(|| json!({ "$ref": name }));
        }
        Value::Object(responses)
    }
}

/// The parameters that many operations take.
pub(super) fn shared_parameters() -> Value {
    json!({
        "limit": {
            "name": "limit", "in": "query", "description": "Items on a page.",
            "schema": { "type": "integer", "minimum": 1, "maximum": 200, "default": 50 },
        },
        "cursor": {
            "name": "cursor", "in": "query", "description": "`next_cursor` of the page before.",
            "schema": { "type": "string" },
        },
        "idempotency_key": {
            "name": "Idempotency-Key", "in": "header",
            "description": "The same key and body within 24 hours gives the first answer again.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        },
    })
}

/// The problems that many operations answer with.
pub(super) fn shared_answers() -> Value {
    let all = [
        (400, "The body is not JSON (`invalid_json`), or the request itself is wrong (`bad_request`)."),
        (401, "No token, or not a valid one (`unauthorized`)."),
        (403, "The token does not reach this far (`forbidden`)."),
        (404, "There is no such thing (`not_found`)."),
        (408, "The body did not arrive in time (`timeout`)."),
        (
            409,
            "It does not go together with what is there (`conflict`), or the same request is still under way.",
        ),
        (410, "It was there and is gone (`gone`)."),
        (413, "The body is larger than allowed (`payload_too_large`)."),
        (415, "The body is of another kind than this takes (`unsupported_media_type`)."),
        (
            422,
            "Something in it is wrong: every field is named (`validation_failed`), or a code of its own says what.",
        ),
        (426, "This speaks WebSocket version 13 (`upgrade_required`)."),
        (429, "Too many requests (`rate_limited`); `Retry-After` says when to come back."),
        (502, "The other side did not answer as it should."),
        (
            503,
            "Too much at once, or the store takes no writes (`overloaded`); `Retry-After` says when to come back.",
        ),
    ];
    let describe = |(status, about): (u16, &str)| {
        let content = json!({ "application/problem+json": { "schema": schema("Problem") } });
        (status.to_string(), json!({ "description": about, "content": content }))
    };
    Value::Object(all.into_iter().map(describe).collect())
}
