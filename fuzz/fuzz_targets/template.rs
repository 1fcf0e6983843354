#![no_main]

libfuzzer_sys::fuzz_target!(
    init: corbie_fuzz::write_seeds("template"),
    |bytes: &[u8]| corbie_fuzz::template::run(bytes)
);
