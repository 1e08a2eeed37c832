// `ista-nas config`: shows, checks and lists configurations without starting anything.
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import { readJson } from "../base/files.js";
import { formatTable } from "../base/format.js";
import { suggestion } from "../base/nearest.js";
import { printable, printableJson } from "../base/terminal.js";
import { checkConfig, type RunKind, resolveConfig } from "../config/config.js";
import { formatValue, optionsOf } from "../config/options.js";
import { presets } from "../config/presets.js";
import { addExamples, print, printResult } from "./frame.js";
import { addConfigOptions, configLayers } from "./options.js";

const kinds = ["search", "train"] as const satisfies readonly RunKind[];

export function registerConfig(program: Command): void {
  const config = program.command("config").description("show, check and list configurations");

  const show = config
    .command("show")
    .description("print every option with its value and where it comes from");
  for (const kind of kinds) {
    const command = show.command(kind).description(`the configuration that \`${kind}\` would run with`);
    addConfigOptions(command, kind);
    command.action(() => showConfig(command, kind));
  }

  const check = config.command("check").description("check configuration files");
  for (const kind of kinds) {
    const command = check.command(`${kind} <files...>`).description(`check files for \`${kind} --config\``);
    command.action((files: string[]) => {
      for (const file of files) checkConfig(kind, readJson(file, 1 << 20), file);
      printResult(command, { valid: files }, () =>
        files.map((file) => `${printable(file)}: valid`).join("\n"),
      );
    });
  }

  const list = config.command("presets").description("list the presets, or print one");
  list.argument("[name]", "print this preset as a configuration file");
  list.action((name: string | undefined) => showPresets(list, name));

  addExamples(config, [
    ["config presets", "list the presets"],
    ["config show search --preset demo --epochs 3", "what a search would run with"],
    ["config check search my-search.json", "check a file"],
  ]);
}

function showConfig(command: Command, kind: RunKind): void {
  const { config, sources } = resolveConfig(kind, configLayers(command, kind));
  const values = config as unknown as Record<string, unknown>;
  printResult(command, config, () =>
    formatTable(optionsOf(kind, String(values.method)), [
      { title: "OPTION", cell: ({ key }) => key },
      { title: "VALUE", cell: ({ key }) => formatValue(values[key]) },
      { title: "FROM", cell: ({ key }) => sources[key] },
    ]),
  );
}

function showPresets(command: Command, name: string | undefined): void {
  if (name === undefined) {
    const rows = Object.entries(presets).map(([title, { kind, description }]) => ({
      name: title,
      kind,
      description,
    }));
    printResult(command, rows, () =>
      formatTable(rows, [
        { title: "PRESET", cell: (row) => row.name },
        { title: "KIND", cell: (row) => row.kind },
        { title: "WHAT IT IS", cell: (row) => row.description },
      ]),
    );
    return;
  }
  if (!Object.hasOwn(presets, name)) {
    const known = suggestion(name, Object.keys(presets));
    throw new IstaError("CONFIG_UNKNOWN", `no preset ${JSON.stringify(name)}; ${known}`);
  }
  const { values } = presets[name];
  print(`${printableJson(values, 2)}\n`);
}
