// Runs every fused kernel, forward and backward, over sizes that leave incomplete vectors and strips; built with a sanitizer.
#include <torch/csrc/autograd/autograd.h>

#include <cstdio>

#include "../ops/branch.h"

using namespace ista;

namespace {

Tensor random_leaf(at::IntArrayRef sizes) { return at::randn(sizes).set_requires_grad(true); }

Norm make_norm(int64_t channels, bool affine) {
  Norm norm{{}, {}, at::zeros({channels}), at::ones({channels})};
  if (affine) norm.gamma = random_leaf({channels}), norm.beta = random_leaf({channels});
  return norm;
}

// Backward to all leaves; fails on a gradient that is not finite.
bool differentiate(const char* name, const Tensor& output, std::vector<Tensor> leaves) {
  const auto gradients = torch::autograd::grad({output.sum()}, leaves, {}, false, false, true);
  bool finite = true;
  for (const Tensor& gradient : gradients) finite = finite && (!gradient.defined() || gradient.isfinite().all().item<bool>());
  if (!finite) std::printf("%s: a gradient is not finite\n", name);
  return finite;
}

bool run_node(const Pattern& first, const Pattern& second, int64_t channels, int64_t height, int64_t width, int64_t batch,
              bool training, bool affine, bool recompute) {
  std::vector<Tensor> inputs{random_leaf({batch, channels, height, width}), random_leaf({batch, channels, height, width})};
  std::vector<Tensor> convolutions, leaves = inputs;
  OptionalTensors norms, masks;
  const std::vector<Pattern> patterns{first, second};
  for (const Pattern& pattern : patterns) {
    const int64_t kernel = pattern.kernel;
    if (pattern.kind == Kind::kSeparable) {
      for (int i = 0; i < pattern.stages; ++i) {
        convolutions.push_back(random_leaf({channels, 1, kernel, kernel}));
        convolutions.push_back(random_leaf({channels, channels, 1, 1}));
      }
    } else if (pattern.kind == Kind::kFactorizedReduce) {
      convolutions.push_back(random_leaf({channels / 2, channels, 1, 1}));
      convolutions.push_back(random_leaf({channels - channels / 2, channels, 1, 1}));
    } else if (pattern.kind == Kind::kDense) {
      convolutions.push_back(random_leaf({channels, channels, kernel, kernel}));
    }
    for (int i = 0; i < pattern.norm_count(); ++i) {
      const Norm norm = make_norm(channels, affine);
      for (const Tensor& tensor : {norm.gamma, norm.beta, norm.running_mean, norm.running_var}) {
        norms.push_back(tensor.defined() ? OptionalTensor(tensor) : OptionalTensor());
      }
      if (affine) leaves.insert(leaves.end(), {norm.gamma, norm.beta});
    }
    masks.push_back(OptionalTensor(at::ones({batch})));
  }
  const Tensor weights = random_leaf({2});
  leaves.push_back(weights);
  leaves.insert(leaves.end(), convolutions.begin(), convolutions.end());
  const Tensor output = fused::node(inputs, weights, patterns, convolutions, norms, masks, recompute, {training, 0.1, 1e-5});
  return differentiate("node", output, leaves);
}

std::vector<Pattern> patterns_of_stride(int stride) {
  return {{Kind::kMaxPool, 3, 1, stride},
          {Kind::kAveragePool, 3, 1, stride},
          {stride == 1 ? Kind::kIdentity : Kind::kFactorizedReduce, 1, 1, stride},
          {Kind::kSeparable, 3, 1, stride, 2},
          {Kind::kSeparable, 5, 1, stride, 2},
          {Kind::kSeparable, 3, 2, stride, 1},
          {Kind::kSeparable, 5, 2, stride, 1},
          {Kind::kSeparable, 7, 1, stride, 1},
          {Kind::kDense, 1, 1, stride},
          {Kind::kDense, 3, 1, stride}};
}

bool run_dense(int64_t channels, int64_t size, bool training, bool affine) {
  const std::vector<Tensor> inputs{random_leaf({5, channels, size, size}), random_leaf({5, 3, size, size})};
  const NormSettings settings{training, 0.1, 1e-5};
  const Tensor weight = random_leaf({channels, channels + 3, 1, 1}), half = random_leaf({channels, channels + 3, 1, 1});
  const Tensor stem = random_leaf({channels, channels, 3, 3});
  std::vector<Tensor> leaves{inputs[0], inputs[1], weight};
  bool good = differentiate("relu_conv_norm", fused::relu_conv_norm(inputs, weight, make_norm(channels, affine), settings), leaves);
  leaves.push_back(half);
  good = differentiate("factorized_reduce", fused::factorized_reduce(inputs, weight, half, make_norm(2 * channels, affine), settings),
                       leaves) && good;
  return differentiate("conv_norm", fused::conv_norm(inputs[0], stem, make_norm(channels, affine), 2, 1, true, settings),
                       {inputs[0], stem}) && good;
}

}  // namespace

int main(int count, char** words) {
  if (count > 1 && std::string(words[1]) == "--vector-codes") {
    for (const std::string& name : vector_codes()) std::printf("%s\n", name.c_str());
    return 0;
  }
  at::set_num_threads(2);
  bool good = true;
  int runs = 0;
  for (const int stride : {1, 2}) {
    const std::vector<Pattern> patterns = patterns_of_stride(stride);
    for (size_t k = 0; k < patterns.size(); ++k) {
      for (const int64_t channels : {2, 16, 18, 36}) {
        const bool recompute = channels == 18;
        const Pattern& other = patterns[(k + 3) % patterns.size()];
        for (const bool training : {true, false}) {
          good = run_node(patterns[k], other, channels, 5, 9, 3, training, training, recompute) && good;
          good = run_node(patterns[k], patterns[k], channels, 2, 1, 35, training, !training, recompute) && good;
          runs += 2;
        }
      }
    }
  }
  for (const int64_t channels : {1, 8, 13}) {
    for (const int64_t size : {2, 7, 16}) {
      for (const bool training : {true, false}) good = run_dense(channels, size, training, training) && good, ++runs;
    }
  }
  const std::vector<Tensor> parameters{at::ones({3}), at::ones({70000})}, gradients{at::ones({3}), at::ones({70000})};
  const std::vector<Tensor> momenta{at::zeros({3}), at::zeros({70000})};
  fused::sgd_step(parameters, gradients, momenta, 0.1, 0.9, 3e-4, 5.0, false);
  std::printf("%s: %d runs, %s\n", vector_code().name, runs, good ? "all finite" : "FAILED");
  return good ? 0 : 1;
}
