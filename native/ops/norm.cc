// Batch normalisation: moments, coefficients, and the loops over pixels that apply them.
#include "norm.h"

#include <algorithm>
#include <cmath>

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

void ImageSums::add(const float* values, int pixels) {
  for (int channel = 0; channel < channels_; channel += kLanes) {
    const int left = channels_ - channel;
    const Vector pivot = load(pivot_ + channel);
    // Two accumulators each, since an addition takes several cycles.
    Vector sum[2] = {load(sum_ + channel), {}}, square[2] = {load(square_ + channel), {}};
    const float* value = values + channel;
    const auto take = [&](auto which, Vector read) {
      const Vector distance = read - pivot;
      sum[which] += distance;
      square[which] += distance * distance;
    };
    int p = 0;
    if (left >= kLanes) {
      for (; p + 2 <= pixels; p += 2, value += 2 * channels_) {
        take(std::integral_constant<int, 0>{}, load(value));
        take(std::integral_constant<int, 1>{}, load(value + channels_));
      }
    }
    for (; p < pixels; ++p, value += channels_) take(std::integral_constant<int, 0>{}, load_channels(value, left));
    store(sum_ + channel, sum[0] + sum[1]);
    store(square_ + channel, square[0] + square[1]);
  }
  count_ += pixels;
}

void ImageSums::finish(float* mean, float* squares) const {
  const float inverse = 1.0f / static_cast<float>(count_);
  for (int i = 0; i < channels_; ++i) {
    mean[i] = pivot_[i] + sum_[i] * inverse;
    squares[i] = std::max(0.0f, square_[i] - sum_[i] * sum_[i] * inverse);
  }
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
  for (int i = 0; i < parameters.channels; ++i) {
    const double inverse_deviation = 1.0 / std::sqrt(variance[i] + epsilon);
    const double scale = inverse_deviation * (parameters.gamma ? parameters.gamma[i] : 1.0f);
    state.mean[i] = static_cast<float>(mean[i]);
    state.inverse_deviation[i] = static_cast<float>(inverse_deviation);
    state.scale[i] = static_cast<float>(scale);
    state.shift[i] = static_cast<float>((parameters.beta ? parameters.beta[i] : 0.0f) - mean[i] * scale);
  }
  return state;
}

}  // namespace

NormState norm_of_batch(BatchMoments& moments, int images, int pixels, NormParameters parameters, double momentum,
                        double epsilon) {
  const int channels = parameters.channels;
  std::vector<double> mean(channels), squares(channels);
  for (int image = 0; image < images; ++image) {
    const float *image_mean = moments.mean(image), *image_squares = moments.square(image);
    for (int i = 0; i < channels; ++i) {
      // Chan, Golub and LeVeque 1979: join the moments of `image` images with those of one more.
      const double distance = image_mean[i] - mean[i];
      mean[i] += distance / (image + 1);
      squares[i] += image_squares[i] + distance * distance * pixels * image / (image + 1);
    }
  }
  const double count = static_cast<double>(images) * pixels;
  for (int i = 0; i < channels; ++i) {
    if (parameters.running_mean != nullptr) {
      float &running_mean = parameters.running_mean[i], &running_variance = parameters.running_variance[i];
      running_mean = static_cast<float>((1 - momentum) * running_mean + momentum * mean[i]);
      running_variance = static_cast<float>((1 - momentum) * running_variance + momentum * squares[i] / (count - 1));
    }
    squares[i] /= count;
  }
  NormState state = state_of(mean.data(), squares.data(), parameters, epsilon);
  state.batch_statistics = true;
  return state;
}

NormState norm_of_running_statistics(NormParameters parameters, double epsilon) {
  const std::vector<double> mean(parameters.running_mean, parameters.running_mean + parameters.channels);
  const std::vector<double> variance(parameters.running_variance, parameters.running_variance + parameters.channels);
  return state_of(mean.data(), variance.data(), parameters, epsilon);
}

void add_gradient_sums(const float* gradient, int gradient_pitch, const float* raw, int raw_pitch, int pixels, int channels,
                       float mask, const float* mean, const float* inverse_deviation, double* sum, double* product) {
  if (mask == 0.0f) return;
  for (int channel = 0; channel < channels; channel += kLanes) {
    const int left = channels - channel;
    const Vector center = mean ? load(mean + channel) : Vector{};
    Vector sums[2] = {}, products[2] = {};
    const float *g = gradient + channel, *r = raw + channel;
    const auto take = [&](auto which, Vector difference, Vector value) {
      sums[which] += difference;
      products[which] += difference * (value - center);
    };
    int p = 0;
    if (left >= kLanes) {
      for (; p + 2 <= pixels; p += 2, g += 2 * gradient_pitch, r += 2 * raw_pitch) {
        take(std::integral_constant<int, 0>{}, load(g), load(r));
        take(std::integral_constant<int, 1>{}, load(g + gradient_pitch), load(r + raw_pitch));
      }
    }
    for (; p < pixels; ++p, g += gradient_pitch, r += raw_pitch) {
      take(std::integral_constant<int, 0>{}, load_channels(g, left), load_channels(r, left));
    }
    const Vector total = sums[0] + sums[1], total_product = products[0] + products[1];
    for (int lane = 0; lane < std::min(left, kLanes); ++lane) {
      sum[channel + lane] += static_cast<double>(mask) * total[lane];
      product[channel + lane] += static_cast<double>(mask) * total_product[lane] *
                                 (inverse_deviation ? inverse_deviation[channel + lane] : 1.0f);
    }
  }
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

void raw_gradient_pixels(const RawGradient& coefficients, float mask, const float* gradient, const float* raw, int pixels,
                         int channels, float* out, int out_pitch) {
  for (int channel = 0; channel < channels; channel += kLanes) {
    const int left = channels - channel;
    const Vector a = load(coefficients.a.data() + channel) * mask, b = load(coefficients.b.data() + channel);
    const Vector c = load(coefficients.c.data() + channel), mean = load(coefficients.mean.data() + channel);
    const float *g = gradient + channel, *r = raw + channel;
    float* to = out + channel;
    if (!coefficients.uses_raw) {
      for (int p = 0; p < pixels; ++p, g += channels, to += out_pitch) store(to, a * load_channels(g, left));
    } else if (left >= kLanes) {
      for (int p = 0; p < pixels; ++p, g += channels, r += channels, to += out_pitch) {
        store(to, a * load(g) + (b * (load(r) - mean) + c));
      }
    } else {
      for (int p = 0; p < pixels; ++p, g += channels, r += channels, to += out_pitch) {
        store(to, a * load_first(g, left) + (b * (load_first(r, left) - mean) + c));
      }
    }
  }
}

}  // namespace ista
