//! Filed by the sections of RFC 7252 and RFC 8323.

use super::*;
use proptest::prelude::*;

fn uri(text: &str) -> Uri {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn options(text: &str) -> Vec<(u16, String)> {
    let uri = uri(text);
    let options = uri.to_options(uri.port()).build();
    options.iter().map(|(number, value)| (number.0, String::from_utf8(value.to_vec()).unwrap())).collect()
}

mod section_6_4_decomposing {
    use super::*;

    #[test]
    fn host_path_and_query_become_options() {
        let expected = [(3, "example.com"), (11, "~sensors"), (11, "temp.xml"), (15, "a=1"), (15, "b")];
        let expected: Vec<_> = expected.iter().map(|(number, value)| (*number, (*value).to_owned())).collect();
        assert_eq!(options("coap://EXAMPLE.com:5683/~sensors/temp.xml?a=1&b"), expected);
        assert_eq!(options("coaps://example.com/%7Esensors/temp%2exml?%61=1&b"), expected);
    }

    #[test]
    fn an_address_is_no_name_and_the_root_has_no_path() {
        assert_eq!(options("coap://[2001:db8::1]/"), []);
        assert_eq!(options("coaps+tcp://192.0.2.1:5555"), []);
        assert_eq!(uri("coap://[2001:db8::1]:61616").port(), 61_616);
    }

    #[test]
    fn a_port_that_the_request_does_not_go_to_becomes_an_option() {
        let uri = uri("coap://192.0.2.1:7777/");
        assert_eq!(uri.to_options(7777).build().iter().count(), 0);
        assert_eq!(uri.to_options(5683).build().uint(OptionNumber::URI_PORT), Some(7777));
    }

    #[test]
    fn what_is_encoded_does_not_separate() {
        assert_eq!(options("coap://h/a%2Fb?c%26d"), [(3, "h".into()), (11, "a/b".into()), (15, "c&d".into())]);
        assert_eq!(options("coap://h/a/"), [(3, "h".into()), (11, "a".into()), (11, String::new())]);
        assert_eq!(options("coap://h?"), [(3, "h".into()), (15, String::new())]);
        assert_eq!(options("coap://h/%E2%98%95"), [(3, "h".into()), (11, "☕".into())]);
    }

    #[test]
    fn every_refusal_names_its_rule() {
        for (text, error) in [
            ("http://h/", UriError::Scheme),
            ("coap:h", UriError::Scheme),
            ("/path", UriError::Scheme),
            ("coap://h/#f", UriError::Fragment),
            ("coap://user@h/", UriError::User),
            ("coap:///path", UriError::Host),
            ("coap://:5683/", UriError::Host),
            ("coap://[::1", UriError::Host),
            ("coap://[::1]x", UriError::Host),
            ("coap://[fe80::1%25eth0]/", UriError::Host),
            ("coap://[192.0.2.1]/", UriError::Host),
            ("coap://h:0/", UriError::Port),
            ("coap://h:65536/", UriError::Port),
            ("coap://h:+1/", UriError::Port),
            ("coap://h/a b", UriError::Encoding),
            ("coap://h/%", UriError::Encoding),
            ("coap://h/%4", UriError::Encoding),
            ("coap://h/%4g", UriError::Encoding),
            ("coap://h/%ff", UriError::Encoding),
            ("coap://h/é", UriError::Encoding),
            ("coap://h/\0", UriError::Encoding),
        ] {
            assert_eq!(text.parse::<Uri>(), Err(error), "{text}");
        }
        assert!("coap://h:/".parse::<Uri>().is_ok());
    }

    #[test]
    fn a_segment_has_255_bytes_and_no_more() {
        assert!(format!("coap://h/{}", "a".repeat(255)).parse::<Uri>().is_ok());
        assert_eq!(format!("coap://h/{}", "a".repeat(256)).parse::<Uri>(), Err(UriError::Part));
        assert!(format!("coap://h/{}", "%41".repeat(255)).parse::<Uri>().is_ok());
        assert_eq!(format!("coap://h/{}", "/a".repeat(MAX_URI / 2)).parse::<Uri>(), Err(UriError::Long));
    }
}

mod section_6_5_composing {
    use super::*;

    #[test]
    fn options_become_the_uri_that_they_came_from() {
        for text in [
            "coap://example.com/~sensors/temp.xml?a=1&b",
            "coaps://[::1]:5555/",
            "coap+tcp://192.0.2.1/a%2Fb?c%26d&e/f?g",
            "coaps+tcp://host/.well-known/core?rt=oic.r.*",
            "coap://h/%E2%98%95/?",
            "coap://h//a//",
        ] {
            let whole = uri(text);
            assert_eq!(whole.to_string(), text);
            let root = Uri::new(whole.scheme(), Host::Address([192, 0, 2, 1].into()), None);
            let read =
                Uri::from_options(whole.scheme(), root.host().clone(), None, &whole.to_options(whole.scheme().default_port()).build());
            let expected = Uri { host: if matches!(whole.host, Host::Name(_)) { whole.host.clone() } else { root.host }, ..whole };
            assert_eq!(read, Some(expected));
        }
    }

    #[test]
    fn options_that_no_uri_can_say_become_none() {
        let bad = Options::builder().push_raw(OptionNumber::URI_PATH, &[0xff]).unwrap().build();
        let empty_host = Options::builder().push_raw(OptionNumber::URI_HOST, &[]).unwrap().build();
        let no_port = Options::builder().uint(OptionNumber::URI_PORT, 0).build();
        for options in [bad, empty_host, no_port] {
            assert_eq!(Uri::from_options(Scheme::Coap, Host::named("h"), None, &options), None);
        }
    }

    #[test]
    fn path_query_and_location_are_written_as_in_a_uri() {
        let options = Options::builder().path("/oic/res").unwrap().query("rt=a&b").unwrap().build();
        assert_eq!((requested(&options), location(&options)), ("/oic/res?rt=a%26b".into(), None));
        let created = Options::builder().push(OptionNumber::LOCATION_PATH, b"switches").unwrap();
        let created = created.push(OptionNumber::LOCATION_PATH, b"1").unwrap().build();
        assert_eq!((requested(&created), location(&created)), ("/".into(), Some("/switches/1".into())));
    }
}

#[test]
fn rfc8323_section_8_the_schemes_over_tcp_have_the_ports_of_their_siblings() {
    let ports = ["coap://h", "coap+tcp://h", "coaps://h", "COAPS+TCP://h"].map(|text| uri(text).port());
    assert_eq!(ports, [5683, 5683, 5684, 5684]);
    assert!(uri("coaps+tcp://h").scheme().is_secure() && uri("coaps+tcp://h").scheme().is_reliable());
}

proptest! {
    #[test]
    fn a_uri_of_any_texts_is_read_as_it_was_written(
        path in prop::collection::vec("\\PC{0,20}", 0..5),
        query in prop::collection::vec("\\PC{0,20}", 0..5),
        name in "\\PC{1,20}",
        port in prop::option::of(1u16..),
    ) {
        // The root and a single empty segment are the same URI (RFC 7252 §6.4, step 8).
        prop_assume!(path != [""]);
        let port = port.filter(|port| *port != Scheme::Coap.default_port());
        let uri = Uri { scheme: Scheme::Coap, host: Host::named(&name), port, path, query };
        prop_assert_eq!(uri.to_string().parse(), Ok(uri));
    }

    #[test]
    fn any_text_is_a_uri_or_an_error(text in "(coap://)?\\PC{0,40}") {
        if let Ok(uri) = text.parse::<Uri>() {
            prop_assert_eq!(uri.to_string().parse(), Ok(uri));
        }
    }
}
