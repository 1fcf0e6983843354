//! What bytes mean: one format per file, and the table that picks among them.

mod guard;
mod markdown;
mod text;

#[cfg(feature = "html")]
mod html;
#[cfg(feature = "pdf")]
mod pdf;

use corbie_core::{BoxFuture, Document, Error, ErrorKind, MediaType, Metadata, Parser, Result};

use crate::media_type::detect;

pub(crate) use guard::guarded;

/// The parsers of every format this build reads, behind a detector.
///
/// A document's text is in normal form C with `\n` line ends and holds Markdown; its metadata
/// has `media_type`, `title` where one is known, and `encoding` for text formats. Formats whose
/// decoders are large and easily hurt (PDF, HTML) run on a thread of their own, so that their
/// panic is an error; where documents come from strangers use
/// [`IsolatedParser`](crate::IsolatedParser), which also survives an abort.
///
/// ```
/// use corbie_core::Parser;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let parsers = corbie_loaders::Parsers::standard();
/// let document = parsers.parse("guide.md", b"# Guide\n\nRead me.").await?;
/// assert_eq!(document.metadata["title"], "Guide");
/// assert_eq!(document.headings[0].title, "Guide");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Parsers {
    formats: &'static [Format],
}

/// A row of the table: a media type, how much its decoder is trusted, and what reads it.
#[derive(Debug)]
pub(crate) struct Format {
    pub(crate) media_type: MediaType,
    /// Whether its decoder may abort, hang or eat memory on hostile bytes.
    pub(crate) risky: bool,
    parse: fn(&[u8]) -> Result<Extract, Trouble>,
}

const STANDARD: &[Format] = &[
    Format {
        media_type: MediaType::TEXT,
        risky: false,
        parse: text::parse,
    },
    Format {
        media_type: MediaType::MARKDOWN,
        risky: false,
        parse: markdown::parse,
    },
    #[cfg(feature = "html")]
    Format {
        media_type: MediaType::HTML,
        risky: true,
        parse: html::parse,
    },
    #[cfg(feature = "pdf")]
    Format {
        media_type: MediaType::PDF,
        risky: true,
        parse: pdf::parse,
    },
];

/// What a format's parser finds; the table adds the source and the media type.
#[derive(Debug, Default)]
struct Extract {
    text: String,
    pages: Vec<corbie_core::Page>,
    headings: Vec<corbie_core::Heading>,
    metadata: Metadata,
}

/// Why a format's parser gives up; the table adds the source.
#[derive(Debug)]
struct Trouble {
    kind: ErrorKind,
    cause: String,
    hint: Option<&'static str>,
}

#[cfg(any(feature = "html", feature = "pdf"))]
impl Trouble {
    fn new(kind: ErrorKind, cause: impl std::fmt::Display) -> Self {
        Self {
            kind,
            cause: cause.to_string(),
            hint: None,
        }
    }

    #[cfg(feature = "pdf")]
    fn hint(self, hint: &'static str) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }
}

impl Parsers {
    /// Plain text, Markdown, and, with their features, HTML and PDF.
    pub fn standard() -> Self {
        Self { formats: STANDARD }
    }

    /// The media types it reads.
    pub fn media_types(&self) -> impl Iterator<Item = &MediaType> {
        self.formats.iter().map(|format| &format.media_type)
    }

    /// Parses here and now, on this thread; [`Parser::parse`] does it beside the caller.
    ///
    /// # Errors
    ///
    /// As [`Parser::parse`].
    pub fn parse_now(&self, source: &str, bytes: &[u8]) -> Result<Document> {
        self.format_of(source, bytes)?.parse(source, bytes)
    }

    /// The row for these bytes.
    pub(crate) fn format_of(&self, source: &str, bytes: &[u8]) -> Result<&'static Format> {
        let media_type = detect(source, bytes);
        let mut formats = self.formats.iter();
        formats
            .find(|format| format.media_type == media_type)
            .ok_or_else(|| {
                let known: Vec<String> = self.media_types().map(MediaType::to_string).collect();
                let cause = format!("{media_type} is not supported");
                Error::new(ErrorKind::Unsupported, source, cause)
                    .hint(format!("supported are {}", known.join(", ")))
            })
    }
}

impl Format {
    pub(crate) fn parse(&self, source: &str, bytes: &[u8]) -> Result<Document> {
        let extract = (self.parse)(bytes).map_err(|trouble| {
            let error = Error::new(trouble.kind, source, trouble.cause);
            match trouble.hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })?;
        let mut metadata = extract.metadata;
        metadata.insert("media_type".to_owned(), self.media_type.to_string().into());
        Ok(Document {
            source: source.to_owned(),
            text: extract.text,
            pages: extract.pages,
            headings: extract.headings,
            metadata,
        })
    }
}

impl Parser for Parsers {
    fn parse<'a>(&'a self, source: &'a str, bytes: &'a [u8]) -> BoxFuture<'a, Result<Document>> {
        Box::pin(async move {
            let format = self.format_of(source, bytes)?;
            let (name, bytes) = (source.to_owned(), bytes.to_vec());
            let work = move || match format.risky {
                true => guarded(&name, || format.parse(&name, &bytes)),
                false => format.parse(&name, &bytes),
            };
            crate::blocking::blocking(source, work).await
        })
    }
}

#[cfg(test)]
mod tests;
