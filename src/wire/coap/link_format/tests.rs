//! Filed by the sections of RFC 6690.

use super::*;
use proptest::prelude::*;

fn filtered(text: &str, query: &str) -> Vec<String> {
    let filter = Filter::from_query(query);
    parse(text).unwrap().into_iter().filter(|link| filter.matches(link)).map(|link| link.href).collect()
}

/// The example of RFC 6690 §5, and what a device says of itself.
const SENSORS: &str = "</sensors>;ct=40;title=\"Sensor Index\",</sensors/temp>;rt=\"temperature-c\";if=\"sensor\",\
    </sensors/light>;rt=\"light-lux core.sen-light\";if=\"sensor\";obs,<http://www.example.com/sensors/t123>;anchor=\"/sensors/temp\";rel=\"describedby\"";

mod section_2_link_format {
    use super::*;

    #[test]
    fn the_example_is_read_and_written_as_it_stands() {
        let links = parse(SENSORS).unwrap();
        assert_eq!(links.len(), 4);
        assert_eq!((links[0].attribute("ct"), links[0].attribute("title")), (Some("40"), Some("Sensor Index")));
        assert!(links[2].has("obs") && links[2].attribute("obs").is_none());
        assert_eq!(write(&links), SENSORS);
    }

    #[test]
    fn no_links_are_an_empty_text() {
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(write([]), "");
    }

    #[test]
    fn a_quoted_value_may_hold_separators_and_escapes() {
        let links = parse(r#"</a>;title="x,y;z\"q\\",</b>"#).unwrap();
        assert_eq!(links[0].attribute("title"), Some("x,y;z\"q\\"));
        assert_eq!(links[1], Link::new("/b"));
    }

    #[test]
    fn a_token_needs_no_quotes_and_space_may_stand_around_separators() {
        let links = parse(" </a> ; rt=oic.r.switch/binary ; sz = 5 ,\r\n </b>").unwrap();
        assert_eq!((links[0].attribute("rt"), links[0].attribute("sz")), (Some("oic.r.switch/binary"), Some("5")));
        assert_eq!(links.len(), 2);
    }

    #[test]
    fn every_refusal_says_where() {
        for (text, error) in [
            ("/a", LinkError::Target(0)),
            ("</a", LinkError::Target(0)),
            ("</a b>", LinkError::Target(0)),
            ("</a>,", LinkError::Target(5)),
            ("</a>,,</b>", LinkError::Target(5)),
            ("</a>;", LinkError::Name(5)),
            ("</a>;=x", LinkError::Name(5)),
            ("</a>;rt=", LinkError::Value(8)),
            ("</a>;rt=\"x", LinkError::Value(8)),
            ("</a>;rt=\"x\\", LinkError::Value(8)),
            ("</a>x", LinkError::Separator(4)),
            ("</a>;rt=\"x\"y", LinkError::Separator(11)),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn as_many_as_the_bounds_are_read_and_one_more_is_not() {
        let list = |count: usize| vec!["<>"; count].join(",");
        assert_eq!(parse(&list(MAX_LINKS)).unwrap().len(), MAX_LINKS);
        assert_eq!(parse(&list(MAX_LINKS + 1)), Err(LinkError::TooManyLinks));
        let attributes = |count: usize| format!("<>{}", ";a".repeat(count));
        assert!(parse(&attributes(MAX_ATTRIBUTES)).is_ok());
        assert_eq!(parse(&attributes(MAX_ATTRIBUTES + 1)), Err(LinkError::TooManyAttributes));
        let long = |length: usize| format!("<{}>", "x".repeat(length - 2));
        assert!(parse(&long(MAX_TEXT)).is_ok());
        assert_eq!(parse(&long(MAX_TEXT + 1)), Err(LinkError::Long));
    }
}

mod section_4_1_filters {
    use super::*;

    #[test]
    fn a_value_is_found_whole_or_as_one_of_a_list() {
        assert_eq!(filtered(SENSORS, "rt=temperature-c"), ["/sensors/temp"]);
        assert_eq!(filtered(SENSORS, "rt=core.sen-light"), ["/sensors/light"]);
        assert_eq!(filtered(SENSORS, "rt=light-lux core.sen-light"), ["/sensors/light"]);
        assert_eq!(filtered(SENSORS, "rt=light"), [""; 0]);
        assert_eq!(filtered(SENSORS, "title=Sensor"), [""; 0]);
    }

    #[test]
    fn a_star_at_the_end_finds_what_begins_so() {
        assert_eq!(filtered(SENSORS, "rt=core*"), ["/sensors/light"]);
        assert_eq!(filtered(SENSORS, "href=/sensors/*"), ["/sensors/temp", "/sensors/light"]);
        assert_eq!(filtered(SENSORS, "href=/sensors"), ["/sensors"]);
        assert_eq!(filtered(SENSORS, "title=Sensor*"), ["/sensors"]);
        assert_eq!(filtered(SENSORS, "if=*"), ["/sensors/temp", "/sensors/light"]);
    }

    #[test]
    fn a_name_alone_finds_links_that_have_it() {
        assert_eq!(filtered(SENSORS, "obs"), ["/sensors/light"]);
        assert_eq!(filtered(SENSORS, "none"), [""; 0]);
    }
}

#[test]
fn what_cannot_be_written_is_left_out() {
    let link = Link::new("/a>; \"x<").with("r t", Some("x")).with("", None).with("rt", Some("a\"b"));
    assert_eq!(parse(&link.to_string()), Ok(vec![Link::new("/a;x").with("rt", Some("a\"b"))]));
}

proptest! {
    #[test]
    fn links_are_read_as_they_were_written(
        links in prop::collection::vec(
            ("\\PC{0,20}", prop::collection::vec(("[a-z0-9.*-]{1,8}", prop::option::of("\\PC{0,20}")), 0..5)),
            0..8,
        ),
    ) {
        let make = |(href, attributes): &(String, Vec<(String, Option<String>)>)| {
            let plain = Link::new(href);
            attributes.iter().fold(plain, |link, (name, value)| link.with(name, value.as_deref()))
        };
        let links: Vec<_> = links.iter().map(make).collect();
        prop_assert_eq!(parse(&write(&links)), Ok(links));
    }
}
