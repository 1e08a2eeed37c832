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

// Mean and variance of the images of all processes in place of this one's.
void join_shared_moments(SharedSums& shared, double count, NormParameters parameters, double momentum, std::vector<double>& mean,
                         std::vector<double>& variance) {
  const size_t channels = mean.size();
  std::vector<double> sums(2 * channels + 1);
  for (size_t i = 0; i < channels; ++i) {
    sums[i] = count * mean[i];
    sums[channels + i] = count * (variance[i] + mean[i] * mean[i]);
  }
  sums[2 * channels] = count;
  shared.add_up(sums.data(), sums.size());
  const double all = sums[2 * channels];
  for (size_t i = 0; i < channels; ++i) {
    mean[i] = sums[i] / all;
    variance[i] = std::max(0.0, sums[channels + i] / all - mean[i] * mean[i]);
    if (parameters.running_mean == nullptr) continue;
    float &running_mean = parameters.running_mean[i], &running_variance = parameters.running_variance[i];
    running_mean = static_cast<float>((1 - momentum) * running_mean + momentum * mean[i]);
    running_variance = static_cast<float>((1 - momentum) * running_variance + momentum * variance[i] * all / (all - 1));
  }
}

}  // namespace

std::shared_ptr<SharedSums>& shared_sums() {
  thread_local std::shared_ptr<SharedSums> sums;
  return sums;
}

NormState norm_of_batch(const BatchMoments& moments, int images, int pixels, NormParameters parameters, double momentum,
                        double epsilon) {
  std::vector<double> mean(parameters.channels), variance(parameters.channels);
  const std::shared_ptr<SharedSums> shared = shared_sums();
  NormParameters own = parameters;
  if (shared) own.running_mean = own.running_variance = nullptr;
  vector_code().norms.join_moments({moments.means.data(), moments.squares.data(), images, moments.padded, pixels}, own, momentum,
                                   mean.data(), variance.data());
  if (shared) join_shared_moments(*shared, static_cast<double>(images) * pixels, parameters, momentum, mean, variance);
  NormState state = state_of(mean.data(), variance.data(), parameters, epsilon);
  state.batch_statistics = true;
  state.shared = shared;
  return state;
}

NormState norm_of_running_statistics(NormParameters parameters, double epsilon) {
  const std::vector<double> mean(parameters.running_mean, parameters.running_mean + parameters.channels);
  const std::vector<double> variance(parameters.running_variance, parameters.running_variance + parameters.channels);
  return state_of(mean.data(), variance.data(), parameters, epsilon);
}

RawGradient raw_gradient(const NormState& norm, int channels, float weight, const double* sums, const double* products,
                         double count) {
  // The statistics depend on the images of all processes, and so the gradients of these count.
  std::vector<double> shared;
  if (norm.exists && norm.shared) {
    shared.assign(sums, sums + channels);
    shared.insert(shared.end(), products, products + channels);
    shared.push_back(count);
    norm.shared->add_up(shared.data(), shared.size());
    sums = shared.data();
    products = sums + channels;
    count = shared.back();
  }
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
