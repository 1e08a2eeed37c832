// Zeros: the edge passes nothing on.
import type { Operation } from "../operation.js";

export const none: Operation = {
  name: "none",
  colour: { fill: "#c9d0d8", ink: "#2b3138" },
  isZero: true,
  build: (graph, input) => graph.zeros(input),
};
