//! Messages into RFC 6455 frames: header and payload in one buffer, to be shared by all who get it.

use bytes::Bytes;

use super::{CLOSE, CONTROL_BYTES_MAX, FIN, PONG, TEXT};

/// The longest header of a server's frame: it has no mask.
const SERVER_HEAD_BYTES_MAX: usize = 10;

/// A server's text frame around what `write` appends, header and payload in one buffer; and where the payload begins.
pub fn text_frame<E>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(Bytes, u8), E> {
    let mut buffer = Vec::with_capacity(256);
    buffer.resize(SERVER_HEAD_BYTES_MAX, 0);
    write(&mut buffer)?;
    Ok(framed(TEXT, buffer))
}

/// The answer to a protocol-level ping.
pub fn pong_frame(payload: &[u8]) -> Bytes {
    control_frame(PONG, payload)
}

/// A close frame. The reason is cut to what fits.
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut payload = code.to_be_bytes().to_vec();
    let room = reason.len().min(CONTROL_BYTES_MAX - 2);
    let end = (0..=room).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    control_frame(CLOSE, &payload)
}

fn control_frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut buffer = vec![0; SERVER_HEAD_BYTES_MAX];
    buffer.extend_from_slice(&payload[..payload.len().min(CONTROL_BYTES_MAX)]);
    framed(opcode, buffer).0
}

/// Puts the header right before the payload, which begins at `SERVER_HEAD_BYTES_MAX`.
fn framed(opcode: u8, mut buffer: Vec<u8>) -> (Bytes, u8) {
    let length = buffer.len() - SERVER_HEAD_BYTES_MAX;
    let mut head = [0; SERVER_HEAD_BYTES_MAX];
    head[0] = FIN | opcode;
    let head_len = match length {
        0..=125 => {
            head[1] = length as u8;
            2
        }
        126..=0xffff => {
            head[1] = 126;
            head[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        _ => {
            head[1] = 127;
            head[2..10].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    };
    let start = SERVER_HEAD_BYTES_MAX - head_len;
    buffer[start..SERVER_HEAD_BYTES_MAX].copy_from_slice(&head[..head_len]);
    buffer.shrink_to_fit();
    // At most SERVER_HEAD_BYTES_MAX, so the cast loses nothing.
    (Bytes::from(buffer).slice(start..), head_len as u8)
}
