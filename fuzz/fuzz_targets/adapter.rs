#![no_main]

libfuzzer_sys::fuzz_target!(
    init: corbie_fuzz::write_seeds("adapter"),
    |bytes: &[u8]| corbie_fuzz::adapter::run(bytes)
);
