// Model files: what is written comes back, and descriptions that are wrong are refused with the reason.
import { describe, expect, it } from "vitest";
import { expectError, temporaryFolder } from "../../test/support/data.js";
import { makeModel } from "../../test/support/models.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { randomArchitecture } from "./genotype-resolve.js";
import { modelMetadata, networkOf, readModel, writeModel } from "./model-file.js";
import { writeSafetensors } from "./safetensors.js";

const { folder } = temporaryFolder();
const model = makeModel({ classes: ["a", "ü", "c"], shape: { auxiliary: true }, normalised: true });

describe("a model file", () => {
  it("holds the whole network", () => {
    writeModel(`${folder}/model.safetensors`, model);
    const { description, weights } = readModel(`${folder}/model.safetensors`);
    const { weights: written, ...wanted } = model;
    expect(description).toEqual(wanted);
    expect(new Map([...weights].sort())).toEqual(new Map([...written].sort()));
  });

  it("may be of another space", () => {
    const other = makeModel({
      architecture: randomArchitecture(3, nasBench201),
      shape: { cells: 6, channels: 3 },
    });
    writeModel(`${folder}/other.safetensors`, other);
    const { description, weights } = readModel(`${folder}/other.safetensors`);
    const { weights: written, ...wanted } = other;
    expect(description).toEqual(wanted);
    expect(new Map([...weights].sort())).toEqual(new Map([...written].sort()));
    networkOf({ ...other, weights }).dispose();
  });

  it("keeps what a newer program says besides", () => {
    const unknown = { later: { of: [1, "two"] }, seed: 3 };
    writeModel(`${folder}/newer.safetensors`, { ...model, unknown });
    const { description, weights } = readModel(`${folder}/newer.safetensors`);
    expect(description).toEqual({ ...model, weights: undefined, unknown });
    writeModel(`${folder}/again.safetensors`, { ...description!, weights });
    expect(readModel(`${folder}/again.safetensors`).description).toEqual(description);
  });

  it("may be bare weights", () => {
    writeSafetensors(`${folder}/bare.safetensors`, model.weights);
    expect(readModel(`${folder}/bare.safetensors`).description).toBeNull();
  });

  it("is used without its auxiliary head", () => {
    const network = networkOf(model);
    expect([...network.parameterNames].some((name) => name.startsWith("auxiliary_head."))).toBe(false);
    network.dispose();
  });

  // biome-ignore lint/suspicious/noExplicitAny: made wrong on purpose
  type Change = (description: Record<string, any>) => unknown;
  it.each<[string, Change, "MODEL_FILE" | "NETWORK_SHAPE" | "GENOTYPE_INVALID", string]>([
    ["of a newer program", (d) => ({ ...d, formatVersion: 9 }), "MODEL_FILE", "format 9"],
    ["without shape", ({ shape: _, ...d }) => d, "MODEL_FILE", "wrong at shape"],
    [
      "with a text for a number",
      (d) => ({ ...d, shape: { ...d.shape, cells: "3" } }),
      "MODEL_FILE",
      "shape.cells",
    ],
    [
      "with an absurd number",
      (d) => ({ ...d, shape: { ...d.shape, cells: 1e9 } }),
      "MODEL_FILE",
      "shape.cells",
    ],
    [
      "with sizes of no network",
      (d) => ({ ...d, shape: { ...d.shape, imageWidth: 17 } }),
      "NETWORK_SHAPE",
      "17",
    ],
    ["with another count of classes", (d) => ({ ...d, classes: ["a"] }), "MODEL_FILE", "1 of 3 classes"],
    [
      "with a zero deviation",
      (d) => ({ ...d, normalisation: { mean: [0, 0, 0], std: [1, 0, 1] } }),
      "MODEL_FILE",
      "normalisation.std.1",
    ],
    [
      "with means of other channels",
      (d) => ({ ...d, normalisation: { mean: [0], std: [1] } }),
      "MODEL_FILE",
      "3 channels",
    ],
    [
      "with cells of another space",
      (d) => ({ ...d, genotype: { ...d.genotype, space: "other" } }),
      "GENOTYPE_INVALID",
      "$.space",
    ],
    ["that is no object", () => 7, "MODEL_FILE", "wrong at"],
    ["that is no JSON", () => undefined, "MODEL_FILE", "no JSON"],
  ])("is refused with a description %s", async (_, change, code, words) => {
    const [[key, text]] = Object.entries(modelMetadata(model));
    const changed = JSON.stringify(change(JSON.parse(text))) ?? "{";
    writeSafetensors(`${folder}/wrong.safetensors`, model.weights, { [key]: changed });
    await expectError(() => readModel(`${folder}/wrong.safetensors`), code, words);
  });
});
