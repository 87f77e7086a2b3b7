// The same in headless Chromium: with the package's modules as they are, and with what a bundler makes of them.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, extname, join, normalize } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { chromium } from "playwright-core";
import webpack from "webpack";
import { inCheckout, makeCases, needed, publishedCases, workedExample } from "./cases.js";

const PACKAGE = dirname(fileURLToPath(import.meta.resolve("pakit-verifier/package.json")));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const PAGE = `<!doctype html><meta charset="utf-8"><title>pakit-verifier</title>`;
/** No source of scripts but this server, and of Wasm what it needs: as a careful page has it. */
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";
/** Goes into the page by either way, as a program that uses the package. */
const PROGRAM = `
import * as verifier from "pakit-verifier";
globalThis.verifier = verifier;
globalThis.loaded = true;
`;

let browser;
let cases;
let contents;
let server;
let bundle;

before(async () => {
  const made = await makeCases();
  cases = made.cases;
  contents = Object.fromEntries(Object.entries(made.contents).map(([name, bytes]) => [name, base64(bytes)]));
  bundle = await mkdtemp(join(tmpdir(), "pakit-verifier-bundle-"));
  await bundled(bundle);
  server = await serve({ "/package/": PACKAGE, "/pakit-verifier/": PACKAGE, "/bundle/": bundle }, await documentedPage());
  browser = await chromium.launch({ executablePath: needed("PAKIT_CHROMIUM"), args: ["--disable-dev-shm-usage"] });
});

after(async () => {
  await browser?.close();
  server?.close();
  if (bundle) await rm(bundle, { recursive: true });
});

function base64(bytes) {
  return Buffer.from(bytes).toString("base64");
}

/** webpack without a plug-in: it takes the Wasm along, as the address in the package's modules says. */
async function bundled(folder) {
  const entry = join(folder, "entry.js");
  await writeFile(entry, PROGRAM);
  const stats = await promisify(webpack)({
    mode: "production",
    context: import.meta.dirname,
    entry,
    output: { path: folder, filename: "main.js", publicPath: "/bundle/" },
    resolve: { modules: [join(import.meta.dirname, "node_modules")] },
  });
  assert.equal(stats.hasErrors() || stats.hasWarnings(), false, stats.toString());
}

/** The page in the documentation. */
async function documentedPage() {
  const [, html] = /```html\n(.*?)```/s.exec(await readFile(inCheckout("docs/verifier.md"), "utf8"));
  return html;
}

/** A server of the folders' files and of the pages that load them. */
async function serve(folders, documented) {
  const imports = JSON.stringify({ imports: { "pakit-verifier": "/package/web.js" } });
  const pages = {
    "/modules.html": `${PAGE}<script type="importmap" nonce="map">${imports}</script><script type="module" src="/program.js"></script>`,
    "/bundle.html": `${PAGE}<script src="/bundle/main.js"></script>`,
    "/program.js": PROGRAM,
    "/documented.html": documented,
  };
  const http = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const start = Object.keys(folders).find((prefix) => pathname.startsWith(prefix));
    const file = start && join(folders[start], normalize(`/${pathname.slice(start.length)}`));
    const body = pages[pathname] ?? (file && (await readFile(file).catch(() => undefined)));
    const headers = { "Content-Type": TYPES[extname(pathname)] ?? "text/plain" };
    // The import map stands in the page itself, and in the documentation's page the whole program.
    if (body !== documented) headers["Content-Security-Policy"] = `${POLICY} 'nonce-map'`;
    response.writeHead(body === undefined ? 404 : 200, headers);
    response.end(body);
  });
  await new Promise((listening) => http.listen(0, "127.0.0.1", listening));
  return http;
}

function addressOf(page) {
  return `http://127.0.0.1:${server.address().port}/${page}`;
}

async function open(page) {
  const tab = await browser.newPage();
  const complaints = [];
  tab.on("pageerror", (error) => complaints.push(String(error)));
  await tab.goto(addressOf(page));
  await tab.waitForFunction(() => globalThis.loaded === true);
  return { tab, complaints };
}

/** Within the page: each case's answer, or the exception that it ended in. */
async function answerAll({ cases, contents }) {
  const { init, verify, verifyStream } = globalThis.verifier;
  await init();
  const bytes = Object.fromEntries(
    Object.entries(contents).map(([name, text]) => [name, Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0))]),
  );
  const comparable = ({ valid, consistent, checked, head, size, root, error }) => ({
    valid,
    consistent,
    checked,
    head,
    ...(size === undefined ? {} : { size: String(size), root }),
    ...(error === undefined ? {} : { message: error.message }),
  });
  const answers = [];
  for (const { proof, content, head } of cases) {
    try {
      const whole = verify(proof, bytes[content], head);
      const streamed = content === undefined ? whole : await verifyStream(proof, new Blob([bytes[content]]), head);
      answers.push({ whole: comparable(whole), streamed: comparable(streamed) });
    } catch (error) {
      answers.push({ exception: String(error) });
    }
  }
  return answers;
}

for (const page of ["modules.html", "bundle.html"]) {
  describe(page, () => {
    test("answers as pakit verify does", async () => {
      const { tab, complaints } = await open(page);
      const asked = cases.map(({ proof, content, head }) => ({ proof, content, head }));
      const answers = await tab.evaluate(answerAll, { cases: asked, contents });
      assert.equal(answers.length, cases.length);
      for (const [place, { name, expected }] of cases.entries()) {
        assert.deepEqual(answers[place], { whole: expected, streamed: expected }, name);
      }
      assert.deepEqual(complaints, []);
      await tab.close();
    });

    test("answers as an implementation that shares no code", async () => {
      const { tab } = await open(page);
      const published = await publishedCases();
      const files = Object.fromEntries(published.map(({ content }, place) => [place, base64(content ?? [])]));
      const asked = published.map(({ proof, content, head }, place) => ({
        proof,
        content: content === undefined ? undefined : String(place),
        head,
      }));
      const answers = await tab.evaluate(answerAll, { cases: asked, contents: files });
      for (const [place, { name, expected }] of published.entries()) {
        const { valid, consistent } = answers[place].whole;
        assert.deepEqual({ valid, consistent }, expected, name);
      }
      await tab.close();
    });

    test("says that it is not loaded, and loads again after it could not", async () => {
      const { tab } = await open(page);
      const said = await tab.evaluate(async () => {
        const { init, verify } = globalThis.verifier;
        const outcome = async (call) => Promise.resolve().then(call).then(() => "no error", String);
        return [
          await outcome(() => verify("{}")),
          (await outcome(() => init("/nowhere.wasm"))) === "no error",
          await outcome(() => Promise.all([init(), init()])),
          verify("{}").error.name,
        ];
      });
      assert.deepEqual(said, ["Error: the verifier is not loaded yet: await init() first", false, "no error", "MissingKey"]);
      await tab.close();
    });
  });
}

describe("the page in the documentation", () => {
  test("says what is valid, and why something is not", async () => {
    const { proof, document: file } = await workedExample();
    const tab = await browser.newPage();
    await tab.goto(addressOf("documented.html"));
    const ask = async (buffer) => {
      await tab.setInputFiles("#proof", { name: "proof.json", mimeType: "application/json", buffer: proof });
      await tab.setInputFiles("#file", { name: "document", mimeType: "text/plain", buffer });
      await tab.evaluate(() => document.querySelector("#answer").replaceChildren());
      await tab.click("#verify");
      const answer = await tab.waitForFunction(() => document.querySelector("#answer").textContent);
      return answer.jsonValue();
    };
    assert.equal(await ask(file), "valid");
    assert.equal(await ask(Buffer.from("document 4\n")), "the file is not the block's content");
    await tab.close();
  });
});
