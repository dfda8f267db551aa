//! What the head of a DTLS 1.2 record says in the clear (RFC 6347 §4.1).

use crate::udp::engine::Class;

/// Content types (RFC 5246 §6.2.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Handshake type (RFC 5246 §7.4).
const CLIENT_HELLO: u8 = 1;

/// Where the fields of a hello are: the record's head takes 13 bytes and the message's 12 more.
const RECORD_HEAD: usize = 13;
const FRAGMENT_OFFSET: std::ops::Range<usize> = 19..22;
const CLIENT_RANDOM: std::ops::Range<usize> = 27..59;

/// What the first record of a datagram is. Everything behind it goes where it goes.
pub(crate) fn class(datagram: &[u8]) -> Class {
    // Version 254.255 stands in hellos of clients that know DTLS 1.0 too.
    let [kind, 254, 253 | 255, epoch_high, epoch_low, ..] = *datagram else { return Class::Noise };
    if datagram.len() <= RECORD_HEAD {
        return Class::Noise;
    }
    let encrypted = (epoch_high, epoch_low) != (0, 0);
    match (kind, encrypted) {
        (HANDSHAKE, false) => hello(datagram).map_or(Class::Handshake, Class::Hello),
        // With encryption it is the last message of a handshake.
        (HANDSHAKE, true) | (CHANGE_CIPHER_SPEC | ALERT, false) => Class::Handshake,
        (ALERT | APPLICATION_DATA, true) => Class::Record,
        _ => Class::Noise,
    }
}

/// Whether the first record is encrypted, and with that of no use before the keys are agreed upon.
pub(crate) fn is_encrypted(datagram: &[u8]) -> bool {
    datagram.get(3..5).is_some_and(|epoch| epoch != [0, 0])
}

/// What stands at the beginning of a datagram and is to be looked at together: the records in the clear up to the first encrypted one, or
/// that one alone; and what is behind it. What is no whole record goes with what is before it, or is the last part.
pub(crate) fn part(datagram: &[u8]) -> (&[u8], &[u8]) {
    let mut length = 0;
    while let Some(rest @ [_, ..]) = datagram.get(length..) {
        let encrypted = is_encrypted(rest);
        if encrypted && length > 0 {
            break;
        }
        let Some([.., high, low]) = rest.first_chunk::<RECORD_HEAD>() else { return (datagram, &[]) };
        length += RECORD_HEAD + usize::from(u16::from_be_bytes([*high, *low]));
        if encrypted {
            break;
        }
    }
    datagram.split_at_checked(length).unwrap_or((datagram, &[]))
}

/// Whether any of the records is an alert that nobody has encrypted.
pub(crate) fn has_plain_alert(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    while let Some([kind, _, _, epoch_high, epoch_low, _, _, _, _, _, _, high, low]) = rest.get(..RECORD_HEAD) {
        if (*kind, *epoch_high, *epoch_low) == (ALERT, 0, 0) {
            return true;
        }
        rest = rest.get(RECORD_HEAD + usize::from(u16::from_be_bytes([*high, *low]))..).unwrap_or_default();
    }
    false
}

/// Whether every encrypted record has room for what each one of a suite takes. OpenSSL 3.0 breaks an association off over one that is
/// shorter, before it has looked whether the peer made it: anybody could, with one datagram in the peer's name.
pub(crate) fn has_room(datagram: &[u8], least: usize) -> bool {
    let mut rest = datagram;
    while let Some([_, _, _, epoch_high, epoch_low, _, _, _, _, _, _, high, low]) = rest.get(..RECORD_HEAD) {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if (*epoch_high, *epoch_low) != (0, 0) && length < least {
            return false;
        }
        rest = rest.get(RECORD_HEAD + length..).unwrap_or_default();
    }
    true
}

/// The client's random bytes, which are the same with the cookie and without (RFC 6347 §4.2.1).
fn hello(datagram: &[u8]) -> Option<[u8; 32]> {
    let is_first_of_hello = datagram.get(RECORD_HEAD) == Some(&CLIENT_HELLO) && datagram.get(FRAGMENT_OFFSET)? == [0; 3];
    if is_first_of_hello { datagram.get(CLIENT_RANDOM)?.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short").to_be_bytes();
        [&[kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 0], &length[..], body].concat()
    }

    fn client_hello(fragment_offset: u8, random: u8) -> Vec<u8> {
        let head = [1, 0, 0, 60, 0, 0, 0, 0, fragment_offset, 0, 0, 60, 254, 253];
        record(HANDSHAKE, 0, &[&head[..], &[random; 32], &[0; 26]].concat())
    }

    #[test]
    fn a_hello_is_told_by_its_random_bytes() {
        assert_eq!(class(&client_hello(0, 7)), Class::Hello([7; 32]));
        assert_eq!(class(&client_hello(9, 7)), Class::Handshake, "the rest of one begins nothing");
        let whole = client_hello(0, 7);
        for cut in 14..59 {
            assert_eq!(class(&whole[..cut]), Class::Handshake, "{cut}");
        }
    }

    #[test]
    fn records_are_told_by_their_kind_and_epoch() {
        for (kind, plain, encrypted) in [
            (CHANGE_CIPHER_SPEC, Class::Handshake, Class::Noise),
            (ALERT, Class::Handshake, Class::Record),
            (HANDSHAKE, Class::Handshake, Class::Handshake),
            (APPLICATION_DATA, Class::Noise, Class::Record),
            // Heartbeats, and records with a connection id (RFC 9146), which OpenSSL does not know.
            (24, Class::Noise, Class::Noise),
            (25, Class::Noise, Class::Noise),
        ] {
            assert_eq!((class(&record(kind, 0, b"xx")), class(&record(kind, 1, b"xx"))), (plain, encrypted), "{kind}");
        }
    }

    #[test]
    fn a_record_without_room_for_its_tag_is_seen_wherever_it_stands() {
        let (short, whole, plain) =
            (record(APPLICATION_DATA, 1, &[0; 15]), record(APPLICATION_DATA, 1, &[0; 16]), record(ALERT, 0, &[2, 40]));
        for sound in [vec![], plain.clone(), whole.clone(), [plain.clone(), whole.clone()].concat(), whole[..20].to_vec()] {
            assert!(has_room(&sound, 16), "{sound:?}");
        }
        for broken in [short.clone(), short[..20].to_vec(), [plain, short.clone()].concat(), [whole, short].concat()] {
            assert!(!has_room(&broken, 16), "{broken:?}");
        }
    }

    #[test]
    fn a_datagram_is_looked_at_in_parts_of_which_an_encrypted_record_is_one() {
        let (plain, encrypted) = (record(HANDSHAKE, 0, b"in the clear"), record(HANDSHAKE, 1, b"encrypted"));
        let parts = |datagram: &[u8]| {
            let mut rest = datagram.to_vec();
            let mut parts = Vec::new();
            while !rest.is_empty() {
                let (part, behind) = part(&rest);
                parts.push(part.to_vec());
                rest = behind.to_vec();
            }
            parts
        };
        let twice = [&plain[..], &plain].concat();
        for whole in
            [vec![], vec![twice.clone()], vec![encrypted.clone()], vec![twice, encrypted.clone(), encrypted.clone(), plain.clone()]]
        {
            assert_eq!(parts(&whole.concat()), whole);
        }
        for cut in 1..encrypted.len() {
            let datagram = [&plain[..], &encrypted[..cut]].concat();
            assert_eq!(parts(&datagram).concat(), datagram, "nothing gets lost, and it ends");
        }
    }

    #[test]
    fn an_alert_in_the_clear_is_seen_wherever_it_stands() {
        let (plain, encrypted, other) =
            (record(ALERT, 0, &[2, 40]), record(ALERT, 1, &[0; 26]), record(HANDSHAKE, 0, b"a record of another kind"));
        for without in [vec![], encrypted.clone(), [other.clone(), encrypted.clone()].concat(), plain[..12].to_vec()] {
            assert!(!has_plain_alert(&without), "{without:?}");
        }
        for with in [plain.clone(), [other, plain.clone()].concat(), [encrypted, plain].concat()] {
            assert!(has_plain_alert(&with), "{with:?}");
        }
    }

    #[test]
    fn other_bytes_are_noise() {
        let short = record(HANDSHAKE, 0, b"");
        for bytes in
            [&b""[..], b"\x16", b"\x16\xfe\xfd\0\0", b"\x16\x03\x03\0\0 a record of TLS over TCP", &short, b"GET / HTTP/1.1\r\n\r\n"]
        {
            assert_eq!(class(bytes), Class::Noise, "{bytes:?}");
        }
    }
}
