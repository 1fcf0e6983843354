//! A tiny model of every family, against what transformers and Sentence Transformers compute.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use corbie_core::testing::conformance;
use corbie_core::{EmbedKind, Embedder, Reranker, SparseEmbedder, SparseVector};
use corbie_models::encoder::{
    LocalEmbedderOptions, LocalReranker, LocalRerankerOptions, LocalSparseEmbedder,
    LocalSparseEmbedderOptions, StaticEmbedder, load_embedder,
};
use futures::executor::block_on;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fixture::weight;

#[derive(Deserialize)]
struct Families {
    texts: Vec<String>,
    pairs: Vec<(String, String)>,
    tokenizers: Vec<Value>,
    cases: Vec<Family>,
}

#[derive(Deserialize)]
struct Family {
    name: String,
    kind: String,
    files: BTreeMap<String, Value>,
    tensors: BTreeMap<String, BTreeMap<String, Vec<usize>>>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    #[serde(default)]
    document: Vec<Vec<f32>>,
    /// Absent where it is the same.
    query: Option<Vec<Vec<f32>>>,
    #[serde(default)]
    scores: Vec<f32>,
}

impl Families {
    fn read() -> Self {
        let text = include_str!("../reference/families.json");
        let mut families: Self = serde_json::from_str(text).unwrap();
        for case in &mut families.cases {
            for (name, content) in &mut case.files {
                if name.ends_with("tokenizer.json") {
                    let index = content["tokenizer"].as_u64().unwrap() as usize;
                    *content = families.tokenizers[index].clone();
                }
            }
        }
        families
    }

    fn of(kind: &str) -> (Self, Vec<Family>) {
        let mut families = Self::read();
        let cases = std::mem::take(&mut families.cases);
        let cases: Vec<Family> = cases.into_iter().filter(|case| case.kind == kind).collect();
        assert!(!cases.is_empty());
        (families, cases)
    }

    fn case(kind: &str, name: &str) -> (Self, Family) {
        let (families, cases) = Self::of(kind);
        let mut named = cases.into_iter().filter(|case| case.name == name);
        (families, named.next().unwrap())
    }
}

impl Family {
    fn write(&self, dir: &Path) {
        for (name, content) in &self.files {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content.to_string()).unwrap();
        }
        for (file, shapes) in &self.tensors {
            let tensors = shapes.iter().map(|(name, shape)| {
                let values = weight(name, shape.iter().product());
                let tensor = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu);
                (name.clone(), tensor.unwrap())
            });
            let tensors: HashMap<String, Tensor> = tensors.collect();
            let path = dir.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            candle_core::safetensors::save(&tensors, path).unwrap();
        }
    }

    fn load<T>(&self, load: impl FnOnce(&Path) -> corbie_core::Result<T>) -> T {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path());
        load(dir.path()).unwrap()
    }

    fn embedder(&self) -> std::sync::Arc<dyn Embedder> {
        self.load(|dir| load_embedder(dir, LocalEmbedderOptions::default()))
    }
}

/// The greatest error relative to its vector's length.
fn worst(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>().sqrt();
    let pairs = found.iter().zip(expected).map(|(found, expected)| {
        assert_eq!(found.len(), expected.len());
        let error = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
        let size = norm(&mut expected.iter().copied());
        if size == 0.0 { error } else { error / size }
    });
    pairs.fold(0.0, f32::max)
}

/// The bar, and a line that says how far below it the model is.
#[track_caller]
fn check(name: &str, error: f32) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{name}: relative error {error:.1e}");
    assert!(error <= 1e-4, "{name}: relative error {error}");
}

#[test]
fn embedders_of_every_family() {
    for kind in ["embedder", "static"] {
        let (families, cases) = Families::of(kind);
        for case in &cases {
            let embedder = case.embedder();
            let embed = |kind| block_on(embedder.embed(&families.texts, kind)).unwrap();
            let expected = &case.expected;
            let document = worst(&embed(EmbedKind::Document), &expected.document);
            let query = expected.query.as_ref().unwrap_or(&expected.document);
            let query = worst(&embed(EmbedKind::Query), query);
            check(&case.name, document.max(query));
            block_on(conformance::embedder(&*embedder));
        }
    }
}

#[test]
fn rerankers_of_every_family() {
    let (families, cases) = Families::of("reranker");
    for case in &cases {
        let reranker = case.load(|dir| LocalReranker::load(dir, LocalRerankerOptions::default()));
        let mut error = 0.0f32;
        for ((question, passage), expected) in families.pairs.iter().zip(&case.expected.scores) {
            let passages = std::slice::from_ref(passage);
            let scores = block_on(reranker.rerank(question, passages)).unwrap();
            error = error.max((scores[0] - expected).abs() / expected.abs());
        }
        check(&format!("{} reranker", case.name), error);
        block_on(conformance::reranker(&reranker));
    }
}

#[test]
fn sparse_embedders_of_every_family() {
    let (families, cases) = Families::of("sparse");
    for case in &cases {
        let options = LocalSparseEmbedderOptions::default();
        let embedder = case.load(|dir| LocalSparseEmbedder::load(dir, options));
        let vectors = block_on(embedder.embed(&families.texts, EmbedKind::Document)).unwrap();
        let wide = |vector: &SparseVector, size: usize| {
            let mut wide = vec![0.0; size];
            for (index, value) in vector.indices.iter().zip(&vector.values) {
                wide[*index as usize] = *value;
            }
            wide
        };
        let size = case.expected.document[0].len();
        let found: Vec<Vec<f32>> = vectors.iter().map(|v| wide(v, size)).collect();
        check(
            &format!("{} sparse", case.name),
            worst(&found, &case.expected.document),
        );
        block_on(conformance::sparse_embedder(&embedder));
    }
}

/// The keys that nomic's own files have, before transformers knew the model.
#[test]
fn nomic_under_its_older_keys() {
    let (families, mut case) = Families::case("embedder", "nomic");
    case.files.insert(
        "config.json".into(),
        json!({"model_type": "nomic_bert", "n_embd": 24, "n_layer": 2, "n_head": 3,
            "n_inner": 40, "n_positions": 8192, "max_trained_positions": 180,
            "vocab_size": case.files["config.json"]["vocab_size"], "layer_norm_epsilon": 1e-12,
            "activation_function": "swiglu", "qkv_proj_bias": false, "mlp_fc1_bias": false,
            "mlp_fc2_bias": false, "prenorm": false, "rotary_emb_base": 300,
            "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": false}),
    );
    let vectors = block_on(case.embedder().embed(&families.texts, EmbedKind::Document)).unwrap();
    check(
        "nomic, older keys",
        worst(&vectors, &case.expected.document),
    );
}

/// A vocabulary that was made smaller: several tokens share a row, and each has its own weight.
#[test]
fn a_static_model_with_a_mapping_and_weights() {
    let (families, case) = Families::case("static", "model2vec");
    let dir = tempfile::tempdir().unwrap();
    case.write(dir.path());
    let shape = &case.tensors["model.safetensors"]["embeddings"];
    let (rows, dimension) = (shape[0], shape[1]);
    let table = Tensor::from_vec(
        weight("embeddings", rows * dimension),
        (rows, dimension),
        &Device::Cpu,
    );
    let mapping: Vec<i64> = (0..rows as i64).map(|id| id / 3).collect();
    let weights: Vec<f64> = (0..rows).map(|id| 0.25 + id as f64 / 10.0).collect();
    let save = |path: &Path, tensors: [(&str, Tensor); 3]| {
        let tensors: HashMap<String, Tensor> = tensors
            .map(|(name, tensor)| (name.to_owned(), tensor))
            .into();
        candle_core::safetensors::save(&tensors, path).unwrap();
    };
    let tensor = |values: Vec<f64>| Tensor::from_vec(values, rows, &Device::Cpu).unwrap();
    let path = dir.path().join("model.safetensors");
    let small = table.unwrap();
    let mapped = Tensor::from_vec(mapping.clone(), rows, &Device::Cpu).unwrap();
    save(
        &path,
        [
            ("embeddings", small.clone()),
            ("mapping", mapped.clone()),
            ("weights", tensor(weights.clone())),
        ],
    );
    let options = LocalEmbedderOptions::default;
    let embedder = StaticEmbedder::load(dir.path(), options()).unwrap();
    let found = block_on(embedder.embed(&families.texts, EmbedKind::Document)).unwrap();

    // The same, folded into one row for each token.
    let folded = small.index_select(&mapped, 0).unwrap();
    let column = tensor(weights).to_dtype(DType::F32).unwrap();
    let folded = folded.broadcast_mul(&column.reshape((rows, 1)).unwrap());
    let whole: HashMap<String, Tensor> = [("embeddings".to_owned(), folded.unwrap())].into();
    candle_core::safetensors::save(&whole, &path).unwrap();
    let embedder = StaticEmbedder::load(dir.path(), options()).unwrap();
    let expected = block_on(embedder.embed(&families.texts, EmbedKind::Document)).unwrap();
    check("model2vec with a mapping", worst(&found, &expected));

    // Model2Vec leaves out what the vocabulary has not got.
    let texts = ["raven food".to_owned(), "raven ☃ food".to_owned()];
    let vectors = block_on(embedder.embed(&texts, EmbedKind::Document)).unwrap();
    assert_eq!(vectors[0], vectors[1]);
}

/// Changes to files of a case, each an object whose keys replace those of the file, and what the
/// error must say.
#[test]
fn what_a_family_may_not_say() {
    use corbie_core::ErrorKind::{Malformed, Unsupported};
    let config = "config.json";
    let cases = [
        (
            "embedder",
            "modernbert",
            config,
            json!({"layer_types": ["full_attention"]}),
            Malformed,
            "layer_types",
        ),
        (
            "embedder",
            "modernbert",
            config,
            json!({"layer_types": [1, 2, 3, 4]}),
            Unsupported,
            "layer_types",
        ),
        (
            "embedder",
            "modernbert",
            config,
            json!({"local_attention": null}),
            Malformed,
            "local_attention",
        ),
        (
            "embedder",
            "modernbert",
            config,
            json!({"global_attn_every_n_layers": 0}),
            Malformed,
            "global_attn_every_n_layers",
        ),
        (
            "embedder",
            "modernbert",
            config,
            json!({"global_rope_theta": -1.0}),
            Malformed,
            "global_rope_theta",
        ),
        (
            "embedder",
            "modernbert",
            config,
            json!({"attention_bias": true}),
            Malformed,
            "layers.0.attn.Wqkv.bias",
        ),
        (
            "embedder",
            "qwen3",
            config,
            json!({"num_key_value_heads": 3}),
            Malformed,
            "4 heads of 10 over 3",
        ),
        (
            "embedder",
            "qwen3",
            config,
            json!({"head_dim": 4_000_000_000_u64}),
            Malformed,
            "4000000000",
        ),
        (
            "embedder",
            "qwen3",
            config,
            json!({"head_dim": 9}),
            Malformed,
            "9",
        ),
        (
            "embedder",
            "qwen3",
            config,
            json!({"use_sliding_window": true}),
            Unsupported,
            "use_sliding_window",
        ),
        (
            "embedder",
            "qwen3",
            config,
            json!({"rope_scaling": {"rope_type": "yarn"}}),
            Unsupported,
            "yarn",
        ),
        (
            "embedder",
            "qwen3",
            config,
            json!({"rope_parameters": {"rope_theta": "x"}}),
            Malformed,
            "rope_theta",
        ),
        (
            "embedder",
            "nomic",
            config,
            json!({"prenorm": true}),
            Unsupported,
            "prenorm",
        ),
        (
            "embedder",
            "mpnet",
            config,
            json!({"relative_attention_num_buckets": 16}),
            Unsupported,
            "relative_attention_num_buckets",
        ),
        (
            "embedder",
            "roberta, offset after padding",
            config,
            json!({"pad_token_id": u64::MAX}),
            Malformed,
            "position",
        ),
        (
            "embedder",
            "embeddinggemma",
            config,
            json!({"query_pre_attn_scalar": 0}),
            Malformed,
            "query_pre_attn_scalar",
        ),
        (
            "embedder",
            "embeddinggemma",
            "2_Dense/config.json",
            json!({"in_features": 23}),
            Malformed,
            "23",
        ),
        (
            "embedder",
            "embeddinggemma",
            "2_Dense/config.json",
            json!({"out_features": 0}),
            Malformed,
            "out_features",
        ),
        (
            "embedder",
            "embeddinggemma",
            "3_Dense/config.json",
            json!({"out_features": 21}),
            Malformed,
            "linear.weight",
        ),
        (
            "embedder",
            "embeddinggemma",
            "3_Dense/config.json",
            json!({"activation_function": "os.system"}),
            Unsupported,
            "os.system",
        ),
        (
            "reranker",
            "bert",
            config,
            json!({"id2label": {"0": "a", "1": "b"}}),
            Unsupported,
            "2 labels",
        ),
        (
            "reranker",
            "bert",
            config,
            json!({"architectures": ["BertModel"]}),
            Unsupported,
            "BertModel",
        ),
        (
            "reranker",
            "bert",
            config,
            json!({"sentence_transformers": {"activation_fn": "my.Code"}}),
            Unsupported,
            "my.Code",
        ),
        (
            "reranker",
            "bert",
            "tokenizer_config.json",
            json!({"model_max_length": 4}),
            Malformed,
            "tokens",
        ),
        (
            "reranker",
            "modernbert",
            config,
            json!({"classifier_pooling": "max"}),
            Unsupported,
            "classifier_pooling",
        ),
        (
            "sparse",
            "bert",
            "1_SpladePooling/config.json",
            json!({"pooling_strategy": "min"}),
            Malformed,
            "min",
        ),
        (
            "sparse",
            "bert",
            config,
            json!({"model_type": "nomic_bert"}),
            Unsupported,
            "nomic_bert",
        ),
    ];
    for (kind, name, file, change, expected, part) in cases {
        let (_, mut case) = Families::case(kind, name);
        let content = case.files.get_mut(file).unwrap();
        for (key, value) in change.as_object().unwrap() {
            content[key] = value.clone();
        }
        let dir = tempfile::tempdir().unwrap();
        case.write(dir.path());
        let dir = dir.path();
        let error = match kind {
            "reranker" => LocalReranker::load(dir, LocalRerankerOptions::default()).err(),
            "sparse" => LocalSparseEmbedder::load(dir, LocalSparseEmbedderOptions::default()).err(),
            _ => load_embedder(dir, LocalEmbedderOptions::default()).err(),
        };
        let error = error.unwrap_or_else(|| panic!("{name} with {change} loads"));
        assert_eq!(*error.kind(), expected, "{name}, {change}: {error}");
        assert!(error.to_string().contains(part), "{error} lacks {part}");
    }
}

/// A pair that does not fit is cut at the passage; a question of at most half the room never is.
#[test]
fn a_long_passage_is_cut_and_not_its_question() {
    let (_, case) = Families::case("reranker", "bert");
    let reranker = case.load(|dir| LocalReranker::load(dir, LocalRerankerOptions::default()));
    let score = |question: &str, passage: &str| {
        let passages = [passage.to_owned()];
        block_on(reranker.rerank(question, &passages)).unwrap()[0]
    };
    // 40 tokens, of which 3 are special and 4 are the question's.
    let passage = |words: usize| "raven ".repeat(words);
    let question = "where is food";
    assert_eq!(
        score(question, &passage(33)),
        score(question, &passage(1000))
    );
    assert_ne!(score(question, &passage(31)), score(question, &passage(32)));
    // Half of the room of 37 is 18 tokens.
    let long = "food ".repeat(17);
    let (with, without) = (format!("{long}raven"), long.clone());
    assert_ne!(score(&with, &passage(900)), score(&without, &passage(900)));
}
