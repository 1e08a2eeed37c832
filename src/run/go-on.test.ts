// How a run stands to the configuration that it is wanted with.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { searchConfig } from "../../test/support/courses.js";
import { failure } from "../../test/support/failure.js";
import { RunDirectory } from "./directory.js";
import { standingOf } from "./go-on.js";

const folder = mkdtempSync(join(tmpdir(), "ista-nas-go-on-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("what a run has settled by itself is no other configuration, and stays", () => {
  const out = join(folder, "run");
  const wanted = searchConfig({ method: "ista-two-stage" });
  expect(wanted).toMatchObject({ microBatch: null, codeLearningRate: null });
  expect(standingOf("search", wanted, out)).toEqual({ state: "new" });
  const settled = searchConfig({ method: "ista-two-stage", microBatch: 4, codeLearningRate: 0.02 });
  RunDirectory.create({ kind: "search", config: settled, out }).close();
  const standing = standingOf("search", wanted, out);
  if (standing.state !== "begun") throw new Error(`expected a run that goes on, got ${standing.state}`);
  expect(standing.flags).not.toHaveProperty("microBatch");
  expect(standing.flags).not.toHaveProperty("codeLearningRate");
  // What is asked for outright counts.
  const asked = searchConfig({ method: "ista-two-stage", microBatch: 2, codeLearningRate: 0.02 });
  expect(standingOf("search", asked, out)).toMatchObject({ state: "begun", flags: { microBatch: 2 } });
  const other = searchConfig({ method: "ista-two-stage", codeLearningRate: 0.5 });
  expect(failure(() => standingOf("search", other, out)).code).toBe("CONFIG_RESUME");
});
