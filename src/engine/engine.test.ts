// Tensors, scopes, errors and gradients against plain arithmetic.
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { IstaError } from "../base/errors.js";
import { packageFolder } from "../base/package.js";
import { gradients, withoutGradients } from "./autograd.js";
import { Device, engineInformation, setThreads } from "./device.js";
import { operator, operators } from "./operators.js";
import { dtypes, liveTensorCount, scope, Tensor } from "./tensor.js";

// Any operator of libtorch can be called by its name.
const clone = operator<[Tensor], Tensor>("aten::clone");
const convert = operator<[Tensor, number], Tensor>("aten::to", "dtype");
const softmax = operator<[Tensor, number], Tensor>("aten::softmax", "int");

const vector = (...values: number[]): Tensor => Tensor.from(Float32Array.from(values));

function codeOf(body: () => unknown): { code: string; message: string } {
  try {
    body();
  } catch (error) {
    if (error instanceof IstaError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("tensors", () => {
  it.each([
    [Float32Array.from([1.5, -2]), "float32"],
    [Float64Array.from([1.5, -2]), "float64"],
    [Int32Array.from([7, -2]), "int32"],
    [BigInt64Array.from([2n ** 60n, -2n]), "int64"],
    [Uint8Array.from([255, 0]), "uint8"],
  ] as const)("carry %s there and back", (data, dtype) => {
    scope(() => {
      const tensor = Tensor.from(data, [2, 1]);
      expect(tensor.dtype).toBe(dtype);
      expect(tensor.shape).toEqual([2, 1]);
      expect(tensor.device).toBe("cpu");
      expect(tensor.toArray()).toEqual(data);
    });
  });

  it("take views of larger and of shared buffers", () => {
    scope(() => {
      const whole = Float32Array.from([0, 1, 2, 3, 4]);
      expect(Tensor.from(whole.subarray(2, 4)).toArray()).toEqual(Float32Array.from([2, 3]));
      const shared = new Float32Array(new SharedArrayBuffer(8));
      shared.set([5, 6]);
      expect(Tensor.from(shared).toArray()).toEqual(Float32Array.from([5, 6]));
    });
  });

  it("come out in row-major order of their shape whatever their strides", () => {
    scope(() => {
      const image = Tensor.from(
        Float32Array.from({ length: 12 }, (_, i) => i),
        [1, 3, 2, 2],
      );
      expect(clone(image).toArray()).toEqual(image.toArray());
      expect(convert(image, dtypes.float64).toArray()).toEqual(Float64Array.from(image.toFloat32Array()));
    });
  });

  it("hold no elements when empty", () => {
    scope(() => expect(Tensor.from(new Float32Array(0), [0, 3]).toArray()).toHaveLength(0));
  });
});

describe("scopes", () => {
  it("free what was made in them, but for the result and what is kept", () => {
    const before = liveTensorCount();
    let inner: Tensor | undefined;
    let kept: Tensor | undefined;
    const result = scope(() => {
      inner = vector(1);
      kept = vector(2).keep();
      return { list: [vector(3)], map: new Map([["x", vector(4)]]) };
    });
    expect(liveTensorCount()).toBe(before + 3);
    expect(result.list[0].item() + result.map.get("x")!.item() + kept!.item()).toBe(9);
    expect(codeOf(() => operators.relu(inner!)).code).toBe("ENGINE_FREED");
    for (const tensor of [result.list[0], result.map.get("x")!, kept!]) tensor.dispose();
    expect(liveTensorCount()).toBe(before);
  });

  it("pass results to the scope around, which frees them", () => {
    const before = liveTensorCount();
    const outer = scope(() => {
      const inner = scope(() => vector(1));
      expect(inner.item()).toBe(1);
      return inner.shape;
    });
    expect(outer).toEqual([1]);
    expect(liveTensorCount()).toBe(before);
  });

  it("free what was made before an exception, and refuse asynchronous functions", () => {
    const before = liveTensorCount();
    expect(() =>
      scope(() => {
        vector(1);
        throw new Error("mine");
      }),
    ).toThrow("mine");
    expect(codeOf(() => scope(async () => vector(1))).code).toBe("ENGINE_ARGUMENT");
    expect(liveTensorCount()).toBe(before);
  });
});

describe("mistakes are typed errors that name the operation", () => {
  it.each<[string, () => unknown, string, RegExp]>([
    [
      "wrong shapes",
      () =>
        operators.matmul(Tensor.from(new Float32Array(6), [2, 3]), Tensor.from(new Float32Array(6), [2, 3])),
      "ENGINE_OPERATOR",
      /aten::matmul.*Float\[2, 3\].*shapes/,
    ],
    [
      "wrong dtypes",
      () => operators.linear(vector(1), Tensor.from(new Float64Array(1), [1, 1]), vector(1)),
      "ENGINE_OPERATOR",
      /aten::linear.*Double\[1, 1\]/,
    ],
    [
      "a wrong argument",
      () => operators.relu("x" as never),
      "ENGINE_ARGUMENT",
      /aten::relu.*self.*expected a number, got a string/,
    ],
    ["a number for a tensor", () => operators.relu(3 as never), "ENGINE_ARGUMENT", /expected a tensor/],
    [
      "a fraction for an integer",
      () => softmax(vector(1), 0.5),
      "ENGINE_ARGUMENT",
      /dim: expected a whole number/,
    ],
    [
      "too many arguments",
      () => (operators.relu as (...all: unknown[]) => Tensor)(vector(1), 1, 2),
      "ENGINE_ARGUMENT",
      /at most 1 arguments, got 3/,
    ],
    [
      "a wrong element count",
      () => Tensor.from(new Float32Array(5), [2, 3]),
      "ENGINE_ARGUMENT",
      /expected 6 elements for the shape, got 5/,
    ],
    ["a negative size", () => Tensor.from(new Float32Array(5), [-5]), "ENGINE_ARGUMENT", /sizes >= 0/],
    [
      "an absurd size",
      () => Tensor.from(new Float32Array(0), [2 ** 40, 2 ** 40]),
      "ENGINE_ARGUMENT",
      /2\^53/,
    ],
    [
      "too much memory",
      () =>
        operators.reshape(
          operators.matmul(
            Tensor.from(new Float32Array(3e6), [3e6, 1]),
            Tensor.from(new Float32Array(3e6), [1, 3e6]),
          ),
          [-1],
        ),
      "ENGINE_OUT_OF_MEMORY",
      /aten::matmul.*allocate/,
    ],
    [
      "a foreign device",
      () => Device.named("tpu"),
      "ENGINE_DEVICE",
      /expected cpu, cuda or cuda:N, got "tpu"/,
    ],
    ["absurd threads", () => setThreads(0), "ENGINE_ARGUMENT", /1 to 1024, got 0/],
  ])("%s", (_, body, code, message) => {
    scope(() => {
      const error = codeOf(body);
      expect(error.code).toBe(code);
      expect(error.message).toMatch(message);
    });
  });

  it("double free, and use after free of a slot that was taken again", () => {
    const tensor = vector(1);
    tensor.dispose();
    expect(codeOf(() => tensor.dispose()).code).toBe("ENGINE_FREED");
    const next = vector(2);
    expect(codeOf(() => operators.add(next, tensor)).message).toMatch(/aten::add.*other.*was freed/);
    next.dispose();
  });
});

describe("gradients", () => {
  it("follow the chain rule, only to what was asked, null where no path leads", () => {
    scope(() => {
      const x = vector(1, -2, 3).setRequiresGrad(true);
      const y = vector(4, 5, 6).setRequiresGrad(true);
      const unused = vector(1).setRequiresGrad(true);
      const loss = operators.sum(operators.multiply(operators.relu(x), y));
      const [dx, dUnused] = gradients(loss, [x, unused]);
      expect(dx!.toArray()).toEqual(Float32Array.from([4, 0, 6]));
      expect(dUnused).toBeNull();
    });
  });

  it("are not recorded inside withoutGradients", () => {
    scope(() => {
      const x = vector(1).setRequiresGrad(true);
      const loss = withoutGradients(() => operators.sum(x));
      expect(codeOf(() => gradients(loss, [x])).code).toBe("ENGINE_OPERATOR");
    });
  });
});

it("says what it runs on", () => {
  expect(engineInformation().libtorchVersion).toMatch(/^\d+\.\d+/);
  expect(engineInformation().threads).toBeGreaterThan(0);
});

it("serves two worker threads at once, and survives the end of one in the middle of its work", async () => {
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    const addon = require(workerData);
    const [multiply] = addon.operator("aten::matmul", "");
    const a = addon.fromArray(new Float32Array(256 * 256).fill(1), [256, 256]);
    for (let i = 0; ; i++) {
      const depth = addon.openScope();
      const product = addon.toArray(addon.call(multiply, [a, a]));
      addon.closeScope(depth);
      if (i === 20) parentPort.postMessage([product[0], addon.liveTensors()]);
    }`;
  const start = (): Worker =>
    new Worker(source, { eval: true, workerData: join(packageFolder, "build/ista_nas.node") });
  const workers = [start(), start()];
  const answers = await Promise.all(
    workers.map(
      (worker) => new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject)),
    ),
  );
  expect(answers).toEqual([
    [256, 1],
    [256, 1],
  ]);
  await Promise.all(workers.map((worker) => worker.terminate()));
  scope(() => expect(operators.sum(vector(1, 2)).item()).toBe(3));
});
