#![no_main]

libfuzzer_sys::fuzz_target!(
    init: corbie_fuzz::write_seeds("form"),
    |bytes: &[u8]| corbie_fuzz::form::run(bytes)
);
