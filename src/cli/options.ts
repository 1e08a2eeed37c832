// Command-line flags made from the configuration schemas, and the way back from parsed flags to configuration layers.
import { type Command, Option } from "commander";
import type { ConfigLayers, RunKind } from "../config/config.js";
import { formatValue, optionGroups, parseFlagValue, type Option as RunOption } from "../config/options.js";
import { presets } from "../config/presets.js";

const placeholders = { integer: "<n>", number: "<x>", numbers: "<x,...>", string: "<text>", boolean: "" };

const longestPlaceholder = 20;

function flagOption(option: RunOption): Option {
  const words = option.choices?.join("|") ?? "";
  // Many words would push all descriptions aside.
  const long = words.length > longestPlaceholder;
  const placeholder = option.choices === null ? placeholders[option.type] : long ? "<name>" : `<${words}>`;
  const known = long ? `: ${option.choices!.join(", ")}` : "";
  return new Option(
    `--${option.flag} ${placeholder}`.trim(),
    `${option.description}${known} [${formatValue(option.default)}]`,
  );
}

/** Headings of the help, and the options below them; others stand with the flags that are no options of a run. */
const headings: Readonly<Record<string, readonly string[]>> = {
  "Images:": [
    ...["data", "imageSize", "fit", "splitSeed", "limitTrain", "limitTest", "validationFraction"],
    ...["augmentation", "cutout", "colorJitter", "normalisation", "skipBroken", "prefetch", "pictureCache"],
  ],
  "Network:": [
    ...["space", "arch", "cells", "channels", "stem", "auxiliaryWeight", "poolBatchNorm", "initFrom"],
    ...["maxParams", "maxMultAdds"],
  ],
  "Training:": [
    ...["epochs", "batchSize", "learningRate", "finalLearningRate", "schedule", "warmupEpochs"],
    ...[
      "weightDecay",
      "momentum",
      "nesterov",
      "gradientClip",
      "labelSmoothing",
      "dropPath",
      "weightAveraging",
    ],
  ],
  "Search:": ["method", "table", "rankedArchitectures", "control", "thenTrain", "trainPreset"],
  "Machine and checkpoints:": [
    ...["seed", "threads", "device", "recompute", "microBatch", "saveEvery", "keepCheckpoints", "logEvery"],
    "syncBatchNorm",
  ],
};

const headingOf = (key: string): string | undefined =>
  Object.keys(headings).find((heading) => headings[heading].includes(key));

/** Adds `--preset`, `--config` and a flag for each option of the schema. */
export function addConfigOptions(command: Command, kind: RunKind): Command {
  const names = Object.keys(presets).filter((name) => presets[name].kind === kind);
  command.option("--preset <name>", `start from a preset: ${names.join(", ")}`);
  command.option("--config <file>", "JSON file with options; flags win over it, it wins over the preset");
  for (const { heading, options } of optionGroups(kind)) {
    for (const option of options) {
      if (option.key === "preset") continue;
      const made = flagOption(option);
      const group = heading === null ? headingOf(option.key) : `${heading}:`;
      command.addOption(group === undefined ? made : made.helpGroup(group));
      if (option.type === "boolean") command.addOption(new Option(`--no-${option.flag}`).hideHelp());
    }
  }
  if (kind === "search")
    command.addOption(new Option("--mode <two-stage|one-stage>", "old name of --method ista-...").hideHelp());
  return command;
}

/** Adds the flags that say where the run directory goes. */
export function addLocationOptions(command: Command): Command {
  return command
    .option("--out <folder>", "the run directory itself; it must be new or empty")
    .option("--root <folder>", "folder of all runs", "runs")
    .option("--name <name>", "name of the run directory in it [kind and time]");
}

export interface RunLocation {
  out?: string;
  root?: string;
  name?: string;
}

/** The layers that the command line gives: only flags that were really written, not their defaults. */
export function configLayers(command: Command, kind: RunKind): ConfigLayers {
  const given = command.opts<Record<string, unknown>>();
  const flags: Record<string, unknown> = {};
  if (given.mode !== undefined) flags.mode = given.mode;
  for (const option of optionGroups(kind).flatMap(({ options }) => options)) {
    const { key, type } = option;
    if (key === "preset" || command.getOptionValueSource(key) !== "cli") continue;
    // Read here and not by commander's own parser, which turns a null into an empty text.
    flags[key] = type === "boolean" ? given[key] : parseFlagValue(option, given[key] as string);
  }
  return { preset: given.preset as string | undefined, file: given.config as string | undefined, flags };
}
