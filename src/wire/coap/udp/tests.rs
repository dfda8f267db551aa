//! Filed by the sections of RFC 7252.

use super::*;
use crate::coap::{OptionNumber, WhyUnrecognised};

fn parse(bytes: &[u8]) -> Result<Datagram, DatagramError> {
    Datagram::parse(Bytes::copy_from_slice(bytes), &Limits::default())
}

fn rule(bytes: &[u8]) -> Rule {
    parse(bytes).unwrap_err().rule
}

fn encoded(datagram: &Datagram) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    datagram.encode(&mut bytes);
    assert_eq!(bytes.len(), datagram.encoded_length());
    bytes.to_vec()
}

/// RFC 7252 appendix A, figure 16: a GET of `/temperature`.
const GET_TEMPERATURE: &[u8] = b"\x40\x01\x7d\x34\xbbtemperature";

mod section_3_message_format {
    use super::*;

    #[test]
    fn the_first_example_of_appendix_a_reads_and_writes() {
        let datagram = parse(GET_TEMPERATURE).unwrap();
        assert_eq!((datagram.kind, datagram.id, datagram.message.code), (Kind::Confirmable, MessageId(0x7d34), Code::GET));
        assert_eq!(datagram.message.options.path().collect::<Vec<_>>(), ["temperature"]);
        assert_eq!(encoded(&datagram), GET_TEMPERATURE);
    }

    #[test]
    fn the_answer_of_appendix_a_carries_its_payload() {
        let answer = b"\x60\x45\x7d\x34\xff22.3 C";
        let datagram = parse(answer).unwrap();
        assert_eq!((datagram.kind, datagram.message.code), (Kind::Acknowledgement, Code::CONTENT));
        assert_eq!(&datagram.message.payload[..], b"22.3 C");
        assert_eq!(encoded(&datagram), answer);
    }

    #[test]
    fn another_version_is_ignored_without_a_word() {
        for version in [0, 2, 3] {
            let mut bytes = GET_TEMPERATURE.to_vec();
            bytes[0] = version << 6;
            assert_eq!(parse(&bytes), Err(DatagramError { rule: Rule::Version, header: None }));
        }
    }

    #[test]
    fn less_than_a_header_is_ignored_without_a_word() {
        for length in 0..4 {
            assert_eq!(parse(&GET_TEMPERATURE[..length]), Err(DatagramError { rule: Rule::Short, header: None }));
        }
    }

    #[test]
    fn token_lengths_nine_to_fifteen_are_reserved() {
        for length in 0..=15u8 {
            let bytes = [&[0x40 | length, 1, 0, 1], &[7; 15][..usize::from(length)]].concat();
            match parse(&bytes) {
                Ok(datagram) => assert_eq!(datagram.message.token.len(), usize::from(length)),
                Err(error) => {
                    assert!(length > 8);
                    assert_eq!((error.rule, error.reset()), (Rule::Token, Some(MessageId(1))));
                }
            }
        }
    }

    #[test]
    fn a_token_that_is_not_there_whole_is_refused() {
        assert_eq!(rule(&[0x44, 1, 0, 1, 1, 2, 3]), Rule::Token);
        assert!(parse(&[0x44, 1, 0, 1, 1, 2, 3, 4]).is_ok());
    }

    #[test]
    fn a_marker_without_payload_is_refused_and_one_with_a_byte_is_not() {
        assert_eq!(rule(&[0x40, 1, 0, 1, 0xff]), Rule::Options(OptionRule::EmptyPayload));
        assert_eq!(&parse(&[0x40, 1, 0, 1, 0xff, 0xff]).unwrap().message.payload[..], [0xff]);
    }

    #[test]
    fn a_datagram_of_one_byte_more_than_the_limit_is_refused_with_its_token() {
        let limits = Limits { message: GET_TEMPERATURE.len(), ..Limits::default() };
        assert!(Datagram::parse(Bytes::from_static(GET_TEMPERATURE), &limits).is_ok());
        let limits = Limits { message: GET_TEMPERATURE.len() - 1, ..limits };
        let error = Datagram::parse(Bytes::from_static(GET_TEMPERATURE), &limits).unwrap_err();
        assert_eq!(error.rule, Rule::Long);
        assert_eq!(error.header.unwrap().token, Some(Token::EMPTY));
    }
}

mod section_3_1_option_format {
    use super::*;

    fn options(bytes: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, Rule> {
        let datagram = parse(&[&[0x40, 1, 0, 1], bytes].concat()).map_err(|error| error.rule)?;
        Ok(datagram.message.options.iter().map(|(number, value)| (number.0, value.to_vec())).collect())
    }

    #[test]
    fn deltas_and_lengths_have_three_forms() {
        assert_eq!(options(&[0xc1, 9]), Ok(vec![(12, vec![9])]));
        assert_eq!(options(&[0xd1, 0, 9]), Ok(vec![(13, vec![9])]));
        assert_eq!(options(&[0xe1, 0, 0, 9]), Ok(vec![(269, vec![9])]));
        assert_eq!(options(&[[0x1d, 1].as_slice(), &[7; 14]].concat()), Ok(vec![(1, vec![7; 14])]));
        assert_eq!(options(&[[0x1e, 0, 1].as_slice(), &[7; 270]].concat()), Ok(vec![(1, vec![7; 270])]));
    }

    #[test]
    fn the_reserved_fifteen_is_refused_in_both_places() {
        assert_eq!(options(&[0xf0]), Err(Rule::Options(OptionRule::Delta)));
        assert_eq!(options(&[0x1f]), Err(Rule::Options(OptionRule::Length)));
    }

    #[test]
    fn the_last_number_is_65535() {
        assert_eq!(options(&[0xe0, 0xfe, 0xf2]), Ok(vec![(65_535, vec![])]));
        assert_eq!(options(&[0xe0, 0xfe, 0xf3]), Err(Rule::Options(OptionRule::Number)));
        assert_eq!(options(&[0xe0, 0xfe, 0xf2, 0x10]), Err(Rule::Options(OptionRule::Number)));
    }

    #[test]
    fn an_option_cut_anywhere_is_refused() {
        let whole = [[0xde, 0, 0, 1].as_slice(), &[7; 270]].concat();
        assert!(options(&whole).is_ok());
        for length in 1..whole.len() {
            assert_eq!(options(&whole[..length]), Err(Rule::Options(OptionRule::Truncated)), "{length}");
        }
    }

    #[test]
    fn as_many_options_as_the_limit_are_read_and_one_more_is_not() {
        let most = Limits::default().options;
        assert_eq!(options(&vec![0x10; most]).unwrap().len(), most);
        assert_eq!(options(&vec![0x10; most + 1]), Err(Rule::Options(OptionRule::TooMany)));
    }
}

mod section_4_1_empty_messages {
    use super::*;

    #[test]
    fn an_empty_message_is_four_bytes_and_no_more() {
        for kind in [Kind::Confirmable, Kind::NonConfirmable, Kind::Acknowledgement, Kind::Reset] {
            let empty = Datagram::empty(kind, MessageId(0x1234));
            assert_eq!(parse(&encoded(&empty)), Ok(empty.clone()));
            assert_eq!(encoded(&empty).len(), 4);
        }
        assert_eq!(rule(&[0x40, 0, 0, 1, 0xb1]), Rule::Empty);
        assert_eq!(rule(&[0x41, 0, 0, 1, 7]), Rule::Empty);
        assert_eq!(rule(&[0x41, 0, 0, 1]), Rule::Empty);
        assert_eq!(rule(&[0x40, 0, 0, 1, 0xff, 7]), Rule::Empty);
    }

    #[test]
    fn what_is_written_as_empty_is_empty_whatever_it_holds() {
        let mut empty = Datagram::empty(Kind::Reset, MessageId(1));
        empty.message.token = Token::from([1; 8]);
        empty.message.payload = Bytes::from_static(b"x");
        assert_eq!(encoded(&empty), [0x70, 0, 0, 1]);
    }
}

mod section_4_2_rejecting {
    use super::*;

    #[test]
    fn a_reserved_class_is_refused_and_the_others_are_not() {
        for class in 0..8 {
            let result = parse(&[0x40, Code::new(class, 1).byte(), 0, 1]);
            if matches!(class, 1 | 6 | 7) {
                assert_eq!(result.unwrap_err().rule, Rule::Class);
            } else {
                assert!(result.is_ok());
            }
        }
    }

    #[test]
    fn only_a_confirmable_message_has_to_be_reset() {
        for (first, expected) in [(0x40, Some(MessageId(7))), (0x50, None), (0x60, None), (0x70, None)] {
            let error = parse(&[first, 1, 0, 7, 0xff]).unwrap_err();
            assert_eq!(error.reset(), expected);
            assert_eq!(error.header.unwrap().id, MessageId(7));
        }
    }
}

mod section_5_4_options {
    use super::*;

    fn refused(options: &Options) -> Option<(u16, WhyUnrecognised)> {
        let known = |number: OptionNumber| number.name().is_some();
        options.refuse_critical(known).err().map(|refused| (refused.number.0, refused.why))
    }

    fn raw(options: &[(u16, &[u8])]) -> Options {
        options.iter().fold(Options::builder(), |all, (number, value)| all.push_raw(OptionNumber(*number), value).unwrap()).build()
    }

    #[test]
    fn section_5_4_1_an_unknown_critical_option_is_refused_and_an_elective_one_is_not() {
        assert_eq!(refused(&raw(&[(65_001, b"x")])), Some((65_001, WhyUnrecognised::Unknown)));
        assert_eq!(refused(&raw(&[(65_000, b"x")])), None);
    }

    #[test]
    fn section_5_4_1_the_options_of_ocf_are_critical_and_known() {
        let ocf = raw(&[(2049, &[8, 0]), (2053, &[8, 0])]);
        assert_eq!(refused(&ocf), None);
        assert_eq!(ocf.uint(OptionNumber::OCF_VERSION), Some(2048));
        assert_eq!(ocf.refuse_critical(|number| number.0 < 2049).unwrap_err().number, OptionNumber(2049));
    }

    #[test]
    fn section_5_4_3_a_value_of_a_wrong_length_is_an_unknown_option() {
        assert_eq!(refused(&raw(&[(3, b"")])), Some((3, WhyUnrecognised::Length)));
        assert_eq!(refused(&raw(&[(17, &[0, 0, 60])])), Some((17, WhyUnrecognised::Length)));
        let elective = raw(&[(12, &[0, 0, 60]), (4, b"")]);
        assert_eq!(refused(&elective), None);
        assert_eq!(elective.content_format(), None);
        assert_eq!(elective.first(OptionNumber::ETAG), None);
    }

    #[test]
    fn section_5_4_5_what_may_not_repeat_is_unknown_the_second_time() {
        assert_eq!(refused(&raw(&[(17, &[60]), (17, &[50])])), Some((17, WhyUnrecognised::Repeated)));
        assert_eq!(refused(&raw(&[(11, b"a"), (11, b"b"), (15, b"c"), (15, b"d")])), None);
        let twice = raw(&[(14, &[5]), (14, &[9])]);
        assert_eq!((refused(&twice), twice.max_age()), (None, 5));
    }

    #[test]
    fn section_5_10_1_a_path_that_is_not_utf8_is_refused() {
        let options = raw(&[(11, b"ok"), (11, &[0xc3, 0x28])]);
        assert_eq!(refused(&options), Some((11, WhyUnrecognised::NotText)));
        assert_eq!(options.path().collect::<Vec<_>>(), ["ok", "\u{fffd}"]);
    }

    #[test]
    fn section_3_2_leading_zeros_of_a_number_may_stand_and_are_not_written() {
        assert_eq!(raw(&[(14, &[0, 0, 0, 5])]).max_age(), 5);
        assert_eq!(Options::builder().max_age(5).build().encoded(), [0xd1, 1, 5]);
        assert_eq!(Options::builder().uint(OptionNumber::MAX_AGE, 0).build().encoded(), [0xd0, 1]);
        assert_eq!(Options::builder().build().max_age(), 60);
    }
}

#[test]
fn options_come_out_in_order_whatever_order_they_went_in() {
    let options = Options::builder()
        .query("rt=x")
        .unwrap()
        .uint(OptionNumber::NO_RESPONSE, 2)
        .path("/oic/res")
        .unwrap()
        .observe(0)
        .query("if=oic.if.ll")
        .unwrap()
        .build();
    let numbers: Vec<_> = options.iter().map(|(number, _)| number.0).collect();
    assert_eq!(numbers, [6, 11, 11, 15, 15, 258]);
    assert_eq!(options.path().collect::<Vec<_>>(), ["oic", "res"]);
    assert_eq!(options.query().collect::<Vec<_>>(), ["rt=x", "if=oic.if.ll"]);
    assert_eq!(options.observe(), Some(0));
}

#[test]
fn a_value_that_its_option_cannot_have_is_not_written() {
    let long = "x".repeat(256);
    assert_eq!(Options::builder().path(&long).unwrap_err().length, 256);
    assert!(Options::builder().path(&long[1..]).is_ok());
    assert!(Options::builder().push_raw(OptionNumber(9), &vec![0; 65_805]).is_err());
    assert!(Options::builder().push_raw(OptionNumber(9), &vec![0; 65_804]).is_ok());
}
