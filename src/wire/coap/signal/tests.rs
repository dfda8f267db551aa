//! Filed by the sections of RFC 8323.

use super::*;
use crate::coap::{Limits, tcp};
use bytes::BytesMut;

fn over_the_wire(signal: &Signal, token: Token) -> (Vec<u8>, Signal) {
    let mut bytes = BytesMut::new();
    tcp::encode(&signal.to_message(token), &mut bytes);
    let sent = bytes.to_vec();
    let message = tcp::Decoder::new(Limits::default()).decode(&mut bytes).unwrap().unwrap();
    assert_eq!(message.token, token);
    (sent, Signal::from_message(&message).unwrap())
}

fn read(code: Code, options: &[(u16, &[u8])]) -> Result<Signal, SignalError> {
    let options = options.iter().fold(Options::builder(), |all, (number, value)| all.with(OptionNumber(*number), value)).build();
    Signal::from_message(&Message::new(code, Token::EMPTY).with_options(options))
}

const TOKEN: [u8; 8] = [0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8];

mod section_5_3_csm {
    use super::*;

    #[test]
    fn what_constrained_devices_need_is_ten_bytes_without_options() {
        let signal = Signal::Csm(Csm::default());
        let (sent, read) = over_the_wire(&signal, Token::from(TOKEN));
        assert_eq!(sent, [&[0x08, 0xe1], &TOKEN[..]].concat());
        assert_eq!(read, signal);
    }

    #[test]
    fn size_and_block_wise_are_told() {
        let signal = Signal::Csm(Csm { max_message_size: Some(8_388_864), block_wise: true });
        let (sent, read) = over_the_wire(&signal, Token::EMPTY);
        assert_eq!(sent, [0x50, 0xe1, 0x23, 0x80, 0x01, 0x00, 0x20]);
        assert_eq!(read, signal);
    }

    #[test]
    fn an_unknown_elective_option_is_passed_over_and_a_critical_one_is_named() {
        assert_eq!(read(Code::CSM, &[(6, &[8])]), Ok(Signal::Csm(Csm::default())));
        assert_eq!(read(Code::CSM, &[(2, &[9]), (5, &[])]), Err(SignalError::CriticalOption { code: Code::CSM, number: 5 }));
    }

    #[test]
    fn values_of_a_wrong_length_are_passed_over() {
        assert_eq!(read(Code::CSM, &[(2, &[1; 5]), (4, &[1])]), Ok(Signal::Csm(Csm::default())));
    }
}

#[test]
fn section_5_4_ping_and_pong_keep_token_and_custody() {
    for custody in [false, true] {
        let (ping, pong) = (Signal::Ping { custody }, Signal::Pong { custody });
        assert_eq!(over_the_wire(&ping, Token::from(TOKEN)).1, ping);
        assert_eq!(over_the_wire(&pong, Token::from(TOKEN)).1, pong);
    }
    assert_eq!(over_the_wire(&Signal::Ping { custody: false }, Token::from(TOKEN)).0[..2], [0x08, 0xe2]);
    assert_eq!(over_the_wire(&Signal::Ping { custody: true }, Token::EMPTY).0, [0x10, 0xe2, 0x20]);
}

#[test]
fn section_5_5_release_tells_where_to_go_and_when() {
    let addresses = vec!["[2001:db8::1]:5684".to_owned(), "other.example".to_owned()];
    let signal = Signal::Release(Release { alternative_addresses: addresses, hold_off: Some(300) });
    assert_eq!(over_the_wire(&signal, Token::from(TOKEN)).1, signal);
    let bad = read(Code::RELEASE, &[(2, b""), (2, &[0xff]), (2, b"ok"), (4, &[0, 0, 0, 1])]);
    assert_eq!(bad, Ok(Signal::Release(Release { alternative_addresses: vec!["ok".into()], hold_off: None })));
}

#[test]
fn section_5_6_abort_names_the_option_and_says_why() {
    let signal = Signal::Abort(Abort { bad_csm_option: Some(OptionNumber(5)), diagnostic: "option 5".into() });
    assert_eq!(over_the_wire(&signal, Token::EMPTY).1, signal);
    let long = Message::new(Code::ABORT, Token::EMPTY).with_payload(vec![b'x'; 100_000]);
    let Ok(Signal::Abort(abort)) = Signal::from_message(&long) else { panic!("an abort") };
    assert_eq!(abort.diagnostic.len(), MAX_DIAGNOSTIC);
}

#[test]
fn section_5_1_what_is_no_signal_is_named() {
    for code in [Code::new(7, 6), Code::new(7, 0), Code::GET] {
        assert_eq!(read(code, &[]), Err(SignalError::Code(code)));
    }
}
