//! Searching by meaning, by words, and by both.

use std::collections::HashMap;

use corbie_core::{Chunk, Hit, Query, Scores, SearchRequest, SparseVector, TermWeights};
use pgvector::Vector;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::convert::{bare_point, terms_of};
use super::filter::{Condition, Params};
use super::read::{condition, query, rows};
use super::server::{Extension, Outcome, Session, Work};
use super::tables::Tables;
use crate::rank::{Ranked, fuse, fusion_depth, keep_best, normalized};

/// The most candidates that a search of the graph may look at together.
const MOST_CANDIDATES: usize = 1000;

/// A search.
pub(super) struct Search {
    pub(super) request: SearchRequest,
    /// How many candidates a search of the graph looks at together, at least.
    pub(super) candidates: usize,
}

impl Work for Search {
    type Output = Vec<Hit>;

    async fn run(&self, session: &mut Session, tables: &Tables) -> Outcome<Vec<Hit>> {
        let extension = match tables.dimension {
            Some(_) => session.extension().await?,
            None => None,
        };
        let reading = session.reading().await?;
        let searching = Searching {
            client: reading.client(),
            tables,
            extension,
            candidates: self.candidates,
        };
        let hits = searching.hits(&self.request).await?;
        reading.commit().await?;
        Ok(hits)
    }
}

/// A search within its transaction.
struct Searching<'a> {
    client: &'a Client,
    tables: &'a Tables,
    /// Absent where no dense vectors are kept.
    extension: Option<Extension>,
    candidates: usize,
}

impl Searching<'_> {
    async fn hits(&self, request: &SearchRequest) -> Outcome<Vec<Hit>> {
        let limit = request.limit;
        let filter = request.condition()?;
        let condition = condition(self.client, self.tables, filter.as_ref()).await?;
        let namespace = request.namespace.as_deref();
        let mut scores: HashMap<Uuid, Scores> = HashMap::new();
        let best = match &request.query {
            Query::Dense(dense) => {
                let meaning = self.by_meaning(dense, &condition, limit).await?;
                note(&mut scores, &meaning, |scores| &mut scores.dense);
                meaning
            }
            Query::Sparse(sparse) => {
                let words = self
                    .by_words(sparse, namespace, &condition, limit, &[])
                    .await?;
                let words = keep_best(words, limit);
                note(&mut scores, &words, |scores| &mut scores.sparse);
                words
            }
            Query::Fused {
                dense,
                sparse,
                dense_weight,
            } => {
                let depth = fusion_depth(limit);
                let meaning = self.by_meaning(dense, &condition, depth).await?;
                // What one mode found, the other is asked about too.
                let also: Vec<Uuid> = meaning.iter().map(|(id, _)| *id).collect();
                let words = self
                    .by_words(sparse, namespace, &condition, depth, &also)
                    .await?;
                note(&mut scores, &words, |scores| &mut scores.sparse);
                let words = keep_best(words, depth);
                let mut best = fuse(&[(*dense_weight, &meaning), (1.0, &words)]);
                best.truncate(limit);
                let these = Condition::only(best.iter().map(|(id, _)| *id).collect());
                let meaning = self.rank_by_meaning(dense, &these, limit).await?;
                note(&mut scores, &meaning, |scores| &mut scores.dense);
                best
            }
        };
        self.hits_of(best, &scores).await
    }

    /// The nearest points. Where a search of the graph finds too few that pass the condition, all
    /// points are compared.
    async fn by_meaning(
        &self,
        dense: &[f32],
        condition: &Condition,
        limit: usize,
    ) -> Outcome<Vec<Ranked>> {
        let Some(extension) = &self.extension else {
            return Ok(Vec::new());
        };
        let candidates = self.candidates.max(limit).clamp(1, MOST_CANDIDATES);
        let mut settings = format!("SET LOCAL hnsw.ef_search = {candidates};");
        if extension.iterates {
            settings += "SET LOCAL hnsw.iterative_scan = strict_order;";
        }
        self.client.batch_execute(&settings).await?;
        let found = self.rank_by_meaning(dense, condition, limit).await?;
        if found.len() >= limit || !self.has_graph().await? {
            return Ok(found);
        }
        let without = "SET LOCAL enable_indexscan = off";
        self.client.batch_execute(without).await?;
        let found = self.rank_by_meaning(dense, condition, limit).await?;
        let again = "SET LOCAL enable_indexscan = on";
        self.client.batch_execute(again).await?;
        Ok(found)
    }

    async fn rank_by_meaning(
        &self,
        dense: &[f32],
        condition: &Condition,
        limit: usize,
    ) -> Outcome<Vec<Ranked>> {
        let Some(extension) = &self.extension else {
            return Ok(Vec::new());
        };
        let mut params = condition.params.clone();
        // The vectors have unit length, or are zero: their product is the cosine.
        let dense = Vector::from(normalized(dense.to_vec()));
        let dense = params.bind(dense, extension.vector.clone());
        let limit_param = params.bind(rows(limit), Type::INT8);
        let sql = format!(
            "SELECT id, -(dense <#> {dense}) AS score FROM {} \
             WHERE dense IS NOT NULL AND {} \
             ORDER BY dense <#> {dense}, id LIMIT {limit_param}",
            self.tables.points, condition.sql
        );
        Ok(keep_best(self.ranked(&sql, &params).await?, limit))
    }

    /// Whether there is a graph index: a search of it may miss points.
    async fn has_graph(&self) -> Outcome<bool> {
        let find = "SELECT to_regclass($1) IS NOT NULL";
        let name = [(&self.tables.graph as _, Type::TEXT)];
        let row = self.client.query_typed_one(find, &name).await?;
        Ok(row.try_get(0)?)
    }

    /// BM25 (see [`Query::Sparse`]): the best points, and what those of `also` score that have one
    /// of the words.
    async fn by_words(
        &self,
        sparse: &SparseVector,
        namespace: Option<&str>,
        condition: &Condition,
        limit: usize,
        also: &[Uuid],
    ) -> Outcome<Vec<Ranked>> {
        if sparse.is_empty() {
            return Ok(Vec::new());
        }
        let Tables { points, terms, .. } = self.tables;
        let mut params = condition.params.clone();
        let words: Vec<i64> = terms_of(sparse).collect();
        let words = params.bind(words, Type::INT8_ARRAY);
        let weights = params.bind(sparse.values.clone(), Type::FLOAT4_ARRAY);
        let also = params.bind(also.to_vec(), Type::UUID_ARRAY);
        let limit = params.bind(rows(limit), Type::INT8);
        let (counted, corpus) = match namespace.map(|name| name.contains('\0')) {
            None => (String::new(), String::new()),
            Some(true) => return Ok(Vec::new()),
            Some(false) => {
                let name = namespace.unwrap_or_default().to_owned();
                let name = params.bind(name, Type::TEXT);
                let own = format!("SELECT id FROM {points} WHERE namespace = {name}");
                (
                    format!("AND point IN ({own})"),
                    format!("AND namespace = {name}"),
                )
            }
        };
        let sifted = match condition.sql.as_str() {
            "true" => String::new(),
            sql => format!("WHERE point IN (SELECT id FROM {points} WHERE {sql})"),
        };
        let worth = match sparse.weights {
            TermWeights::Counted => "ln(1 + (size - holders + 0.5) / (holders + 0.5))",
            TermWeights::Learned => "1",
        };
        // What is counted is counted once, whatever the server plans: it knows nothing of how many
        // rows the steps before have.
        let sql = format!(
            "WITH asked AS (
                 SELECT * FROM unnest({words}, {weights}) AS asked(term, weight)
             ), found AS MATERIALIZED (
                 SELECT term, point, weight FROM {terms} WHERE term = ANY({words}) {counted}
             ), corpus AS MATERIALIZED (
                 SELECT count(*)::float8 AS size FROM {points} WHERE worded {corpus}
             ), frequency AS (
                 SELECT term, count(*)::float8 AS holders FROM found GROUP BY term
             ), rarity AS MATERIALIZED (
                 SELECT term, weight::float8 * {worth} AS weight
                 FROM frequency JOIN asked USING (term), corpus
             ), scored AS MATERIALIZED (
                 SELECT point, sum(found.weight * rarity.weight ORDER BY term) AS score
                 FROM found JOIN rarity USING (term) {sifted} GROUP BY point
             )
             (SELECT point AS id, score FROM scored ORDER BY score DESC, point LIMIT {limit})
             UNION
             SELECT point, score FROM scored WHERE point = ANY({also})"
        );
        self.ranked(&sql, &params).await
    }

    async fn ranked(&self, sql: &str, params: &Params) -> Outcome<Vec<Ranked>> {
        let found = query(self.client, sql, params).await?;
        let ranked = found.iter().map(|row| {
            let score: f64 = row.try_get("score")?;
            Ok((row.try_get("id")?, score as f32))
        });
        ranked.collect()
    }

    async fn hits_of(
        &self,
        best: Vec<Ranked>,
        scores: &HashMap<Uuid, Scores>,
    ) -> Outcome<Vec<Hit>> {
        let ids: Vec<Uuid> = best.iter().map(|(id, _)| *id).collect();
        let sql = format!(
            "SELECT id, payload, exact FROM {} WHERE id = ANY($1)",
            self.tables.points
        );
        let params = [(&ids as _, Type::UUID_ARRAY)];
        let mut chunks: HashMap<Uuid, Chunk> = HashMap::new();
        for row in self.client.query_typed(&sql, &params).await? {
            chunks.insert(row.try_get("id")?, bare_point(&row)?.chunk);
        }
        let hit = |(id, score)| {
            Some(Hit {
                chunk: chunks.remove(&id)?,
                score,
                scores: scores.get(&id).copied().unwrap_or_default(),
            })
        };
        Ok(best.into_iter().filter_map(hit).collect())
    }
}

fn note(
    scores: &mut HashMap<Uuid, Scores>,
    ranked: &[Ranked],
    part: impl Fn(&mut Scores) -> &mut Option<f32>,
) {
    for (id, score) in ranked {
        *part(scores.entry(*id).or_default()) = Some(*score);
    }
}
