#![no_main]

libfuzzer_sys::fuzz_target!(
    init: corbie_fuzz::write_seeds("gguf"),
    |bytes: &[u8]| corbie_fuzz::gguf::run(bytes)
);
