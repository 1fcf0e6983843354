//! Qdrant's protocol on loopback, answered by the embedded engine: not a Qdrant server, but the
//! same engine behind the same messages, and one that fails when told to.

mod convert;
mod engine;
mod service;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use qdrant_client::qdrant::collections_server::CollectionsServer;
use qdrant_client::qdrant::points_server::PointsServer;
use qdrant_client::qdrant::qdrant_server::QdrantServer;
use tokio::task::JoinHandle;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};

use engine::Collection;

/// What a call meets instead of its answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A refusal.
    Code(Code),
    /// A refusal with a pause, in seconds.
    Slower(u64),
    /// No answer, ever.
    Silence,
    /// An answer with nothing in it.
    Empty,
}

/// A server of the protocol; it ends when it is dropped.
pub struct ProtocolServer {
    pub url: String,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

/// What the server holds, and how it behaves.
pub struct State {
    version: &'static str,
    key: Option<&'static str>,
    collections: Mutex<HashMap<String, Arc<Collection>>>,
    faults: Mutex<HashMap<&'static str, VecDeque<Fault>>>,
    calls: Mutex<Vec<&'static str>>,
}

impl ProtocolServer {
    /// Starts one that wants `key` and says that it is of `version`. Call it on a runtime.
    pub fn start(version: &'static str, key: Option<&'static str>) -> Self {
        let state = Arc::new(State {
            version,
            key,
            collections: Mutex::default(),
            faults: Mutex::default(),
            calls: Mutex::default(),
        });
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", incoming.local_addr().unwrap());
        let points = PointsServer::from_arc(Arc::clone(&state));
        let serving = tonic::transport::Server::builder()
            .add_service(QdrantServer::from_arc(Arc::clone(&state)))
            .add_service(CollectionsServer::from_arc(Arc::clone(&state)))
            .add_service(points.max_decoding_message_size(usize::MAX))
            .serve_with_incoming(incoming);
        Self {
            url,
            state,
            serving: tokio::spawn(async move { serving.await.unwrap() }),
        }
    }

    /// The next `times` calls of `method` meet `fault`.
    pub fn fail(&self, method: &'static str, fault: Fault, times: usize) {
        let mut faults = self.state.faults.lock().unwrap();
        let queue = faults.entry(method).or_default();
        queue.extend(std::iter::repeat_n(fault, times));
    }

    /// The names of the methods called since the last time, in order.
    pub fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state.calls.lock().unwrap())
    }

    /// The names of the collections that there are.
    pub fn collections(&self) -> Vec<String> {
        let collections = self.state.collections.lock().unwrap();
        collections.keys().cloned().collect()
    }

    /// What the collection was made with.
    pub fn creation(&self, name: &str) -> qdrant_client::qdrant::CreateCollection {
        self.state.collection(name).unwrap().creation.clone()
    }

    /// The fields that the collection has an index of, and whether it is one of tenants.
    pub fn indexed(&self, name: &str) -> Vec<(String, bool)> {
        let collection = self.state.collection(name).unwrap();
        let mut indexed: Vec<(String, bool)> = collection
            .indexes
            .lock()
            .unwrap()
            .iter()
            .map(|(field, index)| (field.clone(), index.tenant))
            .collect();
        indexed.sort();
        indexed
    }

    /// Removes a collection behind its users' backs.
    pub fn lose(&self, name: &str) {
        self.state.collections.lock().unwrap().remove(name).unwrap();
    }
}

impl Drop for ProtocolServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl State {
    fn collection(&self, name: &str) -> Result<Arc<Collection>, Status> {
        let collections = self.collections.lock().unwrap();
        let found = collections.get(name).cloned();
        found.ok_or_else(|| Status::not_found(format!("Collection `{name}` doesn't exist!")))
    }

    /// Lets a call in, or not; whether it is to be answered with nothing.
    async fn enter(&self, method: &'static str, metadata: &MetadataMap) -> Result<bool, Status> {
        self.calls.lock().unwrap().push(method);
        let key = metadata.get("api-key").and_then(|key| key.to_str().ok());
        if self.key.is_some() && key != self.key {
            return Err(Status::unauthenticated(format!("no such key: {key:?}")));
        }
        let fault = self
            .faults
            .lock()
            .unwrap()
            .get_mut(method)
            .and_then(VecDeque::pop_front);
        match fault {
            None => Ok(false),
            Some(Fault::Empty) => Ok(true),
            Some(Fault::Code(code)) => Err(Status::new(code, "as it was told")),
            Some(Fault::Slower(seconds)) => {
                let mut status = Status::resource_exhausted("too many");
                status.metadata_mut().insert("retry-after", seconds.into());
                Err(status)
            }
            Some(Fault::Silence) => std::future::pending().await,
        }
    }
}
