#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| telnet_fuzz::kernel_record(data));
