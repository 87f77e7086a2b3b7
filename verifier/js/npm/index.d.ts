/**
 * Verifies Pakit's proof documents: that a block, and a file with it, was in a log when a head of that log was written down
 * somewhere you trust.
 *
 * @packageDocumentation
 */

/** A head of a log: what you trust, from a source other than the document. A chain, a newspaper, a letter. */
export interface Head {
  /** How many blocks the log has, as decimal digits where it is a text. A number must be a safe integer. */
  size: bigint | number | string;
  /** The log's root: 64 hexadecimal digits, with or without `0x` before them. */
  root: string;
}

/**
 * A proof document: the bytes of the file, its text, or the object that `JSON.parse` makes of it.
 *
 * Bytes or text are the strict way. A parser has dropped keys that occurred twice, and what else a document must not have, before
 * an object comes here; one with a number beyond 2^53 is refused, since it may have been rounded.
 */
export type Proof = Uint8Array | string | object;

/** What was found to hold, in this order. */
export type Check =
  | "header"
  | "block_hash"
  | "inclusion"
  /** The block is itself the first of the log that you trust. */
  | "lineage"
  /** The block descends from a genesis for which nobody vouches. */
  | "lineage_unchecked_genesis"
  | "consistency"
  | "content_size"
  | "content"
  /** The head that you trust is one that the document leads to. */
  | "head";

/** Why a document is not valid. */
export type ErrorName =
  // An object that JSON could not hold.
  | "NotWritable"
  // No proof document.
  | "TooLarge"
  | "Json"
  | "WrongFormat"
  | "MissingKey"
  | "WrongType"
  | "OutOfRange"
  | "NotHex"
  | "UpperCaseDigit"
  | "WrongLength"
  | "TooManyItems"
  // One that does not hold.
  | "Header"
  | "BlockHashMismatch"
  | "LeafIndexMismatch"
  | "Inclusion"
  | "Lineage"
  | "Consistency"
  | "ContentTooShort"
  | "ContentTooLong"
  | "ContentMismatch"
  // Consistent, and yet not valid.
  | "NoTrustedHead"
  | "UntrustedHead";

/** The answer. The same that `pakit verify --json` gives, with a name for what it calls `refusal`. */
export interface Verification {
  /** Everything checked holds, up to the head that you gave. The only answer that proves anything. */
  valid: boolean;
  /** Everything checked holds within the document, whatever head it leads to. */
  consistent: boolean;
  /** What held, in the order in which it was checked. Nothing is checked after an error. A content counts where this has `content`. */
  checked: Check[];
  /** Whether you gave a head. */
  head: "given" | "unchecked";
  /** If valid, the size of the head that the document leads to: the one that you gave. */
  size?: bigint;
  /** If valid, the root of that head, with `0x`. */
  root?: string;
  /** If not valid, why. The message is for people and may change; the name stays. */
  error?: { name: ErrorName; message: string };
}

/**
 * Loads the Wasm. In a browser, await it before anything else; calls after the first wait for the same load, and one that
 * failed can be tried again. In Node.js there is nothing left to load.
 *
 * @param source Where the Wasm is, if it is not beside the package's modules: its address, a response, its bytes.
 */
export function init(
  source?: string | URL | Request | Response | Promise<Response> | BufferSource | WebAssembly.Module,
): Promise<void>;

/**
 * Verifies a document, and a content against it.
 *
 * Whatever the document holds, the answer is a value and no exception.
 *
 * @param proof The document.
 * @param content The file that it is said to prove. Without one, the answer says nothing of any file.
 * @param head The head that you trust. Without one, a document can be consistent and not valid.
 * @throws TypeError if `content` or `head` is of another type, or `proof` is neither text, bytes nor an object.
 */
export function verify(proof: Proof, content?: Uint8Array | null, head?: Head | null): Verification;

/**
 * The same for a content that comes in pieces and is never in memory as a whole. It is read no further than it can change the
 * answer. If it cannot be read, the promise is rejected with its error.
 */
export function verifyStream(
  proof: Proof,
  content: ReadableStream<Uint8Array> | Blob | AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  head?: Head | null,
): Promise<Verification>;

/** The same piece by piece, for contents that come in other ways. */
export class Verifier {
  /** Checks everything but a content. */
  constructor(proof: Proof, head?: Head | null);
  /** Whether more bytes of a content can change the answer. */
  readonly wantsMore: boolean;
  /**
   * Takes the next piece of the content. The first one, even an empty one, says that there is a content.
   *
   * @returns Whether more bytes can change the answer.
   */
  update(piece: Uint8Array): boolean;
  /** The answer, once. */
  finish(): Verification;
}
