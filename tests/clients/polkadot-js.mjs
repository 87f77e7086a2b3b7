// The pallet through @polkadot/api, which most wallets and block explorers are built on.

import { merkleizeMetadata } from "@polkadot-api/merkleize-metadata";
import { ApiPromise, Keyring, WsProvider } from "@polkadot/api";
import { u8aToHex } from "@polkadot/util";
import { createKeyMulti } from "@polkadot/util-crypto";

import { assert, given, refused, run } from "./expect.mjs";

const api = await ApiPromise.create({ provider: new WsProvider(given.url), noInitWarn: true, throwOnConnect: true });
const keys = new Keyring({ type: "sr25519" });
// Nobody of the other clients' tests.
const [owner, proxy, other] = ["//Alice", "//Alice//stash", "//Bob"].map((uri) => keys.addFromUri(uri));
const { genesis, newest, root } = given;
const { pakit, proxy: proxies, multisig, utility, balances } = api.tx;

/** What the chain made of a call: its events, once it is final, or the name of its error. */
function submit(call, signer, options = {}) {
  return new Promise((resolve, reject) => {
    call
      .signAndSend(signer, options, ({ status, events, dispatchError }) => {
        if (status.isInvalid || status.isDropped || status.isUsurped) reject(new Error(`the pool says ${status.type}`));
        if (status.isFinalized) resolve({ events: events.map(({ event }) => event), error: named(dispatchError) });
      })
      .catch(reject);
  });
}

function named(dispatchError) {
  if (!dispatchError) return undefined;
  if (!dispatchError.isModule) return dispatchError.toString();
  const { section, name } = api.registry.findMetaError(dispatchError.asModule);
  return `${section}.${name}`;
}

/** The data of the one event of that name. */
function only({ events, error }, section, method) {
  assert.equal(error, undefined);
  const found = events.filter((event) => event.section === section && event.method === method);
  assert.equal(found.length, 1, `${section}.${method} among ${events.map(({ section, method }) => `${section}.${method}`)}`);
  return found[0].data;
}

const createDag = () => pakit.createDag(genesis.header, null);
/** From the genesis alone to both blocks. What proves it is the other block's hash, each way. */
const anchor = (dag) => pakit.anchor(dag, { size: 2, root }, [newest.block], newest.header, [genesis.block]);
const dagCreated = (result) => only(result, "pakit", "DagCreated").dag.toNumber();
const ownerOf = async (dag) => (await api.call.pakitApi.dag(dag)).unwrap().owner.toString();

let dag;

const tests = [
  [
    "a DAG is created and its event is decoded",
    async () => {
      const created = only(await submit(createDag(), owner), "pakit", "DagCreated");
      dag = created.dag.toNumber();
      assert.equal(created.owner.toString(), owner.address);
      assert.equal(created.genesis.toHex(), genesis.block);
    },
  ],
  [
    "a head is anchored and its event is decoded",
    async () => {
      const anchored = only(await submit(anchor(dag), owner), "pakit", "Anchored");
      assert.equal(anchored.dag.toNumber(), dag);
      assert.equal(anchored.anchor.toNumber(), 2);
      // Structs are maps there, whose own `size` a field of that name may not hide.
      assert.equal(anchored.head.size_.toNumber(), 2);
      assert.equal(anchored.head.root.toHex(), root);
      assert.equal(anchored.depth.toNumber(), 1);
      assert.equal(anchored.by.toString(), owner.address);
    },
  ],
  [
    "errors of the pallet come by their names",
    async () => {
      assert.equal((await submit(anchor(dag), owner)).error, "pakit.StaleSize");
      assert.equal((await submit(anchor(dag), other)).error, "pakit.NotOwnerNorOperator");
      assert.equal((await submit(pakit.createDag("0x504b5431", null), owner)).error, "pakit.HeaderTruncated");
    },
  ],
  [
    "the runtime API answers, and refuses by name",
    async () => {
      const info = (await api.call.pakitApi.dag(dag)).unwrap();
      assert.equal(info.owner.toString(), owner.address);
      assert.equal(info.genesis.toHex(), genesis.block);
      assert.equal(info.anchors.toNumber(), 2);
      const [number, head] = (await api.call.pakitApi.head(dag)).unwrap();
      assert.deepEqual([number.toNumber(), head.head.root.toHex()], [2, root]);
      const verified = (await api.call.pakitApi.verifyInclusion(dag, 2, newest.header, [genesis.block])).asOk;
      assert.deepEqual([verified.blockHash.toHex(), verified.leafIndex.toNumber()], [newest.block, 1]);
      const wrong = await api.call.pakitApi.verifyInclusion(dag, 2, newest.header, [newest.block]);
      assert.equal(wrong.asErr.type, "NotInLog");
      assert.ok((await api.call.pakitApi.dag(4_294_967_295)).isNone);
    },
  ],
  [
    "a batch creates a DAG and makes its proxy, or nothing of both",
    async () => {
      const fails = await submit(utility.batchAll([createDag(), anchor(4_294_967_295)]), owner);
      assert.equal(fails.error, "pakit.UnknownDag");
      const batch = [createDag(), proxies.addProxy(proxy.address, "Anchor", 0)];
      const made = await submit(utility.batchAll(batch), owner);
      only(made, "proxy", "ProxyAdded");
      dag = dagCreated(made);
      assert.equal(await ownerOf(dag), owner.address);
    },
  ],
  [
    "a proxy that may anchor anchors in its owner's name, and creates nothing",
    async () => {
      const through = (call) => submit(proxies.proxy(owner.address, null, call), proxy);
      const created = only(await through(createDag()), "proxy", "ProxyExecuted");
      assert.equal(named(created.result.asErr), "system.CallFiltered");
      const done = await through(anchor(dag));
      assert.ok(only(done, "proxy", "ProxyExecuted").result.isOk);
      assert.equal(only(done, "pakit", "Anchored").by.toString(), owner.address);
      const again = only(await through(anchor(dag)), "proxy", "ProxyExecuted");
      assert.equal(named(again.result.asErr), "pakit.StaleSize");
    },
  ],
  [
    "two of three create a DAG that the multisig owns",
    async () => {
      const parties = [owner, proxy, other];
      const together = keys.encodeAddress(createKeyMulti(parties.map(({ address }) => address), 2));
      only(await submit(balances.transferKeepAlive(together, 10n ** 15n), owner), "balances", "Transfer");
      const { weight } = await createDag().paymentInfo(owner);
      const agree = (signer, timepoint) => {
        const others = parties.filter((party) => party !== signer).map(({ address }) => address);
        // In the order of the accounts' bytes, which is not that of their addresses.
        others.sort((one, next) => (u8aToHex(keys.decodeAddress(one)) < u8aToHex(keys.decodeAddress(next)) ? -1 : 1));
        return submit(multisig.asMulti(2, others, timepoint, createDag(), weight), signer);
      };
      const first = await agree(owner, null);
      only(first, "multisig", "NewMultisig");
      const callHash = createDag().method.hash;
      const { when } = (await api.query.multisig.multisigs(together, callHash)).unwrap();
      assert.equal((await agree(owner, when)).error, "multisig.AlreadyApproved");
      const done = await agree(other, when);
      assert.ok(only(done, "multisig", "MultisigExecuted").result.isOk);
      assert.equal(await ownerOf(dagCreated(done)), together);
    },
  ],
  [
    "a transaction with the hash of the metadata is accepted, and one with another hash is refused",
    async () => {
      const metadata = (await api.call.metadata.metadataAtVersion(15)).unwrap();
      const { token: tokenSymbol, decimals } = given;
      const digest = merkleizeMetadata(u8aToHex(metadata), { tokenSymbol, decimals }).digest();
      // As text: of bytes, the first would be taken for that of an option.
      const states = (hash) => submit(createDag(), owner, { mode: 1, metadataHash: u8aToHex(hash) });
      assert.equal(await ownerOf(dagCreated(await states(digest))), owner.address);
      const wrong = digest.slice();
      wrong[31] ^= 1;
      const error = await refused(states(wrong), "a wrong metadata hash");
      // A node that has no hash of its own says that it cannot look it up.
      assert.match(error.message, /bad signature/i);
    },
  ],
];

await run("polkadot-js", tests);
