//! The wire shapes that clients rely on.

use serde_json::json;

use super::*;
use crate::hub::Frame;

fn shown(frame: &Frame) -> serde_json::Value {
    let bytes = frame.bytes();
    let head = match bytes[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    serde_json::from_slice(&bytes[head..]).unwrap()
}

fn refused(text: &str) -> ErrorCode {
    parse(text).1.unwrap_err().code
}

#[test]
fn a_notification_carries_the_fields_of_the_contract() {
    let frame = NotificationFrame {
        id: "n1".to_owned(),
        user_id: "ada".to_owned(),
        title: "Hi \"you\"".to_owned(),
        message: "text".to_owned(),
        priority: "high".to_owned(),
        category: "workflow".to_owned(),
        action: Some(Action { label: "Open".to_owned(), url: "https://x.example/".to_owned() }),
        metadata: Some(serde_json::value::to_raw_value(&json!({"a": [1, 2]})).unwrap()),
        notification_type: "alert".to_owned(),
        offset: 7,
        timestamp_ms: 1_700_000_000_123,
        replay: false,
    };
    let mut expected = json!({
        "type": "notification", "timestamp": "2023-11-14T22:13:20.123Z", "id": "n1", "user_id": "ada",
        "title": "Hi \"you\"", "message": "text", "priority": "high", "category": "workflow",
        "action": {"label": "Open", "url": "https://x.example/"}, "metadata": {"a": [1, 2]},
        "notification_type": "alert", "offset": 7,
    });
    assert_eq!(shown(&frame.encode()), expected);
    assert_eq!(frame.encode().offset(), Some(7));
    expected["replay"] = json!(true);
    assert_eq!(shown(&frame.encode_as(true)), expected);
}

#[test]
fn a_workflow_update_and_an_inbox_change_carry_the_fields_of_the_contract() {
    let update = WorkflowUpdate {
        session_id: None,
        workflow_id: "w".to_owned(),
        stage: Some("build".to_owned()),
        progress: Some(0.5),
        status: Some("running".to_owned()),
        message: None,
        metadata: None,
        timestamp_ms: 0,
    };
    let expected = json!({
        "type": "workflow_update", "timestamp": "1970-01-01T00:00:00.000Z", "session_id": null, "workflow_id": "w",
        "stage": "build", "progress": 0.5, "status": "running", "message": null, "metadata": null,
    });
    assert_eq!(shown(&update.encode()), expected);
    let change = InboxChange {
        op: "read".to_owned(),
        ids: vec!["n1".to_owned()],
        counts: Counts { total: 3, unread: 2, unseen: 1 },
        timestamp_ms: 0,
    };
    let expected = json!({
        "type": "inbox", "timestamp": "1970-01-01T00:00:00.000Z", "op": "read", "ids": ["n1"],
        "counts": {"total": 3, "unread": 2, "unseen": 1},
    });
    assert_eq!(shown(&change.encode()), expected);
}

#[test]
fn an_error_names_its_code_and_echoes_the_id() {
    let (id, _) = parse(r#"{"type":"ping","id":"a\"b"}"#);
    let frame = error(ErrorCode::MessageTooLarge, "too large", Some("why"), id.as_ref(), 0);
    let expected = json!({
        "type": "error", "timestamp": "1970-01-01T00:00:00.000Z", "error": "too large",
        "code": "MESSAGE_TOO_LARGE", "details": "why", "id": "a\"b",
    });
    assert_eq!(shown(&frame), expected);
}

#[test]
fn a_broadcast_keeps_its_fields_and_gets_a_timestamp() {
    let message = json!({"type": "news", "n": 1});
    let frame = broadcast(message.as_object().unwrap(), 0);
    assert_eq!(shown(&frame), json!({"type": "news", "n": 1, "timestamp": "1970-01-01T00:00:00.000Z"}));
    let stamped = json!({"type": "news", "timestamp": "mine"});
    assert_eq!(shown(&broadcast(stamped.as_object().unwrap(), 0)), stamped);
}

#[test]
fn a_connect_frame_is_read_whole() {
    let text = r#"{"type":"connect","token":"t","session_id":"s","resume":{"epoch":"e","offset":9},
        "subscribe":["workflow:a","topic:b"],"timestamp":"whatever"}"#;
    let (_, Ok(ClientFrame::Connect(connect))) = parse(text) else { panic!("not read") };
    let expected = Connect {
        token: Some("t".to_owned()),
        session_id: Some("s".to_owned()),
        resume: Some(Resume { epoch: "e".to_owned(), offset: 9 }),
        subscribe: vec![Channel::parse("workflow:a").unwrap(), Channel::parse("topic:b").unwrap()],
    };
    assert_eq!(*connect, expected);
    assert!(matches!(parse(r#"{"type":"connect"}"#).1, Ok(ClientFrame::Connect(_))));
}

#[test]
fn the_size_of_data_is_its_bytes() {
    let size = |text: &str| match parse(text).1 {
        Ok(ClientFrame::LargeData { size }) => size,
        other => panic!("{other:?}"),
    };
    assert_eq!(size(r#"{"type":"large_data","data":"éa"}"#), 3);
    assert_eq!(size(r#"{"type":"large_data","data":"\u00e9\n"}"#), 3);
    assert_eq!(size(r#"{"type":"large_data","data":[1, 2]}"#), 6);
}

#[test]
fn what_is_not_understood_is_refused_by_kind() {
    use ErrorCode::{InvalidMessageFormat, UnknownMessageType};
    for text in [
        "",
        "nonsense",
        "[]",
        "{}",
        r#"{"type":5}"#,
        r#"{"type":"subscribe"}"#,
        r#"{"type":"subscribe","channel":"user:ada"}"#,
        r#"{"type":"subscribe","channel":"topic:"}"#,
        r#"{"type":"mark","ids":[],"as":"read"}"#,
        r#"{"type":"mark","ids":["n"],"as":"gone"}"#,
        r#"{"type":"ack","offset":-1}"#,
        r#"{"type":"connect","session_id":""}"#,
        r#"{"type":"large_data"}"#,
    ] {
        assert_eq!(refused(text), InvalidMessageFormat, "{text}");
    }
    assert_eq!(refused(r#"{"type":"dance","token":5}"#), UnknownMessageType);
    assert_eq!(refused(&"[".repeat(100_000)), InvalidMessageFormat);
}

#[test]
fn an_id_comes_back_where_the_rest_is_wrong_unless_it_is_too_long() {
    assert_eq!(parse(r#"{"type":"dance","id":12}"#).0.unwrap().get(), "12");
    assert!(parse(r#"{"type":"ping","id":{"a":1}}"#).0.is_none());
    assert!(parse(&format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(300))).0.is_none());
}

#[test]
fn a_frame_of_the_wrong_form_is_refused_without_the_names_of_our_types() {
    for text in [
        "[1,2]",
        "[\"ping\"]",
        "{\"type\":\"connect\",\"resume\":[1]}",
        "{\"type\":\"connect\",\"resume\":7}",
    ] {
        let (_, refused) = parse(text);
        let details = refused.expect_err("it is no frame").details;
        assert!(!details.contains("struct"), "{text}: {details}");
    }
}
