// Compiled and not run: what a program may write, and what it may not.
import { type Check, type ErrorName, type Head, type Verification, Verifier, init, verify, verifyStream } from "pakit-verifier";

export async function use(file: Blob, text: string): Promise<Check[]> {
  await init();
  await init(new URL("https://example.org/core.wasm"));
  const head: Head = { size: 5n, root: "0x00" };
  const answer: Verification = verify(text, new Uint8Array(await file.arrayBuffer()), head);
  if (answer.valid && answer.size !== undefined) console.log(answer.size + 1n, answer.root);
  const name: ErrorName | undefined = answer.error?.name;
  if (name === "ContentMismatch") console.log(answer.error?.message);
  verify({ format: "pakit-proof/1" }, null, { size: "5", root: "00" });
  verify(new Uint8Array(1), undefined, null);
  await verifyStream(text, file, head);
  await verifyStream(text, file.stream(), head);
  await verifyStream(text, [new Uint8Array(1)]);
  const verifier = new Verifier(text, head);
  if (verifier.wantsMore) verifier.update(new Uint8Array(1));
  return verifier.finish().checked;
}

export function misuse(text: string): void {
  // @ts-expect-error A head has a root.
  verify(text, undefined, { size: 1 });
  // @ts-expect-error A content is bytes.
  verify(text, "content");
  // @ts-expect-error A number is no proof.
  verify(7);
  // @ts-expect-error There is no such error.
  if (verify(text).error?.name === "Nonsense") return;
  // @ts-expect-error Only the package's own code says so.
  new Verifier(text).wantsMore = true;
}
