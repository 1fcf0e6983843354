#![no_main]

libfuzzer_sys::fuzz_target!(
    init: corbie_fuzz::write_seeds("reply"),
    |bytes: &[u8]| corbie_fuzz::reply::run(bytes)
);
