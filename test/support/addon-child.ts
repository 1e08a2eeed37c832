// Child processes that treat the addon badly, and what they report.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "vitest";

export interface ChildEnding {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a command under a limit of its address space in MiB; what asks for absurd amounts fails instead of swapping. */
function limited(words: readonly string[], addressSpace: number): Promise<ChildEnding> {
  const child = spawn(
    "bash",
    ["-c", `ulimit -v ${addressSpace * 1024}; exec "$0" "$@"`, process.execPath, ...words],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let [out, err] = ["", ""];
  child.stdout.on("data", (data) => {
    out += data;
  });
  child.stderr.on("data", (data) => {
    err += data;
  });
  return new Promise((resolve) =>
    child.once("close", (status, signal) => resolve({ status, signal, out, err })),
  );
}

/** Runs an ES module's text; `import(program + ...)` is for the script to write. */
export const runScript = (script: string, addressSpace = 16_384): Promise<ChildEnding> =>
  limited(["--input-type=module", "-e", script], addressSpace);

/**
 * Fuzzes the addon in a child.
 * @returns how often each code came, `returned` among them, and how many operators were called
 */
export async function fuzzAddon(
  program: string,
  folder: string,
  seed: number,
  calls: number,
): Promise<{ counts: Record<string, number>; names: number }> {
  const log = join(folder, `fuzz-${seed}.log`);
  const script = join(import.meta.dirname, "addon-fuzz.mjs");
  const addon = join(program, "build", "ista_nas.node");
  const ending = await limited([script, addon, String(seed), String(calls), log], 8192);
  const last = (): string => readFileSync(log, "utf8").split("\n")[0];
  if (ending.status !== 0)
    expect.fail(
      `seed ${seed}: status ${ending.status}, signal ${ending.signal}, last call ${last()}\n${ending.err.slice(-2000)}`,
    );
  return JSON.parse(ending.out);
}

/** Codes that a call may end with; anything else is the text of an exception that the fuzzer itself threw. */
export const allowedOutcomes = [
  "returned",
  "ENGINE_ARGUMENT",
  "ENGINE_FREED",
  "ENGINE_OPERATOR",
  "ENGINE_OUT_OF_MEMORY",
  "thrown by a getter",
];

/** A worker's text: trains a small network step after step, and says when the first is done. */
export const trainingWorker = (program: string): string => `
  import { parentPort } from "node:worker_threads";
  const source = (name) => import(${JSON.stringify(String(pathToFileURL(join(program, "dist/src/"))))} + name);
  const { Network } = await source("nn/network.js");
  const { evaluationNetwork } = await source("space/space.js");
  const { darts } = await source("space/darts/space.js");
  const { Sgd } = await source("engine/sgd.js");
  const { scope } = await source("engine/tensor.js");
  const { setThreads } = await source("engine/device.js");
  const { batchGradients, descend } = await source("course/descent.js");
  setThreads(2);
  const shape = { cells: 3, channels: 8, inputChannels: 3, classes: 10, imageHeight: 32, imageWidth: 32, stem: "cifar", auxiliary: false };
  const network = new Network(evaluationNetwork({ space: darts, selection: darts.named.ISTA_twostage.selection }, shape), { seed: 1 });
  const sgd = new Sgd();
  const images = Float32Array.from({ length: 16 * 3 * 32 * 32 }, (_, i) => Math.sin(i));
  const batch = { images, labels: Int32Array.from({ length: 16 }, (_, i) => i % 10), count: 16 };
  const settings = { learningRate: 0.05, momentum: 0.9, weightDecay: 0, gradientClip: 5 };
  const place = { epoch: 0, index: 0, learningRate: 0.05 };
  for (let step = 0; ; step++) {
    const loss = scope(() => {
      const { figures, gradients } = batchGradients(network, batch, { training: true }, { labelSmoothing: 0, auxiliaryWeight: 0 }, [...network.trainable.values()], place);
      descend(network, sgd, gradients, settings, place);
      return figures.loss;
    });
    parentPort?.postMessage({ step, loss });
  }`;

/** Text that makes `start()`, which gives a worker and its first message. */
export const startWorker = (program: string): string => `
  import { Worker } from "node:worker_threads";
  const url = new URL("data:text/javascript," + encodeURIComponent(${JSON.stringify(trainingWorker(program))}));
  function start() {
    const worker = new Worker(url);
    const first = new Promise((resolve, reject) => { worker.once("message", resolve); worker.once("error", reject); });
    return { worker, first };
  }`;
