//! Fuzzes `proxyfs_core::fuzzing::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| proxyfs_core_fuzz::decode("frame", input));
