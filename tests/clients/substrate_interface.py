"""The pallet through substrate-interface, which Python programs talk to Substrate chains with."""

import json
import sys
import time

from substrateinterface import Keypair, SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException

GIVEN = json.load(open(sys.argv[1], encoding="utf-8"))
GENESIS, NEWEST, ROOT = GIVEN["genesis"], GIVEN["newest"], GIVEN["root"]
NO_DAG = 2**32 - 1

# Runtime APIs are the one thing that this client does not take from the metadata: it wants to be told.
HEAD = {"type": "struct", "type_mapping": [["size", "u64"], ["root", "H256"]]}
ANCHORED_HEAD = {
    "type": "struct",
    "type_mapping": [["head", "PakitHead"], ["depth", "u32"], ["slices", "u64"], ["block_number", "u32"]],
}
SUCCESSION = {"type": "struct", "type_mapping": [["dag", "u32"], ["size", "u64"], ["root", "H256"]]}
DAG_INFO = {
    "type": "struct",
    "type_mapping": [
        ["owner", "AccountId"],
        ["operators", "Vec<AccountId>"],
        ["pending_owner", "Option<AccountId>"],
        ["genesis", "H256"],
        ["anchors", "u64"],
        ["latest", "PakitHead"],
        ["retired", "bool"],
        ["succeeds", "Option<PakitSuccession>"],
        ["successor", "Option<u32>"],
        ["deposit", "u128"],
    ],
}
PAKIT_API = {
    "methods": {
        "dag": {"params": [{"name": "dag", "type": "u32"}], "type": "Option<PakitDagInfo>"},
        "head": {"params": [{"name": "dag", "type": "u32"}], "type": "Option<(u64, PakitAnchoredHead)>"},
    },
    "types": {
        "PakitHead": HEAD,
        "PakitAnchoredHead": ANCHORED_HEAD,
        "PakitSuccession": SUCCESSION,
        "PakitDagInfo": DAG_INFO,
    },
}

chain = SubstrateInterface(url=GIVEN["url"], type_registry={"runtime_api": {"PakitApi": PAKIT_API}})
# Nobody of the other clients' tests.
owner, proxy, other = (Keypair.create_from_uri(uri) for uri in ("//Eve", "//Eve//stash", "//Ferdie"))


def submit(call, signer):
    return sent(chain.create_signed_extrinsic(call=call, keypair=signer))


def sent(extrinsic):
    """What the chain made of it, once it is final."""
    return chain.submit_extrinsic(extrinsic, wait_for_finalization=True)


def call(pallet, function, **arguments):
    return chain.compose_call(pallet, function, arguments)


def create_dag(header=GENESIS["header"]):
    return call("Pakit", "create_dag", genesis_header=header, succeeds=None)


def anchor(dag):
    """From the genesis alone to both blocks. What proves it is the other block's hash, each way."""
    # A bounded list is, to this client, a list of one list.
    return call(
        "Pakit",
        "anchor",
        dag=dag,
        new_head={"size": 2, "root": ROOT},
        consistency=[[NEWEST["block"]]],
        newest_header=NEWEST["header"],
        inclusion=[[GENESIS["block"]]],
    )


def only(receipt, pallet, name):
    """The data of the one event of that name."""
    same(receipt.is_success, True, receipt.error_message)
    events = [event.value["event"] for event in receipt.triggered_events]
    found = [event for event in events if (event["module_id"], event["event_id"]) == (pallet, name)]
    same(len(found), 1, f"{pallet}.{name} among {events}")
    return found[0]["attributes"]


def error_of(receipt):
    """The name of the pallet's error that a call ended with."""
    same(receipt.is_success, False, "the call was to fail")
    return receipt.error_message["name"]


def name_of(result):
    """The name of the error within an event."""
    module = result["Err"]["Module"]
    error = chain.metadata.get_module_error(module["index"], bytes.fromhex(module["error"][2:])[0])
    return error.name


def owner_of(dag):
    return chain.runtime_call("PakitApi", "dag", [dag]).value["owner"]


def same(actual, expected, what="not the same"):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r} instead of {expected!r}")


def a_dag_is_created_and_its_event_is_decoded(state):
    created = only(submit(create_dag(), owner), "Pakit", "DagCreated")
    same((created["owner"], created["genesis"]), (owner.ss58_address, GENESIS["block"]))
    state["dag"] = created["dag"]


def a_head_is_anchored_and_its_event_is_decoded(state):
    anchored = only(submit(anchor(state["dag"]), owner), "Pakit", "Anchored")
    same((anchored["dag"], anchored["anchor"], anchored["depth"]), (state["dag"], 2, 1))
    same(anchored["head"], {"size": 2, "root": ROOT})
    same(anchored["by"], owner.ss58_address)


def errors_of_the_pallet_come_by_their_names(state):
    same(error_of(submit(anchor(state["dag"]), owner)), "StaleSize")
    same(error_of(submit(anchor(state["dag"]), other)), "NotOwnerNorOperator")
    same(error_of(submit(create_dag("0x504b5431"), owner)), "HeaderTruncated")


def the_runtime_api_answers(state):
    info = chain.runtime_call("PakitApi", "dag", [state["dag"]]).value
    same((info["owner"], info["genesis"], info["anchors"]), (owner.ss58_address, GENESIS["block"], 2))
    number, anchored = chain.runtime_call("PakitApi", "head", [state["dag"]]).value
    same((number, anchored["head"]), (2, {"size": 2, "root": ROOT}))
    same(chain.runtime_call("PakitApi", "dag", [NO_DAG]).value, None)


def a_batch_creates_a_dag_and_makes_its_proxy_or_nothing_of_both(state):
    def batch(*calls):
        return call("Utility", "batch_all", calls=list(calls))

    same(error_of(submit(batch(create_dag(), anchor(NO_DAG)), owner)), "UnknownDag")
    add = call("Proxy", "add_proxy", delegate=proxy.ss58_address, proxy_type="Anchor", delay=0)
    made = submit(batch(create_dag(), add), owner)
    only(made, "Proxy", "ProxyAdded")
    state["dag"] = only(made, "Pakit", "DagCreated")["dag"]
    same(owner_of(state["dag"]), owner.ss58_address)


def a_proxy_that_may_anchor_anchors_in_its_owners_name_and_creates_nothing(state):
    def through(inner):
        outer = call("Proxy", "proxy", real=owner.ss58_address, force_proxy_type=None, call=inner)
        return submit(outer, proxy)

    same(name_of(only(through(create_dag()), "Proxy", "ProxyExecuted")["result"]), "CallFiltered")
    done = through(anchor(state["dag"]))
    same("Ok" in only(done, "Proxy", "ProxyExecuted")["result"], True)
    same(only(done, "Pakit", "Anchored")["by"], owner.ss58_address)
    again = through(anchor(state["dag"]))
    same(name_of(only(again, "Proxy", "ProxyExecuted")["result"]), "StaleSize")


def two_of_three_create_a_dag_that_the_multisig_owns(state):
    parties = [owner.ss58_address, proxy.ss58_address, other.ss58_address]
    together = chain.generate_multisig_account(parties, 2)
    endow = call("Balances", "transfer_keep_alive", dest=together.ss58_address, value=10**15)
    only(submit(endow, owner), "Balances", "Transfer")

    def agree(signer):
        return sent(chain.create_multisig_extrinsic(create_dag(), signer, together))

    only(agree(owner), "Multisig", "NewMultisig")
    same(error_of(agree(owner)), "AlreadyApproved")
    done = agree(other)
    same("Ok" in only(done, "Multisig", "MultisigExecuted")["result"], True)
    same(owner_of(only(done, "Pakit", "DagCreated")["dag"]), together.ss58_address)


def a_signature_of_another_call_is_refused(_state):
    extrinsic = chain.create_signed_extrinsic(call=create_dag(), keypair=owner)
    signed = bytearray.fromhex(str(extrinsic.data)[2:])
    # The last byte of the call: that of `succeeds`.
    signed[-2] ^= 1
    try:
        chain.rpc_request("author_submitExtrinsic", ["0x" + signed.hex()])
    except SubstrateRequestException as error:
        same("bad signature" in str(error), True, str(error))
        return
    raise AssertionError("a changed transaction was accepted")


TESTS = (
    a_dag_is_created_and_its_event_is_decoded,
    a_head_is_anchored_and_its_event_is_decoded,
    errors_of_the_pallet_come_by_their_names,
    the_runtime_api_answers,
    a_batch_creates_a_dag_and_makes_its_proxy_or_nothing_of_both,
    a_proxy_that_may_anchor_anchors_in_its_owners_name_and_creates_nothing,
    two_of_three_create_a_dag_that_the_multisig_owns,
    a_signature_of_another_call_is_refused,
)


def main():
    start, state = time.monotonic(), {}
    for test in TESTS:
        before = time.monotonic()
        test(state)
        print(f"substrate-interface: {test.__name__.replace('_', ' ')} ({(time.monotonic() - before) * 1000:.0f} ms)")
    print(f"substrate-interface: {len(TESTS)} tests passed in {(time.monotonic() - start) * 1000:.0f} ms")


main()
