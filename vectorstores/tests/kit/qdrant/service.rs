//! Which methods of the protocol are answered, and by what.

use std::sync::Arc;

use ::qdrant_client::qdrant::collections_server::Collections;
use ::qdrant_client::qdrant::points_server::Points;
use ::qdrant_client::qdrant::qdrant_server::Qdrant;
use ::qdrant_client::qdrant::*;
use tonic::{Request, Response, Status};

use super::State;
use super::engine::Collection;

/// A service as a table: the method, what it is asked, what it answers, and who answers it. What
/// nobody does is refused.
macro_rules! service {
    ($service:ident: $($method:ident($request:ty) -> $reply:ty $(= $answer:ident)?;)*) => {
        #[tonic::async_trait]
        impl $service for State {
            $(async fn $method(
                &self,
                request: Request<$request>,
            ) -> Result<Response<$reply>, Status> {
                let empty = self.enter(stringify!($method), request.metadata()).await?;
                if empty {
                    return Ok(Response::new(<$reply>::default()));
                }
                $(return self.$answer(request.into_inner()).map(Response::new);)?
                #[allow(unreachable_code)]
                Err(Status::unimplemented(stringify!($method)))
            })*
        }
    };
}

service! {
    Qdrant:
    health_check(HealthCheckRequest) -> HealthCheckReply = health;
}

service! {
    Collections:
    get(GetCollectionInfoRequest) -> GetCollectionInfoResponse = info;
    create(CreateCollection) -> CollectionOperationResponse = make;
    delete(DeleteCollection) -> CollectionOperationResponse = remove;
    list(ListCollectionsRequest) -> ListCollectionsResponse;
    update(UpdateCollection) -> CollectionOperationResponse;
    update_aliases(ChangeAliases) -> CollectionOperationResponse;
    list_collection_aliases(ListCollectionAliasesRequest) -> ListAliasesResponse;
    list_aliases(ListAliasesRequest) -> ListAliasesResponse;
    collection_cluster_info(CollectionClusterInfoRequest) -> CollectionClusterInfoResponse;
    collection_exists(CollectionExistsRequest) -> CollectionExistsResponse;
    update_collection_cluster_setup(UpdateCollectionClusterSetupRequest)
        -> UpdateCollectionClusterSetupResponse;
    create_shard_key(CreateShardKeyRequest) -> CreateShardKeyResponse;
    delete_shard_key(DeleteShardKeyRequest) -> DeleteShardKeyResponse;
    list_shard_keys(ListShardKeysRequest) -> ListShardKeysResponse;
}

service! {
    Points:
    upsert(UpsertPoints) -> PointsOperationResponse = upsert_points;
    delete(DeletePoints) -> PointsOperationResponse = delete_points;
    create_field_index(CreateFieldIndexCollection) -> PointsOperationResponse = index_field;
    scroll(ScrollPoints) -> ScrollResponse = scroll_points;
    get(GetPoints) -> GetResponse = get_points;
    count(CountPoints) -> CountResponse = count_points;
    query_batch(QueryBatchPoints) -> QueryBatchResponse = query_points;
    update_vectors(UpdatePointVectors) -> PointsOperationResponse;
    delete_vectors(DeletePointVectors) -> PointsOperationResponse;
    set_payload(SetPayloadPoints) -> PointsOperationResponse;
    overwrite_payload(SetPayloadPoints) -> PointsOperationResponse;
    delete_payload(DeletePayloadPoints) -> PointsOperationResponse;
    clear_payload(ClearPayloadPoints) -> PointsOperationResponse;
    delete_field_index(DeleteFieldIndexCollection) -> PointsOperationResponse;
    create_vector_name(CreateVectorNameRequest) -> PointsOperationResponse;
    delete_vector_name(DeleteVectorNameRequest) -> PointsOperationResponse;
    search(SearchPoints) -> SearchResponse;
    search_batch(SearchBatchPoints) -> SearchBatchResponse;
    search_groups(SearchPointGroups) -> SearchGroupsResponse;
    recommend(RecommendPoints) -> RecommendResponse;
    recommend_batch(RecommendBatchPoints) -> RecommendBatchResponse;
    recommend_groups(RecommendPointGroups) -> RecommendGroupsResponse;
    discover(DiscoverPoints) -> DiscoverResponse;
    discover_batch(DiscoverBatchPoints) -> DiscoverBatchResponse;
    update_batch(UpdateBatchPoints) -> UpdateBatchResponse;
    query(QueryPoints) -> QueryResponse;
    query_groups(QueryPointGroups) -> QueryGroupsResponse;
    facet(FacetCounts) -> FacetResponse;
    search_matrix_pairs(SearchMatrixPoints) -> SearchMatrixPairsResponse;
    search_matrix_offsets(SearchMatrixPoints) -> SearchMatrixOffsetsResponse;
}

impl State {
    fn health(&self, _: HealthCheckRequest) -> Result<HealthCheckReply, Status> {
        Ok(HealthCheckReply {
            title: "the embedded engine behind Qdrant's protocol".to_owned(),
            version: self.version.to_owned(),
            commit: None,
        })
    }

    fn info(&self, asked: GetCollectionInfoRequest) -> Result<GetCollectionInfoResponse, Status> {
        let info = self.collection(&asked.collection_name)?.info();
        Ok(GetCollectionInfoResponse {
            result: Some(info),
            time: 0.0,
        })
    }

    fn make(&self, asked: CreateCollection) -> Result<CollectionOperationResponse, Status> {
        let name = asked.collection_name.clone();
        let mut collections = self.collections.lock().unwrap();
        if collections.contains_key(&name) {
            return Err(Status::already_exists(name));
        }
        let collection = Collection::new(asked)?;
        collections.insert(name, Arc::new(collection));
        Ok(CollectionOperationResponse {
            result: true,
            time: 0.0,
        })
    }

    fn remove(&self, asked: DeleteCollection) -> Result<CollectionOperationResponse, Status> {
        let removed = self
            .collections
            .lock()
            .unwrap()
            .remove(&asked.collection_name);
        Ok(CollectionOperationResponse {
            result: removed.is_some(),
            time: 0.0,
        })
    }

    fn upsert_points(&self, asked: UpsertPoints) -> Result<PointsOperationResponse, Status> {
        let collection = self.collection(&asked.collection_name)?;
        collection.upsert(asked.points)?;
        Ok(acknowledge(asked.wait))
    }

    fn delete_points(&self, asked: DeletePoints) -> Result<PointsOperationResponse, Status> {
        let collection = self.collection(&asked.collection_name)?;
        let selector = asked
            .points
            .and_then(|points| points.points_selector_one_of);
        let selector = selector.ok_or_else(|| Status::invalid_argument("no points"))?;
        collection.delete(selector)?;
        Ok(acknowledge(asked.wait))
    }

    fn index_field(
        &self,
        asked: CreateFieldIndexCollection,
    ) -> Result<PointsOperationResponse, Status> {
        let wait = asked.wait;
        self.collection(&asked.collection_name)?
            .index_field(asked)?;
        Ok(acknowledge(wait))
    }

    fn scroll_points(&self, asked: ScrollPoints) -> Result<ScrollResponse, Status> {
        self.collection(&asked.collection_name)?.scroll(asked)
    }

    fn get_points(&self, asked: GetPoints) -> Result<GetResponse, Status> {
        let collection = self.collection(&asked.collection_name)?;
        Ok(GetResponse {
            result: collection.get(asked)?,
            ..GetResponse::default()
        })
    }

    fn count_points(&self, asked: CountPoints) -> Result<CountResponse, Status> {
        let count = self.collection(&asked.collection_name)?.count(asked)?;
        Ok(CountResponse {
            result: Some(CountResult {
                count: count as u64,
            }),
            ..CountResponse::default()
        })
    }

    fn query_points(&self, asked: QueryBatchPoints) -> Result<QueryBatchResponse, Status> {
        let collection = self.collection(&asked.collection_name)?;
        let queries = asked.query_points.into_iter();
        let result = queries.map(|query| collection.query(query));
        Ok(QueryBatchResponse {
            result: result.collect::<Result<_, Status>>()?,
            ..QueryBatchResponse::default()
        })
    }
}

/// A change that nobody waits for may be made later: it is not what a store may rely on.
fn acknowledge(wait: Option<bool>) -> PointsOperationResponse {
    let status = match wait {
        Some(true) => UpdateStatus::Completed,
        _ => UpdateStatus::Acknowledged,
    };
    PointsOperationResponse {
        result: Some(UpdateResult {
            operation_id: Some(1),
            status: status.into(),
        }),
        ..PointsOperationResponse::default()
    }
}
