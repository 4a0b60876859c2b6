//! A mail server that is fast enough to measure against: it says what it is told to say of each recipient, and hands
//! what it has taken to whoever counts.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What it does with mails.
pub struct Sink {
    /// How long it takes to have a mail on its disk.
    pub wait: Duration,
    /// What it says of a recipient, where that is a no.
    pub refuses: Box<dyn Fn(&str) -> Option<&'static str> + Send + Sync>,
    /// Told of each recipient of a mail that it took.
    pub took: Box<dyn Fn(&str) + Send + Sync>,
}

impl Sink {
    /// Serves for as long as the runtime lives; gives its port.
    #[expect(clippy::disallowed_methods, reason = "a test has no supervisor to spawn by")]
    pub async fn start(self) -> std::io::Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (port, sink) = (listener.local_addr()?.port(), Arc::new(self));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sink = sink.clone();
                // An error is the other side's going away.
                tokio::spawn(async move { sink.serve(stream).await.ok() });
            }
        });
        Ok(port)
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::with_capacity(32 * 1024, stream);
        stream.write_all(b"220 sink ESMTP\r\n").await?;
        let (mut text, mut recipient) = (String::new(), String::new());
        loop {
            text.clear();
            if stream.read_line(&mut text).await? == 0 {
                return Ok(());
            }
            let answer = match text.get(..4).map(str::to_ascii_uppercase).as_deref() {
                Some("EHLO") => "250-sink\r\n250-8BITMIME\r\n250 SMTPUTF8",
                Some("RCPT") => {
                    let address = text.split(['<', '>']).nth(1).unwrap_or_default();
                    recipient = address.to_owned();
                    (self.refuses)(address).unwrap_or("250 2.1.5 Welcome")
                }
                Some("DATA") => {
                    stream.write_all(b"354 Go on\r\n").await?;
                    read_mail(&mut stream).await?;
                    if !self.wait.is_zero() {
                        tokio::time::sleep(self.wait).await;
                    }
                    (self.took)(&recipient);
                    "250 2.0.0 Taken"
                }
                Some("QUIT") => "221 2.0.0 Bye",
                _ => "250 2.0.0 OK",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }
}

async fn read_mail(stream: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    let mut mail = Vec::with_capacity(8 * 1024);
    while !mail.ends_with(b"\r\n.\r\n") {
        if stream.read_buf(&mut mail).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
