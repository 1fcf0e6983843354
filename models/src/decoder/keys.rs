//! What a model says about its shape, read and checked value by value.

use corbie_core::{Error, ErrorKind, Result};
use serde_json::Value;

use super::architecture::{Architecture, Sliding, WindowRope};
use super::config::{
    Convolution, Experts, MAX_CONTEXT, MAX_FEED_FORWARD, MAX_LAYERS, MAX_WIDTH, Window,
};
use super::rope::{Rope, Yarn};
use crate::gguf::{self, Metadata};

/// Where the values come from.
pub(super) enum Source<'a> {
    /// A GGUF file.
    Gguf(Metadata<'a>),
    /// Values by GGUF's keys without a prefix, and what the file itself calls them.
    Named(&'a dyn Fn(&str) -> Option<(String, Value)>, &'a str),
}

/// The values of a model of one architecture, by GGUF's keys without their prefix.
pub(super) struct Keys<'a> {
    pub source: Source<'a>,
    pub architecture: &'static Architecture,
}

impl Keys<'_> {
    /// The value of a key, and what the file calls it.
    fn value(&self, name: &str) -> Result<Option<(String, Value)>> {
        let metadata = match &self.source {
            Source::Gguf(metadata) => metadata,
            Source::Named(value, _) => return Ok(value(name)),
        };
        let key = self.key(name);
        let value = match metadata.get(&key) {
            None => return Ok(None),
            Some(gguf::Value::Integer(value)) => {
                i64::try_from(value).map_or(Value::Null, Value::from)
            }
            // Shortest digits: 0.1 stays 0.1 and does not become the nearest `f32`'s.
            Some(gguf::Value::Float(value)) => Value::from(value),
            Some(gguf::Value::Bool(value)) => Value::from(value),
            Some(gguf::Value::String(_)) => Value::from(metadata.str(&key)?),
            Some(gguf::Value::Array { item, count }) => {
                if count > MAX_LAYERS {
                    return Err(self.malformed(name, format!("{count} entries")));
                }
                match item {
                    gguf::ValueKind::Bool => Value::from(metadata.bools(&key)?),
                    _ => Value::from(metadata.u32s(&key)?),
                }
            }
        };
        Ok(Some((key, value)))
    }

    fn key(&self, name: &str) -> String {
        match &self.source {
            Source::Gguf(_) => format!("{}.{name}", self.architecture.name),
            Source::Named(value, _) => value(name).map_or_else(|| name.to_owned(), |it| it.0),
        }
    }

    pub fn malformed(&self, name: &str, cause: impl std::fmt::Display) -> Error {
        self.refuse(ErrorKind::Malformed, name, cause)
    }

    pub fn unsupported(&self, name: &str, cause: impl std::fmt::Display) -> Error {
        self.refuse(ErrorKind::Unsupported, name, cause)
    }

    fn refuse(&self, kind: ErrorKind, name: &str, cause: impl std::fmt::Display) -> Error {
        let subject = match &self.source {
            Source::Gguf(metadata) => metadata.subject(),
            Source::Named(_, subject) => subject,
        };
        Error::new(
            kind,
            subject,
            format!("metadata `{}`: {cause}", self.key(name)),
        )
    }

    fn converted<T>(
        &self,
        name: &str,
        wanted: &str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some((_, value)) = self.value(name)? else {
            return Ok(None);
        };
        match convert(&value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.malformed(name, format!("{value} is not {wanted}"))),
        }
    }

    pub fn size(&self, name: &str, limit: usize) -> Result<usize> {
        self.optional_size(name, limit)?
            .ok_or_else(|| self.malformed(name, "missing"))
    }

    /// A count between 1 and `limit`.
    pub fn optional_size(&self, name: &str, limit: usize) -> Result<Option<usize>> {
        let wanted = format!("between 1 and {limit}");
        self.converted(name, &wanted, |value| {
            let size = usize::try_from(value.as_u64()?).ok()?;
            (1..=limit).contains(&size).then_some(size)
        })
    }

    /// A finite number above zero. Files write zero for "none", so zero is none.
    pub fn positive(&self, name: &str) -> Result<Option<f32>> {
        let number = self.converted(name, "a positive number", |value| {
            let number = value.as_f64()? as f32;
            (number.is_finite() && number >= 0.0).then_some(number)
        })?;
        Ok(number.filter(|number| *number > 0.0))
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        self.converted(name, "text", |value| value.as_str().map(str::to_owned))
    }

    /// One value for each layer.
    fn by_layer<T>(
        &self,
        name: &str,
        layers: usize,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let wanted = format!("a list of {layers} entries");
        self.converted(name, &wanted, |value| {
            let list: Vec<T> = value
                .as_array()?
                .iter()
                .map(&convert)
                .collect::<Option<_>>()?;
            (list.len() == layers).then_some(list)
        })
    }

    pub fn head_dim(&self, hidden: usize, heads: usize) -> Result<usize> {
        let head_dim = match self.optional_size("attention.key_length", MAX_WIDTH)? {
            Some(length) => length,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => {
                return Err(self.malformed(
                    "attention.head_count",
                    format!("{heads} heads do not divide the width {hidden}"),
                ));
            }
        };
        if heads.saturating_mul(head_dim) > MAX_WIDTH {
            return Err(self.malformed(
                "attention.head_count",
                format!("{heads} heads of {head_dim} are wider than {MAX_WIDTH}"),
            ));
        }
        match self.optional_size("attention.value_length", MAX_WIDTH)? {
            Some(length) if length != head_dim => Err(self.unsupported(
                "attention.value_length",
                format!("values of {length} beside keys of {head_dim} are not supported"),
            )),
            _ => Ok(head_dim),
        }
    }

    /// How many heads of keys there are, and the layers that have none but a convolution.
    pub fn kv_heads(&self, heads: usize, layers: usize) -> Result<(usize, Option<Convolution>)> {
        let name = "attention.head_count_kv";
        let kernel = self.optional_size("shortconv.l_cache", 64)?;
        let is_list = self.value(name)?.is_some_and(|(_, value)| value.is_array());
        let (kv_heads, convolved) = if is_list {
            let counts = self.by_layer(name, layers, Value::as_u64)?;
            let counts = counts.unwrap_or_default();
            let most = counts.iter().copied().max().unwrap_or(0);
            if counts.iter().any(|count| *count != 0 && *count != most) {
                let cause = "layers with different numbers of heads are not supported";
                return Err(self.unsupported(name, cause));
            }
            // A model of convolutions alone has heads that nobody counts.
            let most = usize::try_from(most.max(1)).unwrap_or(usize::MAX);
            (most, counts.iter().map(|count| *count == 0).collect())
        } else {
            let kv_heads = self.optional_size(name, heads)?.unwrap_or(heads);
            (kv_heads, vec![false; layers])
        };
        if !heads.is_multiple_of(kv_heads) {
            let cause = format!("{kv_heads} does not divide the {heads} query heads");
            return Err(self.malformed(name, cause));
        }
        match (kernel, convolved.contains(&true)) {
            (Some(reach), true) => Ok((
                kv_heads,
                Some(Convolution {
                    reach,
                    layers: convolved,
                }),
            )),
            (None, true) => {
                Err(self.unsupported(name, "layers without attention are not supported"))
            }
            (_, false) => Ok((kv_heads, None)),
        }
    }

    /// The experts of a model that has feed-forward layers of so many numbers.
    pub fn experts(&self, feed_forward: usize, layers: usize) -> Result<Option<Experts>> {
        // Files write zero for none.
        if self.positive("expert_count")?.is_none() {
            return Ok(None);
        }
        let count = self.size("expert_count", 1024)?;
        let width = |name| self.optional_size(name, MAX_FEED_FORWARD);
        let gate = self.value("expert_gating_func")?;
        let sigmoid = match gate.and_then(|(_, value)| value.as_u64()) {
            None => self.architecture.sigmoid_experts,
            Some(1) => false,
            Some(2) => true,
            Some(other) => {
                let cause = format!("kind {other} is not supported");
                return Err(self.unsupported("expert_gating_func", cause));
            }
        };
        let normalised = self.converted("expert_weights_norm", "a boolean", Value::as_bool)?;
        let dense = self.positive("leading_dense_block_count")?.unwrap_or(0.0);
        Ok(Some(Experts {
            count,
            used: self.size("expert_used_count", count)?,
            feed_forward: width("expert_feed_forward_length")?.unwrap_or(feed_forward),
            shared_feed_forward: width("expert_shared_feed_forward_length")?,
            sigmoid,
            normalised: normalised.unwrap_or(self.architecture.normalised_experts),
            scale: self.positive("expert_weights_scale")?.unwrap_or(1.0),
            dense_layers: (dense as usize).min(layers),
        }))
    }

    /// The rotary frequencies of a model that was made for so many positions.
    pub fn rope(&self, context_length: usize) -> Result<Rope> {
        let base = self.positive("rope.freq_base")?.unwrap_or(10_000.0);
        let mut rope = Rope::unscaled(base);
        let factor = || self.positive("rope.scaling.factor");
        rope.magnitude = self.positive("rope.scaling.attn_factor")?.unwrap_or(1.0);
        match self.text("rope.scaling.type")?.as_deref() {
            // Files from before the key was there name the factor alone.
            None => rope.divisor = self.positive("rope.scale_linear")?.unwrap_or(1.0),
            Some("none" | "") => {}
            Some("linear") => rope.divisor = factor()?.unwrap_or(1.0),
            // Its factors are tensors.
            Some("longrope") => {}
            Some("yarn") => {
                let factor = factor()?.unwrap_or(1.0);
                let beta = |name, default| Ok(self.positive(name)?.unwrap_or(default));
                rope.divisor = factor;
                rope.yarn = Some(Yarn {
                    beta_fast: beta("rope.scaling.yarn_beta_fast", 32.0)?,
                    beta_slow: beta("rope.scaling.yarn_beta_slow", 1.0)?,
                    original_context: self.original_context()?.unwrap_or(context_length),
                });
                let multiplier = self.positive("rope.scaling.yarn_log_multiplier")?;
                rope.magnitude *= Yarn::magnitude(factor, 1.0)
                    / Yarn::magnitude(factor, multiplier.unwrap_or(0.0));
            }
            Some(other) => {
                let known = "only `none`, `linear`, `yarn` and `longrope` are";
                let cause = format!("`{other}` is not supported: {known}");
                return Err(self.unsupported("rope.scaling.type", cause));
            }
        }
        if rope.base <= 1.0 {
            return Err(self.malformed("rope.freq_base", format!("{base} is not above 1")));
        }
        Ok(rope)
    }

    /// How many positions the model was first trained on, if it was stretched since.
    pub fn original_context(&self) -> Result<Option<usize>> {
        self.optional_size("rope.scaling.original_context_length", MAX_CONTEXT)
    }

    pub fn window(&self, rope: &Rope, layers: usize) -> Result<Option<Window>> {
        let Some(sliding) = &self.architecture.sliding else {
            return Ok(None);
        };
        let name = "attention.sliding_window";
        // Zero says that there is none.
        if self.value(name)?.is_some_and(|(_, value)| value == 0) {
            return Ok(None);
        }
        let Some(size) = self.optional_size(name, MAX_CONTEXT)? else {
            return Ok(None);
        };
        let own_base = match sliding.rope {
            WindowRope::Same => None,
            WindowRope::Unscaled => Some(rope.base),
            WindowRope::Base(base) => Some(base),
        };
        let own_base = self.positive("rope.freq_base_swa")?.or(own_base);
        let layers = self.windowed_layers(sliding, layers)?;
        Ok(layers.contains(&true).then(|| Window {
            size,
            layers,
            rope: own_base.map(Rope::unscaled),
        }))
    }

    /// Which layers see a window: the file's own list, or its period, or the architecture's.
    fn windowed_layers(&self, sliding: &Sliding, layers: usize) -> Result<Vec<bool>> {
        let name = "attention.sliding_window_pattern";
        let is_list = self.value(name)?.is_some_and(|(_, value)| value.is_array());
        if is_list {
            // Some files write them as numbers.
            let flag = |value: &Value| value.as_bool().or_else(|| Some(value.as_u64()? != 0));
            return Ok(self.by_layer(name, layers, flag)?.unwrap_or_default());
        }
        let every = self
            .optional_size(name, MAX_LAYERS)?
            .or(sliding.global_every);
        let windowed = |layer: usize| every.is_none_or(|every| !layer.is_multiple_of(every));
        Ok((1..=layers).map(windowed).collect())
    }

    /// Which layers have no rotary embedding.
    pub fn unturned_layers(&self, layers: usize, window: Option<&Window>) -> Result<Vec<bool>> {
        if let Some(list) = self.by_layer("rope.unturned_layers", layers, Value::as_bool)? {
            return Ok(list);
        }
        let row = self.architecture;
        let sliding = row.sliding.as_ref();
        let unturned_globals = sliding.is_some_and(|sliding| sliding.unturned_globals);
        let is_unturned = |layer: usize| {
            let periodic = |every: usize| (layer + 1).is_multiple_of(every);
            let sees_all = |window: &Window| !window.layers[layer];
            row.unturned_every.is_some_and(periodic)
                || unturned_globals && window.is_some_and(sees_all)
        };
        Ok((0..layers).map(is_unturned).collect())
    }
}
