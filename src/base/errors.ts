// The error type of the whole program and the catalogue of its codes.

/**
 * Every code with what it means and the exit status a command ends with: 2 for wrong usage (nothing was started),
 * 1 for a failure. `docs/errors.md` lists them and a test provokes each.
 */
export const errorCatalogue = {
  USAGE: {
    status: 2,
    meaning: "the command line has an unknown flag, a missing value, or values that do not go together",
  },
  FILE_NOT_FOUND: { status: 1, meaning: "a file or folder that was named does not exist" },
  FILE_EXISTS: { status: 1, meaning: "a file or folder exists already and would be overwritten" },
  FILE_DENIED: { status: 1, meaning: "no permission to read or write a file or folder" },
  FILE_READ_ONLY: { status: 1, meaning: "the file system can only be read" },
  FILE_DISK_FULL: { status: 1, meaning: "the disk or the quota is full" },
  FILE_KIND: { status: 1, meaning: "a folder where a file was expected, or the other way round" },
  FILE_LINK: { status: 1, meaning: "a symbolic link inside of a run directory, where none is followed" },
  FILE_TOO_LARGE: { status: 1, meaning: "a file is larger than anything valid of its kind" },
  FILE_JSON: { status: 1, meaning: "a file that should hold JSON does not" },
  FILE_OUTSIDE: { status: 1, meaning: "a name would lead out of the folder that it belongs to" },
  FILE_IO: { status: 1, meaning: "the operating system reported another error on a file" },
  SAFETENSORS_TRUNCATED: {
    status: 1,
    meaning: "a safetensors file is shorter or longer than its header says",
  },
  SAFETENSORS_HEADER: {
    status: 1,
    meaning: "the header of a safetensors file is not what the format demands",
  },
  SAFETENSORS_DTYPE: {
    status: 1,
    meaning: "a tensor has a number format that is unknown or not the wanted one",
  },
  SAFETENSORS_LAYOUT: {
    status: 1,
    meaning: "tensors of a safetensors file overlap, leave holes, or do not fit their shapes",
  },
  SAFETENSORS_MISSING: { status: 1, meaning: "a safetensors file lacks a tensor that was asked for" },
  SAFETENSORS_CHECKSUM: {
    status: 1,
    meaning: "the content of a safetensors file is not what its checksum says",
  },
  RUN_NOT_FOUND: { status: 1, meaning: "a folder is not a run directory" },
  RUN_EXISTS: { status: 1, meaning: "the folder for a new run exists already" },
  RUN_LOCKED: { status: 1, meaning: "another process works on the run directory" },
  RUN_VERSION: { status: 1, meaning: "a run directory was written by a newer version of the program" },
  RUN_DAMAGED: { status: 1, meaning: "a file of a run directory does not hold what it should" },
  RUN_GONE: { status: 1, meaning: "the run directory was deleted while the run was going on" },
  STUDY_DIFFERS: { status: 1, meaning: "runs that are to be compared differ in more than they are said to" },
  STUDY_EMPTY: { status: 1, meaning: "there are no finished runs, or no figures of them, to report on" },
  STUDY_FAILED: { status: 1, meaning: "some runs of a study failed; the others are finished" },
  CHECKPOINT_MISSING: { status: 1, meaning: "a run directory has no checkpoint to go on from" },
  CHECKPOINT_DAMAGED: { status: 1, meaning: "no complete checkpoint is left: checksums do not match" },
  CONFIG_FILE: { status: 2, meaning: "a configuration file is not a JSON object" },
  CONFIG_UNKNOWN: { status: 2, meaning: "an option or a preset has an unknown name" },
  CONFIG_VALUE: { status: 2, meaning: "an option has a value that is not allowed, or that others rule out" },
  CONFIG_RESUME: { status: 2, meaning: "an option was given on resume that must stay as the run began" },
  DATA_UNKNOWN: { status: 1, meaning: "a folder holds no data set in a known layout" },
  DATA_EMPTY: { status: 1, meaning: "a data file, a data set or a class has no images" },
  DATA_TRUNCATED: { status: 1, meaning: "a data file is shorter or longer than its layout or header says" },
  DATA_FORMAT: { status: 1, meaning: "a data file does not begin or decompress as its format demands" },
  DATA_LABEL: { status: 1, meaning: "labels are out of range, or their number is not that of the images" },
  DATA_SIZE: { status: 1, meaning: "images have different or unusable sizes" },
  DATA_CLASSES: {
    status: 1,
    meaning: "class names are malformed, or the parts of a data set disagree on them",
  },
  DATA_NAME: { status: 1, meaning: "the name of a file or folder of a data set is not in UTF-8" },
  DATA_SPLIT: {
    status: 1,
    meaning:
      "a data set changed since a run, so that images it trained on would be among those set aside for testing",
  },
  DATA_PICTURE: { status: 1, meaning: "a picture file cannot be decoded" },
  DATA_LIMIT: { status: 1, meaning: "a picture, a file or a data set is larger than what is accepted" },
  DATA_CHANGED: { status: 1, meaning: "a run that goes on finds other images or classes than it began with" },
  DATA_WORKER: { status: 1, meaning: "a thread that decodes pictures ended unexpectedly or was closed" },
  DATA_DOWNLOAD: { status: 1, meaning: "a data set could not be downloaded, or is not the published one" },
  GENOTYPE_INVALID: {
    status: 2,
    meaning: "a genotype (JSON, another text or a name) is no architecture of a known search space",
  },
  TABLE_INVALID: {
    status: 1,
    meaning: "a table of known accuracies is not a CSV file of architectures and percentages",
  },
  PLUGIN_INVALID: {
    status: 2,
    meaning: "a plug-in does not load, or what it adds does not fit or has a name that is taken",
  },
  NETWORK_SHAPE: { status: 2, meaning: "no network can have these cells, channels, classes or image sizes" },
  BUDGET_IMPOSSIBLE: {
    status: 2,
    meaning: "no network of the search space is as small as the budget demands",
  },
  SPARSE_INPUT: {
    status: 1,
    meaning: "a sparse-coding problem is ill-posed: sizes, values or penalty that no solver can work with",
  },
  CODES_INVALID: { status: 1, meaning: "saved architecture codes do not hold what they should" },
  ENGINE_MISSING: { status: 1, meaning: "the native addon is not built, or does not load on this machine" },
  ENGINE_FREED: { status: 1, meaning: "a tensor was used after it was freed" },
  ENGINE_ARGUMENT: { status: 1, meaning: "an argument of a tensor operation has the wrong kind or size" },
  ENGINE_OPERATOR: {
    status: 1,
    meaning: "libtorch refused an operation, for example because shapes do not fit",
  },
  ENGINE_OUT_OF_MEMORY: { status: 1, meaning: "there was not enough memory for a tensor" },
  ENGINE_DEVICE: { status: 2, meaning: "the device that was asked for does not exist here" },
  ENGINE_VECTOR: {
    status: 2,
    meaning: "ISTA_NAS_VECTOR names vector code that is unknown or that the processor lacks",
  },
  PROCESSES_ENVIRONMENT: {
    status: 2,
    meaning:
      "the environment says that several processes compute one run, and not all that is needed to find them",
  },
  PROCESSES_MISSING: { status: 1, meaning: "the addon was built without what several processes need" },
  PROCESSES_LOST: {
    status: 1,
    meaning: "a process of a run in several did not come, ended, or was silent for longer than --timeout",
  },
  PROCESSES_DIFFER: { status: 1, meaning: "processes of one run have other images, programs or weights" },
  WEIGHTS_MISMATCH: { status: 1, meaning: "weights from a file have other names or shapes than the network" },
  WEIGHTS_NOT_FINITE: {
    status: 1,
    meaning:
      "weights or statistics from a file, or what a network computes with them, are not finite numbers",
  },
  RUN_DIVERGED: { status: 1, meaning: "a loss or gradient became infinite or not a number during training" },
  MEMORY_NEEDED: { status: 1, meaning: "a run would need more memory than the machine has" },
  MODEL_FILE: {
    status: 1,
    meaning: "a model file does not describe a network, or one that is needed is missing",
  },
  EXPORT_MISMATCH: {
    status: 1,
    meaning: "an exported network does not compute what the program's own does",
  },
  INTERNAL: { status: 1, meaning: "a mistake in this program; please report it with the stack" },
} as const satisfies Record<string, { status: 1 | 2; meaning: string }>;

export type ErrorCode = keyof typeof errorCatalogue;

/**
 * An error that a user can act on. The message is one line: what was expected, what came, where, and the way out.
 * Everything that this program throws on purpose is one of these; anything else is a mistake of ours.
 */
export class IstaError extends Error {
  override readonly name = "IstaError";
  readonly isEcho: boolean;

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: {
      cause?: unknown;
      /** Of an error that another process of the same run reports. */
      isEcho?: boolean;
    },
  ) {
    super(message, options);
    this.isEcho = options?.isEcho ?? false;
  }

  get exitStatus(): 1 | 2 {
    return errorCatalogue[this.code].status;
  }
}
