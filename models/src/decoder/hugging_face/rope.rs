//! How `config.json` scales rotary frequencies.

use std::collections::BTreeMap;

use corbie_core::{ErrorKind, Result};
use serde_json::{Value, json};

use super::{HuggingFaceConfig, number as whole};
use crate::decoder::config::DecoderConfig;
use crate::decoder::rope::{Yarn, llama3_factors};

impl HuggingFaceConfig {
    /// The tensors that GGUF files hold and `config.json` describes: what rotary frequencies are
    /// divided by.
    pub fn factors(&self, config: &DecoderConfig) -> Result<BTreeMap<&'static str, Vec<f32>>> {
        let mut factors = BTreeMap::new();
        match self.rope_type() {
            "llama3" => {
                let number = |name: &str| {
                    let number = self.rope.get(name).and_then(Value::as_f64);
                    number
                        .filter(|it| it.is_finite() && *it > 0.0)
                        .ok_or_else(|| self.refuse(ErrorKind::Malformed, name, "missing"))
                };
                let range = (number("low_freq_factor")?, number("high_freq_factor")?);
                let original = number("original_max_position_embeddings")? as usize;
                let (base, pairs) = (config.rope.base, config.rope_dim / 2);
                let values = llama3_factors(base, pairs, number("factor")?, range, original);
                factors.insert("rope_freqs.weight", values);
            }
            "longrope" => {
                for (tensor, key) in [
                    ("rope_factors_long.weight", "long_factor"),
                    ("rope_factors_short.weight", "short_factor"),
                ] {
                    let numbers = self.rope.get(key).and_then(Value::as_array);
                    let numbers = numbers.and_then(|list| {
                        list.iter()
                            .map(|it| it.as_f64().map(|x| x as f32))
                            .collect()
                    });
                    let missing = || self.refuse(ErrorKind::Malformed, key, "no list of numbers");
                    factors.insert(tensor, numbers.ok_or_else(missing)?);
                }
            }
            _ => {}
        }
        Ok(factors)
    }

    fn rope_type(&self) -> &str {
        let kind = self.rope.get("rope_type").or_else(|| self.rope.get("type"));
        match kind.and_then(Value::as_str).unwrap_or("default") {
            "su" => "longrope",
            kind => kind,
        }
    }

    pub(super) fn set_rope(&mut self) {
        let parameters = ["rope_parameters", "rope_scaling"]
            .iter()
            .find_map(|key| self.text.get(*key).and_then(Value::as_object).cloned());
        let mut rope = parameters.unwrap_or_default();
        // Models with windows have parameters for each kind of layer.
        if let Some(local) = rope
            .get("sliding_attention")
            .and_then(|it| it.get("rope_theta"))
        {
            self.set("rope.freq_base_swa", "rope_parameters", local.clone());
        }
        if let Some(Value::Object(global)) = rope.get("full_attention") {
            rope = global.clone();
        }
        self.rope = rope;
        let number = |name: &str| {
            let number = self.rope.get(name).and_then(Value::as_f64);
            number.or_else(|| self.number(name))
        };
        let heads = self.number("num_attention_heads").unwrap_or(1.0);
        let head_dim = self
            .number("head_dim")
            .unwrap_or(self.number("hidden_size").unwrap_or(0.0) / heads);
        let mut base = number("rope_theta");
        let context = self.number("max_position_embeddings").unwrap_or(1.0);
        let original = number("original_max_position_embeddings");
        let stretch = original.map(|original| context / original);
        let factor = number("factor").or(stretch).unwrap_or(1.0);
        let attention_factor = number("attention_factor");
        let partial = number("partial_rotary_factor");
        let growth = number("llama_4_scaling_beta");
        let betas = [number("beta_fast"), number("beta_slow")];
        let truncated = self.rope.get("truncate") != Some(&Value::Bool(false));
        let (mut kind, mut magnitude) = (self.rope_type().to_owned(), None);
        match kind.as_str() {
            // Beyond its context alone does the dynamic kind change anything, unless it is a
            // base of another name.
            "dynamic" | "default" | "mrope" => {
                if let Some((alpha, base)) = number("alpha").zip(base.as_mut()) {
                    *base *= alpha.powf(head_dim / (head_dim - 2.0));
                }
                kind = "none".to_owned();
            }
            "llama3" => kind = "none".to_owned(),
            "longrope" => {
                let original = original.unwrap_or(context);
                magnitude = attention_factor
                    .or_else(|| (factor > 1.0).then(|| (1.0 + factor.ln() / original.ln()).sqrt()));
            }
            "yarn" if truncated => {
                let scale = |multiplier: f64| Yarn::magnitude(factor as f32, multiplier as f32);
                let multipliers = number("mscale").zip(number("mscale_all_dim"));
                let given = attention_factor.map(|it| it as f32).or_else(|| {
                    let (one, all) = multipliers.filter(|(one, all)| *one > 0.0 && *all > 0.0)?;
                    Some(scale(one) / scale(all))
                });
                // The file's way is to name what the usual magnitude is multiplied by.
                magnitude = given.map(|given| f64::from(given / scale(1.0)));
            }
            "yarn" => kind = "yarn without `truncate`".to_owned(),
            _ => {}
        }
        let scaled = kind != "none";
        let mut values = vec![
            ("rope.freq_base", "rope_theta", base),
            (
                "rope.dimension_count",
                "partial_rotary_factor",
                partial.map(|it| (it * head_dim).floor()),
            ),
            (
                "attention.temperature_scale",
                "llama_4_scaling_beta",
                growth,
            ),
        ];
        if scaled {
            values.extend([
                ("rope.scaling.factor", "factor", Some(factor)),
                ("rope.scaling.attn_factor", "attention_factor", magnitude),
                ("rope.scaling.yarn_beta_fast", "beta_fast", betas[0]),
                ("rope.scaling.yarn_beta_slow", "beta_slow", betas[1]),
            ]);
            let key = "original_max_position_embeddings";
            values.push(("rope.scaling.original_context_length", key, original));
        }
        for (name, key, value) in values {
            if let Some(value) = value {
                self.set(name, key, whole(value));
            }
        }
        self.set("rope.scaling.type", "rope_type", json!(kind));
    }
}
