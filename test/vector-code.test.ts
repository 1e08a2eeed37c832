// One addon for every processor: which kernels are taken, that they agree, and that no instruction of one set is anywhere else.
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";
import { vectorCode } from "../src/engine/device.js";
import { type Ending, RunningCommand } from "./support/command-line.js";
import { commandLine, fail, succeed } from "./support/program.js";

const line = commandLine();
const { available } = vectorCode();
const all = ["avx512", "avx2", "baseline"];

/** A call with this vector code named. */
function callWith(code: string, ...words: string[]): Promise<Ending> {
  return new RunningCommand(line.program, words, { cwd: line.at(), env: { ISTA_NAS_VECTOR: code } }).ended;
}

describe("the vector code", () => {
  it("is the widest that the processor has, and doctor says so", () => {
    expect(all.filter((code) => available.includes(code))).toEqual(available);
    expect(available).toContain("baseline");
    const named = process.env.ISTA_NAS_VECTOR || available[0];
    const kernels = line.json("doctor").find(({ name }: { name: string }) => name === "our kernels");
    expect(kernels.value).toContain(`vector code ${named};`);
    expect(kernels.value).toContain(`has ${available.join(", ")} `);
  });

  it("that is unknown is refused, and so is one that the processor lacks", async () => {
    fail(await callWith("avx9", "doctor"), 2, "ENGINE_VECTOR", "one of avx512, avx2, baseline", '"avx9"');
    for (const code of all.filter((one) => !available.includes(one)))
      fail(await callWith(code, "doctor"), 2, "ENGINE_VECTOR", code, `has ${available.join(", ")} only`);
    // What needs no tensors does not ask for it.
    expect((await callWith("avx9", "--version")).status).toBe(0);
  });

  it("that is named is used, and trains to the same figures but for rounding", async () => {
    const size = ["--cells", "3", "--channels", "6", "--epochs", "1", "--threads", "1", "--batch-size", "16"];
    const images = ["--limit-train", "64", "--limit-test", "64"];
    const outcomes: { loss: number; weights: string }[] = [];
    for (const code of available) {
      expect((await callWith(code, "doctor")).out).toContain(`vector code ${code};`);
      const words = ["train", "--arch", "ISTA_twostage", "--preset", "demo-train", ...size, ...images];
      succeed(await callWith(code, ...words, "--name", code));
      const { versions } = JSON.parse(readFileSync(line.at("runs", code, "meta.json"), "utf8"));
      expect(versions.kernels).toBe(code);
      const { loss } = JSON.parse(readFileSync(line.at("runs", code, "metrics.jsonl"), "utf8").trim());
      outcomes.push({ loss, weights: readFileSync(line.at("runs", code, "model.safetensors"), "latin1") });
    }
    for (const [index, { loss, weights }] of outcomes.entries()) {
      expect(loss).toBeGreaterThan(1);
      expect(loss).toBeCloseTo(outcomes[0].loss, 3);
      // Another order of additions and other roundings: the same weights would be the same code.
      if (index > 0) expect(weights === outcomes[0].weights).toBe(false);
    }
  }, 300_000);
});

it("a run that goes on with other kernels than it began with says so", async () => {
  cpSync(join(packageFolder, "test/golden/old-run/two-stage"), line.at("runs/moved"), { recursive: true });
  const path = line.at("runs/moved/meta.json");
  const meta = JSON.parse(readFileSync(path, "utf8"));
  const begin = (kernels: string): void =>
    writeFileSync(path, JSON.stringify({ ...meta, versions: { ...meta.versions, kernels } }));
  begin("baseline");
  const words = ["search", "--resume", "runs/moved", "--epochs", "1"];
  const same = await callWith("baseline", ...words);
  expect(same.err).not.toContain("kernels");
  begin("other");
  const other = await callWith("baseline", ...words);
  expect(other.err).toMatch(/began with kernels for other and goes on with those for baseline: .*rounding/);
});

const hasObjdump = spawnSync("objdump", ["--version"]).status === 0;
if (!hasObjdump) console.warn("left out: there is no objdump (apt-get install binutils)");

describe.skipIf(process.arch !== "x64" || !hasObjdump)("the addon", () => {
  it("runs on any x86-64: instructions beyond SSE2 are only in kernels that are chosen for them", () => {
    const addon = join(packageFolder, "build/ista_nas.node");
    const { stdout } = spawnSync("objdump", ["-d", "-C", "--no-show-raw-insn", addon], {
      encoding: "utf8",
      maxBuffer: 1 << 30,
    });
    const counts = new Map<string, number>();
    let home = "";
    for (const text of stdout.split("\n")) {
      const [, name] = /^[0-9a-f]+ <(.*)>:$/.exec(text) ?? [];
      if (name !== undefined) home = /ista::(avx512|avx2|baseline)::/.exec(name)?.[1] ?? name;
      // Registers of more than 16 bytes, and the three-operand forms that AVX brought.
      else if (/%[yz]mm|\tv[a-z]+/.test(text)) counts.set(home, (counts.get(home) ?? 0) + 1);
      if (/%zmm/.test(text)) expect(home).toBe("avx512");
    }
    expect([...counts.keys()].sort()).toEqual(["avx2", "avx512"]);
    for (const count of counts.values()) expect(count).toBeGreaterThan(1000);
  });
});
