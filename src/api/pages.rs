//! The web pages, embedded: every file of `assets` and `assets/pages` with its type, its validator and the headers that keep it safe.
//!
//! There is no file system at run time and no build step: what is in this table is all that can be asked for, so a
//! path cannot climb out of anywhere. Pages carry no data; what they show they ask for over the API with a token that
//! the reader brings.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use ring::digest;

/// What a page may do: load its own scripts, styles and images, talk to its own server (sockets included), and
/// nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page of captured messages shows mail as a mail program would, in a frame without scripts or an origin. Such a
/// frame inherits the policy of its page, and mail is styled inline: for this one page inline *styles* are allowed.
/// Scripts stay as strict as elsewhere, and `default-src 'none'` keeps the mail from loading or framing anything.
const POLICY_WITH_LETTERS: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    connect-src 'self'; img-src 'self' data:; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const PERMISSIONS: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

/// Ninety-six bits of SHA-256 tell the versions of one small file apart beyond doubt.
const ETAG_DIGEST_BYTES: usize = 12;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
/// Declarations are read by tools, which take them for text; `video/mp2t` would be what the ending says elsewhere.
const TYPES: &str = "text/plain; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// What a page of any origin may import: the client and the component, which carry no data of their own.
const FOR_EVERYONE: [&str; 4] = ["/client.js", "/client.d.ts", "/inbox.js", "/push.js"];

struct File {
    paths: &'static [&'static str],
    content_type: &'static str,
    policy: &'static str,
    body: &'static [u8],
}

macro_rules! file {
    ($paths:expr, $content_type:expr, $policy:expr, $name:literal) => {
        File {
            paths: &$paths,
            content_type: $content_type,
            policy: $policy,
            body: include_bytes!(concat!("../../assets/", $name)),
        }
    };
}

static FILES: [File; 28] = [
    file!(["/"], HTML, POLICY, "pages/home.html"),
    file!(["/inbox"], HTML, POLICY, "pages/inbox.html"),
    file!(["/docs"], HTML, POLICY, "pages/docs.html"),
    file!(["/admin"], HTML, POLICY, "pages/admin.html"),
    file!(["/captured"], HTML, POLICY_WITH_LETTERS, "pages/captured.html"),
    file!(["/assets/mark.svg", "/favicon.svg", "/favicon.ico"], SVG, POLICY, "pages/mark.svg"),
    file!(["/assets/belfry.css"], CSS, POLICY, "pages/belfry.css"),
    file!(["/assets/home.css"], CSS, POLICY, "pages/home.css"),
    file!(["/assets/inbox.css"], CSS, POLICY, "pages/inbox.css"),
    file!(["/assets/captured.css"], CSS, POLICY, "pages/captured.css"),
    file!(["/assets/admin.css"], CSS, POLICY, "pages/admin.css"),
    file!(["/assets/admin.js"], JAVASCRIPT, POLICY, "pages/admin.js"),
    file!(["/assets/docs.css"], CSS, POLICY, "pages/docs.css"),
    file!(["/assets/docs.js"], JAVASCRIPT, POLICY, "pages/docs.js"),
    file!(["/assets/leave.css"], CSS, POLICY, "pages/leave.css"),
    file!(["/assets/shared.js"], JAVASCRIPT, POLICY, "pages/shared.js"),
    file!(["/assets/door.js"], JAVASCRIPT, POLICY, "pages/door.js"),
    file!(["/assets/home.js"], JAVASCRIPT, POLICY, "pages/home.js"),
    file!(["/assets/inbox.js"], JAVASCRIPT, POLICY, "pages/inbox.js"),
    file!(["/assets/list.js"], JAVASCRIPT, POLICY, "pages/list.js"),
    file!(["/assets/workflows.js"], JAVASCRIPT, POLICY, "pages/workflows.js"),
    file!(["/assets/captured.js"], JAVASCRIPT, POLICY, "pages/captured.js"),
    file!(["/client.js"], JAVASCRIPT, POLICY, "client.js"),
    file!(["/client.d.ts"], TYPES, POLICY, "client.d.ts"),
    file!(["/inbox.js"], JAVASCRIPT, POLICY, "inbox.js"),
    file!(["/push.js"], JAVASCRIPT, POLICY, "push.js"),
    file!(["/sw.js"], JAVASCRIPT, POLICY, "sw.js"),
    file!(["/assets/offer.js"], JAVASCRIPT, POLICY, "pages/offer.js"),
];

static ETAGS: LazyLock<Vec<HeaderValue>> =
    LazyLock::new(|| FILES.iter().map(|file| etag(file.body)).collect());

/// The embedded page or asset at exactly this path (no query, no trailing slash), or `None` where there is none.
///
/// `if_none_match` is the request's header of that name (RFC 9110, section 13.1.2): where it names the present version,
/// or is `*`, the answer is 304 without a body. The caller answers HEAD by dropping the body.
pub fn page(path: &str, if_none_match: Option<&str>) -> Option<Response<Bytes>> {
    let at = FILES.iter().position(|file| file.paths.contains(&path))?;
    let (file, etag) = (&FILES[at], &ETAGS[at]);
    let unchanged = if_none_match.is_some_and(|known| names(known, etag));
    let mut response = Response::new(if unchanged { Bytes::new() } else { Bytes::from_static(file.body) });
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag.clone());
    for (name, value) in fixed_headers(file) {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if FOR_EVERYONE.contains(&path) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    Some(response)
}

fn fixed_headers(file: &File) -> [(HeaderName, &'static str); 7] {
    [
        (header::CONTENT_TYPE, file.content_type),
        // Kept but always asked about, so that an upgraded server never meets yesterday's script.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, file.policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ]
}

/// Whether an `If-None-Match` list holds this tag; the comparison is the weak one, so a proxy's `W/` does not matter.
fn names(if_none_match: &str, etag: &HeaderValue) -> bool {
    let known = if_none_match.split(',').map(str::trim);
    known
        .into_iter()
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}

fn etag(body: &[u8]) -> HeaderValue {
    let sum = digest::digest(&digest::SHA256, body);
    let mut tag = String::with_capacity(2 + 2 * ETAG_DIGEST_BYTES);
    tag.push('"');
    for byte in &sum.as_ref()[..ETAG_DIGEST_BYTES] {
        tag.push_str(&format!("{byte:02x}"));
    }
    tag.push('"');
    HeaderValue::try_from(tag).expect("quoted hexadecimal is a valid header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &File) -> &'static str {
        std::str::from_utf8(file.body).unwrap()
    }

    /// Every quoted absolute path and every relative import in a file, as the path a browser would ask for.
    fn references(file: &File) -> Vec<String> {
        let quoted = text(file).split(['"', '\'', '`']);
        let folder = &file.paths[0][..=file.paths[0].rfind('/').unwrap()];
        let absolute = quoted
            .clone()
            .filter(|part| part.starts_with("/assets/") || (part.starts_with('/') && part.ends_with(".js")))
            .map(str::to_owned);
        let relative =
            quoted.filter_map(|part| part.strip_prefix("./")).map(|name| format!("{folder}{name}"));
        absolute.chain(relative).collect()
    }

    fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
        response.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    #[test]
    fn every_asset_a_page_refers_to_is_there() {
        let mut seen = 0;
        for reference in FILES.iter().flat_map(references) {
            assert!(page(&reference, None).is_some(), "{reference} is missing");
            seen += 1;
        }
        assert!(seen > 15, "only {seen} references were found: the search is broken");
    }

    #[test]
    fn every_file_in_the_folder_is_in_the_table() {
        let folders =
            ["/assets", "/assets/pages"].map(|name| format!("{}{name}", env!("CARGO_MANIFEST_DIR")));
        let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
        for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            let body = std::fs::read(&path).unwrap();
            assert!(FILES.iter().any(|file| file.body == body), "{} is not served", path.display());
        }
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for file in &FILES {
            // Comments may show how other sites refer to this one.
            let code: Vec<_> =
                text(file).lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let source = code.join("\n");
            for opening in
                ["src=\"", "href=\"", "url(", "from \"", "import(\"", "fetch(\"", "action=\"", "@import "]
            {
                for (at, _) in source.match_indices(opening) {
                    let target = source[at + opening.len()..].trim_start_matches(['"', '\'']);
                    let foreign = target.starts_with("http") || target.starts_with("//");
                    assert!(!foreign, "{} reaches out: {:.60}", file.paths[0], target);
                }
            }
        }
    }

    #[test]
    fn no_page_carries_inline_script_or_style() {
        for file in FILES.iter().filter(|file| file.content_type == HTML) {
            let source = text(file);
            for forbidden in ["<script>", "<style", " style=", " onclick=", " onload=", "javascript:"] {
                assert!(!source.contains(forbidden), "{} has {forbidden}", file.paths[0]);
            }
        }
    }

    #[test]
    fn no_script_builds_markup_from_text() {
        for file in FILES.iter().filter(|file| file.content_type == JAVASCRIPT) {
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!text(file).contains(forbidden), "{} uses {forbidden}", file.paths[0]);
            }
        }
    }

    #[test]
    fn every_answer_carries_the_security_headers() {
        for path in FILES.iter().flat_map(|file| file.paths) {
            let response = page(path, None).unwrap();
            let policy = header(&response, "content-security-policy");
            assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{path}: {policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
            assert_eq!(policy.contains("'unsafe-inline'"), *path == "/captured", "{path}: {policy}");
            assert_eq!(header(&response, "x-content-type-options"), "nosniff");
            assert_eq!(header(&response, "referrer-policy"), "no-referrer");
            assert_eq!(header(&response, "cross-origin-opener-policy"), "same-origin");
            assert_eq!(header(&response, "cache-control"), "no-cache");
        }
    }

    #[test]
    fn other_sites_may_import_the_client_and_the_component_and_nothing_else() {
        for path in FILES.iter().flat_map(|file| file.paths) {
            let allowed =
                page(path, None).unwrap().headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned();
            let expected = FOR_EVERYONE.contains(path).then(|| HeaderValue::from_static("*"));
            assert_eq!(allowed, expected, "{path}");
        }
        assert!(FOR_EVERYONE.iter().all(|path| page(path, None).is_some()));
    }

    #[test]
    fn a_version_the_browser_already_has_is_not_sent_again() {
        let first = page("/inbox", None).unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let tag = header(&first, "etag");
        for known in [tag.to_owned(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = page("/inbox", Some(&known)).unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert!(again.body().is_empty());
            assert_eq!(header(&again, "etag"), tag);
        }
    }

    #[test]
    fn another_version_is_sent_in_full() {
        let stale = page("/inbox", None).unwrap();
        let other = page("/inbox", Some("\"000000000000000000000000\"")).unwrap();
        assert_eq!(other.status(), StatusCode::OK);
        assert_eq!(other.body(), stale.body());
    }

    #[test]
    fn different_files_have_different_tags() {
        let tags: std::collections::HashSet<_> = ETAGS.iter().collect();
        assert_eq!(tags.len(), FILES.len());
    }

    #[test]
    fn a_path_outside_the_table_is_nothing() {
        for path in ["", "/inbox/", "/assets/", "/assets/../Cargo.toml", "/assets/inbox.html", "//", "/INBOX"]
        {
            assert!(page(path, None).is_none(), "{path}");
        }
    }
}
