//! What is counted, over which range, and that counting survives a kill.

use serde_json::json;

use crate::support::client::{hello, with};
use crate::support::{PATIENCE, Server, until};

#[tokio::test]
async fn what_went_out_is_counted_by_channel_category_and_priority() {
    let mut server = Server::start().await;
    let client = server.admin();
    client.person("anna").await;
    for (category, priority) in
        [("system", "high"), ("system", "low"), ("billing", "high"), ("marketing", "low")]
    {
        client.notify(&with(hello("anna"), json!({ "category": category, "priority": priority }))).await;
    }
    let counted = until("three mails to be counted", || async {
        let body = client.get("/v1/analytics").await.is(200);
        (body["channel_breakdown"]["email"] == 3).then_some(body)
    });
    let body = tokio::time::timeout(PATIENCE, counted).await.unwrap();
    assert_eq!(body["total_notifications"], 4);
    let breakdown = json!({ "browser_push": 0, "email": 3, "in_app": 3, "sms": 0 });
    assert_eq!(body["channel_breakdown"], breakdown);
    assert_eq!(body["category_breakdown"], json!({ "billing": 1, "marketing": 1, "system": 2 }));
    assert_eq!(body["priority_breakdown"], json!({ "high": 2, "low": 2 }));
    assert_eq!(body["reason_breakdown"]["preference_category_off"], 4);
    assert!(body["channels"]["email"]["latency_ms"]["p99"].is_i64());
    server.kill();
    server.start_again().await;
    let again = server.admin().get("/v1/analytics").await.is(200);
    assert_eq!(again["total_notifications"], 4);
    assert_eq!(again["channel_breakdown"], body["channel_breakdown"]);
}

#[tokio::test]
async fn a_range_is_over_the_notifications_own_timestamps_with_both_ends_in_it() {
    let server = Server::start().await;
    let client = server.admin();
    for minute in
        ["2026-01-01T10:00:00Z", "2026-01-01T10:01:00Z", "2026-01-01T12:30:00Z", "2026-01-02T00:00:00Z"]
    {
        client.notify(&with(hello("anna"), json!({ "timestamp": minute }))).await;
    }
    let total = async |start: &str, end: &str| {
        let path = format!("/v1/analytics?start=2026-01-{start}Z&end=2026-01-{end}Z");
        client.get(&path).await.is(200)["total_notifications"].clone()
    };
    assert_eq!(total("01T10:00:00", "01T10:00:00").await, 1);
    assert_eq!(total("01T10:00:00", "01T10:01:00").await, 2);
    assert_eq!(total("01T09:00:00", "02T00:00:00").await, 4);
    assert_eq!(total("01T10:02:00", "01T23:59:59").await, 1);
    assert_eq!(total("02T00:01:00", "31T00:00:00").await, 0);
    let series = client
        .get("/v1/analytics?start=2026-01-01T00:00:00Z&end=2026-01-02T00:00:00Z&group_by=day")
        .await
        .is(200);
    let totals: Vec<_> =
        series["series"].as_array().unwrap().iter().map(|p| &p["total_notifications"]).collect();
    assert_eq!(totals, [3, 1]);
}

#[tokio::test]
async fn a_range_may_cut_a_minute_and_a_second() {
    let server = Server::start().await;
    let client = server.admin();
    for second in ["00", "07", "07.25", "07.5", "59.999"] {
        client
            .notify(&with(hello("anna"), json!({ "timestamp": format!("2026-01-01T10:00:{second}Z") })))
            .await;
    }
    for (start, end, total) in [
        ("10:00:00", "10:00:00", 1),
        ("10:00:00.001", "10:00:07", 1),
        ("10:00:07", "10:00:07.25", 2),
        ("10:00:07.251", "10:00:59.998", 1),
        ("10:00:07.5", "10:00:59.999", 2),
        ("09:00:00", "10:00:07.25", 3),
        ("10:00:08", "12:00:00", 1),
        ("10:00:00", "10:00:59.999", 5),
    ] {
        let path = format!("/v1/analytics?start=2026-01-01T{start}Z&end=2026-01-01T{end}Z");
        let counted = client.get(&path).await.is(200);
        assert_eq!(counted["total_notifications"], total, "{start} to {end}");
        assert_eq!(counted["successful_deliveries"], total, "{start} to {end}");
    }
}

#[tokio::test]
async fn a_range_that_makes_no_sense_is_refused_by_name() {
    let server = Server::start().await;
    for (query, field) in [
        ("start=yesterday", "start"),
        ("end=2026-13-01T00:00:00Z", "end"),
        ("start=2026-02-01T00:00:00Z&end=2026-01-01T00:00:00Z", "start"),
        ("start=2026-01-01T00:00:00Z&end=2026-02-01T00:00:00Z&group_by=minute", "group_by"),
        ("group_by=moon", "group_by"),
    ] {
        let refused = server.admin().get(&format!("/v1/analytics?{query}")).await.is(422);
        assert_eq!(refused["errors"][0]["field"], field, "{query}");
    }
}
