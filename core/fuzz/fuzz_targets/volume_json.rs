//! Fuzzes `proxyfs_core::fuzzing::volume_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| proxyfs_core_fuzz::decode("volume_json", input));
