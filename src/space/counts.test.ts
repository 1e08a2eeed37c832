// Exact sizes of published networks, and the smallest and largest networks against brute force.

import { expect, test } from "vitest";
import { countNetwork } from "./counts.js";
import { evaluationNetwork, type NetworkShape, normPlacements } from "./layout.js";
import { namedGenotypes } from "./named-genotypes.js";

const cifar: NetworkShape = {
  cells: 20,
  channels: 36,
  inputChannels: 3,
  classes: 10,
  imageHeight: 32,
  imageWidth: 32,
  stem: "cifar",
  auxiliary: true,
};
const imagenet: NetworkShape = {
  ...cifar,
  cells: 14,
  channels: 48,
  classes: 1000,
  imageHeight: 224,
  imageWidth: 224,
  stem: "imagenet",
};

test.each([
  ["ISTA_twostage", cifar, normPlacements.plainEvaluation, 3_316_726, 515.226],
  ["ISTA_onestage", cifar, normPlacements.normalisedEvaluation, 3_371_806, 532.257],
  ["ISTA_ImageNet", imagenet, normPlacements.plainEvaluation, 5_651_392, 621.084],
  ["ISTA_ImageNet", imagenet, normPlacements.normalisedEvaluation, 5_655_232, 621.084],
] as const)("%s has its published size", (name, shape, norms, params, millionMultAdds) => {
  const counts = countNetwork(evaluationNetwork(namedGenotypes[name].genotype, shape, norms));
  expect(counts.params).toBe(params);
  expect((counts.multAdds / 1e6).toFixed(3)).toBe(millionMultAdds.toFixed(3));
});
