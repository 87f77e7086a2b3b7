// The pallet through polkadot-api, without generated descriptors: what it knows it has from the node's metadata alone.

import { Keyring } from "@polkadot/keyring";
import { createKeyMulti, cryptoWaitReady } from "@polkadot/util-crypto";
import { Binary, createClient } from "polkadot-api";
import { getPolkadotSigner, withMetadataHash } from "polkadot-api/signer";
import { getWsProvider } from "polkadot-api/ws";
import { WebSocket } from "ws";

import { assert, given, refused, run } from "./expect.mjs";

// Node.js has a WebSocket of its own from version 22 on.
const client = createClient(getWsProvider(given.url, { websocketClass: WebSocket }));
const api = client.getUnsafeApi();
await cryptoWaitReady();
const keys = new Keyring({ type: "sr25519" });
// Nobody of the other clients' tests.
const [owner, proxy, other] = ["//Charlie", "//Charlie//stash", "//Dave"].map((uri) => {
  const pair = keys.addFromUri(uri);
  const signer = getPolkadotSigner(pair.publicKey, "Sr25519", (bytes) => pair.sign(bytes));
  return { address: pair.address, publicKey: pair.publicKey, signer };
});
const { genesis, newest, root } = given;
const id = (address) => ({ type: "Id", value: address });

/** What the chain made of a call: its events, once it is final, or the name of its error. */
async function submit(tx, { signer }) {
  const { events, ok, dispatchError } = await tx.signAndSubmit(signer);
  assert.equal(ok, dispatchError === undefined);
  return { events, error: named(dispatchError) };
}

function named(error) {
  if (error?.type !== "Module") return error?.type;
  return `${error.value.type}.${error.value.value.type}`;
}

/** The data of the one event of that name. */
function only({ events, error }, pallet, name) {
  assert.equal(error, undefined);
  const found = events.filter(({ type, value }) => type === pallet && value.type === name);
  assert.equal(found.length, 1, `${pallet}.${name} among ${events.map(({ type, value }) => `${type}.${value.type}`)}`);
  return found[0].value.value;
}

const headerOf = (hex) => Binary.fromHex(hex);
const createDag = (header = genesis.header) =>
  api.tx.Pakit.create_dag({ genesis_header: headerOf(header), succeeds: undefined });
/** From the genesis alone to both blocks. What proves it is the other block's hash, each way. */
const anchor = (dag) =>
  api.tx.Pakit.anchor({
    dag,
    new_head: { size: 2n, root },
    consistency: [newest.block],
    newest_header: headerOf(newest.header),
    inclusion: [genesis.block],
  });
const dagCreated = (result) => only(result, "Pakit", "DagCreated").dag;
// The best block may be ahead of the final one, which is what is asked without naming one.
const ownerOf = async (dag) => (await api.apis.PakitApi.dag(dag)).owner;

let dag;

const tests = [
  [
    "a DAG is created and its event is decoded",
    async () => {
      const created = only(await submit(createDag(), owner), "Pakit", "DagCreated");
      dag = created.dag;
      assert.deepEqual([created.owner, created.genesis], [owner.address, genesis.block]);
    },
  ],
  [
    "a head is anchored and its event is decoded",
    async () => {
      const anchored = only(await submit(anchor(dag), owner), "Pakit", "Anchored");
      const { slices, ...rest } = anchored;
      assert.deepEqual(rest, { dag, anchor: 2n, head: { size: 2n, root }, depth: 1, by: owner.address });
      assert.equal(slices, 2n);
    },
  ],
  [
    "errors of the pallet come by their names",
    async () => {
      assert.equal((await submit(anchor(dag), owner)).error, "Pakit.StaleSize");
      assert.equal((await submit(anchor(dag), other)).error, "Pakit.NotOwnerNorOperator");
      assert.equal((await submit(createDag("0x504b5431"), owner)).error, "Pakit.HeaderTruncated");
    },
  ],
  [
    "the runtime API answers, and refuses by name",
    async () => {
      const { dag: ask, head, verify_inclusion: verify } = api.apis.PakitApi;
      const info = await ask(dag);
      assert.deepEqual([info.owner, info.genesis, info.anchors], [owner.address, genesis.block, 2n]);
      const [number, anchored] = await head(dag);
      assert.deepEqual([number, anchored.head], [2n, { size: 2n, root }]);
      const verified = await verify(dag, 2n, headerOf(newest.header), [genesis.block]);
      assert.equal(verified.success, true);
      assert.deepEqual([verified.value.block_hash, verified.value.leaf_index], [newest.block, 1n]);
      const wrong = await verify(dag, 2n, headerOf(newest.header), [newest.block]);
      assert.deepEqual([wrong.success, wrong.value.type], [false, "NotInLog"]);
      assert.equal(await ask(4_294_967_295), undefined);
    },
  ],
  [
    "a batch creates a DAG and makes its proxy, or nothing of both",
    async () => {
      const batch = (...calls) => api.tx.Utility.batch_all({ calls: calls.map(({ decodedCall }) => decodedCall) });
      assert.equal((await submit(batch(createDag(), anchor(4_294_967_295)), owner)).error, "Pakit.UnknownDag");
      const add = api.tx.Proxy.add_proxy({
        delegate: id(proxy.address),
        proxy_type: { type: "Anchor", value: undefined },
        delay: 0,
      });
      const made = await submit(batch(createDag(), add), owner);
      only(made, "Proxy", "ProxyAdded");
      dag = dagCreated(made);
      assert.equal(await ownerOf(dag), owner.address);
    },
  ],
  [
    "a proxy that may anchor anchors in its owner's name, and creates nothing",
    async () => {
      const through = ({ decodedCall: call }) =>
        submit(api.tx.Proxy.proxy({ real: id(owner.address), force_proxy_type: undefined, call }), proxy);
      const result = (done) => only(done, "Proxy", "ProxyExecuted").result;
      assert.equal(named(result(await through(createDag())).value), "System.CallFiltered");
      const done = await through(anchor(dag));
      assert.equal(result(done).success, true);
      assert.equal(only(done, "Pakit", "Anchored").by, owner.address);
      assert.equal(named(result(await through(anchor(dag))).value), "Pakit.StaleSize");
    },
  ],
  [
    "two of three create a DAG that the multisig owns",
    async () => {
      const parties = [owner, proxy, other].sort((one, next) => Buffer.compare(one.publicKey, next.publicKey));
      const together = keys.encodeAddress(createKeyMulti(parties.map(({ publicKey }) => publicKey), 2));
      const endow = api.tx.Balances.transfer_keep_alive({ dest: id(together), value: 10n ** 15n });
      only(await submit(endow, owner), "Balances", "Transfer");
      const call = createDag();
      const { weight } = await call.getPaymentInfo(owner.address);
      const agree = (party, maybe_timepoint) =>
        submit(
          api.tx.Multisig.as_multi({
            threshold: 2,
            other_signatories: parties.filter((one) => one !== party).map(({ address }) => address),
            maybe_timepoint,
            call: call.decodedCall,
            max_weight: weight,
          }),
          party,
        );
      const first = only(await agree(owner, undefined), "Multisig", "NewMultisig");
      const { when } = await api.query.Multisig.Multisigs.getValue(together, first.call_hash);
      assert.equal((await agree(owner, when)).error, "Multisig.AlreadyApproved");
      const done = await agree(other, when);
      assert.equal(only(done, "Multisig", "MultisigExecuted").result.success, true);
      assert.equal(await ownerOf(dagCreated(done)), together);
    },
  ],
  [
    "a transaction with the hash of the metadata is accepted, and one with another hash is refused",
    async () => {
      const { token: tokenSymbol, decimals } = given;
      const states = (network) => submit(createDag(), { signer: withMetadataHash(network, owner.signer) });
      assert.equal(await ownerOf(dagCreated(await states({ tokenSymbol, decimals }))), owner.address);
      // As a wallet would that shows its user other amounts than the chain takes.
      const error = await refused(states({ tokenSymbol, decimals: decimals - 1 }), "a wrong metadata hash");
      // A node that has no hash of its own says that it cannot look it up.
      assert.deepEqual(error.error, { type: "Invalid", value: { type: "BadProof", value: undefined } });
    },
  ],
];

await run("polkadot-api", tests);
