// One stage of a separable convolution on one image: (batch norm,) ReLU, depthwise filter, pointwise convolution; forward and backward.
#pragma once

#include "norm.h"
#include "packed_matrix.h"
#include "planes.h"

namespace ista {

// A stage's weights in the kernels' layouts.
struct StageWeights {
  // depthwise: [channels, 1, kernel, kernel], pointwise: [out_channels, channels, 1, 1], both contiguous.
  StageWeights(Filter filter, const float* depthwise, const float* pointwise, int channels, int out_channels);
  Filter filter;
  int channels, out_channels;
  AlignedFloats depthwise, turned;        // [kernel * kernel][padded channels]; turned by 180 degrees
  PackedMatrix pointwise, pointwise_back; // channels -> out_channels, and back
  // Sizes of the weight gradients' partial sums, and their way back into the tensors' layouts.
  size_t depthwise_size() const { return depthwise.size(); }
  size_t pointwise_size() const { return static_cast<size_t>(channels) * rounded_up(out_channels); }
  void unpack_depthwise(const float* sums, float* gradient) const;
  void unpack_pointwise(const float* sums, float* gradient) const;
};

// The image and everything that belongs to its backward pass.
struct StageGradientOfImage {
  const float* gradient;      // by the stage's normalised output, [pixels][out_channels]
  float mask;                 // of the sample
  const float* raw;           // the stage's output before its batch norm
  float* input_gradient;      // null: not wanted
  bool accumulate;            // add to input_gradient
  float *depthwise_sums, *pointwise_sums;  // null: not wanted
};

// Scratch memory for the images of one chunk. Images are [height, width, channels].
class Stage {
 public:
  Stage(Arena& arena, const StageWeights& weights, int height, int width, bool backward);
  // out: [output height, output width, out_channels], before the batch norm; its moments are added to `sums` (may be null).
  void forward(const float* image, Affine before, float* out, ImageSums* sums);
  void backward(const float* image, Affine before, const RawGradient& coefficients, const StageGradientOfImage& task);

 private:
  // Brings the rows of `active_` that the first `out_rows` rows of the output read; `filled` rows are there.
  void fill_for_outputs(int out_rows, const float* image, Affine before, int& filled);
  const VectorCode& code_;
  const StageWeights& weights_;
  int height_, width_, out_height_, out_width_, pitch_, out_pitch_, strip_rows_;
  Plane active_, spread_;  // relu(input); gradient by the depthwise output, spread out when strided
  float *filtered_, *raw_gradient_, *row_, *zero_row_;
};

}  // namespace ista
