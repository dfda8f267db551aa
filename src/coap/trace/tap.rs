//! Where a connection's bytes pass by those who look.

use super::{
    Traces,
    shown::{Carried, show},
};
use crate::caller::Caller;
use bytes::{Bytes, BytesMut};
use gatehouse_wire::coap::{Datagram, Limits, Message, Token, tcp::Decoder};
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

/// Requests whose answers are to be related to them. What is older is not shown.
const REMEMBERED: usize = 64;

/// One connection's part in what is traced.
pub(crate) struct Tap {
    traces: Arc<Traces>,
    caller: Arc<Caller>,
    seen: u64,
    on: Option<Box<On>>,
}

/// What is needed while somebody looks.
struct On {
    ids: Vec<u64>,
    arriving: Option<(Decoder, BytesMut)>,
    /// Of each side's requests, what their answers may carry.
    theirs: Requests,
    ours: Requests,
}

/// Tokens of requests, and whether their paths carry secrets.
#[derive(Default)]
struct Requests(VecDeque<(Token, Carried)>);

impl Tap {
    pub(crate) fn new(traces: Arc<Traces>, caller: Arc<Caller>) -> Self {
        Self { traces, caller, seen: 0, on: None }
    }

    /// Bytes of the peer. `aligned` where a message begins with them.
    pub(crate) fn received(&mut self, bytes: &[u8], aligned: bool) {
        if !self.is_on() {
            return;
        }
        let is_stream = self.is_stream();
        let Some(on) = &mut self.on else { return };
        let mut lines = Vec::new();
        if is_stream {
            if aligned && on.arriving.is_none() {
                on.arriving = Some((Decoder::new(LIMITS), BytesMut::new()));
            }
            if let Some((decoder, arrived)) = &mut on.arriving {
                arrived.extend_from_slice(bytes);
                loop {
                    match decoder.decode(arrived) {
                        Ok(Some(message)) => lines.push(format!("<- {}", on.theirs.line(&mut on.ours, "", &message))),
                        Ok(None) => break,
                        Err(error) => {
                            lines.push(format!("<- what cannot be read: {error}"));
                            on.arriving = None;
                            break;
                        }
                    }
                }
            }
        } else {
            lines.push(format!("<- {}", datagram(Bytes::copy_from_slice(bytes), &mut on.theirs, &mut on.ours)));
        }
        self.write(&lines);
    }

    /// A message to the peer.
    pub(crate) fn sent(&mut self, item: &Bytes) {
        if !self.is_on() {
            return;
        }
        let is_stream = self.is_stream();
        let Some(on) = &mut self.on else { return };
        let line = if is_stream {
            match Decoder::new(LIMITS).decode(&mut BytesMut::from(&item[..])) {
                Ok(Some(message)) => on.ours.line(&mut on.theirs, "", &message),
                _ => format!("{} bytes", item.len()),
            }
        } else {
            datagram(item.clone(), &mut on.ours, &mut on.theirs)
        };
        self.write(&[format!("-> {line}")]);
    }

    fn write(&mut self, lines: &[String]) {
        let Some(on) = &self.on else { return };
        if lines.iter().any(|line| !self.traces.write(&on.ids, line)) {
            self.on = None;
        }
    }

    /// Whether anybody looks at this peer. Where nobody began to since the last time, that is a look at a number.
    fn is_on(&mut self) -> bool {
        let begun = self.traces.begun.load(Ordering::Relaxed);
        if begun != self.seen {
            self.seen = begun;
            let ids = self.traces.matching(&self.caller.peer);
            self.on = match self.on.take() {
                _ if ids.is_empty() => None,
                Some(on) => Some(Box::new(On { ids, ..*on })),
                None => Some(Box::new(On { ids, arriving: None, theirs: Requests::default(), ours: Requests::default() })),
            };
        }
        self.on.is_some()
    }

    fn is_stream(&self) -> bool {
        self.caller.transport.is_stream()
    }
}

impl Requests {
    /// A line for a message of this side, whose answers relate to requests of the other.
    fn line(&mut self, others: &mut Self, how: &str, message: &Message) -> String {
        let carried = if message.code.is_request() {
            let carried = Carried::by_path(&message.options);
            self.0.push_back((message.token, carried));
            if self.0.len() > REMEMBERED {
                self.0.pop_front();
            }
            carried
        } else {
            let asked = others.0.iter().rev().find(|(token, _)| *token == message.token);
            asked.map_or(Carried::Secret, |(_, carried)| *carried)
        };
        show(how, message, carried)
    }
}

fn datagram(bytes: Bytes, own: &mut Requests, others: &mut Requests) -> String {
    let length = bytes.len();
    match Datagram::parse(bytes, &LIMITS) {
        Ok(Datagram { kind, id, message }) => own.line(others, &format!("{kind:?} {id} "), &message),
        Err(error) => format!("{length} bytes that cannot be read: {error}"),
    }
}

/// Wider than any that configuration allows: what is refused is to be seen as well.
const LIMITS: Limits = Limits { message: 64 << 20, options: 1024 };
