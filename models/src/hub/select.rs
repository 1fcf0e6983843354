//! Which files of a repository make one model.

use corbie_core::{Error, ErrorKind, Result};

use super::check;

/// The quantizations taken when none is asked for, best compromise first.
const USUAL: [&str; 12] = [
    "Q4_K_M", "Q4_K_S", "Q5_K_M", "Q4_0", "Q4_1", "IQ4_XS", "Q5_K_S", "Q6_K", "Q8_0", "F16",
    "BF16", "F32",
];

/// What a model in safetensors needs beside its weights, as far as the repository has it.
const COMPANIONS: [&str; 12] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "chat_template.jinja",
    "chat_template.json",
    "model.safetensors.index.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
];

/// Weights that are one file.
pub const WEIGHTS: &str = "model.safetensors";

/// The form of a model's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One GGUF file.
    Gguf,
    /// A folder with `config.json`, `tokenizer.json` and `model.safetensors`, or several files of
    /// weights and their index.
    Safetensors,
}

/// The files of one model, weights last: while they are missing the model is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Their form.
    pub format: Format,
    /// Their names.
    pub files: Vec<String>,
}

/// Chooses among `files` of `place` by `selector` (a quantization or a file name).
///
/// # Errors
///
/// [`NotFound`](ErrorKind::NotFound) when nothing fits, with what there is;
/// [`Unsupported`](ErrorKind::Unsupported) for pickled and for split weights.
pub fn select(place: &str, files: &[String], selector: Option<&str>) -> Result<Selection> {
    if let Some(selector) = selector.filter(|selector| check::is_pickled(selector)) {
        return Err(check::pickled(place, selector));
    }
    let models: Vec<&String> = files.iter().filter(|file| is_gguf_model(file)).collect();
    let has = |name: &str| files.iter().any(|file| file == name);
    let weights = weights(files);
    let folder = has("config.json") && has("tokenizer.json") && !weights.is_empty();
    // A sentence encoder may offer itself as GGUF too: its own form comes first.
    let sentence_encoder = folder && has("modules.json");
    match selector {
        Some(selector) if selector != WEIGHTS => {
            let found = models
                .iter()
                .filter(|file| matches_selector(file, selector))
                .min_by_key(|file| (file.len(), file.as_str()));
            match found {
                Some(file) => one(place, file),
                None => Err(nothing(place, &models, selector)),
            }
        }
        None if !models.is_empty() && !sentence_encoder => {
            let usual = USUAL.iter().find_map(|quantization| {
                let fits = |file: &&&String| matches_selector(file, quantization);
                models.iter().filter(fits).min_by_key(|file| file.len())
            });
            match (usual, models.as_slice()) {
                (Some(file), _) | (None, [file]) => one(place, file),
                _ => Err(nothing(place, &models, "a usual quantization")),
            }
        }
        _ if folder => {
            let mut chosen: Vec<String> = files
                .iter()
                .filter(|file| COMPANIONS.contains(&file.as_str()) || is_of_module(file))
                .cloned()
                .collect();
            if weights.first().is_some_and(|file| file == WEIGHTS) {
                chosen.retain(|file| file != "model.safetensors.index.json");
            }
            chosen.extend(weights);
            Ok(Selection {
                format: Format::Safetensors,
                files: chosen,
            })
        }
        _ => Err(unusable(place, files)),
    }
}

/// The files of weights of a folder: one, or all pieces of a whole; none where a piece is missing.
fn weights(files: &[String]) -> Vec<String> {
    if files.iter().any(|file| file == WEIGHTS) {
        return vec![WEIGHTS.to_owned()];
    }
    let piece = |file: &String| {
        let stem = file.strip_suffix(".safetensors")?;
        let at = split_suffix(stem)?;
        let (number, count) = stem[at + 1..].split_once("-of-")?;
        let (number, count): (usize, usize) = (number.parse().ok()?, count.parse().ok()?);
        (&stem[..at] == "model").then(|| (count, number, file.clone()))
    };
    let mut pieces: Vec<_> = files.iter().filter_map(piece).collect();
    pieces.sort();
    pieces.dedup();
    let whole = |index: usize, piece: &(usize, usize, String)| {
        piece.0 == pieces.len() && piece.1 == index + 1
    };
    let is_whole = pieces
        .iter()
        .enumerate()
        .all(|(index, it)| whole(index, it));
    match is_whole
        && files
            .iter()
            .any(|file| file == "model.safetensors.index.json")
    {
        true => pieces.into_iter().map(|(_, _, file)| file).collect(),
        false => Vec::new(),
    }
}

/// A file of one of the modules that stand behind an encoder, `2_Dense/model.safetensors` say.
fn is_of_module(file: &str) -> bool {
    let Some((folder, name)) = file.split_once('/') else {
        return false;
    };
    let known = ["_Dense", "_SpladePooling"].iter().any(|kind| {
        let number = folder.strip_suffix(kind);
        number.is_some_and(|number| number.parse::<u8>().is_ok())
    });
    known && ["config.json", WEIGHTS].contains(&name)
}

/// A GGUF file that is a language model: not a vision projector nor a calibration matrix.
pub fn is_gguf_model(file: &str) -> bool {
    let lower = file.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or(&lower);
    lower.ends_with(".gguf") && !name.starts_with("mmproj") && !name.contains("imatrix")
}

fn one(place: &str, file: &str) -> Result<Selection> {
    if is_split(file) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            place,
            format!("`{file}` is one piece of a split model"),
        )
        .hint(
            "choose a quantization that is one file, or join the pieces with `gguf-split --merge`",
        ));
    }
    Ok(Selection {
        format: Format::Gguf,
        files: vec![file.to_owned()],
    })
}

/// The file itself, its last component, or a quantization at the end of its stem.
fn matches_selector(file: &str, selector: &str) -> bool {
    if selector.to_ascii_lowercase().ends_with(".gguf") {
        return file == selector || file.rsplit('/').next() == Some(selector);
    }
    let upper = file.to_ascii_uppercase();
    let stem = upper.strip_suffix(".GGUF").unwrap_or(&upper);
    let stem = split_suffix(stem).map_or(stem, |at| &stem[..at]);
    stem.strip_suffix(&selector.to_ascii_uppercase())
        .is_some_and(|before| before.is_empty() || before.ends_with(['-', '.', '_', '/']))
}

fn is_split(file: &str) -> bool {
    let stem = file.get(..file.len().saturating_sub(".gguf".len()));
    stem.is_some_and(|stem| split_suffix(stem).is_some())
}

/// Where `-00001-of-00003` starts.
fn split_suffix(stem: &str) -> Option<usize> {
    let at = stem.len().checked_sub("-00001-of-00003".len())?;
    let suffix = stem.get(at..)?.to_ascii_lowercase();
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    let (number, count) = suffix.strip_prefix('-')?.split_once("-of-")?;
    (digits(number) && digits(count)).then_some(at)
}

fn nothing(place: &str, models: &[&String], wanted: &str) -> Error {
    let shown: Vec<&str> = models.iter().map(|file| file.as_str()).take(24).collect();
    let error = Error::new(
        ErrorKind::NotFound,
        place,
        format!("no GGUF file matches {wanted}"),
    );
    match shown.is_empty() {
        true => {
            error.hint("the repository has no GGUF files: look for one whose name ends in -GGUF")
        }
        false => error.hint(format!("it has {}", shown.join(", "))),
    }
}

fn unusable(place: &str, files: &[String]) -> Error {
    if files
        .iter()
        .any(|file| file.ends_with(".safetensors.index.json"))
    {
        return Error::new(
            ErrorKind::Unsupported,
            place,
            "its weights are split over several safetensors files, and some of them, or \
             config.json or tokenizer.json, are missing",
        )
        .hint("look for a GGUF conversion: a repository whose name ends in -GGUF");
    }
    if let Some(file) = files.iter().find(|file| check::is_pickled(file)) {
        return check::pickled(place, file);
    }
    Error::new(
        ErrorKind::NotFound,
        place,
        "it has neither a GGUF file nor config.json, tokenizer.json and model.safetensors",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(
        files: &[&str],
        selector: Option<&str>,
    ) -> std::result::Result<Vec<String>, ErrorKind> {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        select("hf:owner/repo", &files, selector)
            .map(|selection| selection.files)
            .map_err(|error| error.kind().clone())
    }

    const MANY: &[&str] = &[
        "README.md",
        "m-Q4_K_M.gguf",
        "m-Q4_K_S.gguf",
        "m-Q8_0.gguf",
        "mmproj-m-Q8_0.gguf",
        "m.imatrix.gguf",
        "UD/m-UD-Q4_K_XL.gguf",
        "big-F16-00001-of-00003.gguf",
    ];

    const ENCODER: &[&str] = &[
        "config.json",
        "model.safetensors",
        "modules.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "2_Dense/pytorch_model.bin",
        "x_Dense/config.json",
        "pytorch_model.bin",
        "tokenizer.json",
        "onnx/model.onnx",
    ];

    #[test]
    fn a_quantization_a_file_or_the_usual_one_is_chosen() {
        for (files, selector, expected) in [
            (MANY, None, "m-Q4_K_M.gguf"),
            (MANY, Some("q8_0"), "m-Q8_0.gguf"),
            (MANY, Some("Q4_K_S"), "m-Q4_K_S.gguf"),
            (MANY, Some("Q4_K_XL"), "UD/m-UD-Q4_K_XL.gguf"),
            (MANY, Some("m-UD-Q4_K_XL.gguf"), "UD/m-UD-Q4_K_XL.gguf"),
            (&["odd.gguf"], None, "odd.gguf"),
            (&["m.Q4_1.gguf", "m.Q2_K.gguf"], None, "m.Q4_1.gguf"),
        ] {
            assert_eq!(check(files, selector).unwrap(), [expected]);
        }
    }

    #[test]
    fn an_encoder_comes_with_its_companions_and_its_weights_last() {
        assert_eq!(
            check(ENCODER, None).unwrap(),
            [
                "config.json",
                "modules.json",
                "1_Pooling/config.json",
                "2_Dense/config.json",
                "2_Dense/model.safetensors",
                "tokenizer.json",
                "model.safetensors"
            ]
        );
    }

    #[test]
    fn weights_in_pieces_come_whole_or_not_at_all() {
        let pieces = |names: &[&'static str]| {
            let around = [
                "config.json",
                "model.safetensors.index.json",
                "tokenizer.json",
            ];
            [&around, names].concat()
        };
        let whole = pieces(&[
            "chat_template.jinja",
            "generation_config.json",
            "model-00002-of-00002.safetensors",
            "model-00001-of-00002.safetensors",
            "consolidated.safetensors",
        ]);
        assert_eq!(
            check(&whole, None).unwrap(),
            [
                "config.json",
                "model.safetensors.index.json",
                "tokenizer.json",
                "chat_template.jinja",
                "generation_config.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
            ]
        );
        for files in [
            pieces(&["model-00002-of-00002.safetensors"]),
            pieces(&[
                "model-00001-of-00003.safetensors",
                "model-00002-of-00003.safetensors",
            ]),
        ] {
            assert_eq!(check(&files, None).unwrap_err(), ErrorKind::Unsupported);
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason() {
        for (files, selector, expected) in [
            (MANY, Some("Q4_K"), ErrorKind::NotFound),
            (MANY, Some("F16"), ErrorKind::Unsupported),
            (
                MANY,
                Some("big-F16-00001-of-00003.gguf"),
                ErrorKind::Unsupported,
            ),
            (ENCODER, Some("pytorch_model.bin"), ErrorKind::Unsupported),
            (
                &["config.json", "pytorch_model.bin"],
                None,
                ErrorKind::Unsupported,
            ),
            (
                &["model.safetensors.index.json"],
                None,
                ErrorKind::Unsupported,
            ),
            (&["README.md"], None, ErrorKind::NotFound),
            (&["a.gguf", "b.gguf"], None, ErrorKind::NotFound),
        ] {
            assert_eq!(
                check(files, selector).unwrap_err(),
                expected,
                "{selector:?}"
            );
        }
    }
}
