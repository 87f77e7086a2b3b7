// What the tests of both clients on Node.js share: saying what was seen, and failing where it is not what was to be seen.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

/** What the recipe wrote down: where the node listens, and a log of two blocks with its root. */
export const given = JSON.parse(readFileSync(process.argv[2], "utf8"));

/** The longest that a step may take; a node on a busy machine answers within seconds. */
const STEP_MAX_MS = 120_000;

/** Runs one test after another and ends the process: with 1 at the first that fails. */
export async function run(client, tests) {
  const start = Date.now();
  for (const [name, test] of tests) {
    const before = Date.now();
    try {
      await within(test());
    } catch (error) {
      console.error(`${client}: FAILED: ${name}`);
      console.error(error);
      process.exit(1);
    }
    console.log(`${client}: ${name} (${Date.now() - before} ms)`);
  }
  console.log(`${client}: ${tests.length} tests passed in ${Date.now() - start} ms`);
  process.exit(0);
}

function within(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${STEP_MAX_MS} ms`)), STEP_MAX_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Fails unless the promise is rejected; gives the reason. */
export async function refused(promise, what) {
  let accepted;
  try {
    accepted = await promise;
  } catch (error) {
    return error;
  }
  assert.fail(`${what} was to be refused, and was accepted: ${JSON.stringify(accepted)}`);
}

export { assert };
