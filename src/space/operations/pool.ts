// 3x3 pooling, with a batch norm behind it where the network has them there.
import type { Operation } from "../operation.js";

const pool = (name: string, pooling: "max" | "average", colour: Operation["colour"]): Operation => ({
  name,
  colour,
  build(graph, input, { prefix, stride, norms }) {
    const pooled = graph.pool(input, pooling, [3, 3], [stride, stride], 1);
    return norms.afterPool ? graph.norm(pooled, `${prefix}.1`, norms.affine) : pooled;
  },
});

export const maxPool3x3 = pool("max_pool_3x3", "max", { fill: "#e69f00", ink: "#1b1200" });
export const averagePool3x3 = pool("avg_pool_3x3", "average", { fill: "#d55e00", ink: "#190900" });
