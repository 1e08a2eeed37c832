// Batch normalisation: moments, coefficients, and the loops over pixels that apply them.
#include "norm.h"

#include <algorithm>
#include <cmath>

#include "blocks.h"

namespace ista {
namespace {

// Independent accumulators of a sum, since an addition takes several cycles.
constexpr int kChains = 2;

Vector total(const Vector (&sums)[kChains]) { return sums[0] + sums[1]; }

// body(index, integral_constant of the accumulator to add to).
template <class Body>
__attribute__((always_inline)) inline void for_chains(int count, const Body& body) {
  int i = 0;
  for (; i + kChains <= count; i += kChains) {
    unroll<kChains>([&](auto chain) { body(i + chain, chain); });
  }
  for (; i < count; ++i) body(i, std::integral_constant<int, 0>{});
}

// sums[lane] += factor * values[lane], in double precision.
void add_to_doubles(double* sums, Vector values, Vector factors, int lanes) {
  for (int lane = 0; lane < lanes; ++lane) sums[lane] += static_cast<double>(factors[lane]) * values[lane];
}

}  // namespace

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

ISTA_IN_PLACE
void ImageSums::add(const float* values, int pixels) {
  for_pixel_blocks(pixels, channels_, [&](int first, int count, int channel, auto lanes) {
    constexpr int V = decltype(lanes)::kVectors;
    const float* value = values + static_cast<ptrdiff_t>(first) * channels_ + channel;
    const ChannelValues<decltype(lanes)> pivot(pivot_ + channel);
    Vector sum[V][kChains] = {}, square[V][kChains] = {};
    for_chains(count, [&](int p, auto chain) {
      const float* from = value + static_cast<ptrdiff_t>(p) * channels_;
      unroll<V>([&](auto v) {
        const Vector distance = lanes.read(from + v * kLanes) - pivot.at[v];
        sum[v][chain] += distance;
        square[v][chain] += distance * distance;
      });
    });
    unroll<V>([&](auto v) {
      const int at = channel + v * kLanes;
      store(sum_ + at, load(sum_ + at) + total(sum[v]));
      store(square_ + at, load(square_ + at) + total(square[v]));
    });
  });
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

ISTA_IN_PLACE
void add_gradient_sums(const float* gradient, int gradient_pitch, const float* raw, int raw_pitch, int pixels, int channels,
                       float mask, const float* mean, const float* inverse_deviation, double* sum, double* product) {
  if (mask == 0.0f) return;
  for_pixel_blocks(pixels, channels, [&](int first, int count, int channel, auto lanes) {
    constexpr int V = decltype(lanes)::kVectors;
    const float* g = gradient + static_cast<ptrdiff_t>(first) * gradient_pitch + channel;
    const float* r = raw + static_cast<ptrdiff_t>(first) * raw_pitch + channel;
    Vector center[V], sums[V][kChains] = {}, products[V][kChains] = {};
    unroll<V>([&](auto v) { center[v] = mean ? load(mean + channel + v * kLanes) : Vector{}; });
    for_chains(count, [&](int p, auto chain) {
      const float *g_pixel = g + static_cast<ptrdiff_t>(p) * gradient_pitch, *r_pixel = r + static_cast<ptrdiff_t>(p) * raw_pitch;
      prefetch(g_pixel, gradient_pitch);
      prefetch(r_pixel, raw_pitch);
      unroll<V>([&](auto v) {
        const Vector difference = lanes.read(g_pixel + v * kLanes);
        sums[v][chain] += difference;
        products[v][chain] += difference * (lanes.read(r_pixel + v * kLanes) - center[v]);
      });
    });
    unroll<V>([&](auto v) {
      const int at = channel + v * kLanes, used = std::min(kLanes, channels - at);
      add_to_doubles(sum + at, total(sums[v]), splat(mask), used);
      add_to_doubles(product + at, total(products[v]), inverse_deviation ? load(inverse_deviation + at) * mask : splat(mask), used);
    });
  });
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

ISTA_IN_PLACE
void raw_gradient_pixels(const RawGradient& coefficients, float mask, const float* gradient, const float* raw, int pixels,
                         int channels, float* out, int out_pitch) {
  for_pixel_blocks(pixels, channels, [&](int first, int count, int channel, auto lanes) {
    constexpr int V = decltype(lanes)::kVectors;
    ChannelValues<decltype(lanes)> a(coefficients.a.data() + channel);
    const ChannelValues<decltype(lanes)> b(coefficients.b.data() + channel), c(coefficients.c.data() + channel),
        mean(coefficients.mean.data() + channel);
    unroll<V>([&](auto v) { a.at[v] *= mask; });
    const ptrdiff_t offset = static_cast<ptrdiff_t>(first) * channels + channel;
    const float *g = gradient + offset, *r = raw + offset;
    float* to = out + static_cast<ptrdiff_t>(first) * out_pitch + channel;
    if (!coefficients.uses_raw) {
      for (int p = 0; p < count; ++p, g += channels, to += out_pitch) {
        unroll<V>([&](auto v) { store(to + v * kLanes, a.at[v] * lanes.read(g + v * kLanes)); });
      }
      return;
    }
    for (int p = 0; p < count; ++p, g += channels, r += channels, to += out_pitch) {
      prefetch(g, channels);
      prefetch(r, channels);
      unroll<V>([&](auto v) {
        const Vector distance = lanes.read(r + v * kLanes) - mean.at[v];
        store(to + v * kLanes, a.at[v] * lanes.read(g + v * kLanes) + (b.at[v] * distance + c.at[v]));
      });
    }
  });
}

}  // namespace ista
