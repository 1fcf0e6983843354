//! Searching.

use std::collections::HashMap;

use corbie_core::{
    Chunk, Filter, Hit, Point, Query, Result, Scores, SearchRequest, SparseVector, TermWeights,
};
use qdrant_client::qdrant::query::Variant;
use qdrant_client::qdrant::vector_input::Variant as Input;
use qdrant_client::qdrant::{
    AcornSearchParams, DenseVector, Filter as ServerFilter, IdfParams, QuantizationSearchParams,
    QueryBatchPoints, QueryPoints, ScoredPoint, SearchParams, VectorInput,
};
use tonic::Status;
use uuid::Uuid;

use super::QdrantStore;
use super::convert::{payload, server_sparse, uuid};
use super::filter::WireTerms;
use super::read::with_payload;
use super::server::points;
use crate::engine::{DENSE, only, sparse_name};
use crate::rank::{Ranked, check_query, fuse, fusion_depth, keep_best, note};

/// The most points one search mode is asked for.
const MOST: usize = u32::MAX as usize;

/// The points one search mode found, and the chunks of those it was asked for.
#[derive(Default)]
struct Found {
    ranked: Vec<Ranked>,
    chunks: HashMap<Uuid, Chunk>,
}

impl QdrantStore {
    /// The best matches.
    pub(super) async fn find(&self, request: SearchRequest) -> Result<Vec<Hit>> {
        check_query(&request.query, self.options.dimension)?;
        let condition = request.condition()?;
        if request.limit == 0 || !self.found().await? {
            return Ok(Vec::new());
        }
        let limit = request.limit.min(MOST);
        let filter = self.translated(condition.as_ref()).await?;
        let corpus = match &request.namespace {
            Some(name) => self.resolve(&Filter::namespace(name)).await?,
            None => ServerFilter::default(),
        };
        let mut scores: HashMap<Uuid, Scores> = HashMap::new();
        let (best, mut chunks) = match &request.query {
            Query::Dense(query) => {
                let query = self.by_meaning(query, filter, limit);
                let [found] = self.rank([Some(query)], true).await?;
                note(&mut scores, &found.ranked, |scores| &mut scores.dense);
                (found.ranked, found.chunks)
            }
            Query::Sparse(query) => {
                let query = self.by_words(query, corpus, filter, limit);
                let [found] = self.rank([query], true).await?;
                note(&mut scores, &found.ranked, |scores| &mut scores.sparse);
                (found.ranked, found.chunks)
            }
            Query::Fused {
                dense,
                sparse,
                dense_weight,
            } => {
                let depth = fusion_depth(limit).min(MOST);
                let queries = [
                    Some(self.by_meaning(dense, filter.clone(), depth)),
                    self.by_words(sparse, corpus.clone(), filter, depth),
                ];
                let [meaning, words] = self.rank(queries, false).await?;
                let mut best = fuse(&[(*dense_weight, &meaning.ranked), (1.0, &words.ranked)]);
                best.truncate(limit);
                if best.is_empty() {
                    return Ok(Vec::new());
                }
                // What one mode found, the other is asked about too.
                let ids: Vec<Uuid> = best.iter().map(|(id, _)| *id).collect();
                let terms = WireTerms { finds_text: false };
                let only = only(&terms, &ids);
                let queries = [
                    Some(self.by_meaning(dense, Some(only.clone()), best.len())),
                    self.by_words(sparse, corpus, Some(only), best.len()),
                ];
                let [meaning, words] = self.rank(queries, true).await?;
                note(&mut scores, &meaning.ranked, |scores| &mut scores.dense);
                note(&mut scores, &words.ranked, |scores| &mut scores.sparse);
                let mut chunks = meaning.chunks;
                chunks.extend(words.chunks);
                (best, chunks)
            }
        };
        // A point that was deleted since it was found is no hit.
        let hit = |(id, score)| {
            Some(Hit {
                chunk: chunks.remove(&id)?,
                score,
                scores: scores.get(&id).copied().unwrap_or_default(),
            })
        };
        Ok(best.into_iter().filter_map(hit).collect())
    }

    fn by_meaning(&self, query: &[f32], filter: Option<ServerFilter>, limit: usize) -> QueryPoints {
        let data = query.to_vec();
        // What was found by smaller vectors is scored by the whole ones.
        let effort = self.options.search_effort;
        let params = SearchParams {
            hnsw_ef: effort.map(|effort| effort.max(limit) as u64),
            quantization: Some(QuantizationSearchParams {
                rescore: Some(true),
                ..QuantizationSearchParams::default()
            }),
            // A filter that few points pass cuts the graph to pieces otherwise.
            acorn: filter.is_some().then_some(AcornSearchParams {
                enable: Some(true),
                max_selectivity: Some(1.0),
            }),
            ..SearchParams::default()
        };
        self.query(
            Input::Dense(DenseVector { data }),
            DENSE,
            filter,
            params,
            limit,
        )
    }

    /// `None` where there are no words to look for.
    fn by_words(
        &self,
        query: &SparseVector,
        corpus: ServerFilter,
        filter: Option<ServerFilter>,
        limit: usize,
    ) -> Option<QueryPoints> {
        if query.is_empty() {
            return None;
        }
        // The server's own statistics count deleted points until it tidies up; over a corpus,
        // even that of all points, it counts the living.
        let counted = query.weights == TermWeights::Counted;
        let params = SearchParams {
            idf: counted.then_some(IdfParams {
                corpus: Some(corpus),
            }),
            ..SearchParams::default()
        };
        let name = sparse_name(query.weights);
        let query = Input::Sparse(server_sparse(query));
        Some(self.query(query, name, filter, params, limit))
    }

    fn query(
        &self,
        input: Input,
        using: &str,
        filter: Option<ServerFilter>,
        params: SearchParams,
        limit: usize,
    ) -> QueryPoints {
        let nearest = VectorInput {
            variant: Some(input),
        };
        QueryPoints {
            collection_name: self.collection.clone(),
            query: Some(qdrant_client::qdrant::Query {
                variant: Some(Variant::Nearest(nearest)),
            }),
            using: Some(using.to_owned()),
            filter,
            params: Some(params),
            limit: Some(limit as u64),
            ..QueryPoints::default()
        }
    }

    /// What each query finds, by one call; of an absent one nothing.
    async fn rank<const N: usize>(
        &self,
        queries: [Option<QueryPoints>; N],
        with_chunks: bool,
    ) -> Result<[Found; N]> {
        let asked = queries.each_ref().map(Option::is_some);
        let query = |query| QueryPoints {
            with_payload: Some(with_payload(with_chunks)),
            ..query
        };
        let message = QueryBatchPoints {
            collection_name: self.collection.clone(),
            query_points: queries.into_iter().flatten().map(query).collect(),
            ..QueryBatchPoints::default()
        };
        let mut found = [(); N].map(|()| Found::default());
        let count = message.query_points.len();
        if count == 0 {
            return Ok(found);
        }
        let limits: Vec<u64> = message
            .query_points
            .iter()
            .map(QueryPoints::limit)
            .collect();
        let send = |channel, request| async move {
            let answer = points(channel).query_batch(request).await?.into_inner();
            match answer.result.len() == count {
                true => Ok(answer.result),
                false => Err(Status::unavailable("it answered only some of the queries")),
            }
        };
        let answers = self.server.call(&self.subject, message, send).await?;
        let places = found.iter_mut().zip(asked).filter(|(_, asked)| *asked);
        for (((place, _), answer), limit) in places.zip(answers).zip(limits) {
            *place = Found::read(answer.result, limit as usize, with_chunks)?;
        }
        Ok(found)
    }
}

impl Found {
    fn read(points: Vec<ScoredPoint>, limit: usize, with_chunks: bool) -> Result<Self> {
        let mut found = Self::default();
        for point in points {
            let id = uuid(point.id)?;
            found.ranked.push((id, point.score));
            if with_chunks {
                let point = Point::from_payload(payload(point.payload)?)?;
                found.chunks.insert(id, point.chunk);
            }
        }
        found.ranked = keep_best(found.ranked, limit);
        Ok(found)
    }
}
