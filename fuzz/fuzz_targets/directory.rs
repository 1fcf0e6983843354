#![no_main]

libfuzzer_sys::fuzz_target!(
    init: corbie_fuzz::write_seeds("directory"),
    |bytes: &[u8]| corbie_fuzz::directory::run(bytes)
);
