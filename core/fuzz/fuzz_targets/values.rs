//! Fuzzes `proxyfs_core::fuzzing::values`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| proxyfs_core_fuzz::decode("values", input));
