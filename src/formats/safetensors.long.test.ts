// Damages valid safetensors files in more than 10,000 ways: each is refused with a code, or read as a valid file.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { mutate } from "../../test/support/mutate.js";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { checksumKey, readSafetensors, type StoredTensor, writeSafetensors } from "./safetensors.js";

const folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-fuzz-"));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
const path = join(folder, "a.safetensors");

/** A damaged file; often the length before the header is made to fit, so that the JSON behind it is reached. */
function damage(original: Buffer, seed: number): Buffer {
  const header = Number(original.readBigUInt64LE());
  const random = RandomStream.named(seed, "length");
  // Half of the changes fall into the header, which is most of what there is to believe.
  const part = random.integer(2) === 0 ? 8 + header : original.length;
  const changed = mutate(original.subarray(0, part), seed, random.integer(2) * 8);
  const bytes = Buffer.concat([changed, original.subarray(part)]);
  if (bytes.length >= 8 && random.integer(2) === 0) {
    bytes.writeBigUInt64LE(BigInt(Math.max(0, header + bytes.length - original.length)));
  }
  return bytes;
}

it("12,000 damaged files", () => {
  const tensors = new Map<string, StoredTensor>([
    ["stem.0.weight", { shape: [2, 1, 3, 3], data: new Float32Array(18).fill(0.5) }],
    ["stem.1.num_batches_tracked", { shape: [], data: BigInt64Array.of(3n) }],
    ["mask", { shape: [5], data: Uint8Array.of(0, 1, 1, 0, 1) }],
    ["empty", { shape: [0], data: new Float64Array(0) }],
  ]);
  writeSafetensors(path, tensors, { format: "pt" });
  const original = fs.readFileSync(path);
  // Under another name its checksum is a text like others, as in files of other programs.
  const unchecked = Buffer.from(
    original.toString("latin1").replace(checksumKey, "ista-nas.sha255"),
    "latin1",
  );
  const outcomes = new Map<string, number>();
  let slowest = 0;
  for (let trial = 0; trial < 12_000; trial++) {
    const bytes = damage(trial % 2 === 0 ? original : unchecked, trial);
    fs.writeFileSync(path, bytes);
    const begun = performance.now();
    let outcome = "read";
    try {
      const read = readSafetensors(path).tensors;
      const total = [...read.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
      // Half-precision numbers take twice their bytes; nothing takes more.
      expect(total).toBeLessThanOrEqual(2 * bytes.length);
      for (const { shape, data } of read.values()) expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
    } catch (error) {
      if (!(error instanceof IstaError)) throw error;
      outcome = error.code;
    }
    slowest = Math.max(slowest, performance.now() - begun);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  console.log(Object.fromEntries(outcomes), `slowest ${slowest.toFixed(1)} ms`);
  expect(slowest).toBeLessThan(2000);
  for (const code of [
    "read",
    "SAFETENSORS_CHECKSUM",
    "SAFETENSORS_TRUNCATED",
    "SAFETENSORS_HEADER",
    "SAFETENSORS_DTYPE",
    "SAFETENSORS_LAYOUT",
  ]) {
    expect(outcomes.get(code), code).toBeGreaterThan(10);
  }
});
