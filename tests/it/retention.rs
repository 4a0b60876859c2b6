//! Claims about what is let go of at night, under a clock that the test moves.

use serde_json::json;

use crate::support::client::{hello, with};
use crate::support::{Server, Socket, until};

const DAY: i64 = 86_400;

#[tokio::test]
async fn old_notifications_go_at_night_and_whoever_resumes_below_them_is_told() {
    let mut server = Server::prepare(&[("RETENTION__NOTIFICATIONS_DAYS", "30")]);
    server.fake_clock();
    server.start_again().await;
    let admin = server.admin();
    let mut old = Vec::new();
    for _ in 0..3 {
        let sent = admin.notify(&hello("ada")).await;
        old.push(sent["notification_id"].as_str().unwrap().to_owned());
    }
    server.shift(20 * DAY);
    let young = admin.notify(&hello("ada")).await;
    server.shift(33 * DAY);
    // Something that is due lets the server look at its clock.
    admin.person("clockmaker").await;
    admin.notify(&with(hello("clockmaker"), json!({ "channels": ["email"] }))).await;
    for id in &old {
        until("an old one to go", || async {
            (admin.get(&format!("/v1/notifications/{id}")).await.status == 404).then_some(())
        })
        .await;
    }
    let young = young["notification_id"].as_str().unwrap();
    admin.get(&format!("/v1/notifications/{young}")).await.is(200);
    until("the counters to follow", || async {
        let counts = admin.get("/v1/users/ada/inbox/counts").await.is(200);
        (counts["total"] == 1 && counts["unread"] == 1).then_some(())
    })
    .await;
    let token = admin.mint("ada", &json!({})).await;
    let (_, first) = Socket::join(server.url(), &token, "").await;
    let epoch = first["epoch"].as_str().unwrap();
    for (offset, recovered) in [(1, false), (2, false), (3, true), (4, true)] {
        let query = format!("?epoch={epoch}&offset={offset}");
        let (_, greeting) = Socket::join(server.url(), &token, &query).await;
        assert_eq!(greeting["recovered"], recovered, "after {offset}");
    }
}
