//! What a row of logits does not depend on.

use std::sync::Arc;

use corbie_core::ErrorKind;
use corbie_models::decoder::{Decoder, Sequence, Step, Workspace};
use corbie_models::kernels::Precision;

use super::tiny::{Storage, TinyModel};
use super::{fixtures, load, read};

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

/// More tokens than a block of the cache has positions, and than windows and rollback keep.
fn text(seed: u32) -> Vec<u32> {
    (0..150u32).map(|i| (i * i + seed) % 40).collect()
}

#[test]
fn logits_do_not_depend_on_company_or_cuts() {
    for name in fixtures() {
        let model = TinyModel::fixture(&name);
        for (storage, precision) in [
            (Storage::F32, Precision::F32),
            (Storage::Q8_0, Precision::Quantized),
            (Storage::Q8_0, Precision::Fine),
        ] {
            let decoder = load(&model, storage, precision);
            let texts = [text(0), text(1)[..70].to_vec(), text(2)[..9].to_vec()];
            let alone: Vec<_> = texts.iter().map(|text| read(&decoder, text, 150)).collect();
            for chunk in [1, 7, 64] {
                let cut = read(&decoder, &texts[0], chunk);
                assert!(
                    bits(&cut) == bits(&alone[0]),
                    "{name} {precision:?} by {chunk}"
                );
            }
            // Together, in chunks of different lengths.
            let mut sequences = [(); 3].map(|()| decoder.sequence());
            let mut workspace = Workspace::default();
            let mut logits = [const { Vec::new() }; 3];
            for round in 0..30 {
                let mut parts = Vec::new();
                for (text, chunk) in texts.iter().zip([5 + round % 3, 3, 1]) {
                    let start = sequences[parts.len()].tokens().len();
                    parts.push(&text[start..text.len().min(start + chunk)]);
                }
                let steps = sequences.iter_mut().zip(&parts);
                let mut steps: Vec<_> = steps
                    .map(|(sequence, tokens)| Step {
                        sequence,
                        tokens,
                        wanted: tokens.len(),
                    })
                    .collect();
                let mut rows = decoder.read(&mut steps, &mut workspace).unwrap();
                for (logits, part) in logits.iter_mut().zip(&parts) {
                    let (own, rest) = rows.split_at(part.len() * decoder.vocabulary());
                    logits.extend_from_slice(own);
                    rows = rest;
                }
            }
            for (index, logits) in logits.iter().enumerate() {
                assert!(!logits.is_empty());
                let whole = &alone[index][..logits.len()];
                assert!(
                    bits(logits) == bits(whole),
                    "{name} {precision:?}, text {index}"
                );
            }
        }
    }
}

/// The logits after `tokens` more, which must be as if all had been read at once.
fn assert_goes_on(name: &str, sequence: &mut Sequence, decoder: &Arc<Decoder>, more: &[u32]) {
    let whole = [sequence.tokens(), more].concat();
    let after = sequence
        .read(more, more.len(), &mut Workspace::default())
        .unwrap()
        .to_vec();
    let whole = read(decoder, &whole, 64);
    assert!(
        bits(&after) == bits(&whole[whole.len() - after.len()..]),
        "{name}"
    );
}

#[test]
fn sequences_roll_back_fork_and_are_recalled() {
    let (long, more) = (text(0), text(3)[..9].to_vec());
    for name in fixtures() {
        let model = TinyModel::fixture(&name);
        let decoder = load(&model, Storage::F32, Precision::F32);
        let mut workspace = Workspace::default();
        let mut sequence = decoder.sequence();
        sequence.read(&long[..100], 0, &mut workspace).unwrap();
        // The memory of the first block, which others share; layers with a short sight keep it
        // for a while.
        let memory = sequence.memory(0);
        let mut fork = sequence.clone();
        sequence.read(&long[100..], 0, &mut workspace).unwrap();
        let most = decoder.memory_of(150) + decoder.memory_of(100);
        assert!(decoder.memory_in_use() <= most, "{name}: shared at least");
        assert_goes_on(&name, &mut fork, &decoder, &more);
        for back in [1, 60] {
            let len = sequence.tokens().len() - back;
            assert_eq!(sequence.truncate(len), len, "{name}: {back} back");
            assert_goes_on(&name, &mut sequence, &decoder, &more);
        }
        // Far back, layers with a short sight have forgotten: all or nothing is left.
        let left = sequence.truncate(10);
        let sees_all = (0..decoder.config().layers).all(|it| decoder.config().reach(it).is_none());
        assert_eq!(left, if sees_all { 10 } else { 0 }, "{name}");
        assert_goes_on(&name, &mut sequence, &decoder, &more);
        let mut recalled = decoder.recall(None, &long[..64], &[&memory]).unwrap();
        assert_goes_on(&name, &mut recalled, &decoder, &more);
        drop((sequence, fork, memory, recalled));
        assert_eq!(decoder.memory_in_use(), 0, "{name}");
    }
}

#[test]
fn only_known_tokens_are_read() {
    let model = TinyModel::fixture("llama");
    let decoder = load(&model, Storage::F32, Precision::F32);
    let (mut sequence, mut workspace) = (decoder.sequence(), Workspace::default());
    let refused = sequence.read(&[1, 40], 1, &mut workspace).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::BadInput);
    assert!(refused.to_string().contains("token 40"), "{refused}");
    assert!(sequence.read(&[1], 2, &mut workspace).is_err());
    assert!(sequence.tokens().is_empty());
}
