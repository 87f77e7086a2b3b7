// Browsers, with a bundler or without: the Wasm is fetched when it is first asked for. Bundlers see by the address below that
// the file belongs to the program.
import load from "./wasm/core.js";

// Calls at once wait for one load, and after one that failed the next tries again: wasm-bindgen's part sees to both.
export async function init(source = new URL("./wasm/core_bg.wasm", import.meta.url)) {
  await load({ module_or_path: source });
}

export { Verifier, verify, verifyStream } from "./api.js";
