// How much memory a run will need, worked out from its network before anything large is allocated.
import { totalmem } from "node:os";
import { availableMemory, constrainedMemory, memoryUsage } from "node:process";
import { IstaError } from "../base/errors.js";
import { formatBytes } from "../base/format.js";
import { type Convolution, type Graph, type LayerWithWeights, layersWithWeights } from "../space/graph.js";
import type { NetworkDescription } from "../space/space.js";
import { layerTensors } from "../space/tensors.js";
import { localProcessCount } from "./processes.js";

/** Needs of a run in bytes, on top of what the process holds before the network is made (engine, data set). */
export interface MemoryNeed {
  /** Weights, momenta, gradients, averages, and the copies that a checkpoint is written from. */
  readonly weights: number;
  /** What the forward pass keeps for the gradients, and the gradients of activations. */
  readonly activations: number;
  /** Batches that are prepared or still to be collected. */
  readonly batches: number;
  readonly total: number;
}

export interface MemoryOptions {
  readonly batchSize: number;
  /** Images that go through the network at once, at most; null: the whole batch. */
  readonly microBatch: number | null;
  /** Batches prepared ahead. */
  readonly prefetch: number;
  /** Kinds of batches that are held at once: 2 where codes and weights learn from different images. */
  readonly sources: number;
  readonly averaging: boolean;
  /** Whether results of convolutions are computed again rather than kept. */
  readonly recompute: boolean;
}

const floatBytes = 4;
/** Copies of every weight: the weight, its momentum, its gradient; a checkpoint copies the first two and writes from them. */
const weightCopies = 6;
const averagingCopies = 2;
/** Where batches go through in parts: the sum of their gradients. */
const sumCopies = 1;
/** Feature maps of the largest cell that a backward pass holds at once: gradients of its states, and of what it reads. */
const transientMaps = 6;
/** Sums of the weight gradients are kept for each of these parts of a batch. */
const largestChunkCount = 32;
/** Shares of all allocations that no tensor uses: the allocator's fragments, and pages that it keeps. */
const allocatorOverhead = 1.1;
/** Buffers of threads, and JavaScript's own garbage. */
const constantBytes = 48 * 2 ** 20;

const parameterCount = (layer: LayerWithWeights): number =>
  layerTensors(layer).reduce(
    (total, { shape }) => total + shape.reduce((product, size) => product * size, 1),
    0,
  );

const sizeOf = ({ channels, height, width }: { channels: number; height: number; width: number }): number =>
  channels * height * width;

/**
 * Convolutions whose results are computed again rather than kept: the last of every branch that is a chain of convolutions. The two
 * of a factorised reduction are none.
 */
function recomputed(layers: readonly LayerWithWeights[]): ReadonlySet<LayerWithWeights> {
  const branches = new Map<string, Convolution[]>();
  for (const layer of layers) {
    const { branch } = layer.place;
    if (layer.kind !== "convolution" || branch === undefined) continue;
    branches.set(branch, [...(branches.get(branch) ?? []), layer]);
  }
  const chains = [...branches.values()].filter(
    (convolutions) => convolutions.length === 1 || convolutions.some(({ groups }) => groups > 1),
  );
  return new Set(chains.map((convolutions) => convolutions[convolutions.length - 1]));
}

/** Floats that the forward pass keeps per image: results before batch norms, and what is made of them. */
function keptPerImage({ layers }: Graph, weighted: readonly LayerWithWeights[], recompute: boolean): number {
  const again = recompute ? recomputed(weighted) : new Set<LayerWithWeights>();
  let kept = 0;
  for (const layer of layers) {
    const { kind, output, inputs, place } = layer;
    // A depthwise convolution is made anew in the backward pass; on an edge, the node keeps what comes after it.
    if (kind === "convolution" && layer.groups === 1 && !again.has(layer)) kept += sizeOf(output);
    // The sums that nodes are.
    if (kind === "add") kept += sizeOf(output);
    // With partial channels: what a node weighs.
    if (kind === "shuffle") kept += sizeOf(output);
    // The auxiliary head's input, concatenated and rectified.
    if (place.part === "auxiliary" && kind === "relu" && layers[inputs[0]].kind === "concatenate")
      kept += 2 * sizeOf(output);
  }
  return kept;
}

/** The largest feature map inside of cells, several times; and what the stem puts out. */
function transientPerImage({ layers }: Graph): number {
  let largest = 0;
  for (const { kind, output, place } of layers)
    if (place.part === "cell" && kind !== "concatenate") largest = Math.max(largest, sizeOf(output));
  const fromStem = layers.filter(
    ({ place, kind }, value) =>
      place.part === "stem" &&
      kind !== "images" &&
      layers.some((reader) => reader.place.part !== "stem" && reader.inputs.includes(value)),
  );
  return transientMaps * largest + fromStem.reduce((sum, { output }) => sum + sizeOf(output), 0);
}

/**
 * Estimates the memory that training the network takes on a CPU.
 * @param description for a search with connections that keep as much as any
 * @throws IstaError NETWORK_SHAPE
 */
export function estimateMemory(description: NetworkDescription, options: MemoryOptions): MemoryNeed {
  const { batchSize, prefetch, sources, averaging, recompute } = options;
  const atOnce = Math.min(batchSize, options.microBatch ?? batchSize);
  const { inputChannels, imageHeight, imageWidth } = description.shape;
  const graph = description.space.graph(description);
  const layers = layersWithWeights(graph);
  const parameters = layers.reduce((total, layer) => total + parameterCount(layer), 0);
  const largestLayer = layers.reduce((most, layer) => Math.max(most, parameterCount(layer)), 0);
  const image = inputChannels * imageHeight * imageWidth;
  const copies = weightCopies + (averaging ? averagingCopies : 0) + (atOnce < batchSize ? sumCopies : 0);
  const sums = Math.min(atOnce, largestChunkCount) * largestLayer;
  const weights = floatBytes * allocatorOverhead * (copies * parameters + sums);
  const perImage = keptPerImage(graph, layers, recompute) + transientPerImage(graph) + 2 * image;
  const activations = floatBytes * allocatorOverhead * atOnce * perImage;
  const batches = floatBytes * batchSize * image * sources * (prefetch + 2) + constantBytes;
  return { weights, activations, batches, total: weights + activations + batches };
}

/** Bytes that a forward pass without gradients takes: once, and for each image that goes through together. */
export function memoryOfUse(description: NetworkDescription): { weights: number; perImage: number } {
  const { inputChannels, imageHeight, imageWidth } = description.shape;
  const graph = description.space.graph(description);
  const parameters = layersWithWeights(graph).reduce((total, layer) => total + parameterCount(layer), 0);
  const values = transientPerImage(graph) + 2 * inputChannels * imageHeight * imageWidth;
  // As read from the file, and as the engine's.
  const weights = floatBytes * allocatorOverhead * 2 * parameters;
  return { weights, perImage: floatBytes * allocatorOverhead * values };
}

/** Bytes for images that go through together because that is quicker. */
const largestTogether = 2 ** 30;

/** How many images go through a network together: up to `most`, fewer of large ones. */
export const imagesTogether = (description: NetworkDescription, most: number): number =>
  Math.max(1, Math.min(most, Math.floor(largestTogether / memoryOfUse(description).perImage)));

/**
 * Compares what the use of a network takes with the memory that is free, before anything is made.
 * @param place where the network is from
 * @param images that go through together
 * @throws IstaError MEMORY_NEEDED, NETWORK_SHAPE
 */
export function requireMemoryForUse(
  description: NetworkDescription,
  place: string,
  images: number,
  machine: MachineMemory = machineMemory(),
): void {
  const { weights, perImage } = memoryOfUse(description);
  const need = weights + images * perImage;
  if (need <= machine.free) return;
  const { imageHeight, imageWidth } = description.shape;
  const what = images === 1 ? "one image" : `${images} images`;
  const way = images === 1 ? "a smaller --image-size" : "a smaller --batch-size or --image-size";
  throw new IstaError(
    "MEMORY_NEEDED",
    `${place}: ${what} of ${imageHeight} x ${imageWidth} take about ${formatBytes(need)} in this network, ${formatBytes(machine.free)} are free; use ${way}, or a machine with more memory`,
  );
}

/** What this process may use, in bytes: of the machine, or of its control group. */
export interface MachineMemory {
  readonly total: number;
  /** Not in use by anybody now. */
  readonly free: number;
  /** In use by this process now. */
  readonly used: number;
}

export function machineMemory(): MachineMemory {
  const limit = constrainedMemory();
  // Without a limit the system reports none, zero, or a number beyond any machine.
  const total = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return { total, free: Math.min(availableMemory(), total), used: memoryUsage().rss };
}

/** As much of it as each of the processes has that compute a run on this machine. */
export function memoryOfProcess(): MachineMemory {
  const { total, free, used } = machineMemory();
  const processes = localProcessCount();
  return { total: total / processes, free: free / processes, used };
}

/** The need of the network that takes the most. @param networks that a run trains one after another, at least one */
function largestNeed(networks: readonly NetworkDescription[], options: MemoryOptions): MemoryNeed {
  const needs = networks.map((description) => estimateMemory(description, options));
  return needs.reduce((most, need) => (need.total > most.total ? need : most));
}

/** The largest of halves, quarters, ... of a number for which the need fits; null where none does. */
function fitting(from: number, least: number, fits: (size: number) => boolean): number | null {
  for (let size = from >> 1; size >= least; size >>= 1) if (fits(size)) return size;
  return null;
}

/** With fewer images at once statistics of batch norms mean little: somebody has to want that. */
const smallestMicroBatch = 8;

/**
 * Parts of a batch for a run that does not fit into the machine as it is: the largest half, quarter, ... that does. By all that there is,
 * not by what is free now, so that a machine gives the same run every time.
 * @returns their size, and a line that says so; null where the run fits, or would not in parts either
 * @throws IstaError NETWORK_SHAPE
 */
export function chooseMicroBatch(
  networks: readonly NetworkDescription[],
  options: MemoryOptions,
  machine: MachineMemory = machineMemory(),
): { readonly microBatch: number; readonly line: string } | null {
  const { batchSize } = options;
  const need = (microBatch: number | null): number =>
    largestNeed(networks, { ...options, microBatch }).total + machine.used;
  if (options.microBatch !== null || need(null) <= machine.total) return null;
  const microBatch = fitting(batchSize, smallestMicroBatch, (size) => need(size) <= machine.total);
  if (microBatch === null) return null;
  const line = `batches of ${batchSize} images would take about ${formatBytes(need(null))} of memory, the machine has ${formatBytes(machine.total)}: they go through the network in parts, and gradients are added up (--micro-batch ${microBatch}, about ${formatBytes(need(microBatch))}); batch norms see the statistics of a part`;
  return { microBatch, line };
}

/**
 * Compares the need with the machine.
 * @param networks that the run trains one after another, at least one
 * @returns a warning where the need exceeds what is free now, otherwise null
 * @throws IstaError MEMORY_NEEDED where it exceeds all that there is; NETWORK_SHAPE
 */
export function checkMemory(
  networks: readonly NetworkDescription[],
  options: MemoryOptions,
  machine: MachineMemory = machineMemory(),
): string | null {
  const need = largestNeed(networks, options);
  const total = need.total + machine.used;
  const room = total > machine.total ? machine.total - machine.used : machine.free;
  if (need.total <= room) return null;
  const fits = (change: Partial<MemoryOptions>): boolean =>
    largestNeed(networks, { ...options, ...change }).total <= room;
  const atOnce = Math.min(options.batchSize, options.microBatch ?? options.batchSize);
  const part = fitting(atOnce, 2, (microBatch) => fits({ microBatch }));
  const batch = fitting(options.batchSize, 1, (batchSize) => fits({ batchSize }));
  const ways = [
    ...(!options.recompute && fits({ recompute: true }) ? ["--recompute"] : []),
    ...(part === null ? [] : [`--micro-batch ${part}`]),
    ...(batch === null ? [] : [`a smaller --batch-size (${batch} fits)`]),
    ...["fewer --channels or --cells", "smaller images"],
  ];
  const way = `use ${ways.slice(0, -1).join(", ")} or ${ways.at(-1)}`;
  const parts = `activations of ${atOnce} images ${formatBytes(need.activations)}, weights ${formatBytes(need.weights)}`;
  if (total > machine.total) {
    throw new IstaError(
      "MEMORY_NEEDED",
      `memory: the run needs about ${formatBytes(total)} (${parts}), the machine has ${formatBytes(machine.total)}; ${way}`,
    );
  }
  return `the run needs about ${formatBytes(need.total)} of memory (${parts}), ${formatBytes(machine.free)} are free now: end other programs, or ${way}`;
}
