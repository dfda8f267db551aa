//! A constrained device with Mbed TLS: its hello, who of its kind comes in, and the framing traps as they look in TLS records.

use crate::{
    hex,
    house::{House, files},
    unhex,
};
use gatehouse_coap::Framing;
use gatehouse_testkit::{
    process::{Process, command},
    require_python,
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::Stdio,
};

/// `GET /x.plgd.dev/time` as a device sends it: a token of eight bytes, Accept 10000 and the critical option 2049.
const GET_TIME: &str = "d80b01a1a2a3a4a5a6a7a8ba782e706c67642e6465760474696d65622710e206e30800";

/// 2.05 with the token, Content-Format 10000 and `{"time": "2026-01-02T03:04:05.678000000Z"}`.
const TIME: &str = "d81d45a1a2a3a4a5a6a7a8c22710ffa16474696d65781e323032362d30312d30325430333a30343a30352e3637383030303030305a";

/// `POST /turn` with Content-Format 10000, Accept 10000, options 2049 and 2053, and the body `c0ffee`.
const POST_TURN: &str = "d80a02b1b2b3b4b5b6b7b8b47475726e122710522710e206e30800420800ffc0ffee";

/// 2.04 with the token, Content-Format 42 and the body turned around.
const TURNED: &str = "6844b1b2b3b4b5b6b7b8c12affeeffc0";

/// The same request in a datagram, confirmable (RFC 7252 §3), and its answer in the acknowledgement.
const GET_TIME_IN_A_DATAGRAM: &str = "48010001a1a2a3a4a5a6a7a8ba782e706c67642e6465760474696d65622710e206e30800";
const TIME_IN_A_DATAGRAM: &str =
    "68450001a1a2a3a4a5a6a7a8c22710ffa16474696d65781e323032362d30312d30325430333a30343a30352e3637383030303030305a";

/// A device at a door. `real` devices are served by rustls, those with nothing but `ccm` by OpenSSL.
#[derive(Clone, Copy)]
struct Device<'a> {
    house: &'a House,
    transport: &'a str,
    suites: &'a str,
    chain: Option<&'a str>,
}

/// The longest message that a device is sent, whatever it has room for.
const LONGEST: usize = 7 << 10;

/// What the device prints.
struct Said {
    hello: Vec<u8>,
    suite: Option<String>,
    /// What was in each record, and how long the record was.
    records: Vec<(Vec<u8>, usize)>,
    refused: bool,
}

impl<'a> Device<'a> {
    fn new(house: &'a House, chain: &'a str) -> Self {
        Self { house, transport: "tls", suites: "real", chain: Some(chain) }
    }

    /// `None` where it cannot run.
    fn start(&self, messages: &[&str], records: usize) -> Option<Process> {
        let mut device = command(require_python()?);
        device
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/referees/device.py"))
            .args([self.transport, self.suites, &records.to_string(), &self.house.address.port().to_string()])
            .args(self.chain.map(files).iter().flatten())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut device = Process::start("device.py", device).expect("the device starts");
        device.child().stdin.take().expect("a pipe").write_all(messages.join("\n").as_bytes()).expect("written");
        Some(device)
    }

    fn run(&self, messages: &[&str], records: usize) -> Option<Said> {
        let mut device = self.start(messages, records)?;
        let mut text = String::new();
        device.child().stdout.take().expect("a pipe").read_to_string(&mut text).expect("read");
        assert!(device.wait().expect("ended").success(), "{text}");
        let values = |key: &str| text.lines().filter_map(|line| line.strip_prefix(key)).map(str::trim).collect::<Vec<_>>();
        let record = |line: &str| line.split_once(' ').map(|(length, bytes)| (unhex(bytes), length.parse().expect("a number")));
        Some(Said {
            hello: unhex(values("hello").first().expect("a hello")),
            suite: values("suite").first().map(|&suite| suite.to_owned()),
            records: values("record").into_iter().map(|line| record(line).expect("a length and bytes")).collect(),
            refused: !values("refused").is_empty(),
        })
    }
}

impl Said {
    fn messages(&self) -> Vec<String> {
        self.records.iter().map(|(message, _)| hex(message)).collect()
    }
}

/// RFC 8323 §3.2: `POST /turn` as in [`POST_TURN`], with a body of this length.
fn post_turn(length: usize) -> String {
    let options = unhex("b47475726e122710522710e206e30800420800ff");
    let rest = options.len() + length;
    let extended = u16::try_from(rest - 269).expect("no longer than devices send").to_be_bytes();
    hex(&[&[0xe8, extended[0], extended[1], 2][..], &[0xb1; 8], &options, &vec![0xc0; length]].concat())
}

/// RFC 8323 §3.2: how long the first message is of what is here.
fn length_of_first(bytes: &[u8]) -> usize {
    let token = usize::from(bytes[0] & 15);
    let (extended, rest) = match bytes[0] >> 4 {
        13 => (1, 13 + usize::from(bytes[1])),
        14 => (2, 269 + usize::from(u16::from_be_bytes([bytes[1], bytes[2]]))),
        15 => panic!("longer than any device takes"),
        short => (0, usize::from(short)),
    };
    2 + extended + token + rest
}

/// The extensions of a ClientHello, in order, and what is in each.
fn extensions(hello: &[u8]) -> Vec<(u16, &[u8])> {
    let word = |at: usize| u16::from_be_bytes([hello[at], hello[at + 1]]);
    // Record, handshake and version, random, session id.
    let suites = 5 + 4 + 2 + 32 + 1 + usize::from(hello[43]);
    let methods = suites + 2 + usize::from(word(suites));
    let mut at = methods + 1 + usize::from(hello[methods]) + 2;
    let mut found = Vec::new();
    while at < hello.len() {
        let length = usize::from(word(at + 2));
        found.push((word(at), &hello[at + 4..at + 4 + length]));
        at += 4 + length;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_answered_without_having_said_anything_but_its_requests() {
    let house = House::tls("good/p256-long", Framing::Devices);
    let device = Device::new(&house, "good/p256-long");
    let Some(said) = device.run(&[GET_TIME, POST_TURN], 3) else { return };
    assert_eq!(said.suite.as_deref(), Some("TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256"));
    // The six suites in the order of real devices, and the signal for renegotiation; neither a server name nor ALPN.
    assert!(hex(&said.hello).contains("000ec02bc023c02cc024c02fc03000ff"), "{}", hex(&said.hello));
    let extensions = extensions(&said.hello);
    assert!(extensions.iter().all(|(number, _)| ![0, 16].contains(number)), "{extensions:?}");
    assert!(extensions.contains(&(10, &unhex("000400170018")[..])) && extensions.contains(&(23, &[])), "{extensions:?}");
    // The door introduces itself first, with nothing in it but a token of eight bytes.
    let messages = said.messages();
    assert_eq!((&messages[0][..4], messages[0].len()), ("08e1", 20));
    // The two are worked on side by side.
    let mut answers = messages[1..].to_vec();
    answers.sort();
    assert_eq!(answers, [TURNED, TIME]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_to_a_device_has_a_record_of_its_own_and_is_long_enough() {
    let house = House::tls("good/p256-long", Framing::Devices);
    // What a device would have to say at once for the answers to be there at once.
    let together: String = std::iter::repeat_n(GET_TIME, 20).collect();
    let delete = "0804c1c2c3c4c5c6c7c8";
    let ping = "08e2d1d2d3d4d5d6d7d8";
    for suites in ["real", "ccm"] {
        let device = Device { suites, ..Device::new(&house, "good/p256-long") };
        let Some(said) = device.run(&[ping, delete, &together], 23) else { return };
        assert!(!said.refused && said.records.len() == 23, "{}", said.records.len());
        for (message, _) in &said.records {
            assert_eq!(length_of_first(message), message.len(), "{}", hex(message));
            assert!(message.len() >= 7, "{}", hex(message));
        }
        let messages = said.messages();
        assert!(messages[0].starts_with("08e1"), "{}", messages[0]);
        let count = |start: &str| messages.iter().filter(|message| message.starts_with(start)).count();
        assert_eq!((count("08e1"), count("08e3d1d2d3d4d5d6d7d8"), count(TIME)), (1, 1, 20));
        assert!(messages.iter().any(|message| message.contains("84c1c2c3c4c5c6c7c8")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_and_no_record_is_longer_than_a_devices_buffer() {
    let house = House::tls("good/p256-long", Framing::Devices);
    // Header, token, content format and payload marker of the answer take 15 bytes.
    let most = LONGEST - 15;
    for suites in ["real", "ccm"] {
        let device = Device { suites, ..Device::new(&house, "good/p256-long") };
        let Some(said) = device.run(&[&post_turn(most), &post_turn(most + 1), GET_TIME], 4) else { return };
        assert!(!said.refused && said.records.len() == 4, "{}", said.records.len());
        for (message, on_the_wire) in &said.records {
            assert!(length_of_first(message) == message.len() && message.len() <= LONGEST && *on_the_wire <= 8192, "{on_the_wire}");
        }
        let turned =
            |length: usize| move |(message, _): &&(Vec<u8>, usize)| message.len() == length && message.ends_with(&vec![0xc0; most]);
        assert_eq!(said.records.iter().filter(turned(LONGEST)).count(), 1);
        // One byte more is the door's fault, and does no harm to what follows.
        let messages = said.messages();
        assert!(messages.iter().any(|message| message.contains("a0b1b1b1b1b1b1b1b1")), "{messages:?}");
        assert!(messages.iter().any(|message| message == TIME));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_may_spread_its_request_over_records() {
    let house = House::tls("good/p256-long", Framing::Devices);
    let (begin, end) = GET_TIME.split_at(10);
    let Some(said) = Device::new(&house, "good/p256-long").run(&[begin, end], 2) else { return };
    assert_eq!(said.messages()[1], TIME);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_comes_in_with_its_chain_or_with_a_leaf_whose_issuers_are_known() {
    for (transport, suites) in [("tls", "real"), ("tls", "ccm"), ("dtls", "real"), ("dtls", "ccm")] {
        for (known, presented, let_in) in [
            ("good/p256-long", Some("good/p256-long"), true),
            ("good/intermediates-configured", Some("good/intermediates-configured"), true),
            ("good/root-leaf", Some("good/root-leaf"), true),
            // The same leaf where nobody knows who issued it, a chain of strangers, and nothing at all.
            ("good/p256-long", Some("good/intermediates-configured"), false),
            ("good/p256-long", Some("good/p384-long"), false),
            ("good/p256-long", None, false),
        ] {
            let (house, request, expected, records) = if transport == "tls" {
                (House::tls(known, Framing::Devices), GET_TIME, TIME, 2)
            } else {
                (House::dtls(known), GET_TIME_IN_A_DATAGRAM, TIME_IN_A_DATAGRAM, 1)
            };
            let device = Device { house: &house, transport, suites, chain: presented };
            let Some(said) = device.run(&[request], records) else { return };
            let answered = said.messages().iter().any(|message| message == expected);
            // Who is refused is refused in its handshake.
            assert_eq!(
                (answered, said.suite.is_some(), said.refused),
                (let_in, let_in, !let_in),
                "{transport} {suites}: {presented:?} where {known} is believed: {:?}",
                said.messages()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_nothing_but_cbc_is_refused() {
    for (transport, house) in [("tls", House::tls("good/p256-long", Framing::Devices)), ("dtls", House::dtls("good/p256-long"))] {
        let device = Device { transport, suites: "cbc", ..Device::new(&house, "good/p256-long") };
        let Some(said) = device.run(&[GET_TIME], 1) else { return };
        assert!(said.refused && said.suite.is_none() && said.records.is_empty(), "{transport}: {:?}", said.messages());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_devices_connection_ends_when_its_chain_expires() {
    for (transport, house, request) in
        [("tls", House::tls("good/p256-long", Framing::Devices), GET_TIME), ("dtls", House::dtls("good/p256-long"), GET_TIME_IN_A_DATAGRAM)]
    {
        let device = Device { transport, ..Device::new(&house, "good/p256-long") };
        // More records than will come.
        let Some(mut device) = device.start(&[request], 9) else { return };
        let mut lines = BufReader::new(device.child().stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("a16474696d65")), "{transport}: it is told the time");
        house.let_chains_expire();
        let rest: Vec<String> = lines.collect();
        assert!(rest.iter().any(|line| line.starts_with("refused ConnectionError")), "{transport}: {rest:?}");
    }
}
