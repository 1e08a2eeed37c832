// Batch normalisation in pieces: statistics gathered while an output is written, and the coefficients of what is applied while it is read.
#pragma once

#include "scratch.h"
#include "shared_sums.h"

namespace ista {

// Sums over the pixels of one image, about a pivot near the mean so that little cancels. All arrays have whole vectors of channels.
class ImageSums {
 public:
  ImageSums(Arena& arena, int channels);
  // The pivot is the image's first pixel.
  void start(const float* first_pixel);
  void add(const float* values, int pixels) {  // pixels are `channels` floats apart
    vector_code().norms.add_moments(values, pixels, channels_, pivot_, sum_, square_);
    count_ += pixels;
  }
  // Mean and sum of squared differences from it, per channel.
  void finish(float* mean, float* squares) const {
    vector_code().norms.finish_moments(count_, channels_, pivot_, sum_, square_, mean, squares);
  }

 private:
  int channels_, padded_, count_ = 0;
  float *pivot_, *sum_, *square_;
};

// The affine map that a batch norm applies to its input (raw), per channel, and what its gradient needs.
struct NormState {
  AlignedFloats mean, inverse_deviation, scale, shift;
  bool batch_statistics = false;
  bool exists = false;  // false: the identity map, nothing else is set
  std::shared_ptr<SharedSums> shared;  // of those whose images the statistics are of; null: this process's alone
  Affine affine() const { return exists ? Affine{scale.data(), shift.data()} : Affine{}; }
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

// Batch statistics from the images' moments (`pixels` each), in double precision; updates the running statistics.
NormState norm_of_batch(const BatchMoments& moments, int images, int pixels, NormParameters parameters, double momentum,
                        double epsilon);
NormState norm_of_running_statistics(NormParameters parameters, double epsilon);

// The coefficients of d loss / d raw.
struct RawGradient {
  AlignedFloats a, b, c, mean;
  bool uses_raw = false;
  RawGradientCoefficients coefficients() const { return {a.data(), b.data(), c.data(), mean.data(), uses_raw}; }
};

// From the sums of (mask * gradient) and (mask * gradient * normalised) over the `count` values of a channel; `weight` is the
// architecture weight behind the batch norm.
RawGradient raw_gradient(const NormState& norm, int channels, float weight, const double* sums, const double* products,
                         double count);

}  // namespace ista
