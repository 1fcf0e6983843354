//! Cutting text into words before byte-level merging.
//!
//! Each model family was trained with its own cut, named by `tokenizer.ggml.pre`. One row of
//! [`FAMILIES`] is one cut: stages that each cut the pieces of the stage before, every match and
//! all text between matches a piece of its own. A name that no row has is an error: another
//! family's cut would give wrong ids in silence.

use corbie_core::{Error, ErrorKind, Result};
use regex_automata::meta::Regex;

/// The cut of one family.
struct Family {
    /// The values of `tokenizer.ggml.pre` that mean it.
    names: &'static [&'static str],
    /// Patterns as the models' own files have them. One may end in `|\s+(?!\S)` or
    /// `|\s+(?!\S)|\s+`: white space, of which the last character is left to the next word.
    stages: &'static [&'static str],
    /// Words that are tokens are not merged.
    whole_words_first: bool,
    /// Texts begin with the token for it unless the file says otherwise.
    adds_bos: bool,
}

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_3_5: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT_4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const KIMI_K2: &str = r"\p{Han}+|[^\r\n\p{L}\p{N}]?[[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]&&[^\p{Han}]]*[[\p{Ll}\p{Lm}\p{Lo}\p{M}]&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]&&[^\p{Han}]]+[[\p{Ll}\p{Lm}\p{Lo}\p{M}]&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const SPARK_2_5: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##;
const CJK: &str = "[一-龥\u{3040}-ゟ゠-ヿ]+";
const DEEPSEEK_CJK: &str = "[一-龥\u{800}-一가-\u{d7ff}]+";
/// Letters of the scripts with two cases.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943]+";

/// A row without its two switches.
const fn family(names: &'static [&'static str], stages: &'static [&'static str]) -> Family {
    Family {
        names,
        stages,
        whole_words_first: false,
        adds_bos: false,
    }
}

/// The cuts we know, by llama.cpp's names for them.
const FAMILIES: &[Family] = &[
    family(
        &["default"],
        &[r"[\p{P}$+<=>^~|]+", GPT_2, r"\p{N}+", "[0-9][0-9][0-9]"],
    ),
    family(
        &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "exaone4",
            "trillion",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "granite-docling",
            "roberta-bpe",
            "jina-es",
            "jina-de",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
        ],
        &[GPT_2],
    ),
    Family {
        whole_words_first: true,
        adds_bos: true,
        ..family(
            &[
                "llama3",
                "llama-v3",
                "llama-bpe",
                "falcon3",
                "falcon-h1",
                "pixtral",
                "midm-2.0",
                "lfm2",
                "jina-v5-nano",
            ],
            &[LLAMA_3],
        )
    },
    Family {
        whole_words_first: true,
        ..family(&["glm4", "glm5"], &[LLAMA_3])
    },
    family(&["dbrx", "smaug-bpe", "chatglm-bpe"], &[LLAMA_3]),
    family(
        &[
            "qwen2",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "megrez",
            "grok-2",
            "kormo",
            "f2llmv2",
            "deepseek-r1-qwen",
        ],
        &[QWEN_2],
    ),
    family(&["qwen35"], &[QWEN_3_5]),
    family(
        &[
            "smollm",
            "starcoder",
            "refact",
            "command-r",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        &[r"\p{N}", GPT_2],
    ),
    family(
        &["falcon"],
        &[r"[\p{P}$+<=>^~|`]+", GPT_2, "[0-9][0-9][0-9]"],
    ),
    family(
        &["deepseek-llm"],
        &[
            r"[\r\n]",
            DEEPSEEK_LETTERS,
            r"\s?[!-/:-~！-／：-～‘-‟\u3000-。]+",
            r"\s+$",
            DEEPSEEK_CJK,
            r"\p{N}+",
        ],
    ),
    family(
        &["deepseek-coder"],
        &[
            r"[\r\n]",
            r"\s?\p{L}+",
            r"\s?\p{P}+",
            DEEPSEEK_CJK,
            r"\p{N}",
        ],
    ),
    family(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        &[r"\p{N}{1,3}", CJK, DEEPSEEK_3],
    ),
    family(&["spark2_5"], &[r"\p{N}{1,3}", CJK, SPARK_2_5, r"\p{N}"]),
    Family {
        whole_words_first: true,
        adds_bos: true,
        ..family(&["tekken"], &[TEKKEN])
    },
    family(
        &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        &[GPT_4O],
    ),
    Family {
        whole_words_first: true,
        ..family(&["granite-embed-multi-97m"], &[GPT_4O])
    },
    family(&["kimi-k2"], &[KIMI_K2]),
    family(
        &["poro-chat", "bloom", "gpt3-finnish"],
        &[r" ?[^(\s|.,!?…。，、।۔،)]+"],
    ),
    family(&["viking"], &[r" ?[^(\s|.,!?…。，、।۔،)]+", r"\p{N}"]),
    family(
        &["bailingmoe", "bailingmoe2", "llada-moe"],
        &[
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        ],
    ),
    family(
        &["seed-coder"],
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    ),
    family(
        &["ufakzeka"],
        &[r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    ),
    family(&["laguna"], &[r"[^\n]+|\n+", QWEN_2]),
    family(
        &["exaone-moe"],
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        ],
    ),
    Family {
        whole_words_first: true,
        ..family(
            &["minicpm5"],
            &[
                r"\p{N}{1,3}",
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            ],
        )
    },
    Family {
        whole_words_first: true,
        ..family(
            &["youtu"],
            &[
                r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+",
                r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            ],
        )
    },
    Family {
        adds_bos: true,
        ..family(
            &["chameleon"],
            &[
                "<sentinel:[0-9]+>",
                "IMGIMG[A-I]{1,4}Z",
                "[\t\n]|    |  ",
                r"\p{N}",
                r"[\p{P}!-/:-@\[-`{-~]",
                GPT_2,
            ],
        )
    },
];

/// Cuts text into words.
pub(super) struct PreTokenizer {
    family: &'static Family,
    stages: Vec<Stage>,
}

struct Stage {
    regex: Regex,
    /// Whether the pattern of index 1 is white space that leaves its last character to the next
    /// word.
    yields_last_space: bool,
}

impl PreTokenizer {
    /// The cut with this name.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) for an unknown name.
    pub fn named(name: &str, subject: &str) -> Result<Self> {
        let family = FAMILIES
            .iter()
            .find(|family| family.names.contains(&name))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Unsupported,
                    subject,
                    format!("its pre-tokenizer `{name}` is not known"),
                )
                .hint("another build of the model may name a known one")
            })?;
        let stages = family.stages.iter().map(|stage| Stage::new(stage, name));
        Ok(Self {
            family,
            stages: stages.collect::<Result<_>>()?,
        })
    }

    pub fn whole_words_first(&self) -> bool {
        self.family.whole_words_first
    }

    pub fn adds_bos(&self) -> bool {
        self.family.adds_bos
    }

    /// The words of `text`: together they are `text`.
    pub fn words<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut words = vec![text];
        let mut cut = Vec::new();
        for stage in &self.stages {
            cut.clear();
            for word in &words {
                stage.cut(word, &mut cut);
            }
            std::mem::swap(&mut words, &mut cut);
        }
        words
    }
}

impl Stage {
    fn new(pattern: &str, name: &str) -> Result<Self> {
        // Look-ahead would cost the guarantee of linear time. All that these patterns need it for
        // is the last space of a run, which `cut` gives back.
        let spaced = pattern.strip_suffix(r"|\s+(?!\S)|\s+");
        let regex = match spaced {
            Some(words) => Regex::new_many(&[words, r"\s+"]),
            None => Regex::new(pattern),
        };
        Ok(Self {
            regex: regex.map_err(|error| {
                Error::new(
                    ErrorKind::Internal,
                    format!("pre-tokenizer `{name}`"),
                    error,
                )
            })?,
            yields_last_space: spaced.is_some(),
        })
    }

    fn cut<'a>(&self, text: &'a str, words: &mut Vec<&'a str>) {
        let mut input = regex_automata::Input::new(text);
        let mut end = 0;
        while let Some(found) = self.regex.search(&input) {
            let mut stop = found.end();
            if self.yields_last_space && found.pattern().as_usize() == 1 && stop < text.len() {
                let run = &text[found.start()..stop];
                if let Some((last, _)) = run.char_indices().next_back()
                    && last > 0
                {
                    stop = found.start() + last;
                }
            }
            // No pattern matches nothing, but an endless loop would be worse than a wrong cut.
            if stop == found.start() {
                break;
            }
            if end < found.start() {
                words.push(&text[end..found.start()]);
            }
            words.push(&text[found.start()..stop]);
            end = stop;
            input.set_start(stop);
        }
        if end < text.len() {
            words.push(&text[end..]);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn words<'a>(name: &str, text: &'a str) -> Vec<&'a str> {
        PreTokenizer::named(name, "test").unwrap().words(text)
    }

    #[test]
    fn every_row_compiles_and_loses_nothing() {
        let text = "Hello  world!\r\n\n it's 12345 乌鸦 3.14\t\tÄ́ pfel 🐦‍⬛  \n x ";
        for family in FAMILIES {
            for name in family.names {
                assert_eq!(words(name, text).concat(), text, "{name}");
                assert!(words(name, "").iter().all(|word| word.is_empty()));
            }
        }
    }

    #[test]
    fn no_name_is_in_two_rows() {
        let mut names: Vec<&str> = FAMILIES.iter().flat_map(|f| f.names).copied().collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_it() {
        let error = PreTokenizer::named("klingon", "model file `x`")
            .err()
            .unwrap();
        assert!(error.to_string().contains("klingon"), "{error}");
    }

    #[test]
    fn the_last_space_goes_to_the_next_word() {
        for (name, text, expected) in [
            ("gpt-2", "a   b", &["a", "  ", " b"][..]),
            ("gpt-2", "a \n b  ", &["a", " \n", " b", "  "]),
            ("gpt-2", "\nb", &["\n", "b"]),
            ("gpt-2", "it's 123", &["it", "'s", " 123"]),
            ("llama3", "A'LL 12345", &["A", "'LL", " ", "123", "45"]),
            ("llama3", "a\n\n  b", &["a", "\n\n", " ", " b"]),
            ("qwen2", "12 乌鸦。", &["1", "2", " 乌鸦", "。"]),
            ("smollm", "v10", &["v", "1", "0"]),
            ("gpt-4o", "HelloWorld", &["Hello", "World"]),
            ("kimi-k2", "乌鸦crow", &["乌鸦", "crow"]),
            ("deepseek-v3", "1234乌鸦 x", &["123", "4", "乌鸦", " x"]),
        ] {
            assert_eq!(words(name, text), expected, "{name}: {text:?}");
        }
    }
}
