// Node.js: the Wasm is read from beside this file, once, when the package is loaded.
import { readFileSync } from "node:fs";
import { initSync } from "./wasm/core.js";

initSync({ module: readFileSync(new URL("./wasm/core_bg.wasm", import.meta.url)) });

// Nothing is left to do: so that the same program runs here and in a browser.
export async function init() {}

export { Verifier, verify, verifyStream } from "./api.js";
