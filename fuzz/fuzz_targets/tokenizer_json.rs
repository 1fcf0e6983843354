#![no_main]

libfuzzer_sys::fuzz_target!(
    init: corbie_fuzz::write_seeds("tokenizer_json"),
    |bytes: &[u8]| corbie_fuzz::tokenizer_json::run(bytes)
);
