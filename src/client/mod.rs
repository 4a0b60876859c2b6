//! A client of a Belfry server, for programs in Rust: REST, and a live stream that comes back by itself.
//!
//! [`Client`] asks one server, with an API key or a user token. [`Stream`] keeps a live connection: it resumes where it
//! stopped, waits as long as the server advises between attempts, and gives each notification once. The command line and the
//! tests are made of these two.
//!
//! ```no_run
//! use belfry::client::{Client, Lost, Stream, Told};
//!
//! async fn listen() -> Result<(), Lost> {
//!     let server = "http://127.0.0.1:8470".parse().expect("an address");
//!     let client = Client::new(server, Some("bk_…".into()))?;
//!     let mut stream = Stream::of_user(client, "ada");
//!     stream.subscribe("topic:news").await;
//!     loop {
//!         if let Told::Frame { kind, text, .. } = stream.next().await? {
//!             println!("{kind}: {text}");
//!         }
//!     }
//! }
//! ```

pub mod live;
pub mod refusal;
pub mod rest;
pub mod resume;
pub mod stream;
pub mod words;

pub use refusal::Problem;
pub use rest::{Answer, Client, ClientError};
pub use stream::{Lost, Stream, Told, mint};
