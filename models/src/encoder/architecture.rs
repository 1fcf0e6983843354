//! The encoders that are known: one row for each `model_type`.
//!
//! All are one transformer with parts that a row has or has not: where layers normalise, whether
//! positions are a table or a rotation, whether the feed-forward layer is gated, what the tensors
//! are called. Names are those of the models' own files, without `.weight` and `.bias`.

/// One row of the table of model types.
#[derive(Debug, PartialEq)]
pub(super) struct Architecture {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// The tensors' names may begin so when the file holds a head beside the encoder.
    pub prefix: &'static str,
    pub norm: NormKind,
    /// What is added to the variance where `config.json` does not say.
    pub norm_eps: f32,
    /// The activation where `config.json` names none.
    pub activation: Activation,
    /// Which linear layers have biases where `config.json` does not say.
    pub biases: Biases,
    /// How tokens learn where they stand.
    pub positions: Positions,
    /// Whether the vectors of tokens are multiplied by the root of their length.
    pub scaled_words: bool,
    /// Whether tokens see only what stands before them.
    pub causal: bool,
    pub names: &'static Names,
    /// From a text's vector to its labels (`…ForSequenceClassification`).
    pub classifier: Option<&'static HeadNames>,
    /// From a token's vector to the vocabulary (`…ForMaskedLM`).
    pub language_model: Option<&'static HeadNames>,
}

/// How rows are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NormKind {
    /// Layer normalisation, with or without a bias.
    Layer,
    /// By the root of the mean square.
    Rms,
    /// The same, where the file holds what is to be added to one.
    RmsPlusOne,
}

/// The activation between two linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    Gelu,
    GeluTanh,
    Silu,
    Relu,
    Tanh,
    Sigmoid,
}

/// Which layers add a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Biases {
    pub attention: bool,
    pub feed_forward: bool,
    pub norm: bool,
}

const ALL: Biases = Biases {
    attention: true,
    feed_forward: true,
    norm: true,
};

const NONE: Biases = Biases {
    attention: false,
    feed_forward: false,
    norm: false,
};

/// How tokens learn where they stand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Positions {
    /// A table whose rows are added to the tokens' vectors.
    Table(FirstRow),
    /// The same, and a bias on each score by the distance of its tokens, in so many buckets up to
    /// so far (Raffel et al., 2020).
    TableAndDistance {
        first: FirstRow,
        buckets: usize,
        farthest: usize,
    },
    /// A rotation of queries and keys by these bases where the file names none.
    Rope {
        base: f32,
        /// The base in layers that see a window.
        local_base: f32,
        /// Which layers see a window.
        windows: Windows,
    },
}

/// The row of the table of positions that the first token takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstRow {
    /// This one.
    Fixed(usize),
    /// The one after the padding token's id.
    AfterPadding,
}

/// Which layers see only a window, where `layer_types` does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Windows {
    /// None.
    Never,
    /// All but the first of every so many; the window is `local_attention`.
    AllButFirst { of: usize },
    /// All but the last of every so many; the window is `sliding_window`.
    AllButLast { of: usize },
}

/// What the tensors are called.
#[derive(Debug, PartialEq)]
pub(super) struct Names {
    pub words: &'static str,
    pub positions: Option<&'static str>,
    pub distances: Option<&'static str>,
    pub token_types: Option<&'static str>,
    pub norm: Option<&'static str>,
    /// The rest but the last norm are found below `layer.N.`.
    pub layer: &'static str,
    /// Queries, keys and values, apart or in one matrix.
    pub query_key_value: &'static [&'static str],
    /// The norms of each head's queries and keys.
    pub head_norms: Option<[&'static str; 2]>,
    pub attention_output: &'static str,
    pub attention_norms: Norms<&'static str>,
    /// The first product of the feed-forward layer; gated: the gate above what it gates, apart or
    /// in one matrix.
    pub intermediate: &'static [&'static str],
    pub gated: bool,
    pub output: &'static str,
    pub output_norms: Norms<&'static str>,
    pub last_norm: Option<&'static str>,
}

/// Where a sublayer normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Norms<T> {
    /// What goes into the sublayer.
    pub before: Option<T>,
    /// Whether the first layer of the encoder does without that.
    pub first_without: bool,
    /// What comes out of it.
    pub inside: Option<T>,
    /// The sum of both.
    pub after: Option<T>,
}

impl<T> Norms<T> {
    const NONE: Self = Self {
        before: None,
        first_without: false,
        inside: None,
        after: None,
    };

    /// Loads each norm by its name.
    pub fn load<U, E>(&self, mut load: impl FnMut(&T) -> Result<U, E>) -> Result<Norms<U>, E> {
        Ok(Norms {
            before: self.before.as_ref().map(&mut load).transpose()?,
            first_without: self.first_without,
            inside: self.inside.as_ref().map(&mut load).transpose()?,
            after: self.after.as_ref().map(&mut load).transpose()?,
        })
    }
}

/// A head: a linear layer of the encoder's width, an activation, perhaps a norm, and a linear
/// layer to what is asked for.
#[derive(Debug, PartialEq)]
pub(super) struct HeadNames {
    pub dense: &'static str,
    /// `None`: that of the encoder.
    pub activation: Option<Activation>,
    pub norm: Option<&'static str>,
    pub output: &'static str,
    /// The output's bias where it has a name of its own.
    pub output_bias: Option<&'static str>,
}

const fn after(name: &'static str) -> Norms<&'static str> {
    Norms {
        after: Some(name),
        ..Norms::NONE
    }
}

const BERT: Names = Names {
    words: "embeddings.word_embeddings",
    positions: Some("embeddings.position_embeddings"),
    distances: None,
    token_types: Some("embeddings.token_type_embeddings"),
    norm: Some("embeddings.LayerNorm"),
    layer: "encoder.layer",
    query_key_value: &[
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
    ],
    head_norms: None,
    attention_output: "attention.output.dense",
    attention_norms: after("attention.output.LayerNorm"),
    intermediate: &["intermediate.dense"],
    gated: false,
    output: "output.dense",
    output_norms: after("output.LayerNorm"),
    last_norm: None,
};

const DISTILBERT: Names = Names {
    token_types: None,
    layer: "transformer.layer",
    query_key_value: &["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attention_output: "attention.out_lin",
    attention_norms: after("sa_layer_norm"),
    intermediate: &["ffn.lin1"],
    output: "ffn.lin2",
    output_norms: after("output_layer_norm"),
    ..BERT
};

const MPNET: Names = Names {
    distances: Some("encoder.relative_attention_bias"),
    token_types: None,
    query_key_value: &["attention.attn.q", "attention.attn.k", "attention.attn.v"],
    attention_output: "attention.attn.o",
    attention_norms: after("attention.LayerNorm"),
    ..BERT
};

const NOMIC: Names = Names {
    positions: None,
    norm: Some("emb_ln"),
    layer: "encoder.layers",
    query_key_value: &["attn.Wqkv"],
    attention_output: "attn.out_proj",
    attention_norms: after("norm1"),
    intermediate: &["mlp.fc12", "mlp.fc11"],
    gated: true,
    output: "mlp.fc2",
    output_norms: after("norm2"),
    ..BERT
};

const MODERNBERT: Names = Names {
    words: "embeddings.tok_embeddings",
    positions: None,
    token_types: None,
    norm: Some("embeddings.norm"),
    layer: "layers",
    query_key_value: &["attn.Wqkv"],
    attention_output: "attn.Wo",
    attention_norms: Norms {
        before: Some("attn_norm"),
        first_without: true,
        ..Norms::NONE
    },
    intermediate: &["mlp.Wi"],
    gated: true,
    output: "mlp.Wo",
    output_norms: Norms {
        before: Some("mlp_norm"),
        ..Norms::NONE
    },
    last_norm: Some("final_norm"),
    ..BERT
};

const QWEN3: Names = Names {
    words: "embed_tokens",
    positions: None,
    token_types: None,
    norm: None,
    layer: "layers",
    query_key_value: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    head_norms: Some(["self_attn.q_norm", "self_attn.k_norm"]),
    attention_output: "self_attn.o_proj",
    attention_norms: Norms {
        before: Some("input_layernorm"),
        ..Norms::NONE
    },
    intermediate: &["mlp.gate_proj", "mlp.up_proj"],
    gated: true,
    output: "mlp.down_proj",
    output_norms: Norms {
        before: Some("post_attention_layernorm"),
        ..Norms::NONE
    },
    last_norm: Some("norm"),
    ..BERT
};

const GEMMA3: Names = Names {
    attention_norms: Norms {
        before: Some("input_layernorm"),
        inside: Some("post_attention_layernorm"),
        ..Norms::NONE
    },
    output_norms: Norms {
        before: Some("pre_feedforward_layernorm"),
        inside: Some("post_feedforward_layernorm"),
        ..Norms::NONE
    },
    ..QWEN3
};

const BERT_CLASSIFIER: HeadNames = HeadNames {
    dense: "bert.pooler.dense",
    activation: Some(Activation::Tanh),
    norm: None,
    output: "classifier",
    output_bias: None,
};

const ROBERTA_CLASSIFIER: HeadNames = HeadNames {
    dense: "classifier.dense",
    output: "classifier.out_proj",
    ..BERT_CLASSIFIER
};

const DISTILBERT_CLASSIFIER: HeadNames = HeadNames {
    dense: "pre_classifier",
    activation: Some(Activation::Relu),
    ..BERT_CLASSIFIER
};

const MODERNBERT_CLASSIFIER: HeadNames = HeadNames {
    dense: "head.dense",
    activation: None,
    norm: Some("head.norm"),
    ..BERT_CLASSIFIER
};

const BERT_LANGUAGE_MODEL: HeadNames = HeadNames {
    dense: "cls.predictions.transform.dense",
    activation: None,
    norm: Some("cls.predictions.transform.LayerNorm"),
    output: "cls.predictions.decoder",
    output_bias: Some("cls.predictions.bias"),
};

const ROBERTA_LANGUAGE_MODEL: HeadNames = HeadNames {
    dense: "lm_head.dense",
    activation: Some(Activation::Gelu),
    norm: Some("lm_head.layer_norm"),
    output: "lm_head.decoder",
    output_bias: Some("lm_head.bias"),
};

const DISTILBERT_LANGUAGE_MODEL: HeadNames = HeadNames {
    dense: "vocab_transform",
    activation: None,
    norm: Some("vocab_layer_norm"),
    output: "vocab_projector",
    output_bias: None,
};

const MODERNBERT_LANGUAGE_MODEL: HeadNames = HeadNames {
    output: "decoder",
    ..MODERNBERT_CLASSIFIER
};

const BERT_ROW: Architecture = Architecture {
    model_type: "bert",
    prefix: "bert.",
    norm: NormKind::Layer,
    norm_eps: 1e-12,
    activation: Activation::Gelu,
    biases: ALL,
    positions: Positions::Table(FirstRow::Fixed(0)),
    scaled_words: false,
    causal: false,
    names: &BERT,
    classifier: Some(&BERT_CLASSIFIER),
    language_model: Some(&BERT_LANGUAGE_MODEL),
};

const ROBERTA_ROW: Architecture = Architecture {
    model_type: "roberta",
    prefix: "roberta.",
    positions: Positions::Table(FirstRow::AfterPadding),
    classifier: Some(&ROBERTA_CLASSIFIER),
    language_model: Some(&ROBERTA_LANGUAGE_MODEL),
    ..BERT_ROW
};

/// Every known encoder.
///
/// Sources: Devlin et al. (BERT, 2018), Liu et al. (RoBERTa, 2019), Sanh et al. (DistilBERT,
/// 2019), Song et al. (MPNet, 2020), Nussbaum et al. (nomic-embed, 2024), Warner et al.
/// (ModernBERT, 2024), Zhang et al. (Qwen3 Embedding, 2025), Vera et al. (EmbeddingGemma, 2025).
pub(super) const ARCHITECTURES: &[Architecture] = &[
    BERT_ROW,
    ROBERTA_ROW,
    Architecture {
        model_type: "xlm-roberta",
        ..ROBERTA_ROW
    },
    Architecture {
        model_type: "camembert",
        ..ROBERTA_ROW
    },
    Architecture {
        model_type: "distilbert",
        prefix: "distilbert.",
        names: &DISTILBERT,
        classifier: Some(&DISTILBERT_CLASSIFIER),
        language_model: Some(&DISTILBERT_LANGUAGE_MODEL),
        ..BERT_ROW
    },
    Architecture {
        model_type: "mpnet",
        prefix: "mpnet.",
        positions: Positions::TableAndDistance {
            first: FirstRow::Fixed(2),
            buckets: 32,
            farthest: 128,
        },
        names: &MPNET,
        ..ROBERTA_ROW
    },
    Architecture {
        model_type: "nomic_bert",
        prefix: "bert.",
        activation: Activation::Silu,
        biases: Biases { norm: true, ..NONE },
        positions: Positions::Rope {
            base: 1_000.0,
            local_base: 1_000.0,
            windows: Windows::Never,
        },
        names: &NOMIC,
        classifier: None,
        language_model: None,
        ..BERT_ROW
    },
    Architecture {
        model_type: "modernbert",
        prefix: "model.",
        norm_eps: 1e-5,
        biases: NONE,
        positions: Positions::Rope {
            base: 160_000.0,
            local_base: 10_000.0,
            windows: Windows::AllButFirst { of: 3 },
        },
        names: &MODERNBERT,
        classifier: Some(&MODERNBERT_CLASSIFIER),
        language_model: Some(&MODERNBERT_LANGUAGE_MODEL),
        ..BERT_ROW
    },
    Architecture {
        model_type: "qwen3",
        prefix: "model.",
        norm: NormKind::Rms,
        norm_eps: 1e-6,
        activation: Activation::Silu,
        biases: NONE,
        positions: Positions::Rope {
            base: 10_000.0,
            local_base: 10_000.0,
            windows: Windows::Never,
        },
        causal: true,
        names: &QWEN3,
        classifier: None,
        language_model: None,
        ..BERT_ROW
    },
    Architecture {
        model_type: "gemma3_text",
        prefix: "model.",
        norm: NormKind::RmsPlusOne,
        norm_eps: 1e-6,
        activation: Activation::GeluTanh,
        biases: NONE,
        positions: Positions::Rope {
            base: 1_000_000.0,
            local_base: 10_000.0,
            windows: Windows::AllButLast { of: 6 },
        },
        scaled_words: true,
        causal: true,
        names: &GEMMA3,
        classifier: None,
        language_model: None,
    },
];
