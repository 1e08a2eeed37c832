import { describe, expect, it } from "vitest";
import { bundledFolder, temporaryFolder } from "../../test/support/data.js";
import { makeModel } from "../../test/support/models.js";
import { resolveConfig } from "../config/config.js";
import { writeSafetensors } from "../formats/safetensors.js";
import { darts } from "../space/darts/space.js";
import { fitTraining, fittedTo } from "./fit.js";

const { folder } = temporaryFolder();

describe("what fits the data", () => {
  it("is fewer epochs the more images there are, and the paper's recipe for very many", () => {
    expect(fittedTo(50)).toMatchObject({ epochs: 200, batchSize: 32, validationFraction: 0 });
    expect(fittedTo(204)).toMatchObject({ epochs: 200, batchSize: 32, validationFraction: 0.1 });
    expect(fittedTo(1000)).toMatchObject({ epochs: 100, batchSize: 64 });
    expect(fittedTo(19_999)).toMatchObject({ epochs: 30, cells: 8, channels: 16 });
    expect(fittedTo(20_000)).toEqual({});
  });

  it("fills in what was not given, and says so in a line", async () => {
    const given = { data: bundledFolder, arch: "ISTA_twostage", limitTrain: 500, epochs: 3 };
    const { values, line } = await fitTraining(given);
    expect(values).toEqual({ batchSize: 32, cells: 8, channels: 16, validationFraction: 0.1 });
    expect(line).toContain(
      "fitted to 500 training images: --batch-size 32 --cells 8 --channels 16 --validation-fraction 0.1;",
    );
    const { config, sources } = resolveConfig("train", { fitted: values, flags: given });
    expect(config).toMatchObject({ ...values, epochs: 3, learningRate: 0.025 });
    expect(sources.cells).toBe("fitted to the data");
    expect(sources.epochs).toBe("--epochs");
    expect(await fitTraining({ ...given, ...values })).toEqual({ values: {}, line: null });
    expect(await fitTraining({ arch: "ISTA_twostage" })).toEqual({ values: {}, line: null });
  });

  it("has the size of the weights that are begun with, and of other spaces their own", async () => {
    const architecture = { space: darts, selection: darts.named.ISTA_twostage.selection };
    const { weights } = makeModel({ architecture, shape: { cells: 5, channels: 6, classes: 7 } });
    writeSafetensors(`${folder}/bare.safetensors`, weights);
    const given = { data: bundledFolder, arch: "ISTA_twostage", initFrom: `${folder}/bare.safetensors` };
    expect((await fitTraining(given)).values).toMatchObject({ cells: 5, channels: 6, stem: "cifar" });
    const other = await fitTraining({ data: bundledFolder, arch: "random:1", space: "nas-bench-201" });
    expect(Object.keys(other.values)).toEqual(["epochs", "batchSize", "validationFraction"]);
  });
});
