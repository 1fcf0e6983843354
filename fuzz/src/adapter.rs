//! Adapters of any bytes, in GGUF and as PEFT writes them, for one model.

use std::sync::{Arc, OnceLock};

use candle_core::quantized::GgmlDType;
use corbie_models::decoder::{Adapter, Decoder, Workspace};
use corbie_models::gguf::{GgufFile, GgufWriter};
use corbie_models::kernels::Precision;
use corbie_models::testing::SafetensorsWriter;

fn decoder() -> &'static Arc<Decoder> {
    static DECODER: OnceLock<Arc<Decoder>> = OnceLock::new();
    DECODER.get_or_init(|| {
        let bytes = crate::tiny().gguf(GgmlDType::F32).to_bytes();
        let file = GgufFile::from_bytes("fuzz", bytes).expect("it is a file");
        Arc::new(Decoder::load(&file, Precision::F32).expect("it is a model"))
    })
}

pub fn run(bytes: &[u8]) {
    let decoder = decoder();
    let adapter = match bytes.split_first() {
        Some((0, bytes)) => GgufFile::from_bytes("fuzz", bytes.to_vec())
            .and_then(|file| Adapter::from_gguf(&file, decoder.config())),
        Some((_, bytes)) => {
            let (config, weights) = crate::halves(bytes);
            let directory = tempfile::tempdir().expect("a directory can be made");
            let write = |name: &str, bytes: &[u8]| {
                std::fs::write(directory.path().join(name), bytes).expect("a file can be written");
            };
            write("adapter_config.json", config);
            write("adapter_model.safetensors", weights);
            Adapter::from_directory(directory.path(), decoder.config())
        }
        None => return,
    };
    if let Ok(adapter) = adapter {
        let mut sequence = decoder.sequence_with(Some(Arc::new(adapter)));
        let _ = sequence.read(&[0, 1], 1, &mut Workspace::default());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let gguf = GgufWriter::new()
        .string("general.type", "adapter")
        .string("general.architecture", "llama")
        .string("adapter.type", "lora")
        .f32("adapter.lora.alpha", 2.0)
        .f32_tensor("blk.0.attn_q.weight.lora_a", &[2, 16], &[0.5; 32])
        .f32_tensor("blk.0.attn_q.weight.lora_b", &[16, 2], &[0.5; 32])
        .f32_tensor("blk.0.ffn_down.weight.lora_a", &[1, 16], &[0.5; 16])
        .f32_tensor("blk.0.ffn_down.weight.lora_b", &[16, 1], &[0.5; 16])
        .to_bytes();
    let name =
        |which: &str| format!("base_model.model.model.layers.0.self_attn.q_proj.{which}.weight");
    let weights = SafetensorsWriter::new()
        .tensor(&name("lora_A"), GgmlDType::F32, &[2, 16], vec![0; 128])
        .tensor(&name("lora_B"), GgmlDType::F32, &[16, 2], vec![0; 128])
        .to_bytes();
    let config = br#"{"peft_type":"LORA","r":2,"lora_alpha":4,"bias":"none","rank_pattern":{"q_proj":2},"alpha_pattern":{},"use_rslora":true}"#;
    let peft = [&[1], crate::joined(config, &weights).as_slice()].concat();
    vec![[&[0], gguf.as_slice()].concat(), peft]
}

pub const WORDS: &[&str] = &[
    "blk.0.attn_k.weight.lora_a",
    "blk.0.ffn_up.weight.lora_b",
    "adapter.lora.alpha",
    "\"r\":0",
    "1e308",
    "1e-320",
    "null",
    "\"rank_pattern\":{\"^q_proj\":1}",
    "\"use_dora\":true",
    "k_proj",
    "v_proj",
    "o_proj",
    "down_proj",
    "\"BF16\"",
    "\"shape\":[2,16]",
];
