#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cryptfs::fuzzing::run("list", data));
