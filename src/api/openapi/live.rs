//! Operations for what is live: the WebSocket, the event stream, and who is connected.

use serde_json::json;

use super::operation::Access::{Key, Public, Token};
use super::operation::{Operation, op};

pub(super) fn operations() -> Vec<Operation> {
    let tag = "live";
    let text = || json!({ "type": "string" });
    let token = "For a user, by the `Authorization` header, `?token=`, or a first `connect` frame.";
    vec![
        op("get", "/v1/ws", tag, Token(token), "Open the live connection")
            .about(
                "A WebSocket with JSON text frames: `hello`, `notification`, `workflow_update`, `inbox`, and from the \
                 client `subscribe`, `mark`, `ack`, `ping`. With `resume` every missed notification is replayed once and in \
                 order.",
            )
            .query("token", text(), "A token, where no header can be sent. It is never logged.")
            .query("session_id", text(), "Also watches this workflow.")
            .gives_nothing(101, "It speaks WebSocket from here on.")
            .fails(&[400, 426]),
        op("get", "/v1/sse", tag, Token(token), "Open the event stream")
            .about("The same frames as server-sent events, for where a WebSocket does not pass. `Last-Event-ID` resumes.")
            .query("token", text(), "A token, where no header can be sent. It is never logged.")
            .gives_raw(200, "text/event-stream", "Events, for as long as it is open.")
            .fails(&[400]),
        op("get", "/v1/connections", tag, Key("read"), "List live connections").lists("Connection"),
        op("get", "/v1/connections/{id}", tag, Key("read"), "Show a live connection").gives(
            200,
            "Connection",
            "The connection.",
        ),
        op("delete", "/v1/connections/{id}", tag, Key("admin"), "Close a live connection")
            .about("With code 4503: its client does not come back by itself.")
            .gives_nothing(204, "It is closed."),
        op("get", "/v1/websocket/health", tag, Public, "Show how live delivery is doing").gives(
            200,
            "WebSocketHealth",
            "Connections and rates.",
        ),
    ]
}
