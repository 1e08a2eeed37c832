// Batch normalisation in pieces: statistics gathered while an output is written, and the coefficients of what is applied while it is read.
#pragma once

#include <vector>

#include "scratch.h"

namespace ista {

// Sums over the pixels of one image, about a pivot near the mean so that little cancels. All arrays have whole vectors of channels.
class ImageSums {
 public:
  ImageSums(Arena& arena, int channels);
  // The pivot is the image's first pixel.
  void start(const float* first_pixel);
  void add(const float* values, int pixels);  // pixels are `channels` floats apart
  // Mean and sum of squared differences from it, per channel.
  void finish(float* mean, float* squares) const;

 private:
  int channels_, padded_, count_ = 0;
  float *pivot_, *sum_, *square_;
};

// The affine map that a batch norm applies to its input (raw), per channel, and what its gradient needs.
struct NormState {
  AlignedFloats mean, inverse_deviation, scale, shift;
  bool batch_statistics = false;
  bool exists = false;  // false: the identity map, nothing else is set
};

// Mean and squared differences of every image, [images][padded channels] each.
struct BatchMoments {
  BatchMoments(int images, int channels)
      : padded(rounded_up(channels)), means(static_cast<size_t>(images) * padded), squares(means.size()) {}
  float* mean(int image) { return means.data() + static_cast<size_t>(image) * padded; }
  float* square(int image) { return squares.data() + static_cast<size_t>(image) * padded; }
  int padded;
  AlignedFloats means, squares;
};

struct NormParameters {
  const float* gamma;  // null: 1
  const float* beta;   // null: 0
  float* running_mean;
  float* running_variance;
  int channels;
};

// Batch statistics from the images' moments (`pixels` each), in double precision; updates the running statistics.
NormState norm_of_batch(BatchMoments& moments, int images, int pixels, NormParameters parameters, double momentum,
                        double epsilon);
NormState norm_of_running_statistics(NormParameters parameters, double epsilon);

// sum += mask * gradient and product += mask * gradient * normalised raw over the pixels of an image (float partial sums, added
// to doubles). mean/inverse_deviation null: raw itself instead of the normalised value.
void add_gradient_sums(const float* gradient, int gradient_pitch, const float* raw, int raw_pitch, int pixels, int channels,
                       float mask, const float* mean, const float* inverse_deviation, double* sum, double* product);

// d loss / d raw = a * mask * gradient + b * (raw - mean) + c, per channel.
struct RawGradient {
  AlignedFloats a, b, c, mean;
  bool uses_raw = false;
};

// From the sums of (mask * gradient) and (mask * gradient * normalised) over the `count` values of a channel; `weight` is the
// architecture weight behind the batch norm.
RawGradient raw_gradient(const NormState& norm, int channels, float weight, const double* sums, const double* products,
                         double count);

// out[pixel][channel] (whole vectors, `out_pitch` apart) = the above for `pixels` pixels.
void raw_gradient_pixels(const RawGradient& coefficients, float mask, const float* gradient, const float* raw, int pixels,
                         int channels, float* out, int out_pitch);

}  // namespace ista
