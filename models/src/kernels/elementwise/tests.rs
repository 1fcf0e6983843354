use super::*;

fn numbers(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| (i as f32 * 0.7311).sin() * 3.0)
        .collect()
}

fn close(found: &[f32], expected: impl IntoIterator<Item = f64>) {
    let mut count = 0;
    for (found, expected) in found.iter().zip(expected) {
        let error = (f64::from(*found) - expected).abs();
        assert!(
            error <= 2e-6 * expected.abs().max(1.0),
            "{found}, not {expected}"
        );
        count += 1;
    }
    assert_eq!(count, found.len());
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

#[test]
fn norms_are_those_of_the_formulas() {
    for n in [1, 7, 16, 64, 385, 576] {
        let (x, weight, bias) = (numbers(5 * n), numbers(n), numbers(n + 1));
        let bias = &bias[1..];
        let (w, b) = (wide(&weight), wide(bias));
        let mut out = vec![0.0; 5 * n];
        rms_norm(&x, &weight, 1e-5, &mut out);
        let mut normed = x.clone();
        layer_norm(&mut normed, &weight, bias, 1e-12);
        for row in 0..5 {
            let at = row * n..(row + 1) * n;
            let x = wide(&x[at.clone()]);
            let mean = x.iter().map(|x| x * x).sum::<f64>() / n as f64;
            let scale = 1.0 / (mean + 1e-5).sqrt();
            close(&out[at.clone()], (0..n).map(|i| x[i] * scale * w[i]));
            if n > 1 {
                let mean = x.iter().sum::<f64>() / n as f64;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
                let scale = 1.0 / (variance + 1e-12).sqrt();
                close(
                    &normed[at],
                    (0..n).map(|i| (x[i] - mean) * scale * w[i] + b[i]),
                );
            }
        }
    }
}

#[test]
fn gates_are_those_of_the_formulas() {
    for n in [1, 5, 16, 100, 1536] {
        let gate_up = numbers(3 * 2 * n);
        let expected = |unit: fn(f64) -> f64| {
            let gate_up = wide(&gate_up);
            (0..3 * n).map(move |i| {
                let at = i / n * 2 * n + i % n;
                unit(gate_up[at]) * gate_up[at + n]
            })
        };
        let mut out = vec![0.0; 3 * n];
        silu_mul(&gate_up, n, &mut out);
        close(&out, expected(|x| x / (1.0 + (-x).exp())));
        gelu_mul(&gate_up, n, &mut out);
        let unit: fn(f64) -> f64 = |x: f64| {
            let c = (2.0 / std::f64::consts::PI).sqrt();
            0.5 * x * (1.0 + (c * (x + 0.044_715 * x * x * x)).tanh())
        };
        close(&out, expected(unit));
        relu_squared_mul(&gate_up, n, &mut out);
        close(&out, expected(|x| x.max(0.0).powi(2)));
        type Pair = (fn(&mut [f32]), fn(f64) -> f64);
        let plain: [Pair; 3] = [
            (silu, |x| x / (1.0 + (-x).exp())),
            (gelu_tanh, unit),
            (relu_squared, |x| x.max(0.0).powi(2)),
        ];
        for (found, expected) in plain {
            let mut x = numbers(n);
            found(&mut x);
            close(&x, wide(&numbers(n)).into_iter().map(expected));
        }
    }
}

#[test]
fn sums_and_units_of_any_length() {
    for n in [0, 1, 15, 17, 5000, 100_000] {
        let mut x = numbers(n);
        add(&mut x, &numbers(n));
        close(&x, wide(&numbers(n)).into_iter().map(|x| 2.0 * x));
        add_scaled(&mut x, &numbers(n), 0.25);
        close(&x, wide(&numbers(n)).into_iter().map(|x| 2.25 * x));
        let mut x = numbers(n);
        gelu(&mut x);
        close(
            &x,
            numbers(n).into_iter().map(|x| {
                let erf =
                    candle_core::cpu::erf::erf_f64(f64::from(x) * std::f64::consts::FRAC_1_SQRT_2);
                0.5 * f64::from(x) * (1.0 + erf)
            }),
        );
    }
}
