//! The rows.

use super::Dialect;
use super::block::Block;
use super::events::Ids;
use super::grammar::{Arguments, Written};
use super::syntax::{Marks, Syntax, Thinking};

const THINK: Thinking = Thinking {
    open: "<think>",
    close: "</think>",
};

/// What most rows have.
const ROW: Dialect = Dialect {
    name: "",
    models: "",
    example: "",
    thinking: &[THINK],
    marks: &[],
    stops: &[],
    parallel: true,
    features: &[],
    tokens: &[],
    ids: Ids::Counted,
    syntax: Syntax::Marks(Marks::NONE),
    written: Written::JSON,
};

/// A call as a JSON object between tags.
const TAGGED: Block = Block::Json {
    lead: "",
    close: "</tool_call>",
    open_list: false,
};

const TAGGED_SYNTAX: Syntax = Syntax::Marks(Marks {
    opens: &[("<tool_call>", TAGGED)],
    ..Marks::NONE
});

const TAGGED_WRITTEN: Written = Written {
    trigger: "<tool_call>",
    before: "\n{\"name\": \"",
    after: "}\n</tool_call>",
    separator: "\n<tool_call>",
    ..Written::JSON
};

const TAG_MARKS: &[&str] = &["<tool_call>", "</tool_call>", "<think>", "</think>"];

const MISTRAL_SYNTAX: Syntax = Syntax::Marks(Marks {
    opens: &[("[TOOL_CALLS]", Block::Mistral)],
    ..Marks::NONE
});

const MISTRAL_THINKING: &[Thinking] = &[
    Thinking {
        open: "[THINK]",
        close: "[/THINK]",
    },
    THINK,
];

const MISTRAL_MARKS: &[&str] = &["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"];

const DEEPSEEK_SYNTAX: Syntax = Syntax::Marks(Marks {
    opens: &[
        ("<｜tool▁calls▁begin｜>", Block::DeepSeek { within: false }),
        ("<｜tool▁call▁begin｜>", Block::DeepSeek { within: true }),
    ],
    ..Marks::NONE
});

const DEEPSEEK_MARKS: &[&str] = &[
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁sep｜>",
    "<think>",
    "</think>",
];

const DEEPSEEK_WRITTEN: Written = Written {
    trigger: "<｜tool▁calls▁begin｜>",
    before: "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
    between: "\n```json\n",
    after: "\n```<｜tool▁call▁end｜>",
    separator: "\n",
    end: "<｜tool▁calls▁end｜>",
    ..Written::JSON
};

/// All rows. The first whose features a template has is its row: the particular stand before the
/// general, and `plain` is the last.
pub static DIALECTS: &[Dialect] = &[
    Dialect {
        name: "gpt-oss",
        models: "GPT-OSS (harmony)",
        example: "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\": 1}<|call|>",
        thinking: &[Thinking {
            open: "<|channel|>analysis<|message|>",
            close: "<|end|>",
        }],
        marks: &[
            "<|start|>",
            "<|channel|>",
            "<|message|>",
            "<|constrain|>",
            "<|end|>",
            "<|return|>",
            "<|call|>",
        ],
        stops: &["<|call|>", "<|return|>"],
        parallel: false,
        features: &[
            &["<|channel|>", "<|constrain|>"],
            &["<|channel|>analysis<|message|>"],
        ],
        tokens: &["<|channel|>", "<|constrain|>", "<|message|>"],
        syntax: Syntax::Harmony,
        written: Written {
            trigger: "<|channel|>commentary to=functions.",
            before: "",
            between: " <|constrain|>json<|message|>",
            after: "",
            prelude: Some((
                "<|channel|>analysis<|message|>",
                "<|end|><|start|>assistant",
            )),
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "functiongemma",
        models: "FunctionGemma",
        example: "<start_function_call>call:f{a:<escape>x<escape>}<end_function_call>",
        marks: &[
            "<start_function_call>",
            "<end_function_call>",
            "<start_function_response>",
            "<escape>",
        ],
        stops: &["<start_function_response>"],
        features: &[&["<start_function_call>"]],
        tokens: &["<start_function_call>", "<escape>"],
        syntax: Syntax::Marks(Marks {
            opens: &[(
                "<start_function_call>",
                Block::Marked {
                    quote: "<escape>",
                    quotes: &["<escape>"],
                    close: "<end_function_call>",
                },
            )],
            ..Marks::NONE
        }),
        written: Written {
            trigger: "<start_function_call>",
            before: "call:",
            between: "",
            after: "<end_function_call>",
            separator: "<start_function_call>",
            arguments: Arguments::Marked("<escape>"),
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "gemma4",
        models: "Gemma 4",
        example: "<|tool_call>call:f{a:<|\"|>x<|\"|>}<tool_call|>",
        thinking: &[Thinking {
            open: "<|channel>thought\n",
            close: "<channel|>",
        }],
        marks: &[
            "<|tool_call>",
            "<tool_call|>",
            "<|\"|>",
            "<|channel>",
            "<channel|>",
            "<|tool_response>",
        ],
        stops: &["<|tool_response>"],
        features: &[&["<|tool_call>", "<tool_call|>"]],
        tokens: &["<|tool_call>", "<tool_call|>"],
        syntax: Syntax::Marks(Marks {
            opens: &[(
                "<|tool_call>",
                Block::Marked {
                    quote: "<|\"|>",
                    quotes: &["<|\"|>"],
                    close: "<tool_call|>",
                },
            )],
            thinks_again: true,
            ..Marks::NONE
        }),
        written: Written {
            trigger: "<|tool_call>",
            before: "call:",
            between: "",
            after: "<tool_call|>",
            separator: "<|tool_call>",
            arguments: Arguments::Marked("<|\"|>"),
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "lfm2",
        models: "LFM2, LFM2.5",
        example: "<|tool_call_start|>[f(a=\"x\")]<|tool_call_end|>",
        marks: &[
            "<|tool_call_start|>",
            "<|tool_call_end|>",
            "<think>",
            "</think>",
        ],
        features: &[
            &["<|tool_list_start|>"],
            &["<|tool_call_start|>"],
            &["List of tools: ["],
        ],
        tokens: &["<|tool_call_start|>", "<|tool_call_end|>"],
        syntax: Syntax::Marks(Marks {
            opens: &[(
                "<|tool_call_start|>",
                Block::Python {
                    close: "<|tool_call_end|>",
                },
            )],
            ..Marks::NONE
        }),
        written: Written {
            trigger: "<|tool_call_start|>",
            lead: "[",
            before: "",
            between: "(",
            after: ")",
            separator: ", ",
            end: "]<|tool_call_end|>",
            arguments: Arguments::Python,
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "mistral",
        models: "Mistral Small 3.2, Devstral, Ministral 3, Magistral",
        example: "[TOOL_CALLS]f[ARGS]{\"a\": 1}",
        thinking: MISTRAL_THINKING,
        marks: MISTRAL_MARKS,
        features: &[&["[TOOL_CALLS]", "[ARGS]"]],
        tokens: &["[TOOL_CALLS]", "[ARGS]"],
        ids: Ids::Nine,
        syntax: MISTRAL_SYNTAX,
        written: Written {
            trigger: "[TOOL_CALLS]",
            before: "",
            id: "[CALL_ID]",
            between: "[ARGS]",
            after: "",
            separator: "[TOOL_CALLS]",
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "mistral-list",
        models: "Mistral 7B v0.3, Nemo, Small 2 and 3.1",
        example: "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}}]",
        thinking: MISTRAL_THINKING,
        marks: MISTRAL_MARKS,
        features: &[&["[TOOL_CALLS]"]],
        tokens: &["[TOOL_CALLS]"],
        ids: Ids::Nine,
        syntax: MISTRAL_SYNTAX,
        written: Written {
            trigger: "[TOOL_CALLS]",
            lead: "[",
            separator: ", ",
            end: "]",
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "deepseek-v3.1",
        models: "DeepSeek V3.1",
        example: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        marks: DEEPSEEK_MARKS,
        features: &[&["<｜tool▁call▁begin｜>'+ tool['function']['name'] + '<｜tool▁sep｜>'"]],
        syntax: DEEPSEEK_SYNTAX,
        written: Written {
            before: "<｜tool▁call▁begin｜>",
            between: "<｜tool▁sep｜>",
            after: "<｜tool▁call▁end｜>",
            separator: "",
            ..DEEPSEEK_WRITTEN
        },
        ..ROW
    },
    Dialect {
        name: "deepseek",
        models: "DeepSeek V3, R1 and its distillations",
        example: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        marks: DEEPSEEK_MARKS,
        features: &[&["<｜tool▁calls▁begin｜>"]],
        tokens: &["<｜tool▁calls▁begin｜>"],
        syntax: DEEPSEEK_SYNTAX,
        written: DEEPSEEK_WRITTEN,
        ..ROW
    },
    Dialect {
        name: "command-r7b",
        models: "Command R7B, Command A",
        example: "<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"f\", \"parameters\": {\"a\": 1}}]<|END_ACTION|>",
        thinking: &[Thinking {
            open: "<|START_THINKING|>",
            close: "<|END_THINKING|>",
        }],
        marks: &[
            "<|START_THINKING|>",
            "<|END_THINKING|>",
            "<|START_ACTION|>",
            "<|END_ACTION|>",
            "<|START_RESPONSE|>",
            "<|END_RESPONSE|>",
            "<|START_TEXT|>",
            "<|END_TEXT|>",
        ],
        features: &[&["<|START_ACTION|>"]],
        tokens: &["<|START_ACTION|>"],
        syntax: Syntax::Marks(Marks {
            opens: &[(
                "<|START_ACTION|>",
                Block::Json {
                    lead: "",
                    close: "<|END_ACTION|>",
                    open_list: false,
                },
            )],
            thinks_again: true,
            silent: &[
                "<|START_RESPONSE|>",
                "<|END_RESPONSE|>",
                "<|START_TEXT|>",
                "<|END_TEXT|>",
            ],
            ..Marks::NONE
        }),
        written: Written {
            trigger: "<|START_ACTION|>",
            lead: "[\n    ",
            before: "{\"tool_call_id\": \"\u{1}\", \"tool_name\": \"",
            between: "\", \"parameters\": ",
            separator: ",\n    ",
            end: "\n]<|END_ACTION|>",
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "command-r",
        models: "Command R, Command R+",
        example: "Action: ```json\n[{\"tool_name\": \"f\", \"parameters\": {\"a\": 1}}]```",
        features: &[&["Action:", "tool_name"]],
        syntax: Syntax::Marks(Marks {
            opens: &[(
                "Action:",
                Block::Json {
                    lead: "```json",
                    close: "```",
                    open_list: false,
                },
            )],
            ..Marks::NONE
        }),
        written: Written {
            trigger: "Action:",
            lead: " ```json\n[\n    ",
            before: "{\n        \"tool_name\": \"",
            between: "\",\n        \"parameters\": ",
            after: "\n    }",
            separator: ",\n    ",
            end: "\n]```",
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "functionary-v3.2",
        models: "Functionary 3.2",
        example: ">>>f\n{\"a\": 1}",
        features: &[&[">>>all"]],
        syntax: Syntax::Recipients,
        written: Written {
            trigger: "",
            before: "",
            between: "\n",
            after: "",
            separator: ">>>",
            otherwise: Some("all\n"),
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "functionary-v3.1",
        models: "Functionary 3.1",
        example: "<function=f>{\"a\": 1}</function>",
        features: &[&["<function=' + tool_call['function']['name'] + '>'"]],
        marks: &["<|python_tag|>"],
        syntax: Syntax::Marks(Marks {
            opens: &[
                ("<function=", Block::Function),
                ("<|python_tag|>", Block::Environment),
            ],
            ..Marks::NONE
        }),
        written: Written {
            trigger: "<function=",
            before: "",
            between: ">",
            after: "</function>",
            separator: "<function=",
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "qwen3-coder",
        models: "Qwen3-Coder, Qwen3.5, Nemotron 3, Step 3.5",
        example: "<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n</function>\n</tool_call>",
        marks: TAG_MARKS,
        features: &[&["<tool_call>", "<function=", "<parameter="]],
        syntax: Syntax::Marks(Marks {
            opens: &[
                (
                    "<tool_call>",
                    Block::Parameters {
                        open: "<function=",
                        close: "</tool_call>",
                    },
                ),
                (
                    "<function=",
                    Block::Parameters {
                        open: "",
                        close: "</tool_call>",
                    },
                ),
            ],
            ..Marks::NONE
        }),
        written: Written {
            trigger: "<tool_call>",
            before: "\n<function=",
            between: ">\n",
            after: "</function>\n</tool_call>",
            separator: "\n<tool_call>",
            arguments: Arguments::Parameters,
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "phi4-mini",
        models: "Phi-4-mini",
        example: "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]<|/tool_call|>",
        marks: &["<|tool_call|>", "<|/tool_call|>", "<think>", "</think>"],
        features: &[&["<|tool|>", "<|/tool|>"]],
        tokens: &["<|tool_call|>", "<|/tool_call|>"],
        syntax: Syntax::Marks(Marks {
            opens: &[
                (
                    "<|tool_call|>",
                    Block::Json {
                        lead: "",
                        close: "<|/tool_call|>",
                        open_list: true,
                    },
                ),
                (
                    "functools",
                    Block::Json {
                        lead: "",
                        close: "",
                        open_list: true,
                    },
                ),
            ],
            ..Marks::NONE
        }),
        written: Written {
            trigger: "<|tool_call|>",
            lead: "[",
            separator: ", ",
            end: "]<|/tool_call|>",
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "granite4",
        models: "Granite 4",
        example: "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>",
        marks: TAG_MARKS,
        features: &[&["<|start_of_role|>", "<tool_call>"]],
        syntax: TAGGED_SYNTAX,
        written: TAGGED_WRITTEN,
        ..ROW
    },
    Dialect {
        name: "granite",
        models: "Granite 3",
        example: "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]",
        marks: &["<|tool_call|>"],
        features: &[&["<|start_of_role|>"]],
        tokens: &["<|start_of_role|>", "<|tool_call|>"],
        syntax: Syntax::Marks(Marks {
            opens: &[
                (
                    "<|tool_call|>",
                    Block::Json {
                        lead: "",
                        close: "",
                        open_list: true,
                    },
                ),
                (
                    "<tool_call>",
                    Block::Json {
                        lead: "",
                        close: "</tool_call>",
                        open_list: true,
                    },
                ),
            ],
            ..Marks::NONE
        }),
        written: Written {
            trigger: "<|tool_call|>",
            lead: "[",
            separator: ", ",
            end: "]",
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "smollm3",
        models: "SmolLM3",
        example: "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>",
        marks: TAG_MARKS,
        features: &[&["named SmolLM", "reasoning_mode"]],
        syntax: TAGGED_SYNTAX,
        written: TAGGED_WRITTEN,
        ..ROW
    },
    Dialect {
        name: "hermes",
        models: "Hermes 2 Pro and 3, Qwen 2.5, QwQ, Qwen3, and others",
        example: "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>",
        marks: TAG_MARKS,
        features: &[
            &["<tool_call>", "<function-name>"],
            &["<tool_call>\\n{\"name\": \""],
        ],
        tokens: &["<tool_call>", "</tool_call>"],
        syntax: TAGGED_SYNTAX,
        written: TAGGED_WRITTEN,
        ..ROW
    },
    Dialect {
        name: "llama3",
        models: "Llama 3.1, 3.2, 3.3",
        example: "{\"name\": \"f\", \"parameters\": {\"a\": 1}}",
        marks: &["<|python_tag|>"],
        parallel: false,
        features: &[
            &["<|start_header_id|>", "\"parameters\": "],
            &["<|start_header_id|>", "ipython"],
        ],
        tokens: &["<|python_tag|>"],
        syntax: Syntax::Marks(Marks {
            bare: true,
            opens: &[("<|python_tag|>", Block::Environment)],
            ..Marks::NONE
        }),
        written: Written {
            trigger: "{\"name\": \"",
            only_at_start: true,
            before: "",
            between: "\", \"parameters\": ",
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "gemma",
        models: "Gemma 1, 2, 3",
        example: "{\"name\": \"f\", \"parameters\": {\"a\": 1}}",
        parallel: false,
        features: &[&["<start_of_turn>"]],
        tokens: &["<start_of_turn>", "<end_of_turn>"],
        syntax: Syntax::Marks(Marks {
            bare: true,
            at_start: &[(
                "```json",
                Block::Json {
                    lead: "",
                    close: "```",
                    open_list: false,
                },
            )],
            opens: &[("```tool_code", Block::ToolCode)],
            ..Marks::NONE
        }),
        written: Written {
            trigger: "{\"name\": \"",
            only_at_start: true,
            before: "",
            between: "\", \"parameters\": ",
            ..Written::JSON
        },
        ..ROW
    },
    Dialect {
        name: "plain",
        models: "models whose template knows no tools, base models among them",
        example: "{\"name\": \"f\", \"arguments\": {\"a\": 1}}",
        parallel: false,
        syntax: Syntax::Marks(Marks {
            bare: true,
            ..Marks::NONE
        }),
        written: Written {
            trigger: "{\"name\": \"",
            only_at_start: true,
            before: "",
            ..Written::JSON
        },
        ..ROW
    },
];
