//! Operations for people: who they are, what they want, what they got, and the topics that they belong to.

use serde_json::json;

use super::operation::Access::{Key, Own, Public};
use super::operation::{Operation, op};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = users();
    all.extend(preferences());
    all.extend(inbox());
    all.extend(topics());
    all.extend(push());
    all.extend(leaving());
    all
}

fn users() -> Vec<Operation> {
    let tag = "users";
    vec![
        op("get", "/v1/users", tag, Key("read"), "List users")
            .query("include", json!({ "type": "string", "enum": ["said"] }), "`said` adds what each said of their preferences, or null.")
            .lists("User"),
        op("get", "/v1/users/{id}", tag, Own("read"), "Show a user").gives(200, "User", "The user."),
        op("put", "/v1/users/{id}", tag, Key("admin"), "Make or replace a user")
            .about("Users also come into being by their first notification. Preferences stay as they are.")
            .takes("UserInput")
            .example(json!({ "email": "ada@example.org", "locale": "en-GB", "timezone": "Europe/London" }))
            .gives(200, "User", "The user was replaced.")
            .gives(201, "User", "The user was made."),
        op("patch", "/v1/users/{id}", tag, Own("admin"), "Change a user")
            .about("What is given changes, null removes, the rest stays (RFC 7396). A user token may change `locale` and `timezone`.")
            .takes("UserInput")
            .gives(200, "User", "The user as they are now."),
        op("delete", "/v1/users/{id}", tag, Key("admin"), "Erase a user")
            .about("From every store and log: what they were sent, want and set up, and the schedules and hooks for them alone. Their connections are closed.")
            .gives_nothing(204, "Nothing of them is left."),
        op("post", "/v1/users/{id}/tokens", tag, Key("admin"), "Mint a user token")
            .may_take("TokenInput")
            .example(json!({ "expires_in": 3600, "workflows": ["*"] }))
            .gives(201, "Token", "The token; it is kept nowhere."),
        op("get", "/v1/users/{id}/export", tag, Own("read"), "Export everything that is stored of a user")
            .query("cursor", json!({ "type": "string" }), "`next_cursor` of the document before, where there is more.")
            .gives(200, "UserExport", "One document."),
        op("get", "/v1/users/{id}/topics", tag, Own("read"), "List a user's topics").lists("TopicOfUser"),
    ]
}

fn preferences() -> Vec<Operation> {
    let tag = "preferences";
    let days = json!({ "type": "integer", "minimum": 1, "maximum": 366, "default": 14 });
    vec![
        op("get", "/v1/users/{id}/preferences", tag, Own("read"), "Show what a user wants")
            .about("The defaults where nothing is stored.")
            .gives(200, "Preferences", "Their preferences."),
        op("put", "/v1/users/{id}/preferences", tag, Own("admin"), "Replace what a user wants")
            .takes("PreferencesInput")
            .gives(200, "Preferences", "Their preferences as they are now."),
        op("patch", "/v1/users/{id}/preferences", tag, Own("admin"), "Change what a user wants")
            .about("Merged deeply: what is not named stays.")
            .takes("PreferencesInput")
            .example(json!({ "channels": { "sms": true }, "quiet_hours": { "enabled": true } }))
            .gives(200, "Preferences", "Their preferences as they are now."),
        op(
            "get",
            "/v1/users/{id}/preferences/effective",
            tag,
            Own("read"),
            "Say which layer decided each preference",
        )
        .gives(
            200,
            "EffectivePreferences",
            "Each category and channel, with the layer that decided.",
        ),
        op(
            "get",
            "/v1/users/{id}/preferences/history",
            tag,
            Own("read"),
            "List changes of a user's preferences",
        )
        .gives(200, "PreferencesHistory", "The last changes, newest first."),
        op("get", "/v1/users/{id}/quiet-hours/preview", tag, Own("read"), "List a user's next quiet hours")
            .query("days", days, "How many days to look ahead.")
            .gives(200, "QuietHoursPreview", "The windows as instants."),
        op("get", "/v1/categories", tag, Key("read"), "List categories")
            .query(
                "include",
                json!({ "type": "string", "enum": ["said"] }),
                "`said` shows what was said alone.",
            )
            .lists("Category"),
        op("get", "/v1/categories/{name}", tag, Key("read"), "Show a category").gives(
            200,
            "Category",
            "The category.",
        ),
        op("put", "/v1/categories/{name}", tag, Key("admin"), "Make or replace a category")
            .takes("CategoryInput")
            .gives(200, "Category", "The category was replaced.")
            .gives(201, "Category", "The category was made."),
        op("delete", "/v1/categories/{name}", tag, Key("admin"), "Remove a category")
            .gives_nothing(204, "It is gone.")
            .fails(&[409]),
    ]
}

fn inbox() -> Vec<Operation> {
    let tag = "inbox";
    let shelves = json!({ "enum": ["unread", "all", "archived"], "default": "all" });
    vec![
        op("get", "/v1/users/{id}/inbox", tag, Own("read"), "List a user's inbox")
            .query("status", shelves, "Which of them.")
            .query("category", json!({ "type": "string" }), "Those of one category.")
            .lists("InboxEntry"),
        op("get", "/v1/users/{id}/inbox/counts", tag, Own("read"), "Count a user's inbox").gives(
            200,
            "Counts",
            "How many there are.",
        ),
        op("post", "/v1/users/{id}/inbox/mark", tag, Own("admin"), "Mark entries of a user's inbox")
            .takes("MarkInput")
            .example(json!({ "all": true, "as": "read" }))
            .gives(200, "MarkResult", "How many changed, and the counts now."),
    ]
}

fn push() -> Vec<Operation> {
    let tag = "users";
    let path = "/v1/users/{id}/push-subscriptions";
    vec![
        op("get", path, tag, Own("read"), "List a user's browsers")
            .about("Their endpoints are shown in part: whoever knows one could reach it.")
            .gives(200, "PushSubscriptions", "Every one of them, newest first."),
        op("post", path, tag, Own("admin"), "Add a user's browser")
            .about("The W3C `PushSubscription` as the browser gives it.")
            .takes("PushSubscriptionInput")
            .gives(200, "PushSubscription", "It was known already.")
            .gives(201, "PushSubscription", "It is new."),
        op("delete", path, tag, Own("admin"), "Remove a user's browser by its endpoint")
            .query("endpoint", json!({ "type": "string" }), "The endpoint.")
            .gives_nothing(204, "It is gone."),
        op(
            "delete",
            "/v1/users/{id}/push-subscriptions/{subscription}",
            tag,
            Own("admin"),
            "Remove a user's browser",
        )
        .gives_nothing(204, "It is gone."),
        op("post", "/v1/push/renew", tag, Public, "Tell that a browser has another address")
            .about("For the browser itself, while no page is open: the secret of the old subscription shows that it is the same one.")
            .takes("PushRenewal")
            .gives_nothing(204, "The new subscription stands in the place of the old one.")
            .fails(&[404]),
        op("get", "/v1/push/vapid-public-key", tag, Public, "Show the key to subscribe browsers with")
            .gives(200, "PushKey", "The key, in base64url.")
            .fails(&[404]),
    ]
}

fn leaving() -> Vec<Operation> {
    let (tag, list, link) = ("users", "/v1/suppressions", "/u/{signed}");
    vec![
        op("get", list, tag, Key("read"), "List suppressed addresses")
            .about("Nothing is sent to them: deliveries are skipped with the reason `suppressed`.")
            .query("channel", json!({ "enum": ["email", "sms"] }), "Those of one channel.")
            .lists("Suppression"),
        op("post", list, tag, Key("admin"), "Suppress an address")
            .takes("SuppressionInput")
            .example(
                json!({ "channel": "email", "address": "anna@example.org", "reason": "asked on the phone" }),
            )
            .gives(200, "Suppression", "It was suppressed already, and stays as it was.")
            .gives(201, "Suppression", "It is suppressed."),
        op("delete", "/v1/suppressions/{id}", tag, Key("admin"), "Send to an address again")
            .about("By its id, or as `channel:address`.")
            .gives_nothing(204, "It is off the list."),
        op("get", link, tag, Public, "Show the preference page")
            .about("Where the links in mails lead. It needs no login and no JavaScript, and looking changes nothing.")
            .gives_raw(200, "text/html", "The page.")
            .gives_raw(404, "text/html", "A page that says that the link does not work."),
        op("post", link, tag, Public, "Unsubscribe, or save the preference page")
            .about("`List-Unsubscribe=One-Click` unsubscribes from the link's category on its channel (RFC 8058).")
            .takes_raw("application/x-www-form-urlencoded", "The form.")
            .takes_raw("multipart/form-data", "The form.")
            .gives_raw(200, "text/html", "The page, as it is now.")
            .gives_raw(404, "text/html", "A page that says that the link does not work.")
            .gives_raw(409, "text/html", "The page, where the category cannot be switched off."),
    ]
}

fn topics() -> Vec<Operation> {
    let tag = "topics";
    vec![
        op("get", "/v1/topics", tag, Key("read"), "List topics").lists("Topic"),
        op("get", "/v1/topics/{name}", tag, Key("read"), "Show a topic").gives(200, "Topic", "The topic."),
        op("put", "/v1/topics/{name}", tag, Key("admin"), "Make a topic or describe it")
            .may_take("TopicInput")
            .gives(200, "Topic", "The topic as it is now.")
            .gives(201, "Topic", "The topic was made."),
        op("delete", "/v1/topics/{name}", tag, Key("admin"), "Remove a topic")
            .gives_nothing(204, "It is gone."),
        op("get", "/v1/topics/{name}/members", tag, Key("read"), "List a topic's members").lists("Member"),
        op("put", "/v1/topics/{name}/members", tag, Key("admin"), "Add members to a topic")
            .takes("MembersInput")
            .example(json!({ "user_ids": ["ada", "bob"] }))
            .gives(200, "MembersAdded", "How many are new."),
        op("delete", "/v1/topics/{name}/members", tag, Key("admin"), "Remove members from a topic")
            .takes("MembersInput")
            .gives(200, "MembersRemoved", "How many are gone."),
    ]
}
