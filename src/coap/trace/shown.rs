//! A message as one line, without its secrets.

use gatehouse_wire::{
    cbor,
    coap::{ContentFormat, Message, OptionNumber, Options},
};

/// What the body and the arguments of a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// They can be shown.
    Open,
    /// They are credentials, or nobody knows.
    Secret,
}

/// Paths that begin so carry tokens, codes and credentials.
const SECRET_PATHS: &[&[&str]] = &[&["oic", "sec"], &["api", "v1", "provisioning"]];

/// A body with one of these words in it is not shown, wherever it comes from.
const SECRET_WORDS: &[&str] =
    &["token", "secret", "passw", "credential", "private", "psk", "authcode", "auth code", "passphrase", "pincode"];

/// The longest body that is shown.
const LONGEST: usize = 1024;

impl Carried {
    pub(super) fn by_path(options: &Options) -> Self {
        let begins = |secret: &[&str]| options.path().take(secret.len()).eq(secret.iter().copied());
        if SECRET_PATHS.iter().any(|secret| begins(secret)) { Self::Secret } else { Self::Open }
    }
}

/// The line.
pub(super) fn show(how: &str, message: &Message, carried: Carried) -> String {
    let options = &message.options;
    let mut line = format!("{how}{:?} {}", message.code, message.token);
    if message.code.is_signal() {
        // The numbers of a signal's options are its own.
        let options = options.iter().map(|(number, value)| format!(" {}={}", number.0, hexadecimal(value)));
        line.extend(options);
        if !message.payload.is_empty() {
            let said: Vec<u8> = message.payload.iter().take(LONGEST).copied().collect();
            line.push_str(&format!(" {:?}", String::from_utf8_lossy(&said)));
        }
        return line;
    }
    if message.code.is_request() {
        line.push(' ');
        line.extend(options.path().flat_map(|segment| ["/".to_owned(), segment.escape_debug().to_string()]));
        for (at, argument) in options.query().enumerate() {
            let argument = match (carried, argument.split_once('=')) {
                (Carried::Open, _) if !is_secret(argument) => argument.escape_debug().to_string(),
                (_, Some((key, _))) => format!("{}=…", key.escape_debug()),
                (_, None) => "…".to_owned(),
            };
            line.push(if at == 0 { '?' } else { '&' });
            line.push_str(&argument);
        }
    }
    let named = |number| matches!(number, OptionNumber::URI_PATH | OptionNumber::URI_QUERY);
    let others = Options::builder().copy(options, named).build();
    if others != Options::default() {
        line.push_str(&format!(" {others:?}"));
    }
    if !message.payload.is_empty() {
        let length = message.payload.len();
        match body(message).filter(|body| carried == Carried::Open && !is_secret(body)) {
            Some(body) => line.push_str(&format!(" {length} bytes: {body}")),
            None => line.push_str(&format!(" {length} bytes, not shown")),
        }
    }
    line
}

/// The body as text, where it is one and not too long.
fn body(message: &Message) -> Option<String> {
    let bytes = message.payload.get(..).filter(|bytes| bytes.len() <= LONGEST)?;
    let is_text = |format: ContentFormat| format.is_json() || matches!(format, ContentFormat::TEXT | ContentFormat::LINK_FORMAT);
    let in_blocks = message.options.block1().or(message.options.block2()).is_some();
    match message.options.content_format() {
        // Half an item cannot be searched for secrets.
        _ if in_blocks => None,
        Some(format) if format.is_cbor() => cbor::to_diagnostic(bytes).ok(),
        Some(format) if is_text(format) => Some(std::str::from_utf8(bytes).ok()?.escape_debug().to_string()),
        // RFC 7252 §5.5.2: a diagnostic text.
        None if !message.code.is_request() => Some(std::str::from_utf8(bytes).ok()?.escape_debug().to_string()),
        _ => None,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_wire::coap::{Code, Token};

    fn request(path: &str, query: &str, body: &'static [u8]) -> Message {
        let options = Options::builder().path(path).expect("path").query(query).expect("query");
        let options = options.content_format(ContentFormat::OCF_CBOR).build();
        Message::new(Code::POST, Token::new(&[1]).expect("token")).with_options(options).with_payload(body)
    }

    fn shown(message: &Message) -> String {
        show("", message, Carried::by_path(&message.options))
    }

    #[test]
    fn a_message_is_shown_with_its_body_decoded() {
        let line = shown(&request("/light", "if=oic.if.a", b"\xbf\x65value\xf5\xff"));
        assert!(line.starts_with("0.02 POST 01 /light?if=oic.if.a"), "{line}");
        assert!(line.contains("9 bytes") && line.contains("\"value\": true"), "{line}");
    }

    #[test]
    fn nothing_secret_is_shown() {
        for (path, query, body) in [
            ("/oic/sec/session", "accesstoken=hunter2", &b"\xa1\x63abc\x67hunter2"[..]),
            ("/api/v1/provisioning/credentials", "x=hunter2", b"\xa1\x63abc\x67hunter2"),
            ("/wifi", "refreshToken=hunter2", b"\xa1\x68password\x67hunter2"),
        ] {
            let line = shown(&request(path, query, body));
            assert!(line.contains(path) && line.contains("not shown"), "{line}");
            assert!(!line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn what_a_peer_sends_cannot_break_the_line() {
        let mut message = request("/a\n-> fake", "b\u{1b}[31m", b"");
        message.code = Code::GET;
        let line = shown(&message);
        assert!(line.chars().all(|character| !character.is_control()), "{line:?}");
    }
}
