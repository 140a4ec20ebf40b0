//! The bytes between us and a server: encrypted or not, and replies brought into the form that RFC 5321 gives them.
//!
//! Lettre reads replies as the RFC writes them. Servers differ: some answer in the letters of their country, some without a
//! text, some with codes that the RFC does not know, and one that means ill never ends a line. A reply that cannot be read is
//! a message sent again though the server has it, so here lines are mended before lettre sees them, and counted.

use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::mail::answer::enhanced;

/// Bytes of the answer to one command; RFC 5321 asks for lines of at most 512, and few have more than twenty.
const REPLY_BYTES_MAX: usize = 16 * 1024;
/// Bytes that are kept of a line (RFC 5321, section 4.5.3.1.5): lettre takes few more.
const LINE_BYTES_MAX: usize = 510;
/// Bytes that are read at once.
const READ_BYTES: usize = 2 * 1024;

/// Bytes to a server and back.
pub(super) enum Stream {
    /// In clear.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection whose replies are mended.
pub(super) struct Wire {
    stream: Stream,
    /// As it came, without the end of a line.
    raw: BytesMut,
    /// Whole lines, mended.
    lines: BytesMut,
    /// Bytes that came since something was said.
    said: usize,
}

/// A reply that was read here and not by lettre.
pub(super) struct Reply {
    pub(super) code: u16,
    /// What stands behind the code, line by line.
    pub(super) texts: Vec<String>,
}

impl Reply {
    /// Its code, and the enhanced one in its text.
    pub(super) fn codes(&self) -> (u16, Option<String>) {
        (self.code, self.texts.first().and_then(|text| enhanced(text)))
    }

    /// Whether one of its lines names an extension.
    pub(super) fn offers(&self, extension: &str) -> bool {
        let mut words = self.texts.iter().filter_map(|text| text.split_whitespace().next());
        words.any(|word| word.eq_ignore_ascii_case(extension))
    }
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            raw: BytesMut::new(),
            lines: BytesMut::new(),
            said: 0,
        }
    }

    /// Says a line and reads the reply.
    pub(super) async fn ask(&mut self, line: &str) -> io::Result<Reply> {
        self.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.flush().await?;
        self.reply().await
    }

    /// Reads a reply.
    pub(super) async fn reply(&mut self) -> io::Result<Reply> {
        let mut reply = Reply {
            code: 0,
            texts: Vec::new(),
        };
        loop {
            poll_fn(|context| self.poll_lines(context)).await?;
            let end = self.lines.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let line = self.lines.split_to(end);
            let line = String::from_utf8_lossy(&line);
            let (code, rest) = line.split_at_checked(3).unwrap_or(("", ""));
            reply.code = code.parse().map_err(|_| no_reply())?;
            let text = rest.get(1..).unwrap_or_default();
            reply.texts.push(text.trim_end().to_owned());
            if !rest.starts_with('-') {
                return Ok(reply);
            }
        }
    }

    /// Lets the last reply be read again: lettre begins with a greeting, which may have been read already.
    pub(super) fn greeting_again(&mut self) {
        self.lines.extend_from_slice(b"220 it was read before\r\n");
    }

    /// Whether nothing came that has not been read: what comes in clear before TLS could be a stranger's.
    pub(super) fn is_drained(&self) -> bool {
        self.raw.is_empty() && self.lines.is_empty()
    }

    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Our side's address.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().local_addr()
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Waits until there is a whole line.
    fn poll_lines(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.lines.is_empty() {
            if let Some(end) = self.raw.iter().position(|byte| *byte == b'\n') {
                let line = self.raw.split_to(end + 1);
                mend(&line, &mut self.lines);
                continue;
            }
            let mut room = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut room);
            ready!(match &mut self.stream {
                Stream::Plain(stream) => Pin::new(stream).poll_read(context, &mut read),
                Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(context, &mut read),
            })?;
            let read = read.filled();
            if read.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.said += read.len();
            if self.said > REPLY_BYTES_MAX {
                return Poll::Ready(Err(no_reply()));
            }
            self.raw.extend_from_slice(read);
        }
        Poll::Ready(Ok(()))
    }
}

fn no_reply() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no reply of a mail server")
}

/// Writes a line as the RFC has it: not too long, printable ASCII, a text behind the code, an end of CR and LF, and a code
/// whose second digit is at most 5: of others 50 is made.
fn mend(line: &[u8], out: &mut BytesMut) {
    let line = line.trim_ascii_end();
    let line = &line[..line.len().min(LINE_BYTES_MAX)];
    let begin = out.len();
    out.extend(line.iter().map(|byte| match byte {
        b' '..=b'~' => *byte,
        b'\t' => b' ',
        _ => b'?',
    }));
    if let Some(digits @ [b'6'..=b'9', _]) = out.get_mut(begin + 1..begin + 3) {
        // 571 is in use. What such a code means is in its first digit (RFC 5321, section 4.3.2).
        digits.copy_from_slice(b"50");
    }
    if line.len() == 3 {
        out.extend_from_slice(b" ");
    }
    out.extend_from_slice(b"\r\n");
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_lines(context))?;
        let most = self.lines.len().min(into.remaining());
        into.put_slice(&self.lines[..most]);
        self.lines.advance(most);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.said = 0;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().peer_addr()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("tls", &matches!(self.stream, Stream::Tls(_)))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(line: &[u8]) -> String {
        let mut out = BytesMut::new();
        mend(line, &mut out);
        String::from_utf8(out.to_vec()).expect("ASCII")
    }

    #[test]
    fn lines_are_brought_into_the_form_of_the_rfc() {
        for (line, expected) in [
            (&b"250 2.0.0 queued\r\n"[..], "250 2.0.0 queued\r\n"),
            (b"250-PIPELINING\r\n", "250-PIPELINING\r\n"),
            (b"250\r\n", "250 \r\n"),
            (b"250\n", "250 \r\n"),
            (b"550 \xd0\xbd\xd0\xb5\xd1\x82 \x07\r\n", "550 ?????? ?\r\n"),
            (b"571 5.7.1 no\r\n", "550 5.7.1 no\r\n"),
            (b"\r\n", "\r\n"),
        ] {
            assert_eq!(mended(line), expected);
        }
    }
}
