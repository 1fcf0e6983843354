//! Spans by OpenTelemetry's conventions for generative AI. None holds a text.

use corbie_core::{ChatModel, ChatRequest, Error, FinishReason, Usage};
use tracing::Span;
use tracing::field::{Empty, debug};

/// The span of one answer of a model.
pub(crate) fn chat(model: &dyn ChatModel, request: &ChatRequest) -> Span {
    let model = &model.info().model;
    tracing::info_span!(
        "chat",
        otel.name = format!("chat {model}"),
        gen_ai.operation.name = "chat",
        gen_ai.request.model = model,
        gen_ai.request.max_tokens = request.max_tokens,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        gen_ai.response.finish_reasons = Empty,
        error.type = Empty,
    )
}

/// Notes in the span of an answer how it ended.
pub(crate) fn answered(span: &Span, finish: FinishReason, usage: Usage) {
    span.record("gen_ai.usage.input_tokens", usage.prompt_tokens);
    span.record("gen_ai.usage.output_tokens", usage.completion_tokens);
    span.record("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens);
    span.record("gen_ai.response.finish_reasons", debug(finish));
}

/// Notes in a span what kind of error ended it.
pub(crate) fn failed(span: &Span, error: &Error) {
    span.record("error.type", debug(error.kind()));
}
