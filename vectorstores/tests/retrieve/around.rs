//! Parents and sentence windows.

use std::sync::Arc;

use corbie_core::{Document, Filter, Hit, RetrieveRequest, Retriever, ids};
use corbie_vectorstores::index::{Collections, Index, memory_stores};
use corbie_vectorstores::retrieve::{
    Documents, Extent, Parents, RetrieverExt, SearchMode, SentenceWindow,
};
use futures::executor::block_on;

use super::corpus::{Fixed, chunk, documents, find, plain, search, source, texts};
use super::kit;

/// Every hit is what its document says.
#[track_caller]
fn assert_true(hits: &[Hit], document: &Document) {
    for Hit { chunk, .. } in hits {
        assert_eq!(chunk.text, document.text[chunk.start..chunk.end]);
        assert_eq!(chunk.page, document.page_at(chunk.start));
        assert_eq!(chunk.heading, document.heading_path_at(chunk.start));
        assert_eq!(chunk.document, ids::document("birds", &document.source));
    }
}

fn only(document: &Document) -> Arc<dyn Documents> {
    let document = document.clone();
    Arc::new(move |_: &str| Ok(Some(document.clone())))
}

#[test]
fn children_of_one_section_are_one_result() {
    for (name, children, expected) in [
        (
            "ravens.md",
            [
                "They remember each cache for weeks.",
                "They watch where food is hidden.",
                "Ravens cache food under moss.",
            ],
            ["## Caching\n\nRavens cache", "## Thieves\n\nOther"],
        ),
        (
            "渡鸦.md",
            [
                "它们几周后还记得每个地方。",
                "它们看着食物藏在哪里。",
                "渡鸦把食物藏在苔藓下。",
            ],
            ["## 藏食\n\n渡鸦把食物", "## 偷窃\n\n别的"],
        ),
    ] {
        let document = source(name);
        let found = Fixed::of(children.map(|text| chunk(document, text)));
        let hits = find(&Arc::clone(&found).parents(documents()), "?", 5);
        assert_eq!(hits.len(), 2, "{:?}", texts(&hits));
        for (hit, beginning) in hits.iter().zip(expected) {
            assert!(hit.chunk.text.starts_with(beginning), "{}", hit.chunk.text);
        }
        assert_eq!(hits[0].score, 1.0, "the score of the best child");
        assert_eq!(hits[0].chunk.heading.len(), 2);
        assert_true(&hits, document);
        assert_eq!(
            found.asked()[0].limit,
            20,
            "several children may share a parent"
        );
        let one = find(&found.parents(documents()), "?", 1);
        assert_eq!(texts(&one), [texts(&hits)[0]]);
    }
}

#[test]
fn a_parent_is_as_long_as_it_may_be() {
    let document = source("ravens.md");
    let intro = chunk(document, "They mate for life.");
    let watched = chunk(document, "They remember each cache for weeks.");
    let grown = |child: &corbie_core::Chunk, extent| {
        let found = Fixed::of([child.clone()]);
        let hits = find(
            &Parents::new(found, documents()).with_extent(extent),
            "?",
            5,
        );
        assert_true(&hits, document);
        hits[0].chunk.text.clone()
    };
    let section = |longest| Extent::Section { longest };
    let window = |before, after| Extent::Window { before, after };
    let table = [
        (&intro, section(9999), document.text.trim_end()),
        (
            &intro,
            section(100),
            "# Ravens\n\nRavens live in pairs. They mate for life.",
        ),
        (&intro, section(30), "They mate for life."),
        (&intro, section(0), "They mate for life."),
        (
            &watched,
            section(100),
            "Ravens cache food under moss. They remember each cache for weeks. \
             A raven that is watched makes",
        ),
        (
            &watched,
            window(0, 0),
            "They remember each cache for weeks.",
        ),
        (
            &watched,
            window(12, 12),
            "moss. They remember each cache for weeks. A raven",
        ),
        (&watched, window(9999, 9999), document.text.trim_end()),
    ];
    for (child, extent, expected) in table {
        assert_eq!(grown(child, extent), expected, "{extent:?}");
    }
    let document = source("渡鸦.md");
    let child = chunk(document, "它们几周后还记得每个地方。");
    let found = Fixed::of([child]);
    let narrow = Parents::new(found, documents()).with_extent(window(36, 27));
    let hits = find(&narrow, "?", 5);
    assert_eq!(
        texts(&hits),
        ["渡鸦把食物藏在苔藓下。它们几周后还记得每个地方。被看见时，渡鸦会假"]
    );
    assert_true(&hits, document);
}

#[test]
fn windows_that_overlap_become_one() {
    let document = plain("One. Two. Three. Four. Five. Six. Seven.");
    let children = ["Two.", "Six.", "Four."].map(|text| chunk(&document, text));
    let found = Fixed::of(children);
    let window = SentenceWindow::new(found, only(&document)).with_sentences(1, 1);
    let hits = find(&window, "?", 5);
    assert_eq!(
        texts(&hits),
        ["One. Two. Three. Four. Five. Six. Seven."],
        "the third joins the first two"
    );
    assert_true(&hits, &document);
}

#[test]
fn neighbours_are_whole_sentences_in_both_languages() {
    let english = "# Birds\n\nDr. Heinrich watched\nravens. \"They hide it!\" he said. \
        Nobody believed him.\n\nThen others saw it. It was true.";
    let chinese =
        "# 鸟\n\n他看着渡鸦。“它们藏起来了！”他说。没人相信他。\n\n后来别人也看见了。那是真的。";
    let table = [
        (
            english,
            "Nobody believed him.",
            0,
            0,
            "Nobody believed him.",
        ),
        (english, "believed", 0, 0, "Nobody believed him."),
        (
            english,
            "Nobody believed him.",
            1,
            1,
            "he said. Nobody believed him.\n\nThen others saw it.",
        ),
        (
            english,
            "Then others saw it.",
            2,
            9,
            "he said. Nobody believed him.\n\nThen others saw it. It was true.",
        ),
        (
            english,
            "hide",
            1,
            0,
            "Dr. Heinrich watched\nravens. \"They hide it!\"",
        ),
        (
            english,
            "watched",
            9,
            0,
            "# Birds\n\nDr. Heinrich watched\nravens.",
        ),
        (chinese, "没人相信他。", 0, 0, "没人相信他。"),
        (chinese, "没人", 0, 1, "没人相信他。\n\n后来别人也看见了。"),
        (
            chinese,
            "后来别人也看见了。",
            1,
            1,
            "没人相信他。\n\n后来别人也看见了。那是真的。",
        ),
        (chinese, "看着", 1, 0, "# 鸟\n\n他看着渡鸦。"),
        (chinese, "那是真的。", 0, 5, "那是真的。"),
    ];
    for (text, child, before, after, expected) in table {
        let document = plain(text);
        let found = Fixed::of([chunk(&document, child)]);
        let window = SentenceWindow::new(found, only(&document)).with_sentences(before, after);
        let hits = find(&window, "?", 5);
        assert_eq!(texts(&hits), [expected], "{child} {before} {after}");
        assert_true(&hits, &document);
    }
}

#[test]
fn long_sentences_are_whole_too() {
    for (word, end) in [("raven ", ". "), ("渡鸦", "。")] {
        let sentence = |n: usize| format!("The {}{n}{}", word.repeat(60), end);
        let sentences: Vec<String> = (1..=5).map(sentence).collect();
        let document = plain(&sentences.concat());
        let child = chunk(&document, sentences[2].trim_end());
        for count in 0..=3 {
            let found = Fixed::of([child.clone()]);
            let window = SentenceWindow::new(found, only(&document)).with_sentences(count, count);
            let hits = find(&window, "?", 1);
            let (first, last) = (2_usize.saturating_sub(count), (2 + count).min(4));
            let expected = sentences[first..=last].concat();
            assert_eq!(texts(&hits), [expected.trim_end()], "{word} {count}");
        }
    }
}

#[test]
fn a_text_without_any_border_costs_no_more_than_its_neighbourhood() {
    for filler in ["a", "鸦", " ", "\n"] {
        let document = plain(&format!("{0}raven{0}", filler.repeat(50_000)));
        let found = || Fixed::of([chunk(&document, "raven")]);
        let window = find(&found().sentence_window(only(&document)), "?", 1);
        let parent = find(&found().parents(only(&document)), "?", 1);
        for hits in [window, parent] {
            assert!(hits[0].chunk.text.contains("raven"));
            assert!(hits[0].chunk.text.len() <= 9000, "{filler:?}");
            assert_true(&hits, &document);
        }
    }
}

#[test]
fn what_is_not_kept_as_it_was_stays_alone() {
    let document = plain("Ravens cache food. They remember.");
    let child = chunk(&document, "They remember.");
    let changed = plain("Ravens cached food. They remember it.");
    let gone: Arc<dyn Documents> = Arc::new(|_: &str| Ok(None));
    for documents in [gone, only(&changed)] {
        let found = Fixed::of([child.clone()]);
        let hits = find(&found.parents(documents), "?", 5);
        assert_eq!(hits[0].chunk, child);
    }
    let away: Arc<dyn Documents> = Arc::new(|_: &str| {
        let kind = corbie_core::ErrorKind::Io;
        Err(corbie_core::Error::new(kind, "the ledger", "it is away"))
    });
    let request = RetrieveRequest::new("?");
    let found = Fixed::of([child]).parents(away);
    assert!(
        block_on(found.retrieve(request)).is_err(),
        "that is no answer"
    );
}

#[test]
fn a_hit_does_not_grow_out_of_the_filter() {
    for (name, question, heading) in [
        ("ravens.md", "remember cache", "## Caching"),
        ("渡鸦.md", "几周 记得", "## 藏食"),
    ] {
        let retriever = search(SearchMode::Keyword).parents(documents());
        let found = |filter| {
            let request = RetrieveRequest::new(question).with_limit(1);
            block_on(retriever.retrieve(request.filtered(Some(filter)))).unwrap()
        };
        let of_source = found(Filter::eq("source", name));
        assert!(of_source[0].chunk.text.starts_with(heading));
        let page = Filter::all([Filter::eq("source", name), Filter::eq("page", 2)]);
        let of_page = found(page);
        assert_eq!(of_page[0].chunk.page, Some(2));
        assert!(
            !of_page[0].chunk.text.starts_with(heading),
            "its section begins on page 1"
        );
    }
}

#[test]
fn an_index_gives_the_documents_of_its_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let files = kit::Files::new([
        ("a.md", "Ravens cache food.\nThey remember it."),
        ("鸟.md", "渡鸦会藏食物。\n它们记得地方。"),
    ]);
    let collections = Collections::new(folder.path());
    let parts = kit::parts(kit::CountingEmbedder::new("hash", 64), memory_stores());
    let index = Arc::new(Index::open(&collections, "birds", parts).unwrap());
    block_on(index.sync(&files, "/the/birds", &())).unwrap();
    let retriever = index.retriever(SearchMode::Keyword).parents(index.clone());
    for (question, expected) in [
        ("ravens", "Ravens cache food.\nThey remember it."),
        ("它们记得什么？", "渡鸦会藏食物。\n它们记得地方。"),
    ] {
        assert_eq!(texts(&find(&retriever, question, 1)), [expected]);
    }
}
