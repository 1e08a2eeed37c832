// The public face of the package, imported by its name.
import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";

const runNode = (source: string): string =>
  execFileSync(process.execPath, ["--input-type=module", "-e", source], {
    cwd: packageFolder,
    encoding: "utf8",
  }).trim();

it("counts a published network by `ista-nas/space` without loading libtorch", () => {
  const output = runNode(`
    import { countNetwork, darts, evaluationNetwork, nasBench201 } from "ista-nas/space";
    const shape = { cells: 20, channels: 36, inputChannels: 3, classes: 10, imageHeight: 32, imageWidth: 32, stem: "cifar", auxiliary: false };
    const { selection } = darts.named.ISTA_twostage;
    console.log(countNetwork(evaluationNetwork({ space: darts, selection }, shape)).params);
    const large = { space: nasBench201, selection: nasBench201.named.all_nor_conv_3x3.selection };
    console.log(countNetwork(evaluationNetwork(large, { ...shape, cells: 15, channels: 16 })).params);
    console.log(process.report.getReport().sharedObjects.some((path) => path.includes("torch")));
  `);
  expect(output.split("\n")).toEqual(["3316726", "1531546", "false"]);
});

it("recovers a sparse code by `ista-nas/sparse`", () => {
  const output = runNode(`
    import { drawMeasurement, recover } from "ista-nas/sparse";
    import { RandomStream } from "ista-nas";
    const matrix = drawMeasurement("gaussian", 40, 60, RandomStream.named(1, "example"));
    const compressed = Float64Array.from({ length: 40 }, (_, row) => 2 * matrix.data[row * 60 + 3] - matrix.data[row * 60 + 9]);
    const { support, code } = recover(matrix, compressed, { method: "path", sparsity: 2, lambda: 1e-5 });
    console.log(JSON.stringify([support, support.map((index) => Number(code[index].toFixed(6)))]));
  `);
  expect(JSON.parse(output)).toEqual([
    [3, 9],
    [2, -1],
  ]);
});

it("trains a network by `ista-nas`", () => {
  const output = runNode(`
    import { evaluationNetwork, gradients, Network, operators, resolveGenotype, scope, Sgd, Tensor } from "ista-nas";
    const shape = { cells: 3, channels: 4, inputChannels: 1, classes: 2, imageHeight: 8, imageWidth: 8, stem: "cifar", auxiliary: false };
    const network = new Network(evaluationNetwork(resolveGenotype("ISTA_onestage"), shape), { seed: 1 });
    const sgd = new Sgd();
    const images = Float32Array.from({ length: 8 * 64 }, (_, i) => (i < 256 ? 1 : -1) + Math.sin(i));
    const labels = BigInt64Array.from([0, 0, 0, 0, 1, 1, 1, 1], BigInt);
    const losses = [];
    for (let step = 0; step < 20; step++) scope(() => {
      const { logits } = network.forward(Tensor.from(images, [8, 1, 8, 8]), { training: true });
      const loss = operators.crossEntropy(logits, Tensor.from(labels), null, 1, -100, 0);
      losses.push(loss.item());
      const slopes = gradients(loss, [...network.trainable.values()]);
      sgd.step(network.trainable, slopes, { learningRate: 0.05, momentum: 0.9, weightDecay: 0, gradientClip: 5 });
    });
    console.log(losses.at(-1) < 0.2 * losses[0]);
  `);
  expect(output).toBe("true");
});
