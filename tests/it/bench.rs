//! Claims about `belfry bench`: it measures what it says, and leaves nothing behind.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::Server;
use crate::support::server::{ADMIN_KEY, binary};

async fn bench(url: &str, key: &str, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(binary())
        .args(["bench", "--url", url])
        .args(arguments)
        .env_clear()
        .env("BELFRY_KEY", key)
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_bench_measures_and_leaves_nothing_behind() {
    let server = Server::start().await;
    let few = ["--connections", "12", "--messages", "5", "--notifications", "60", "--publishers", "4"];
    let (code, said, noted) = bench(server.url(), ADMIN_KEY, &[&few[..], &["--json"]].concat()).await;
    assert_eq!(code, 0, "{noted}");
    let report: Value = serde_json::from_str(&said).unwrap();
    for (part, count) in [("connections", 12), ("fan_out", 60), ("end_to_end", 5), ("accepts", 60)] {
        assert_eq!((&report[part]["count"], &report[part]["failed"]), (&json!(count), &json!(0)), "{report}");
        assert!(report[part]["per_second"].as_f64().unwrap() > 0.0, "{report}");
        let [p50, p99, max] = ["p50_ms", "p99_ms", "max_ms"].map(|name| report[part][name].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{report}");
    }
    let (code, said, _) = bench(server.url(), ADMIN_KEY, &few).await;
    assert_eq!((code, said.lines().count()), (0, 5), "{said}");
    let admin = server.admin();
    for list in ["/v1/users", "/v1/topics", "/v1/notifications", "/v1/connections"] {
        assert_eq!(admin.all(list).await, [] as [Value; 0], "{list}");
    }
}

#[tokio::test]
async fn a_bench_that_may_not_or_finds_nobody_says_so_by_its_exit_code() {
    let server = Server::start_with(&[("WEBSOCKET__MAX_CONNECTIONS", "3")]).await;
    let reader = server.admin().key(&["read"]).await;
    assert_eq!(bench(server.url(), &reader, &[]).await.0, 4);
    assert_eq!(bench("http://127.0.0.1:1", ADMIN_KEY, &[]).await.0, 69);
    assert_eq!(bench(server.url(), ADMIN_KEY, &["--connections", "0"]).await.0, 2);
    // Those who find no place are counted.
    let few = ["--connections", "5", "--messages", "2", "--notifications", "5", "--json"];
    let (code, said, noted) = bench(server.url(), ADMIN_KEY, &few).await;
    assert_eq!(code, 0, "{noted}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&report["connections"]["count"], &report["connections"]["failed"]), (&json!(3), &json!(2)));
}
