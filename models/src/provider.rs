//! The OpenAI-compatible services Corbie knows by name.

/// One service: a row of [`PROVIDERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provider {
    /// The prefix in a model's name.
    pub name: &'static str,
    /// Where its API starts, without a final `/`.
    pub base_url: &'static str,
    /// The environment variable that holds its key by custom; `None`: it needs no key.
    pub key_variable: Option<&'static str>,
    /// The environment variable that replaces `base_url` by custom.
    pub url_variable: Option<&'static str>,
    /// In what it differs from OpenAI.
    pub quirks: Quirks,
}

/// In what a service differs from OpenAI's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// Calls the token limit `max_completion_tokens`, as OpenAI does now; others say `max_tokens`.
    pub max_completion_tokens: bool,
    /// Takes `stream_options.include_usage`.
    pub stream_usage: bool,
    /// Takes `response_format` with a JSON Schema; where not, `json_object` is asked for and the
    /// schema is said in words.
    pub json_schema: bool,
    /// Takes `strict` beside a tool's or an answer's schema.
    pub strict: bool,
    /// Takes `structured_outputs` with a `choice` or a `regex`, as vLLM does since 0.11.
    pub structured_outputs: bool,
    /// Takes `top_k`, `min_p` and `repetition_penalty`, which OpenAI does not have.
    pub extra_sampling: bool,
    /// The name it gives to the repetition penalty.
    pub repetition_penalty: &'static str,
    /// Takes `seed`.
    pub seed: bool,
    /// Beginnings of the names of models whose sampling is fixed: they refuse a temperature.
    pub fixed_sampling: &'static [&'static str],
}

const OPENAI: Quirks = Quirks {
    max_completion_tokens: true,
    stream_usage: true,
    json_schema: true,
    strict: true,
    structured_outputs: false,
    extra_sampling: false,
    repetition_penalty: "repetition_penalty",
    seed: true,
    fixed_sampling: &["o1", "o3", "o4", "gpt-5"],
};

const HOSTED: Quirks = Quirks {
    max_completion_tokens: false,
    strict: false,
    fixed_sampling: &[],
    ..OPENAI
};

const LOCAL: Quirks = Quirks {
    extra_sampling: true,
    ..HOSTED
};

/// Every service, by prefix.
pub const PROVIDERS: &[Provider] = &[
    Provider {
        name: "openai",
        base_url: "https://api.openai.com/v1",
        key_variable: Some("OPENAI_API_KEY"),
        url_variable: Some("OPENAI_BASE_URL"),
        quirks: OPENAI,
    },
    Provider {
        name: "openrouter",
        base_url: "https://openrouter.ai/api/v1",
        key_variable: Some("OPENROUTER_API_KEY"),
        url_variable: None,
        quirks: LOCAL,
    },
    Provider {
        name: "deepseek",
        base_url: "https://api.deepseek.com",
        key_variable: Some("DEEPSEEK_API_KEY"),
        url_variable: None,
        quirks: Quirks {
            json_schema: false,
            seed: false,
            ..HOSTED
        },
    },
    Provider {
        name: "groq",
        base_url: "https://api.groq.com/openai/v1",
        key_variable: Some("GROQ_API_KEY"),
        url_variable: None,
        quirks: HOSTED,
    },
    Provider {
        name: "mistral",
        base_url: "https://api.mistral.ai/v1",
        key_variable: Some("MISTRAL_API_KEY"),
        url_variable: None,
        // It refuses fields it does not know, sends usage unasked, and calls the seed otherwise.
        quirks: Quirks {
            stream_usage: false,
            seed: false,
            ..HOSTED
        },
    },
    Provider {
        name: "together",
        base_url: "https://api.together.xyz/v1",
        key_variable: Some("TOGETHER_API_KEY"),
        url_variable: None,
        quirks: LOCAL,
    },
    Provider {
        name: "ollama",
        base_url: "http://127.0.0.1:11434/v1",
        key_variable: None,
        url_variable: None,
        quirks: HOSTED,
    },
    Provider {
        name: "llama.cpp",
        base_url: "http://127.0.0.1:8080/v1",
        key_variable: Some("LLAMA_API_KEY"),
        url_variable: None,
        quirks: Quirks {
            repetition_penalty: "repeat_penalty",
            ..LOCAL
        },
    },
    Provider {
        name: "vllm",
        base_url: "http://127.0.0.1:8000/v1",
        key_variable: Some("VLLM_API_KEY"),
        url_variable: None,
        quirks: Quirks {
            structured_outputs: true,
            ..LOCAL
        },
    },
    Provider {
        name: "lmstudio",
        base_url: "http://127.0.0.1:1234/v1",
        key_variable: None,
        url_variable: None,
        quirks: Quirks {
            repetition_penalty: "repeat_penalty",
            ..LOCAL
        },
    },
];

/// The service with this prefix.
pub fn find(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_unique_and_remote_hosts_are_reached_by_https() {
        for (index, row) in PROVIDERS.iter().enumerate() {
            assert!(
                PROVIDERS[..index]
                    .iter()
                    .all(|other| other.name != row.name)
            );
            assert!(!row.base_url.ends_with('/'));
            assert!(
                row.base_url.starts_with("https://")
                    || row.base_url.starts_with("http://127.0.0.1:")
            );
        }
    }
}
