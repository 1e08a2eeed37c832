// The command `search`.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import { formatCount, formatDuration, formatPercent } from "../base/format.js";
import { suggestion } from "../base/nearest.js";
import { printable } from "../base/terminal.js";
import { resolveConfig, type SearchConfig } from "../config/config.js";
import { findMethodOptions } from "../config/methods.js";
import { presets } from "../config/presets.js";
import type { RunRequest, RunResult } from "../course/execute.js";
import { spaceOfTraining } from "../run/architecture.js";
import { isFinished, standingOf, trainingPath } from "../run/go-on.js";
import { typedLine } from "../study/commands.js";
import { addExamples, printResult } from "./frame.js";
import { firstOf, leaveOthers, speaks } from "./processes.js";
import { addRunOptions, carryOut, runRequest } from "./run-command.js";
import { nextUse, trainedWords } from "./train.js";

function searchedWords({ path, summary }: RunResult, { method, data, imageSize }: SearchConfig): string {
  const oneStage = findMethodOptions(method).trainsNetwork === true;
  const counts = `${formatCount(summary.parameters ?? 0)} parameters, ${formatCount(summary.multiplyAdds ?? 0)} mult-adds`;
  const lines = [
    `Found ${printable(join(path, "genotype.json"))} in ${formatDuration(summary.seconds)} (${counts} at its size in the search); drawing: ${printable(join(path, "cells.svg"))}`,
  ];
  if (!oneStage) {
    const size = imageSize === null ? [] : ["--image-size", String(imageSize)];
    const next = typedLine(["train", "--arch", path, "--data", data ?? "DIR", ...size]);
    return [...lines, `Next: ${next}`].join("\n");
  }
  const figure =
    summary.testAccuracy === null ? "" : `, test accuracy ${formatPercent(summary.testAccuracy)}`;
  lines.push(`Trained network: ${printable(join(path, "model.safetensors"))}${figure}`);
  return [...lines, nextUse(path)].join("\n");
}

/** @throws IstaError CONFIG_VALUE where there is no such preset of a training */
function checkTrainPreset({ trainPreset }: SearchConfig): void {
  if (trainPreset === null) return;
  const known = Object.keys(presets).filter((name) => presets[name].kind === "train");
  if (!known.includes(trainPreset))
    throw new IstaError(
      "CONFIG_VALUE",
      `--train-preset: expected a preset of a training, got ${JSON.stringify(trainPreset)}; ${suggestion(trainPreset, known)}`,
    );
}

/**
 * The training that follows a search with --then-train: same data, seed and machine. Where it was begun before the search was
 * resumed, it goes on.
 */
async function followingTraining(
  config: SearchConfig,
  run: RunResult,
  say: (line: string) => void,
): Promise<RunRequest<"train">> {
  const out = trainingPath(run.path);
  if (existsSync(join(out, "meta.json"))) return { resume: out, flags: {} };
  const { data, seed, threads, device, limitTrain, limitTest, imageSize, fit, normalisation, skipBroken } =
    config;
  const flags = {
    arch: run.path,
    data,
    seed,
    threads,
    device,
    limitTrain,
    limitTest,
    imageSize,
    fit,
    normalisation,
    skipBroken,
  };
  const layers = { flags, spaceOf: spaceOfTraining };
  if (config.trainPreset !== null)
    return { config: resolveConfig("train", { ...layers, preset: config.trainPreset }).config, out };
  const { fitTraining } = await import("../training/fit.js");
  // First layers for large images go with the cells that were found behind them.
  const given = config.stem === "imagenet" ? { ...flags, stem: config.stem } : flags;
  const { values: fitted, line } = await fitTraining(given);
  if (line !== null) say(line);
  return { config: resolveConfig("train", { ...layers, flags: given, fitted }).config, out };
}

type Going =
  | { readonly request: RunRequest<"search">; readonly before: RunResult | null }
  | { readonly request: null; readonly before: RunResult };

/**
 * What is left of a request with `--go-on`: a run to begin or to go on with, or none where all is done.
 * @returns also the search as it is, where that is finished and only its training is not
 */
function goingOn(request: RunRequest<"search">): Going {
  if (!("config" in request) || request.out === undefined) return { request, before: null };
  const { config, out } = request;
  const standing = standingOf("search", config, out);
  if (standing.state === "new") return { request, before: null };
  if (standing.state === "begun") return { request: { resume: out, flags: standing.flags }, before: null };
  const before: RunResult = { path: resolve(out), status: "finished", summary: standing.summary };
  const trained = !config.thenTrain || isFinished(trainingPath(before.path));
  return trained ? { request: null, before } : { request, before };
}

export function registerSearch(program: Command): void {
  const command = program
    .command("search")
    .description("find the cells of a network for your images, or (one-stage) the trained network itself")
    .action(async (_options: unknown, command: Command) => {
      const asked = await runRequest(command, "search");
      // A training that cannot follow is better known before the search than after it.
      if ("config" in asked && asked.config.thenTrain) checkTrainPreset(asked.config);
      const { request, before } = command.opts<{ goOn?: boolean }>().goOn
        ? await firstOf(() => goingOn(asked))
        : { request: asked, before: null };
      if (request === null) {
        await leaveOthers();
        const words = (): string => `${printable(before.path)} is finished already`;
        if (speaks()) printResult(command, { path: before.path, ...before.summary }, words);
        return;
      }
      // Loaded here, because it loads the tensor library.
      const { runSearch } = await import("../methods/run-search.js");
      const { runTraining } = await import("../training/run-training.js");
      const { RunDirectory } = await import("../run/directory.js");
      const configOf = (run: RunResult): SearchConfig => RunDirectory.open(run.path, "read").config("search");
      let trained = false;
      await carryOut(
        command,
        async (control) => {
          const found = before ?? (await runSearch(request, control));
          const config = await firstOf(() => configOf(found));
          if (found.status === "interrupted" || !config.thenTrain) return found;
          if (speaks()) control.observer.line(searchedWords(found, config).split("\n")[0]);
          trained = true;
          const say = (line: string): void => control.observer.line(line);
          return runTraining(await firstOf(() => followingTraining(config, found, say)), control);
        },
        (result) => (trained ? trainedWords(result) : searchedWords(result, configOf(result))),
      );
    });
  addRunOptions(command, "search").option(
    "--go-on",
    "with --out: go on with the run there, or do nothing where it is finished; safe to repeat",
  );
  addExamples(command, [
    ["search --preset demo", "two minutes on the images that ship with the program"],
    ["search --preset cifar10-two-stage --data cifar-10-batches-bin", "the paper's two-stage search"],
    [
      "search --data my-pictures --image-size 32 --epochs 25 --batch-size 64",
      "on your own pictures (train/CLASS/*.jpg)",
    ],
    [
      "search --preset cifar10-one-stage --data cifar-10-batches-bin --max-params 3.7e6",
      "search and training in one run",
    ],
    [
      "search --method spos --space nas-bench-201 --data cifar-10-batches-bin",
      "another method, in another space",
    ],
    ["search --resume runs/search-20240607-153000", "go on with a run that was stopped"],
    ["search --preset demo --out runs/a --go-on", "begin it or go on with it, whatever is there"],
  ]);
}
