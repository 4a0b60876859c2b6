//! A writer that stops at a limit, so that a template of three nested loops cannot fill the memory.

use std::io;

/// Text that refuses to grow beyond its limit.
#[derive(Debug)]
pub(super) struct LimitedText {
    bytes: Vec<u8>,
    bytes_max: usize,
    overflowed: bool,
}

impl LimitedText {
    /// An empty text that takes at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> LimitedText {
        LimitedText { bytes: Vec::new(), bytes_max, overflowed: false }
    }

    /// True once a write went over the limit.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// What was written.
    pub(super) fn into_text(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl io::Write for LimitedText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.bytes_max - self.bytes.len() {
            self.overflowed = true;
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the text is over its limit"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_text_takes_its_limit_to_the_byte_and_not_one_more() {
        let mut text = LimitedText::new(4);
        text.write_all(b"four").unwrap();
        assert!(!text.overflowed());
        assert!(text.write_all(b"!").is_err());
        assert!(text.overflowed());
        assert_eq!(text.into_text(), "four");
    }
}
