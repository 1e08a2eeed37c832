// Dense convolutions with few taps (1x1 over concatenated inputs, factorised reduction, 3x3 stems) on one image, as products with gathered pixels.
#pragma once

#include <vector>

#include "pixels.h"
#include "pointwise.h"

namespace ista {

struct Tap {
  int dy, dx;  // where the tap reads, from (stride * y, stride * x)
};

// A convolution over the channel-concatenation of several inputs of the same height and width.
struct DenseShape {
  std::vector<int> input_channels;
  std::vector<Tap> taps;
  int stride, out_channels;
  bool relu;
  int height, width, out_height, out_width;
  // One weight tensor whose kernel has all the taps, or (factorised reduction) one tensor per tap, each with its own outputs.
  bool tensor_per_tap;
};

struct DenseWeights : DenseShape {
  PackedMatrix forward, back;  // [tap, input, channel] -> out channel, and back
  int depth() const { return forward.depth(); }
  int pixels() const { return out_height * out_width; }
  size_t gradient_size() const { return static_cast<size_t>(depth()) * rounded_up(out_channels); }
  // matrix: [depth][out_channels].
  void set_matrix(const std::vector<float>& matrix);
};

struct DenseGradientOfImage {
  const float* gradient;               // by the normalised output, [pixels][out_channels]
  const float* raw;                    // what the coefficients' `raw` stands for
  std::vector<float*> input_gradients;  // null entries: not wanted
  float* weight_sums;                  // [depth][padded out channels]; null: not wanted
};

// Scratch memory for the images of one chunk. Images are [height, width, channels].
class Dense {
 public:
  Dense(Arena& arena, const DenseWeights& weights);
  // out: [pixels][out_channels]. Moments go to `sums` (null: none); `after` is applied in place (when it needs no statistics).
  void forward(const std::vector<const float*>& images, float* out, ImageSums* sums, Affine after);
  // Input gradients are overwritten.
  void backward(const std::vector<const float*>& images, const RawGradient& coefficients, float mask,
                const DenseGradientOfImage& task);

 private:
  void gather(const std::vector<const float*>& images, int first_pixel, int pixels);
  void scatter(const std::vector<const float*>& images, int first_pixel, int pixels, const std::vector<float*>& out);
  // Offset in pixels of what a tap reads for an output pixel; negative: outside.
  int source(Tap tap, int pixel) const;
  const DenseWeights& weights_;
  int pitch_, out_pitch_, strip_;
  bool overlapping_;  // an input pixel may get several contributions, or none
  float *columns_, *raw_gradient_;
};

}  // namespace ista
