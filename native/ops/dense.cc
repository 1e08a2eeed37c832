// Dense convolutions: gather a strip of pixels, multiply; backward multiplies into the images of the input gradients.
#include "dense.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace ista {

namespace {
// Floats of a strip of gathered pixels, and the fewest pixels worth a product.
constexpr int kStripFloats = 6144, kFewestPixels = 24;
// Pixels for which one input after the other is read or written: few, so that the processor sees a stream of memory per input that
// goes on and on, rather than one after the other that start anew.
constexpr int kPixelsPerTurn = 48;
}  // namespace

int DenseShape::depth() const {
  return static_cast<int>(taps.size()) * std::accumulate(input_channels.begin(), input_channels.end(), 0);
}

void DenseWeights::set_matrix(const std::vector<float>& matrix, Pass pass) {
  if (pass == Pass::kForward) {
    forward = PackedMatrix(matrix.data(), depth(), out_channels, out_channels, 1);
    return;
  }
  const float* rows = matrix.data();
  for (size_t tap = 0; tap < taps.size(); ++tap) {
    for (const int channels : input_channels) {
      back.emplace_back(rows, out_channels, channels, 1, out_channels);
      rows += static_cast<ptrdiff_t>(channels) * out_channels;
    }
  }
}

Dense::Dense(Arena& arena, const DenseWeights& weights, Pass)
    : code_(vector_code()),
      weights_(weights),
      // One vector more than needed: sources are written with whole vectors, each over the end of the one before.
      pitch_(rounded_up(weights.depth()) + code_.lanes),
      out_pitch_(rounded_up(weights.out_channels)),
      pointwise_(weights.taps.size() == 1 && weights.taps[0].dy == 0 && weights.taps[0].dx == 0 && weights.stride == 1),
      turn_(pointwise_ ? kPixelsPerTurn : weights.out_width),
      strip_(std::min(weights.pixels(), std::max(kFewestPixels, kStripFloats / pitch_))) {
  // Whole rows if they fit, since the sources of a row's pixels are apart from those of the next.
  if (strip_ > turn_) strip_ = strip_ / turn_ * turn_;
  if (!pointwise_) columns_ = arena.zeros(static_cast<size_t>(strip_) * pitch_);
  raw_gradient_ = arena.floats(static_cast<size_t>(strip_) * out_pitch_);
}

template <class Inside, class Outside>
void Dense::for_runs(Tap tap, int first_pixel, int pixels, const Inside& inside, const Outside& outside) const {
  if (pointwise_) return inside(0, pixels, first_pixel);
  const int stride = weights_.stride, out_width = weights_.out_width, width = weights_.width;
  // Columns whose source lies in the image.
  const int begin = tap.dx < 0 ? (-tap.dx + stride - 1) / stride : 0;
  const int end = tap.dx < width ? (width - 1 - tap.dx) / stride + 1 : 0;
  for (int p = 0; p < pixels;) {
    const int y = (first_pixel + p) / out_width, x = (first_pixel + p) % out_width;
    const int count = std::min(out_width - x, pixels - p), source_y = y * stride + tap.dy;
    const bool row_inside = source_y >= 0 && source_y < weights_.height;
    const int left = row_inside ? std::clamp(begin - x, 0, count) : count, right = std::clamp(end - x, left, count);
    if (left > 0) outside(p, left);
    if (right > left) inside(p + left, right - left, source_y * width + (x + left) * stride + tap.dx);
    if (right < count) outside(p + right, count - right);
    p += count;
  }
}

const std::vector<ProductSource>& Dense::sources(const std::vector<const float*>& images, int first_pixel, int pixels) {
  sources_.clear();
  if (pointwise_) {
    for (size_t i = 0; i < images.size(); ++i) {
      const int channels = weights_.input_channels[i];
      sources_.push_back({images[i] + static_cast<ptrdiff_t>(first_pixel) * channels, channels, channels});
    }
    return sources_;
  }
  for (int first = 0; first < pixels; first += turn_) {
    gather(images, first_pixel + first, std::min(turn_, pixels - first), columns_ + static_cast<ptrdiff_t>(first) * pitch_);
  }
  sources_.push_back({columns_, pitch_, weights_.depth()});
  return sources_;
}

void Dense::gather(const std::vector<const float*>& images, int first_pixel, int pixels, float* columns) {
  // relu(x) = max(floor, x) with the floor at 0, or below everything.
  const float floor = weights_.relu ? 0.0f : -std::numeric_limits<float>::infinity();
  for (const Tap tap : weights_.taps) {
    for (size_t i = 0; i < images.size(); ++i) {
      const int channels = weights_.input_channels[i], step = weights_.stride * channels;
      for_runs(
          tap, first_pixel, pixels,
          [&](int run, int length, int source) {
            const float* image = images[i] + static_cast<ptrdiff_t>(source) * channels;
            float* target = columns + static_cast<ptrdiff_t>(run) * pitch_;
            code_.pixels.gather(image, step, target, pitch_, length, channels, floor);
          },
          [&](int run, int length) {
            for (int p = run; p < run + length; ++p) std::fill_n(columns + static_cast<ptrdiff_t>(p) * pitch_, channels, 0.0f);
          });
      columns += channels;
    }
  }
}

void Dense::forward(const std::vector<const float*>& images, float* out, ImageSums* sums, Affine after) {
  const int out_channels = weights_.out_channels, total = weights_.pixels();
  for (int first = 0; first < total; first += strip_) {
    const int pixels = std::min(strip_, total - first);
    float* strip = out + static_cast<ptrdiff_t>(first) * out_channels;
    const ProductTarget target{strip, {pixels, out_channels, pixels * out_channels}, out_channels};
    const std::vector<ProductSource>& left = sources(images, first, pixels);
    code_.products.multiply(left.data(), left.size(), pointwise_ && weights_.relu, pixels, weights_.forward.packed(), target);
    if (sums != nullptr) {
      if (first == 0) sums->start(strip);
      sums->add(strip, pixels);
    }
    if (after.scale != nullptr) code_.pixels.add_normalised(strip, out_channels, after, 1.0f, pixels, out_channels, false, strip);
  }
}

void Dense::store_input_gradients(const std::vector<const float*>& images, int first_pixel, int pixels,
                                  const float* raw_gradient, const DenseGradientOfImage& task) {
  const PackedMatrix* back = weights_.back.data();
  for (const Tap tap : weights_.taps) {
    for (size_t i = 0; i < images.size(); ++i, ++back) {
      if (task.input_gradients[i] == nullptr) continue;
      const int channels = weights_.input_channels[i], step = weights_.stride * channels;
      for_runs(
          tap, first_pixel, pixels,
          [&](int run, int length, int source) {
            const ptrdiff_t offset = static_cast<ptrdiff_t>(source) * channels;
            multiply(raw_gradient + static_cast<ptrdiff_t>(run) * out_pitch_, length, out_pitch_, back->packed(),
                     {task.input_gradients[i] + offset, {length, step, length * step}, channels,
                      weights_.relu ? images[i] + offset : nullptr, !pointwise_ || task.accumulate[i]});
          },
          [](int, int) {});
    }
  }
}

void Dense::clear_rows(int out_row, const DenseGradientOfImage& task, int& cleared) const {
  int reach = 0;
  for (const Tap tap : weights_.taps) reach = std::max(reach, tap.dy + 1);
  const int height = weights_.height;
  const int end = out_row + 1 == weights_.out_height ? height : std::min(height, out_row * weights_.stride + reach);
  if (end <= cleared) return;
  for (size_t i = 0; i < task.input_gradients.size(); ++i) {
    if (task.input_gradients[i] == nullptr || task.accumulate[i]) continue;
    const ptrdiff_t row = static_cast<ptrdiff_t>(weights_.width) * weights_.input_channels[i];
    std::fill_n(task.input_gradients[i] + cleared * row, (end - cleared) * row, 0.0f);
  }
  cleared = end;
}

void Dense::backward(const std::vector<const float*>& images, const RawGradient& coefficients, float mask,
                     const DenseGradientOfImage& task) {
  const int out_channels = weights_.out_channels, total = weights_.pixels();
  const bool any_input = std::any_of(task.input_gradients.begin(), task.input_gradients.end(), [](float* out) { return out != nullptr; });
  int cleared_rows = 0;
  for (int first = 0; first < total; first += strip_) {
    const int pixels = std::min(strip_, total - first);
    const ptrdiff_t offset = static_cast<ptrdiff_t>(first) * out_channels;
    code_.norms.raw_gradient(coefficients.coefficients(), mask, task.gradient + offset, task.raw + offset, pixels, out_channels,
                             raw_gradient_, out_pitch_);
    if (task.weight_sums != nullptr) {
      float* sums = task.weight_sums;
      for (const ProductSource source : sources(images, first, pixels)) {
        code_.products.add_outer_products(source, pointwise_ && weights_.relu, raw_gradient_, out_pitch_, out_pitch_, {1, pixels}, sums);
        sums += static_cast<ptrdiff_t>(source.channels) * out_pitch_;
      }
    }
    for (int turn = 0; any_input && turn < pixels; turn += turn_) {
      const int count = std::min(turn_, pixels - turn);
      if (!pointwise_) clear_rows((first + turn + count - 1) / weights_.out_width, task, cleared_rows);
      store_input_gradients(images, first + turn, count,
                            raw_gradient_ + static_cast<ptrdiff_t>(turn) * out_pitch_, task);
    }
  }
}

}  // namespace ista
