//! Fuzzes `proxyfs_model::fuzzing::operations`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| proxyfs_model::fuzzing::operations(input));
