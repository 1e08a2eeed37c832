// onnxruntime in this process: it starts no thread, fetches nothing, and reads its files from this package.
import { expect, it, vi } from "vitest";
import { makeModel } from "../../test/support/models.js";
import { checkOnnx, seededImages } from "./onnx-check.js";
import { onnxOfNetwork } from "./onnx-network.js";
import { loadOnnxRuntime } from "./onnx-runtime.js";

it("computes without workers and without fetching", async () => {
  const fetched = vi.spyOn(globalThis, "fetch");
  const workers: unknown[] = [];
  const note = (worker: unknown): number => workers.push(worker);
  process.on("worker", note);
  try {
    const model = makeModel({});
    const bytes = onnxOfNetwork(model, model.weights, { withNormalisation: false });
    const check = await checkOnnx(bytes, model, seededImages(model, 2), { withNormalisation: false });
    expect(check.largestDifference).toBeLessThan(1e-5);
    expect(workers).toEqual([]);
    expect(fetched).not.toHaveBeenCalled();
    expect(loadOnnxRuntime().env.wasm.numThreads).toBe(1);
  } finally {
    process.off("worker", note);
    fetched.mockRestore();
  }
});
