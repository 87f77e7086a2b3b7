//! The chain client over subxt: the one file that names subxt's types.
//!
//! What travels is kept apart from what is understood. Every question goes out through `Rpc`, where each failure is the
//! node's or the connection's; encoding and decoding happen offline against the metadata of the runtime at the block asked
//! about, where each failure is a misfit between that runtime and this program. So an error always tells which it is.

mod rpc;
mod shapes;

use self::rpc::{Rpc, rpc_error};
use self::shapes::{
    AccountOut, AnchorCall, AnchoredHeadOut, CreateDagCall, DagOut, DeclareRemovedCall, RecordOut, RecordProofCall,
    RemovedRangeOut, StakeOut, SubjectIn,
};
use super::{
    client::{
        AccountState, Balance, BlockRef, Call, CallFailure, ChainClient, ChainDag, ChainError, ChainHead,
        ChainIdentity, ChainRecord, ChainStake, Connect, DeclaredRange, Ends, Outcome, RemovalTerms, Submission,
    },
    key::SigningKey,
};
use crate::sqlite::outbox::{
    ids::{AccountId, ChainBlockHash, ExtrinsicHash},
    rows::{Era, SignedExtrinsic},
};
use codec::{Compact, Decode, Encode};
use pakit_primitives::{
    BlockHash,
    chain::{AnchorNumber, DagId, DepositSubject},
    possession::RangeNumber,
};
use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use subxt::{
    client::{OfflineClient, OfflineClientAtBlock},
    config::{
        Hasher, SubstrateConfig,
        substrate::{H256, SpecVersionForRange, SubstrateExtrinsicParamsBuilder, SubstrateHeader},
    },
    error::DispatchError,
    events::Phase,
    ext::{
        frame_decode::{runtime_apis, storage},
        futures::FutureExt,
        scale_decode::{DecodeAsType, IntoVisitor},
        scale_encode::EncodeAsFields,
    },
    metadata::Metadata,
    rpcs::client::RpcSubscription,
    utils::AccountId32,
};
use subxt_signer::{DEV_PHRASE, SecretUri, sr25519::Keypair};

const PALLET: &str = "Pakit";
const API: &str = "PakitApi";
/// Metadata versions in which runtimes describe their runtime APIs, the newest first.
const METADATA_VERSIONS: [u32; 2] = [16, 15];
/// Most extrinsics of a block that are looked at; far above what fits one.
const BLOCK_EXTRINSICS_MAX: usize = 1 << 20;

/// The calls that are made, and what their arguments must be called.
const CALLS: [(&str, &[&str]); 3] = [
    ("create_dag", &["genesis_header", "succeeds"]),
    ("anchor", &["dag", "new_head", "consistency", "newest_header", "inclusion"]),
    ("record_proof", &["dag", "anchor", "header", "inclusion"]),
];
/// The questions that are asked through the runtime API.
const API_METHODS: [&str; 4] = ["dag", "heads_kept", "record", "deposit_for"];
/// The one that tells whether the pallet knows stakes, which one of version 1 of its API does not.
const STAKE_METHOD: &str = "stake_behind";

type Header = SubstrateHeader<H256>;

/// An sr25519 key pair.
pub(super) struct Pair(Keypair);

impl Pair {
    /// The pair of a secret URI, and whether its root is the one that every development chain endows.
    pub(super) fn from_secret_uri(secret: &str) -> Option<(Self, bool)> {
        let uri = SecretUri::from_str(secret).ok()?;
        let pair = Keypair::from_uri(&uri).ok()?;
        let root = Keypair::from_uri(&SecretUri { junctions: Vec::new(), ..uri }).ok()?;
        let well_known = SecretUri::from_str(DEV_PHRASE).ok().and_then(|uri| Keypair::from_uri(&uri).ok())?;
        Some((Self(pair), root.public_key().0 == well_known.public_key().0))
    }

    pub(super) fn account(&self) -> AccountId {
        AccountId::new(self.0.public_key().0)
    }
}

/// Connects to one node over WebSocket.
#[derive(Clone, Debug)]
pub struct SubxtConnector {
    url: String,
    request_timeout: Duration,
}

impl SubxtConnector {
    /// Connects to nothing yet.
    pub fn new(url: impl Into<String>, request_timeout: Duration) -> Self {
        Self { url: url.into(), request_timeout }
    }
}

impl Connect for SubxtConnector {
    type Client = SubxtClient;

    fn url(&self) -> &str {
        &self.url
    }

    async fn connect(&self) -> Result<SubxtClient, ChainError> {
        SubxtClient::connect(&self.url, self.request_timeout).await
    }
}

/// A connection to a node.
pub struct SubxtClient {
    rpc: Rpc,
    identity: ChainIdentity,
    /// The runtimes met so far, by version.
    runtimes: Mutex<HashMap<u32, Arc<Runtime>>>,
    heads: tokio::sync::Mutex<Option<Heads>>,
}

struct Heads {
    best: RpcSubscription<Header>,
    finalized: RpcSubscription<Header>,
}

impl SubxtClient {
    async fn connect(url: &str, request_timeout: Duration) -> Result<Self, ChainError> {
        let rpc = Rpc::connect(url, request_timeout).await?;
        let genesis = rpc.ask("chain_getBlockHash", rpc.methods.genesis_hash()).await?;
        let version = rpc.ask("state_getRuntimeVersion", rpc.methods.state_get_runtime_version(None)).await?;
        let identity = ChainIdentity {
            genesis: ChainBlockHash::new(genesis.0),
            url: url.to_owned(),
            spec_name: version.other.get("specName").and_then(|name| name.as_str()).unwrap_or("unnamed").to_owned(),
            spec_version: version.spec_version,
            transaction_version: version.transaction_version,
        };
        let client = Self { rpc, identity, runtimes: Mutex::default(), heads: tokio::sync::Mutex::default() };
        let best = client.ends().await?.best;
        client.runtime(best).await?.check_pallet()?;
        Ok(client)
    }

    /// The runtime that a block's successor runs by: its metadata, fetched once for each version.
    async fn runtime(&self, at: BlockRef) -> Result<Arc<Runtime>, ChainError> {
        let version = self
            .rpc
            .ask_at(at, "state_getRuntimeVersion", self.rpc.methods.state_get_runtime_version(Some(h256(at.hash))))
            .await?;
        let known = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner).get(&version.spec_version).cloned();
        if let Some(runtime) = known {
            return Ok(runtime);
        }
        let identity = ChainIdentity {
            spec_version: version.spec_version,
            transaction_version: version.transaction_version,
            ..self.identity.clone()
        };
        let metadata = self.fetch_metadata(&identity, at).await?;
        let runtime = Arc::new(Runtime::new(identity, metadata)?);
        let mut runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        runtimes.insert(version.spec_version, runtime.clone());
        Ok(runtime)
    }

    async fn fetch_metadata(&self, identity: &ChainIdentity, at: BlockRef) -> Result<Metadata, ChainError> {
        for version in METADATA_VERSIONS {
            let answer = self.rpc.call(at, "Metadata_metadata_at_version", &version.encode()).await?;
            let found = Option::<Vec<u8>>::decode(&mut &answer[..]).map_err(|error| misfit(identity, &error))?;
            if let Some(bytes) = found {
                return Metadata::decode_from(&bytes).map_err(|error| misfit(identity, &error));
            }
        }
        Err(misfit(identity, &"its metadata are older than version 15"))
    }

    /// Calls a method of the pallet's runtime API; arguments and answer go by the metadata.
    async fn ask_pallet<Args, Answer>(&self, method: &str, args: Args, at: BlockRef) -> Result<Answer, ChainError>
    where
        Args: runtime_apis::IntoEncodableValues,
        Answer: DecodeAsType,
    {
        let runtime = self.runtime(at).await?;
        let metadata = runtime.metadata();
        let encoded = runtime_apis::encode_runtime_api_inputs(API, method, &args, metadata, metadata.types())
            .map_err(|error| runtime.misfit(&error))?;
        let answer = self.rpc.call(at, &format!("{API}_{method}"), &encoded).await?;
        let (cursor, visitor) = (&mut &answer[..], Answer::into_visitor());
        let decoded =
            runtime_apis::decode_runtime_api_response(API, method, cursor, metadata, metadata.types(), visitor)
                .map_err(|error| runtime.misfit(&error))?;
        if cursor.is_empty() { Ok(decoded) } else { Err(runtime.misfit(&"an answer has bytes left over")) }
    }

    /// Why the runtime at the best block does not take an extrinsic that the pool refused.
    async fn classify(&self, bytes: &[u8]) -> Result<Submission, ChainError> {
        let best = self.ends().await?.best;
        // The source of the transaction (2, external), the bytes as they are, and the block.
        let mut input = vec![2u8];
        input.extend_from_slice(bytes);
        input.extend_from_slice(best.hash.as_bytes());
        let answer = self.rpc.call(best, "TaggedTransactionQueue_validate_transaction", &input).await?;
        Ok(match answer[..] {
            // Valid after all: the best block has changed in between, or the pool has it aside.
            [0, ..] => Submission::NotNow,
            // TransactionValidityError::Invalid and the index of InvalidTransaction's variant.
            [1, 0, 1, ..] => Submission::CannotPay,
            [1, 0, 2 | 6, ..] => Submission::NotNow,
            [1, 0, 3, ..] => Submission::Stale,
            [1, 0, 4 | 5, ..] => Submission::NotValidNow,
            _ => Submission::Refused,
        })
    }
}

impl ChainClient for SubxtClient {
    fn identity(&self) -> &ChainIdentity {
        &self.identity
    }

    async fn ends(&self) -> Result<Ends, ChainError> {
        let methods = &self.rpc.methods;
        let finalized = self.rpc.ask("chain_getFinalizedHead", methods.chain_get_finalized_head()).await?;
        let best = self
            .rpc
            .ask("chain_getBlockHash", methods.chain_get_block_hash(None))
            .await?
            .ok_or(ChainError::Inconsistent("there is no best block"))?;
        let (finalized, best) = (self.rpc.block_ref(finalized).await?, self.rpc.block_ref(best).await?);
        if finalized.number > best.number {
            // The best block was left behind between the two questions.
            return Err(ChainError::Inconsistent("the best block is below the finalized one"));
        }
        Ok(Ends { finalized, best })
    }

    async fn wait_for_block(&self, patience: Duration) -> Result<(), ChainError> {
        let mut guard = self.heads.lock().await;
        if guard.is_none() {
            let methods = &self.rpc.methods;
            *guard = Some(Heads {
                best: self.rpc.ask("chain_subscribeNewHeads", methods.chain_subscribe_new_heads()).await?,
                finalized: self
                    .rpc
                    .ask("chain_subscribeFinalizedHeads", methods.chain_subscribe_finalized_heads())
                    .await?,
            });
        }
        let Some(heads) = guard.as_mut() else { return Ok(()) };
        let arrived = tokio::select! {
            head = heads.best.next() => head,
            head = heads.finalized.next() => head,
            () = tokio::time::sleep(patience) => return Ok(()),
        };
        let is_alive = matches!(arrived, Some(Ok(_)));
        // One look at the chain serves all heads that have arrived until now.
        while let Some(Some(Ok(_))) = heads.best.next().now_or_never() {}
        while let Some(Some(Ok(_))) = heads.finalized.next().now_or_never() {}
        if is_alive {
            return Ok(());
        }
        *guard = None;
        Err(ChainError::ConnectionLost { reason: "the node ended the subscription to its blocks".to_owned() })
    }

    async fn block_hash(&self, number: u64) -> Result<Option<ChainBlockHash>, ChainError> {
        let at = subxt::rpcs::methods::legacy::NumberOrHex::Number(number);
        let hash = self.rpc.ask("chain_getBlockHash", self.rpc.methods.chain_get_block_hash(Some(at))).await?;
        Ok(hash.map(|hash| ChainBlockHash::new(hash.0)))
    }

    async fn extrinsic_hashes(&self, block: BlockRef) -> Result<Vec<ExtrinsicHash>, ChainError> {
        let found = self
            .rpc
            .ask_at(block, "chain_getBlock", self.rpc.methods.chain_get_block(Some(h256(block.hash))))
            .await?
            .ok_or(ChainError::BlockUnavailable { number: block.number })?;
        if found.block.header.number != block.number {
            return Err(ChainError::Inconsistent("a block is not at its height"));
        }
        let runtime = self.any_runtime().ok_or(ChainError::Inconsistent("no runtime was met"))?;
        let hasher = runtime.client.hasher();
        Ok(found
            .block
            .extrinsics
            .iter()
            .take(BLOCK_EXTRINSICS_MAX)
            .map(|bytes| ExtrinsicHash::new(hasher.hash(&bytes.0).0))
            .collect())
    }

    async fn outcome(&self, block: BlockRef, extrinsic_index: u32) -> Result<Outcome, ChainError> {
        // Events are encoded by the runtime that executed the block: the one in its parent's state.
        let parent = self.rpc.parent(block).await?;
        let runtime = self.runtime(parent).await?;
        let key = runtime.events_key().map_err(|error| runtime.misfit(&error))?;
        let bytes = self
            .rpc
            .ask_at(block, "state_getStorage", self.rpc.methods.state_get_storage(&key, Some(h256(block.hash))))
            .await?
            .ok_or(ChainError::Inconsistent("a block has no events"))?;
        runtime.read_outcome(bytes, extrinsic_index)
    }

    async fn dag(&self, dag: DagId, at: BlockRef) -> Result<Option<ChainDag>, ChainError> {
        let found: Option<DagOut> = self.ask_pallet("dag", (dag,), at).await?;
        Ok(found.map(DagOut::into_dag))
    }

    async fn heads_kept(&self, dag: DagId, at: BlockRef) -> Result<Vec<(AnchorNumber, ChainHead)>, ChainError> {
        let kept: Vec<(u64, AnchoredHeadOut)> = self.ask_pallet("heads_kept", (dag,), at).await?;
        Ok(kept.into_iter().map(|(anchor, head)| (anchor, head.into_head())).collect())
    }

    async fn record(
        &self,
        dag: DagId,
        block_hash: BlockHash,
        depositor: AccountId,
        at: BlockRef,
    ) -> Result<Option<ChainRecord>, ChainError> {
        let args = (dag, block_hash.to_bytes(), AccountId32(*depositor.as_bytes()));
        let found: Option<RecordOut> = self.ask_pallet("record", args, at).await?;
        Ok(found.map(RecordOut::into_record))
    }

    async fn account(&self, account: AccountId, at: BlockRef) -> Result<AccountState, ChainError> {
        let runtime = self.runtime(at).await?;
        let metadata = runtime.metadata();
        let key = storage::encode_storage_key(
            "System",
            "Account",
            &(AccountId32(*account.as_bytes()),),
            metadata,
            metadata.types(),
        )
        .map_err(|error| runtime.misfit(&error))?;
        let bytes = self
            .rpc
            .ask_at(at, "state_getStorage", self.rpc.methods.state_get_storage(&key, Some(h256(at.hash))))
            .await?;
        let Some(bytes) = bytes else { return Ok(AccountState::default()) };
        let (cursor, visitor) = (&mut &bytes[..], AccountOut::into_visitor());
        let found = storage::decode_storage_value("System", "Account", cursor, metadata, metadata.types(), visitor)
            .map_err(|error| runtime.misfit(&error))?;
        Ok(found.into_state(runtime.existential_deposit()?))
    }

    async fn next_nonce(&self, account: AccountId) -> Result<u64, ChainError> {
        let account = AccountId32(*account.as_bytes());
        self.rpc.ask("system_accountNextIndex", self.rpc.methods.system_account_next_index(&account)).await
    }

    async fn deposit_for(&self, subject: DepositSubject, at: BlockRef) -> Result<Balance, ChainError> {
        self.ask_pallet("deposit_for", (SubjectIn::from(subject),), at).await
    }

    async fn stake_behind(&self, dag: DagId, at: BlockRef) -> Result<Option<ChainStake>, ChainError> {
        if !self.runtime(at).await?.has_method(STAKE_METHOD) {
            return Ok(None);
        }
        let found: Option<StakeOut> = self.ask_pallet(STAKE_METHOD, (dag,), at).await?;
        Ok(found.map(StakeOut::into_stake))
    }

    async fn removed_range(
        &self,
        dag: DagId,
        range: RangeNumber,
        at: BlockRef,
    ) -> Result<Option<DeclaredRange>, ChainError> {
        let found: Option<RemovedRangeOut> = self.ask_pallet("removed_range", (dag, range), at).await?;
        Ok(found.map(RemovedRangeOut::into_range))
    }

    async fn removal_terms(&self, at: BlockRef) -> Result<RemovalTerms, ChainError> {
        let runtime = self.runtime(at).await?;
        let (deposit, period) = (runtime.constant("RemovalDeposit")?, runtime.constant("ChallengePeriod")?);
        Ok(RemovalTerms { deposit, period })
    }

    async fn fee(&self, bytes: &[u8], at: BlockRef) -> Result<Balance, ChainError> {
        let mut input = bytes.to_vec();
        u32::try_from(bytes.len()).unwrap_or(u32::MAX).encode_to(&mut input);
        let answer = self.rpc.call(at, "TransactionPaymentApi_query_info", &input).await?;
        // RuntimeDispatchInfo: weight (two compact numbers), class, fee.
        <(Compact<u64>, Compact<u64>, u8, u128)>::decode(&mut &answer[..])
            .map(|(_, _, _, fee)| fee)
            .map_err(|error| misfit(&self.identity, &error))
    }

    async fn sign(
        &self,
        call: &Call,
        key: &SigningKey,
        nonce: u64,
        era: Era,
        at: BlockRef,
    ) -> Result<SignedExtrinsic, ChainError> {
        let runtime = self.runtime(at).await?;
        let (bytes, hash) = match call {
            Call::CreateDag { genesis_header, succeeds } => {
                runtime.sign("create_dag", CreateDagCall::new(genesis_header, succeeds), key, nonce, era)
            }
            Call::Anchor { dag, new_head, consistency, newest_header, inclusion } => {
                let args = AnchorCall::new(*dag, new_head, consistency, newest_header, inclusion);
                runtime.sign("anchor", args, key, nonce, era)
            }
            Call::RecordProof { dag, anchor, header, inclusion } => {
                let args = RecordProofCall::new(*dag, *anchor, header, inclusion);
                runtime.sign("record_proof", args, key, nonce, era)
            }
            Call::DeclareRemoved { dag, leaves } => {
                runtime.sign("declare_removed", DeclareRemovedCall::new(*dag, leaves), key, nonce, era)
            }
        }?;
        Ok(SignedExtrinsic { bytes, hash, signer: key.account(), nonce, era })
    }

    async fn submit(&self, bytes: &[u8]) -> Result<Submission, ChainError> {
        let sent = self.rpc.raw("author_submitExtrinsic", self.rpc.methods.author_submit_extrinsic(bytes)).await?;
        let error = match sent {
            Ok(_) => return Ok(Submission::Accepted),
            Err(error) => error,
        };
        // The codes of sc-rpc-api's author errors.
        match &error {
            subxt::rpcs::Error::User(refusal) => match refusal.code {
                1010 | 1011 => self.classify(bytes).await,
                1013 => Ok(Submission::AlreadyKnown),
                1012 | 1014 | 1015 | 1016 | 1018 => Ok(Submission::NotNow),
                _ => Err(rpc_error("author_submitExtrinsic", error)),
            },
            _ => Err(rpc_error("author_submitExtrinsic", error)),
        }
    }
}

impl SubxtClient {
    /// How extrinsics are hashed does not change with a runtime's version.
    fn any_runtime(&self) -> Option<Arc<Runtime>> {
        self.runtimes.lock().unwrap_or_else(PoisonError::into_inner).values().next().cloned()
    }
}

/// One version of a chain's runtime, understood through its metadata.
struct Runtime {
    identity: ChainIdentity,
    client: OfflineClientAtBlock<SubstrateConfig>,
}

impl Runtime {
    fn new(identity: ChainIdentity, metadata: Metadata) -> Result<Self, ChainError> {
        let spec_version = identity.spec_version;
        let config = SubstrateConfig::builder()
            .set_genesis_hash(h256(identity.genesis))
            .set_metadata_for_spec_versions([(spec_version, Arc::new(metadata))])
            .set_spec_version_for_block_ranges([SpecVersionForRange {
                block_range: 0..u64::MAX,
                spec_version,
                transaction_version: identity.transaction_version,
            }])
            .build();
        let client =
            OfflineClient::new_with_config(config).at_block(0u64).map_err(|error| misfit(&identity, &error))?;
        Ok(Self { identity, client })
    }

    fn metadata(&self) -> &Metadata {
        self.client.metadata_ref()
    }

    fn misfit(&self, what: &dyn std::fmt::Display) -> ChainError {
        misfit(&self.identity, what)
    }

    /// Named misfits at the outset, instead of the first call that fails.
    fn check_pallet(&self) -> Result<(), ChainError> {
        let pallet = self
            .metadata()
            .pallet_by_name(PALLET)
            .ok_or_else(|| ChainError::PalletMissing { spec_name: self.identity.spec_name.clone() })?;
        for (name, arguments) in CALLS {
            let call = pallet
                .call_variant_by_name(name)
                .ok_or_else(|| self.misfit(&format!("the pallet Pakit has no call {name}")))?;
            let found: Vec<&str> = call.fields.iter().filter_map(|field| field.name.as_deref()).collect();
            if found != arguments {
                return Err(self.misfit(&format!("Pakit.{name} takes {found:?}, not {arguments:?}")));
            }
        }
        match API_METHODS.into_iter().find(|method| !self.has_method(method)) {
            Some(method) => Err(self.misfit(&format!("there is no runtime API {API}.{method}"))),
            None => Ok(()),
        }
    }

    fn has_method(&self, method: &str) -> bool {
        let api = self.metadata().runtime_api_trait_by_name(API);
        api.is_some_and(|api| api.method_by_name(method).is_some())
    }

    /// A constant of the pallet.
    fn constant<T: DecodeAsType>(&self, name: &str) -> Result<T, ChainError> {
        let address = subxt::dynamic::constant::<T>(PALLET, name);
        self.client.constants().entry(address).map_err(|error| self.misfit(&error))
    }

    fn existential_deposit(&self) -> Result<Balance, ChainError> {
        let address = subxt::dynamic::constant::<Balance>("Balances", "ExistentialDeposit");
        self.client.constants().entry(address).map_err(|error| self.misfit(&error))
    }

    fn events_key(&self) -> Result<Vec<u8>, subxt::error::StorageError> {
        let address = subxt::dynamic::storage::<(), subxt::dynamic::Value>("System", "Events");
        Ok(self.client.storage().entry(address)?.key_prefix().to_vec())
    }

    fn read_outcome(&self, events: Vec<u8>, extrinsic_index: u32) -> Result<Outcome, ChainError> {
        let events = self.client.events().from_bytes(events);
        let (mut created, mut anchor) = (None, None);
        for event in events.iter() {
            let event = event.map_err(|error| self.misfit(&error))?;
            if event.phase() != Phase::ApplyExtrinsic(extrinsic_index) {
                continue;
            }
            match (event.pallet_name(), event.event_name()) {
                (PALLET, "DagCreated") => {
                    let fields: shapes::DagCreatedOut =
                        event.decode_fields_unchecked_as().map_err(|error| self.misfit(&error))?;
                    created = Some(fields.dag);
                }
                (PALLET, "Anchored") => {
                    let fields: shapes::AnchoredOut =
                        event.decode_fields_unchecked_as().map_err(|error| self.misfit(&error))?;
                    anchor = Some(fields.anchor);
                }
                ("System", "ExtrinsicSuccess") => return Ok(Outcome::Succeeded { created, anchor }),
                ("System", "ExtrinsicFailed") => {
                    let error = DispatchError::decode_from(event.field_bytes(), self.client.metadata())
                        .map_err(|error| self.misfit(&error))?;
                    return Ok(Outcome::Failed(explain(&error)));
                }
                _ => {}
            }
        }
        Err(self.misfit(&"a block tells nothing about one of its extrinsics"))
    }

    fn sign<Args: EncodeAsFields>(
        &self,
        call: &str,
        args: Args,
        key: &SigningKey,
        nonce: u64,
        era: Era,
    ) -> Result<(Vec<u8>, ExtrinsicHash), ChainError> {
        let payload = subxt::dynamic::tx(PALLET, call, args);
        let params = SubstrateExtrinsicParamsBuilder::<SubstrateConfig>::new()
            .nonce(nonce)
            .mortal_from_unchecked(era.period, era.birth, h256(era.birth_hash))
            .build();
        let signed = self
            .client
            .tx()
            .create_signable_offline(&payload, params)
            .and_then(|mut signable| signable.sign(&key.pair().0))
            .map_err(|error| self.misfit(&error))?;
        let hash = ExtrinsicHash::new(signed.hash().0);
        Ok((signed.into_encoded(), hash))
    }
}

fn h256(hash: ChainBlockHash) -> H256 {
    H256(*hash.as_bytes())
}

fn misfit(identity: &ChainIdentity, what: &dyn std::fmt::Display) -> ChainError {
    ChainError::Incompatible {
        spec_name: identity.spec_name.clone(),
        spec_version: identity.spec_version,
        misfit: what.to_string(),
    }
}

fn explain(error: &DispatchError) -> CallFailure {
    let DispatchError::Module(module) = error else {
        return CallFailure { name: "DispatchError".to_owned(), explanation: error.to_string() };
    };
    match module.details() {
        Ok(details) => CallFailure {
            name: format!("{}::{}", details.pallet.name(), details.variant.name),
            explanation: details.variant.docs.join(" ").trim().to_owned(),
        },
        Err(unnamed) => CallFailure { name: error.to_string(), explanation: unnamed.to_string() },
    }
}
