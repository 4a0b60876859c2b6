//! Frames as a client may cut them.

use proptest::prelude::*;

use super::*;

fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload, [1, 2, 3, 4])
}

fn decoded(decoder: &mut Decoder, mut input: &[u8], events: &mut Vec<Event>) -> Result<(), Violation> {
    loop {
        let (used, event) = decoder.next(input)?;
        input = &input[used..];
        match event {
            Some(event) => events.push(event),
            None => {
                assert!(input.is_empty(), "without an event everything is used");
                return Ok(());
            }
        }
    }
}

fn all(input: &[u8]) -> Result<Vec<Event>, Violation> {
    let mut events = Vec::new();
    decoded(&mut Decoder::new(1000), input, &mut events).map(|()| events)
}

fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

#[test]
fn a_fragmented_message_is_put_together_around_a_ping() {
    let stream = [client(0x01, b"be"), client(0x89, b"?"), client(0x00, b"l"), client(0x80, b"fry")].concat();
    assert_eq!(all(&stream).unwrap(), [Event::Ping(b"?".to_vec()), text("belfry")]);
}

#[test]
fn an_empty_message_is_a_message() {
    assert_eq!(all(&client(0x81, b"")).unwrap(), [text("")]);
    assert_eq!(all(&[client(0x01, b""), client(0x80, b"")].concat()).unwrap(), [text("")]);
}

#[test]
fn a_message_over_the_bound_is_skipped_and_the_next_one_is_read() {
    let stream = [client(0x81, &[b'x'; 1001]), client(0x81, b"next")].concat();
    assert_eq!(all(&stream).unwrap(), [Event::TooLarge, text("next")]);
    let fragments =
        [client(0x01, &[b'x'; 999]), client(0x00, b"xx"), client(0x80, b"x"), client(0x81, b"n")].concat();
    assert_eq!(all(&fragments).unwrap(), [Event::TooLarge, text("n")]);
    assert_eq!(all(&client(0x81, &[b'x'; 1000])).unwrap().len(), 1);
}

#[test]
fn an_announced_giant_takes_no_memory() {
    let mut decoder = Decoder::new(1 << 40);
    let head = [0x81, 0xff, 0, 0, 0, 0xff, 0, 0, 0, 0, 1, 2, 3, 4, b'x'];
    assert_eq!(decoder.next(&head).unwrap(), (15, None));
    assert!(decoder.text.capacity() <= ROOM_AHEAD_BYTES_MAX);
}

#[test]
fn a_decoder_at_rest_holds_no_memory() {
    let mut decoder = Decoder::new(1000);
    let stream = [client(0x81, b"hello"), client(0x89, b"p"), client(0x8a, b"q")].concat();
    decoded(&mut decoder, &stream, &mut Vec::new()).unwrap();
    assert_eq!(decoder.text.capacity() + decoder.control.capacity(), 0);
}

#[test]
fn broken_framing_is_a_protocol_violation() {
    let broken: [(&str, Vec<u8>); 11] = [
        ("unmasked", vec![0x81, 0x00]),
        ("reserved bit", client(0xc1, b"x")),
        ("unknown data opcode", client(0x83, b"x")),
        ("unknown control opcode", client(0x8b, b"x")),
        ("fragmented control", client(0x09, b"x")),
        ("long control", client(0x89, &[0; 126])),
        ("continuation of nothing", client(0x80, b"x")),
        ("message within a message", [client(0x01, b"x"), client(0x81, b"y")].concat()),
        ("close of one byte", client(0x88, b"x")),
        ("close with a code that is never sent", client(0x88, &1005u16.to_be_bytes())),
        ("length over 2^63", vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
    ];
    for (name, stream) in broken {
        assert_eq!(all(&stream).unwrap_err().close_code(), 1002, "{name}");
    }
}

#[test]
fn a_text_that_is_not_utf8_is_a_violation_of_its_own() {
    assert_eq!(all(&client(0x81, b"\xce\xba\xff")).unwrap_err().close_code(), 1007);
    let reason = [&1000u16.to_be_bytes()[..], b"\xff"].concat();
    assert_eq!(all(&client(0x88, &reason)).unwrap_err().close_code(), 1007);
    let split = [client(0x01, b"\xce"), client(0x80, b"\xba")].concat();
    assert_eq!(all(&split).unwrap(), [text("κ")]);
}

#[test]
fn a_close_carries_its_code() {
    assert_eq!(all(&client(0x88, b"")).unwrap(), [Event::Close(None)]);
    assert_eq!(all(&client(0x88, &4999u16.to_be_bytes())).unwrap(), [Event::Close(Some(4999))]);
}

#[test]
fn server_frames_carry_the_shortest_length() {
    let head = |length: usize| {
        let (frame, payload_at) = text_frame::<()>(|buffer| {
            buffer.resize(buffer.len() + length, b'x');
            Ok(())
        })
        .unwrap();
        let head_len = usize::from(payload_at);
        assert_eq!(frame.len(), head_len + length);
        (frame[..head_len].to_vec(), head_len)
    };
    assert_eq!(head(125), (vec![0x81, 125], 2));
    assert_eq!(head(126), (vec![0x81, 126, 0, 126], 4));
    assert_eq!(head(65_535), (vec![0x81, 126, 0xff, 0xff], 4));
    assert_eq!(head(65_536), (vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0], 10));
    assert_eq!(&close_frame(4001, "bye")[..], b"\x88\x05\x0f\xa1bye");
    assert_eq!(close_frame(4001, &"é".repeat(100)).len(), 2 + 2 + 122);
    assert_eq!(&pong_frame(b"p")[..], b"\x8a\x01p");
}

proptest! {
    #[test]
    fn any_cut_of_the_stream_gives_the_same_messages(
        messages in proptest::collection::vec((".{0,300}", any::<[u8; 4]>(), 0usize..40), 1..6),
        cuts in proptest::collection::vec(1usize..50, 1..200),
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (message, mask, fragment) in &messages {
            let bytes = message.as_bytes();
            let first = (*fragment).min(bytes.len());
            stream.extend(masked(0x01, &bytes[..first], *mask));
            stream.extend(masked(0x89, b"between", *mask));
            stream.extend(masked(0x80, &bytes[first..], *mask));
            expected.push(Event::Ping(b"between".to_vec()));
            expected.push(if bytes.len() > 1000 { Event::TooLarge } else { text(message) });
        }
        let mut decoder = Decoder::new(1000);
        let mut events = Vec::new();
        let (mut rest, mut cuts) = (&stream[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            decoded(&mut decoder, chunk, &mut events).unwrap();
            rest = behind;
        }
        // A message is found too large at the head of its last fragment, which is where its text would end.
        prop_assert_eq!(events, expected);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = all(&bytes);
    }
}
