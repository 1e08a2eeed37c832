// The operators as compositions of ATen operators: any device, any type, autograd by libtorch. The reference for the fused kernels.
#include "operators.h"

#include <ATen/core/List_inl.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "profile.h"

namespace ista {

Tensor tensor_at(const OptionalTensors& list, int64_t index) {
  const OptionalTensor entry = list.get(index);
  return entry.has_value() ? *entry : Tensor();
}

Norm norm_at(const OptionalTensors& norms, int64_t index) {
  TORCH_CHECK(index + 4 <= static_cast<int64_t>(norms.size()), "norms: a batch norm has 4 entries (gamma, beta, "
              "running_mean, running_var), but the list of ", norms.size(), " ends at entry ", index);
  Norm norm{tensor_at(norms, index), tensor_at(norms, index + 1), tensor_at(norms, index + 2),
            tensor_at(norms, index + 3)};
  TORCH_CHECK(norm.gamma.defined() == norm.beta.defined() && norm.running_mean.defined() == norm.running_var.defined(),
              "norms: gamma comes with beta and running_mean with running_var; entry ", index, " has one of a pair");
  return norm;
}

void check_node(TensorList inputs, const Tensor& weights, const std::vector<Pattern>& patterns, TensorList convolutions,
                const OptionalTensors& norms, const OptionalTensors& masks) {
  const int64_t count = inputs.size();
  TORCH_CHECK(count > 0, "ista::node: at least one input");
  TORCH_CHECK(static_cast<int64_t>(patterns.size()) == count && static_cast<int64_t>(masks.size()) == count,
              "ista::node: inputs, kinds and masks must be equally long, got ", count, ", ", patterns.size(), ", ", masks.size());
  TORCH_CHECK(!weights.defined() || (weights.dim() == 1 && weights.size(0) == count), "ista::node: weights must have ",
              count, " entries");
  int64_t convolution_total = 0, norm_total = 0;
  for (int64_t k = 0; k < count; ++k) {
    TORCH_CHECK(inputs[k].dim() == 4, "ista::node: input ", k, " must be [N, C, H, W], got ", inputs[k].sizes());
    const Tensor mask = tensor_at(masks, k);
    TORCH_CHECK(!mask.defined() || (mask.dim() == 1 && mask.size(0) == inputs[k].size(0)), "ista::node: mask ", k,
                " must have one entry per sample");
    convolution_total += patterns[k].convolution_count();
    norm_total += patterns[k].norm_count();
  }
  TORCH_CHECK(static_cast<int64_t>(convolutions.size()) == convolution_total, "ista::node: these branches take ",
              convolution_total, " convolutions, got ", convolutions.size());
  TORCH_CHECK(static_cast<int64_t>(norms.size()) == 4 * norm_total, "ista::node: these branches take ",
              4 * norm_total, " norm entries, got ", norms.size());
  int64_t convolution = 0;
  for (int64_t k = 0; k < count; ++k) {
    check_weights(patterns[k], inputs[k].size(1), convolutions.slice(convolution, patterns[k].convolution_count()));
    convolution += patterns[k].convolution_count();
  }
}

namespace composed {
namespace {

Tensor apply_norm(const Tensor& input, const Norm& norm, NormSettings settings) {
  if (!norm.exists()) return input;
  TORCH_CHECK(!settings.training || input.numel() > input.size(1),
              "batch norm: training needs more than one value per channel, got ", input.sizes());
  return batch_norm(input, norm, settings, /*cudnn=*/true);
}

Tensor concatenated(TensorList inputs) { return inputs.size() == 1 ? inputs[0] : at::cat(inputs, 1); }

// ReLU, depthwise, pointwise, batch norm, as often as there are stages.
Tensor separable(Tensor value, const Pattern& pattern, TensorList convolutions, const OptionalTensors& norms, int64_t first_norm,
                 NormSettings settings) {
  for (int stage = 0; stage < pattern.stages; ++stage) {
    const Tensor filtered = at::conv2d(at::relu(value), convolutions[2 * stage], {}, stage == 0 ? pattern.stride : 1,
                                       pattern.padding(), pattern.dilation, value.size(1));
    value = apply_norm(at::conv2d(filtered, convolutions[2 * stage + 1]), norm_at(norms, first_norm + 4 * stage), settings);
  }
  return value;
}

Tensor branch_output(const Tensor& input, const Pattern& pattern, TensorList convolutions, const OptionalTensors& norms,
                     int64_t first_norm, NormSettings settings) {
  const int64_t kernel = pattern.kernel, stride = pattern.stride, padding = pattern.padding();
  const Norm norm = norm_at(norms, first_norm);
  switch (pattern.kind) {
    case Kind::kMaxPool: return apply_norm(at::max_pool2d(input, kernel, stride, padding), norm, settings);
    case Kind::kAveragePool:
      return apply_norm(at::avg_pool2d(input, kernel, stride, padding, /*ceil_mode=*/false, /*count_include_pad=*/false), norm,
                        settings);
    case Kind::kSeparable: return separable(input, pattern, convolutions, norms, first_norm, settings);
    case Kind::kFactorizedReduce: return factorized_reduce(input, convolutions[0], convolutions[1], norm, settings);
    case Kind::kDense:
      return apply_norm(at::conv2d(at::relu(input), convolutions[0], {}, stride, padding, pattern.dilation), norm, settings);
    default: return apply_norm(input, norm, settings);
  }
}

// What the convolutions of a branch take at least: every weight once per pixel of the output.
double convolution_flops(const Tensor& input, const Pattern& pattern, TensorList convolutions) {
  double weights = 0;
  for (const Tensor& convolution : convolutions) weights += convolution.numel();
  const auto outputs = [&](int64_t size) { return (size - 1) / pattern.stride + 1; };
  return 2.0 * weights * input.size(0) * outputs(input.size(2)) * outputs(input.size(3));
}

}  // namespace

Tensor node(TensorList inputs, const Tensor& weights, const std::vector<Pattern>& patterns, TensorList convolutions,
            const OptionalTensors& norms, const OptionalTensors& masks, NormSettings settings) {
  Tensor sum;
  int64_t convolution = 0, norm = 0;
  for (size_t k = 0; k < inputs.size(); ++k) {
    const Pattern& pattern = patterns[k];
    const TensorList own = convolutions.slice(convolution, pattern.convolution_count());
    // Of the forward pass alone: the backward pass is libtorch's own.
    const std::string name = "composed: " + pattern.name();
    const ProfileScope profile(name, convolution_flops(inputs[k], pattern, own), inputs[k].nbytes());
    Tensor term = branch_output(inputs[k], pattern, own, norms, norm, settings);
    convolution += pattern.convolution_count();
    norm += 4 * pattern.norm_count();
    const Tensor mask = tensor_at(masks, k);
    if (mask.defined()) term = term * mask.to(term.dtype()).view({-1, 1, 1, 1});
    if (weights.defined()) term = term * weights[k];
    TORCH_CHECK(!sum.defined() || sum.sizes() == term.sizes(), "ista::node: branch ", k, " (", pattern.name(), ") makes ",
                term.sizes(), ", the first one ", sum.sizes());
    sum = sum.defined() ? sum + term : term;
  }
  // A lone identity would be returned as its own input, which an operator must not do.
  return sum.is_same(inputs[0]) ? sum.clone() : sum;
}

Tensor relu_conv_norm(TensorList inputs, const Tensor& weight, const Norm& norm, NormSettings settings) {
  return apply_norm(at::conv2d(at::relu(concatenated(inputs)), weight), norm, settings);
}

Tensor factorized_reduce(TensorList inputs, const Tensor& first, const Tensor& second, const Norm& norm,
                         NormSettings settings) {
  const Tensor active = at::relu(concatenated(inputs));
  const int64_t height = active.size(2), width = active.size(3);
  // The second convolution sees the image shifted by one pixel; an odd side is filled up with zeros so that both
  // halves have the same size (even sides, the usual case, need nothing).
  const Tensor padded = at::constant_pad_nd(active, {0, width % 2, 0, height % 2});
  const Tensor shifted = padded.slice(2, 1).slice(3, 1);
  return apply_norm(at::cat({at::conv2d(active, first, {}, 2), at::conv2d(shifted, second, {}, 2)}, 1), norm, settings);
}

Tensor conv_norm(const Tensor& input, const Tensor& weight, const Norm& norm, int64_t stride, int64_t padding,
                 bool relu_before, NormSettings settings) {
  return apply_norm(at::conv2d(relu_before ? at::relu(input) : input, weight, {}, stride, padding), norm, settings);
}

double sgd_step(TensorList parameters, TensorList gradients, TensorList momenta, double learning_rate, double momentum,
                double weight_decay, double max_norm, bool nesterov) {
  at::NoGradGuard no_grad;
  std::vector<Tensor> norms;
  for (const Tensor& gradient : gradients) norms.push_back(at::linalg_vector_norm(gradient, 2));
  const double total = at::linalg_vector_norm(at::stack(norms), 2).item<double>();
  if (!std::isfinite(total)) return total;  // nothing of a diverged step may reach the parameters
  // The small constant is the one of torch.nn.utils.clip_grad_norm_.
  const double scale = max_norm > 0 ? std::min(1.0, max_norm / (total + 1e-6)) : 1.0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor gradient = (gradients[i] * scale).add_(parameters[i], weight_decay);
    momenta[i].mul_(momentum).add_(gradient);
    parameters[i].add_(nesterov ? gradient + momenta[i] * momentum : momenta[i], -learning_rate);
  }
  return total;
}

}  // namespace composed
}  // namespace ista
