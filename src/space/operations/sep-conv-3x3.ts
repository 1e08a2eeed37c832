// Separable convolution, twice.
import { separable } from "./separable.js";

export const sepConv3x3 = separable(
  "sep_conv_3x3",
  { kernel: 3, stages: 2 },
  { fill: "#56b4e9", ink: "#04121c" },
);
