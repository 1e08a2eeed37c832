// Stochastic gradient descent with momentum, as a step over named tensors and a state that can be saved.
import type { Device } from "./device.js";
import { operators } from "./operators.js";
import { Tensor } from "./tensor.js";

export interface SgdSettings {
  readonly learningRate: number;
  readonly momentum: number;
  /** The gradient counts once more on top of the momentum (Nesterov's, as torch.optim.SGD takes it). */
  readonly nesterov?: boolean;
  /** Added to the gradient, after clipping. */
  readonly weightDecay: number;
  /** Greatest global norm of the gradient, before weight decay; 0 = not clipped. */
  readonly gradientClip: number;
}

/** The same numbers as torch.nn.utils.clip_grad_norm_ followed by torch.optim.SGD. */
export class Sgd {
  private readonly momenta = new Map<string, Tensor>();

  /**
   * Changes the parameters in place. One without gradient (null) stays as it is, with its momentum.
   * @returns the global norm of the gradient before clipping; when that is not finite, nothing was changed.
   */
  step(
    parameters: ReadonlyMap<string, Tensor>,
    gradients: readonly (Tensor | null)[],
    { learningRate, momentum, nesterov = false, weightDecay, gradientClip }: SgdSettings,
  ): number {
    const [held, slopes, momenta]: Tensor[][] = [[], [], []];
    let index = 0;
    for (const [name, parameter] of parameters) {
      const gradient = gradients[index++];
      if (gradient === null) continue;
      held.push(parameter);
      slopes.push(gradient);
      momenta.push(this.momentumOf(name, parameter));
    }
    return operators.sgdStep(
      held,
      slopes,
      momenta,
      learningRate,
      momentum,
      weightDecay,
      gradientClip,
      nesterov,
    );
  }

  private momentumOf(name: string, parameter: Tensor): Tensor {
    let tensor = this.momenta.get(name);
    if (tensor === undefined) {
      tensor = operators.zerosLike(operators.detach(parameter)).keep();
      this.momenta.set(name, tensor);
    }
    return tensor;
  }

  /** Frees the momenta of parameters that never come back. */
  retain(names: ReadonlySet<string>): void {
    for (const [name, tensor] of this.momenta) {
      if (names.has(name)) continue;
      tensor.dispose();
      this.momenta.delete(name);
    }
  }

  /** Momenta by parameter name, copied. */
  stateDict(): Map<string, { shape: number[]; data: Float32Array }> {
    return new Map(
      [...this.momenta].map(([name, tensor]) => [
        name,
        { shape: tensor.shape, data: tensor.toFloat32Array() },
      ]),
    );
  }

  /** @param device where the parameters are */
  loadStateDict(
    stored: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>,
    device: Device,
  ): void {
    this.dispose();
    for (const [name, { shape, data }] of stored) {
      const onHost = Tensor.from(data, shape);
      const tensor = device.move(onHost);
      this.momenta.set(name, tensor.keep());
      if (tensor !== onHost) onHost.dispose();
    }
  }

  dispose(): void {
    this.retain(new Set());
  }
}
