//! What went wrong, as the outside sees it: `application/problem+json` (RFC 9457). The only place that knows which
//! error is which status code.

use http::StatusCode;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use serde_json::json;
use warp::reply::Response;

use crate::access::Refused;
use crate::engine::accept::AcceptError;
use crate::engine::templates::DraftError;
use crate::model::invalid::Invalid;
use crate::render::RenderError;
use crate::store::StoreError;

/// An answer that is an error.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    invalid: Option<Invalid>,
    headers: Vec<(http::HeaderName, String)>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into(), invalid: None, headers: Vec::new() }
    }

    /// 400: the body is not JSON.
    pub fn invalid_json(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_json", detail)
    }

    /// 400: something about the request itself, other than its body.
    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// 401: no token, or not a valid one (RFC 6750, section 3).
    pub fn unauthorized(detail: impl Into<String>) -> Problem {
        let mut problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        problem.headers.push((WWW_AUTHENTICATE, "Bearer realm=\"belfry\"".to_owned()));
        problem
    }

    /// 403: the token is valid and does not reach this far.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(what: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// 405: the path is right and the method is not.
    pub fn method_not_allowed(allowed: &str) -> Problem {
        let detail = format!("this path takes {allowed}");
        let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        problem.headers.push((ALLOW, allowed.to_owned()));
        problem
    }

    /// 408: the body did not arrive in time.
    pub fn timeout() -> Problem {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not arrive in time")
    }

    /// 409: it does not go together with what is there.
    pub fn conflict(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// 413: the body is over the limit.
    pub fn payload_too_large(limit_bytes: usize) -> Problem {
        let detail = format!("the body is larger than {limit_bytes} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
    }

    /// 413: there are more of something than are taken.
    pub fn too_many(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
    }

    /// 415: the body is of another kind than this path takes.
    pub fn unsupported_media_type(wanted: &str) -> Problem {
        let detail = format!("send the body as Content-Type: {wanted}");
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 422 with a code of its own.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 422 `missing_variables`, each of them named.
    pub fn missing_variables(template: &str, missing: &[String]) -> Problem {
        let mut problem = Problem::unprocessable(
            "missing_variables",
            format!("the template {template} also needs: {}", missing.join(", ")),
        );
        let mut invalid = Invalid::default();
        for name in missing {
            invalid.push(format!("variables.{name}"), "is missing");
        }
        problem.invalid = Some(invalid);
        problem
    }

    /// 426: this path speaks WebSocket version 13 and nothing else (RFC 6455, section 4.2.2).
    pub fn upgrade_required(detail: impl Into<String>) -> Problem {
        let mut problem = Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail);
        problem.headers.push((UPGRADE, "websocket".to_owned()));
        problem.headers.push((CONNECTION, "Upgrade".to_owned()));
        problem.headers.push((SEC_WEBSOCKET_VERSION, "13".to_owned()));
        problem
    }

    /// 503: too much at once; come back in a second.
    pub fn overloaded(detail: impl Into<String>) -> Problem {
        let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail);
        problem.headers.push((RETRY_AFTER, "1".to_owned()));
        problem
    }

    /// The same of a part of the body: what it names is under `path` there.
    pub fn under(mut self, path: &str) -> Problem {
        if let Some(invalid) = &mut self.invalid {
            for error in &mut invalid.errors {
                error.field = format!("{path}.{}", error.field);
            }
            self.detail = invalid.summary();
        }
        self
    }

    /// The detail, for a place where the whole problem does not fit.
    pub fn summary(&self) -> String {
        match &self.invalid {
            Some(invalid) => invalid.summary(),
            None => self.detail.clone(),
        }
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer.
    pub fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:belfry:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let Some(invalid) = self.invalid {
            body["errors"] = invalid
                .errors
                .into_iter()
                .map(|error| json!({ "field": error.field, "detail": error.detail }))
                .collect();
        }
        let mut response = Response::new(body.to_string().into());
        *response.status_mut() = self.status;
        let content_type = http::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        for (name, value) in self.headers {
            if let Ok(value) = value.try_into() {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Problem {
        let mut problem = Problem::unprocessable("validation_failed", invalid.summary());
        problem.invalid = Some(invalid);
        problem
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::Overloaded => Problem::overloaded("the server is taking in all it can; try again"),
            // The cause names files and devices: it is for the log, not for the outside.
            StoreError::Unavailable(why) => {
                tracing::error!(%why, "a request was refused because the store takes no writes");
                Problem::overloaded("the server cannot store anything now; its log and /readyz say why")
            }
            StoreError::Damaged(why) => {
                tracing::error!(%why, "a request was refused because a record cannot be read");
                Problem::overloaded("a stored record cannot be read; the server's log says which")
            }
        }
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Problem {
        match error {
            AcceptError::Conflict { .. } => Problem::conflict(error.to_string()),
            AcceptError::Store(error) => error.into(),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        Problem::unauthorized(refused.to_string())
    }
}

/// What a template's failure is to the one who asked for it.
pub fn render_problem(template: &str, error: RenderError) -> Problem {
    match error {
        RenderError::MissingVariables(missing) => Problem::missing_variables(template, &missing),
        RenderError::UnknownTemplate => Problem::not_found("template"),
        RenderError::Failed { .. } | RenderError::TooLarge => {
            Problem::unprocessable("template_error", error.to_string())
        }
    }
}

/// What it is to the sender that a template did not become a text.
pub fn draft_problem(template: &str, error: DraftError) -> Problem {
    match error {
        DraftError::Render(error) => render_problem(template, error),
        DraftError::Store(error) => error.into(),
    }
}
