//! The API for pages of other origins: what a browser must be told before it lets them read an answer (the Fetch
//! standard, section 3.2 "CORS protocol").
//!
//! Only the origins of `server.allowed_origins` are told anything; for everybody else, pages of our own among them,
//! nothing changes. Tokens travel in a header that a page must set itself, so cookies and other credentials of the
//! browser are never asked for.

use std::future::Future;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue,
    ORIGIN, VARY,
};
use http::{HeaderMap, Method, StatusCode};
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::shapes;
use crate::ws::handshake::is_listed;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, Prefer";
/// What a script may read besides the few headers that it always may.
const ANSWER_HEADERS: &str = "Idempotency-Replayed, Retry-After";
/// Seconds for which a browser need not ask again: short, so that an origin that is taken off the list is soon out.
const MAX_AGE_SECONDS: &str = "600";

/// What a request's origin may do.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// There is no list, or the path is none of the API's: the answer does not depend on the origin.
    Indifferent,
    /// The request names no origin, or one that is not listed.
    Unlisted,
    /// Its pages may read the answer.
    Listed(HeaderValue),
}

/// Answers a preflight of a listed origin itself; puts what the browser must be told on every other answer.
pub async fn around<F>(call: Call, dispatch: impl FnOnce(Call) -> F) -> Response
where
    F: Future<Output = Result<Response, Problem>>,
{
    let standing = standing(&call.path, &call.headers, &call.api.allowed_origins.load());
    let mut response = if asks_before(&call.method, &call.headers) && matches!(standing, Standing::Listed(_))
    {
        permission()
    } else {
        dispatch(call).await.unwrap_or_else(Problem::into_response)
    };
    // A WebSocket's handshake is judged by itself, and nothing keeps its answer.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        tell(standing, response.headers_mut());
    }
    response
}

fn standing(path: &str, headers: &HeaderMap, allowed_origins: &[String]) -> Standing {
    if allowed_origins.is_empty() || !path.starts_with("/v1/") {
        return Standing::Indifferent;
    }
    let Some(origin) = headers.get(ORIGIN) else { return Standing::Unlisted };
    match origin.to_str() {
        Ok(text) if is_listed(text, allowed_origins) => Standing::Listed(origin.clone()),
        Ok(_) | Err(_) => Standing::Unlisted,
    }
}

/// Whether a browser asks what it may do, rather than doing it.
fn asks_before(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn permission() -> Response {
    let mut response = shapes::no_content();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_SECONDS));
    response
}

fn tell(standing: Standing, headers: &mut HeaderMap) {
    match standing {
        Standing::Indifferent => {}
        Standing::Unlisted => {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        Standing::Listed(origin) => {
            headers.append(VARY, HeaderValue::from_static("Origin"));
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "https://app.example.org";

    fn headers(origin: Option<&'static str>) -> HeaderMap {
        origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))).into_iter().collect()
    }

    fn judged(path: &str, origin: Option<&'static str>, allowed: &[&str]) -> Standing {
        let allowed: Vec<_> = allowed.iter().map(|&origin| origin.to_owned()).collect();
        standing(path, &headers(origin), &allowed)
    }

    fn told(standing: Standing) -> HeaderMap {
        let mut headers = HeaderMap::new();
        tell(standing, &mut headers);
        headers
    }

    #[test]
    fn a_listed_origin_is_told_by_its_own_name() {
        let headers = told(judged("/v1/users/me/inbox", Some(OURS), &["https://other.example", OURS]));
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], OURS);
        assert_eq!(headers[VARY], "Origin");
        assert!(!headers.contains_key("access-control-allow-credentials"));
    }

    #[test]
    fn an_origin_that_only_looks_like_a_listed_one_is_told_nothing() {
        for origin in [
            "https://app.example.org.evil.example",
            "https://evil-app.example.org",
            "http://app.example.org",
            "https://app.example.org:8443",
            "https://app.example.org/",
            "null",
            "",
        ] {
            assert_eq!(judged("/v1/users", Some(origin), &[OURS]), Standing::Unlisted, "{origin}");
        }
        let headers = told(Standing::Unlisted);
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(headers[VARY], "Origin", "a cache must not give this answer to a listed origin");
    }

    #[test]
    fn without_a_list_no_answer_depends_on_the_origin() {
        assert_eq!(judged("/v1/users", Some(OURS), &[]), Standing::Indifferent);
        assert!(told(Standing::Indifferent).is_empty());
    }

    #[test]
    fn only_the_api_is_opened() {
        for path in ["/metrics", "/readyz", "/inbox", "/v1", "/v10/users"] {
            assert_eq!(judged(path, Some(OURS), &[OURS]), Standing::Indifferent, "{path}");
        }
    }

    #[test]
    fn a_preflight_is_told_the_methods_and_the_headers() {
        let response = permission();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let allowed = response.headers()[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        for name in ["Authorization", "Content-Type", "Idempotency-Key", "Prefer"] {
            assert!(allowed.contains(name), "{name}");
        }
        assert_eq!(response.headers()[ACCESS_CONTROL_MAX_AGE], "600");
    }

    #[test]
    fn an_options_request_that_asks_for_no_method_is_no_preflight() {
        assert!(!asks_before(&Method::OPTIONS, &headers(Some(OURS))));
        let mut asking = headers(Some(OURS));
        asking.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        assert!(asks_before(&Method::OPTIONS, &asking));
        assert!(!asks_before(&Method::POST, &asking));
    }
}
