// An operation of a space: its layers, and how it looks in drawings. One file each in operations/.
import { IstaError } from "../base/errors.js";
import type { GraphBuilder, Value } from "./graph.js";
import type { OperationColour } from "./sketch.js";
import type { NormPlacement } from "./space.js";

export interface OperationContext {
  /** Prefix of the state-dict names of its tensors. */
  readonly prefix: string;
  readonly stride: 1 | 2;
  readonly norms: NormPlacement;
}

export interface Operation {
  /** As genotypes write it. */
  readonly name: string;
  readonly colour: OperationColour;
  /** In drawings; the name with blanks where not given. */
  readonly label?: string;
  /** Whether it passes its input on as it is at stride 1; drop-path spares it unless the network says otherwise. */
  readonly isIdentity?: boolean;
  /** Whether it passes nothing on. */
  readonly isZero?: boolean;
  /** Adds its layers; the result has as many channels as the input. */
  build(graph: GraphBuilder, input: Value, context: OperationContext): Value;
}

const registered = new Map<string, Operation>();

/**
 * Makes operations known by name, to drawings and to methods. Spaces do it for theirs.
 * @throws IstaError PLUGIN_INVALID where a name is that of another operation
 */
export function registerOperations(operations: readonly Operation[]): void {
  for (const operation of operations) {
    const known = registered.get(operation.name);
    if (known !== undefined && known !== operation)
      throw new IstaError(
        "PLUGIN_INVALID",
        `operation ${operation.name}: expected a name of its own, got that of another operation`,
      );
    registered.set(operation.name, operation);
  }
}

export const isRegistered = (name: string): boolean => registered.has(name);

/** Whether an operation of any space is one that passes nothing on. */
export const passesNothing = (name: string): boolean => registered.get(name)?.isZero === true;

const unknownColour: OperationColour = { fill: "#6b737e", ink: "#ffffff" };

/** How an operation of any space looks. */
export function operationLook(name: string): { readonly label: string; readonly colour: OperationColour } {
  const operation = registered.get(name);
  const words = name.replaceAll("_", " ").replace(/(\d)x(\d)/, "$1×$2");
  return { label: operation?.label ?? words, colour: operation?.colour ?? unknownColour };
}
