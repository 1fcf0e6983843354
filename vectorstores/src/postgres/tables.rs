//! The tables of one store: `NAME` with its points, `NAME_terms` with what their words weigh.

use std::sync::atomic::{AtomicBool, Ordering};

use corbie_core::{Error, ErrorKind, Result};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::Failure;
use super::server::{Extension, Outcome, Session, Work};

/// The longest name of a table: the server cuts names after 63 bytes, `_terms` included.
const LONGEST_NAME: usize = 57;

/// The most dimensions that the server's type `vector` has.
const MOST_DIMENSIONS: usize = 16_000;

/// Whoever makes or drops tables holds this lock, so that two do not make the same.
const LOCK: i64 = 0x636f_7262_6965;

pub(super) struct Tables {
    /// As the user knows the store.
    pub(super) name: String,
    /// As SQL names the points.
    pub(super) points: String,
    /// As SQL names the terms.
    pub(super) terms: String,
    /// As SQL names the graph index.
    pub(super) graph: String,
    pub(super) dimension: Option<usize>,
    comment: String,
    /// Whether the tables have been seen, and are as they should be.
    seen: AtomicBool,
}

impl Tables {
    pub(super) fn new(name: &str, comment: &str, dimension: Option<usize>) -> Result<Self> {
        let refuse = |cause: String| {
            let subject = format!("the PostgreSQL table {name:?}");
            Err(Error::new(ErrorKind::BadInput, subject, cause))
        };
        if name.is_empty() || name.contains('\0') || name.len() > LONGEST_NAME {
            return refuse(format!(
                "a name has 1 to {LONGEST_NAME} bytes, and none is zero"
            ));
        }
        if dimension.is_some_and(|n| n == 0 || n > MOST_DIMENSIONS) {
            return refuse(format!(
                "pgvector keeps vectors of 1 to {MOST_DIMENSIONS} dimensions"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            points: quoted(name),
            terms: quoted(&format!("{name}_terms")),
            graph: quoted(&format!("{name}_hnsw")),
            dimension,
            comment: comment.replace('\0', ""),
            seen: AtomicBool::new(false),
        })
    }

    /// Whether the tables are there.
    ///
    /// # Errors
    ///
    /// [`Mismatch`](ErrorKind::Mismatch) when they keep vectors of another length.
    pub(super) async fn are_there(&self, client: &Client) -> Outcome<bool> {
        if self.seen.load(Ordering::Acquire) {
            return Ok(true);
        }
        let look = "SELECT there IS NOT NULL, (SELECT atttypmod FROM pg_attribute \
                        WHERE attrelid = there AND attname = 'dense' AND NOT attisdropped) \
                    FROM to_regclass($1) AS there";
        let row = client
            .query_typed_one(look, &[(&self.points, Type::TEXT)])
            .await?;
        if !row.try_get::<_, bool>(0)? {
            return Ok(false);
        }
        let kept = row.try_get::<_, Option<i32>>(1)?;
        let kept = kept.and_then(|length| usize::try_from(length).ok());
        self.check_dimension(kept)?;
        self.seen.store(true, Ordering::Release);
        Ok(true)
    }

    fn check_dimension(&self, kept: Option<usize>) -> Result<()> {
        if kept == self.dimension {
            return Ok(());
        }
        let call = |dimension: Option<usize>| match dimension {
            Some(dimension) => format!("dense vectors of {dimension} dimensions"),
            None => "no dense vectors".to_owned(),
        };
        Err(Error::new(
            ErrorKind::Mismatch,
            format!("the PostgreSQL table `{}`", self.name),
            format!("it keeps {}, not {}", call(kept), call(self.dimension)),
        )
        .hint("open it with the embedding model it was made with"))
    }

    /// Looks anew at the next use: somebody dropped the tables.
    pub(super) fn forget(&self) {
        self.seen.store(false, Ordering::Release);
    }

    /// Makes the tables, if they are not there, and the extension with them. Gives what the
    /// extension is, where dense vectors are kept.
    pub(super) async fn make(&self, session: &mut Session) -> Outcome<Option<Extension>> {
        let extension = match self.dimension {
            Some(_) => Some(need_extension(session).await?),
            None => None,
        };
        if self.are_there(&session.client).await? {
            return Ok(extension);
        }
        let make = session.writing().await?;
        lock(make.client()).await?;
        if !self.are_there(make.client()).await? {
            make.batch_execute(&self.definition()).await?;
            // The server itself quotes what cannot be a parameter.
            let comment = "SELECT format('COMMENT ON TABLE %s IS %L', $1::text, $2::text)";
            let params = [
                (&self.points as _, Type::TEXT),
                (&self.comment as _, Type::TEXT),
            ];
            let comment: String = make.query_typed_one(comment, &params).await?.try_get(0)?;
            make.batch_execute(&comment).await?;
        }
        make.commit().await?;
        Ok(extension)
    }

    fn definition(&self) -> String {
        let Self { points, terms, .. } = self;
        // Beside the rest of a row, where a search that compares every vector finds them quickly.
        let dense = self.dimension.map(|n| format!(", dense vector({n})"));
        let beside = dense
            .as_ref()
            .map(|_| format!("ALTER TABLE {points} ALTER COLUMN dense SET STORAGE MAIN;"));
        format!(
            "CREATE TABLE {points} (
                 id uuid PRIMARY KEY,
                 namespace text,
                 payload jsonb NOT NULL,
                 exact json,
                 worded boolean NOT NULL
                 {}
             );
             {}
             CREATE INDEX ON {points} (namespace, id) INCLUDE (worded);
             CREATE INDEX ON {points} USING hash ((payload ->> 'document'));
             CREATE INDEX ON {points} USING hash ((payload ->> 'source'));
             CREATE INDEX ON {points} (id) WHERE exact IS NOT NULL;
             CREATE TABLE {terms} (
                 term bigint NOT NULL,
                 point uuid NOT NULL,
                 weight real NOT NULL,
                 PRIMARY KEY (term, point) INCLUDE (weight)
             );
             CREATE INDEX ON {terms} (point);",
            dense.unwrap_or_default(),
            beside.unwrap_or_default(),
        )
    }
}

/// Removes the tables.
pub(super) struct Remove;

impl Work for Remove {
    type Output = ();

    async fn run(&self, session: &mut Session, tables: &Tables) -> Outcome<()> {
        let remove = session.writing().await?;
        lock(remove.client()).await?;
        let Tables { points, terms, .. } = tables;
        let sql = format!("DROP TABLE IF EXISTS {points}, {terms}");
        remove.batch_execute(&sql).await?;
        Ok(remove.commit().await?)
    }
}

/// Waits for the lock of makers, until the end of the transaction.
async fn lock(client: &Client) -> Outcome<()> {
    let lock = "SELECT pg_advisory_xact_lock($1)";
    client.query_typed(lock, &[(&LOCK, Type::INT8)]).await?;
    Ok(())
}

/// The extension, made if it is not there and this user may.
async fn need_extension(session: &mut Session) -> Outcome<Extension> {
    if let Some(extension) = session.extension().await? {
        return Ok(extension);
    }
    let make = session.writing().await?;
    lock(make.client()).await?;
    let made = make.batch_execute("CREATE EXTENSION IF NOT EXISTS vector");
    if let Err(error) = made.await {
        let failure = Failure::from(error);
        let (kind, hint) = if failure.is_not_installed() {
            let hint = "install pgvector on the server (Debian: apt install \
                        postgresql-VERSION-pgvector), then do the same again";
            (ErrorKind::Unsupported, hint)
        } else if failure.is_forbidden() {
            let hint = "an administrator of the database runs CREATE EXTENSION vector once";
            (ErrorKind::Unauthorized, hint)
        } else {
            return Err(failure);
        };
        let subject = "the PostgreSQL extension `vector`";
        let cause = failure.about(subject).cause().to_owned();
        return Err(Error::new(kind, subject, cause).hint(hint).into());
    }
    make.commit().await?;
    match session.extension().await? {
        Some(extension) => Ok(extension),
        None => {
            let subject = "the PostgreSQL extension `vector`";
            let cause = "it was made and is not there";
            Err(Error::new(ErrorKind::Internal, subject, cause).into())
        }
    }
}

/// A name as SQL takes it, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
