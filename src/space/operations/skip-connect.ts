// Identity; at stride 2 a factorised reduction.
import type { Operation } from "../operation.js";

export const skipConnect: Operation = {
  name: "skip_connect",
  label: "skip",
  colour: { fill: "#6b737e", ink: "#ffffff" },
  isIdentity: true,
  build(graph, input, { prefix, stride, norms }) {
    const { channels } = graph.size(input);
    if (stride === 2) return graph.factorizedReduce(input, prefix, channels, norms.affine);
    return norms.afterSkip ? graph.norm(input, `${prefix}.1`, norms.affine) : input;
  },
};
