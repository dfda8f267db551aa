//! Messages from a kept seed, written without the code under test.

/// SplitMix64: the same messages on every machine, for ever.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn bytes(&mut self, length: usize) -> impl Iterator<Item = u8> {
        (0..length).map(|_| self.next() as u8)
    }
}

/// A well-formed datagram with a code, options and payload as they occur, and now and then as they do not.
pub(crate) fn datagram(draw: &mut Draw, into: &mut Vec<u8>) {
    into.clear();
    let token = if draw.one_in(3) { draw.below(9) } else { 8 };
    let code = match draw.below(10) {
        0 => 0,
        1 | 2 => CODES[draw.below(CODES.len())],
        3 => (draw.below(4) as u8 + 2) << 5 | draw.below(32) as u8,
        _ => draw.below(8) as u8,
    };
    let token = if code == 0 { 0 } else { token };
    into.extend([0x40 | (draw.below(4) as u8) << 4 | token as u8, code]);
    into.extend(draw.bytes(2 + token));
    if code == 0 {
        return;
    }
    let (mut number, count) = (0u32, draw.below(8));
    for _ in 0..count {
        let delta = match draw.below(12) {
            0 => draw.below(3000) as u32,
            1 => draw.below(300) as u32,
            2 if draw.one_in(8) => 65_535 - number,
            _ => draw.below(14) as u32,
        };
        let length = match draw.below(40) {
            0 => draw.below(600),
            1..=4 => draw.below(40),
            _ => draw.below(10),
        };
        if number + delta > 65_535 {
            break;
        }
        number += delta;
        option(into, delta, length as u32);
        into.extend(draw.bytes(length));
    }
    if draw.one_in(2) {
        into.push(0xff);
        let length = 1 + if draw.one_in(50) { draw.below(2000) } else { draw.below(24) };
        into.extend(draw.bytes(length));
    }
}

fn option(into: &mut Vec<u8>, delta: u32, length: u32) {
    let form = |value: u32| match value {
        0..13 => (value as u8, vec![]),
        13..269 => (13, vec![(value - 13) as u8]),
        _ => (14, ((value - 269) as u16).to_be_bytes().to_vec()),
    };
    let ((first, delta), (second, length)) = (form(delta), form(length));
    into.push(first << 4 | second);
    into.extend(delta);
    into.extend(length);
}

/// Changes a message in one to three places.
pub(crate) fn mutate(draw: &mut Draw, message: &mut Vec<u8>) {
    for _ in 0..=draw.below(3) {
        let at = draw.below(message.len());
        match draw.below(8) {
            0 => message.truncate(at),
            1 => message.insert(at, draw.next() as u8),
            2 if !message.is_empty() => drop(message.remove(at)),
            3 => message.push([0xff, 0x0f, 0xf0, 0xee, 0xdd][draw.below(5)]),
            4 if !message.is_empty() => message[at] = [0xff, 0x0f, 0xf0, 0xee, 0xdd, 0][draw.below(6)],
            5 if !message.is_empty() => message[0] = draw.next() as u8,
            6 if message.len() > 1 => message[1] = draw.next() as u8,
            _ => {
                if let Some(byte) = message.get_mut(at) {
                    *byte ^= 1 << draw.below(8);
                }
            }
        }
    }
}

const CODES: [u8; 12] = [0x41, 0x42, 0x43, 0x44, 0x45, 0x5f, 0x80, 0x84, 0x9d, 0xa0, 0xa3, 0xa8];
