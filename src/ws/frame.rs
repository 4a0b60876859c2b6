//! RFC 6455 frames: bytes into messages, however they are cut, and messages into bytes.
//!
//! The decoder holds memory only while a message is under way. A message over the bound is not an offence: its
//! payload is skipped, not kept, and the connection lives.

mod encode;

pub use self::encode::{close_frame, pong_frame, text_frame};

/// The most payload bytes of a control frame (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: usize = 125;
/// The longest header of a client's frame: two bytes, a 64-bit length and a mask.
const HEAD_BYTES_MAX: usize = 14;
/// Room that is taken for a message before its bytes are there: a client may announce much and send little.
const ROOM_AHEAD_BYTES_MAX: usize = 16 * 1024;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// What came from the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A text message, whole.
    Text(String),
    /// A binary message; its payload was skipped, since the protocol has none.
    Binary,
    /// A message over the bound began; its payload is skipped.
    TooLarge,
    /// A protocol-level ping with its payload.
    Ping(Vec<u8>),
    /// A protocol-level pong.
    Pong,
    /// The client closes, with its code where it gave one.
    Close(Option<u16>),
}

/// The client broke RFC 6455, and the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The framing is broken.
    #[error("{0}")]
    Protocol(&'static str),
    /// A text is not UTF-8.
    #[error("a text message must be valid UTF-8")]
    NotUtf8,
}

impl Violation {
    /// The close code of RFC 6455, 7.4.1.
    pub fn close_code(&self) -> u16 {
        match self {
            Violation::Protocol(_) => 1002,
            Violation::NotUtf8 => 1007,
        }
    }
}

/// What becomes of the message under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    None,
    Text,
    Binary,
    Skipped,
}

/// The payload under way.
#[derive(Clone, Copy, Debug)]
struct Payload {
    left: u64,
    mask: u32,
    opcode: u8,
    last: bool,
}

/// Turns bytes into events. Feed it whatever arrives, in order.
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: usize,
    head: [u8; HEAD_BYTES_MAX],
    head_len: u8,
    payload: Option<Payload>,
    message: Message,
    message_len: u64,
    fragments: u32,
    text: Vec<u8>,
    control: Vec<u8>,
}

impl Decoder {
    /// A decoder for messages up to a bound.
    pub fn new(message_bytes_max: usize) -> Decoder {
        Decoder {
            message_bytes_max,
            head: [0; HEAD_BYTES_MAX],
            head_len: 0,
            payload: None,
            message: Message::None,
            message_len: 0,
            fragments: 0,
            text: Vec::new(),
            control: Vec::new(),
        }
    }

    /// Sets another bound, for messages that begin from now on.
    pub fn allow(&mut self, message_bytes_max: usize) {
        self.message_bytes_max = message_bytes_max;
    }

    /// Reads on in `input`. Answers how many bytes were used and the next event; without an event everything was
    /// used. After a violation the decoder is of no more use.
    pub fn next(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), Violation> {
        let mut used = 0;
        loop {
            if self.payload.is_none() {
                used += self.read_head(&input[used..]);
                if usize::from(self.head_len) < self.head_len_wanted() {
                    return Ok((used, None));
                }
                let too_large = self.begin_frame()?;
                if too_large {
                    return Ok((used, Some(Event::TooLarge)));
                }
            }
            used += self.read_payload(&input[used..]);
            match self.payload {
                Some(payload) if payload.left == 0 => {
                    self.payload = None;
                    if let Some(event) = self.end_frame(payload)? {
                        return Ok((used, Some(event)));
                    }
                }
                Some(_) | None => return Ok((used, None)),
            }
        }
    }

    /// How many fragments came since this was last asked, the last one of each message not counted: they give no
    /// event, and yet they cost.
    pub fn take_fragments(&mut self) -> u32 {
        std::mem::take(&mut self.fragments)
    }

    fn head_len_wanted(&self) -> usize {
        if self.head_len < 2 {
            return 2;
        }
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        match self.head[1] & 0x7f {
            126 => 4 + mask,
            127 => 10 + mask,
            _ => 2 + mask,
        }
    }

    fn read_head(&mut self, input: &[u8]) -> usize {
        let mut used = 0;
        while usize::from(self.head_len) < self.head_len_wanted() && used < input.len() {
            self.head[usize::from(self.head_len)] = input[used];
            self.head_len += 1;
            used += 1;
        }
        used
    }

    /// Judges a complete header. Answers whether it makes its message too large.
    fn begin_frame(&mut self) -> Result<bool, Violation> {
        let head = self.head;
        let head_len = usize::from(self.head_len);
        self.head_len = 0;
        let (last, opcode) = (head[0] & FIN != 0, head[0] & 0x0f);
        self.fragments = self.fragments.saturating_add(u32::from(!last));
        if head[0] & 0x70 != 0 {
            return Err(Violation::Protocol("reserved bits must be zero"));
        }
        if head[1] & 0x80 == 0 {
            return Err(Violation::Protocol("a client's frames must be masked"));
        }
        let length = match head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([head[2], head[3]])),
            127 => {
                u64::from_be_bytes([head[2], head[3], head[4], head[5], head[6], head[7], head[8], head[9]])
            }
            short => u64::from(short),
        };
        if length >> 63 != 0 {
            return Err(Violation::Protocol("a length must be below 2^63"));
        }
        let mask = u32::from_ne_bytes([
            head[head_len - 4],
            head[head_len - 3],
            head[head_len - 2],
            head[head_len - 1],
        ]);
        self.payload = Some(Payload { left: length, mask, opcode, last });
        match opcode {
            CLOSE | PING | PONG => {
                if !last || length > CONTROL_BYTES_MAX as u64 {
                    return Err(Violation::Protocol("a control frame is short and not fragmented"));
                }
                Ok(false)
            }
            CONTINUATION => self.continue_message(length),
            TEXT => self.begin_message(Message::Text, length),
            BINARY => self.begin_message(Message::Binary, length),
            _ => Err(Violation::Protocol("unknown opcode")),
        }
    }

    fn begin_message(&mut self, message: Message, length: u64) -> Result<bool, Violation> {
        if self.message != Message::None {
            return Err(Violation::Protocol("the message before has not ended"));
        }
        self.message = message;
        self.message_len = 0;
        Ok(self.grow(length))
    }

    fn continue_message(&mut self, length: u64) -> Result<bool, Violation> {
        if self.message == Message::None {
            return Err(Violation::Protocol("there is no message to continue"));
        }
        Ok(self.grow(length))
    }

    /// Answers true once for a message: when it grows over the bound.
    fn grow(&mut self, length: u64) -> bool {
        self.message_len = self.message_len.saturating_add(length);
        if self.message == Message::Skipped {
            return false;
        }
        if self.message_len > self.message_bytes_max as u64 {
            self.message = Message::Skipped;
            self.text = Vec::new();
            return true;
        }
        if self.message == Message::Text {
            // At most message_bytes_max, so the cast loses nothing.
            self.text.reserve((length as usize).min(ROOM_AHEAD_BYTES_MAX));
        }
        false
    }

    fn read_payload(&mut self, input: &[u8]) -> usize {
        let Some(payload) = &mut self.payload else { return 0 };
        let used = usize::try_from(payload.left).unwrap_or(usize::MAX).min(input.len());
        let chunk = &input[..used];
        match payload.opcode {
            CLOSE | PING | PONG => append_unmasked(&mut self.control, chunk, payload.mask),
            _ if self.message == Message::Text => append_unmasked(&mut self.text, chunk, payload.mask),
            _ => {}
        }
        // The mask goes on where this chunk ended.
        payload.mask = rotated(payload.mask, used);
        payload.left -= used as u64;
        used
    }

    fn end_frame(&mut self, payload: Payload) -> Result<Option<Event>, Violation> {
        match payload.opcode {
            PING => Ok(Some(Event::Ping(std::mem::take(&mut self.control)))),
            PONG => {
                self.control = Vec::new();
                Ok(Some(Event::Pong))
            }
            CLOSE => close_event(&std::mem::take(&mut self.control)).map(Some),
            _ if payload.last => self.end_message(),
            _ => Ok(None),
        }
    }

    fn end_message(&mut self) -> Result<Option<Event>, Violation> {
        match std::mem::replace(&mut self.message, Message::None) {
            Message::None | Message::Skipped => Ok(None),
            Message::Binary => Ok(Some(Event::Binary)),
            Message::Text => match String::from_utf8(std::mem::take(&mut self.text)) {
                Ok(text) => Ok(Some(Event::Text(text))),
                Err(_) => Err(Violation::NotUtf8),
            },
        }
    }
}

fn rotated(mask: u32, by: usize) -> u32 {
    let mut bytes = mask.to_ne_bytes();
    bytes.rotate_left(by % 4);
    u32::from_ne_bytes(bytes)
}

fn append_unmasked(to: &mut Vec<u8>, chunk: &[u8], mask: u32) {
    let from = to.len();
    to.extend_from_slice(chunk);
    let mask = mask.to_ne_bytes();
    let mut words = to[from..].chunks_exact_mut(4);
    for word in &mut words {
        for (byte, mask) in word.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

fn close_event(payload: &[u8]) -> Result<Event, Violation> {
    match payload {
        [] => Ok(Event::Close(None)),
        [_] => Err(Violation::Protocol("a close code has two bytes")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !may_be_sent(code) {
                return Err(Violation::Protocol("no such close code"));
            }
            std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
            Ok(Event::Close(Some(code)))
        }
    }
}

/// RFC 6455, 7.4, with the codes registered since.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests;
