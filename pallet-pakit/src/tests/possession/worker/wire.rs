//! What stands between the worker and the world: requests with statuses and deadlines, and a pool that may be closed.

use super::Keeper;
use codec::Encode;
use sp_core::{
    OpaquePeerId,
    offchain::{
        Externalities, HttpError, HttpRequestId, HttpRequestStatus, OpaqueNetworkState, Timestamp, TransactionPool,
        testing::TestOffchainExt,
    },
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a companion does with a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// It answers.
    Says(u16, Vec<u8>),
    /// It is not there.
    Down,
    /// It says nothing until the deadline.
    Slow,
    /// It says how well all is, and no more until the deadline.
    SlowBody,
}

pub(super) fn says(answer: impl Encode) -> Reply {
    Reply::Says(200, answer.encode())
}

pub(super) type Companion = dyn Fn(&Keeper, &str) -> Reply + Send;

/// What listens on the node's machine.
pub(super) struct Network {
    pub(super) keeper: Keeper,
    pub(super) companion: Box<Companion>,
    pub(super) asked: Vec<String>,
    pub(super) replies: BTreeMap<u16, Reply>,
}

/// The node's side of it: the storage, clock and requests of `TestOffchainExt`, which knows neither statuses nor deadlines.
pub(super) struct Wire {
    pub(super) node: TestOffchainExt,
    pub(super) network: Arc<Mutex<Network>>,
}

impl Wire {
    fn reply(&self, id: HttpRequestId) -> Reply {
        self.network.lock().unwrap().replies[&id.0].clone()
    }

    fn wait_until(&self, deadline: Option<Timestamp>) {
        self.node.0.write().timestamp = deadline.expect("each request has a deadline");
    }
}

impl Externalities for Wire {
    fn is_validator(&self) -> bool {
        self.node.is_validator()
    }

    fn network_state(&self) -> Result<OpaqueNetworkState, ()> {
        self.node.network_state()
    }

    fn timestamp(&mut self) -> Timestamp {
        self.node.timestamp()
    }

    fn sleep_until(&mut self, deadline: Timestamp) {
        self.node.sleep_until(deadline);
    }

    fn random_seed(&mut self) -> [u8; 32] {
        self.node.random_seed()
    }

    fn http_request_start(&mut self, method: &str, uri: &str, meta: &[u8]) -> Result<HttpRequestId, ()> {
        assert_eq!(method, "GET");
        let id = self.node.http_request_start(method, uri, meta)?;
        let mut network = self.network.lock().unwrap();
        let reply = (network.companion)(&network.keeper, uri);
        network.asked.push(uri.to_owned());
        // Its state forgets requests that were read to their end, and gives their numbers again.
        network.replies.insert(id.0, reply.clone());
        let body = if let Reply::Says(_, body) = reply { body } else { Vec::new() };
        self.node.0.write().requests.get_mut(&id).unwrap().response = Some(body);
        Ok(id)
    }

    fn http_request_add_header(&mut self, id: HttpRequestId, name: &str, value: &str) -> Result<(), ()> {
        self.node.http_request_add_header(id, name, value)
    }

    fn http_request_write_body(
        &mut self,
        id: HttpRequestId,
        chunk: &[u8],
        deadline: Option<Timestamp>,
    ) -> Result<(), HttpError> {
        self.node.http_request_write_body(id, chunk, deadline)
    }

    fn http_response_wait(&mut self, ids: &[HttpRequestId], deadline: Option<Timestamp>) -> Vec<HttpRequestStatus> {
        let status = |id: &HttpRequestId| match self.reply(*id) {
            Reply::Says(status, _) => HttpRequestStatus::Finished(status),
            Reply::Down => HttpRequestStatus::IoError,
            Reply::Slow => {
                self.wait_until(deadline);
                HttpRequestStatus::DeadlineReached
            }
            Reply::SlowBody => HttpRequestStatus::Finished(200),
        };
        ids.iter().map(status).collect()
    }

    fn http_response_headers(&mut self, id: HttpRequestId) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.node.http_response_headers(id)
    }

    fn http_response_read_body(
        &mut self,
        id: HttpRequestId,
        buffer: &mut [u8],
        deadline: Option<Timestamp>,
    ) -> Result<usize, HttpError> {
        if let Reply::SlowBody = self.reply(id) {
            self.wait_until(deadline);
            return Err(HttpError::DeadlineReached);
        }
        self.node.http_response_read_body(id, buffer, deadline)
    }

    fn set_authorized_nodes(&mut self, nodes: Vec<OpaquePeerId>, authorized_only: bool) {
        self.node.set_authorized_nodes(nodes, authorized_only);
    }
}

/// A pool that takes the same bytes once, and can be told to take nothing.
#[derive(Clone, Default)]
pub(super) struct Pool {
    pub(super) waiting: Arc<Mutex<Vec<Vec<u8>>>>,
    pub(super) is_closed: Arc<AtomicBool>,
}

impl TransactionPool for Pool {
    fn submit_transaction(&mut self, extrinsic: Vec<u8>) -> Result<(), ()> {
        let mut waiting = self.waiting.lock().unwrap();
        if self.is_closed.load(Ordering::SeqCst) || waiting.contains(&extrinsic) {
            return Err(());
        }
        waiting.push(extrinsic);
        Ok(())
    }
}
