#!/usr/bin/env python3
"""Pakit's formats a second time, for cross-checking the Rust crate and for whoever wants a verifier to read in an hour.

Written from docs/formats.md, RFC 6962 / RFC 9162 and the BLAKE3 paper, in plain recursive definitions. It shares no code
with the Rust implementation and needs only Python's standard library (3.8 or newer).

    pakit.py generate [--check]         write vectors.json beside this file, or fail if it is not what would be written
    pakit.py verify PROOF.json [FILE] [--root HEX --size N] [--genesis HEX]

`verify` prints one JSON object {"valid", "consistent", "checked", "head", "error"} and exits with 0 if the proof is valid,
1 if it is refused or no head to trust was given, 2 if it was called wrongly or a file cannot be read.
"""

import argparse
import hashlib
import json
import os
import struct
import sys
from functools import lru_cache
from itertools import combinations, takewhile


class Refused(Exception):
    """A named reason not to accept something."""

    def __init__(self, kind, detail=""):
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


def demand(condition, kind, detail=""):
    if not condition:
        raise Refused(kind, detail)


# ---------------------------------------------------------------------------------------------------------- BLAKE3
# The BLAKE3 paper, section 2. A word is one Python integer that holds a 32-bit lane for each of many chunks, in steps of
# 64 bits: the upper half of a step takes the carries and the bits that a rotation pushes out, and a mask clears it. With
# one lane this is the textbook compression function; with many it hashes as many chunks in the same number of steps.

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
CHUNK, BLOCK = 1024, 64
LANES_MAX = 512
COLUMNS_THEN_DIAGONALS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)


@lru_cache(maxsize=None)
def ones(lanes):
    """The value 1 in each lane."""
    return sum(1 << (64 * lane) for lane in range(lanes))


def compress(chaining, message, counter, length, flags, lanes=1):
    """Paper, section 2.2, cut to the eight words that are a chaining value. `counter` is a pair (low, high) of words."""
    one = ones(lanes)
    mask = one * 0xFFFFFFFF
    v = list(chaining) + [one * word for word in IV[:4]] + [counter[0], counter[1], one * length, one * flags]
    m = list(message)
    for _ in range(7):
        for step, (a, b, c, d) in enumerate(COLUMNS_THEN_DIAGONALS):
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb + m[2 * step]) & mask
            vd ^= va
            vd = ((vd >> 16) | (vd << 16)) & mask
            vc = (vc + vd) & mask
            vb ^= vc
            vb = ((vb >> 12) | (vb << 20)) & mask
            va = (va + vb + m[2 * step + 1]) & mask
            vd ^= va
            vd = ((vd >> 8) | (vd << 24)) & mask
            vc = (vc + vd) & mask
            vb ^= vc
            vb = ((vb >> 7) | (vb << 25)) & mask
            v[a], v[b], v[c], v[d] = va, vb, vc, vd
        m = [m[source] for source in PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)]


def spread(words):
    """One integer with a word in each lane."""
    return int.from_bytes(struct.pack(f"<{len(words)}Q", *words), "little")


def gather(lanes, count):
    return struct.unpack(f"<{count}Q", lanes.to_bytes(8 * count, "little"))


def chunk_value(data, index, last_flag=0):
    """Chaining value of one chunk of 0 to 1,024 bytes; with ROOT, the hash of an input that is this chunk alone."""
    value = list(IV)
    blocks = [data[at:at + BLOCK] for at in range(0, len(data), BLOCK)] or [b""]
    for number, block in enumerate(blocks):
        flags = CHUNK_START if number == 0 else 0
        if number == len(blocks) - 1:
            flags |= CHUNK_END | last_flag
        message = struct.unpack("<16I", block.ljust(BLOCK, b"\0"))
        value = compress(value, message, (index & 0xFFFFFFFF, index >> 32), len(block), flags)
    return struct.pack("<8I", *value)


def full_chunk_values(data, first_index):
    """Chaining values of whole chunks, all of them at once."""
    count = len(data) // CHUNK
    words = struct.unpack(f"<{count * 256}I", data)
    indices = range(first_index, first_index + count)
    counter = (spread([index & 0xFFFFFFFF for index in indices]), spread([index >> 32 for index in indices]))
    value = [ones(count) * word for word in IV]
    for block in range(16):
        message = [spread(words[16 * block + word::256]) for word in range(16)]
        flags = (CHUNK_START if block == 0 else 0) | (CHUNK_END if block == 15 else 0)
        value = compress(value, message, counter, BLOCK, flags, count)
    return [struct.pack("<8I", *words_of_chunk) for words_of_chunk in zip(*(gather(word, count) for word in value))]


def leaf_values(data):
    """Chaining values of all chunks of an input of more than one chunk."""
    whole = (len(data) - 1) // CHUNK
    values = []
    for first in range(0, whole, LANES_MAX):
        last = min(whole, first + LANES_MAX)
        values += full_chunk_values(data[first * CHUNK:last * CHUNK], first)
    return values + [chunk_value(data[whole * CHUNK:], whole)]


def parent_value(left, right, flag=0):
    return struct.pack("<8I", *compress(IV, struct.unpack("<16I", left + right), (0, 0), BLOCK, PARENT | flag))


def split(n):
    """The largest power of two below n, n > 1: where both trees part."""
    return 1 << ((n - 1).bit_length() - 1)


def subtree_value(values):
    """Chaining value of the subtree over the given chunks."""
    if len(values) == 1:
        return values[0]
    k = split(len(values))
    return parent_value(subtree_value(values[:k]), subtree_value(values[k:]))


def blake3(data):
    if len(data) <= CHUNK:
        return chunk_value(data, 0, ROOT)
    values = leaf_values(data)
    k = split(len(values))
    return parent_value(subtree_value(values[:k]), subtree_value(values[k:]), ROOT)


def slice_siblings(data, index):
    """The chaining values that lead from chunk `index` to the root, lowest first."""
    values = leaf_values(data) if len(data) > CHUNK else [None]
    return [subtree_value(values[low:high]) for low, high in path_ranges(index, 0, len(values))]


def slice_root(index, count, piece, siblings):
    """The hash that a slice and its siblings lead to."""
    if count == 1:
        demand(not siblings, "WrongSiblingCount")
        return chunk_value(piece, 0, ROOT)

    def up(i, n, rest, flag):
        if n == 1:
            demand(not rest, "WrongSiblingCount")
            return chunk_value(piece, index)
        demand(rest, "WrongSiblingCount")
        k = split(n)
        if i < k:
            return parent_value(up(i, k, rest[:-1], 0), rest[-1], flag)
        return parent_value(rest[-1], up(i - k, n - k, rest[:-1], 0), flag)

    return up(index, count, siblings, ROOT)


# -------------------------------------------------------------------------------------------------------------- log
# RFC 6962, section 2.1. A proof is first a list of ranges of leaves; the hashes of these ranges are its bytes.

SIZE_MAX = 1 << 48


def leaf_hash(data):
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def path_ranges(m, low, high):
    """PATH(m, D[low:high])."""
    if high - low == 1:
        return []
    middle = low + split(high - low)
    if m < middle:
        return path_ranges(m, low, middle) + [(middle, high)]
    return path_ranges(m, middle, high) + [(low, middle)]


def subproof_ranges(m, low, high, whole):
    """SUBPROOF(m, D[low:high], whole); m counts from leaf 0."""
    if m == high:
        return [] if whole else [(low, high)]
    middle = low + split(high - low)
    if m <= middle:
        return subproof_ranges(m, low, middle, whole) + [(middle, high)]
    return subproof_ranges(m, middle, high, False) + [(low, middle)]


def multiproof_ranges(wanted, low, high):
    inside = [leaf for leaf in wanted if low <= leaf < high]
    if not inside:
        return [(low, high)]
    if high - low == 1:
        return []
    middle = low + split(high - low)
    return multiproof_ranges(inside, low, middle) + multiproof_ranges(inside, middle, high)


def delta_shared(reference, leaf, size):
    """The ranges at which the ends of two paths are the same."""
    pairs = zip(reversed(path_ranges(reference, 0, size)), reversed(path_ranges(leaf, 0, size)))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


class Log:
    def __init__(self, leaves):
        self.leaves = leaves
        self.root = lru_cache(maxsize=None)(self._root)

    def _root(self, low, high):
        """MTH(D[low:high])."""
        if high - low == 1:
            return self.leaves[low]
        middle = low + split(high - low)
        return node_hash(self.root(low, middle), self.root(middle, high))

    def hashes(self, ranges):
        return [self.root(low, high) for low, high in ranges]

    def inclusion(self, leaf, size):
        return self.hashes(path_ranges(leaf, 0, size))

    def consistency(self, old, new):
        return self.hashes(subproof_ranges(old, 0, new, True))

    def multiproof(self, wanted, size):
        return self.hashes(multiproof_ranges(wanted, 0, size))


def root_by_inclusion(m, n, leaf, path):
    """The root over n leaves that leaf m and its path lead to."""
    if n == 1:
        return leaf
    k = split(n)
    if m < k:
        return node_hash(root_by_inclusion(m, k, leaf, path[:-1]), path[-1])
    return node_hash(path[-1], root_by_inclusion(m - k, n - k, leaf, path[:-1]))


def check_inclusion(size, root, m, leaf, path):
    demand(1 <= size <= SIZE_MAX, "SizeOutOfRange", "tree_head")
    demand(m < size, "IndexOutOfRange", "inclusion")
    demand(len(path) == len(path_ranges(m, 0, size)), "WrongPathLength", "inclusion")
    demand(root_by_inclusion(m, size, leaf, path) == root, "RootMismatch", "inclusion")


def roots_by_consistency(m, n, whole, old_root, path):
    """The roots of the first m and of all n leaves that a consistency proof leads to."""
    if m == n:
        known = old_root if whole else path[0]
        return known, known
    k = split(n)
    if m <= k:
        old, new = roots_by_consistency(m, k, whole, old_root, path[:-1])
        return old, node_hash(new, path[-1])
    old, new = roots_by_consistency(m - k, n - k, False, old_root, path[:-1])
    return node_hash(path[-1], old), node_hash(path[-1], new)


def check_consistency(old, new, path):
    (old_size, old_root), (new_size, new_root) = old, new
    demand(1 <= old_size <= SIZE_MAX and 1 <= new_size <= SIZE_MAX, "SizeOutOfRange", "consistency")
    demand(old_size <= new_size, "SizeShrinks", "consistency")
    demand(len(path) == len(subproof_ranges(old_size, 0, new_size, True)), "WrongPathLength", "consistency")
    reached = roots_by_consistency(old_size, new_size, True, old_root, path)
    demand(reached[0] == old_root, "NotAppendOnly")
    demand(reached[1] == new_root, "NewRootMismatch")


# ----------------------------------------------------------------------------------------------------------- header

MAGIC = b"PKT1"
FIELDS = ("leaf_index", "parents", "depth", "timestamp_ms", "slices_before", "content_hash", "codec", "original_size",
          "stored_size", "compression", "metadata_hash")
TAIL = struct.Struct("<IQQ32sIQQB32s")
EMPTY_LENGTH, PARENT_LENGTH, PARENTS_MAX = 118, 40, 5
NO_METADATA = bytes(32)


def slices(size):
    return max(1, -(-size // 1024))


def encode_header(header):
    """Bytes of any eleven fields, well formed or not."""
    parents = b"".join(struct.pack("<Q32s", index, block) for index, block in header["parents"])
    tail = TAIL.pack(*(header[name] for name in FIELDS[2:]))
    return MAGIC + struct.pack("<QB", header["leaf_index"], 4 * len(header["parents"])) + parents + tail


def decode_header(data):
    demand(data, "Empty")
    demand(len(data) <= EMPTY_LENGTH + PARENT_LENGTH * PARENTS_MAX, "Oversized")
    demand(len(data) >= 4, "Truncated")
    demand(data[:4] == MAGIC, "WrongMagic")
    demand(len(data) >= 13, "Truncated")
    leaf_index, compact = struct.unpack_from("<QB", data, 4)
    demand(compact % 4 == 0, "MalformedParentCount")
    count = compact // 4
    demand(count <= PARENTS_MAX, "TooManyParents")
    length = EMPTY_LENGTH + PARENT_LENGTH * count
    demand(len(data) >= length, "Truncated")
    demand(len(data) <= length, "TrailingBytes")
    parents = [struct.unpack_from("<Q32s", data, 13 + PARENT_LENGTH * place) for place in range(count)]
    tail = TAIL.unpack_from(data, 13 + PARENT_LENGTH * count)
    header = dict(zip(FIELDS, (leaf_index, parents, *tail)))
    check_header(header)
    return header


def check_header(header):
    place, indices = header["leaf_index"], [index for index, _ in header["parents"]]
    demand(header["compression"] <= 4, "UnknownCompression")
    demand(place < SIZE_MAX, "LeafIndexTooLarge")
    demand(place > 0 or not indices, "GenesisWithParents")
    demand(len(indices) >= min(2, place), "TooFewParents")
    for earlier, later in zip(indices, indices[1:]):
        demand(earlier != later, "DuplicateParent")
        demand(earlier < later, "UnsortedParents")
    demand(all(index < place for index in indices), "ParentNotBefore")
    demand((header["depth"] == 0) == (place == 0), "DepthNotOfPosition")
    demand(header["depth"] <= place, "DepthTooLarge")
    before = header["slices_before"]
    demand(before >= place and (place > 0 or before == 0), "SlicesBeforeImpossible")
    demand(header["original_size"] < 1 << 53, "OriginalSizeTooLarge")
    demand(header["stored_size"] < 1 << 53, "StoredSizeTooLarge")
    demand(before + slices(header["original_size"]) < 1 << 64, "SlicesOverflow")
    demand(header["original_size"] > 0 or header["compression"] == 0, "EmptyContentCompressed")


def check_lineage(header, ancestors, genesis):
    """The headers from one of the block's parents down to genesis; none for genesis itself."""
    demand(len(ancestors) <= 64, "TooLong", "lineage")
    demand(ancestors or header["leaf_index"] == 0, "EmptyLineage")
    reached = leaf_hash(encode_header(header))
    for data in ancestors:
        parent, block = decode_header(data), leaf_hash(data)
        demand((parent["leaf_index"], block) in header["parents"], "NotAParent", "lineage")
        demand(parent["depth"] < header["depth"], "DepthNotFalling", "lineage")
        demand(parent["timestamp_ms"] <= header["timestamp_ms"], "TimestampRising", "lineage")
        header, reached = parent, block
    demand(header["leaf_index"] == 0 and genesis in (None, reached), "NotGenesis", "lineage")


# --------------------------------------------------------------------------------------------------- proof document

DOCUMENT_BYTES_MAX = 1 << 20
HEX_DIGITS = frozenset("0123456789abcdef")


def unique(pairs):
    made = dict(pairs)
    demand(len(made) == len(pairs), "DuplicateKey")
    return made


def integer(text):
    # No number of a document has more than the 20 digits of a u64; "-0" is not an integer's spelling.
    demand(len(text) <= 20 and text != "-0", "NotAnInteger", text[:24])
    return int(text)


def not_an_integer(text):
    raise Refused("NotAnInteger", text[:24])


def read_json(data):
    """JSON in which keys are unique and numbers are integers, at any depth, under unknown keys also."""
    demand(len(data) <= DOCUMENT_BYTES_MAX, "DocumentTooLarge")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_int=integer,
                          parse_float=not_an_integer, parse_constant=not_an_integer)
    except RecursionError:
        raise Refused("NotJson", "too deep") from None
    except ValueError as error:
        raise Refused("NotJson", str(error)) from None


def unhex(text, length=None):
    demand(isinstance(text, str) and text.startswith("0x"), "NotHex")
    digits = text[2:]
    demand(len(digits) % 2 == 0 and HEX_DIGITS.issuperset(digits), "NotHex", text[:24])
    data = bytes.fromhex(digits)
    demand(length in (None, len(data)), "WrongLength", text[:24])
    return data


def digest(value):
    return unhex(value, 32)


def header_hex(value):
    demand(isinstance(value, str) and len(value) <= 2 + 2 * (EMPTY_LENGTH + PARENT_LENGTH * PARENTS_MAX + 1), "Oversized")
    return unhex(value)


def unsigned(bits):
    def check(value):
        # bool is a kind of int in Python, and must not be one here.
        demand(type(value) is int and 0 <= value < 1 << bits, "WrongType", f"not a u{bits}")
        return value
    return check


def text(value):
    demand(isinstance(value, str), "WrongType", "not a string")
    return value


def many(item):
    def check(value):
        demand(isinstance(value, list), "WrongType", "not an array")
        demand(len(value) <= 64, "TooLong")
        return [item(one) for one in value]
    return check


def fields(required, optional=()):
    def check(value):
        demand(isinstance(value, dict), "WrongType", "not an object")
        for name in required:
            demand(name in value, "MissingKey", name)
        known = {**required, **dict(optional)}
        return {name: known[name](value[name]) for name in known if name in value}
    return check


DOCUMENT = fields(
    {
        "format": text,
        "header": header_hex,
        "block_hash": digest,
        "tree_head": fields({"size": unsigned(64), "root": digest}),
        "inclusion": fields({"leaf_index": unsigned(64), "path": many(digest)}),
    },
    {
        "lineage": many(header_hex),
        "consistency": fields({"size": unsigned(64), "root": digest, "path": many(digest)}),
        "anchor": fields({"genesis": digest, "dag": unsigned(32), "anchor": unsigned(64), "block_hash": digest,
                          "block_number": unsigned(64), "extrinsic_index": unsigned(32)}),
    },
)


def check_document(data, content, trusted, genesis, checked):
    """Raises `Refused` or appends to `checked` what holds. `content` gives (size, bytes or a way to them) or is None."""
    document = read_json(data)
    demand(isinstance(document, dict), "WrongType", "not an object")
    demand(document.get("format") == "pakit-proof/1", "UnknownFormat")
    document = DOCUMENT(document)

    header = decode_header(document["header"])
    block = leaf_hash(document["header"])
    demand(block == document["block_hash"], "BlockHashMismatch")
    checked.append("header")

    head = (document["tree_head"]["size"], document["tree_head"]["root"])
    inclusion = document["inclusion"]
    demand(inclusion["leaf_index"] == header["leaf_index"], "LeafIndexMismatch")
    check_inclusion(*head, inclusion["leaf_index"], block, inclusion["path"])
    checked.append("inclusion")

    heads = [head]
    if "lineage" in document:
        check_lineage(header, document["lineage"], genesis)
        checked.append("lineage_unchecked_genesis" if genesis is None else "lineage")
    if "consistency" in document:
        later = document["consistency"]
        heads.append((later["size"], later["root"]))
        check_consistency(head, heads[1], later["path"])
        checked.append("consistency")
    if content is not None:
        size, read = content
        demand(size == header["original_size"], "ContentSizeMismatch")
        demand(blake3(read()) == header["content_hash"], "ContentMismatch")
        checked.append("content")
    if trusted in heads and header["leaf_index"] == 0:
        # The first leaf of a log is its genesis: the trusted head vouches for it.
        checked[:] = ["lineage" if name == "lineage_unchecked_genesis" else name for name in checked]
    return trusted in heads


def verdict(data, content=None, trusted=None, genesis=None):
    """The answer to `verify`, as the object that is printed."""
    checked = []
    answer = {"valid": False, "consistent": False, "checked": checked, "head": "unchecked", "error": None}
    try:
        known = check_document(data, content, trusted, genesis, checked)
        answer["consistent"] = True
        if trusted is None:
            answer["error"] = "NoTrustedHead"
        elif known:
            checked.append("head")
            answer.update(valid=True, head="given")
        else:
            answer.update(head="given", error="UnknownHead")
    except Refused as refused:
        answer["error"] = str(refused)
    return answer


def argument_digest(value):
    try:
        return digest(value if value.startswith("0x") else "0x" + value)
    except Refused as refused:
        raise argparse.ArgumentTypeError(str(refused)) from None


def argument_size(value):
    if not (value.isascii() and value.isdigit()) or len(value) > 20:
        raise argparse.ArgumentTypeError("not a size")
    return int(value)


def run_verify(arguments):
    if (arguments.root is None) != (arguments.size is None):
        print("pakit.py: --root and --size go together", file=sys.stderr)
        return 2
    trusted = None if arguments.root is None else (arguments.size, arguments.root)
    try:
        with open(arguments.proof, "rb") as source:
            data = source.read(DOCUMENT_BYTES_MAX + 1)
        if arguments.file is None:
            answer = verdict(data, None, trusted, arguments.genesis)
        else:
            with open(arguments.file, "rb") as source:
                size = os.fstat(source.fileno()).st_size
                answer = verdict(data, (size, lambda: source.read(size + 1)), trusted, arguments.genesis)
    except OSError as error:
        print(f"pakit.py: {error}", file=sys.stderr)
        return 2
    print(json.dumps(answer))
    return 0 if answer["valid"] else 1


# ---------------------------------------------------------------------------------------------------------- vectors


def sample(size):
    """Content for slices: byte i is i mod 251, so that no two slices are alike."""
    return bytes(i % 251 for i in range(size))


def shown(header):
    """A header's fields as JSON."""
    out = {name: value.hex() if isinstance(value, bytes) else value for name, value in header.items()}
    out["parents"] = [[index, block.hex()] for index, block in header["parents"]]
    # Beyond 2^53 a number is not safe in every reader of JSON.
    for name in ("leaf_index", "timestamp_ms", "slices_before"):
        out[name] = str(out[name])
    return out


def chain_of_five():
    """The worked example: five blocks, each on the two before it."""
    contents = [bytes(32) + b"demo"] + [b"document %d\n" % i for i in range(1, 5)]
    headers, blocks = [], []
    for place, content in enumerate(contents):
        parents = [(index, blocks[index]) for index in range(max(0, place - 2), place)]
        header = dict(
            leaf_index=place, parents=parents, depth=place, timestamp_ms=1700000000000 + place, slices_before=place,
            content_hash=blake3(content), codec=0x55, original_size=len(content), stored_size=len(content),
            compression=0, metadata_hash=NO_METADATA)
        headers.append(header)
        blocks.append(leaf_hash(encode_header(header)))
    return contents, headers, blocks


def hexes(values):
    return [value.hex() for value in values]


def folded(lists):
    """SHA-256 over many lists of hashes, each led by its length in one byte: all of them at the price of one."""
    return hashlib.sha256(b"".join(bytes([len(one)]) + b"".join(one) for one in lists)).hexdigest()


def worked_example():
    contents, headers, blocks = chain_of_five()
    log, data = Log(blocks), sample(5000)
    published(headers, blocks, log, data)
    return {
        "blocks": [
            {"content": content.hex(), "bytes": encode_header(header).hex(), "block_hash": block.hex(), **shown(header)}
            for content, header, block in zip(contents, headers, blocks)],
        "roots": [log.root(0, size).hex() for size in range(1, 6)],
        "inclusion": {"leaf_index": 3, "size": 5, "path": hexes(log.inclusion(3, 5))},
        "consistency": {"old": 3, "new": 5, "path": hexes(log.consistency(3, 5))},
        "multiproof": {"leaves": [1, 4], "size": 5, "path": hexes(log.multiproof([1, 4], 5))},
        "slice": {"size": 5000, "content_hash": blake3(data).hex(), "index": 2, "siblings": hexes(slice_siblings(data, 2))},
    }


def published(headers, blocks, log, data):
    """The figures that docs/formats.md prints. They were computed before this program was and must not move."""
    def ends(values):
        return [(value.hex()[:8], value.hex()[-4:]) for value in values]

    assert encode_header(headers[1]).hex() == (
        "504b54310100000000000000040000000000000000bc80d0ef5f04583cddbef83cbe26884208d35bc24d170c45aad29131d45b8c4b01000000"
        "0168e5cf8b0100000100000000000000e9df57b05bac72977234bd21117664b899b7ff3219168d09146d4920d4ee246d550000000b00000000"
        "0000000b00000000000000000000000000000000000000000000000000000000000000000000000000000000")
    assert blocks[0].hex() == "bc80d0ef5f04583cddbef83cbe26884208d35bc24d170c45aad29131d45b8c4b"
    assert blocks[1].hex() == "c3a62332014a78e56f2adeff76babaa190a211ccfaee9c375cab12985e3a3551"
    assert blocks[4].hex() == "aea709b39d72917ab4f528a2a502db399dce33abbd2207cc3f3d639af68765e0"
    assert log.root(0, 3).hex() == "077d52da15b59828d4cfc7be153b338e1d14fcb265b5a62b6df396ca01972f40"
    assert log.root(0, 5).hex() == "048c6615b99ce1ad65a0581bf1204567068606817077d9886371185736f61298"
    three = [("c962c40e", "d5dd"), ("09615f3b", "e081"), ("aea709b3", "65e0")]
    assert ends(log.inclusion(3, 5)) == three
    assert ends(log.consistency(3, 5)) == [three[0], ("643077ff", "f2ca"), *three[1:]]
    assert ends(log.multiproof([1, 4], 5)) == [("bc80d0ef", "8c4b"), ("32d9f8bf", "882e")]
    assert blake3(data).hex() == "ee78d92070de3df1c57c37002abf0a6b1a6589acdeef4d8ffac7cf3d9e8f2836"
    assert ends(slice_siblings(data, 2)) == [("2384956f", "726e"), ("811f7d4f", "804f"), ("6c1edbfd", "6cfc")]


def base_header():
    """A header with something other than zero in each field."""
    parents = [(index, hashlib.sha256(b"parent %d" % index).digest()) for index in (2, 5, 9)]
    return dict(
        leaf_index=12, parents=parents, depth=7, timestamp_ms=1700000000123, slices_before=40,
        content_hash=hashlib.sha256(b"content").digest(), codec=0x71, original_size=70000, stored_size=30000,
        compression=1, metadata_hash=hashlib.sha256(b"metadata").digest())


def well_formed_headers():
    base = base_header()
    five = [(index, bytes([index]) * 32) for index in range(1, 6)]
    variants = {
        "something in each field": {},
        "two parents": {"parents": base["parents"][:2]},
        "five parents": {"parents": five},
        "block 1 on genesis": {"leaf_index": 1, "parents": [(0, bytes(32))], "depth": 1},
        "genesis": {"leaf_index": 0, "parents": [], "depth": 0, "slices_before": 0},
        "empty content": {"original_size": 0, "stored_size": 0, "compression": 0},
        "every maximum": {
            "leaf_index": (1 << 48) - 1, "parents": [((1 << 48) - 7 + i, b"\xff" * 32) for i in range(5)],
            "depth": (1 << 32) - 1, "timestamp_ms": (1 << 64) - 1, "slices_before": (1 << 64) - 1 - (1 << 43),
            "codec": (1 << 32) - 1, "original_size": (1 << 53) - 1, "stored_size": (1 << 53) - 1, "compression": 4},
    }
    out = []
    for name, changes in variants.items():
        header = {**base, **changes}
        data = encode_header(header)
        assert decode_header(data) == header, name
        out.append({"name": name, "bytes": data.hex(), "block_hash": leaf_hash(data).hex(), **shown(header)})
    return out


def malformed_headers():
    base = base_header()
    good = encode_header(base)
    long = encode_header({**base, "parents": [(index, bytes(32)) for index in range(5)]})
    first, second, third = base["parents"]
    raw = [
        ("Empty", "no bytes", b""),
        ("Truncated", "three bytes", good[:3]),
        ("Truncated", "the magic alone", good[:4]),
        ("Truncated", "no count of parents", good[:12]),
        ("Truncated", "nothing after the count", good[:13]),
        ("Truncated", "the last byte missing", good[:-1]),
        ("Truncated", "a parent missing", good[:-40]),
        ("Truncated", "one parent more counted than there is", good[:12] + b"\x10" + good[13:]),
        ("TrailingBytes", "one byte more", good + b"\0"),
        ("TrailingBytes", "one parent less counted than there is", good[:12] + b"\x08" + good[13:]),
        ("Oversized", "one byte more than the longest header", long + b"\0"),
        ("Oversized", "far longer than any header", MAGIC + bytes(1020)),
        ("WrongMagic", "version 2", b"PKT2" + good[4:]),
        ("WrongMagic", "lower case", b"pkt1" + good[4:]),
        ("MalformedParentCount", "a compact integer of two bytes", good[:12] + b"\x0d\0" + good[13:]),
        ("MalformedParentCount", "a compact integer of four bytes", good[:12] + b"\x0e" + good[13:]),
        ("MalformedParentCount", "a big compact integer", good[:12] + b"\x03" + good[13:]),
        ("TooManyParents", "six counted", good[:12] + b"\x18" + good[13:]),
        ("TooManyParents", "63 counted", good[:12] + b"\xfc" + good[13:]),
    ]
    changed = [
        ("TooFewParents", "block 1 without a parent", {"leaf_index": 1, "parents": [], "depth": 1}),
        ("TooFewParents", "block 12 with one parent", {"parents": [first]}),
        ("GenesisWithParents", "genesis with a parent",
         {"leaf_index": 0, "parents": [first], "depth": 0, "slices_before": 0}),
        ("DuplicateParent", "the same parent twice", {"parents": [first, first]}),
        ("DuplicateParent", "one index with two hashes", {"parents": [first, (first[0], second[1])]}),
        ("UnsortedParents", "descending", {"parents": [second, first]}),
        ("UnsortedParents", "the last out of order", {"parents": [first, third, second]}),
        ("ParentNotBefore", "the block itself", {"parents": [first, (12, second[1])]}),
        ("ParentNotBefore", "a later block", {"parents": [first, ((1 << 64) - 1, second[1])]}),
        ("LeafIndexTooLarge", "2^48", {"leaf_index": 1 << 48, "slices_before": 1 << 48}),
        ("LeafIndexTooLarge", "the greatest u64", {"leaf_index": (1 << 64) - 1, "slices_before": (1 << 64) - 1}),
        ("DepthNotOfPosition", "depth 0 after genesis", {"depth": 0}),
        ("DepthNotOfPosition", "genesis of depth 1", {"leaf_index": 0, "parents": [], "depth": 1, "slices_before": 0}),
        ("DepthTooLarge", "one above the leaf index", {"depth": 13}),
        ("DepthTooLarge", "the greatest u32", {"depth": (1 << 32) - 1}),
        ("SlicesBeforeImpossible", "fewer than blocks", {"slices_before": 11}),
        ("SlicesBeforeImpossible", "before genesis", {"leaf_index": 0, "parents": [], "depth": 0, "slices_before": 1}),
        ("SlicesOverflow", "one slice too many", {"slices_before": (1 << 64) - 1, "original_size": 1}),
        ("SlicesOverflow", "with the largest content",
         {"slices_before": (1 << 64) - (1 << 43), "original_size": (1 << 53) - 1}),
        ("OriginalSizeTooLarge", "2^53", {"original_size": 1 << 53}),
        ("OriginalSizeTooLarge", "the greatest u64", {"original_size": (1 << 64) - 1}),
        ("StoredSizeTooLarge", "2^53", {"stored_size": 1 << 53}),
        ("StoredSizeTooLarge", "the greatest u64", {"stored_size": (1 << 64) - 1}),
        ("UnknownCompression", "code 5", {"compression": 5}),
        ("UnknownCompression", "code 255", {"compression": 255}),
        ("EmptyContentCompressed", "zstd of nothing", {"original_size": 0, "compression": 1}),
    ]
    cases = raw + [(kind, name, encode_header({**base, **changes})) for kind, name, changes in changed]
    for kind, name, data in cases:
        try:
            decode_header(data)
        except Refused as refused:
            assert refused.kind == kind, (name, kind, refused.kind)
        else:
            raise AssertionError(f"accepted: {name}")
    return [{"error": kind, "name": name, "bytes": data.hex()} for kind, name, data in cases]


LOG_SIZE_MAX = 70


def logs():
    """Leaf i is the leaf hash of the text `leaf i`."""
    log = Log([leaf_hash(b"leaf %d" % i) for i in range(LOG_SIZE_MAX)])
    sizes = range(1, LOG_SIZE_MAX + 1)
    for size in sizes:
        check_log(log, size)
    return {
        "roots": [log.root(0, size).hex() for size in sizes],
        "inclusion_folded": [folded(log.inclusion(leaf, size) for leaf in range(size)) for size in sizes],
        "consistency_folded": [folded(log.consistency(old, size) for old in range(1, size + 1)) for size in sizes],
        "inclusion": [
            {"size": size, "leaf_index": leaf, "path": hexes(log.inclusion(leaf, size))}
            for size in (1, 2, 3, 7, 13, 70) for leaf in sorted({0, size // 2, size - 1})],
        "consistency": [
            {"old": old, "new": size, "path": hexes(log.consistency(old, size))}
            for size in (1, 2, 3, 7, 13, 70) for old in sorted({1, (size + 1) // 2, size - 1 or 1, size})],
        "multiproof_folded": [
            folded(log.multiproof(wanted, size) for count in range(1, size + 1)
                   for wanted in combinations(range(size), count))
            for size in range(1, 9)],
        "multiproof": [
            {"leaves": wanted, "size": size, "path": hexes(log.multiproof(wanted, size))}
            for size, wanted in ((7, [0, 6]), (13, [2, 3, 12]), (70, [0, 1, 33, 64, 69]), (70, [68]))],
        "delta_shared": [
            hashlib.sha256(bytes(delta_shared(reference, leaf, size) for reference in range(size)
                                 for leaf in range(size))).hexdigest()
            for size in range(1, 41)],
    }


def check_log(log, size):
    """Our own verifiers accept our own proofs and refuse them with a bit changed."""
    root = log.root(0, size)
    for leaf in range(size):
        path = log.inclusion(leaf, size)
        check_inclusion(size, root, leaf, log.leaves[leaf], path)
        for place, value in enumerate(path):
            damaged = path[:place] + [bytes([value[0] ^ 1]) + value[1:]] + path[place + 1:]
            assert root_by_inclusion(leaf, size, log.leaves[leaf], damaged) != root
    for old in range(1, size + 1):
        check_consistency((old, log.root(0, old)), (size, root), log.consistency(old, size))


def sliced():
    out = []
    for size in (0, 1, 63, 64, 65, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 4096, 5000, 7169, 16 * 1024, 65537):
        data = sample(size)
        root, count = blake3(data), slices(size)
        paths = [slice_siblings(data, index) for index in (range(count) if count <= 8 else (0, 1, count // 2, count - 1))]
        chosen = list(range(count)) if count <= 8 else [0, 1, count // 2, count - 1]
        for index, siblings in zip(chosen, paths):
            assert slice_root(index, count, data[1024 * index:1024 * index + 1024], siblings) == root
        out.append({"size": size, "content_hash": root.hex(), "indices": chosen, "siblings_folded": folded(paths),
                    "last": hexes(paths[-1])})
    return out


def trailing_zeros(number):
    return (number & -number).bit_length() - 1


def is_kept(anchor, latest):
    return latest - anchor < 16 << trailing_zeros(anchor)


def kept_heads():
    kept = {latest: [anchor for anchor in range(1, latest + 1) if is_kept(anchor, latest)]
            for latest in (1, 2, 15, 16, 17, 18, 31, 32, 33, 100, 257, 1000, 4096)}
    dropped = []
    for latest in range(1, 301):
        gone = [anchor for anchor in range(1, latest) if is_kept(anchor, latest - 1) and not is_kept(anchor, latest)]
        assert len(gone) <= 1
        dropped.append(gone[0] if gone else 0)
    return {"kept": [{"latest": latest, "anchors": anchors} for latest, anchors in kept.items()], "dropped": dropped}


def document_text(**parts):
    return json.dumps({"format": "pakit-proof/1", **parts})


def documents():
    """Proof documents of the worked example, honest and not, each with the answer that it must get."""
    contents, headers, blocks = chain_of_five()
    log = Log(blocks)

    def zero_x(value):
        return "0x" + value.hex()

    honest = {
        "header": zero_x(encode_header(headers[3])),
        "block_hash": zero_x(blocks[3]),
        "tree_head": {"size": 4, "root": zero_x(log.root(0, 4))},
        "inclusion": {"leaf_index": 3, "path": [zero_x(value) for value in log.inclusion(3, 4)]},
        "lineage": [zero_x(encode_header(headers[place])) for place in (1, 0)],
        "consistency": {"size": 5, "root": zero_x(log.root(0, 5)), "path": [zero_x(v) for v in log.consistency(4, 5)]},
        "anchor": {"genesis": zero_x(bytes(32)), "dag": 0, "anchor": 1, "block_hash": zero_x(bytes(32)),
                   "block_number": 1, "extrinsic_index": 2},
    }
    plain = document_text(**honest)
    later, own = (5, log.root(0, 5)), (4, log.root(0, 4))
    without = {name: value for name, value in honest.items() if name != "consistency"}
    root_digits = honest["tree_head"]["root"][2:]
    cases = [
        ("the later head is trusted", plain, contents[3], later, None),
        ("its own head is trusted", plain, contents[3], own, None),
        ("no file is given", plain, None, own, None),
        ("unknown keys are ignored", document_text(**honest, note=["A", {"b": -1}]), None, own, None),
        ("no head is trusted", plain, contents[3], None, "NoTrustedHead"),
        ("another head is trusted", plain, contents[3], (3, log.root(0, 3)), "UnknownHead"),
        ("the size of the trusted head is another", plain, None, (6, log.root(0, 5)), "UnknownHead"),
        ("no consistency to the trusted head", document_text(**without), None, later, "UnknownHead"),
        ("another file", plain, contents[2], own, "ContentMismatch"),
        ("a file with a byte more", plain, contents[3] + b"\0", own, "ContentSizeMismatch"),
        ("another format", plain.replace("proof/1", "proof/2"), None, own, "UnknownFormat"),
        ("a key twice", plain[:-1] + ', "lineage": []}', None, own, "DuplicateKey"),
        ("an unknown key twice", plain[:-1] + ', "x": 1, "x": 1}', None, own, "DuplicateKey"),
        ("an upper-case digit", plain.replace(root_digits, root_digits.upper()), None, own, "NotHex"),
        ("a size with a fraction", plain.replace('"size": 4', '"size": 4.0'), None, own, "NotAnInteger"),
        ("a size with an exponent", plain.replace('"size": 4', '"size": 4e0'), None, own, "NotAnInteger"),
        ("a size as text", plain.replace('"size": 4', '"size": "4"'), None, own, "WrongType"),
        ("a size that is true", plain.replace('"size": 4', '"size": true'), None, own, "WrongType"),
        ("a size below zero", plain.replace('"size": 4', '"size": -4'), None, own, "WrongType"),
        ("a size beyond 64 bits", plain.replace('"size": 4', f'"size": {1 << 64}'), None, own, "WrongType"),
        ("a lineage that is null", document_text(**{**honest, "lineage": None}), None, own, "WrongType"),
        ("an anchor of another shape", document_text(**{**honest, "anchor": {"dag": 0}}), None, own, "MissingKey"),
        ("a missing key", document_text(**{n: v for n, v in honest.items() if n != "block_hash"}), None, own, "MissingKey"),
        ("not JSON", plain[:-1], None, own, "NotJson"),
        ("an array", "[]", None, own, "WrongType"),
        ("an index that is not the header's", plain.replace('"leaf_index": 3', '"leaf_index": 2'), None, own,
         "LeafIndexMismatch"),
        ("a size of 0", plain.replace('"size": 4', '"size": 0'), None, own, "SizeOutOfRange"),
        ("a size of 2^63", plain.replace('"size": 4', f'"size": {1 << 63}'), None, own, "SizeOutOfRange"),
        ("an index at the size", plain.replace('"size": 4', '"size": 3'), None, own, "IndexOutOfRange"),
        ("a later size below", plain.replace('"size": 5', '"size": 3'), None, own, "SizeShrinks"),
        ("a hash too many", document_text(**{**honest, "inclusion": {
            "leaf_index": 3, "path": honest["inclusion"]["path"] * 2}}), None, own, "WrongPathLength"),
        ("a lineage that is empty", document_text(**{**honest, "lineage": []}), None, own, "EmptyLineage"),
        ("a lineage that ends early", document_text(**{**honest, "lineage": honest["lineage"][:1]}), None, own,
         "NotGenesis"),
        ("a lineage with a gap", document_text(**{**honest, "lineage": honest["lineage"][1:]}), None, own, "NotAParent"),
        ("a lineage too long", document_text(**{**honest, "lineage": honest["lineage"] * 33}), None, own, "TooLong"),
    ]
    out = []
    for name, data, content, trusted, error in cases:
        file = None if content is None else (len(content), lambda content=content: content)
        answer = verdict(data.encode(), file, trusted)
        assert answer["valid"] == (error is None) and (answer["error"] or "").split(":")[0] == (error or ""), (name, answer)
        out.append({"name": name, "document": data, "file": None if content is None else content.hex(),
                    "head": None if trusted is None else {"size": trusted[0], "root": trusted[1].hex()},
                    "valid": answer["valid"], "consistent": answer["consistent"], "error": error})
    refuse_every_changed_digit(honest, contents[3], later)
    return out


def refuse_every_changed_digit(honest, content, trusted):
    """Each hex digit that a proof stands on is changed, one at a time. The anchor only says where to look."""
    plain = document_text(**{name: value for name, value in honest.items() if name != "anchor"})
    at = plain.index('"header"')
    inside = False
    for place in range(at, len(plain)):
        inside = plain[place - 2:place] == "0x" or (inside and plain[place] in HEX_DIGITS)
        if inside:
            changed = plain[:place] + format(int(plain[place], 16) ^ 1, "x") + plain[place + 1:]
            answer = verdict(changed.encode(), (len(content), lambda: content), trusted)
            assert not answer["valid"], changed


def make_vectors():
    vectors = {
        "format": "pakit-vectors/1",
        "worked_example": worked_example(),
        "headers": well_formed_headers(),
        "malformed_headers": malformed_headers(),
        "log": logs(),
        "slices": sliced(),
        "heads": kept_heads(),
        "documents": documents(),
    }
    return json.dumps(vectors, indent=1) + "\n"


def run_generate(arguments):
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json")
    made = make_vectors()
    if not arguments.check:
        with open(target, "w", encoding="ascii", newline="\n") as out:
            out.write(made)
        return 0
    try:
        with open(target, encoding="ascii", newline="") as source:
            same = source.read() == made
    except OSError as error:
        print(f"pakit.py: {error}", file=sys.stderr)
        return 2
    if not same:
        print("pakit.py: vectors.json is not what this program generates", file=sys.stderr)
    return 0 if same else 1


def main():
    parser = argparse.ArgumentParser(prog="pakit.py", description="Pakit's formats, independently.")
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser("generate", help="write vectors.json")
    generate.add_argument("--check", action="store_true", help="compare instead of writing")
    generate.set_defaults(run=run_generate)
    verify = commands.add_parser("verify", help="verify a proof document")
    verify.add_argument("proof")
    verify.add_argument("file", nargs="?")
    verify.add_argument("--root", type=argument_digest, metavar="HEX", help="root of a head that you trust")
    verify.add_argument("--size", type=argument_size, metavar="N", help="size of that head")
    verify.add_argument("--genesis", type=argument_digest, metavar="HEX", help="block hash of the genesis that you mean")
    verify.set_defaults(run=run_verify)
    arguments = parser.parse_args()
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
