//! Fuzzes `proxyfs_core::fuzzing::pack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| proxyfs_core_fuzz::decode("pack", input));
