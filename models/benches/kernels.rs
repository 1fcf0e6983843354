//! How fast the kernels are, as a share of what this machine can do.
//!
//! `cargo bench -p corbie-models --bench kernels [THREADS…]`
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use corbie_models::kernels::{
    AttentionShape, CacheMeter, KvCache, Matrix, Precision, bidirectional_attention,
    causal_attention,
};

/// Inputs and outputs of the layers of SmolLM2-135M.
const CHAT: [(usize, usize); 5] = [
    (576, 576),
    (576, 960),
    (576, 3072),
    (1536, 576),
    (576, 49_152),
];
/// Inputs and outputs of the layers of all-MiniLM-L6-v2.
const EMBEDDER: [(usize, usize); 3] = [(384, 1152), (384, 1536), (1536, 384)];
const ROWS: [usize; 5] = [1, 8, 20, 64, 512];

fn main() {
    let threads: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for threads in if threads.is_empty() {
        vec![1, cores]
    } else {
        threads
    } {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("a pool of threads").install(|| run(threads));
    }
}

fn run(threads: usize) {
    let (float, whole) = peaks();
    println!("{threads} thread(s); a thread's peak: {float:.0} GFLOP/s f32, {whole:.0} GOP/s int8");
    let (float, whole) = (float * threads as f64, whole * threads as f64);
    for (columns, rows) in CHAT {
        let matrix = quantized(GgmlDType::Q4_1, rows, columns);
        products("Q4_1", &matrix, whole);
    }
    for dtype in [GgmlDType::Q8_0, GgmlDType::Q4K, GgmlDType::Q5_0] {
        products(&format!("{dtype:?}"), &quantized(dtype, 3072, 768), whole);
    }
    products("Q6K", &quantized(GgmlDType::Q6K, 65_536, 768), whole);
    for (columns, rows) in EMBEDDER {
        let matrix = Matrix::from_f32(rows, columns, &numbers(rows * columns));
        products("F32", &matrix, float);
    }
    attention(float);
}

fn products(name: &str, matrix: &Matrix, peak: f64) {
    for m in ROWS {
        if m > 64 && matrix.rows() > 10_000 {
            continue;
        }
        let x = numbers(m * matrix.columns());
        let mut out = vec![0.0; m * matrix.rows()];
        let time = typical(|| matrix.multiply(black_box(&x), black_box(&mut out)));
        let shape = format!("{name} {} → {}", matrix.columns(), matrix.rows());
        let operations = 2 * m * matrix.columns() * matrix.rows();
        report(&shape, m, time, operations, peak);
    }
}

fn attention(peak: f64) {
    let shape = AttentionShape {
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        scale: 0.125,
        window: None,
        softcap: None,
    };
    for (seen, m) in [(512, 64), (2048, 64), (2048, 1)] {
        let mut cache = KvCache::new(shape.kv_heads, shape.head_dim, &CacheMeter::default());
        let x = numbers(seen * 192);
        cache.push(&x, &x);
        let q = numbers(m * 576);
        let mut out = vec![0.0; m * 576];
        let time = typical(|| causal_attention(&shape, black_box(&q), &[(&cache, m)], &mut out));
        let pairs = m * seen - m * (m - 1) / 2;
        report(&format!("causal {seen}"), m, time, 4 * pairs * 576, peak);
    }
    let shape = AttentionShape {
        heads: 12,
        kv_heads: 12,
        head_dim: 32,
        ..shape
    };
    for (length, count) in [(20, 1), (128, 1), (256, 1), (256, 4)] {
        let m = length * count;
        let segments: Vec<_> = (0..count).map(|i| i * length..(i + 1) * length).collect();
        let x = numbers(m * 384);
        let mut out = vec![0.0; m * 384];
        let time =
            typical(|| bidirectional_attention(&shape, &x, &x, &x, &segments, None, &mut out));
        report(
            &format!("bidirectional {length}"),
            m,
            time,
            4 * m * length * 384,
            peak,
        );
    }
}

fn report(name: &str, m: usize, time: Duration, operations: usize, peak: f64) {
    let speed = operations as f64 / time.as_nanos() as f64;
    println!(
        "{name:<22} m {m:>4} {:>9.1} µs {speed:>7.1} GOP/s {:>5.1} %",
        time.as_nanos() as f64 / 1e3,
        100.0 * speed / peak
    );
}

/// The time of a call that a quiet machine would take: the first decile of many.
fn typical(mut call: impl FnMut()) -> Duration {
    call();
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < 10 || begin.elapsed() < Duration::from_millis(150) {
        let start = Instant::now();
        call();
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() / 10]
}

/// Numbers between −1 and 1 without a pattern that matters.
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as f32 / 2f32.powi(31) - 1.0
        })
        .collect()
}

fn quantized(dtype: GgmlDType, rows: usize, columns: usize) -> Matrix {
    let values = Tensor::from_vec(numbers(rows * columns), (rows, columns), &Device::Cpu);
    let tensor = values.and_then(|values| QTensor::quantize(&values, dtype));
    let tensor = tensor.expect("random weights");
    let data = tensor.data().expect("data on the CPU");
    Matrix::from_ggml(dtype, rows, columns, &data, Precision::Quantized).expect("a whole matrix")
}

/// What one thread can do in f32 and int8, in billions of operations a second.
fn peaks() -> (f64, f64) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        const STEPS: usize = 20_000;
        let speed = |operations: usize, time: Duration| operations as f64 / time.as_nanos() as f64;
        if has!("avx512f") && has!("avx512vnni") {
            // SAFETY: the machine has the instructions.
            let float = typical(|| unsafe { x86::multiply_adds_512(STEPS) });
            // SAFETY: as above.
            let whole = typical(|| unsafe { x86::dot_products_512(STEPS) });
            return (
                speed(STEPS * 12 * 32, float),
                speed(STEPS * 12 * 128, whole),
            );
        }
        if has!("avx2") && has!("fma") {
            // SAFETY: the machine has the instructions.
            let float = typical(|| unsafe { x86::multiply_adds_256(STEPS) });
            let float = speed(STEPS * 12 * 16, float);
            // Three instructions do the work of two multiply-adds, on four times the numbers.
            return (float, 4.0 * float);
        }
    }
    (f64::NAN, f64::NAN)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx512f")]
    pub fn multiply_adds_512(steps: usize) {
        let x = black_box(_mm512_set1_ps(0.5));
        let mut sums = [_mm512_set1_ps(1.0); 12];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, x, x);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub fn dot_products_512(steps: usize) {
        let x = black_box(_mm512_set1_epi8(3));
        let mut sums = [_mm512_setzero_si512(); 12];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, x, x);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn multiply_adds_256(steps: usize) {
        let x = black_box(_mm256_set1_ps(0.5));
        let mut sums = [_mm256_set1_ps(1.0); 12];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, x, x);
            }
        }
        black_box(sums);
    }
}
