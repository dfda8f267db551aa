//! Every message on its way, decoded and in bytes, and before the first one what the server of a secure connection has presented and
//! what was agreed on with it, for `--verbose`.

use super::dump::{hex, hex_dump, option_line, options, visible};
use crate::cli::{Output, Tint};
use gatehouse_client::{Direction, Seen, Tap};
use gatehouse_net::Peer;
use gatehouse_pki::{Certificate, Fingerprint, GeneralName};
use gatehouse_wire::{
    cbor,
    coap::{Code, Kind, Message, Signal},
};
use std::{
    fmt::Write,
    io::{self, Write as _},
};
use tokio::time::Instant;

/// Writes messages to standard error.
pub(super) struct Verbose {
    output: Output,
    started: Instant,
}

impl Verbose {
    pub(super) fn new(output: Output) -> Self {
        Self { output, started: Instant::now() }
    }
}

impl Tap for Verbose {
    fn see(&self, direction: Direction, seen: &Seen) {
        let (mark, tint) = match direction {
            Direction::Sent => (">", Tint::Warning),
            Direction::Received => ("<", Tint::Good),
        };
        let text = describe(seen);
        let (head, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let seconds = self.started.elapsed().as_secs_f64();
        let mut shown = format!("{} {}  {seconds:.3} s\n", self.output.tint(tint, mark), self.output.tint(Tint::Strong, head));
        for line in rest.lines() {
            // Writing to a string does not fail.
            let _ = writeln!(shown, "{} {line}", self.output.tint(tint, mark));
        }
        // When standard error is gone there is nobody left to show it to.
        let _ = io::stderr().lock().write_all(shown.as_bytes());
    }

    fn presented(&self, certificates: &[&[u8]]) {
        let shown: String = certificates.iter().enumerate().map(|(at, der)| certificate(at, der)).collect();
        let _ = io::stderr().lock().write_all(shown.as_bytes());
    }

    fn secured(&self, server: &Peer) {
        let _ = io::stderr().lock().write_all(agreed(server).as_bytes());
    }
}

/// One certificate of the server's, which nobody has found good yet.
fn certificate(at: usize, der: &[u8]) -> String {
    match Certificate::from_der(der) {
        Ok(certificate) => {
            let names = certificate.subject_alternative_names().iter().filter_map(|name| match name {
                GeneralName::Dns(name) => Some(visible(name)),
                GeneralName::Ip(address) => Some(address.to_string()),
                _ => None,
            });
            let names: Vec<String> = names.take(MOST_NAMES).collect();
            let names = if names.is_empty() { String::new() } else { format!(" for {}", names.join(", ")) };
            format!(
                "* certificate {at}: {}{names}\n*   issued by {}, good from {} until {}\n*   SHA-256 {}\n",
                visible(&certificate.subject().to_string()),
                visible(&certificate.issuer().to_string()),
                certificate.not_before(),
                certificate.not_after(),
                certificate.fingerprint(),
            )
        }
        Err(error) => format!("* certificate {at} of {} bytes cannot be read: {error}\n*   SHA-256 {}\n", der.len(), Fingerprint::of(der)),
    }
}

fn agreed(server: &Peer) -> String {
    let alpn = server.alpn().map(|alpn| format!(", {}", visible(&String::from_utf8_lossy(alpn)))).unwrap_or_default();
    format!("* {} with {}: {}{alpn}\n", server.version().unwrap_or_default(), server.address(), server.suite().unwrap_or_default())
}

/// A message: one line about it, a line for each option, the payload where it can be read, and all bytes.
fn describe(seen: &Seen) -> String {
    let bytes = seen.bytes();
    let mut text = match seen {
        Seen::Datagram(datagram, _) => {
            let kind = match datagram.kind {
                Kind::Confirmable => "CON",
                Kind::NonConfirmable => "NON",
                Kind::Acknowledgement => "ACK",
                Kind::Reset => "RST",
            };
            message(&format!("{kind} {} ", datagram.id), &datagram.message, bytes.len())
        }
        Seen::Frame(frame, _) => message("", frame, bytes.len()),
        Seen::Broken(why, _) => format!("no message: {why}, {} bytes\n", bytes.len()),
    };
    hex_dump(bytes).lines().for_each(|line| {
        let _ = writeln!(text, "    {line}");
    });
    text
}

fn message(front: &str, message: &Message, length: usize) -> String {
    let Message { code, token, options: all, payload } = message;
    let token = if token.is_empty() { String::new() } else { format!(", token {}", hex(token.as_bytes(), "")) };
    let mut text = format!("{front}{code:?}{token}, {length} bytes\n");
    if code.is_signal() {
        // The options of a signal have numbers of their own (RFC 8323 §5.2).
        let _ = match Signal::from_message(message) {
            Ok(signal) => writeln!(text, "  {}", visible(&format!("{signal:?}"))),
            Err(error) => writeln!(text, "  {error}"),
        };
        return text;
    }
    for (number, value) in options(all) {
        let _ = writeln!(text, "  {}", option_line(number, &value, all).replace('\n', "\\n"));
    }
    if !payload.is_empty() && *code != Code::EMPTY {
        let _ = writeln!(text, "  payload of {} bytes{}", payload.len(), readable(message));
    }
    text
}

/// A payload that is whole in one message and short enough for a line.
fn readable(message: &Message) -> String {
    let (payload, format) = (&message.payload, message.options.content_format());
    let shown = match format {
        Some(format) if format.is_cbor() => cbor::to_diagnostic(payload).ok(),
        _ => std::str::from_utf8(payload).ok().map(|text| visible(text).replace('\n', "\\n")),
    };
    shown.filter(|text| text.len() <= LINE).map(|text| format!(": {text}")).unwrap_or_default()
}

/// A certificate may have thousands.
const MOST_NAMES: usize = 8;
/// A longer payload is seen in its bytes.
const LINE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use gatehouse_wire::coap::{ContentFormat, Datagram, MessageId, Options, Token, signal::Csm, tcp};

    #[test]
    fn a_datagram_is_shown_with_everything_that_it_says() {
        let options =
            Options::builder().path("/state").expect("path").accept(ContentFormat::CBOR).content_format(ContentFormat::CBOR).build();
        let message = Message::new(Code::FETCH, Token::from([1; 8])).with_options(options).with_payload(&b"\x81\x05"[..]);
        let datagram = Datagram { kind: Kind::Confirmable, id: MessageId(0x1a2b), message };
        let mut bytes = BytesMut::new();
        datagram.encode(&mut bytes);
        let text = describe(&Seen::Datagram(datagram, bytes.freeze()));
        assert_eq!(
            text,
            "CON 1a2b 0.05 FETCH, token 0101010101010101, 25 bytes
  Uri-Path: \"state\"
  Content-Format: 60 (application/cbor)
  Accept: 60 (application/cbor)
  payload of 2 bytes: [5]
    0000  48 05 1a 2b 01 01 01 01  01 01 01 01 b5 73 74 61  |H..+.........sta|
    0010  74 65 11 3c 51 3c ff 81  05                       |te.<Q<...|
"
        );
    }

    #[test]
    fn a_signal_is_shown_by_its_own_numbers_and_garbage_by_its_bytes() {
        let csm = Signal::Csm(Csm { max_message_size: Some(1152), block_wise: true }).to_message(Token::EMPTY);
        let mut bytes = BytesMut::new();
        tcp::encode(&csm, &mut bytes);
        let text = describe(&Seen::Frame(csm, bytes.freeze()));
        assert!(text.contains("7.01 CSM") && text.contains("1152") && !text.contains("Uri"), "{text}");
        let text = describe(&Seen::Broken("the datagram is shorter than a header".to_owned(), (&b"\x1b[2"[..]).into()));
        assert!(text.contains("no message: the datagram is shorter") && text.contains("1b 5b 32") && !text.contains('\u{1b}'), "{text}");
    }
}
