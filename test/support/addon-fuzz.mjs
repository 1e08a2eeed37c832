// Calls the addon with whatever JavaScript can pass: node addon-fuzz.mjs ADDON SEED CALLS LOG. To be run as a child, which a crash ends.
import { closeSync, openSync, writeSync } from "node:fs";
import { createRequire } from "node:module";

const [path, seedText, callsText, logPath] = process.argv.slice(2);
const addon = createRequire(import.meta.url)(path);
const calls = Number(callsText);
const log = openSync(logPath, "w");

// Mulberry32: the child has no access to the program's own streams, and the quality does not matter.
let state = Number(seedText) >>> 0;
function uniform() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = state;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const integer = (n) => Math.floor(uniform() * n);
const pick = (list) => list[integer(list.length)];
const chance = (share) => uniform() < share;
const times = (n, make) => Array.from({ length: n }, make);

/** Handles that were given out; some of them are freed by now. */
const handles = [];
function remember(value) {
  if (typeof value === "number" && value >= 2 ** 24) handles.push(value);
  else if (Array.isArray(value)) for (const item of value) remember(item);
  return value;
}

const sizes = [1, 1, 2, 2, 3, 4, 5, 8];
const arrays = [
  Float32Array,
  Float32Array,
  Float32Array,
  Float32Array,
  Float64Array,
  Int32Array,
  BigInt64Array,
  Uint8Array,
];
function tensor(shape, Kind = Float32Array) {
  const count = shape.reduce((product, size) => product * size, 1);
  const data = new Kind(count);
  for (let i = 0; i < count; i++) data[i] = Kind === BigInt64Array ? BigInt(integer(3)) : 2 * uniform() - 1;
  const handle = remember(addon.fromArray(data, shape));
  if (Kind === Float32Array && chance(0.3)) addon.setRequiresGrad(handle, true);
  return handle;
}
const anyTensor = () =>
  tensor(
    times(integer(6), () => pick(sizes)),
    pick(arrays),
  );
const recent = () => (handles.length > 0 ? handles[Math.max(0, handles.length - 1 - integer(12))] : 0);

const numbers = [
  0,
  1,
  -1,
  2,
  3,
  5,
  7,
  0.5,
  -0,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
];
const largeNumbers = [
  2 ** 24,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  2 ** 53 - 1,
  2 ** 63,
  1e300,
  5e-324,
];
const words = [
  "",
  "cpu",
  "cuda",
  "cuda:0",
  "cuda:99",
  "meta",
  "aten::add",
  "ista::node",
  "\0",
  "x".repeat(100_000),
  "\ud800",
];
const mischief = [
  () => addon.release(recent()),
  () => addon.closeScope(addon.openScope()),
  () => addon.operator("aten::relu", ""),
  () => handles.splice(0).forEach(attemptRelease),
  () => {
    throw new Error("thrown by a getter");
  },
];
function attemptRelease(handle) {
  try {
    addon.release(handle);
  } catch {
    // Freed already.
  }
}

/** An array whose elements do something when they are read. */
function trap(values) {
  const array = [...values];
  const at = integer(array.length + 1);
  const value = array[at];
  Object.defineProperty(array, at, {
    get() {
      pick(mischief)();
      if (chance(0.3)) array.length = at;
      return value;
    },
    configurable: true,
  });
  return array;
}

function detached() {
  const data = new Float32Array(8);
  structuredClone(data.buffer, { transfer: [data.buffer] });
  return data;
}
function resized() {
  const buffer = new ArrayBuffer(64, { maxByteLength: 128 });
  const data = chance(0.5) ? new Float32Array(buffer) : new Float32Array(buffer, 16, 8);
  buffer.resize(pick([0, 20, 128]));
  return data;
}
/** A typed array and a shape whose element takes the data away when it is read. */
function vanishing() {
  const data = chance(0.5)
    ? new Float32Array(8)
    : new Float32Array(new ArrayBuffer(32, { maxByteLength: 64 }));
  const shape = [];
  Object.defineProperty(shape, 0, {
    get() {
      try {
        if (chance(0.5) && data.buffer.resizable) data.buffer.resize(0);
        else structuredClone(data.buffer, { transfer: [data.buffer] });
      } catch {
        // Read for the second time: it is gone already.
      }
      return 8;
    },
  });
  return [data, shape];
}
function cyclic() {
  const array = [1];
  array.push(array);
  return array;
}

const strange = [
  () => undefined,
  () => null,
  () => chance(0.5),
  () => pick(numbers),
  () => pick(largeNumbers),
  () => pick(words),
  () => Symbol("s"),
  () => 1n,
  () => 2n ** 70n,
  () => () => {},
  () => ({}),
  () => ({ length: 3, 0: 1, 1: 2, 2: 3 }),
  () => new Proxy([], {}),
  () => new Proxy(new Float32Array(4), {}),
  () => new Proxy({}, { get: pick(mischief), has: pick(mischief), getOwnPropertyDescriptor: pick(mischief) }),
  () => ({ valueOf: pick(mischief), toString: pick(mischief), [Symbol.toPrimitive]: pick(mischief) }),
  () => new Number(3),
  () => new Date(),
  () => new Map([[1, 2]]),
  () => new DataView(new ArrayBuffer(8)),
  () => new ArrayBuffer(8),
  () => new Float32Array(new SharedArrayBuffer(32)),
  () => new Float32Array(pick(sizes)),
  () => new (pick([Int8Array, Int16Array, Uint16Array, Uint32Array, BigUint64Array, Uint8ClampedArray]))(4),
  detached,
  resized,
  cyclic,
  () => new Array(2 ** 32 - 1),
  () => new Array(100_000),
  () => times(integer(5), () => pick(numbers)),
  () => times(integer(5), recent),
  () => times(integer(5), () => anything(1)),
  () => trap(times(1 + integer(4), recent)),
  () => trap([1, 2, 3]),
  () => Object.freeze([1, 2]),
  recent,
  recent,
  () => recent() + 1,
  () => recent() + 2 ** 24,
  () => recent() + 0.5,
  () => -recent(),
  anyTensor,
];
function anything(depth = 0) {
  return depth > 2 ? 0 : pick(strange)();
}

const norm = (channels) =>
  pick([
    () => [null, null, null, null],
    () => [null, null, tensor([channels]), tensor([channels])],
    () => times(4, () => tensor([channels])),
  ])();
const image = (channels, side = pick([4, 6, 8])) => tensor([2, channels, side, side]);

const nodeKinds = ["identity", "max-pool", "average-pool", "separable", "dense", "factorized-reduce"];

/** Valid arguments of ista::node. */
function nodeArguments() {
  const channels = 2 * pick([1, 2, 3]);
  const count = 1 + integer(3);
  const state = image(channels);
  const stride = pick([1, 1, 2]);
  const kinds = times(count, () => pick(stride === 1 ? nodeKinds.slice(0, -1) : nodeKinds.slice(1)));
  const settings = [];
  const convolutions = [];
  const norms = [];
  for (const kind of kinds) {
    const spatial = kind !== "identity" && kind !== "factorized-reduce";
    // Some have fused kernels, some do not.
    const kernel = spatial ? pick([1, 3, 3, 5, 9]) : 1;
    const stages = kind === "separable" ? pick([1, 2, 3]) : 1;
    const dilation = kind === "separable" || kind === "dense" ? pick([1, 1, 2, 3]) : 1;
    settings.push(kernel, dilation, kind === "factorized-reduce" ? 2 : stride, stages);
    if (kind === "dense") convolutions.push(tensor([channels, channels, kernel, kernel]));
    if (kind === "factorized-reduce")
      convolutions.push(...times(2, () => tensor([channels / 2, channels, 1, 1])));
    for (let stage = 0; stage < stages; stage++) {
      norms.push(...norm(channels));
      if (kind === "separable")
        convolutions.push(tensor([channels, 1, kernel, kernel]), tensor([channels, channels, 1, 1]));
    }
  }
  const masks = times(count, () => (chance(0.3) ? tensor([2]) : null));
  const weights = chance(0.5) ? tensor([count]) : null;
  return [
    times(count, () => state),
    weights,
    kinds,
    settings,
    convolutions,
    norms,
    masks,
    chance(0.5),
    chance(0.5),
    0.1,
    1e-5,
  ];
}

const parameterLists = () => {
  const shapes = times(1 + integer(3), () => times(integer(4), () => pick(sizes)));
  return [...times(3, () => shapes.map((shape) => tensor(shape))), 0.1, 0.9, 1e-4, pick([0, 5])];
};

/** Operators with makers of valid arguments. */
const operators = [
  ["aten::add", "Tensor", () => [tensor([2, 3]), tensor([2, 3])]],
  ["aten::mul", "Tensor", () => [tensor([2, 3]), tensor([3])]],
  ["aten::mul", "Scalar", () => [tensor([2, 3]), uniform()]],
  ["aten::matmul", "", () => [tensor([2, 3]), tensor([3, 4])]],
  ["aten::relu", "", () => [anyTensor()]],
  ["aten::sum", "", () => [anyTensor()]],
  ["aten::softmax", "int", () => [tensor([2, 3]), 1]],
  ["aten::reshape", "", () => [tensor([2, 6]), [3, -1]]],
  ["aten::cat", "", () => [[tensor([2, 3]), tensor([2, 1])], 1]],
  ["aten::to", "dtype", () => [anyTensor(), pick([0, 3, 4, 6, 7, 11])]],
  ["aten::to", "dtype_layout", () => [anyTensor(), null, null, "cpu"]],
  ["aten::detach", "", () => [anyTensor()]],
  ["aten::clone", "", () => [anyTensor()]],
  ["aten::copy_", "", () => [tensor([2, 3]), tensor([2, 3])]],
  ["aten::lerp_", "Scalar", () => [tensor([2]), tensor([2]), 0.5]],
  ["aten::zeros_like", "", () => [anyTensor()]],
  ["aten::fill_", "Scalar", () => [tensor([2]), 0.5]],
  ["aten::avg_pool2d", "", () => [image(2), [2, 2], [2, 2], [0, 0], false, false]],
  ["aten::mean", "dim", () => [image(2), [2, 3], false]],
  ["aten::conv2d", "", () => [image(2), tensor([4, 2, 3, 3]), null, [1, 1], [1, 1], [1, 1], 1]],
  ["aten::batch_norm", "", () => [image(2), ...times(4, () => tensor([2])), chance(0.5), 0.1, 1e-5, false]],
  ["aten::linear", "", () => [tensor([2, 3]), tensor([4, 3]), tensor([4])]],
  ["aten::cross_entropy_loss", "", () => [tensor([2, 3]), tensor([2], BigInt64Array), null, 1, -100, 0]],
  ["aten::topk", "", () => [tensor([2, 5]), 2, -1, true, true]],
  ["ista::node", "", nodeArguments],
  ["ista::node", "", nodeArguments],
  ["ista::node", "", nodeArguments],
  [
    "ista::relu_conv_norm",
    "",
    () => [times(2, () => image(2, 4)), tensor([3, 4, 1, 1]), norm(3), chance(0.5), 0.1, 1e-5],
  ],
  [
    "ista::factorized_reduce",
    "",
    () => [
      times(2, () => image(2, 4)),
      tensor([3, 4, 1, 1]),
      tensor([3, 4, 1, 1]),
      norm(6),
      chance(0.5),
      0.1,
      1e-5,
    ],
  ],
  [
    "ista::conv_norm",
    "",
    () => [image(2), tensor([3, 2, 3, 3]), norm(3), pick([1, 2]), 1, chance(0.5), chance(0.5), 0.1, 1e-5],
  ],
  [
    "ista::node_accepts",
    "",
    () => [pick(nodeKinds), pick([1, 3, 5]), pick([1, 2]), pick([1, 2]), pick([1, 2])],
  ],
  ["ista::tune_allocator", "", () => []],
  ["ista::sgd_step", "", parameterLists],
  ["ista::profile_start", "", () => []],
  ["ista::profile_report", "", () => []],
].map(([name, overload, make]) => ({ name, make, identifier: addon.operator(name, overload)[0] }));

/** Changes arguments in one or two places, at any depth of the lists. */
function spoil(values) {
  const spoilt = [...values];
  for (let change = integer(2); change >= 0; change--) {
    const at = integer(spoilt.length + (chance(0.05) ? 1 : 0));
    const old = spoilt[at];
    if (Array.isArray(old) && old.length < 1000 && chance(0.7)) {
      spoilt[at] = pick([
        () => spoil(old),
        () => trap(old),
        () => old.slice(1),
        () => [...old, anything()],
        () => [...old, ...old],
        () => [],
      ])();
    } else if (typeof old === "number" && old < 2 ** 24 && chance(0.6))
      spoilt[at] = pick([...numbers, ...largeNumbers]);
    else if (chance(0.5)) spoilt[at] = anyTensor();
    else spoilt[at] = anything();
  }
  if (chance(0.03)) spoilt.splice(integer(spoilt.length + 1));
  return spoilt;
}

const functions = {
  operator: () => [pick([...words, "aten::relu", "ista::node", "prim::If"]), pick(["", "Tensor", "x"])],
  fromArray: () => (chance(0.3) ? vanishing() : [new (pick(arrays))(8), pick([[8], [2, 4], [2, 2, 2]])]),
  toArray: () => [recent()],
  describe: () => [recent()],
  release: () => [recent()],
  closeScope: () => [pick(numbers)],
  openScope: () => [],
  moveOut: () => [recent(), chance(0.5)],
  liveTensors: () => [],
  setRequiresGrad: () => [recent(), chance(0.5)],
  gradients: () => [recent(), times(1 + integer(4), recent)],
  setGradEnabled: () => [chance(0.8)],
  // Within what the machine has: threads are no matter of this test.
  setThreads: () => [pick([1, 2, 0, -1, 2 ** 31, 2 ** 53, Number.NaN, 0.5])],
  information: () => [],
};
const many = () => new Float64Array(integer(4));
/** Of processes that have not joined; `join` waits for others, and is tested with some (test/processes.test.ts). */
const processFunctions = {
  leave: () => [],
  addUp: () => [many()],
  takeOver: () => [new Uint8Array(integer(9))],
  sums: () => [times(integer(3), anyTensor), many(), times(integer(3), anyTensor), 0.5],
  gradientSums: () => [recent(), times(integer(3), recent), many(), times(integer(3), anyTensor), 0.5],
  shareNorms: () => [chance(0.5)],
  figures: () => [],
};
for (const [name, make] of Object.entries(processFunctions)) {
  functions[name] = make;
  addon[name] = addon.processes[name];
}
const others = ["call", "processes", "available", "join"];
const missing = [...Object.keys(addon), ...Object.keys(addon.processes)].filter(
  (name) => !others.includes(name) && !(name in functions),
);
if (missing.length > 0) throw new Error(`not fuzzed: ${missing}`);

function describeValue(value, depth = 0) {
  if (Array.isArray(value)) {
    if (depth > 2 || value.length > 40) return `array of ${value.length}`;
    const items = [];
    for (let i = 0; i < value.length; i++) {
      const property = Object.getOwnPropertyDescriptor(value, i);
      items.push(
        property === undefined || property.get ? "getter" : describeValue(property.value, depth + 1),
      );
    }
    return `[${items}]`;
  }
  if (typeof value === "object" && value !== null) return Object.prototype.toString.call(value);
  if (typeof value === "number" && value >= 2 ** 24) {
    try {
      return `${value}{${addon.describe(value)}}`;
    } catch {
      return String(value);
    }
  }
  return String(value).slice(0, 40);
}

const counts = { returned: 0 };
const names = new Set();
for (let call = 0; call < calls; call++) {
  // Tensors do not pile up, scopes neither.
  if (handles.length > 300) handles.splice(0, 200).forEach(attemptRelease);
  let name;
  let values;
  try {
    if (chance(0.4)) {
      name = pick(Object.keys(functions));
      values = functions[name]();
      if (chance(0.5) && name !== "setThreads")
        values = chance(0.7) ? spoil(values) : times(integer(4), () => anything());
    } else {
      name = "call";
      const operator = pick(operators);
      const given = operator.make();
      names.add(operator.name);
      values = [operator.identifier, chance(0.85) ? spoil(given) : given];
      if (chance(0.03)) values = spoil(values);
    }
    writeSync(log, `${call} ${name} ${values.map((value) => describeValue(value)).join(" ; ")}\n`, 0);
    remember(addon[name](...values));
    counts.returned += 1;
  } catch (error) {
    const code = typeof error?.code === "string" ? error.code : String(error?.message ?? error);
    counts[code] = (counts[code] ?? 0) + 1;
    if (!(error instanceof Error)) throw new Error(`not an error: ${String(error)}`);
  }
}
closeSync(log);
addon.setGradEnabled(true);
console.log(JSON.stringify({ counts, names: [...names].length }));
