//! The feed-forward half of a block: one layer for all positions, or experts that each position
//! chooses among.

use corbie_core::Result;

use super::adapter::{Place, Users, adapt};
use super::architecture::{Activation, Architecture};
use super::config::Experts;
use super::forward::{Workspace, room};
use super::projection::Projection;
use super::weights::{Layer, Reader};
use super::{Decoder, source::Tensor};
use crate::kernels::{
    Matrix, add, add_scaled, gelu_mul, gelu_tanh, relu_squared, relu_squared_mul, silu, silu_mul,
};

/// The weights of a feed-forward half.
#[derive(Debug)]
pub(super) enum FeedForward {
    One(Unit),
    /// A mixture of experts (Shazeer et al., 2017).
    Experts {
        /// `[experts, hidden]`: how much each is wanted.
        router: Box<Matrix>,
        /// Is added to that when experts are chosen, not when they are weighed.
        preference: Option<Vec<f32>>,
        experts: Vec<Unit>,
        /// An expert that all positions use, and `[1, hidden]`: how much of it.
        shared: Option<(Unit, Option<Matrix>)>,
    },
}

/// A gated unit, or a plain one, between two products.
#[derive(Debug)]
pub(super) struct Unit {
    /// Gate and up side by side, or up alone.
    gate_up: Projection,
    down: Projection,
    width: usize,
}

/// Buffers of a feed-forward half.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    gate_up: Vec<f32>,
    gated: Vec<f32>,
    scratch: Vec<f32>,
    /// How much each position wants each expert.
    scores: Vec<f32>,
    /// The positions that use one expert, and how much of it.
    users: Vec<(usize, f32)>,
    gathered: Vec<f32>,
    answers: Vec<f32>,
}

/// What a unit must know of its pass.
#[derive(Clone, Copy)]
struct Pass<'a> {
    row: &'a Architecture,
    layer: usize,
    users: &'a Users,
}

impl FeedForward {
    /// Reads that of block `index`.
    pub fn read(reader: &Reader<'_>, index: usize) -> Result<Self> {
        let config = reader.config;
        let hidden = config.hidden;
        let name = |part: &str| format!("blk.{index}.{part}");
        let Some(about) = config
            .experts
            .as_ref()
            .filter(|it| index >= it.dense_layers)
        else {
            let names = ["ffn_gate", "ffn_up", "ffn_down"].map(name);
            return Ok(Self::One(Unit::read(reader, names, config.feed_forward)?));
        };
        let router = reader.required(&name("ffn_gate_inp.weight"))?;
        let bias = name("exp_probs_b.bias");
        let n = about.feed_forward;
        let is_joint = reader.tensors.has(&name("ffn_gate_up_exps.weight"))?;
        let inputs: &[_] = match is_joint {
            true => &[("ffn_gate_up_exps.weight", 2 * n)],
            false => &[("ffn_gate_exps.weight", n), ("ffn_up_exps.weight", n)],
        };
        let stacked = |part, rows, columns| {
            let tensor = reader.required(&name(part))?;
            reader.check(&tensor, &[about.count, rows, columns])?;
            Ok(tensor)
        };
        let inputs = inputs
            .iter()
            .map(|(part, rows)| stacked(part, *rows, hidden));
        let inputs: Vec<Tensor<'_>> = inputs.collect::<Result<_>>()?;
        let down = stacked("ffn_down_exps.weight", hidden, n)?;
        let expert = |index: usize| {
            let inputs: Vec<_> = inputs.iter().map(|stack| one_of(stack, index)).collect();
            Ok(Unit {
                gate_up: reader.join(&inputs, None)?,
                down: reader.join(&[one_of(&down, index)], None)?,
                width: n,
            })
        };
        Ok(Self::Experts {
            router: Box::new(reader.matrix(&router, about.count, hidden)?),
            preference: match reader.tensors.tensor(&bias)? {
                Some(_) => Some(reader.vector(&bias, about.count)?),
                None => None,
            },
            experts: (0..about.count).map(expert).collect::<Result<_>>()?,
            shared: match about.shared_feed_forward {
                Some(width) => Some(Self::read_shared(reader, index, width)?),
                None => None,
            },
        })
    }

    fn read_shared(
        reader: &Reader<'_>,
        index: usize,
        width: usize,
    ) -> Result<(Unit, Option<Matrix>)> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let names = ["ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"].map(name);
        let gate = reader.tensors.tensor(&name("ffn_gate_inp_shexp.weight"))?;
        let gate = gate.map(|mut gate| {
            // GGUF files have it as a vector.
            if gate.shape.len() == 1 {
                gate.shape.insert(0, 1);
            }
            reader.matrix(&gate, 1, reader.config.hidden)
        });
        Ok((Unit::read(reader, names, width)?, gate.transpose()?))
    }
}

/// One of a stack of matrices, `[count, rows, columns]`.
fn one_of<'t>(stack: &'t Tensor<'_>, index: usize) -> Tensor<'t> {
    let bytes = stack.data.len() / stack.shape[0];
    Tensor {
        name: stack.name.clone(),
        dtype: stack.dtype,
        shape: stack.shape[1..].to_vec(),
        data: stack.data[index * bytes..(index + 1) * bytes].into(),
    }
}

impl Unit {
    fn read(reader: &Reader<'_>, names: [String; 3], width: usize) -> Result<Self> {
        let hidden = reader.config.hidden;
        let [gate, up, down] = names;
        let has_gate = reader.tensors.has(&format!("{gate}.weight"))?;
        let gate_up = match reader.config.architecture.gated {
            true if has_gate => vec![(gate, width), (up, width)],
            true => vec![(up, 2 * width)],
            false => vec![(up, width)],
        };
        Ok(Self {
            gate_up: reader.projection(&gate_up, hidden)?,
            down: reader.projection(&[(down, hidden)], width)?,
            width,
        })
    }

    /// Its two products.
    pub fn parts(&self) -> (&Projection, &Projection) {
        (&self.gate_up, &self.down)
    }

    /// Writes what it makes of each row of `input` into `out`.
    fn run(&self, pass: Pass<'_>, input: &[f32], buffers: &mut Buffers, out: &mut [f32]) {
        let Pass { row, layer, users } = pass;
        let m = out.len() / self.down.rows();
        let n = self.width;
        let gate_up = room(&mut buffers.gate_up, m * self.gate_up.rows());
        self.gate_up.multiply(input, gate_up, &mut buffers.scratch);
        let width = self.gate_up.rows();
        adapt(users, layer, Place::GateUp, input, gate_up, width);
        let gated = if row.gated {
            let gated = room(&mut buffers.gated, m * n);
            match row.activation {
                Activation::Silu => silu_mul(gate_up, n, gated),
                Activation::GeluTanh => gelu_mul(gate_up, n, gated),
                Activation::ReluSquared => relu_squared_mul(gate_up, n, gated),
            }
            gated
        } else {
            match row.activation {
                Activation::Silu => silu(gate_up),
                Activation::GeluTanh => gelu_tanh(gate_up),
                Activation::ReluSquared => relu_squared(gate_up),
            }
            gate_up
        };
        self.down.multiply(gated, out, &mut buffers.scratch);
        adapt(users, layer, Place::Down, gated, out, self.down.rows());
    }
}

impl Decoder {
    /// Runs the feed-forward half of a block, added to the state.
    pub(super) fn feed_forward(&self, index: usize, layer: &Layer, workspace: &mut Workspace) {
        let w = workspace;
        let length = w.state.len();
        let row = self.config.architecture;
        let input = match (&layer.feed_forward_norm, row.parallel) {
            (Some(norm), _) => {
                norm.apply(&w.state, self.config.norm_eps, room(&mut w.normed, length));
                &w.normed[..length]
            }
            // What attention has read is there still.
            (None, true) => &w.normed[..length],
            (None, false) => &w.state,
        };
        let update = room(&mut w.update, length);
        let buffers = &mut w.feed_forward;
        let pass = Pass {
            row,
            layer: index,
            users: &w.users,
        };
        // Adapters change no experts.
        let alone = Pass {
            users: &Users::new(),
            ..pass
        };
        match (&layer.feed_forward, &self.config.experts) {
            (
                FeedForward::Experts {
                    router,
                    preference,
                    experts,
                    shared,
                },
                Some(about),
            ) => {
                let scores = room(&mut buffers.scores, w.positions.len() * about.count);
                router.multiply(input, scores);
                choose(about, preference.as_deref(), scores);
                update.fill(0.0);
                for (index, expert) in experts.iter().enumerate() {
                    use_expert(alone, about, index, expert, input, buffers, update);
                }
                if let Some((unit, gate)) = shared {
                    use_shared(alone, unit, gate.as_ref(), input, buffers, update);
                }
            }
            (FeedForward::One(unit), _) => unit.run(pass, input, buffers, update),
            (FeedForward::Experts { .. }, None) => unreachable!("experts come with their config"),
        }
        self.add_update(layer.feed_forward_post_norm.as_ref(), w);
    }
}

/// Turns what a router says of each position into the weight of each expert: zero but for the
/// chosen ones.
fn choose(about: &Experts, preference: Option<&[f32]>, scores: &mut [f32]) {
    let mut order: Vec<usize> = Vec::with_capacity(about.count);
    let mut wanted = Vec::with_capacity(about.count);
    for scores in scores.chunks_exact_mut(about.count) {
        if about.sigmoid {
            scores
                .iter_mut()
                .for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
        } else {
            let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            scores.iter_mut().for_each(|x| *x = (*x - top).exp());
            let sum: f32 = scores.iter().sum();
            scores.iter_mut().for_each(|x| *x /= sum);
        }
        wanted.clear();
        wanted.extend_from_slice(scores);
        if let Some(preference) = preference {
            wanted
                .iter_mut()
                .zip(preference)
                .for_each(|(x, more)| *x += more);
        }
        order.clear();
        order.extend(0..about.count);
        // Of equal ones the first: the choice depends on this position alone.
        order.sort_by(|a, b| wanted[*b].total_cmp(&wanted[*a]).then(a.cmp(b)));
        let (chosen, others) = order.split_at(about.used);
        others.iter().for_each(|expert| scores[*expert] = 0.0);
        let mut scale = about.scale;
        if about.normalised {
            let sum: f32 = chosen.iter().map(|expert| scores[*expert]).sum();
            // Scores of all that are too small for a number leave nothing to divide by.
            scale /= sum.max(f32::MIN_POSITIVE);
        }
        scores.iter_mut().for_each(|x| *x *= scale);
    }
}

/// Adds what one expert says to the positions that chose it. Each position sums its experts in
/// their order, whoever else is there.
fn use_expert(
    pass: Pass<'_>,
    about: &Experts,
    index: usize,
    expert: &Unit,
    input: &[f32],
    buffers: &mut Buffers,
    update: &mut [f32],
) {
    let positions = update.len() / expert.down.rows();
    let weights = buffers.scores[index..]
        .iter()
        .step_by(about.count)
        .take(positions);
    buffers.users.clear();
    buffers.users.extend(
        weights
            .copied()
            .enumerate()
            .filter(|(_, weight)| *weight != 0.0),
    );
    if buffers.users.is_empty() {
        return;
    }
    let hidden = expert.down.rows();
    let length = buffers.users.len() * hidden;
    let mut gathered = std::mem::take(&mut buffers.gathered);
    let mut answers = std::mem::take(&mut buffers.answers);
    let users = std::mem::take(&mut buffers.users);
    let rows = room(&mut gathered, length);
    for ((position, _), to) in users.iter().zip(rows.chunks_exact_mut(hidden)) {
        to.copy_from_slice(&input[position * hidden..][..hidden]);
    }
    expert.run(pass, rows, buffers, room(&mut answers, length));
    for ((position, weight), answer) in users.iter().zip(answers.chunks_exact(hidden)) {
        add_scaled(&mut update[position * hidden..][..hidden], answer, *weight);
    }
    (buffers.gathered, buffers.answers, buffers.users) = (gathered, answers, users);
}

/// Adds what the shared expert says.
fn use_shared(
    pass: Pass<'_>,
    unit: &Unit,
    gate: Option<&Matrix>,
    input: &[f32],
    buffers: &mut Buffers,
    update: &mut [f32],
) {
    let hidden = unit.down.rows();
    let mut answers = std::mem::take(&mut buffers.answers);
    let out = room(&mut answers, update.len());
    unit.run(pass, input, buffers, out);
    match gate {
        None => add(update, out),
        Some(gate) => {
            let gates = room(&mut buffers.scores, update.len() / hidden);
            gate.multiply(input, gates);
            let rows = update
                .chunks_exact_mut(hidden)
                .zip(out.chunks_exact(hidden));
            for ((update, out), gate) in rows.zip(gates) {
                add_scaled(update, out, 1.0 / (1.0 + (-*gate).exp()));
            }
        }
    }
    buffers.answers = answers;
}
