// Proof documents made by the real `pakit`, everything that can be changed in them, and what `pakit verify` says of each.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Runs of `pakit` at once. */
const AT_ONCE = 4;

/** A text from the environment, without which nothing can be tested. */
export function needed(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run \`cargo xtask verifier\``);
  return value;
}

/** Where a file of the checkout is. */
export function inCheckout(path) {
  return join(needed("PAKIT_CHECKOUT"), path);
}

/** The worked example of docs/formats.md: its document, and the file that it proves. */
export async function workedExample() {
  const proof = await readFile(inCheckout("offchain-store/tests/data/worked_example.proof.json"));
  return { proof, document: Buffer.from("document 3\n") };
}

/** What `pakit` prints and how it ends. */
async function pakit(...words) {
  try {
    const { stdout, stderr } = await run(needed("PAKIT"), words);
    return { code: 0, stdout, stderr };
  } catch (error) {
    if (typeof error.code !== "number") throw error;
    return { code: error.code, stdout: error.stdout, stderr: error.stderr };
  }
}

async function done(...words) {
  const { code, stdout, stderr } = await pakit(...words);
  if (code !== 0) throw new Error(`pakit ${words.join(" ")} ended with ${code}: ${stderr}`);
  return stdout;
}

/** Contents that differ in what the program does with them: none, one slice, many chunks. */
function contents() {
  const large = new Uint8Array(3_000_000);
  // Not compressible, and the same each time.
  let state = 1n;
  for (let at = 0; at < large.length; at += 1) {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
    large[at] = Number(state >> 56n);
  }
  return { empty: new Uint8Array(0), small: new TextEncoder().encode("a deed\n"), large };
}

/** A repository with those contents and some more blocks, so that paths have a length. */
async function repository(folder) {
  const repo = join(folder, "archive");
  const files = {};
  await done("--repo", repo, "init", "--name", "proofs");
  for (const [name, bytes] of Object.entries(contents())) {
    files[name] = { path: join(folder, name), bytes };
    await writeFile(files[name].path, bytes);
  }
  const more = Array.from({ length: 18 }, (_, place) => join(folder, `more-${place}`));
  await Promise.all(more.map((path, place) => writeFile(path, `document ${place}\n`)));
  const put = await done("--repo", repo, "--json", "put", ...Object.values(files).map(({ path }) => path), ...more);
  const blocks = put.trim().split("\n").map((line) => JSON.parse(line).block);
  Object.values(files).forEach((file, place) => Object.assign(file, { block: blocks[place] }));
  return { repo, files };
}

/**
 * Documents with their contents and the head that is trusted: honest ones with every part that a document can have, and of two
 * of them every change of one value.
 */
export async function makeCases() {
  const folder = await mkdtemp(join(tmpdir(), "pakit-verifier-"));
  try {
    const { repo, files } = await repository(folder);
    const { size, root } = JSON.parse(await done("--repo", repo, "--json", "status"));
    const later = { size, root };
    const prove = async (block, ...words) => done("--repo", repo, "prove", block, ...words);
    const cases = [];
    const add = (name, proof, content, head) => cases.push({ name, proof, content, head });

    for (const [content, { block }] of Object.entries(files)) {
      const plain = await prove(block);
      add(`${content}: inclusion`, plain, content, later);
      add(`${content}: no file`, plain, undefined, later);
      add(`${content}: no head`, plain, content, undefined);
      add(`${content}: another file`, plain, content === "small" ? "empty" : "small", later);
      add(`${content}: another head`, plain, content, { size: size + 1, root });
      add(`${content}: lineage`, await prove(block, "--lineage"), content, later);
    }
    const genesis = await prove("@0", "--lineage");
    add("genesis", genesis, undefined, later);
    const full = JSON.parse(
      await prove(files.small.block, "--size", "13", "--lineage", "--consistent-with", String(size)),
    );
    // Only a chain makes one, and without a chain it is only read.
    full.anchor = {
      genesis: `0x${"11".repeat(32)}`,
      dag: 3,
      anchor: 7,
      block_hash: `0x${"22".repeat(32)}`,
      block_number: 12,
      extrinsic_index: 2,
    };
    add("everything, later head", JSON.stringify(full), "small", later);
    add("everything, own head", JSON.stringify(full), "small", headOf(full.tree_head));
    const honest = cases.length;
    for (const { way, value } of mutants(full)) {
      add(`changed ${way.join(".")}: ${shortened(value)}`, JSON.stringify(value.document), "small", later);
    }
    await answer(folder, files, cases);
    return { cases, honest, full, contents: contents(), later };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function headOf({ size, root }) {
  return { size, root };
}

function shortened({ text }) {
  return text.length > 70 ? `${text.slice(0, 67)}...` : text;
}

/** What `pakit verify` says of each case. */
async function answer(folder, files, cases) {
  const proofs = join(folder, "proofs");
  await mkdir(proofs);
  let next = 0;
  const work = async () => {
    while (next < cases.length) {
      const number = next;
      next += 1;
      const { proof, content, head } = cases[number];
      const path = join(proofs, `${number}.json`);
      await writeFile(path, proof);
      const words = ["--json", "verify", path];
      if (content !== undefined) words.push(files[content].path);
      if (head) words.push("--size", String(head.size), "--root", head.root);
      cases[number].expected = answerOf(path, head, await pakit(...words));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** The program's answer in the package's words, but for the error's name, which the program does not tell. */
function answerOf(path, head, { code, stdout, stderr }) {
  if (stdout === "") {
    // No document, which is told to people.
    const start = `pakit: ${path}: `;
    if (code !== 1 || !stderr.startsWith(start)) throw new Error(`unexpected, with ${code}: ${stderr}`);
    const message = stderr.slice(start.length).trimEnd();
    return { valid: false, consistent: false, checked: [], head: head ? "given" : "unchecked", message };
  }
  const { valid, consistent, checked, head: source, size, root, refusal } = JSON.parse(stdout);
  if (valid !== (code === 0)) throw new Error(`valid is ${valid} and the exit code ${code}`);
  const answer = { valid, consistent, checked, head: source };
  if (size !== undefined) Object.assign(answer, { size: String(size), root });
  if (refusal !== undefined) answer.message = refusal;
  return answer;
}

/** An answer of the package in a form that JSON holds and that can be compared with the program's. */
export function comparable({ valid, consistent, checked, head, size, root, error }) {
  const answer = { valid, consistent, checked, head };
  if (size !== undefined) Object.assign(answer, { size: String(size), root });
  if (error !== undefined) answer.message = error.message;
  return answer;
}

/** The document with one leaf value changed, in each of some ways, for every leaf. */
function* mutants(document) {
  for (const way of leaves(document, [])) {
    const honest = way.reduce((value, key) => value[key], document);
    for (const other of others(honest)) {
      const copy = structuredClone(document);
      const key = way.at(-1);
      way.slice(0, -1).reduce((value, step) => value[step], copy)[key] = other;
      yield { way, value: { document: copy, text: JSON.stringify(other) } };
    }
  }
}

function* leaves(value, way) {
  if (typeof value !== "object") {
    yield way;
    return;
  }
  for (const key of Object.keys(value)) yield* leaves(value[key], [...way, key]);
}

function others(value) {
  const always = [null, true, [], {}, 1.5];
  if (typeof value === "number") return [...always, value + 1, value - 1, 2 ** 53 - 1, String(value)];
  const last = value.at(-1) === "0" ? "1" : "0";
  const first = value[2] === "0" ? "1" : "0";
  return [
    ...always,
    value.slice(0, -1) + last,
    value.slice(0, 2) + first + value.slice(3),
    value.slice(0, -2),
    `${value}00`,
    value.toUpperCase(),
    value.slice(2),
    "",
  ];
}

/** The documents that an implementation published which shares no code with this one, and what it says of them. */
export async function publishedCases() {
  const vectors = JSON.parse(await readFile(inCheckout("pallet-pakit/primitives/vectors/vectors.json"), "utf8"));
  return vectors.documents.map(({ name, document, head, file, valid, consistent }) => ({
    name,
    proof: document,
    content: file === null ? undefined : Uint8Array.from(Buffer.from(file, "hex")),
    head: head ?? undefined,
    expected: { valid, consistent },
  }));
}
