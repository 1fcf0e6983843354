//! The engine behind blocking calls.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use corbie_core::{
    Chunk, Error, ErrorKind, Filter, Hit, Point, Query, Result, Scores, ScrollPage, SearchRequest,
    Selection, SparseVector, TermWeights,
};
use qdrant_edge::{
    AcornSearchParams, CountRequest, CreateIndex, EdgeConfig, EdgeShard, FieldIndexOperations,
    Filter as EngineFilter, IdfCorpusParams, IdfParams, JsonPath, NamedQuery, OperationResult,
    PayloadFieldSchema, PointId, PointInsertOperations, PointOperations, QuantizationSearchParams,
    QueryBatchRequest, QueryEnum, QueryRequest, RetrieveRequest, ScoredPoint, ScoringQuery,
    ScrollRequest, SearchParams, UpdateOperation, VectorInternal, WithPayloadInterface, WithVector,
};
use serde_json::to_value;
use uuid::Uuid;

use super::config::{config, field_index, learned_weights};
use super::convert::{engine_sparse, from_payload, to_engine, uuid, vectors};
use super::filter::EngineTerms;
use super::{EdgeOptions, failure};
use crate::engine::{
    DENSE, IndexedField, LEARNED, NAMESPACE, check_dimension, indexed, only, sparse_name, translate,
};
use crate::rank::{Ranked, check_query, fuse, fusion_depth, keep_best, note};

/// How many points are looked at together when all are.
const PAGE: usize = 4096;

/// How many neighbours a point has in the graph.
const NEIGHBOURS: usize = 32;

/// How many candidates smaller vectors give for each hit that is asked for.
const OVERSAMPLING: f64 = 4.0;

pub(super) struct Shard {
    shard: EdgeShard,
    folder: PathBuf,
    dimension: Option<usize>,
    search_effort: usize,
}

impl Shard {
    pub(super) fn open(folder: &Path, options: &EdgeOptions) -> Result<Self> {
        // The configuration is the first thing a new shard writes before it can hold points.
        let shard = match EdgeConfig::load(folder) {
            Some(kept) => {
                let kept = kept.map_err(|error| failure(folder, &error))?;
                let dimension = kept.vectors.get(DENSE).map(|vector| vector.size);
                let subject = format!("vector store {}", folder.display());
                check_dimension(&subject, dimension, options.dimension)?;
                let mut config = config(options);
                let older = !kept.sparse_vectors.contains_key(LEARNED);
                if older {
                    config.sparse_vectors.remove(LEARNED);
                }
                EdgeShard::load(folder, Some(config)).and_then(|shard| {
                    // One of before there were learned weights.
                    if older {
                        shard.update(learned_weights()?)?;
                        shard.flush()?;
                    }
                    Ok(shard)
                })
            }
            None => EdgeShard::new(folder, config(options)),
        };
        let shard = Self {
            shard: shard.map_err(|error| failure(folder, &error))?,
            folder: folder.to_owned(),
            dimension: options.dimension,
            search_effort: options.search_effort,
        };
        shard.index_fields(&options.indexed, options.on_disk)?;
        Ok(shard)
    }

    /// Indexes the fields that are not indexed yet.
    fn index_fields(&self, more: &[IndexedField], on_disk: bool) -> Result<()> {
        let kept = self.check(self.shard.info())?.payload_schema;
        for (field, kind) in indexed(more)? {
            let links = field == NAMESPACE;
            let field_name: JsonPath = field.parse().map_err(|()| {
                Error::new(ErrorKind::Internal, field, "the engine takes no such field")
            })?;
            if kept.contains_key(&field_name) {
                continue;
            }
            let index = CreateIndex {
                field_name,
                field_schema: Some(PayloadFieldSchema::FieldParams(field_index(
                    kind, links, on_disk,
                ))),
            };
            self.write(UpdateOperation::FieldIndexOperation(
                FieldIndexOperations::CreateIndex(index),
            ))?;
        }
        Ok(())
    }

    fn check<T>(&self, result: OperationResult<T>) -> Result<T> {
        result.map_err(|error| failure(&self.folder, &error))
    }

    /// A change is acknowledged when it is on disk.
    fn write(&self, operation: UpdateOperation) -> Result<()> {
        self.check(self.shard.update(operation))?;
        self.check(self.shard.flush())
    }

    pub(super) fn optimize(&self) -> Result<()> {
        self.check(self.shard.optimize()).map(|_| ())
    }

    pub(super) fn upsert(&self, points: Vec<Point>) -> Result<()> {
        if points.is_empty() {
            return Ok(());
        }
        let last_of_each: BTreeMap<Uuid, Point> = points
            .into_iter()
            .map(|point| (point.id(), point))
            .collect();
        let points = last_of_each.into_values().map(to_engine);
        let points = PointInsertOperations::PointsList(points.collect::<Result<_>>()?);
        self.write(UpdateOperation::PointOperation(
            PointOperations::UpsertPoints(points),
        ))
    }

    pub(super) fn delete(&self, selection: Selection) -> Result<()> {
        let ids = match selection {
            Selection::Ids(ids) => ids,
            Selection::Filter(filter) => self.ids(Some(&filter))?,
        };
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.into_iter().map(PointId::Uuid).collect();
        self.write(UpdateOperation::PointOperation(
            PointOperations::DeletePoints { ids },
        ))
    }

    pub(super) fn count(&self, filter: Option<&Filter>) -> Result<usize> {
        let request = CountRequest {
            filter: self.resolve(filter)?,
            exact: true,
        };
        self.check(self.shard.count(request))
    }

    pub(super) fn ids(&self, filter: Option<&Filter>) -> Result<Vec<Uuid>> {
        let filter = self.resolve(filter)?;
        let mut ids = Vec::new();
        self.each_page(filter, false, |record| {
            ids.push(uuid(record.id));
            Ok(())
        })?;
        Ok(ids)
    }

    pub(super) fn scroll(
        &self,
        filter: Option<&Filter>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<ScrollPage> {
        if limit == 0 {
            return Ok(ScrollPage::default());
        }
        let request = ScrollRequest {
            offset: after.map(PointId::Uuid),
            // One more for `after` itself, from which the engine starts, and one to see whether
            // there are more.
            limit: Some(limit.saturating_add(2)),
            filter: self.resolve(filter)?,
            with_payload: Some(WithPayloadInterface::Bool(true)),
            with_vector: WithVector::Bool(true),
            order_by: None,
        };
        let (records, _) = self.check(self.shard.scroll(request))?;
        let fresh = records
            .into_iter()
            .filter(|record| Some(uuid(record.id)) != after);
        let mut points: Vec<Point> = fresh.map(point).collect::<Result<_>>()?;
        let more = points.len() > limit;
        points.truncate(limit);
        let last = points.last().map(Point::id);
        Ok(ScrollPage {
            points,
            next: last.filter(|_| more),
        })
    }

    pub(super) fn get(&self, ids: Vec<Uuid>) -> Result<Vec<Point>> {
        let request = RetrieveRequest {
            with_payload: Some(WithPayloadInterface::Bool(true)),
            with_vector: Some(WithVector::Bool(true)),
            ..RetrieveRequest::new(ids.into_iter().map(PointId::Uuid).collect())
        };
        let records = self.check(self.shard.retrieve(request))?;
        records.into_iter().map(point).collect()
    }

    pub(super) fn search(&self, request: &SearchRequest) -> Result<Vec<Hit>> {
        check_query(&request.query, self.dimension)?;
        if request.limit == 0 {
            return Ok(Vec::new());
        }
        let filter = self.resolve(request.condition()?.as_ref())?;
        let corpus = match &request.namespace {
            Some(name) => self
                .resolve(Some(&Filter::namespace(name)))?
                .unwrap_or_default(),
            None => EngineFilter::default(),
        };
        let limit = request.limit;
        let mut scores: HashMap<Uuid, Scores> = HashMap::new();
        let best = match &request.query {
            Query::Dense(query) => {
                let ranked = self.by_meaning(query, filter, limit)?;
                note(&mut scores, &ranked, |scores| &mut scores.dense);
                ranked
            }
            Query::Sparse(query) => {
                let (ranked, _) = self.by_words(query, corpus, filter, limit, &[])?;
                note(&mut scores, &ranked, |scores| &mut scores.sparse);
                ranked
            }
            Query::Fused {
                dense,
                sparse,
                dense_weight,
            } => {
                let depth = fusion_depth(limit);
                let mut meaning = self.by_meaning(dense, filter.clone(), depth)?;
                // What one mode found, the other is asked about too: the words at once, as their
                // frequencies take longest to count.
                let found =
                    |ranked: &[Ranked]| -> Vec<Uuid> { ranked.iter().map(|(id, _)| *id).collect() };
                let also = found(&meaning);
                let (mut words, also) = self.by_words(sparse, corpus, filter, depth, &also)?;
                let mut best = fuse(&[(*dense_weight, &meaning), (1.0, &words)]);
                best.truncate(limit);
                words.extend(also);
                let mut missing = found(&best);
                missing.retain(|id| meaning.iter().all(|(found, _)| found != id));
                let only = only(&EngineTerms, &missing);
                meaning.extend(self.by_meaning(dense, Some(only), missing.len())?);
                note(&mut scores, &meaning, |scores| &mut scores.dense);
                note(&mut scores, &words, |scores| &mut scores.sparse);
                best
            }
        };
        self.hits(best, &scores)
    }

    fn by_meaning(
        &self,
        query: &[f32],
        filter: Option<EngineFilter>,
        limit: usize,
    ) -> Result<Vec<Ranked>> {
        let query = NamedQuery::new(VectorInternal::Dense(query.to_vec()), DENSE);
        // Without a look at the neighbours' neighbours, a filter that few points pass cuts the
        // graph to pieces: at one in ten, a tenth of the nearest were found. How many pass, the
        // engine only guesses where no index of the field says it: so whatever the filter.
        let exact = match &filter {
            Some(filter) => self.is_narrow(filter)?,
            None => false,
        };
        let acorn = AcornSearchParams {
            enable: true,
            max_selectivity: Some(1.0.into()),
        };
        let effort = self.search_effort.max(effort(self.count_roughly(None)?));
        let params = SearchParams {
            hnsw_ef: Some(effort.max(limit)),
            exact,
            // Smaller vectors find more than is asked for, and the whole ones choose among them.
            quantization: Some(QuantizationSearchParams {
                ignore: false,
                rescore: Some(true),
                oversampling: Some(OVERSAMPLING),
            }),
            acorn: filter.is_some().then_some(acorn),
            ..SearchParams::default()
        };
        self.rank(QueryEnum::Nearest(query), filter, params, limit)
    }

    /// Whether so few points pass that a point of the graph has less than its usual number of
    /// passing neighbours even two steps away: then each that passes is looked at.
    fn is_narrow(&self, filter: &EngineFilter) -> Result<bool> {
        let passing = self.count_roughly(Some(filter.clone()))?;
        Ok(passing.saturating_mul(NEIGHBOURS) < self.count_roughly(None)?)
    }

    fn count_roughly(&self, filter: Option<EngineFilter>) -> Result<usize> {
        let exact = false;
        self.check(self.shard.count(CountRequest { filter, exact }))
    }

    /// The best points, and what those of `also` score.
    fn by_words(
        &self,
        query: &SparseVector,
        corpus: EngineFilter,
        filter: Option<EngineFilter>,
        limit: usize,
        also: &[Uuid],
    ) -> Result<(Vec<Ranked>, Vec<Ranked>)> {
        if query.is_empty() {
            return Ok(Default::default());
        }
        // The engine's own statistics count deleted points until it tidies up; over a corpus,
        // even that of all points, it counts the living.
        let counted = query.weights == TermWeights::Counted;
        let params = SearchParams {
            idf: counted.then_some(IdfParams::Corpus(IdfCorpusParams { corpus })),
            ..SearchParams::default()
        };
        let name = sparse_name(query.weights);
        let query = NamedQuery::new(VectorInternal::Sparse(engine_sparse(query)), name);
        let query = QueryEnum::Nearest(query);
        if also.is_empty() {
            return Ok((self.rank(query, filter, params, limit)?, Vec::new()));
        }
        // Together, so that frequencies are counted once.
        let queries = vec![
            ranking(query.clone(), filter, params.clone(), limit),
            ranking(query, Some(only(&EngineTerms, also)), params, also.len()),
        ];
        let found = self.check(self.shard.query_batch(QueryBatchRequest { queries }))?;
        let mut found = found.into_iter().map(ranked);
        let best = found.next().unwrap_or_default();
        Ok((keep_best(best, limit), found.next().unwrap_or_default()))
    }

    fn rank(
        &self,
        query: QueryEnum,
        filter: Option<EngineFilter>,
        params: SearchParams,
        limit: usize,
    ) -> Result<Vec<Ranked>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let request = ranking(query, filter, params, limit);
        let found = self.check(self.shard.query(request))?;
        Ok(keep_best(ranked(found), limit))
    }

    fn hits(&self, best: Vec<Ranked>, scores: &HashMap<Uuid, Scores>) -> Result<Vec<Hit>> {
        let ids = best.iter().map(|(id, _)| PointId::Uuid(*id)).collect();
        let request = RetrieveRequest {
            with_payload: Some(WithPayloadInterface::Bool(true)),
            ..RetrieveRequest::new(ids)
        };
        let mut chunks: HashMap<Uuid, Chunk> = HashMap::new();
        for record in self.check(self.shard.retrieve(request))? {
            chunks.insert(uuid(record.id), from_payload(record.payload)?.chunk);
        }
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

    /// The filter in the engine's terms. What they cannot say exactly becomes the list of points
    /// that match.
    fn resolve(&self, filter: Option<&Filter>) -> Result<Option<EngineFilter>> {
        let Some(filter) = filter else {
            return Ok(None);
        };
        filter.check()?;
        if let Some(translated) = translate(&EngineTerms, filter) {
            return Ok(Some(translated));
        }
        let mut ids = Vec::new();
        self.each_page(None, true, |record| {
            let id = uuid(record.id);
            let payload = to_value(record.payload)
                .map_err(|error| Error::new(ErrorKind::Malformed, format!("point {id}"), error))?;
            if filter.matches(&payload) {
                ids.push(id);
            }
            Ok(())
        })?;
        Ok(Some(only(&EngineTerms, &ids)))
    }

    fn each_page(
        &self,
        filter: Option<EngineFilter>,
        with_payload: bool,
        mut each: impl FnMut(qdrant_edge::Record) -> Result<()>,
    ) -> Result<()> {
        let mut offset = None;
        loop {
            let request = ScrollRequest {
                offset,
                limit: Some(PAGE),
                filter: filter.clone(),
                with_payload: Some(WithPayloadInterface::Bool(with_payload)),
                with_vector: WithVector::Bool(false),
                order_by: None,
            };
            let (records, next) = self.check(self.shard.scroll(request))?;
            records.into_iter().try_for_each(&mut each)?;
            offset = next;
            if offset.is_none() {
                return Ok(());
            }
        }
    }
}

/// The least effort among so many points. It was measured: 64 finds all of 10 among 100,000, and
/// 0.85 of them among a million, where 256 find 0.99.
fn effort(points: usize) -> usize {
    ((points as f64).powf(2.0 / 3.0) / 40.0) as usize
}

fn ranking(
    query: QueryEnum,
    filter: Option<EngineFilter>,
    params: SearchParams,
    limit: usize,
) -> QueryRequest {
    QueryRequest {
        query: Some(ScoringQuery::Vector(query)),
        filter,
        params: Some(params),
        ..QueryRequest::new(limit)
    }
}

fn ranked(found: Vec<ScoredPoint>) -> Vec<Ranked> {
    found.into_iter().map(|p| (uuid(p.id), p.score)).collect()
}

fn point(record: qdrant_edge::Record) -> Result<Point> {
    let (dense, sparse) = vectors(record.vector);
    Ok(Point {
        dense,
        sparse,
        ..from_payload(record.payload)?
    })
}
