//! The node's binary, from outside: its RPC, its ways of sealing, and what it remembers.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{thread, time::Duration};

use codec::{Decode, Encode};
use pakit_runtime_mock::{
    EXISTENTIAL_DEPOSIT, Hash, RuntimeCall, SignedPayload, TxExtension, UncheckedExtrinsic, VERSION,
};
use serde_json::{Value, json};
use sp_keyring::Sr25519Keyring::{Alice, Bob};
use sp_runtime::generic::Era;
use support::{Node, command};

/// Long enough for a block to appear where none should.
const QUIET: Duration = Duration::from_millis(700);

fn genesis(node: &Node) -> Hash {
    hash(&node.ask("chain_getBlockHash", json!([0])))
}

fn hash(text: &Value) -> Hash {
    Hash::from_slice(&hex::decode(text.as_str().unwrap().trim_start_matches("0x")).unwrap())
}

/// Alice's signed transfer to Bob.
fn transfer(genesis: Hash, nonce: u32) -> String {
    transfer_born(genesis, nonce, Era::Immortal, genesis)
}

/// One that is valid only on chains with that block of birth.
fn transfer_born(genesis: Hash, nonce: u32, era: Era, birth: Hash) -> String {
    let call = RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive {
        dest: Bob.to_account_id().into(),
        value: EXISTENTIAL_DEPOSIT,
    });
    let extension: TxExtension = (
        frame_system::AuthorizeCall::new(),
        frame_system::CheckNonZeroSender::new(),
        frame_system::CheckSpecVersion::new(),
        frame_system::CheckTxVersion::new(),
        frame_system::CheckGenesis::new(),
        frame_system::CheckMortality::from(era),
        frame_system::CheckNonce::from(nonce),
        frame_system::CheckWeight::new(),
        pallet_transaction_payment::ChargeTransactionPayment::from(0),
        frame_metadata_hash_extension::CheckMetadataHash::new(false),
        frame_system::WeightReclaim::new(),
    );
    let implicit = ((), (), VERSION.spec_version, VERSION.transaction_version, genesis, birth, (), (), (), None, ());
    let payload = SignedPayload::from_raw(call, extension, implicit);
    let signature = payload.using_encoded(|bytes| Alice.sign(bytes));
    let (call, extension, _) = payload.deconstruct();
    let signer = Alice.to_account_id();
    let extrinsic = UncheckedExtrinsic::new_signed(call, signer.into(), signature.into(), extension);
    format!("0x{}", hex::encode(extrinsic.encode()))
}

fn nonce_of_alice(node: &Node) -> Value {
    node.ask("system_accountNextIndex", json!([Alice.to_account_id().to_string()]))
}

#[test]
fn a_new_node_answers_what_clients_ask_first() {
    let node = Node::start(&["--tmp"]);
    assert!(node.address().ip().is_loopback());
    assert_eq!(node.ask("system_health", json!([])), json!({"peers": 0, "isSyncing": false, "shouldHavePeers": false}));
    assert_eq!((node.best(), node.finalized()), (0, 0));
    assert_eq!(nonce_of_alice(&node), json!(0));
    let properties = node.ask("system_properties", json!([]));
    assert_eq!(properties, json!({"tokenSymbol": "PAKT", "tokenDecimals": 12, "ss58Format": 42}));

    // The version comes out of the Wasm, and is the one this test was compiled with.
    let version = node.ask("state_getRuntimeVersion", json!([]));
    assert_eq!(version["specName"], json!(VERSION.spec_name));
    assert_eq!(version["specVersion"], json!(VERSION.spec_version));
    assert_eq!(version["apis"].as_array().unwrap().len(), VERSION.apis.len());

    let metadata = node.ask("state_getMetadata", json!([]));
    assert!(metadata.as_str().unwrap().starts_with("0x6d6574610e"), "not version 14");
    let versions = node.ask("state_call", json!(["Metadata_metadata_versions", "0x"]));
    let versions = hex::decode(versions.as_str().unwrap().trim_start_matches("0x")).unwrap();
    let versions = Vec::<u32>::decode(&mut &versions[..]).unwrap();
    assert!([14, 15, 16].iter().all(|version| versions.contains(version)), "{versions:?}");
}

#[test]
fn the_rpc_has_the_methods_of_a_stock_archive_node() {
    let node = Node::start(&["--tmp"]);
    let methods = node.ask("rpc_methods", json!([]));
    let methods: Vec<_> =
        methods["methods"].as_array().unwrap().iter().map(|method| method.as_str().unwrap()).collect();
    for method in [
        "archive_v1_body",
        "author_submitExtrinsic",
        "chainHead_v1_follow",
        "chainSpec_v1_genesisHash",
        "chain_getBlock",
        "dev_getBlockStats",
        "engine_createBlock",
        "engine_createBranch",
        "engine_finalizeBlock",
        "payment_queryInfo",
        "state_call",
        "system_accountNextIndex",
        "transactionWatch_v1_submitAndWatch",
        "transaction_v1_broadcast",
    ] {
        assert!(methods.contains(&method), "{method} is not among {methods:?}");
    }
}

#[test]
fn instant_sealing_makes_a_block_for_a_transaction_and_none_without() {
    let node = Node::start(&["--tmp", "--seal", "instant"]);
    thread::sleep(QUIET);
    assert_eq!(node.best(), 0);
    node.ask("author_submitExtrinsic", json!([transfer(genesis(&node), 0)]));
    node.until("a finalized block", |node| node.finalized() == 1);
    thread::sleep(QUIET);
    assert_eq!((node.best(), node.finalized()), (1, 1));
    assert_eq!(nonce_of_alice(&node), json!(1));
}

#[test]
fn instant_sealing_includes_every_transaction_of_a_burst_sent_in_the_wrong_order() {
    const TRANSACTIONS: u32 = 40;
    let node = Node::start(&["--tmp"]);
    let genesis = genesis(&node);
    for nonce in (0..TRANSACTIONS).rev() {
        node.ask("author_submitExtrinsic", json!([transfer(genesis, nonce)]));
    }
    // All but the last sent were waiting for it.
    node.until("all are included", |node| node.ask("author_pendingExtrinsics", json!([])) == json!([]));
    assert_eq!(nonce_of_alice(&node), json!(TRANSACTIONS));
    assert!(node.best() >= 1 && node.best() <= u64::from(TRANSACTIONS), "{}", node.best());
}

#[test]
fn interval_sealing_makes_empty_blocks_and_finality_follows_at_its_distance() {
    let node = Node::start(&["--tmp", "--seal", "interval=100", "--finalize-after", "3"]);
    node.until("six blocks", |node| node.best() >= 6);
    node.until("three finalized", |node| node.finalized() >= 3);
    for _ in 0..20 {
        // Asked in this order: the best block may grow in between, which only widens the distance.
        let finalized = node.finalized();
        assert!(node.best() >= finalized + 3);
    }
}

#[test]
fn manual_sealing_makes_and_finalizes_only_what_it_is_told_to() {
    let node = Node::start(&["--tmp", "--seal", "manual", "--finalize-after", "never"]);
    node.ask("author_submitExtrinsic", json!([transfer(genesis(&node), 0)]));
    thread::sleep(QUIET);
    assert_eq!(node.best(), 0);
    let first = node.ask("engine_createBlock", json!([false, false, null]));
    let second = node.ask("engine_createBlock", json!([true, false, null]));
    assert_eq!((node.best(), node.finalized()), (2, 0));
    assert!(node.call("engine_createBlock", json!([false, false, null])).get("error").is_some(), "nothing to include");

    node.ask("engine_finalizeBlock", json!([first["hash"], null]));
    assert_eq!((node.best(), node.finalized()), (2, 1));
    // A fork that becomes longer than the chain so far takes its place.
    let fork = node.ask("engine_createBlock", json!([true, false, first["hash"]]));
    assert_ne!(fork["hash"], second["hash"]);
    node.ask("engine_createBlock", json!([true, false, fork["hash"]]));
    node.until("the fork is the best chain", |node| node.ask("chain_getBlockHash", json!([2])) == fork["hash"]);
    assert_eq!(node.best(), 3);
}

/// As an operator does who tells the runtime's worker whom to ask.
#[test]
fn the_storage_of_off_chain_workers_can_be_written_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let base_path = folder.path().to_str().unwrap();
    let (key, value) = ("0x70616b6974", "0x0102");
    let node = Node::start(&["--base-path", base_path]);
    assert_eq!(node.ask("offchain_localStorageGet", json!(["PERSISTENT", key])), json!(null));
    node.ask("offchain_localStorageSet", json!(["PERSISTENT", key, value]));
    assert_eq!(node.ask("offchain_localStorageGet", json!(["PERSISTENT", key])), json!(value));
    assert!(node.stop("-TERM").success());
    let node = Node::start(&["--base-path", base_path]);
    assert_eq!(node.ask("offchain_localStorageGet", json!(["PERSISTENT", key])), json!(value));
}

/// The hashes of a new branch of that many blocks, the first with these extrinsics.
fn branch(node: &Node, parent: &Value, blocks: usize, extrinsics: &[String]) -> Vec<Value> {
    let made = node.ask("engine_createBranch", json!([parent, blocks, extrinsics]));
    assert_eq!(made.as_array().unwrap().len(), blocks);
    made.as_array().unwrap().clone()
}

fn best_hash(node: &Node) -> Value {
    node.ask("chain_getBlockHash", json!([]))
}

fn extrinsics_in(node: &Node, block: &Value) -> usize {
    node.ask("chain_getBlock", json!([block]))["block"]["extrinsics"].as_array().unwrap().len()
}

fn pending(node: &Node) -> Value {
    node.ask("author_pendingExtrinsics", json!([]))
}

fn forking_node() -> Node {
    Node::start(&["--tmp", "--seal", "manual", "--finalize-after", "never"])
}

/// What a call is refused with.
fn refusal(node: &Node, method: &str, parameters: Value) -> String {
    let answer = node.call(method, parameters);
    assert!(answer.get("result").is_none(), "{method}: {answer}");
    answer["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_branch_holds_what_it_is_told_to_and_nothing_of_the_pool() {
    let node = forking_node();
    let extrinsic = transfer(genesis(&node), 0);
    node.ask("author_submitExtrinsic", json!([extrinsic]));
    let empty = branch(&node, &Value::Null, 2, &[]);
    assert_eq!((node.best(), best_hash(&node)), (2, empty[1].clone()));
    // The time of day is an extrinsic of its own.
    assert_eq!(extrinsics_in(&node, &empty[0]), 1);
    assert_eq!(pending(&node), json!([extrinsic]));

    let beside = branch(&node, &json!(genesis(&node)), 2, std::slice::from_ref(&extrinsic));
    assert_eq!((extrinsics_in(&node, &beside[0]), extrinsics_in(&node, &beside[1])), (2, 1));
    assert_eq!(best_hash(&node), empty[1], "as long as the other, and later");
    let mut siblings: Vec<_> = (0..20).map(|_| branch(&node, &empty[0], 1, &[]).remove(0)).collect();
    siblings.push(empty[1].clone());
    siblings.sort_by_key(|hash| hash.to_string());
    siblings.dedup();
    assert_eq!(siblings.len(), 21, "blocks of the same millisecond are not the same");
}

#[test]
fn the_longer_branch_is_the_best_chain_and_what_it_left_behind_returns_to_the_pool() {
    let node = forking_node();
    let genesis = genesis(&node);
    let mut base = json!(genesis);
    for (nonce, depth) in (0..).zip([1, 2, 10]) {
        let extrinsic = transfer(genesis, nonce);
        let losing = branch(&node, &base, depth, std::slice::from_ref(&extrinsic));
        assert_eq!(best_hash(&node), losing[depth - 1]);
        assert_eq!(nonce_of_alice(&node), json!(nonce + 1));
        branch(&node, &base, depth, &[]);
        assert_eq!(best_hash(&node), losing[depth - 1], "the first of two as long");
        let winning = branch(&node, &base, depth + 1, &[]);
        assert_eq!(best_hash(&node), winning[depth]);
        node.until("it is in the pool again", |node| pending(node) == json!([extrinsic]));
        base = node.ask("engine_createBlock", json!([false, false, null]))["hash"].clone();
        assert_eq!((best_hash(&node), extrinsics_in(&node, &base)), (base.clone(), 2));
        assert_eq!(node.ask("engine_finalizeBlock", json!([base])), json!(true));
        assert_eq!(node.ask("chain_getFinalizedHead", json!([])), base);
    }
}

#[test]
fn an_extrinsic_born_in_the_losing_branch_does_not_come_back() {
    let node = forking_node();
    let genesis = genesis(&node);
    let born = branch(&node, &Value::Null, 1, &[]).remove(0);
    let extrinsic = transfer_born(genesis, 0, Era::mortal(64, 1), hash(&born));
    branch(&node, &born, 1, std::slice::from_ref(&extrinsic));
    assert_eq!(nonce_of_alice(&node), json!(1));
    let winning = branch(&node, &json!(genesis), 3, &[]);
    for _ in 0..3 {
        let block = node.ask("engine_createBlock", json!([true, false, null]))["hash"].clone();
        assert_eq!(extrinsics_in(&node, &block), 1);
    }
    assert_eq!((nonce_of_alice(&node), pending(&node)), (json!(0), json!([])));
    let refused = refusal(&node, "engine_createBranch", json!([winning[2], 1, [extrinsic]]));
    assert!(refused.contains("the runtime refuses extrinsic 0"), "{refused}");
}

#[test]
fn finality_is_told_by_hand_may_choose_the_shorter_branch_and_is_never_taken_back() {
    let node = forking_node();
    let genesis = json!(genesis(&node));
    let longer = branch(&node, &genesis, 3, &[]);
    let shorter = branch(&node, &genesis, 2, &[]);
    assert_eq!(best_hash(&node), longer[2]);
    node.ask("engine_finalizeBlock", json!([shorter[1], null]));
    assert_eq!((best_hash(&node), node.finalized()), (shorter[1].clone(), 2));
    let next = node.ask("engine_createBlock", json!([true, false, null]));
    assert_eq!(best_hash(&node), next["hash"]);

    for lost in [&longer[2], &shorter[0], &genesis, &json!(Hash::repeat_byte(7))] {
        refusal(&node, "engine_finalizeBlock", json!([lost]));
        assert_eq!(node.ask("chain_getFinalizedHead", json!([])), shorter[1]);
    }
    for lost in [&longer[2], &shorter[0], &genesis] {
        let refused = refusal(&node, "engine_createBranch", json!([lost, 9]));
        assert!(refused.contains("which no fork can leave behind"), "{refused}");
    }
    assert_eq!(best_hash(&node), next["hash"]);
}

#[test]
fn what_no_branch_can_be_made_of_is_refused_by_name_and_makes_no_block() {
    let node = forking_node();
    let genesis = genesis(&node);
    let early = transfer(genesis, 5);
    for (parameters, said) in [
        (json!([null, 0]), "from 1 to 1024 blocks, not 0"),
        (json!([null, 1025]), "from 1 to 1024 blocks, not 1025"),
        (json!([null, -1]), "engine_createBranch takes"),
        (json!(["0x12", 1]), "engine_createBranch takes"),
        (json!([null]), "engine_createBranch takes"),
        (json!([null, 1, "0x00"]), "engine_createBranch takes"),
        (json!([Hash::repeat_byte(7), 1]), "there is no block"),
        (json!([null, 2, ["0x"]]), "extrinsic 0 of the list is none"),
        (json!([null, 2, [transfer(genesis, 0), format!("{early}00")]]), "extrinsic 1 of the list is none"),
        (json!([null, 2, [transfer(genesis, 0), early]]), "the runtime refuses extrinsic 1"),
    ] {
        let refused = refusal(&node, "engine_createBranch", parameters.clone());
        assert!(refused.contains(said), "{parameters}: {refused}");
        assert_eq!(node.best(), 0, "{parameters}");
    }
}

#[test]
fn a_killed_node_comes_back_with_every_block_it_spoke_of() {
    const KILLS: u64 = 6;
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let base_path = folder.path().to_str().unwrap();
        Node::start(&["--base-path", base_path, "--seal", "interval=50", "--finalize-after", "1"])
    };
    let mut node = start();
    for kill in 1..=KILLS {
        node.until("five more blocks", |node| node.finalized() >= 5 * kill);
        let best = node.ask("chain_getBlockHash", json!([]));
        let finalized = node.ask("chain_getFinalizedHead", json!([]));
        node.kill();

        node = start();
        for hash in [best, finalized] {
            let block = node.ask("chain_getBlock", json!([hash]));
            assert!(block["block"]["header"]["number"].is_string(), "kill {kill}: {hash} is forgotten");
            node.ask("state_getRuntimeVersion", json!([hash]));
        }
        assert!(node.finalized() >= 5 * kill, "kill {kill}: the finalized block went back");
    }
}

#[test]
fn presets_are_chains_of_their_own_below_one_base_path() {
    let folder = tempfile::tempdir().unwrap();
    let chain = |preset| {
        let node = Node::start(&["--base-path", folder.path().to_str().unwrap(), "--preset", preset]);
        (genesis(&node), node.ask("system_chain", json!([])))
    };
    let (development, name) = chain("development");
    let (local, local_name) = chain("local_testnet");
    assert_ne!(development, local);
    assert_eq!((name, local_name), (json!("Pakit development"), json!("Pakit local_testnet")));
    assert_eq!(chain("development").0, development);
}

/// The specification, as the program prints it.
fn specification(arguments: &[&str]) -> Value {
    let output = command(&[&["export-chain-spec"], arguments].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_specification_has_what_a_stock_node_wants_of_it() {
    let wasm = json!(format!("0x{}", hex::encode(pakit_runtime_mock::wasm_binary())));
    for (preset, accounts) in [("development", 6), ("local_testnet", 12)] {
        let spec = specification(&["--preset", preset]);
        assert_eq!(spec["id"], json!(format!("pakit_{preset}")));
        assert_eq!((&spec["relay_chain"], &spec["para_id"]), (&json!("none"), &json!(2000)));
        let genesis = &spec["genesis"]["runtimeGenesis"];
        assert_eq!(genesis["patch"]["balances"]["balances"].as_array().unwrap().len(), accounts, "{preset}");
        assert!(genesis["code"] == wasm, "another Wasm");
    }
}

#[test]
fn a_raw_specification_is_the_genesis_state_that_the_node_itself_starts_with() {
    let raw = specification(&["--raw"]);
    let top = raw["genesis"]["raw"]["top"].as_object().unwrap();
    let node = Node::start(&["--tmp"]);
    let keys = node.ask("state_getKeysPaged", json!(["0x", 1000, null, node.ask("chain_getBlockHash", json!([0]))]));
    let mut keys: Vec<_> = keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    keys.sort_unstable();
    let mut exported: Vec<_> = top.keys().map(String::as_str).collect();
    exported.sort_unstable();
    assert_eq!(keys, exported);
    for (key, value) in top {
        assert!(node.ask("state_getStorage", json!([key])) == *value, "{key}");
    }
}

#[test]
fn a_specification_never_replaces_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spec.json");
    let written = |preset: &str| {
        let arguments = ["export-chain-spec", "--preset", preset, "-o", path.to_str().unwrap()];
        let output = command(&arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(written("local_testnet").0, Some(0));
    let (code, text) = written("development");
    assert_eq!(code, Some(1));
    assert!(text.contains("cannot write the chain's specification to"), "{text}");
    let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(kept["id"], json!("pakit_local_testnet"));
}

#[test]
fn a_node_that_is_asked_to_stop_stops_with_success() {
    for signal in ["-INT", "-TERM"] {
        let status = Node::start(&["--tmp", "--seal", "interval=50"]).stop(signal);
        assert!(status.success(), "{signal}: {status}");
    }
}

#[test]
fn a_taken_port_and_a_taken_folder_are_errors_and_not_another_node() {
    let folder = tempfile::tempdir().unwrap();
    let base_path = folder.path().to_str().unwrap();
    let node = Node::start(&["--base-path", base_path]);
    let refused = |arguments: &[&str]| {
        let output = command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let port = node.address().port().to_string();
    let text = refused(&["--tmp", "--rpc-port", &port]);
    assert!(text.contains("pakit-dev-node: "), "{text}");
    let text = refused(&["--base-path", base_path, "--rpc-port", "0"]);
    assert!(text.contains("is another node using it?"), "{text}");
}
