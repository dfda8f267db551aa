//! What does reading and writing a CoAP message cost, beside coap-lite in the same run?
//!
//! Both read the same bytes and then look at every option once; both write what they read. The messages are what a device and its
//! cloud say: a request with seven options, an answer with a payload, an empty acknowledgement, and one with forty options.
//! The aims are a third of coap-lite's time for reading a request and a tenth for writing it. `build` makes the request from nothing.

use bytes::{Bytes, BytesMut};
use coap_lite::{CoapOption, Packet};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gatehouse_wire::coap::{Code, ContentFormat, Datagram, Kind, Limits, Message, MessageId, OptionNumber, Options, Token, tcp};
use std::hint::black_box;

const TOKEN: [u8; 8] = [0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8];

fn messages() -> [(&'static str, Datagram); 4] {
    let empty = Datagram::empty(Kind::Acknowledgement, MessageId(7));
    let datagram = |message| Datagram { kind: Kind::Confirmable, id: MessageId(7), message };
    let answer = Message::new(Code::CONTENT, Token::from(TOKEN)).with_payload(vec![0x5a; 200]);
    let answer = answer.with_options(Options::builder().observe(70_000).content_format(ContentFormat::OCF_CBOR).build());
    let many = (0..40).fold(Options::builder(), |all, at| all.uint(OptionNumber(at * 20), u32::from(at) * 1000)).build();
    let many = Message::new(Code::PUT, Token::from(TOKEN)).with_options(many);
    [("empty", empty), ("request", datagram(request())), ("answer", datagram(answer)), ("forty options", datagram(many))]
}

/// What a device sends to publish its resources, without the payload.
fn request() -> Message {
    let options = Options::builder().path("/oic/rd").expect("short").content_format(ContentFormat::OCF_CBOR);
    let options = options.query("rt=oic.wk.rdpub").expect("short").accept(ContentFormat::OCF_CBOR);
    let options = options.uint(OptionNumber::OCF_ACCEPT_VERSION, 2048).uint(OptionNumber::OCF_VERSION, 2048);
    Message::new(Code::POST, Token::from(TOKEN)).with_options(options.build())
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("coap parse");
    group.throughput(Throughput::Elements(1));
    for (name, datagram) in messages() {
        let mut bytes = BytesMut::new();
        datagram.encode(&mut bytes);
        let (bytes, limits) = (bytes.freeze(), Limits::default());
        let ours = |bytes: &Bytes| {
            let read = Datagram::parse(bytes.clone(), &limits).expect("a good message");
            let sum = read.message.options.iter().map(|(number, value)| usize::from(number.0) + value.len()).sum::<usize>();
            (read, sum)
        };
        let theirs = |bytes: &Bytes| {
            let read = Packet::from_bytes(bytes).expect("a good message");
            let options = read.options().flat_map(|(number, values)| values.iter().map(move |value| usize::from(*number) + value.len()));
            let sum = options.sum::<usize>();
            (read, sum)
        };
        assert_eq!(ours(&bytes).1, theirs(&bytes).1, "both read the same");
        group.bench_with_input(BenchmarkId::new("gatehouse", name), &bytes, |b, bytes| b.iter(|| ours(black_box(bytes))));
        group.bench_with_input(BenchmarkId::new("coap-lite", name), &bytes, |b, bytes| b.iter(|| theirs(black_box(bytes))));
        if datagram.message.code != Code::EMPTY {
            let mut frame = BytesMut::new();
            tcp::encode(&datagram.message, &mut frame);
            group.bench_with_input(BenchmarkId::new("gatehouse over tcp", name), &frame, |b, frame| {
                let mut decoder = tcp::Decoder::new(limits);
                let mut arrived = BytesMut::new();
                b.iter(|| {
                    arrived.extend_from_slice(black_box(frame));
                    decoder.decode(&mut arrived).expect("a good frame")
                });
            });
        }
    }
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("coap encode");
    group.throughput(Throughput::Elements(1));
    for (name, datagram) in messages() {
        let mut bytes = BytesMut::with_capacity(4096);
        datagram.encode(&mut bytes);
        let packet = Packet::from_bytes(&bytes).expect("a good message");
        group.bench_with_input(BenchmarkId::new("gatehouse", name), &datagram, |b, datagram| {
            b.iter(|| {
                bytes.clear();
                black_box(datagram).encode(&mut bytes);
                bytes.len()
            });
        });
        group.bench_with_input(BenchmarkId::new("coap-lite", name), &packet, |b, packet| {
            b.iter(|| black_box(packet).to_bytes_unlimited().expect("a good message"));
        });
    }
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("coap build");
    group.throughput(Throughput::Elements(1));
    group.bench_function("gatehouse", |b| {
        let mut bytes = BytesMut::with_capacity(4096);
        b.iter(|| {
            bytes.clear();
            Datagram { kind: Kind::Confirmable, id: MessageId(7), message: black_box(request()) }.encode(&mut bytes);
            bytes.len()
        });
    });
    group.bench_function("coap-lite", |b| {
        b.iter(|| {
            let mut packet = Packet::new();
            packet.header.message_id = 7;
            packet.header.set_code("0.02");
            packet.set_token(TOKEN.to_vec());
            for segment in ["oic", "rd"] {
                packet.add_option(CoapOption::UriPath, segment.as_bytes().to_vec());
            }
            packet.add_option(CoapOption::ContentFormat, 10_000u16.to_be_bytes().to_vec());
            packet.add_option(CoapOption::UriQuery, b"rt=oic.wk.rdpub".to_vec());
            packet.add_option(CoapOption::Accept, 10_000u16.to_be_bytes().to_vec());
            packet.add_option(CoapOption::Unknown(2049), 2048u16.to_be_bytes().to_vec());
            packet.add_option(CoapOption::Unknown(2053), 2048u16.to_be_bytes().to_vec());
            black_box(packet).to_bytes_unlimited().expect("a good message")
        });
    });
}

criterion_group!(benches, parse, encode, build);
criterion_main!(benches);
