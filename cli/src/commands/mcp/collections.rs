//! The collections that are served, opened when they are asked and only for so long, so that other
//! programs may write to them in between.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use corbie_agents::mcp::{Resource, Resources};
use corbie_agents::{Answer, Question};
use corbie_core::{BoxFuture, Error, ErrorKind, Hit, Result, RetrieveRequest};
use corbie_vectorstores::index::Index;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::app::App;

/// Documents of one page of the list.
const PAGE: usize = 200;
/// What the addresses of documents begin with: `corbie://COLLECTION/SOURCE`.
const SCHEME: &str = "corbie://";

/// Collections that are served.
pub struct Served {
    app: App,
    /// The names that may be asked; empty: all there are.
    names: Vec<String>,
    open: Mutex<HashMap<String, Weak<Index>>>,
}

/// A library error of a program's.
fn ours(error: anyhow::Error) -> Error {
    error
        .downcast::<Error>()
        .unwrap_or_else(|error| Error::new(ErrorKind::Internal, "collection", format!("{error:#}")))
}

impl Served {
    pub fn new(app: App, names: &[String]) -> anyhow::Result<Self> {
        for name in names {
            app.collections.info(name)?;
        }
        Ok(Self {
            app,
            names: names.to_vec(),
            open: Mutex::default(),
        })
    }

    /// The names of all that are served.
    pub fn names(&self) -> Result<Vec<String>> {
        match self.names.is_empty() {
            true => self.app.collections.names(),
            false => Ok(self.names.clone()),
        }
    }

    /// The collection of this name; without a name the only one.
    async fn index(&self, name: Option<&str>) -> Result<Arc<Index>> {
        let names = self.names()?;
        let chosen = match (name, names.as_slice()) {
            (Some(name), _) => names.iter().find(|known| *known == name),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let Some(chosen) = chosen else {
            let subject = format!("collection `{}`", name.unwrap_or_default());
            return Err(Error::new(ErrorKind::NotFound, subject, "it is not served")
                .hint(format!("served are: {}", names.join(", "))));
        };
        let mut open = self.open.lock().await;
        if let Some(index) = open.get(chosen).and_then(Weak::upgrade) {
            return Ok(index);
        }
        let index = Arc::new(self.app.open(chosen).await.map_err(ours)?);
        open.insert(chosen.clone(), Arc::downgrade(&index));
        Ok(index)
    }

    pub fn list(&self) -> Result<Value> {
        let infos = self.names()?.into_iter().map(|name| {
            let info = self.app.collections.info(&name)?;
            Ok(json!({"name": name, "documents": info.documents, "chunks": info.chunks}))
        });
        Ok(json!(infos.collect::<Result<Vec<Value>>>()?))
    }

    pub async fn search(&self, name: Option<&str>, query: &str, limit: usize) -> Result<Value> {
        let index = self.index(name).await?;
        let mode = self.app.search_mode(None).map_err(ours)?;
        let retriever = self.app.retriever(&index, mode);
        let request = RetrieveRequest::new(query).with_limit(limit);
        let hits = retriever.retrieve(request).await?;
        let rows = hits.iter().map(|hit| row(&index, hit));
        Ok(json!(rows.collect::<Vec<Value>>()))
    }

    pub async fn ask(&self, name: Option<&str>, question: &str) -> Result<Answer> {
        let index = self.index(name).await?;
        let mode = self.app.search_mode(None).map_err(ours)?;
        let model = self.app.chat_model().await.map_err(ours)?;
        let answerer = self.app.answerer(model, &index, mode).map_err(ours)?;
        answerer.answer(Question::from(question)).await
    }
}

fn row(index: &Index, hit: &Hit) -> Value {
    let chunk = &hit.chunk;
    json!({
        "source": chunk.source,
        "uri": uri(index.name(), &chunk.source),
        "page": chunk.page,
        "heading": chunk.heading,
        "score": hit.score,
        "text": chunk.text,
    })
}

/// The address of a document.
fn uri(collection: &str, source: &str) -> String {
    let mut uri = format!("{SCHEME}{collection}/");
    for byte in source.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// The collection and the source of an address.
fn document(uri: &str) -> Option<(&str, String)> {
    let (collection, path) = uri.strip_prefix(SCHEME)?.split_once('/')?;
    let mut source = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        let byte = match (first, more) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                u8::try_from(digit(high)? * 16 + digit(low)?).ok()?
            }
            (b'%', _) => return None,
            (byte, _) => *byte,
        };
        source.push(byte);
    }
    Some((collection, String::from_utf8(source).ok()?))
}

impl Resources for Served {
    /// A cursor is the address of the last document that was listed.
    fn list(
        &self,
        after: Option<String>,
    ) -> BoxFuture<'_, Result<(Vec<Resource>, Option<String>)>> {
        Box::pin(async move {
            let mut names = self.names()?;
            names.sort();
            let (first, mut behind) = match &after {
                None => (None, String::new()),
                Some(cursor) => {
                    let (collection, source) = document(cursor).ok_or_else(|| {
                        Error::new(ErrorKind::BadInput, "cursor", "it is none of ours")
                    })?;
                    (Some(collection), source)
                }
            };
            let mut listed = Vec::new();
            for name in names
                .iter()
                .filter(|name| first.is_none_or(|first| name.as_str() >= first))
            {
                if first.is_some_and(|first| first != name) {
                    behind.clear();
                }
                let index = self.index(Some(name)).await?;
                let sources = index.sources(&behind, PAGE - listed.len())?;
                listed.extend(sources.into_iter().map(|source| Resource {
                    uri: uri(name, &source),
                    name: source,
                    media_type: "text/markdown".into(),
                    bytes: None,
                }));
                if listed.len() == PAGE {
                    let last = listed.last().map(|last| last.uri.clone());
                    return Ok((listed, last));
                }
            }
            Ok((listed, None))
        })
    }

    fn read<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Option<(String, String)>>> {
        Box::pin(async move {
            let Some((collection, source)) = document(uri) else {
                return Ok(None);
            };
            if !self.names()?.iter().any(|name| name == collection) {
                return Ok(None);
            }
            let document = self.index(Some(collection)).await?.document(&source)?;
            Ok(document.map(|document| (document.text, "text/markdown".to_owned())))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_lead_back_to_their_documents() {
        for source in [
            "a.md",
            "b c/手册 1.pdf",
            "100%.txt",
            "x?y#z",
            "http://e.test/a",
        ] {
            let uri = uri("handbook", source);
            assert!(uri.is_ascii() && !uri.contains(' '));
            assert_eq!(document(&uri).unwrap(), ("handbook", source.to_owned()));
        }
        for none in [
            "",
            "corbie://",
            "corbie://x",
            "file:///etc/passwd",
            "corbie://x/%",
            "corbie://x/%f",
            "corbie://x/%ff",
        ] {
            assert_eq!(document(none), None, "{none}");
        }
    }
}
