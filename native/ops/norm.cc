// Batch normalisation: sums of an image, statistics of a batch, coefficients of the gradient.
#include "norm.h"

#include <algorithm>

namespace ista {

ImageSums::ImageSums(Arena& arena, int channels) : channels_(channels), padded_(rounded_up(channels)) {
  pivot_ = arena.zeros(padded_);
  sum_ = arena.floats(padded_);
  square_ = arena.floats(padded_);
}

void ImageSums::start(const float* first_pixel) {
  std::copy_n(first_pixel, channels_, pivot_);
  std::fill_n(sum_, padded_, 0.0f);
  std::fill_n(square_, padded_, 0.0f);
  count_ = 0;
}

namespace {

NormState state_of(const double* mean, const double* variance, NormParameters parameters, double epsilon) {
  NormState state;
  const int padded = rounded_up(parameters.channels);
  state.exists = true;
  state.mean = AlignedFloats(padded);
  state.inverse_deviation = AlignedFloats(padded);
  state.scale = AlignedFloats(padded);
  state.shift = AlignedFloats(padded);
  vector_code().norms.coefficients(mean, variance, parameters, epsilon,
                                   {state.mean.data(), state.inverse_deviation.data(), state.scale.data(), state.shift.data()});
  return state;
}

}  // namespace

NormState norm_of_batch(const BatchMoments& moments, int images, int pixels, NormParameters parameters, double momentum,
                        double epsilon) {
  std::vector<double> mean(parameters.channels), variance(parameters.channels);
  vector_code().norms.join_moments({moments.means.data(), moments.squares.data(), images, moments.padded, pixels}, parameters,
                                   momentum, mean.data(), variance.data());
  NormState state = state_of(mean.data(), variance.data(), parameters, epsilon);
  state.batch_statistics = true;
  return state;
}

NormState norm_of_running_statistics(NormParameters parameters, double epsilon) {
  const std::vector<double> mean(parameters.running_mean, parameters.running_mean + parameters.channels);
  const std::vector<double> variance(parameters.running_variance, parameters.running_variance + parameters.channels);
  return state_of(mean.data(), variance.data(), parameters, epsilon);
}

RawGradient raw_gradient(const NormState& norm, int channels, float weight, const double* sums, const double* products,
                         double count) {
  RawGradient result;
  const int padded = rounded_up(channels);
  result.a = AlignedFloats(padded);
  result.b = AlignedFloats(padded);
  result.c = AlignedFloats(padded);
  result.mean = AlignedFloats(padded);
  result.uses_raw = norm.exists && norm.batch_statistics;
  for (int i = 0; i < channels; ++i) {
    const double scale = norm.exists ? static_cast<double>(weight) * norm.scale[i] : weight;
    result.a[i] = static_cast<float>(scale);
    if (!result.uses_raw) continue;
    result.b[i] = static_cast<float>(-scale * norm.inverse_deviation[i] * products[i] / count);
    result.c[i] = static_cast<float>(-scale * sums[i] / count);
    result.mean[i] = norm.mean[i];
  }
  return result;
}

}  // namespace ista
