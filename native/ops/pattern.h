// What a branch of a node computes: a short chain of layers, known by its kind and a few settings.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/List.h>

#include <string>
#include <vector>

namespace ista {

// Every chain may end in a batch norm; `separable` has one in each of its stages.
enum class Kind {
  kIdentity,
  kMaxPool,
  kAveragePool,       // padding is not counted
  kSeparable,         // stages of ReLU, depthwise convolution, 1x1 convolution, batch norm; the stride is in the first
  kFactorizedReduce,  // ReLU, two 1x1 convolutions of stride 2 that see the image one pixel apart, side by side
  kDense,             // ReLU, convolution over all channels
};

struct Pattern {
  Kind kind = Kind::kIdentity;
  int kernel = 1, dilation = 1, stride = 1, stages = 1;

  // How many tensors of `convolutions`, and how many batch norms (4 entries of `norms` each), it takes.
  int64_t convolution_count() const;
  int64_t norm_count() const { return kind == Kind::kSeparable ? stages : 1; }
  // For odd kernels this keeps the size where the stride is 1.
  int64_t padding() const { return static_cast<int64_t>(kernel - 1) * dilation / 2; }
  // "separable 5x5 dilation 2", for messages and the profile.
  std::string name() const;
};

// Throws unless there is such a kind and the settings mean something for it.
Pattern make_pattern(const std::string& kind, int64_t kernel, int64_t dilation, int64_t stride, int64_t stages);
// settings: kernel, dilation, stride, stages of every branch.
std::vector<Pattern> make_patterns(const c10::List<std::string>& kinds, at::IntArrayRef settings);

// Throws unless the weights have the shapes that the pattern takes for an input of so many channels.
void check_weights(const Pattern& pattern, int64_t channels, at::TensorList convolutions);

}  // namespace ista
