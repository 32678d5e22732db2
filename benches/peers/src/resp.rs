//! The little of Redis's protocol that the bench speaks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::Failure;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+`
    Status(String),
    /// `:`
    Number(i64),
    /// `$`
    Bulk(Vec<u8>),
}

/// A command as an array of bulk strings.
pub(crate) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The first answer in `bytes` and how many bytes it takes; nothing while it is not complete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Failure> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let (line, used) = (&bytes[..end], end + 2);
    let (kind, rest) = line.split_first().ok_or("an empty line is no answer")?;
    let text = std::str::from_utf8(rest)?;
    let reply = match kind {
        b'+' => Reply::Status(text.to_owned()),
        b':' => Reply::Number(text.parse()?),
        b'$' => {
            let length: usize = text.parse()?;
            let Some(value) = bytes.get(used..used + length + 2) else {
                return Ok(None);
            };
            let reply = Reply::Bulk(value[..length].to_vec());
            return Ok(Some((reply, used + length + 2)));
        }
        b'-' => return Err(format!("Redis refuses: {text}").into()),
        _ => return Err(format!("not an answer: {line:?}").into()),
    };
    Ok(Some((reply, used)))
}

/// Sends one command over a connection of its own.
pub(crate) fn ask(address: SocketAddr, words: &[&[u8]]) -> Result<Reply, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&command(words))?;
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err("Redis has closed the connection".into());
        }
        bytes.extend_from_slice(&piece[..read]);
        if let Some((reply, _)) = parse(&bytes)? {
            return Ok(reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_only_when_it_is_complete() {
        let bytes = b"$5\r\n1-234\r\n:7\r\n";
        for end in 0..11 {
            assert_eq!(parse(&bytes[..end]).unwrap(), None, "{end} bytes");
        }
        let first = (Reply::Bulk(b"1-234".to_vec()), 11);
        assert_eq!(parse(bytes).unwrap(), Some(first));
        assert_eq!(parse(&bytes[11..]).unwrap(), Some((Reply::Number(7), 4)));
        let refused = parse(b"-ERR no\r\n").unwrap_err().to_string();
        assert_eq!(refused, "Redis refuses: ERR no");
    }
}
