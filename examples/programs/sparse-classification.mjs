// "ista-nas/sparse": classifies images by sparse coding (Wright et al. 2009). An image is written as a combination of few training images,
// the LASSO's solution; it is of the class whose images in that combination come closest to it.
//
//   node sparse-classification.mjs
import { dataFolder, openDataset } from "ista-nas";
import { homotopy } from "ista-nas/sparse";

const { train, test, classes } = await openDataset(dataFolder("bundled"));
const area = train.height * train.width;

/** An image as a vector of length 1. */
function vectorOf({ images }, index) {
  const pixels = Float64Array.from(images.subarray(index * area, (index + 1) * area));
  const length = Math.hypot(...pixels);
  return pixels.map((value) => value / length);
}

// The dictionary A: a column for each of the first images of every class.
const perClass = 20;
const chosen = classes.flatMap((_, label) =>
  [...train.labels.keys()].filter((index) => train.labels[index] === label).slice(0, perClass),
);
const columns = chosen.map((index) => vectorOf(train, index));
const data = new Float64Array(area * columns.length);
for (const [column, vector] of columns.entries())
  for (const [row, value] of vector.entries()) data[row * columns.length + column] = value;
const matrix = { rows: area, columns: columns.length, data };

/** Length of what is left of the image when only the class's part of the code is used. */
function distance(target, code, label) {
  const left = Float64Array.from(target);
  for (const [column, weight] of code.entries())
    if (weight !== 0 && train.labels[chosen[column]] === label)
      for (const [row, value] of columns[column].entries()) left[row] -= weight * value;
  return Math.hypot(...left);
}

let [right, used] = [0, 0];
const count = 60;
for (let index = 0; index < count; index++) {
  const target = vectorOf(test, index);
  const { solution } = homotopy({ matrix, target, lambda: 0.05 });
  const distances = classes.map((_, label) => distance(target, solution, label));
  if (distances.indexOf(Math.min(...distances)) === test.labels[index]) right += 1;
  used += solution.filter((weight) => weight !== 0).length;
}
console.log(`right: ${((100 * right) / count).toFixed(1)} % of ${count} test images`);
console.log(`images in a code: ${(used / count).toFixed(1)} of ${columns.length}`);
