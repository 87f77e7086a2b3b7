import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { before, describe, test } from "node:test";

import { Verifier, init, verify, verifyStream } from "pakit-verifier";
import { comparable, inCheckout, makeCases, publishedCases, workedExample } from "./cases.js";

let made;
before(async () => {
  made = await makeCases();
});

const bytesOf = (content) => (content === undefined ? undefined : made.contents[content]);
const utf8 = new TextEncoder();

/** Pieces of all lengths. */
function* cut(bytes, length) {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

describe("documents made by pakit", () => {
  test("get the answers of pakit verify, in every word", () => {
    for (const { name, proof, content, head, expected } of made.cases) {
      for (const form of [proof, utf8.encode(proof), Buffer.from(proof)]) {
        assert.deepEqual(comparable(verify(form, bytesOf(content), head)), expected, name);
      }
    }
  });

  test("are valid where they are honest and the head is theirs", () => {
    const valid = made.cases.slice(0, made.honest).filter(({ expected }) => expected.valid);
    // Three contents, each with its file, without it and with a lineage; genesis; both heads.
    assert.equal(valid.length, 3 * 3 + 1 + 2);
    const { proof, content, head } = valid.at(-1);
    const { size, root, error } = verify(proof, bytesOf(content), head);
    assert.deepEqual({ size, root, error }, { size: BigInt(head.size), root: head.root, error: undefined });
  });

  test("are refused with any value changed that something stands on", () => {
    const changed = made.cases.slice(made.honest);
    assert.ok(changed.length > 250, `${changed.length}`);
    const accepted = changed.filter(({ expected }) => expected.valid).map(({ name }) => name);
    // Where a chain is to be looked for is a hint, and any other number is one too.
    for (const name of accepted) {
      assert.match(name, /^changed anchor\.(genesis|dag|anchor|block_hash|block_number|extrinsic_index): ("0x[0-9a-f]{64}"|\d+)$/);
    }
    assert.ok(accepted.length < 20, `${accepted.length}`);
  });

  test("are the same as objects, which lack only what a parser took out", () => {
    for (const { name, proof, content, head, expected } of made.cases) {
      const { message, ...answer } = comparable(verify(JSON.parse(proof), bytesOf(content), head));
      const { message: expectedMessage, ...expectedAnswer } = expected;
      assert.deepEqual(answer, expectedAnswer, name);
      assert.equal(message === undefined, expectedMessage === undefined, name);
    }
  });

  test("get the same answer for a content in pieces", async () => {
    for (const { name, proof, content, head, expected } of made.cases.slice(0, made.honest)) {
      if (content === undefined) continue;
      const bytes = bytesOf(content);
      for (const length of [1 << 12, 65_537, 1 << 22]) {
        const stream = new ReadableStream({
          start(controller) {
            for (const piece of cut(bytes, length)) controller.enqueue(piece);
            controller.close();
          },
        });
        // As in a browser that cannot iterate over a stream.
        const plain = { getReader: () => new Blob([bytes]).stream().getReader() };
        for (const source of [stream, plain, new Blob([bytes]), [...cut(bytes, length)]]) {
          assert.deepEqual(comparable(await verifyStream(proof, source, head)), expected, name);
        }
      }
    }
  });
});

describe("documents of an implementation that shares no code", () => {
  test("get their published answers", async () => {
    const cases = await publishedCases();
    assert.ok(cases.length > 30);
    for (const { name, proof, content, head, expected } of cases) {
      const { valid, consistent } = verify(proof, content, head);
      assert.deepEqual({ valid, consistent }, expected, name);
    }
  });
});

describe("a content", () => {
  test("is read no further than one byte too many, and not at all for a refused document", async () => {
    const { proof, head } = made.cases.find(({ name }) => name === "small: inclusion");
    let read = 0;
    const endless = async function* () {
      for (;;) {
        read += 1;
        yield new Uint8Array(1 << 16);
      }
    };
    assert.equal((await verifyStream(proof, endless(), head)).error.name, "ContentTooLong");
    assert.equal(read, 1);
    assert.equal((await verifyStream("{}", endless(), head)).error.name, "MissingKey");
    assert.equal(read, 1);
  });

  test("that is not there is another than one without bytes", () => {
    const { proof, head } = made.cases.find(({ name }) => name === "small: inclusion");
    assert.equal(verify(proof, undefined, head).valid, true);
    assert.equal(verify(proof, null, head).valid, true);
    assert.equal(verify(proof, new Uint8Array(0), head).error.name, "ContentTooShort");
    const verifier = new Verifier(proof, head);
    assert.equal(verifier.wantsMore, true);
    assert.equal(verifier.finish().checked.includes("content"), false);
  });

  test("that cannot be read rejects with the reader's error", async () => {
    const { proof, head } = made.cases.find(({ name }) => name === "small: inclusion");
    const broken = (async function* () {
      yield new Uint8Array(1);
      throw new Error("the disk is gone");
    })();
    await assert.rejects(verifyStream(proof, broken, head), /the disk is gone/);
  });

  test("may be any view, at any offset", () => {
    const { proof, head } = made.cases.find(({ name }) => name === "small: inclusion");
    const padded = new Uint8Array(100);
    padded.set(made.contents.small, 3);
    const view = new DataView(padded.buffer, 3, made.contents.small.length);
    assert.equal(verify(proof, view, head).valid, true);
    assert.equal(verify(proof, Buffer.from(made.contents.small), head).valid, true);
  });
});

describe("sizes", () => {
  const root = `0x${"ab".repeat(32)}`;
  const refused = (head) => assert.throws(() => verify("{}", undefined, head), { name: "TypeError", message: /^head\./ });

  test("are taken as bigints, safe numbers and digits, up to 2^64 - 1", () => {
    const { proof, head } = made.cases.find(({ name }) => name === "small: inclusion");
    const plain = head.root.slice(2);
    for (const size of [head.size, BigInt(head.size), String(head.size)]) {
      assert.equal(verify(proof, undefined, { size, root: head.root }).valid, true);
      assert.equal(verify(proof, undefined, { size, root: plain.toUpperCase() }).valid, true);
    }
    for (const size of [2n ** 64n - 1n, "18446744073709551615", 2 ** 53 - 1, 0]) {
      assert.equal(verify(proof, undefined, { size, root }).error.name, "UntrustedHead");
    }
  });

  test("that were rounded or are none are refused, and never wrap around", () => {
    const { head } = made.cases[0];
    for (const size of [2n ** 64n, 2n ** 64n + BigInt(head.size), -1n, 2 ** 53, 1.5, -1, Number.NaN, "1e3", "-1", "01", "", " 1", "18446744073709551616", null, {}]) {
      refused({ size, root: head.root });
    }
    refused({ root });
    refused({});
    for (const wrong of ["", "0x", root.slice(2, -1), `${root}00`, "0X".padEnd(66, "a"), `0x${"g".repeat(64)}`, null, 7]) {
      refused({ size: 1, root: wrong });
    }
  });

  test("in an object that a parser may have rounded are refused", () => {
    const document = structuredClone(made.full);
    for (const size of [2 ** 53, 1e300, 1.5, -0, Number.NaN, 12n, undefined, () => 1]) {
      document.anchor.block_number = size;
      assert.equal(verify(document, undefined, made.later).error.name, "NotWritable");
    }
    document.anchor = document;
    assert.equal(verify(document, undefined, made.later).error.name, "NotWritable");
  });
});

describe("hostile documents", () => {
  test("of any bytes get an answer", () => {
    const honest = utf8.encode(JSON.stringify(made.full));
    let state = 7;
    const next = (below) => {
      // Numerical Recipes' generator, so that a failure can be seen again.
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % below;
    };
    let answered = 0;
    for (let round = 0; round < 20_000; round += 1) {
      const bytes = honest.slice();
      for (let change = next(3); change >= 0; change -= 1) bytes[next(bytes.length)] = next(256);
      const cutAt = round % 5 === 0 ? next(bytes.length) : bytes.length;
      const { valid, consistent, checked, head, error } = verify(bytes.subarray(0, cutAt), undefined, made.later);
      assert.equal(head, "given");
      assert.ok(Array.isArray(checked) && typeof consistent === "boolean" && valid === (error === undefined));
      answered += valid ? 0 : 1;
    }
    // A changed hint or white space may leave a document valid.
    assert.ok(answered > 18_000, `${answered}`);
  });

  test("that are long, deep or strange get an answer and leave the next one right", () => {
    const long = 1 << 20;
    const cases = {
      TooLarge: [" ".repeat(long + 1), new Uint8Array(200 << 20), "\u{1f600}".repeat(long)],
      Json: ["[".repeat(long), "{\"a\":".repeat(1000), "", "\ud800", "\"".padEnd(long, "x"), new Uint8Array([0xff]), "[[],".repeat(200_000)],
      WrongType: ["[]", "null", "[" + "[],".repeat(300_000) + "[]]", null, []],
      MissingKey: ["{}", {}],
    };
    for (const [name, proofs] of Object.entries(cases)) {
      for (const proof of proofs) assert.equal(verify(proof, undefined, made.later).error.name, name);
    }
    const { proof, content, head, expected } = made.cases[0];
    assert.deepEqual(comparable(verify(proof, bytesOf(content), head)), expected);
  });

  test("do not make the Wasm's memory grow without end", () => {
    const { proof, content, head } = made.cases.find(({ name }) => name === "large: inclusion");
    const before = process.memoryUsage().arrayBuffers;
    for (let round = 0; round < 200; round += 1) verify(proof, bytesOf(content), head);
    assert.ok(process.memoryUsage().arrayBuffers - before < 16 << 20);
  });
});

describe("wrong use", () => {
  test("is a TypeError", () => {
    const wrong = [undefined, 7, true, Symbol("x"), () => 1, new ArrayBuffer(1), Promise.resolve("{}"), new Blob(["{}"]), new Map()];
    for (const proof of wrong) {
      assert.throws(() => verify(proof), { name: "TypeError", message: "the proof is a text, bytes, or an object" });
    }
    for (const content of ["text", 7, {}, [1], new ArrayBuffer(1)]) {
      assert.throws(() => verify("{}", content), { name: "TypeError", message: /Uint8Array/ });
    }
  });

  test("of a stream rejects with a TypeError", async () => {
    const { proof, head } = made.cases[0];
    for (const content of [undefined, null, 7, "", "text", {}, new Uint8Array(1), new Uint8Array(0), ["text"]]) {
      await assert.rejects(verifyStream(proof, content, head), TypeError);
    }
  });

  test("after the end is an error", () => {
    for (const proof of ["{}", made.cases[0].proof, { a: 1.5 }]) {
      const verifier = new Verifier(proof);
      verifier.finish();
      assert.throws(() => verifier.finish(), /finished/);
      assert.throws(() => verifier.update(new Uint8Array(1)), /finished/);
      assert.equal(verifier.wantsMore, false);
    }
  });
});

describe("the package", () => {
  test("is loaded by require as by import, and init has nothing to do", async () => {
    await init();
    const required = createRequire(import.meta.url)("pakit-verifier");
    assert.equal(required.verify, verify);
  });

  test("has types that a strict compiler takes, and that refuse what is wrong", () => {
    const tsc = createRequire(import.meta.url).resolve("typescript/package.json").replace(/package\.json$/, "bin/tsc");
    execFileSync(process.execPath, [tsc, "--project", "types"], { stdio: "inherit" });
  });
});

describe("the examples in the documentation", () => {
  const EXAMPLE = /```js\n\/\/ (\w+\.mjs)\n(.*?)```\n\nprints\n\n```\n(.*?)```/gs;
  for (const [page, count] of [["docs/verifier.md", 2], ["verifier/js/npm/README.md", 1]]) {
    test(`print what ${page} says`, async () => {
      const examples = [...(await readFile(inCheckout(page), "utf8")).matchAll(EXAMPLE)];
      assert.equal(examples.length, count);
      const { proof, document } = await workedExample();
      // Within this folder, where they find the package.
      const folder = await mkdtemp(join(import.meta.dirname, "example-"));
      try {
        await writeFile(join(folder, "proof.json"), proof);
        await writeFile(join(folder, "document"), document);
        for (const [, name, program, printed] of examples) {
          await writeFile(join(folder, name), program);
          const said = execFileSync(process.execPath, [name], { cwd: folder, encoding: "utf8", env: { NO_COLOR: "1" } });
          assert.equal(said, printed, name);
        }
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  }
});
