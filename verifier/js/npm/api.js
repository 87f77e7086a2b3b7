// The package's functions, the same ones in browsers and in Node.js; index.d.ts tells what they do. All that is decided about
// a proof is decided in the Wasm. Here arguments become what it takes: bytes, and integers of 64 bits.
import { Core, documentBytesMax } from "./wasm/core.js";

/** Bytes of a content that are in the Wasm's memory at once. */
const PIECE_BYTES = 1 << 18;
const U64_MAX = (1n << 64n) - 1n;
const NOTHING = new Uint8Array(0);

export class Verifier {
  /** Until it is finished: the Wasm's side, or the answer to what is not even passed on to it. */
  #core;
  #refused;

  constructor(proof, head) {
    const trusted = trustedHead(head);
    const { bytes, error } = proofBytes(proof);
    if (error) {
      this.#refused = { valid: false, consistent: false, checked: [], head: trusted ? "given" : "unchecked", error };
    } else {
      this.#core = new Core(bytes, trusted?.size, trusted?.root ?? NOTHING);
    }
  }

  get wantsMore() {
    return this.#core?.wantsMore() ?? false;
  }

  update(piece) {
    const bytes = viewOf(piece, "a piece of the content");
    if (this.#refused) return false;
    const core = this.#live();
    let wantsMore = core.update(bytes.subarray(0, PIECE_BYTES));
    for (let at = PIECE_BYTES; at < bytes.length && wantsMore; at += PIECE_BYTES) {
      wantsMore = core.update(bytes.subarray(at, at + PIECE_BYTES));
    }
    return wantsMore;
  }

  finish() {
    const refused = this.#refused;
    // It is used up, and its memory in the Wasm free again.
    const answer = refused ? undefined : this.#live().finish();
    this.#core = undefined;
    this.#refused = undefined;
    return refused ?? resultOf(answer);
  }

  #live() {
    if (!this.#core) throw new Error("this verification is finished");
    return this.#core;
  }
}

export function verify(proof, content, head) {
  const bytes = content === undefined || content === null ? undefined : viewOf(content, "the content");
  const verifier = new Verifier(proof, head);
  if (bytes) verifier.update(bytes);
  return verifier.finish();
}

export async function verifyStream(proof, content, head) {
  const source = pieces(content);
  const verifier = new Verifier(proof, head);
  // The first piece says that there is a content, which may have no other.
  if (verifier.update(NOTHING)) {
    for await (const piece of source) {
      if (!verifier.update(piece)) break;
    }
  }
  return verifier.finish();
}

function resultOf(answer) {
  const { valid, consistent, checked, head, size, root, errorName, errorMessage } = answer;
  answer.free();
  const result = { valid, consistent, checked, head };
  if (size !== undefined) Object.assign(result, { size, root });
  if (errorName !== undefined) result.error = { name: errorName, message: errorMessage };
  return result;
}

/** The document as bytes, of which no more are passed on than show that there are too many. */
function proofBytes(proof) {
  const bytesMax = documentBytesMaxOrThrow() + 1;
  if (ArrayBuffer.isView(proof)) return { bytes: viewOf(proof, "the proof").subarray(0, bytesMax) };
  let text = proof;
  // Not a promise, a response or a buffer, of which JSON would see an object without members.
  if (/^\[object (Object|Array|Null)\]$/.test(Object.prototype.toString.call(proof))) {
    try {
      text = JSON.stringify(proof, onlyWhatJsonHolds);
    } catch (error) {
      return { error: { name: "NotWritable", message: `the proof is no object that JSON could hold: ${error.message}` } };
    }
  }
  if (typeof text !== "string") throw new TypeError("the proof is a text, bytes, or an object");
  return { bytes: new TextEncoder().encode(text.slice(0, bytesMax)).subarray(0, bytesMax) };
}

/** Refuses numbers that a parser may have rounded, and what JSON has no word for and would leave out. */
function onlyWhatJsonHolds(key, value) {
  if (typeof value === "number" && (!Number.isSafeInteger(value) || Object.is(value, -0))) {
    throw new RangeError(`${key.slice(0, 64)} is ${value}, which is not an integer or was one beyond 2^53: pass the text`);
  }
  if (!["object", "string", "number", "boolean"].includes(typeof value)) {
    throw new TypeError(`${key.slice(0, 64)} is of type ${typeof value}`);
  }
  return value;
}

function documentBytesMaxOrThrow() {
  try {
    return documentBytesMax();
  } catch (error) {
    throw new Error("the verifier is not loaded yet: await init() first", { cause: error });
  }
}

function trustedHead(head) {
  if (head === undefined || head === null) return undefined;
  return { size: sizeOf(head.size), root: rootOf(head.root) };
}

function sizeOf(size) {
  const isInteger =
    typeof size === "bigint" ||
    (typeof size === "number" && Number.isSafeInteger(size)) ||
    (typeof size === "string" && /^(0|[1-9][0-9]{0,19})$/.test(size));
  const value = isInteger ? BigInt(size) : -1n;
  if (value < 0n || value > U64_MAX) {
    throw new TypeError("head.size is an integer from 0 to 2^64 - 1, as a bigint, a safe number or decimal digits");
  }
  return value;
}

function rootOf(root) {
  const digits = typeof root === "string" ? /^(?:0x)?([0-9a-fA-F]{64})$/.exec(root)?.[1] : undefined;
  if (digits === undefined) throw new TypeError("head.root is 64 hexadecimal digits, with or without 0x before them");
  return Uint8Array.from({ length: 32 }, (_, place) => Number.parseInt(digits.slice(2 * place, 2 * place + 2), 16));
}

/** The bytes of a view, which may be from another realm and then no `Uint8Array` of this one. */
function viewOf(bytes, what) {
  if (!ArrayBuffer.isView(bytes)) throw new TypeError(`${what} is a Uint8Array`);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What to iterate over. Bytes themselves are not it: they would be iterated over one by one. */
function pieces(content) {
  if (typeof content === "object" && content !== null && !ArrayBuffer.isView(content)) {
    if (typeof content.stream === "function") return pieces(content.stream());
    if (content[Symbol.asyncIterator] || content[Symbol.iterator]) return content;
    // Streams of browsers that cannot iterate over one.
    if (typeof content.getReader === "function") return read(content);
  }
  throw new TypeError("the content is a ReadableStream, a Blob or an iterable of Uint8Arrays");
}

async function* read(stream) {
  const reader = stream.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    await reader.cancel();
  }
}
