// "ista-nas/space": what architectures cost on the bundled images, without the tensor library: published cells, and random ones within
// a limit of size.
//
//   node sizes.mjs
import {
  candidateSizes,
  countNetwork,
  darts,
  evaluationNetwork,
  RandomStream,
  randomSelection,
  sizeOfSelection,
  withinBudget,
} from "ista-nas/space";

const bundled = { inputChannels: 1, classes: 10, imageHeight: 28, imageWidth: 28 };
const shape = { cells: 8, channels: 16, ...bundled, stem: "cifar", auxiliary: false };
const million = (count) => `${(count / 1e6).toFixed(2)} M`;

for (const [name, { selection }] of Object.entries(darts.named)) {
  const { params, multAdds } = countNetwork(evaluationNetwork({ space: darts, selection }, shape));
  console.log(`${name}: ${params} parameters, ${million(multAdds)} mult-adds`);
}

// Sizes add up: one table says what every architecture of the space costs.
const sizes = candidateSizes(darts, shape, darts.norms.plainEvaluation);
const budget = { maxParams: 250_000 };
const stream = RandomStream.named(1, "example");
const drawn = Array.from({ length: 1000 }, () => sizeOfSelection(sizes, randomSelection(darts, stream)));
const within = drawn.filter((size) => withinBudget(size, budget)).length;
console.log(`within ${budget.maxParams} parameters: ${within} of ${drawn.length} random architectures`);
