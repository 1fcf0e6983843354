//! Writes the logits that follow each token of a given text: what `benches/accuracy` reads.
//!
//! ```text
//! echo 1,2,3 | cargo run --release -p corbie-models --example logits -- MODEL.gguf [f32]
//! ```
//!
//! Token ids come on standard input, separated by commas; logits go to standard output as
//! little-endian `f32`, one row of the vocabulary's length a token.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use corbie_core::{Error, ErrorKind, Result};
use corbie_models::decoder::{Decoder, Workspace};
use corbie_models::gguf::GgufFile;
use corbie_models::kernels::Precision;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, precision) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [path] | [path, "quantized"] => (path, Precision::Quantized),
        [path, "fine"] => (path, Precision::Fine),
        [path, "f32"] => (path, Precision::F32),
        _ => {
            let cause = "they must be MODEL.gguf and, if wanted, `quantized`, `fine` or `f32`";
            return Err(Error::new(ErrorKind::BadInput, "arguments", cause));
        }
    };
    let mut given = String::new();
    let io = |error| Error::io("standard input or output", error);
    std::io::stdin().read_to_string(&mut given).map_err(io)?;
    let tokens: Vec<u32> = given
        .trim()
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::new(ErrorKind::BadInput, "token ids", error))?;

    let decoder = Arc::new(Decoder::load(&GgufFile::open(Path::new(path))?, precision)?);
    let (mut sequence, mut workspace) = (decoder.sequence(), Workspace::default());
    let mut out = std::io::stdout().lock();
    for chunk in tokens.chunks(32) {
        let logits = sequence.read(chunk, chunk.len(), &mut workspace)?;
        let bytes: Vec<u8> = logits.iter().flat_map(|x| x.to_le_bytes()).collect();
        out.write_all(&bytes).map_err(io)?;
    }
    out.flush().map_err(io)
}
