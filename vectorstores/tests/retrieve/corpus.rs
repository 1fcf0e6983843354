//! Two English and two Chinese documents, sentence by sentence in a store, and stand-ins.

use std::sync::{Arc, LazyLock, Mutex};

use corbie_core::testing::HashEmbedder;
use corbie_core::{
    BoxFuture, Chunk, Document, EmbedKind, Embedder, EmbedderInfo, Embedding, Heading, Hit,
    Metadata, Page, Point, Result, RetrieveRequest, Retriever, Scores, TokenCounter, VectorStore,
    ids, sentences,
};
use corbie_vectorstores::MemoryStore;
use corbie_vectorstores::bm25::Bm25;
use corbie_vectorstores::retrieve::{Documents, SearchMode, StoreRetriever};
use futures::executor::block_on;

const TEXTS: [(&str, &str, i64, &str); 4] = [
    (
        "ravens.md",
        "en",
        2019,
        "# Ravens\n\nRavens live in pairs. They mate for life.\n\n\
         ## Caching\n\nRavens cache food under moss. They remember each cache for weeks. \
         A raven that is watched makes false caches.\n\n\
         ## Thieves\n\nOther ravens steal from a cache. They watch where food is hidden.\n",
    ),
    (
        "crows.md",
        "en",
        2023,
        "# Crows\n\nCrows use tools of wire. Unlike ravens, crows cache food in trees.\n\n\
         ## Faces\n\nCrows know the faces of people. They scold a face for years.\n",
    ),
    (
        "渡鸦.md",
        "zh",
        2019,
        "# 渡鸦\n\n渡鸦成对生活。它们终生相伴。\n\n\
         ## 藏食\n\n渡鸦把食物藏在苔藓下。它们几周后还记得每个地方。被看见时，渡鸦会假装藏食物！\n\n\
         ## 偷窃\n\n别的渡鸦会偷食物。它们看着食物藏在哪里。\n",
    ),
    (
        "乌鸦.md",
        "zh",
        2023,
        "# 乌鸦\n\n乌鸦用铁丝做工具。与渡鸦不同，乌鸦把食物藏在树上。\n\n\
         ## 认脸\n\n乌鸦认得人的脸。它们多年后还会责骂一张脸。\n",
    ),
];

/// Each of them is answered by several documents, by words as by meaning.
pub const QUESTIONS: [&str; 2] = ["Where do ravens cache food?", "渡鸦把食物藏在哪里？"];

static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| TEXTS.iter().map(document).collect());

fn document((source, language, year, text): &(&str, &str, i64, &str)) -> Document {
    let mut document = Document::new(*source, *text);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let title = line.trim_start_matches('#');
        if title.len() < line.len() {
            document.headings.push(Heading {
                level: (line.len() - title.len()) as u8,
                start,
                end: start + line.trim_end().len(),
                title: title.trim().to_owned(),
            });
        }
        start += line.len();
    }
    // A page ends in the midst of a section.
    let turn = text.find("They remember").or_else(|| text.find("它们几周"));
    let turn = turn.unwrap_or(text.len());
    document.pages = vec![
        Page {
            number: 1,
            start: 0,
            end: turn,
        },
        Page {
            number: 2,
            start: turn,
            end: text.len(),
        },
    ];
    document
        .metadata
        .insert("language".into(), (*language).into());
    document.metadata.insert("year".into(), (*year).into());
    document
}

/// One of the documents, by its source.
pub fn source(source: &str) -> &'static Document {
    DOCUMENTS.iter().find(|it| it.source == source).unwrap()
}

/// All documents.
pub fn documents() -> Arc<dyn Documents> {
    Arc::new(|source: &str| Ok(DOCUMENTS.iter().find(|it| it.source == source).cloned()))
}

/// The piece of a document that holds these words.
pub fn chunk(document: &Document, text: &str) -> Chunk {
    let start = document.text.find(text).unwrap();
    let id = ids::document("birds", &document.source);
    Chunk {
        id: ids::chunk(&id, text, 0),
        document: id,
        source: document.source.clone(),
        text: text.to_owned(),
        start,
        end: start + text.len(),
        page: document.page_at(start),
        heading: document.heading_path_at(start),
        metadata: document.metadata.clone(),
    }
}

/// A chunk of each sentence.
pub fn chunks(document: &Document) -> Vec<Chunk> {
    let lines = document.text.lines().filter(|it| !it.starts_with('#'));
    let sentences = lines.flat_map(|line| {
        let cut = sentences(line, 0..line.len()).into_iter();
        cut.map(move |range| line[range].trim())
    });
    sentences.map(|text| chunk(document, text)).collect()
}

pub fn embedder() -> Arc<dyn Embedder> {
    Arc::new(HashEmbedder::new(512))
}

/// All sentences of all documents.
pub fn store() -> Arc<dyn VectorStore> {
    static STORE: LazyLock<Arc<dyn VectorStore>> = LazyLock::new(filled);
    Arc::clone(&STORE)
}

fn filled() -> Arc<dyn VectorStore> {
    let store = MemoryStore::new(Some(512));
    let chunks: Vec<Chunk> = DOCUMENTS.iter().flat_map(chunks).collect();
    let texts: Vec<String> = chunks.iter().map(|it| it.text.clone()).collect();
    let vectors = block_on(embedder().embed(&texts, EmbedKind::Document)).unwrap();
    let points = chunks
        .into_iter()
        .zip(vectors)
        .map(|(chunk, vector)| Point {
            namespace: None,
            sparse: Some(bm25().document(&chunk.text)),
            dense: Some(vector),
            chunk,
        });
    block_on(store.upsert(points.collect())).unwrap();
    Arc::new(store)
}

pub fn bm25() -> Bm25 {
    Bm25 {
        average_length: 8.0,
        ..Bm25::default()
    }
}

pub fn search(mode: SearchMode) -> StoreRetriever {
    StoreRetriever {
        store: store(),
        embedder: Some(embedder()),
        sparse: Arc::new(bm25()),
        mode,
    }
}

/// The hits for a question.
pub fn find(retriever: &dyn Retriever, question: &str, limit: usize) -> Vec<Hit> {
    let request = RetrieveRequest::new(question).with_limit(limit);
    block_on(retriever.retrieve(request)).unwrap()
}

pub fn texts(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.chunk.text.as_str()).collect()
}

/// Gives the same hits whatever is asked, and remembers what was.
#[derive(Default)]
pub struct Fixed {
    pub hits: Vec<Hit>,
    pub asked: Mutex<Vec<RetrieveRequest>>,
}

impl Fixed {
    /// Chunks with these texts and scores, of one document.
    pub fn new(hits: &[(&str, f32)]) -> Arc<Self> {
        let hit = |(text, score): &(&str, f32)| Hit {
            chunk: chunk(&Document::new("fixed.md", *text), text),
            score: *score,
            scores: Scores::default(),
        };
        Arc::new(Self {
            hits: hits.iter().map(hit).collect(),
            ..Self::default()
        })
    }

    /// These chunks, each scoring less than the one before.
    pub fn of(chunks: impl IntoIterator<Item = Chunk>) -> Arc<Self> {
        let hit = |(at, chunk): (usize, Chunk)| Hit {
            chunk,
            score: 1.0 / (1.0 + at as f32),
            scores: Scores::default(),
        };
        Arc::new(Self {
            hits: chunks.into_iter().enumerate().map(hit).collect(),
            ..Self::default()
        })
    }

    pub fn asked(&self) -> Vec<RetrieveRequest> {
        self.asked.lock().unwrap().clone()
    }
}

impl Retriever for Fixed {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        let hits = self.hits.iter().take(request.limit).cloned().collect();
        self.asked.lock().unwrap().push(request);
        Box::pin(async move { Ok(hits) })
    }
}

/// An embedder that knows no Chinese.
pub struct English(pub HashEmbedder);

impl TokenCounter for English {
    fn count(&self, text: &str) -> usize {
        self.0.tokens().count(text)
    }

    fn limit(&self) -> usize {
        self.0.tokens().limit()
    }

    fn coverage(&self, text: &str) -> f32 {
        let known = text.chars().filter(char::is_ascii).count();
        known as f32 / text.chars().count().max(1) as f32
    }
}

impl Embedder for English {
    fn info(&self) -> &EmbedderInfo {
        self.0.info()
    }

    fn tokens(&self) -> &dyn TokenCounter {
        self
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<Embedding>>> {
        self.0.embed(texts, kind)
    }
}

/// A document of this text and nothing else.
pub fn plain(text: &str) -> Document {
    let mut document = Document::new("plain.md", text);
    document.metadata = Metadata::new();
    document
}
