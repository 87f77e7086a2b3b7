// `node speed.js PROOF FILE`: how long a document takes, and how much content goes through in a second, of the processor's time,
// so that other programs do not count. The median of some rounds.
import { readFile } from "node:fs/promises";
import { verify } from "pakit-verifier";

const ROUNDS = 15;
const PROOFS = 2000;
const CONTENTS = 20;

const [proofPath, filePath] = process.argv.slice(2);
const proof = await readFile(proofPath);
const file = await readFile(filePath);
if (!verify(proof, file).consistent) throw new Error("an honest document is needed");

function median(measure) {
  return Array.from({ length: ROUNDS }, measure).sort((a, b) => a - b)[Math.floor(ROUNDS / 2)];
}

function seconds(times, work) {
  const start = process.cpuUsage();
  for (let time = 0; time < times; time += 1) work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

const perProof = median(() => seconds(PROOFS, () => verify(proof)) / PROOFS);
const perContent = median(() => seconds(CONTENTS, () => verify(proof, file)) / CONTENTS);
console.log(`${(perProof * 1e6).toFixed(1)} us for a document of ${proof.length} bytes`);
console.log(`${(file.length / (perContent - perProof) / 1e6).toFixed(0)} MB of content in a second`);
