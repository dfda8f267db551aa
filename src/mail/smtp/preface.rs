//! What is said in the clear before TLS begins (RFC 3207): a greeting, EHLO, STARTTLS, and not a byte more.
//!
//! Whoever sits between us and the server could append answers of their own to the last plain one, for us to read as if they had come
//! through TLS. Therefore the plain part is read byte for byte, and nothing that comes with it is taken over.

use crate::carrier::{Blame, NotCarried};
use lettre::transport::smtp::extension::ClientId;
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// RFC 5321 §4.5.3.1.5 demands 512 bytes for a line; some say more.
const MOST_LINE: usize = 2048;
const MOST_LINES: usize = 100;

/// Talks the server into TLS, which begins with the next byte.
pub(super) async fn ask_for_tls(stream: &mut TcpStream, name: &ClientId) -> Result<(), NotCarried> {
    expect(stream, "220", "does not greet us").await?;
    say(stream, &format!("EHLO {name}\r\n")).await?;
    let abilities = expect(stream, "250", "refuses EHLO").await?;
    if !abilities.iter().any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"))) {
        let text = "the mail server offers no STARTTLS, and letters do not go out in the clear";
        return Err(NotCarried::new(Blame::Server, "tls", text));
    }
    say(stream, "STARTTLS\r\n").await?;
    expect(stream, "220", "refuses STARTTLS").await?;
    // What has arrived by now was said before TLS.
    let mut early = [0];
    match stream.try_read(&mut early) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Ok(0) => Err(lost(&io::ErrorKind::UnexpectedEof.into())),
        Ok(_) => {
            Err(NotCarried::new(Blame::Server, "protocol", "the mail server, or somebody before it, went on in the clear after STARTTLS"))
        }
        Err(error) => Err(lost(&error)),
    }
}

async fn say(stream: &mut TcpStream, line: &str) -> Result<(), NotCarried> {
    stream.write_all(line.as_bytes()).await.map_err(|error| lost(&error))
}

/// Reads a reply of one line or several.
async fn expect(stream: &mut TcpStream, code: &str, otherwise: &str) -> Result<Vec<String>, NotCarried> {
    let mut lines: Vec<String> = Vec::new();
    loop {
        let line = line(stream).await?;
        let last = line.as_bytes().get(3) != Some(&b'-');
        if !line.starts_with(code) {
            return Err(NotCarried::new(Blame::Server, "protocol", format!("the mail server {otherwise}: {line}")));
        }
        lines.push(line);
        if last {
            return Ok(lines);
        }
        if lines.len() >= MOST_LINES {
            return Err(NotCarried::new(Blame::Server, "protocol", "the mail server does not end its answer"));
        }
    }
}

/// Byte for byte: a few hundred of them, and none too many.
async fn line(stream: &mut TcpStream) -> Result<String, NotCarried> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        if line.len() >= MOST_LINE {
            return Err(NotCarried::new(Blame::Server, "protocol", "the mail server does not end its line"));
        }
        line.push(stream.read_u8().await.map_err(|error| lost(&error))?);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn lost(error: &io::Error) -> NotCarried {
    NotCarried::new(Blame::Server, "connection", format!("the connection to the mail server was lost: {error}"))
}
