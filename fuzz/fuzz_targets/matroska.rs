#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tureen_fuzz::fuzz_matroska(data));
