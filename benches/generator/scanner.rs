//! Counts complete replies in a byte stream cut anywhere; keeps no payload.
//!
//! Knows RESP2 framing only, since that is what a connection speaks until it says HELLO 3.

#[derive(Debug)]
pub struct Scanner {
    /// Payload bytes (with their line end) still to be passed over.
    skip: usize,
    /// Values missing until the current top-level reply is whole.
    pending: u64,
    /// A header line that the last read cut.
    partial: Vec<u8>,
    pub misses: u64,
    pub errors: u64,
    pub first_error: Option<String>,
}

impl Scanner {
    pub fn new() -> Self {
        Scanner { skip: 0, pending: 1, partial: Vec::new(), misses: 0, errors: 0, first_error: None }
    }

    /// How many top-level replies end in `data`; an error means that it is no reply at all.
    pub fn feed(&mut self, data: &[u8]) -> Result<usize, String> {
        let mut done = 0;
        let mut rest = data;
        while !rest.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(rest.len());
                rest = &rest[passed..];
                self.skip -= passed;
                if self.skip == 0 {
                    done += self.finish_value();
                }
                continue;
            }
            let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
                self.partial.extend_from_slice(rest);
                break;
            };
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            if self.partial.is_empty() {
                done += self.header(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                done += self.header(&whole)?;
            }
        }
        Ok(done)
    }

    #[inline]
    fn header(&mut self, line: &[u8]) -> Result<usize, String> {
        let bad = || format!("not a reply: {:?}", String::from_utf8_lossy(line));
        if line.len() < 3 {
            return Err(bad());
        }
        let body = &line[1..line.len() - 2];
        match line[0] {
            b'+' | b':' => Ok(self.finish_value()),
            b'-' => {
                self.errors += 1;
                if self.first_error.is_none() {
                    self.first_error = Some(String::from_utf8_lossy(body).into_owned());
                }
                Ok(self.finish_value())
            }
            b'$' => match length_of(body).ok_or_else(bad)? {
                -1 => {
                    self.misses += 1;
                    Ok(self.finish_value())
                }
                length => {
                    self.skip = length as usize + 2;
                    Ok(0)
                }
            },
            b'*' => {
                let members = length_of(body).ok_or_else(bad)?.max(0) as u64;
                self.pending += members;
                Ok(self.finish_value())
            }
            _ => Err(bad()),
        }
    }

    #[inline]
    fn finish_value(&mut self) -> usize {
        self.pending -= 1;
        if self.pending == 0 {
            self.pending = 1;
            return 1;
        }
        0
    }
}

#[inline]
fn length_of(digits: &[u8]) -> Option<i64> {
    if digits == b"-1" {
        return Some(-1);
    }
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    let mut number = 0i64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(digit - b'0');
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: &[u8] =
        b"+OK\r\n:12\r\n$3\r\na\nb\r\n$-1\r\n*3\r\n$1\r\nx\r\n$-1\r\n:1\r\n*0\r\n-ERR no\r\n$0\r\n\r\n";

    #[test]
    fn counts_replies_cut_at_any_byte() {
        for cut in 0..=REPLIES.len() {
            let mut scanner = Scanner::new();
            let done = scanner.feed(&REPLIES[..cut]).unwrap() + scanner.feed(&REPLIES[cut..]).unwrap();
            assert_eq!((done, scanner.misses, scanner.errors), (8, 2, 1), "cut at {cut}");
            assert_eq!(scanner.first_error.as_deref(), Some("ERR no"));
        }
    }

    #[test]
    fn refuses_what_is_no_reply() {
        assert!(Scanner::new().feed(b"hello\r\n").is_err());
        assert!(Scanner::new().feed(b"$x\r\n").is_err());
        assert!(Scanner::new().feed(b"\r\n").is_err());
    }
}
