// Weights to and from PyTorch by the lines of Python in docs/pytorch.md, and PyTorch's logits from them.
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";
import { scope, Tensor } from "../src/engine/tensor.js";
import { resolveGenotype } from "../src/formats/genotype-resolve.js";
import { writeModel } from "../src/formats/model-file.js";
import { readSafetensors, writeSafetensors } from "../src/formats/safetensors.js";
import { openModel } from "../src/model/open-model.js";
import { Network } from "../src/nn/network.js";
import { evaluationNetwork } from "../src/space/space.js";
import { makeModel } from "./support/models.js";
import { commandLine, fail, succeed } from "./support/program.js";

// Where a python3 with torch is; Debian's python3-torch belongs to this one.
const python = process.env.ISTA_NAS_PYTHON ?? "/usr/bin/python3";
const hasTorch = spawnSync(python, ["-c", "import torch"]).status === 0;
if (!hasTorch) console.warn(`left out: ${python} has no torch (ISTA_NAS_PYTHON may name another)`);

/** The two programs of the page, in their order. */
const [toSafetensors, fromSafetensors] = [
  ...readFileSync(join(packageFolder, "docs/pytorch.md"), "utf8").matchAll(/```python\n(.*?)```/gs),
].map(([, code]) => code);

/** Makes a network with lived-in batch norms, saves it, and computes logits in evaluation and in training mode. */
const reference = `
import sys, torch
sys.path.insert(0, sys.argv[1])
from genotypes import NAMED_GENOTYPES
from ista_nas import EvaluationNetwork
torch.manual_seed(0)
imagenet = sys.argv[3] == "imagenet"
network = EvaluationNetwork(NAMED_GENOTYPES[sys.argv[2]], channels=4, cells=5, classes=7, auxiliary=True,
    imagenet=imagenet, norm_pool_and_identity=sys.argv[2] == "ISTA_onestage")
for module in network.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        for values in (module.weight.data, module.running_var): values.uniform_(0.5, 1.5)
        for values in (module.bias.data, module.running_mean): values.normal_(0, 0.3)
torch.save(network.state_dict(), sys.argv[4])
size = 224 if imagenet else 32
images = torch.randn(4, 3, size, size)
with torch.no_grad():
    logits = network.eval()(images)[0]
    training, auxiliary = network.train()(images)
torch.save({"images": images, "logits": logits, "training": training, "auxiliary": auxiliary}, sys.argv[5])
`;

describe.skipIf(!hasTorch)("weights of PyTorch", () => {
  const { at, call, json } = commandLine();

  const run = (...words: string[]): void =>
    void execFileSync(python, words, { cwd: at("."), stdio: ["ignore", "pipe", "pipe"] });

  beforeAll(() => {
    writeFileSync(at("reference.py"), reference);
    writeFileSync(at("to_safetensors.py"), toSafetensors);
    writeFileSync(at("from_safetensors.py"), fromSafetensors);
    for (const [name, stem] of [
      ["ISTA_twostage", "cifar"],
      ["ISTA_onestage", "cifar"],
      ["ISTA_ImageNet", "imagenet"],
    ]) {
      const peer = join(packageFolder, "bench/peer");
      run("reference.py", peer, name, stem, `${name}.pt`, `${name}-results.pt`);
      run("to_safetensors.py", `${name}.pt`, `${name}.safetensors`);
      run("to_safetensors.py", `${name}-results.pt`, `${name}-results.safetensors`);
    }
  }, 120_000);

  /** Largest difference as a share of the largest value. */
  function relativeError(values: Float32Array, wanted: Float32Array): number {
    expect(values.length).toBe(wanted.length);
    const largest = Math.max(...wanted.map(Math.abs));
    return Math.max(...values.map((value, i) => Math.abs(value - wanted[i]))) / largest;
  }

  it.each([
    ["ISTA_twostage", "cifar", 32],
    ["ISTA_onestage", "cifar", 32],
    ["ISTA_ImageNet", "imagenet", 224],
  ])(
    "give PyTorch's logits for %s, in training with those of the auxiliary head",
    (arch, stem, imageSize) => {
      const model = openModel(at(`${arch}.safetensors`), { arch, imageSize });
      expect(model.shape).toMatchObject({
        cells: 5,
        channels: 4,
        classes: 7,
        stem,
        auxiliary: true,
        imageHeight: imageSize,
      });
      const results = readSafetensors(at(`${arch}-results.safetensors`)).tensors;
      const wanted = (name: string): Float32Array => results.get(name)!.data as Float32Array;
      const network = new Network(evaluationNetwork(model.architecture, model.shape, model.norms), {
        seed: 0,
      });
      network.loadStateDict(model.weights);
      scope(() => {
        const images = Tensor.from(wanted("images"), [4, 3, imageSize, imageSize]);
        const { logits } = network.forward(images, { training: false });
        expect(relativeError(logits.toFloat32Array(), wanted("logits"))).toBeLessThan(1e-4);
        const training = network.forward(images, { training: true });
        expect(relativeError(training.logits.toFloat32Array(), wanted("training"))).toBeLessThan(1e-4);
        const auxiliary = training.auxiliaryLogits!.toFloat32Array();
        expect(relativeError(auxiliary, wanted("auxiliary"))).toBeLessThan(1e-4);
      });
      network.dispose();
    },
  );

  it.each(["half", "bfloat16"])(
    "in %s precision, inside of a checkpoint, are the same to their last bit",
    (kind) => {
      const code = `import sys, torch
state = torch.load(sys.argv[1])
half = {name: tensor.${kind}() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
torch.save({"epoch": 3, "state_dict": half}, sys.argv[2])
torch.save({name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in half.items()}, sys.argv[3])`;
      run("-c", code, "ISTA_onestage.pt", `${kind}.pt`, `${kind}-wide.pt`);
      run("to_safetensors.py", `${kind}.pt`, `${kind}.safetensors`);
      run("to_safetensors.py", `${kind}-wide.pt`, `${kind}-wide.safetensors`);
      const open = (file: string) => openModel(at(file), { arch: "ISTA_onestage" }).weights;
      const [narrow, wide] = [open(`${kind}.safetensors`), open(`${kind}-wide.safetensors`)];
      expect(narrow.size).toBeGreaterThan(100);
      expect(new Map([...narrow].sort())).toEqual(new Map([...wide].sort()));
    },
  );

  it("are exported and trained on with", () => {
    const { check } = json(
      "export",
      "ISTA_onestage.safetensors",
      "--arch",
      "ISTA_onestage",
      "--format",
      "onnx",
    );
    expect(check.largestDifference).toBeLessThan(1e-4);
    writeSafetensors(
      at("bundled.safetensors"),
      makeModel({
        architecture: resolveGenotype("ISTA_twostage"),
        shape: { classes: 10, inputChannels: 1, auxiliary: true, imageHeight: 28, imageWidth: 28 },
      }).weights,
    );
    // A learning rate too small to move float32 weights: what comes out is what went in.
    const words = ["--preset", "demo-train", "--epochs", "1", "--limit-train", "64", "--limit-test", "10"];
    const size = ["--cells", "3", "--channels", "4", "--auxiliary-weight", "0.4", "--learning-rate", "1e-30"];
    const begin = ["--arch", "ISTA_twostage", "--init-from", "bundled.safetensors", "--weight-decay", "0"];
    succeed(call("train", ...begin, ...words, ...size, "--out", "trained"));
    const before = readSafetensors(at("bundled.safetensors")).tensors;
    const after = readSafetensors(at("trained/model.safetensors")).tensors;
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    for (const [name, { data }] of before)
      if (/\.(weight|bias)$/.test(name)) expect(after.get(name)!.data, name).toEqual(data);
  });

  it("that do not fit are listed, all of them", () => {
    fail(
      call(
        "train",
        "--arch",
        "ISTA_twostage",
        "--init-from",
        "ISTA_onestage.safetensors",
        "--preset",
        "demo-train",
        "--cells",
        "5",
        "--channels",
        "4",
        "--limit-train",
        "64",
        "--out",
        "refused",
      ),
      1,
      "WEIGHTS_MISMATCH",
      "150 unknown: ",
      "102 missing: cells.0._ops.4.op.1.weight, ",
      "16 misshapen: ",
      "stem.0.weight [12,3,3,3] instead of [12,1,3,3]",
      "cells.0._ops.2.op.1.weight [4,1,3,3] instead of [4,1,5,5]",
    );
  });

  it("come back from model files as they were", () => {
    const model = makeModel({ shape: { auxiliary: true, imageHeight: 32, imageWidth: 32 } });
    writeModel(at("model.safetensors"), model);
    run("from_safetensors.py", "model.safetensors", "back.pt");
    run("to_safetensors.py", "back.pt", "again.safetensors");
    const again = readSafetensors(at("again.safetensors")).tensors;
    expect(new Map([...again].sort())).toEqual(new Map([...model.weights].sort()));
  });
});
