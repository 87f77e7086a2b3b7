//! The connection to a node: every failure here is the node's or the network's.

use super::{Header, h256};
use crate::{
    anchor::client::{BlockRef, ChainError},
    sqlite::outbox::ids::ChainBlockHash,
};
use std::{future::Future, time::Duration};
use subxt::{
    config::{RpcConfigFor, SubstrateConfig, substrate::H256},
    rpcs::{LegacyRpcMethods, RpcClient},
};

/// The connection, with a bound on every wait.
pub(super) struct Rpc {
    pub(super) methods: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
    timeout: Duration,
}

impl Rpc {
    pub(super) async fn connect(url: &str, timeout: Duration) -> Result<Self, ChainError> {
        if !(url.starts_with("ws://") || url.starts_with("wss://")) {
            return Err(ChainError::BadUrl { url: url.to_owned() });
        }
        let connected = tokio::time::timeout(timeout, RpcClient::from_url(url)).await;
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(subxt::rpcs::Error::InsecureUrl(url))) => return Err(ChainError::InsecureUrl { url }),
            Ok(Err(error)) => {
                return Err(ChainError::NoNode { url: url.to_owned(), reason: root_cause(&error) });
            }
            Err(_) => {
                let reason = format!("no answer within {} seconds", timeout.as_secs());
                return Err(ChainError::NoNode { url: url.to_owned(), reason });
            }
        };
        Ok(Self { methods: LegacyRpcMethods::new(client), timeout })
    }

    pub(super) async fn raw<T>(
        &self,
        method: &'static str,
        question: impl Future<Output = Result<T, subxt::rpcs::Error>>,
    ) -> Result<Result<T, subxt::rpcs::Error>, ChainError> {
        tokio::time::timeout(self.timeout, question)
            .await
            .map_err(|_| ChainError::Timeout { method, seconds: self.timeout.as_secs() })
    }

    pub(super) async fn ask<T>(
        &self,
        method: &'static str,
        question: impl Future<Output = Result<T, subxt::rpcs::Error>>,
    ) -> Result<T, ChainError> {
        self.raw(method, question).await?.map_err(|error| rpc_error(method, error))
    }

    /// Asks about a block or its state, either of which the node may not have.
    pub(super) async fn ask_at<T>(
        &self,
        at: BlockRef,
        method: &'static str,
        question: impl Future<Output = Result<T, subxt::rpcs::Error>>,
    ) -> Result<T, ChainError> {
        self.raw(method, question).await?.map_err(|error| match &error {
            subxt::rpcs::Error::User(refusal) if tells(refusal, "State already discarded") => {
                ChainError::StateUnavailable { number: at.number }
            }
            subxt::rpcs::Error::User(refusal) if tells(refusal, "UnknownBlock") || tells(refusal, "not found") => {
                ChainError::Inconsistent("the node no longer knows a block that it named")
            }
            _ => rpc_error(method, error),
        })
    }

    /// Calls into the runtime at a block.
    pub(super) async fn call(&self, at: BlockRef, function: &str, input: &[u8]) -> Result<Vec<u8>, ChainError> {
        self.ask_at(at, "state_call", self.methods.state_call(function, Some(input), Some(h256(at.hash)))).await
    }

    pub(super) async fn header(&self, hash: H256) -> Result<Header, ChainError> {
        self.ask("chain_getHeader", self.methods.chain_get_header(Some(hash)))
            .await?
            .ok_or(ChainError::Inconsistent("the node no longer knows a block that it named"))
    }

    pub(super) async fn block_ref(&self, hash: H256) -> Result<BlockRef, ChainError> {
        Ok(BlockRef { number: self.header(hash).await?.number, hash: ChainBlockHash::new(hash.0) })
    }

    pub(super) async fn parent(&self, block: BlockRef) -> Result<BlockRef, ChainError> {
        let header = self.header(h256(block.hash)).await?;
        let hash = ChainBlockHash::new(header.parent_hash.0);
        Ok(BlockRef { number: block.number.saturating_sub(1), hash })
    }
}

fn tells(refusal: &subxt::rpcs::UserError, text: &str) -> bool {
    refusal.message.contains(text) || refusal.data.as_ref().is_some_and(|data| data.get().contains(text))
}

pub(super) fn rpc_error(method: &'static str, error: subxt::rpcs::Error) -> ChainError {
    match error {
        subxt::rpcs::Error::User(refusal) => {
            let data = refusal.data.as_ref().map(|data| format!(": {}", data.get())).unwrap_or_default();
            ChainError::Refused { method, reason: format!("{} ({}){data}", refusal.message, refusal.code) }
        }
        subxt::rpcs::Error::InsecureUrl(url) => ChainError::InsecureUrl { url },
        subxt::rpcs::Error::Client(_) | subxt::rpcs::Error::DisconnectedWillReconnect(_) => {
            ChainError::ConnectionLost { reason: root_cause(&error) }
        }
        other => ChainError::Refused { method, reason: other.to_string() },
    }
}

/// The innermost error: what the system said, without each layer's preamble.
fn root_cause(error: &subxt::rpcs::Error) -> String {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    loop {
        // A client error boxes its cause without naming it as its source.
        let inner = match cause.downcast_ref::<subxt::rpcs::Error>() {
            Some(subxt::rpcs::Error::Client(inner)) => Some(&**inner as &(dyn std::error::Error + 'static)),
            _ => cause.source(),
        };
        match inner {
            Some(inner) => cause = inner,
            None => return cause.to_string(),
        }
    }
}
