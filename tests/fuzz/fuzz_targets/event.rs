#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telnet_fuzz::event(data));
