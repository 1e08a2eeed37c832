// The operators of namespace `ista`: what they take, and their forms as compositions of ATen operators.
//
// Build: g++ -O3 -std=c++17 -fPIC -fopenmp native/ops/*.cc, and native/kernels/*.cc without libtorch, once with each file of flags for
// the machine's architecture; linked with libtorch, torch_cpu and c10.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <utility>
#include <vector>

#include "pattern.h"

namespace ista {

using at::IntArrayRef;
using at::Tensor;
using at::TensorList;
// libtorch's own optional became std::optional during the 2.x series; this is whichever the headers at hand use.
using OptionalTensor = decltype(std::declval<const c10::IValue&>().toOptional<Tensor>());
using OptionalTensors = c10::List<OptionalTensor>;

// One batch norm: gamma and beta undefined = not affine; running_mean undefined = no batch norm there at all.
struct Norm {
  Tensor gamma, beta, running_mean, running_var;
  bool exists() const { return running_mean.defined(); }
};

struct NormSettings {
  bool training;
  double momentum;
  double epsilon;
};

// The norm whose four entries begin at `index`.
Norm norm_at(const OptionalTensors& norms, int64_t index);
Tensor tensor_at(const OptionalTensors& list, int64_t index);
// Throws unless the arguments of `node` fit each other.
void check_node(TensorList inputs, const Tensor& weights, const std::vector<Pattern>& patterns, TensorList convolutions,
                const OptionalTensors& norms, const OptionalTensors& masks);

// The operators as compositions of ATen's, for every device and type. Arguments as in the schemas of register.cc.
namespace composed {
Tensor node(TensorList inputs, const Tensor& weights, const std::vector<Pattern>& patterns, TensorList convolutions,
            const OptionalTensors& norms, const OptionalTensors& masks, NormSettings settings);
Tensor relu_conv_norm(TensorList inputs, const Tensor& weight, const Norm& norm, NormSettings settings);
Tensor factorized_reduce(TensorList inputs, const Tensor& first, const Tensor& second, const Norm& norm,
                         NormSettings settings);
Tensor conv_norm(const Tensor& input, const Tensor& weight, const Norm& norm, int64_t stride, int64_t padding,
                 bool relu_before, NormSettings settings);
double sgd_step(TensorList parameters, TensorList gradients, TensorList momenta, double learning_rate, double momentum,
                double weight_decay, double max_norm, bool nesterov);
// libtorch's own, or where processes share the batch (see shared_sums.h) that of all of it. The norm has running statistics.
Tensor batch_norm(const Tensor& input, const Norm& norm, NormSettings settings, bool cudnn);
}  // namespace composed

}  // namespace ista
