//! A gateway's faults, as it has them on the wire.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// How a request is answered that was taken.
pub const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// What a gateway does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It takes it.
    None,
    /// It says nothing.
    Hangs,
    /// It ends the connection.
    Drops,
    /// It answers what is no HTTP.
    Garbage,
    /// It says one byte a second.
    Trickles,
    /// Nobody listens.
    Down,
}

impl Fault {
    /// Answers a request. Answers whether the connection takes another.
    pub async fn answer(self, stream: &mut TcpStream) -> bool {
        let said: &[u8] = match self {
            Fault::None => TAKEN,
            Fault::Garbage => b"\x00\xff{]\r\n\r\nnot a word of HTTP",
            Fault::Drops | Fault::Down => return false,
            Fault::Hangs => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return false;
            }
            Fault::Trickles => {
                for byte in TAKEN {
                    if stream.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                return false;
            }
        };
        stream.write_all(said).await.is_ok()
    }
}
