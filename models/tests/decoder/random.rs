//! The generator of random-weight models.

use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use corbie_core::ErrorKind;
use corbie_models::decoder::{ARCHITECTURES, Decoder, DecoderOptions, Workspace};
use corbie_models::gguf::GgufFile;
use corbie_models::kernels::{Matrix, Precision};
use corbie_models::testing::{RandomModel, random_weights, stored};

use super::read;

const TOKENS: [u32; 6] = [7, 300, 0, 45, 219, 3];

fn load(model: &RandomModel, dtype: GgmlDType, precision: Precision) -> Arc<Decoder> {
    let file = GgufFile::from_bytes("random", model.gguf(dtype).to_bytes()).unwrap();
    Arc::new(Decoder::load(&file, precision).unwrap())
}

fn deviation(x: &[f32]) -> f32 {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    (x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / x.len() as f32).sqrt()
}

#[test]
fn every_row_has_models_in_both_formats() {
    for row in ARCHITECTURES {
        for (tied, biases) in [(true, false), (false, true)] {
            let model = RandomModel {
                tied,
                biases,
                ..RandomModel::new(row.name).unwrap()
            };
            let decoder = load(&model, GgmlDType::F32, Precision::F32);
            let logits = read(&decoder, &TOKENS, 6);
            let spread = deviation(&logits);
            assert!((0.5..2.0).contains(&spread), "{}: {spread}", row.name);
            let other = RandomModel {
                seed: 1,
                ..model.clone()
            };
            let other = read(&load(&other, GgmlDType::F32, Precision::F32), &TOKENS, 6);
            assert_ne!(logits, other, "{}: another seed", row.name);

            let directory = tempfile::tempdir().unwrap();
            let written = model.write_directory(directory.path(), GgmlDType::BF16);
            if row.model_types.is_empty() {
                assert_eq!(written.unwrap_err().kind(), &ErrorKind::Unsupported);
                continue;
            }
            written.unwrap();
            let options = DecoderOptions::default();
            let decoder = Decoder::load_directory(directory.path(), &options).unwrap();
            assert_eq!(decoder.config().layers, 4);
            let logits = read(&Arc::new(decoder), &TOKENS, 6);
            assert!(logits.iter().all(|x| x.is_finite()), "{}", row.name);
        }
    }
}

#[test]
fn every_quantization_stays_close_to_its_weights() {
    use GgmlDType::*;
    let model = RandomModel {
        hidden: 256,
        feed_forward: 256,
        head_dim: 64,
        ..RandomModel::new("qwen3").unwrap()
    };
    let formats = [
        F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K,
    ];
    for dtype in formats {
        let exact = read(&load(&model, dtype, Precision::F32), &TOKENS, 6);
        let quick = read(&load(&model, dtype, Precision::Quantized), &TOKENS, 6);
        let differences: Vec<f32> = exact.iter().zip(&quick).map(|(a, b)| a - b).collect();
        let error = deviation(&differences) / deviation(&exact);
        let fine = read(&load(&model, dtype, Precision::Fine), &TOKENS, 6);
        let differences: Vec<f32> = exact.iter().zip(&fine).map(|(a, b)| a - b).collect();
        let fine = deviation(&differences) / deviation(&exact);
        println!("{dtype:?}: {error:.4}, finely {fine:.6}");
        // Activations of 8 bits are all that sets them apart.
        let bound = if dtype.block_size() == 1 { 1e-6 } else { 0.035 };
        assert!(error <= bound, "{dtype:?}: {error}");
        assert!(fine <= 1e-3, "{dtype:?}: {fine}");
    }
}

#[test]
fn a_quantized_product_stays_within_a_hundredth() {
    use GgmlDType::*;
    let (rows, columns, m) = (256, 512, 16);
    let values = random_weights("w", &[rows, columns], 0);
    let x = random_weights("x", &[m * columns], 1);
    for dtype in [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K] {
        let data = stored(&values, columns, dtype).unwrap();
        let [exact, quick] = [Precision::F32, Precision::Quantized].map(|precision| {
            let matrix = Matrix::from_ggml(dtype, rows, columns, &data, precision).unwrap();
            let mut out = vec![0.0; m * rows];
            matrix.multiply(&x, &mut out);
            out
        });
        let differences: Vec<f32> = exact.iter().zip(&quick).map(|(a, b)| a - b).collect();
        let error = deviation(&differences) / deviation(&exact);
        println!("{dtype:?}: {error:.4} in one product");
        assert!(error <= 1e-2, "{dtype:?}: {error}");
    }
}

#[test]
fn unknown_rows_have_no_models() {
    let error = RandomModel::new("mamba").unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unsupported);
    assert!(error.to_string().contains("mamba"), "{error}");
}

#[test]
fn an_odd_width_is_stored_as_plain_numbers() {
    let model = RandomModel {
        hidden: 60,
        feed_forward: 50,
        ..RandomModel::new("llama").unwrap()
    };
    let decoder = load(&model, GgmlDType::Q4K, Precision::Quantized);
    let mut sequence = decoder.sequence();
    assert!(sequence.read(&TOKENS, 1, &mut Workspace::default()).is_ok());
}
