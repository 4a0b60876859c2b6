//! Claims about starting, being told to reload, and refusing to start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use rustix::process::Signal;
use serde_json::json;

use crate::support::Server;
use crate::support::client::hello;
use crate::support::server::binary;

/// Starts what should not start, and answers what it wrote to standard error.
fn refusal(server: &Server) -> String {
    let Output { status, stdout, stderr } = server.command().output().unwrap();
    let (said, why) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr).into_owned());
    assert_eq!(status.code(), Some(1), "{said}{why}");
    assert!(!said.contains("listening"), "{said}");
    assert!(!why.contains("panicked"), "{why}");
    why
}

#[tokio::test]
async fn the_first_start_prints_an_admin_key_once_and_keeps_only_its_hash() {
    let mut server = Server::prepare(&[]);
    for name in ["AUTH__ADMIN_KEY", "AUTH__JWT_SECRET", "CHANNELS__EMAIL__MODE"] {
        server.unset(name);
    }
    server.start_again().await;
    let key = crate::support::until("the key", || async {
        let said = server.said();
        said.lines().find_map(|line| line.strip_prefix("admin key: ")).map(str::to_owned)
    })
    .await;
    let admin = server.with(&key);
    admin.get("/v1/keys").await.is(200);
    admin.notify(&hello("ada")).await;
    let token = admin.mint("ada", &json!({})).await;
    for file in [server.data().join("store/db"), server.data().join("store/conf")] {
        let bytes = fs::read(file).unwrap();
        assert!(!bytes.windows(key.len()).any(|window| window == key.as_bytes()));
    }
    assert!(!server.log().contains(&key));
    server.restart().await;
    server.with(&key).get("/v1/keys").await.is(200);
    // The signing secret was made and kept, too.
    server.with(&token).get("/v1/users/me/inbox").await.is(200);
    assert!(!server.said().contains("admin key"), "{}", server.said());
}

#[tokio::test]
async fn what_is_stored_is_for_the_owner_only() {
    let server = Server::start().await;
    server.admin().notify(&hello("ada")).await;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server.data()), 0o700);
    let mut directories = vec![server.data()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path) & 0o077, 0, "{} is open to others", path.display());
            if path.is_dir() {
                directories.push(path);
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_by_key_file_and_line() {
    let mut server = Server::start_with_file("").await;
    server.kill();
    server.unset("SERVER__LISTEN");
    for (text, line, key) in [
        ("[server]\n\nlisen = \"127.0.0.1:0\"\n", 3, "lisen"),
        ("[server]\nlisten = \"nonsense\"\n", 2, "server.listen"),
        ("[sever]\nlisten = \"127.0.0.1:0\"\n", 1, "sever"),
        ("[websocket]\nmax_connections = 0\n", 2, "websocket.max_connections"),
        ("[websocket]\nmax_connections = -1\n", 2, "websocket.max_connections"),
        ("[websocket]\nmax_connections = \"many\"\n", 2, "websocket.max_connections"),
        ("[websocket]\nheartbeat_interval = 0\n", 2, "websocket.heartbeat_interval"),
        ("[websocket]\nheartbeat_interval = -30\n", 2, "websocket.heartbeat_interval"),
        ("[websocket]\nconnection_timeout = 0\n", 2, "websocket.connection_timeout"),
        ("[websocket]\nmax_reconnect_attempts = 0\n", 2, "websocket.max_reconnect_attempts"),
        ("[websocket]\nreconnect_delay = -1\n", 2, "websocket.reconnect_delay"),
        ("[websocket]\nmax_message_size = 0\n", 2, "websocket.max_message_size"),
        ("[websocket]\nmessage_queue_size = -5\n", 2, "websocket.message_queue_size"),
        (
            "[websocket]\nheartbeat_interval = 30\nconnection_timeout = 20\n",
            3,
            "websocket.connection_timeout",
        ),
        ("[channels.email]\nmode = \"live\"\n", 2, "channels.email.host"),
        ("[channels.email]\nhost = \"h\"\ntls = \"maybe\"\n", 3, "channels.email.tls"),
        ("[channels.email]\nhost = \"h\"\nusername = \"u\"\n", 3, "channels.email.password"),
        ("[retry.email]\nschedule = [\"soon\"]\n", 2, "retry.email.schedule"),
        ("[log]\nlevel = \"loud\"\n", 2, "log.level"),
    ] {
        fs::write(server.config(), text).unwrap();
        let why = refusal(&server);
        let place = format!("{}:{line}", server.config().display());
        assert!(why.contains(&place), "{text}: no {place} in {why}");
        assert!(why.contains(key), "{text}: no {key} in {why}");
    }
    fs::write(server.config(), "[server\nlisten=").unwrap();
    let why = refusal(&server);
    assert!(why.contains(&format!("{}:1", server.config().display())), "{why}");
    fs::write(server.config(), "[websocket]\nmax_connections = 0\n[log]\nlevel = \"loud\"\n").unwrap();
    let why = refusal(&server);
    assert!(why.contains("websocket.max_connections") && why.contains("log.level"), "all at once: {why}");
}

#[tokio::test]
async fn a_wrong_environment_is_refused_by_its_variable() {
    for (name, value) in [
        ("SERVER__LISTEN", "nonsense"),
        ("SERVER__LISEN", "127.0.0.1:0"),
        ("WEBSOCKET__MAX_CONNECTIONS", "0"),
        ("WEBSOCKET__HEARTBEAT_INTERVAL", "-1s"),
        ("AUTH__ADMIN_KEY", "short"),
        ("AUTH__JWT_SECRET", "short"),
        ("AUTH__JWT_SECRET_FILE", "/no/such/file"),
        ("SERVER__ALLOWED_ORIGINS", "https://not-a-list.example.org"),
        ("RETRY__EMAIL__SCHEDULE", "100ms"),
    ] {
        let mut server = Server::prepare(&[]);
        server.unset(name.trim_end_matches("_FILE"));
        server.set(name, value);
        let why = refusal(&server);
        assert!(why.contains(&format!("BELFRY_{name}")), "{name}: {why}");
        assert!(!why.contains("short"), "a secret is not shown: {why}");
        assert!(!server.data().exists(), "{name}: nothing is opened before the configuration is good");
    }
}

#[tokio::test]
async fn custom_values_are_taken_and_the_environment_is_stronger_than_the_file() {
    let text = "[websocket]\nheartbeat_interval = \"20s\"\nmax_reconnect_attempts = 9\nreconnect_delay = \"250ms\"\n\
        max_message_size = 4096\n[channels.email]\nmode = \"capture\"\n";
    let mut server = Server::start_with_file(text).await;
    server.kill();
    server.set("WEBSOCKET__HEARTBEAT_INTERVAL", "15s");
    let file = server.config().with_file_name("secret");
    fs::write(&file, "the-admin-key-of-a-file\n").unwrap();
    server.unset("AUTH__ADMIN_KEY");
    server.set("AUTH__ADMIN_KEY_FILE", &file.to_string_lossy());
    server.start_again().await;
    let admin = server.with("the-admin-key-of-a-file");
    let token = admin.mint("ada", &json!({})).await;
    let (_, hello_frame) = crate::support::Socket::join(server.url(), &token, "").await;
    assert_eq!(
        (&hello_frame["heartbeat_interval"], &hello_frame["max_message_size"]),
        (&json!(15), &json!(4096))
    );
    let reconnect = &hello_frame["reconnect"];
    assert_eq!((&reconnect["max_attempts"], &reconnect["delay_ms"]), (&json!(9), &json!(250)));
}

#[tokio::test]
async fn a_taken_port_is_refused_and_says_which() {
    let server = Server::start().await;
    let address = server.url().strip_prefix("http://").unwrap();
    let other = Server::prepare(&[("SERVER__LISTEN", address)]);
    let why = refusal(&other);
    assert!(why.contains(address) && why.contains("server.listen"), "{why}");
}

#[tokio::test]
async fn a_store_that_was_there_and_is_gone_is_not_replaced_by_an_empty_one() {
    let mut server = Server::start().await;
    server.admin().notify(&hello("ada")).await;
    server.kill();
    let store = server.data().join("store");
    let aside = server.data().join("aside");
    fs::rename(&store, &aside).unwrap();
    for emptied in [false, true] {
        if emptied {
            let _ = fs::remove_dir_all(&store);
            fs::create_dir(&store).unwrap();
        }
        let why = refusal(&server);
        assert!(why.contains("refusing to start"), "{why}");
        assert!(why.contains("restore a backup") && why.contains("store.id"), "says what to do: {why}");
    }
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&aside, &store).unwrap();
    server.start_again().await;
    assert_eq!(server.admin().get("/v1/users/ada/inbox/counts").await.is(200)["total"], 1);
}

#[tokio::test]
async fn another_store_in_its_place_and_rubbish_are_refused() {
    let mut server = Server::start().await;
    let mut stranger = Server::start().await;
    for one in [&mut server, &mut stranger] {
        one.admin().notify(&hello("ada")).await;
        one.kill();
    }
    let (ours, theirs) = (server.data().join("store"), stranger.data().join("store"));
    let aside = server.data().join("aside");
    fs::rename(&ours, &aside).unwrap();
    fs::rename(&theirs, &ours).unwrap();
    let why = refusal(&server);
    assert!(why.contains("refusing to start") && why.contains("a different one"), "{why}");
    fs::remove_dir_all(&ours).unwrap();
    fs::create_dir(&ours).unwrap();
    for file in ["db", "conf"] {
        fs::write(ours.join(file), b"rubbish".repeat(10_000)).unwrap();
    }
    let why = refusal(&server);
    assert!(why.contains(&*server.data().to_string_lossy()), "{why}");
}

#[tokio::test]
async fn a_second_server_on_one_directory_is_refused_and_the_first_goes_on() {
    let server = Server::start().await;
    let second = Server::prepare(&[("STORAGE__PATH", &server.data().to_string_lossy())]);
    let why = refusal(&second);
    assert!(why.contains("another process is using it"), "{why}");
    server.admin().notify(&hello("ada")).await;
}

#[tokio::test]
async fn a_hang_up_reads_the_file_again_and_a_bad_one_keeps_the_old() {
    let good = |mode: &str| format!("[channels.email]\nmode = \"{mode}\"\n");
    let server = Server::start_with_file(&good("capture")).await;
    let admin = server.admin();
    admin.person("ada").await;
    let token = admin.mint("ada", &json!({})).await;
    let (mut socket, _) = crate::support::Socket::join(server.url(), &token, "").await;
    let pending = async || admin.notify(&hello("ada")).await["channels_pending"].clone();
    assert_eq!(pending().await, json!(["email"]));
    for (at, (text, wanted)) in [
        (good("off"), json!([])),
        ("[channels.email]\nmode = \"sometimes\"\n".to_owned(), json!([])),
        ("rubbish".to_owned(), json!([])),
        (good("capture"), json!(["email"])),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(server.config(), &text).unwrap();
        let good = text.contains("off") || text.contains("capture");
        let words = if good { "the configuration was read again" } else { "the old one holds" };
        let seen = server.log().matches(words).count();
        server.signal(Signal::HUP);
        server.logs(words, seen).await;
        assert_eq!(pending().await, wanted, "{at}: {text}");
    }
    assert!(server.log().contains("channels.email.mode"), "the log names what was wrong");
    // The connection has lived through it all.
    for _ in 0..5 {
        socket.next_of("notification").await;
    }
}

#[tokio::test]
async fn both_signals_end_it_in_order_and_what_was_accepted_is_there_again() {
    let mut server = Server::start().await;
    for (at, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        server.admin().notify(&hello("ada")).await;
        server.signal(signal);
        assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
        server.start_again().await;
        let counts = server.admin().get("/v1/users/ada/inbox/counts").await.is(200);
        assert_eq!(counts["total"], at + 1);
    }
}

#[tokio::test]
async fn a_command_that_is_none_is_a_usage_error() {
    for arguments in [&["serve", "--nonsense"][..], &["dance"], &["serve", "--listen"]] {
        let output = std::process::Command::new(binary()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
