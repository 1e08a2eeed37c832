// Links and pipes inside of a run directory: nothing of the program follows the one or waits for the other.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { expectError, temporaryFolder } from "../../test/support/data.js";
import type { ErrorCode } from "../base/errors.js";
import { findArchitecture } from "../cli/find-architecture.js";
import { resolveConfig } from "../config/config.js";
import { openModel } from "../model/open-model.js";
import { resolveArchitecture } from "./architecture.js";
import { RunDirectory } from "./directory.js";
import { describeRun } from "./listing.js";
import { lockHolder, takeLock } from "./lock.js";
import { readSummary } from "./summary.js";

const { folder, write } = temporaryFolder();
const path = join(folder, "run");
const { config } = resolveConfig("search", { preset: "demo" });
const tensors = { model: new Map([["w", { shape: [1], data: Float32Array.of(1) }]]) };

let secret = "";
beforeEach(() => {
  fs.rmSync(path, { recursive: true, force: true });
  const run = RunDirectory.create({ kind: "search", config, out: path });
  run.appendRecord({ epoch: 0 });
  run.saveCheckpoint("last", { tensors, state: {} });
  run.writeGenotype({ space: "darts" });
  run.writeGenotype({ space: "darts" }, 0);
  run.close();
  // Without line end: whoever opens it as records would cut it.
  secret = write("elsewhere/secret.jsonl", '{"secret": "of somebody else"}');
});

/** Everything that opens a run directory. */
const ways: Readonly<Record<string, () => unknown>> = {
  "open to read": () => RunDirectory.open(path, "read"),
  "open to write": () => RunDirectory.open(path, "write"),
  "take the lock": () => takeLock(path),
  "ask for its holder": () => lockHolder(path),
  "use the network": () => openModel(path),
  "take the cells": () => resolveArchitecture(path),
  "take the cells of an epoch": () => findArchitecture(path, 1),
};

async function everyWayIsRefused(code: ErrorCode, place: string): Promise<void> {
  for (const way of Object.values(ways)) await expectError(way, code, place);
  expect(describeRun(path).problem).toContain(code);
  expect(fs.readFileSync(secret, "utf8")).toBe('{"secret": "of somebody else"}');
}

const files = [
  ...["meta.json", "config.json", "metrics.jsonl", "genotype.json", "lock.json", "model.safetensors"],
  ...["checkpoints/last/checkpoint.json", "checkpoints/last/model.safetensors", "genotypes/epoch-000.json"],
];

describe("inside of a run directory", () => {
  it.each([...files, "checkpoints", "checkpoints/last", "genotypes"])(
    "%s as a link is not followed",
    async (name) => {
      const place = join(path, name);
      fs.rmSync(place, { recursive: true, force: true });
      const target = /\.\w+$/.test(name) ? secret : join(folder, "elsewhere");
      fs.symlinkSync(target, place);
      await everyWayIsRefused("FILE_LINK", place);
    },
  );

  it.each(files)("%s as a pipe keeps nobody waiting", async (name) => {
    const place = join(path, name);
    fs.rmSync(place, { force: true });
    execFileSync("mkfifo", [place]);
    await everyWayIsRefused("FILE_KIND", place);
  });

  it("a summary is no link either", async () => {
    fs.symlinkSync(secret, join(path, "summary.json"));
    await expectError(() => readSummary(path), "FILE_LINK", "summary.json");
  });

  it("what is not the program's own may be a link", () => {
    fs.symlinkSync(secret, join(path, "my-data"));
    fs.symlinkSync(folder, join(path, "pictures"));
    expect(RunDirectory.open(path, "read").records()).toHaveLength(1);
  });
});

it("a run directory may be reached by a link", () => {
  const link = join(folder, "link");
  fs.symlinkSync(path, link);
  const run = RunDirectory.open(link, "write");
  run.appendRecord({ epoch: 1 });
  run.close();
  expect(RunDirectory.open(path, "read").records()).toHaveLength(2);
});
