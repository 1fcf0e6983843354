//! Model files of any bytes: an error, or a file all of whose parts can be read, and a decoder that
//! reads.
#![no_main]

use std::sync::Arc;

use corbie_models::decoder::{Decoder, Workspace};
use corbie_models::gguf::GgufFile;
use corbie_models::kernels::Precision;
use corbie_models::tokenizer::{EncodeOptions, Tokenizer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = GgufFile::from_bytes("fuzz", bytes.to_vec()) else {
        return;
    };
    let metadata = file.metadata();
    for key in metadata.keys() {
        let _ = (metadata.get(key), metadata.u64(key), metadata.str(key));
        let _ = (
            metadata.strings(key),
            metadata.f32s(key),
            metadata.i32s(key),
        );
    }
    for tensor in file.tensors() {
        assert!(file.tensor(tensor.name).is_some());
        let _ = tensor.to_f32s();
    }
    if let Ok(tokenizer) = Tokenizer::from_gguf(&file)
        && let Ok(ids) = tokenizer.encode("Ravens 乌鸦\n", EncodeOptions::default())
    {
        let _ = tokenizer.decode(&ids, true);
    }
    if let Ok(decoder) = Decoder::load(&file, Precision::Quantized) {
        let mut sequence = Arc::new(decoder).sequence();
        let _ = sequence.read(&[0], 1, &mut Workspace::default());
    }
});
