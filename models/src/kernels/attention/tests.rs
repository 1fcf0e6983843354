#![allow(clippy::unwrap_used)]

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-2.0f32..2.0)).collect()
}

/// Attention of one row by the formula, in `f64`.
fn oracle(
    shape: &AttentionShape,
    q: &[f32],
    keys: &[f32],
    values: &[f32],
    seen: Range<usize>,
) -> Vec<f64> {
    let dim = shape.head_dim;
    let width = shape.kv_heads * dim;
    let mut out = Vec::new();
    for head in 0..shape.heads {
        let column = head / (shape.heads / shape.kv_heads) * dim;
        let q = &q[head * dim..][..dim];
        let scores: Vec<f64> = seen
            .clone()
            .map(|j| {
                let k = &keys[j * width + column..][..dim];
                let dot: f64 = q
                    .iter()
                    .zip(k)
                    .map(|(q, k)| f64::from(*q) * f64::from(*k))
                    .sum();
                let score = dot * f64::from(shape.scale);
                let cap = shape.softcap.map(f64::from);
                cap.map_or(score, |cap| cap * (score / cap).tanh())
            })
            .collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
        out.extend((0..dim).map(|d| {
            seen.clone()
                .zip(&scores)
                .map(|(j, s)| (s - top).exp() / sum * f64::from(values[j * width + column + d]))
                .sum::<f64>()
        }));
    }
    out
}

fn shapes() -> Vec<AttentionShape> {
    let shape = |heads, kv_heads, head_dim, window, softcap| AttentionShape {
        heads,
        kv_heads,
        head_dim,
        scale: 1.0 / (head_dim as f32).sqrt(),
        window,
        softcap,
    };
    vec![
        shape(9, 3, 64, None, None),
        shape(4, 1, 256, Some(100), None),
        shape(2, 2, 32, Some(1), None),
        shape(3, 1, 20, Some(65), Some(3.0)),
        shape(1, 1, 7, None, Some(50.0)),
        shape(12, 1, 16, None, None),
        random_shape(12),
        random_shape(13),
    ]
}

fn random_shape(seed: u64) -> AttentionShape {
    let mut rng = StdRng::seed_from_u64(seed);
    let kv_heads = rng.random_range(1..4);
    AttentionShape {
        heads: kv_heads * rng.random_range(1..5),
        kv_heads,
        head_dim: rng.random_range(1..100),
        scale: rng.random_range(0.05..0.2),
        window: Some(rng.random_range(1..200)),
        softcap: None,
    }
}

fn assert_close(found: &[f32], expected: &[f64], what: &str) {
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (f64::from(*found) - expected).abs() < 1e-5,
            "{what}: {found}, not {expected}"
        );
    }
}

#[test]
fn causal_attention_is_that_of_the_formula() {
    for shape in shapes() {
        let (width, kv_width) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        let t = 150;
        let (k, v, q) = (
            random(t * kv_width, 1),
            random(t * kv_width, 2),
            random(t * width, 3),
        );
        for (tier, m) in Tier::all()
            .into_iter()
            .flat_map(|tier| [(tier, 1), (tier, t)])
        {
            let mut cache = KvCache::new(shape.kv_heads, shape.head_dim, &CacheMeter::default());
            cache.push(&k, &v);
            let mut out = vec![f32::NAN; m * width];
            causal(
                tier,
                &shape,
                &q[(t - m) * width..],
                &[(&cache, m)],
                &mut out,
            );
            for (row, out) in out.chunks(width).enumerate() {
                let position = t - m + row;
                let start = shape.window.map_or(0, |w| (position + 1).saturating_sub(w));
                let q = &q[position * width..][..width];
                let expected = oracle(&shape, q, &k, &v, start..position + 1);
                assert_close(out, &expected, &format!("{shape:?} on {tier:?}, row {row}"));
            }
        }
    }
}

#[test]
fn attention_within_segments_is_that_of_the_formula() {
    for shape in shapes() {
        let (width, kv_width) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        let segments = [0..1, 1..18, 18..18, 18..34, 34..164];
        let t = 164;
        let (k, v, q) = (
            random(t * kv_width, 1),
            random(t * kv_width, 2),
            random(t * width, 3),
        );
        let window = shape.window.unwrap_or(1000);
        let both =
            |row: usize, length: usize| (row + 1).saturating_sub(window)..length.min(row + window);
        let past = |row: usize, _: usize| (row + 1).saturating_sub(window)..row + 1;
        let seen: [&(dyn Fn(usize, usize) -> Range<usize> + Sync); 2] = [&both, &past];
        for (tier, seen) in Tier::all()
            .into_iter()
            .flat_map(|tier| seen.map(|seen| (tier, seen)))
        {
            let mut out = vec![f32::NAN; t * width];
            within(tier, &shape, [&q, &k, &v], &segments, seen, None, &mut out);
            for segment in &segments {
                for row in segment.clone() {
                    let at = row * width..(row + 1) * width;
                    let sight = seen(row - segment.start, segment.len());
                    let sight = segment.start + sight.start..segment.start + sight.end;
                    let expected = oracle(&shape, &q[at.clone()], &k, &v, sight);
                    assert_close(
                        &out[at],
                        &expected,
                        &format!("{shape:?} on {tier:?}, row {row}"),
                    );
                }
                // Alone, the segment comes out the same bit for bit.
                let (rows, kv) = (
                    segment.start * width..segment.end * width,
                    segment.start * kv_width..segment.end * kv_width,
                );
                let mut alone = vec![f32::NAN; rows.len()];
                let (q, k, v) = (&q[rows.clone()], &k[kv.clone()], &v[kv]);
                let whole = 0..segment.len();
                let whole = std::slice::from_ref(&whole);
                within(tier, &shape, [q, k, v], whole, seen, None, &mut alone);
                assert_eq!(bits(&alone), bits(&out[rows]));
            }
        }
    }
}

/// A bias that grows with the distance is what a longer key would say: each query has a last
/// number of 1, and each key its position's share of the bias.
#[test]
fn a_bias_is_added_to_the_scores() {
    let (heads, dim, t) = (2, 8, 100);
    let shape = AttentionShape {
        heads,
        kv_heads: heads,
        head_dim: dim,
        scale: 1.0,
        window: None,
        softcap: None,
    };
    let width = heads * dim;
    let (mut q, mut k, v) = (
        random(t * width, 1),
        random(t * width, 2),
        random(t * width, 3),
    );
    let slopes = [0.03f32, -0.05];
    let reach = 70;
    let table: Vec<f32> = slopes
        .iter()
        .flat_map(|slope| (1 - reach..reach).map(move |distance| slope * distance as f32))
        .collect();
    let segments = [0..30, 30..t];
    // The last number of each head is left to the bias.
    for (x, name) in [(&mut q, 'q'), (&mut k, 'k')] {
        for (row, x) in x.chunks_exact_mut(width).enumerate() {
            for (head, slope) in x.chunks_exact_mut(dim).zip(slopes) {
                head[dim - 1] = if name == 'q' { 1.0 } else { slope * row as f32 };
            }
        }
    }
    let mut expected = vec![f32::NAN; t * width];
    bidirectional_attention(&shape, &q, &k, &v, &segments, None, &mut expected);
    for x in q.iter_mut().skip(dim - 1).step_by(dim) {
        *x = 0.0;
    }
    let mut out = vec![f32::NAN; t * width];
    bidirectional_attention(&shape, &q, &k, &v, &segments, Some(&table), &mut out);
    for (a, b) in out.iter().zip(&expected) {
        assert!((a - b).abs() < 2e-4, "{a}, not {b}");
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn how_a_prompt_is_cut_changes_nothing() {
    let t = 300;
    let several = rayon::ThreadPoolBuilder::new()
        .num_threads(3)
        .build()
        .unwrap();
    for shape in shapes() {
        let (width, kv_width) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        let (k, v, q) = (
            random(t * kv_width, 4),
            random(t * kv_width, 5),
            random(t * width, 6),
        );
        for tier in Tier::all() {
            let run = |size: usize| {
                let mut cache =
                    KvCache::new(shape.kv_heads, shape.head_dim, &CacheMeter::default());
                let mut out = vec![f32::NAN; t * width];
                let chunks = k.chunks(size * kv_width).zip(v.chunks(size * kv_width));
                let rows = q.chunks(size * width).zip(out.chunks_mut(size * width));
                for ((k, v), (q, out)) in chunks.zip(rows) {
                    cache.push(k, v);
                    causal(tier, &shape, q, &[(&cache, q.len() / width)], out);
                }
                bits(&out)
            };
            let whole = run(300);
            for size in [1, 7, 64] {
                assert!(
                    several.install(|| run(size)) == whole,
                    "{shape:?} on {tier:?}, {size}"
                );
            }
        }
    }
}

#[test]
fn a_cache_forgets_and_its_clones_keep() {
    let shape = shapes()[0];
    let (k, v) = (random(200 * 192, 7), random(200 * 192, 8));
    let q = random(576, 9);
    let after = |cache: &KvCache| {
        let mut out = vec![0.0; 576];
        causal_attention(&shape, &q, &[(cache, 1)], &mut out);
        out
    };
    let meter = CacheMeter::default();
    let mut cache = KvCache::new(3, 64, &meter);
    cache.push(&k[..70 * 192], &v[..70 * 192]);
    let (short, expected) = (cache.clone(), after(&cache));
    cache.push(&k[70 * 192..], &v[70 * 192..]);
    assert_eq!(cache.len(), 200);
    assert_ne!(after(&cache), expected);
    assert_eq!(after(&short), expected);
    for len in [130, 70, 500] {
        cache.truncate(len);
    }
    assert_eq!(cache.len(), 70);
    assert_eq!(after(&cache), expected);
    cache.truncate(0);
    assert!(cache.is_empty());
    // The clone keeps both of its blocks.
    assert_eq!(meter.bytes(), 2 * KvCache::block_bytes(3, 64));
    drop(short);
    assert_eq!(meter.bytes(), 0);
}

#[test]
fn what_lies_before_the_window_may_be_forgotten() {
    let shape = AttentionShape {
        window: Some(65),
        ..shapes()[0]
    };
    let (k, v) = (random(300 * 192, 7), random(300 * 192, 8));
    let q = random(576, 9);
    let meter = CacheMeter::default();
    let mut cache = KvCache::new(3, 64, &meter);
    cache.push(&k, &v);
    let after = |cache: &KvCache| {
        let mut out = vec![0.0; 576];
        causal_attention(&shape, &q, &[(cache, 1)], &mut out);
        bits(&out)
    };
    let whole = after(&cache);
    // The last row, at 299, sees 235 and on.
    cache.forget_before(235);
    assert_eq!(after(&cache), whole);
    assert_eq!(meter.bytes(), 2 * KvCache::block_bytes(3, 64));
    assert!(cache.reaches_back_to(192) && !cache.reaches_back_to(191));
    assert!(cache.block(2).is_none() && cache.block(3).is_some());
    cache.forget_before(10);
    assert_eq!(cache.len(), 300);

    let mut other = KvCache::new(3, 64, &meter);
    other.restore(300, (0..5).map(|index| cache.block(index)).collect());
    assert_eq!(after(&other), whole);
    assert_eq!(meter.bytes(), 2 * KvCache::block_bytes(3, 64), "shared");
}

#[test]
fn sequences_together_are_as_alone() {
    for shape in shapes() {
        let (width, kv_width) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        // Positions of each sequence and how many of them are new.
        let lengths = [(150, 150), (70, 1), (1, 1), (129, 5)];
        let meter = CacheMeter::default();
        let caches: Vec<KvCache> = (0..)
            .zip(lengths)
            .map(|(seed, (len, _))| {
                let mut cache = KvCache::new(shape.kv_heads, shape.head_dim, &meter);
                cache.push(
                    &random(len * kv_width, seed),
                    &random(len * kv_width, seed + 50),
                );
                cache
            })
            .collect();
        let m = lengths.iter().map(|(_, rows)| rows).sum::<usize>();
        let q = random(m * width, 99);
        for tier in Tier::all() {
            let mut together = vec![f32::NAN; m * width];
            let batch: Vec<_> = caches.iter().zip(lengths.map(|(_, rows)| rows)).collect();
            causal(tier, &shape, &q, &batch, &mut together);
            let mut start = 0;
            for (cache, rows) in batch {
                let at = start * width..(start + rows) * width;
                let mut alone = vec![f32::NAN; rows * width];
                causal(tier, &shape, &q[at.clone()], &[(cache, rows)], &mut alone);
                assert_eq!(bits(&alone), bits(&together[at]), "{shape:?} on {tier:?}");
                start += rows;
            }
        }
    }
}
