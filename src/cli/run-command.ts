// What the commands that run for long have in common: flags, resumption, signals, progress, and the words at the end.
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import { printable } from "../base/terminal.js";
import {
  type ConfigLayers,
  type ConfigOf,
  type RunKind,
  readConfigFile,
  resolveConfig,
} from "../config/config.js";
// Types only: the modules behind them load the tensor library, and help must not.
import type { RunEvent } from "../course/events.js";
import type { RunControl, RunRequest, RunResult } from "../course/execute.js";
import { spaceOfTraining } from "../run/architecture.js";
import { typedLine } from "../study/commands.js";
import { prepareEngine } from "./engine.js";
import { needsNoOutput, note, printResult, wantsQuiet } from "./frame.js";
import { Interruption, interruptedStatus } from "./interrupt.js";
import { addConfigOptions, addLocationOptions, configLayers, type RunLocation } from "./options.js";
import { addTimeout, firstOf, joinOthers, leaveOthers, speaks } from "./processes.js";
import { Progress } from "./progress.js";
import { type RunDash, startRunDash } from "./run-dash.js";

/** Adds the flags of a kind of run, its place, and `--resume`. */
export function addRunOptions(command: Command, kind: RunKind): Command {
  addLocationOptions(addConfigOptions(command, kind));
  return addTimeout(command)
    .option("--resume <run>", "go on with a run directory from its last checkpoint")
    .option("--dash", "a page in the browser that shows the run while it goes on; see `ista-nas dash`");
}

/**
 * What the command line asks for. Joins the other processes of the run first, where there are some.
 * @throws IstaError CONFIG_*, USAGE, PROCESSES_*
 */
export async function runRequest<Kind extends RunKind>(
  command: Command,
  kind: Kind,
  preset?: string,
): Promise<RunRequest<Kind>> {
  await joinOthers(command);
  return firstOf(() => askedRequest(command, kind, preset));
}

async function askedRequest<Kind extends RunKind>(
  command: Command,
  kind: Kind,
  preset?: string,
): Promise<RunRequest<Kind>> {
  const layers = configLayers(command, kind);
  const { resume, out, root, name, goOn } = command.opts<RunLocation & { resume?: string; goOn?: boolean }>();
  if (goOn && out === undefined)
    throw new IstaError(
      "USAGE",
      "--go-on: expected --out FOLDER, the run that is begun or goes on, got none",
    );
  if (resume === undefined) {
    const { fitted, line } = await fittedLayer(kind, layers, preset);
    const { config, notes } = resolveConfig(kind, {
      ...layers,
      fitted,
      ...(kind === "train" ? { spaceOf: spaceOfTraining } : {}),
      preset: layers.preset ?? (layers.file ? undefined : preset),
    });
    const said = wantsQuiet(command) ? [] : [...notes, ...(line === null ? [] : [line])];
    for (const one of said) note(one);
    return { config: config as ConfigOf[Kind], out, root, name };
  }
  const alien = (["preset", "config", "out", "name", "goOn"] as const).filter(
    (flag) => command.getOptionValue(flag) !== undefined,
  );
  if (alien.length > 0) {
    throw new IstaError(
      "USAGE",
      `--resume: a run goes on with its own configuration and place; leave out --${alien.join(", --").replace("goOn", "go-on")}`,
    );
  }
  return { resume, flags: layers.flags ?? {} };
}

/** What fits the data of a training without a preset. Options that are wrong are left to `resolveConfig`, which says so. */
async function fittedLayer(kind: RunKind, { flags = {}, file, preset }: ConfigLayers, usual?: string) {
  const nothing = { fitted: {}, line: null };
  if (kind !== "train" || (preset ?? usual) !== undefined) return nothing;
  const given = { ...(file === undefined ? {} : readConfigFile(file)), ...flags };
  if (typeof given.preset === "string") return nothing;
  // Loaded here, because it loads the tensor library.
  const { fitTraining } = await import("../training/fit.js");
  const { values, line } = await fitTraining(given);
  return { fitted: values, line };
}

/** Runs with progress on standard error and signals handled; ends the process with 130 when a signal stopped the run. */
export async function carryOut(
  command: Command,
  run: (control: RunControl) => Promise<RunResult>,
  lastWords: (result: RunResult) => string,
  howToGoOn = ({ path, summary }: RunResult): string => typedLine([summary.kind, "--resume", path]),
): Promise<void> {
  // Of several processes the first one speaks.
  const progress = new Progress({ quiet: wantsQuiet(command), silent: !speaks() });
  needsNoOutput((text) => progress.warn(text));
  const interruption = new Interruption((signal) => {
    progress.warn(`${signal}: the present step is finished and saved; once more ends at once`);
  });
  const dash = startedDash(command, progress);
  try {
    await prepareEngine();
    const { runEvents } = await import("../course/events.js");
    const result = await shown(
      runEvents(run, () => interruption.signal !== null),
      progress,
    );
    await leaveOthers();
    progress.clear();
    if (speaks())
      printResult(command, { path: result.path, ...result.summary }, () =>
        result.status === "finished" ? lastWords(result) : interruptedWords(result, howToGoOn(result)),
      );
    if (result.status === "interrupted") process.exitCode = interruptedStatus;
  } finally {
    progress.clear();
    interruption.close();
    dash?.close();
  }
}

/** The dashboard where it was asked for; its address is told as soon as it is known. */
function startedDash(command: Command, progress: Progress): RunDash | null {
  const options = command.opts<RunLocation & { resume?: string; dash?: boolean }>();
  if (options.dash !== true) return null;
  const dash = startRunDash(options);
  dash.address.then((address) => {
    if (address !== null) progress.log(`dashboard: ${address}`);
  });
  return dash;
}

/** Shows what happens. @returns how it ended */
async function shown(events: AsyncIterable<RunEvent>, progress: Progress): Promise<RunResult> {
  for await (const event of events) {
    if (event.type === "step") progress.update(event.state);
    else if (event.type === "line") progress.log(event.text);
    else if (event.type === "warning") progress.warn(event.text);
    else if (event.type === "end") return event.result;
  }
  throw new IstaError("INTERNAL", "run: expected an end among its events, there was none");
}

function interruptedWords({ path, summary }: RunResult, howToGoOn: string): string {
  return `Interrupted after ${summary.epochs} whole epochs, saved in ${printable(path)}. Go on with: ${howToGoOn}`;
}
