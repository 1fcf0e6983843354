//! What becomes of answers, row by row.

use corbie_core::{ResponseFormat, Role, ToolChoice};
use futures::executor::block_on;

use super::*;

fn bird() -> ResponseFormat {
    ResponseFormat::JsonSchema(json!({
        "type": "object",
        "properties": {
            "bird": {"enum": ["raven", "乌鸦"]},
            "wings": {"type": "integer", "maximum": 9},
        },
        "required": ["bird"],
        "additionalProperties": false,
    }))
}

fn regex() -> ResponseFormat {
    ResponseFormat::Regex("(?x) [0-9]{3} - (raven|乌鸦) # a number and a bird".into())
}

fn choice() -> ResponseFormat {
    ResponseFormat::Choice(
        ["under moss", "在苔藓下", "In a Nest", "in a nest."]
            .map(String::from)
            .into(),
    )
}

fn quote() -> ResponseFormat {
    let texts = ["Ravens cache food under moss.", "渡鸦把食物藏在苔藓下面。"];
    ResponseFormat::Quote(texts.map(String::from).into())
}

#[test]
fn right_answers_lose_what_stands_around_them() {
    let json = r#"{"bird": "乌鸦", "wings": 2}"#;
    for (format, said, released) in [
        (bird(), json, json),
        (bird(), &format!("```json\n{json}\n```"), json),
        (bird(), &format!("Of course!\n{json}\nAnything else?"), json),
        (bird(), &format!("好的,答案是 {json}。"), json),
        (regex(), "123-乌鸦", "123-乌鸦"),
        (regex(), " 123-raven\n", "123-raven"),
        (regex(), "```\n123-raven\n```", "123-raven"),
        (choice(), "under moss", "under moss"),
        (choice(), "“在苔藓下”。", "在苔藓下"),
        (choice(), "**Under Moss.**", "under moss"),
        (choice(), r#"{"answer": "在苔藓下"}"#, "在苔藓下"),
        (choice(), "in a nest.", "in a nest."),
        (quote(), "under moss", "under moss"),
        (quote(), "「食物藏在苔藓下面。」", "食物藏在苔藓下面。"),
    ] {
        let player = Player::new([says(said)]);
        let reply = block_on(player.validated().complete(ask_for(format))).unwrap();
        assert_eq!(reply.message.content, released, "{said}");
        assert_eq!(reply.usage, COST);
    }
}

#[test]
fn wrong_answers_are_asked_for_again_with_what_is_wrong() {
    let json = r#"{"bird": "乌鸦"}"#;
    for (format, said, mended, told) in [
        (
            bird(),
            r#"{"bird": "crow"}"#,
            json,
            r#"at /bird: expected one of ["raven","乌鸦"], found "crow""#,
        ),
        (
            bird(),
            r#"{"bird": "乌鸦", "wings": "两只"}"#,
            json,
            r#"at /wings: expected integer, found "两只""#,
        ),
        (
            bird(),
            r#"{"bird": "raven", "wings": 12}"#,
            json,
            "at /wings: expected at most 9, found 12",
        ),
        (
            bird(),
            r#"{"wings": 2}"#,
            json,
            r#"expected the property "bird", found an object with ["wings"]"#,
        ),
        (
            bird(),
            r#"{"bird": "raven", "legs": 2}"#,
            json,
            r#"found ["legs"]"#,
        ),
        (
            bird(),
            "Under moss.",
            json,
            "expected exactly one JSON value, found text that is no JSON",
        ),
        (
            bird(),
            &format!("{json} or {json}"),
            json,
            "found several JSON values",
        ),
        (bird(), "", json, "found no text"),
        (
            regex(),
            "1234-raven",
            "123-raven",
            "matches from its start to its end, found \"1234-raven\"",
        ),
        (
            regex(),
            "x 123-raven",
            "123-raven",
            "from its start to its end",
        ),
        (
            choice(),
            "in the sky",
            "under moss",
            r#"expected one of "under moss", "在苔藓下""#,
        ),
        (choice(), "IN A NEST", "in a nest.", "expected one of"),
        (
            quote(),
            "Ravens hide food.",
            "Ravens cache food",
            "copied character for character",
        ),
        (quote(), "  ", "苔藓", "found no text"),
    ] {
        let player = Player::new([says(said), says(mended)]);
        let request = ask_for(format);
        let reply = block_on(player.validated().complete(request.clone())).unwrap();
        assert_eq!(reply.message.content, mended, "{said}");
        assert_eq!(reply.usage.prompt_tokens, 20, "both attempts count");
        assert_eq!(reply.usage.completion_tokens, 6);
        let requests = player.requests();
        assert_eq!(requests[0], request);
        let again = &requests[1].messages[request.messages.len()..];
        assert_eq!(
            [again[0].role, again[1].role],
            [Role::Assistant, Role::User]
        );
        assert!(
            again[1].content.contains(told),
            "{said}: {}",
            again[1].content
        );
    }
}

#[cfg(feature = "local")]
#[test]
fn grammars_are_checked() {
    let grammar = ResponseFormat::Grammar("start: \"moss\" | \"苔藓\" \"下\"?".into());
    let player = Player::new([says("苔藓上"), says("```\n苔藓下\n```")]);
    let reply = block_on(player.validated().complete(ask_for(grammar))).unwrap();
    assert_eq!(reply.message.content, "苔藓下");
    let told = &player.requests()[1].messages[3].content;
    assert!(told.contains("leaves it at byte 6"), "{told}");
}

#[test]
fn an_answer_that_stays_wrong_is_an_error_that_keeps_it() {
    let long = "苔".repeat(2000);
    let player = Player::new([says("a"), says("b"), says(&long)]);
    let error = block_on(player.validated().complete(ask_for(bird()))).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Malformed);
    let text = error.to_string();
    for word in ["player", "after 3 attempts", "exactly one JSON value"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(text.chars().count() < 800, "{text}");
    let invalid = InvalidAnswer::of(&error).unwrap();
    assert_eq!(invalid.message.content, long);
    assert_eq!((invalid.attempts, invalid.usage.completion_tokens), (3, 9));
    // Each repair shows the last answer alone.
    let requests = player.requests();
    assert_eq!(requests[2].messages.len(), requests[1].messages.len());
    assert_eq!(requests[2].messages[2].content, "b");

    let player = Player::new([says("a")]);
    let options = ValidatedOptions {
        repairs: 0,
        ..ValidatedOptions::default()
    };
    let model = Validated::new(player.clone(), options);
    let error = block_on(model.complete(ask_for(bird()))).unwrap_err();
    assert!(error.to_string().contains("after one attempt"), "{error}");
}

#[test]
fn an_answer_that_is_cut_off_is_asked_for_once_more() {
    let player = Player::new([cut(r#"{"bird": "ra"#), says(r#"{"bird": "raven"}"#)]);
    let reply = block_on(player.validated().complete(ask_for(bird()))).unwrap();
    assert_eq!(reply.message.content, r#"{"bird": "raven"}"#);
    let told = &player.requests()[1].messages[3].content;
    assert!(
        told.contains("cut off after 3 tokens: be shorter"),
        "{told}"
    );

    let player = Player::new([cut("{"), cut("{"), says("never asked")]);
    let error = block_on(player.validated().complete(ask_for(bird()))).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::LimitExceeded);
    assert!(error.next_step().unwrap().contains("max_tokens"));
    assert_eq!(player.requests().len(), 2);

    // What is right although it was cut off is right.
    let player = Player::new([cut("苔藓")]);
    let reply = block_on(player.validated().complete(ask_for(quote()))).unwrap();
    assert_eq!(reply.finish_reason, FinishReason::Length);

    let withheld = Attempt::Says(Message::assistant("{"), FinishReason::ContentFilter);
    let player = Player::new([withheld]);
    let error = block_on(player.validated().complete(ask_for(bird()))).unwrap_err();
    assert!(error.to_string().contains("withheld"), "{error}");
}

#[test]
fn calls_are_those_of_tools() {
    let right = || call("c9", "find", json!({"place": "拉萨"}));
    let named = || ToolChoice::Named("find".into());
    let find = |arguments| vec![call("c1", "find", arguments)];
    for (choice, parallel, wrong, told) in [
        (
            ToolChoice::Auto,
            true,
            find(json!({"place": 7})),
            "in call 1, at /place: expected string, found 7",
        ),
        (
            ToolChoice::Auto,
            true,
            find(json!({})),
            r#"expected the property "place""#,
        ),
        (
            ToolChoice::Auto,
            true,
            find(json!("拉萨")),
            "expected arguments as an object",
        ),
        (
            ToolChoice::Auto,
            true,
            vec![call("c1", "fly", json!({}))],
            r#"a call to one of `find`, `count`, found a call to "fly""#,
        ),
        (
            ToolChoice::Auto,
            false,
            vec![right(), call("c2", "count", json!({}))],
            "expected one call, found 2 calls",
        ),
        (
            ToolChoice::Required,
            true,
            vec![],
            "expected a call to one of `find`, `count`, found no call",
        ),
        (
            named(),
            true,
            vec![],
            "expected a call to `find`, found no call",
        ),
        (
            named(),
            true,
            vec![call("c1", "count", json!({}))],
            r#"expected a call to `find`, found a call to "count""#,
        ),
    ] {
        let player = Player::new([calls("", wrong), calls("", [right()])]);
        let request = ChatRequest {
            tool_choice: choice,
            parallel_tool_calls: parallel,
            ..ask_with_tools()
        };
        let reply = block_on(player.validated().complete(request)).unwrap();
        assert_eq!(reply.message.tool_calls, [right()], "{told}");
        assert_eq!(reply.finish_reason, FinishReason::ToolCalls);
        let again: Vec<String> = player.requests()[1].messages[2..]
            .iter()
            .map(|it| it.content.clone())
            .collect();
        assert!(again.join("\n").contains(told), "{told}: {again:?}");
    }
    let none = ChatRequest {
        tool_choice: ToolChoice::None,
        ..ask_with_tools()
    };
    let player = Player::new([calls("", [right()]), says("Under moss.")]);
    let reply = block_on(player.validated().complete(none)).unwrap();
    assert_eq!(reply.message.content, "Under moss.");
    assert!(reply.message.tool_calls.is_empty());
}

#[test]
fn calls_that_may_stand_in_a_conversation_are_answered_as_calls() {
    let wrong = [
        call("c1", "find", json!({"place": 7})),
        call("c2", "count", json!({})),
    ];
    let player = Player::new([calls("Let me see.", wrong.clone()), says("Fine.")]);
    block_on(player.validated().complete(ask_with_tools())).unwrap();
    let again = player.requests()[1].messages[2..].to_vec();
    assert_eq!(again[0].tool_calls, wrong);
    assert_eq!(again[1].tool_call_id.as_deref(), Some("c1"));
    assert!(again[1].content.contains("/place"), "{}", again[1].content);
    assert_eq!(again[2].tool_call_id.as_deref(), Some("c2"));
    assert!(!again[2].content.contains("/place"), "{}", again[2].content);
    assert_eq!(again.len(), 3);
}

#[test]
fn a_form_holds_for_answers_without_calls() {
    let request = ChatRequest {
        response_format: bird(),
        ..ask_with_tools()
    };
    let right = call("c1", "find", json!({"place": "拉萨"}));
    for (attempts, content, called) in [
        (
            vec![calls("Let me see.", [right.clone()])],
            "Let me see.",
            1,
        ),
        (
            vec![says("no"), says(r#"{"bird": "raven"}"#)],
            r#"{"bird": "raven"}"#,
            0,
        ),
    ] {
        let player = Player::new(attempts);
        let reply = block_on(player.validated().complete(request.clone())).unwrap();
        assert_eq!(reply.message.content, content);
        assert_eq!(reply.message.tool_calls.len(), called);
    }
}

#[test]
fn forms_are_asked_for_in_the_firmest_way_that_is_taken() {
    let never = |request: &ChatRequest| request.response_format == ResponseFormat::Text;
    let json = |request: &ChatRequest| {
        matches!(
            request.response_format,
            ResponseFormat::Text | ResponseFormat::JsonSchema(_)
        )
    };
    for (format, said, words) in [
        (
            bird(),
            r#"{"bird": "raven"}"#,
            "satisfy this JSON Schema:\n{\"type\":\"object\"",
        ),
        (regex(), "123-raven", "regular expression"),
        (choice(), "under moss", "one of these texts"),
        (quote(), "moss", "copied character for character"),
    ] {
        let player = Player::holding(never, [says(said)]);
        block_on(player.validated().complete(ask_for(format))).unwrap();
        let asked = &player.requests()[0];
        assert_eq!(asked.response_format, ResponseFormat::Text);
        let system = &asked.messages[0].content;
        assert!(
            system.starts_with("You know birds. 你了解鸟类。\n\nAnswer with"),
            "{system}"
        );
        assert!(system.contains(words), "{system}");
    }
    // The texts to quote from are data: they go where data goes, unless they are there.
    let player = Player::holding(never, [says("moss")]);
    let mut request = ask_for(quote());
    request.messages[1].content += " Ravens cache food under moss.";
    block_on(player.validated().complete(request)).unwrap();
    let asked = &player.requests()[0].messages;
    assert!(!asked[0].content.contains("渡鸦"));
    assert!(
        asked[1]
            .content
            .ends_with(r#"as JSON: ["渡鸦把食物藏在苔藓下面。"]"#)
    );

    let player = Player::holding(json, [says(r#"{"answer": "在苔藓下"}"#)]);
    let reply = block_on(player.validated().complete(ask_for(choice()))).unwrap();
    assert_eq!(reply.message.content, "在苔藓下");
    let ResponseFormat::JsonSchema(schema) = &player.requests()[0].response_format else {
        panic!("not as JSON");
    };
    assert_eq!(schema["properties"]["answer"]["enum"][1], json!("在苔藓下"));
}

#[test]
fn what_cannot_be_checked_is_refused_before_anything_is_sent() {
    let schema = |schema| ask_for(ResponseFormat::JsonSchema(schema));
    let with_tool = |parameters| {
        let mut request = ask_with_tools();
        request.tools[1].parameters = parameters;
        request
    };
    let choose = |tool_choice, request| ChatRequest {
        tool_choice,
        ..request
    };
    for (request, kind, word) in [
        (
            schema(json!({"type": "bird"})),
            ErrorKind::BadInput,
            "JSON Schema of the answer",
        ),
        (
            schema(json!({"$ref": "https://evil.test/x.json"})),
            ErrorKind::Unsupported,
            "evil.test",
        ),
        (
            schema(json!({"$ref": "file:///etc/passwd"})),
            ErrorKind::Unsupported,
            "file:",
        ),
        (
            schema(json!({"items": {"$dynamicRef": "#node"}})),
            ErrorKind::Unsupported,
            "$dynamicRef",
        ),
        (
            with_tool(json!({"type": 7})),
            ErrorKind::BadInput,
            "tool `count`",
        ),
        (
            ask_for(ResponseFormat::Regex("(".into())),
            ErrorKind::BadInput,
            "regular expression",
        ),
        (
            ask_for(ResponseFormat::Regex("\\w{9999}{99}".into())),
            ErrorKind::LimitExceeded,
            "regular expression",
        ),
        (
            ask_for(ResponseFormat::Choice(vec![])),
            ErrorKind::BadInput,
            "choice",
        ),
        (
            ask_for(ResponseFormat::Quote(vec![" ".into()])),
            ErrorKind::BadInput,
            "quote",
        ),
        (
            choose(ToolChoice::Required, ask()),
            ErrorKind::BadInput,
            "tool_choice",
        ),
        (
            choose(ToolChoice::Named("fly".into()), ask_with_tools()),
            ErrorKind::BadInput,
            "fly",
        ),
    ] {
        let player = Player::new([]);
        let error = block_on(player.validated().stream(request)).err().unwrap();
        assert_eq!(error.kind(), &kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn failures_that_are_no_answers_pass_and_unreadable_ones_are_mended() {
    let error = || Error::new(ErrorKind::Unavailable, "player", "gone");
    let player = Player::new([says("a"), Attempt::Fails(error())]);
    let failed = block_on(player.validated().complete(ask_for(bird()))).unwrap_err();
    assert_eq!(failed.kind(), &ErrorKind::Unavailable);

    let full = Error::new(
        ErrorKind::ContextTooLong {
            tokens: 9,
            limit: 8,
        },
        "player",
        "it is full",
    );
    let player = Player::new([says("a"), Attempt::Fails(full)]);
    let failed = block_on(player.validated().complete(ask_for(bird()))).unwrap_err();
    assert_eq!(failed.kind(), &ErrorKind::Malformed);
    assert!(failed.to_string().contains("it is full"), "{failed}");

    let unread = Error::new(ErrorKind::Malformed, "player", "no JSON").caused_by(Unreadable {
        text: r#"{"place": "#.into(),
        usage: COST,
    });
    let right = call("c1", "find", json!({"place": "拉萨"}));
    let player = Player::new([Attempt::Fails(unread), calls("", [right.clone()])]);
    let reply = block_on(player.validated().complete(ask_with_tools())).unwrap();
    assert_eq!(reply.message.tool_calls, [right]);
    assert_eq!(reply.usage.prompt_tokens, 20);
    let told = &player.requests()[1].messages[3].content;
    assert!(
        told.contains(r#"found no JSON in "{\"place\": ""#),
        "{told}"
    );
}
