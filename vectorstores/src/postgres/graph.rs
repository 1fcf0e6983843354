//! The graph index over the dense vectors (HNSW: Malkov and Yashunin, 2018), built beside
//! everything else.

use tokio_postgres::types::Type;

use super::read::rows;
use super::server::{Outcome, Session, Work};
use super::tables::Tables;

/// The most dimensions that pgvector indexes.
const MOST_DIMENSIONS: usize = 2000;

/// Builds the index, unless it is there, somebody builds it, or there are fewer than `least`
/// points.
pub(super) struct Build {
    pub(super) least: usize,
    /// See [`PostgresOptions`](super::PostgresOptions).
    pub(super) hnsw_m: usize,
    pub(super) hnsw_ef_construction: usize,
}

impl Work for Build {
    type Output = ();

    async fn run(&self, session: &mut Session, tables: &Tables) -> Outcome<()> {
        let indexable = tables.dimension.is_some_and(|n| n <= MOST_DIMENSIONS);
        if !indexable || !tables.are_there(&session.client).await? {
            return Ok(());
        }
        session.extension().await?;
        let client = &session.client;
        let least = rows(self.least);
        let enough = format!(
            "SELECT count(*) >= $1 FROM (SELECT FROM {} LIMIT $1) AS few",
            tables.points
        );
        let enough = client
            .query_typed_one(&enough, &[(&least, Type::INT8)])
            .await?;
        if !enough.try_get::<_, bool>(0)? {
            return Ok(());
        }
        // Held until the connection ends. Waiting for it here would let the builder wait for us.
        let name = [(&tables.graph as _, Type::TEXT)];
        let lock = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
        let lock = client.query_typed_one(lock, &name).await?;
        if !lock.try_get::<_, bool>(0)? {
            return Ok(());
        }
        let there = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)";
        let there = client.query_typed_opt(there, &name).await?;
        match there.map(|row| row.try_get::<_, bool>(0)).transpose()? {
            Some(true) => return Ok(()),
            // A build that did not end leaves one that nobody reads and every writer pays for.
            Some(false) => {
                let remove = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", tables.graph);
                client.batch_execute(&remove).await?;
            }
            None => {}
        }
        let make = format!(
            "CREATE INDEX CONCURRENTLY {} ON {} USING hnsw (dense vector_ip_ops) \
         WITH (m = {}, ef_construction = {})",
            tables.graph, tables.points, self.hnsw_m, self.hnsw_ef_construction
        );
        client.batch_execute(&make).await?;
        for table in [&tables.points, &tables.terms] {
            client.batch_execute(&format!("ANALYZE {table}")).await?;
        }
        Ok(())
    }
}
