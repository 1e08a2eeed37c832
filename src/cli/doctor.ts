// The command `doctor`: what engine, BLAS, devices and threads were found, and whether they are fast.
import { existsSync, realpathSync, statfsSync } from "node:fs";
import { cpus, freemem, totalmem } from "node:os";
import type { Command } from "commander";
import { formatBytes } from "../base/format.js";
import { packageVersion } from "../base/package.js";
import { allowedProcessors, usefulThreads } from "../base/processors.js";
import { prepareEngine } from "./engine.js";
import { addExamples, printResult } from "./frame.js";

/** Below this, a core with vector units is held back by a BLAS without vector code. GFLOP/s per thread, float32. */
const slowRate = 12;

interface Finding {
  readonly name: string;
  readonly value: string;
  /** What to do about it; absent where all is well. */
  readonly advice?: string;
}

/** `8 cores to use`, or what of them the scheduler or a CPU quota leaves to this process. */
function describeProcessors(): string {
  const [all, allowed, threads] = [cpus().length, allowedProcessors(), usefulThreads()];
  if (allowed === all) return `${all} cores to use`;
  const part = Number(allowed.toFixed(2));
  return `${part} of ${all} cores allowed, ${threads} ${threads === 1 ? "thread" : "threads"}`;
}

async function examine(): Promise<Finding[]> {
  await prepareEngine();
  const { engineInformation, setThreads, vectorCode } = await import("../engine/device.js");
  const { processesAvailable } = await import("../engine/processes.js");
  const { matrixProductRate } = await import("../engine/speed.js");
  const threads = usefulThreads();
  setThreads(threads);
  const { libtorchVersion, blasLibrary, cudaDevices, configuration } = engineInformation();
  const blas = existsSync(blasLibrary) ? realpathSync(blasLibrary) : blasLibrary;
  const rate = matrixProductRate();
  const slow = rate / Math.min(threads, allowedProcessors()) < slowRate;
  const kernels = vectorCode();
  const gloo = processesAvailable();
  const vectors = /CPU capability usage: (\S+)/.exec(configuration)?.[1] ?? "unknown";
  const { bavail, bsize } = statfsSync(".");
  const free = bavail * bsize;
  return [
    { name: "program", value: `ista-nas ${packageVersion}, Node ${process.version}` },
    {
      name: "processor",
      value: `${cpus()[0]?.model ?? "unknown"}, ${describeProcessors()}, vector code of libtorch: ${vectors}`,
    },
    {
      name: "our kernels",
      value: `vector code ${kernels.used}; this processor has ${kernels.available.join(", ")} (ISTA_NAS_VECTOR chooses)`,
    },
    { name: "engine", value: `libtorch ${libtorchVersion}` },
    {
      name: "BLAS",
      value: blas,
      ...(/libblas\.so|refblas|\/blas\//.test(blas) && !/openblas|mkl/i.test(blas)
        ? { advice: "this is the slow reference BLAS: apt-get install libopenblas0-pthread" }
        : {}),
    },
    {
      name: "matrix product",
      value: `${rate.toFixed(0)} GFLOP/s with ${threads} ${threads === 1 ? "thread" : "threads"} (float32, 1536 x 1536)`,
      ...(slow
        ? {
            advice: `less than ${slowRate} GFLOP/s a thread is slow: use OpenBLAS or MKL, and see that nothing else keeps the cores busy`,
          }
        : {}),
    },
    {
      name: "processes",
      value: gloo
        ? "several can compute one run (c10d with gloo)"
        : "a run is computed in one; several need libgloo-dev, and set-up again",
    },
    {
      name: "CUDA",
      value:
        cudaDevices > 0 ? `${cudaDevices} devices (--device cuda)` : "no device, or a libtorch without CUDA",
    },
    {
      name: "memory",
      value: `${formatBytes(freemem())} free of ${formatBytes(totalmem())}`,
      ...(freemem() < 1 << 30
        ? { advice: "less than 1 GiB is free: a search with the paper's sizes may not fit" }
        : {}),
    },
    {
      name: "disk",
      value: `${formatBytes(free)} free here`,
      ...(free < 1 << 30 ? { advice: "less than 1 GiB is free: checkpoints may not fit" } : {}),
    },
  ];
}

export function registerDoctor(program: Command): void {
  const command = program
    .command("doctor")
    .description("say what engine, BLAS, devices and threads there are, and whether they are fast")
    .action(async (_options: unknown, command: Command) => {
      const findings = await examine();
      const troubles = findings.filter(({ advice }) => advice !== undefined);
      printResult(command, findings, () =>
        [
          ...findings.flatMap(({ name, value, advice }) => [
            `${name.padEnd(15)} ${value}`,
            ...(advice === undefined ? [] : [`${" ".repeat(15)} -> ${advice}`]),
          ]),
          troubles.length === 0
            ? "All is well. Next: ista-nas search --preset demo"
            : `${troubles.length} to look at, marked ->`,
        ].join("\n"),
      );
    });
  addExamples(command, [
    ["doctor", "check this machine"],
    ["doctor --json", "the same for programs"],
  ]);
}
