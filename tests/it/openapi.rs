//! Claims about the API's description: it is there for anybody, and it describes the routes that there are.

use std::collections::BTreeSet;

use crate::support::Server;

/// Every method and path of the router, by its source: a path that it takes and the document lacks would stay unknown.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../../src/api/route.rs");
    let (top, v1) = source.split_once("async fn v1(").unwrap();
    let top = top.split_once("async fn handle(").unwrap().1;
    let mut found = BTreeSet::new();
    for (prefix, arms) in [("", top), ("/v1", v1)] {
        for arm in arms.split("\n        [").skip(1) {
            let (pattern, handlers) = arm.split_once("] =>").unwrap();
            if pattern.contains("..") {
                continue;
            }
            let segment =
                |segment: &str| segment.strip_prefix('"').map_or("{}".to_owned(), |s| s.replace('"', ""));
            let path: Vec<String> = pattern.split(", ").map(segment).collect();
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                if handlers.contains(&format!("{method} =>")) {
                    found.insert(format!("{method} {prefix}/{}", path.join("/")));
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_of_a_route() {
    let server = Server::start().await;
    let answer = server.admin().anonymous().get("/v1/openapi.json").await;
    let document = answer.is(200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(document["openapi"], "3.1.0");
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let plain: Vec<&str> =
            path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment }).collect();
        for method in operations.as_object().unwrap().keys() {
            described.insert(format!("{} {}", method.to_uppercase(), plain.join("/")));
        }
    }
    let routes = routes();
    assert!(routes.len() > 50, "only {} routes were found: the search is broken", routes.len());
    let missing: Vec<&String> = routes.difference(&described).collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
    let unknown: Vec<&String> = described.difference(&routes).collect();
    assert!(unknown.is_empty(), "described, and no route: {unknown:?}");
}
