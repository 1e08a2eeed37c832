// `ista-nas study`: many runs as one experiment; runs it, plans it for a scheduler, reports on it.
import { basename, extname, relative, resolve } from "node:path";
import { type Command, Option } from "commander";
import { clusterPlace } from "../base/cluster.js";
import { IstaError } from "../base/errors.js";
import { safeFileName } from "../base/files.js";
import { formatDuration } from "../base/format.js";
import { usefulThreads } from "../base/processors.js";
import { printable, printableJson } from "../base/terminal.js";
import { readConfigFile } from "../config/config.js";
import { checkDrawingPath, writeDrawing } from "../drawing/picture-file.js";
import { loadPlugin } from "../methods/plugins.js";
import { withTable } from "../run/known-accuracies.js";
import { archiveStudy } from "../study/archive.js";
import { collectRuns } from "../study/collect.js";
import { shellLine, type Threads, wordsOf } from "../study/commands.js";
import { openStudy, readPlan, runsOf, type Study, studyOf } from "../study/directory.js";
import { carryOutStudy, type RunOutcome, type StudyProgress } from "../study/execute.js";
import { parseSeeds, readStudyFile, type StudyPlan, studyOfMethods } from "../study/plan.js";
import { type Report, reportOf } from "../study/report.js";
import { drawReportSvg, writeReportFiles } from "../study/report-files.js";
import {
  formatArmsCsv,
  formatMarkdown,
  formatReport,
  type ReportFormat,
  reportFormats,
} from "../study/report-text.js";
import { addExamples, needsNoOutput, note, printResult, wantsQuiet } from "./frame.js";
import { Interruption, interruptedStatus } from "./interrupt.js";
import { wholeNumber } from "./model-options.js";
import { addConfigOptions, configLayers } from "./options.js";
import { Progress } from "./progress.js";

interface PlanOptions {
  methods?: string;
  seeds?: string;
  baseline?: string;
  out?: string;
  resume?: string;
  jobs?: number;
  /** Of the whole program. */
  plugin?: string[];
}

interface WantedStudy {
  readonly plan: StudyPlan;
  readonly place: { readonly out: string | null; readonly name: string | null };
  /** Of each run, where a flag says so. */
  readonly threads: number | null;
}

function addPlanOptions(command: Command): Command {
  command
    .argument("[file]", "JSON file with arms, seeds and common options; see docs/studies.md")
    .option("--methods <names>", "instead of a file: one arm for each method, such as spos,random")
    .option("--seeds <seeds>", "such as 0..9 or 3,5,7; wins over those of the file")
    .option("--baseline <arm>", "the arm that the others are compared with [random, or the first]")
    .option("--out <folder>", "folder of the study; the one there goes on [runs/study-NAME]")
    .option("--resume <folder>", "go on with the study there, as it was planned")
    .option("--jobs <n>", "runs side by side, which share the cores", wholeNumber("--jobs", 1));
  return addConfigOptions(command, "search");
}

/** Flags of searches that may stand beside a file: what they change is no matter of single arms. */
const besideFile = ["data", "table", "threads"];

/** @throws IstaError USAGE, CONFIG_*, FILE_*, PLUGIN_INVALID */
async function wantedStudy(command: Command, file: string | undefined): Promise<WantedStudy> {
  if (clusterPlace() !== null)
    throw new IstaError(
      "USAGE",
      "study: expected to be started once, this process is one of several that a launcher started; `study plan` gives a command for each run, which are the tasks of an array",
    );
  const { methods, seeds, baseline, out, resume, plugin = [] } = command.optsWithGlobals<PlanOptions>();
  const { flags = {}, preset, file: configFile } = configLayers(command, "search");
  const { threads, ...common } = flags as Record<string, unknown> & { threads?: number };
  const given = Object.keys({
    ...common,
    ...(preset && { preset }),
    ...(configFile && { config: configFile }),
  });
  const refuse = (message: string): never => {
    throw new IstaError("USAGE", message);
  };
  if ([file, methods, resume].filter((one) => one !== undefined).length !== 1)
    refuse("study: expected one of FILE, --methods NAMES or --resume FOLDER");
  if (resume !== undefined) {
    const alien = [
      ...given,
      ...Object.keys({ ...(seeds && { seeds }), ...(baseline && { baseline }), ...(out && { out }) }),
    ];
    if (alien.length > 0)
      refuse(`--resume: a study goes on as it was planned; leave out ${alien.join(", ")}`);
    const plan = readPlan(resume);
    for (const path of plan.plugins) await loadPlugin(path);
    return { plan, place: { out: resume, name: null }, threads: threads ?? null };
  }
  const plugins = plugin.map((path) => resolve(path));
  const wanted = (plan: StudyPlan, name: string | null): WantedStudy => ({
    plan: { ...plan, plugins },
    place: { out: out ?? null, name },
    threads: threads ?? null,
  });
  if (file !== undefined) {
    const alien = given.filter((key) => !besideFile.includes(key));
    if (alien.length > 0)
      refuse(`study ${file}: expected options of searches in the file, got ${alien.join(", ")}`);
    const { data, table } = common as { data?: string; table?: string };
    const plan = readStudyFile(file, { seeds, baseline, data, table });
    return wanted(plan, `study-${plan.name ?? safeFileName(basename(file, extname(file)))}`);
  }
  if (seeds === undefined) return refuse("--methods: expected --seeds beside it, such as --seeds 0..9");
  for (const key of ["method", "seed"])
    if (key in common) refuse(`--${key}: expected --${key}s in a study, got --${key}`);
  const options = {
    ...(configFile === undefined ? {} : readConfigFile(configFile)),
    ...common,
    ...(preset === undefined ? {} : { preset }),
  };
  const names = methods!.split(",").map((name) => name.trim());
  return wanted(studyOfMethods(names, options, parseSeeds(seeds, "--seeds"), baseline ?? null), null);
}

/** Opens the study, tells what of presets was left out, and gives it back. */
function openAndTell({ plan, place }: WantedStudy): ReturnType<typeof openStudy> {
  const study = openStudy(plan, place);
  const notes = [...study.arms].flatMap(([arm, { notes }]) => notes.map((note) => `arm ${arm}: ${note}`));
  for (const one of notes) note(one);
  return study;
}

/** A path as short as it can be said from here. */
const here = (path: string): string => {
  const short = relative("", path);
  return printable(short.length < path.length ? short : path);
};

const left = ({ done, all, secondsLeft }: StudyProgress): string =>
  `${done} of ${all}${secondsLeft === null || done === all ? "" : `, about ${formatDuration(secondsLeft)} left`}`;

function outcomeWords({ run, outcome, problem }: RunOutcome): string {
  const words = {
    finished: "finished",
    kept: "finished before",
    failed: `failed: ${problem}`,
    interrupted: "interrupted, saved",
    waiting: "not begun",
  }[outcome];
  return `${run.arm} seed ${run.seed}: ${words}`;
}

async function execute(
  study: Study,
  threads: Threads,
  jobs: number,
  quiet: boolean,
): Promise<RunOutcome[] | null> {
  const progress = new Progress({ quiet });
  needsNoOutput((text) => progress.warn(text));
  const stop = new AbortController();
  const interruption = new Interruption((signal) => {
    progress.warn(`${signal}: the runs finish their step and are saved; once more ends at once`);
    stop.abort();
  });
  const count = runsOf(study).length;
  progress.log(
    `study ${here(study.path)}: ${count} runs of ${study.arms.size} arms, ${jobs} side by side, ${threads.count} ${threads.count === 1 ? "thread" : "threads"} each`,
  );
  try {
    const outcomes = await carryOutStudy(study, {
      ...{ jobs, threads, stop: stop.signal },
      observer: {
        ended: (outcome, state) => progress.log(`${outcomeWords(outcome)}  (${left(state)})`),
        progress: (state) => progress.status(`study  ${left(state)}  ${state.running} running`),
        line: (text) => progress.log(text),
      },
    });
    return stop.signal.aborted ? null : outcomes;
  } finally {
    progress.clear();
    interruption.close();
  }
}

/** The report on a study of which perhaps no run is finished. */
async function reportIn(study: Study): Promise<{ report: Report; files: string[] } | null> {
  const collection = await collectRuns([study.path]);
  if (collection.runs.length === 0) return null;
  const report = reportOf(collection);
  return { report, files: writeReportFiles(study.path, report) };
}

async function runStudy(command: Command, file: string | undefined): Promise<void> {
  const wanted = await wantedStudy(command, file);
  const { jobs = 1 } = command.opts<PlanOptions>();
  const share = Math.max(1, Math.floor(usefulThreads() / jobs));
  const threads = { count: wanted.threads ?? share, wanted: wanted.threads !== null };
  const study = openAndTell(wanted);
  try {
    const outcomes = await execute(study, threads, jobs, wantsQuiet(command));
    if (outcomes === null) {
      process.exitCode = interruptedStatus;
      printResult(
        command,
        { path: study.path, status: "interrupted" },
        () =>
          `Interrupted, saved in ${here(study.path)}. Go on with: ista-nas study --resume ${here(study.path)}`,
      );
      return;
    }
    const made = await reportIn(study);
    if (made !== null)
      printResult(command, { path: study.path, ...made.report }, () =>
        [
          formatReport(made.report),
          "",
          `Made ${made.files.join(", ")} in ${here(study.path)}.`,
          `Next: the same command with more --seeds, or ista-nas study report ${here(study.path)}`,
        ].join("\n"),
      );
    const failed = outcomes.filter(({ outcome }) => outcome === "failed");
    if (failed.length > 0)
      throw new IstaError(
        "STUDY_FAILED",
        `${failed.length} of ${outcomes.length} runs failed: ${failed.map(({ run, problem }) => `${run.arm} seed ${run.seed}: ${problem}`).join("; ")}; the others are kept: remove the cause and go on with ista-nas study --resume ${here(study.path)}`,
      );
  } finally {
    study.close();
  }
}

async function planStudy(command: Command, file: string | undefined): Promise<void> {
  const wanted = await wantedStudy(command, file);
  const { jobs } = command.opts<PlanOptions>();
  const share = jobs === undefined ? null : Math.max(1, Math.floor(usefulThreads() / jobs));
  const count = wanted.threads ?? share;
  const threads = count === null ? null : { count, wanted: wanted.threads !== null };
  const study = openAndTell(wanted);
  study.close();
  const lines = runsOf(study).map((run) => shellLine(wordsOf(study, run, threads)));
  printResult(command, lines, () => lines.join("\n"));
}

interface ReportFlags {
  table?: string;
  column?: string;
  baseline?: string;
  unpaired?: boolean;
  allowDifferences?: string;
  format: ReportFormat;
  figure?: string;
}

async function reportOn(command: Command, places: string[]): Promise<void> {
  const { table, column, baseline, unpaired, allowDifferences, format, figure } = command.opts<ReportFlags>();
  if (figure !== undefined) checkDrawingPath(figure, "--figure");
  const collection = await collectRuns(places);
  const runs = table === undefined ? collection.runs : withTable(collection.runs, table);
  const allowed = allowDifferences?.split(",").map((name) => name.trim());
  const report = reportOf(
    { ...collection, runs },
    { column, baseline, unpaired, allowed, lookedUp: table !== undefined },
  );
  if (figure !== undefined) await writeDrawing(figure, drawReportSvg(report));
  printResult(command, report, () => {
    const text = {
      table: formatReport,
      markdown: formatMarkdown,
      csv: formatArmsCsv,
      json: (value: Report) => printableJson(value, 2),
    }[format](report);
    return text.trimEnd();
  });
  if (figure !== undefined) process.stderr.write(`figure: ${here(resolve(figure))}\n`);
}

export function registerStudy(program: Command): void {
  const study = program
    .command("study")
    .description("many runs as one experiment: arms times seeds, compared");

  const run = study.command("run", { isDefault: true }).description("run a study, or go on with it");
  addPlanOptions(run).action((file: string | undefined) => runStudy(run, file));

  const plan = study
    .command("plan")
    .description(
      "print a command for each run, for xargs, GNU parallel or a Slurm array; all may be repeated",
    );
  addPlanOptions(plan).action((file: string | undefined) => planStudy(plan, file));

  const report = study
    .command("report")
    .description("compare the runs of studies, and others, from wherever they lie")
    .argument("<places...>", "folders of studies, runs or folders of runs; ARM=PATH names the arm of runs")
    .option(
      "--column <name>",
      "what is measured: a column of known accuracies, testAccuracy or validationAccuracy",
    )
    .option("--table <file>", "known accuracies of the found architectures [those recorded by the runs]")
    .option(
      "--baseline <arm>",
      "the arm that the others are compared with [the study's, random, or the first]",
    )
    .option("--unpaired", "compare arms as groups, whatever their seeds")
    .option(
      "--allow-differences <names>",
      "what runs may differ in besides seed and arm, such as version,data",
    )
    .addOption(new Option("--format <form>", "form of the report").choices(reportFormats).default("table"))
    .option("--figure <file>", "also draw it: an SVG or PNG with a dot for each run");
  report.action((places: string[]) => reportOn(report, places));

  const archive = study
    .command("archive")
    .description(
      "keep what reports need of finished runs, as small files without paths of this machine, to be sent or committed",
    )
    .argument("<folder>", "folder of a study")
    .requiredOption("--out <folder>", "the archive; runs are added to one that is there");
  archive.action(async (folder: string) => {
    const { out } = archive.opts<{ out: string }>();
    const plan = readPlan(folder);
    for (const path of plan.plugins) await loadPlugin(path);
    const { added, runs } = archiveStudy(studyOf(folder, plan), out);
    printResult(archive, { path: out, added, runs }, () =>
      [
        `Added ${added} runs to ${here(resolve(out))}, which holds ${runs}.`,
        `Next: ista-nas study report ${here(resolve(out))}`,
      ].join("\n"),
    );
  });

  addExamples(study, [
    [
      "study --methods ista-two-stage,random --seeds 0..4 --preset demo --out runs/first",
      "two methods, five seeds each",
    ],
    ["study my-study.json --jobs 4", "a study from a file, four runs side by side"],
    ["study --resume runs/first", "go on with it"],
    ["study plan my-study.json | xargs -d '\\n' -P 4 -I{} sh -c '{}'", "its runs by another program"],
    ["study report runs/first --format markdown --figure first.svg", "what has come of it"],
    ["study archive runs/first --out results/first", "its results as small files"],
  ]);
}
