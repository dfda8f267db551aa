#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gatehouse_net::fuzzed::records(data));
