// Tensors: JavaScript objects that stand for libtorch's.
import { IstaError } from "../base/errors.js";
import { addon, type ElementArray, guarded, type Handle } from "./addon.js";

/** Element types by libtorch's own numbers (c10::ScalarType). */
export const dtypes = { uint8: 0, int32: 3, int64: 4, float32: 6, float64: 7, bool: 11 } as const;
export type DType = keyof typeof dtypes;
const dtypeNames = new Map<number, DType>(
  Object.entries(dtypes).map(([name, code]) => [code, name as DType]),
);

/**
 * A tensor. It lives until its scope closes (see `scope`), or until `dispose()` when it was made outside of all scopes.
 * Using it later is an IstaError ENGINE_FREED. Operators are in operators.ts.
 */
export class Tensor {
  private description: [number, string, ...number[]] | undefined;

  constructor(readonly handle: Handle) {}

  /**
   * A tensor with a copy of `data` in row-major order.
   * @throws IstaError ENGINE_ARGUMENT when the element count does not fit the shape.
   */
  static from(data: ElementArray, shape: readonly number[] = [data.length]): Tensor {
    return new Tensor(guarded(() => addon.fromArray(data, shape)));
  }

  private describe(): [number, string, ...number[]] {
    this.description ??= guarded(() => addon.describe(this.handle));
    return this.description;
  }

  get shape(): number[] {
    return this.describe().slice(2) as number[];
  }

  get dtype(): DType {
    const code = this.describe()[0];
    const name = dtypeNames.get(code);
    if (name === undefined)
      throw new IstaError("ENGINE_ARGUMENT", `dtype: number ${code} of libtorch is not used here`);
    return name;
  }

  /** "cpu" or "cuda:0". */
  get device(): string {
    return this.describe()[1];
  }

  get elementCount(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /** The values in row-major order, copied. Booleans come as 0 and 1. */
  toArray(): ElementArray {
    return guarded(() => addon.toArray(this.handle));
  }

  /** The values of a float32 tensor. @throws IstaError ENGINE_ARGUMENT for another dtype. */
  toFloat32Array(): Float32Array {
    const data = this.toArray();
    if (data instanceof Float32Array) return data;
    throw new IstaError("ENGINE_ARGUMENT", `toFloat32Array: expected float32, got ${this.dtype}`);
  }

  /** The value of a tensor with one element. */
  item(): number {
    const data = this.toArray();
    if (data.length !== 1)
      throw new IstaError("ENGINE_ARGUMENT", `item: expected one element, got ${data.length}`);
    return Number(data[0]);
  }

  /** Whether operators on this leaf tensor are recorded for `gradients`. */
  setRequiresGrad(value: boolean): this {
    guarded(() => addon.setRequiresGrad(this.handle, value));
    return this;
  }

  /** Moves the tensor out of all scopes: it lives until `dispose()`. */
  keep(): this {
    guarded(() => addon.moveOut(this.handle, true));
    return this;
  }

  /** Frees the memory now. @throws IstaError ENGINE_FREED when that happened already. */
  dispose(): void {
    guarded(() => addon.release(this.handle));
  }
}

/** Every tensor in a value: itself, or inside arrays, maps and plain objects. */
function tensorsIn(value: unknown, found: Tensor[] = []): Tensor[] {
  if (value instanceof Tensor) found.push(value);
  else if (Array.isArray(value)) for (const item of value) tensorsIn(item, found);
  else if (value instanceof Map) for (const item of value.values()) tensorsIn(item, found);
  else if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    for (const item of Object.values(value)) tensorsIn(item, found);
  }
  return found;
}

/**
 * Runs `body` and frees the tensors made in it, except those in its result (a tensor, or arrays, maps and plain objects
 * of them), which pass to the scope around, and those on which keep() was called.
 * @throws IstaError ENGINE_ARGUMENT when `body` is asynchronous: scopes are nested strictly, so one cannot wait.
 */
export function scope<T>(body: () => T): T {
  const depth = addon.openScope();
  try {
    const result = body();
    if (result instanceof Promise) {
      result.catch(() => {});
      throw new IstaError(
        "ENGINE_ARGUMENT",
        "scope: expected a synchronous function, got one that returns a promise",
      );
    }
    for (const tensor of new Set(tensorsIn(result))) guarded(() => addon.moveOut(tensor.handle, false));
    return result;
  } finally {
    addon.closeScope(depth);
  }
}

/** How many tensors are alive in this thread. */
export const liveTensorCount = (): number => addon.liveTensors();
