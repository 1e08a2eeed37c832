// Dense convolutions with few taps (1x1 over concatenated inputs, factorised reduction, 3x3 stems) on one image, as products with gathered pixels.
#pragma once

#include <vector>

#include "norm.h"
#include "packed_matrix.h"

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

  int pixels() const { return out_height * out_width; }
  // Values that go into one output value, of all taps, inputs and channels.
  int depth() const;
  // Of the partial sums of the weights' gradients, [depth][padded out channels].
  size_t gradient_size() const { return static_cast<size_t>(depth()) * rounded_up(out_channels); }
};

enum class Pass { kForward, kBackward };

struct DenseWeights : DenseShape {
  PackedMatrix forward;            // [tap, input, channel] -> out channel
  std::vector<PackedMatrix> back;  // [tap, input]: out channel -> channel
  // matrix: [depth][out_channels]. Only what the pass needs is set.
  void set_matrix(const std::vector<float>& matrix, Pass pass);
};

struct DenseGradientOfImage {
  const float* gradient;               // by the normalised output, [pixels][out_channels]
  const float* raw;                    // what the coefficients' `raw` stands for
  std::vector<float*> input_gradients;  // null entries: not wanted
  std::vector<bool> accumulate;        // per input: add to its gradient
  float* weight_sums;                  // [depth][padded out channels]; null: not wanted
};

// Scratch memory for the images of one chunk. Images are [height, width, channels].
class Dense {
 public:
  using Weights = DenseWeights;
  // Only what is of the pass may be called.
  Dense(Arena& arena, const DenseWeights& weights, Pass pass);
  // out: [pixels][out_channels]. Moments go to `sums` (null: none); `after` is applied in place (when it needs no statistics).
  void forward(const std::vector<const float*>& images, float* out, ImageSums* sums, Affine after);
  void backward(const std::vector<const float*>& images, const RawGradient& coefficients, float mask,
                const DenseGradientOfImage& task);

 private:
  // Splits the `pixels` output pixels from first_pixel on into runs whose sources under the tap lie in one row of the image, `stride`
  // pixels apart: inside(first of the run, counted from first_pixel, length, pixel of the first source), outside(first, length).
  template <class Inside, class Outside>
  void for_runs(Tap tap, int first_pixel, int pixels, const Inside& inside, const Outside& outside) const;
  // The strip's left side of the product: the images themselves where the kernel is 1x1, before the ReLU; otherwise gathered and after it.
  const std::vector<ProductSource>& sources(const std::vector<const float*>& images, int first_pixel, int pixels);
  // Zeroes the input gradients that are not added to, up to the last row that output row `out_row` reaches; `cleared` rows are done.
  void clear_rows(int out_row, const DenseGradientOfImage& task, int& cleared) const;
  void gather(const std::vector<const float*>& images, int first_pixel, int pixels, float* columns);
  void store_input_gradients(const std::vector<const float*>& images, int first_pixel, int pixels, const float* raw_gradient,
                             const DenseGradientOfImage& task);
  const VectorCode& code_;
  const DenseWeights& weights_;
  int pitch_, out_pitch_;
  bool pointwise_;  // every output pixel has one source, and every input pixel is one
  int turn_, strip_;  // pixels for which one input after the other is read or written; pixels per product
  float *columns_ = nullptr, *raw_gradient_;
  std::vector<ProductSource> sources_;
};

}  // namespace ista
