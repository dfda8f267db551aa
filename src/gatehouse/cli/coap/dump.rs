//! Bytes of a peer as people may see them: in hexadecimal, and as text that moves no cursor.

use gatehouse_wire::coap::{ContentFormat, Format, OptionNumber, Options};
use serde_json::{Value, json};
use std::fmt::Write;

/// Sixteen bytes a line: place, hexadecimal, characters.
pub(super) fn hex_dump(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 5);
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let mut digits = hex(chunk, " ");
        if let Some(rest) = digits.get(23..).map(str::to_owned) {
            digits.truncate(23);
            digits = format!("{digits} {rest}");
        }
        let characters: String = chunk.iter().map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' }).collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:04x}  {digits:<48}  |{characters}|", line * 16);
    }
    text
}

/// Hexadecimal digits with something between the bytes.
pub(super) fn hex(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between)
}

/// The text without characters that could make a terminal do something. Lines stay lines.
pub(super) fn visible(text: &str) -> String {
    let harmless = |character: char| {
        !character.is_control() && !matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let escaped = |character: char| match character {
        '\n' | '\t' => character.to_string(),
        '\r' => "\\r".to_owned(),
        _ if harmless(character) => character.to_string(),
        _ => character.escape_unicode().to_string(),
    };
    text.chars().map(escaped).collect()
}

/// Each option with its name and its value as what it is: a number, text, or bytes in hexadecimal.
pub(super) fn options(options: &Options) -> Vec<(OptionNumber, Value)> {
    options.iter().map(|(number, bytes)| (number, value(number, bytes))).collect()
}

fn value(number: OptionNumber, bytes: &[u8]) -> Value {
    let text = || std::str::from_utf8(bytes).ok();
    match number.format() {
        Some(Format::Empty) if bytes.is_empty() => Value::Null,
        Some(Format::Uint) if bytes.len() <= 4 => json!(bytes.iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte))),
        Some(Format::Text) if text().is_some() => json!(text()),
        _ => json!(format!("0x{}", hex(bytes, ""))),
    }
}

/// An option as one line, with what its number means where that is known.
pub(super) fn option_line(number: OptionNumber, value: &Value, options: &Options) -> String {
    let name = number.name().map_or_else(|| format!("Option {}", number.0), str::to_owned);
    let named = |format: u64| u16::try_from(format).ok().and_then(|format| ContentFormat(format).name());
    let block = match number {
        OptionNumber::BLOCK1 => options.block1(),
        OptionNumber::BLOCK2 => options.block2(),
        _ => None,
    };
    match (value, block) {
        (_, Some(block)) => format!("{name}: {block}"),
        (Value::Null, _) => name,
        (Value::String(text), _) if number.format() == Some(Format::Text) => format!("{name}: \"{}\"", visible(text)),
        (Value::String(digits), _) => format!("{name}: {digits}"),
        (value, _) if matches!(number, OptionNumber::CONTENT_FORMAT | OptionNumber::ACCEPT) => {
            let meaning = value.as_u64().and_then(named).map(|name| format!(" ({name})")).unwrap_or_default();
            format!("{name}: {value}{meaning}")
        }
        (value, _) => format!("{name}: {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_with_place_digits_and_characters() {
        let bytes: Vec<u8> = (0x3c..0x4f).collect();
        assert_eq!(
            hex_dump(&bytes),
            "0000  3c 3d 3e 3f 40 41 42 43  44 45 46 47 48 49 4a 4b  |<=>?@ABCDEFGHIJK|\n\
             0010  4c 4d 4e                                          |LMN|\n"
        );
    }

    #[test]
    fn a_text_of_a_peer_cannot_move_the_cursor() {
        assert_eq!(visible("a\tb\nc"), "a\tb\nc");
        assert_eq!(visible("\u{1b}[2J\u{7}\r\u{202e}"), "\\u{1b}[2J\\u{7}\\r\\u{202e}");
        assert_eq!(visible("grün 日本"), "grün 日本");
    }

    #[test]
    fn options_are_shown_as_what_they_are() {
        let made = Options::builder()
            .push_raw(OptionNumber::ETAG, &[1, 0xff])
            .and_then(|options| options.path("/a/\u{1b}[0m"))
            .and_then(|options| options.push_raw(OptionNumber(65_000), &[9]))
            .expect("options")
            .content_format(ContentFormat::CBOR)
            .empty(OptionNumber::IF_NONE_MATCH)
            .build();
        let lines: Vec<String> = options(&made).iter().map(|(number, value)| option_line(*number, value, &made)).collect();
        assert_eq!(
            lines,
            [
                "ETag: 0x01ff",
                "If-None-Match",
                "Uri-Path: \"a\"",
                "Uri-Path: \"\\u{1b}[0m\"",
                "Content-Format: 60 (application/cbor)",
                "Option 65000: 0x09"
            ]
        );
    }
}
