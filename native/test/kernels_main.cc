// Sums of what the kernels compute on one image, for shapes that leave incomplete vectors and strips: for processors, real or emulated, on
// which there is no libtorch. One line a result; other vector code must give the same but for rounding.
#include <cmath>
#include <cstdio>
#include <functional>

#include "../ops/direct.h"
#include "../ops/pool.h"
#include "../ops/separable.h"

using namespace ista;

namespace {

uint32_t state = 1;
float draw() {
  state = state * 1664525u + 1013904223u;
  return static_cast<float>(state >> 8) / (1 << 23) - 1;
}
AlignedFloats random(size_t count) {
  AlignedFloats values(count);
  for (size_t i = 0; i < count; ++i) values[i] = draw();
  return values;
}

// The mean of the absolute values, and a sum in which every place counts otherwise.
void print(const char* what, int a, int b, int c, const float* values, size_t count) {
  double size = 0, sum = 0;
  for (size_t i = 0; i < count; ++i) size += std::fabs(values[i]), sum += std::sin(1.0 + i) * values[i];
  std::printf("%s %d %d %d: %.8g %.8g\n", what, a, b, c, size / count, sum / std::sqrt(count));
}

// A norm of batch statistics from what `add` adds, and the gradient through it.
struct Seen {
  NormState norm;
  RawGradient gradient;
};
Seen seen(int channels, int pixels, const std::function<void(ImageSums&)>& add) {
  Arena arena;
  ImageSums sums(arena, channels);
  add(sums);
  BatchMoments moments(1, channels);
  sums.finish(moments.mean(0), moments.square(0));
  AlignedFloats mean(channels), variance(channels), gamma = random(channels), beta = random(channels);
  Seen result;
  result.norm = norm_of_batch(moments, 1, pixels, {gamma.data(), beta.data(), mean.data(), variance.data(), channels}, 0.1, 1e-5);
  print("running", channels, pixels, 0, variance.data(), channels);
  std::vector<double> sum(channels, 0.25), product(channels, -0.5);
  result.gradient = raw_gradient(result.norm, channels, 0.75f, sum.data(), product.data(), pixels);
  return result;
}

void stage(int kernel, int dilation, int stride, int channels, int height, int width) {
  Arena arena;
  const Filter filter{kernel, dilation, stride};
  const int out = channels + 3, pixels = filter.output_size(height) * filter.output_size(width);
  const AlignedFloats depthwise = random(kernel * kernel * channels), pointwise = random(channels * out);
  const StageWeights weights(filter, depthwise.data(), pointwise.data(), channels, out);
  const AlignedFloats image = random(height * width * channels), gradient = random(pixels * out);
  AlignedFloats raw(pixels * out), by_input(image.size()), by_depthwise(weights.depthwise_size()), by_pointwise(weights.pointwise_size());
  Stage forward(arena, weights, height, width, false), backward(arena, weights, height, width, true);
  const Seen norm = seen(out, pixels, [&](ImageSums& sums) { forward.forward(image.data(), {}, raw.data(), &sums); });
  backward.backward(image.data(), {}, norm.gradient,
                    {gradient.data(), 0.5f, raw.data(), by_input.data(), false, by_depthwise.data(), by_pointwise.data()});
  print("stage out", kernel, stride, channels, raw.data(), raw.size());
  print("stage input", kernel, stride, channels, by_input.data(), by_input.size());
  AlignedFloats unpacked(depthwise.size()), other(pointwise.size());
  weights.unpack_depthwise(by_depthwise.data(), unpacked.data());
  weights.unpack_pointwise(by_pointwise.data(), other.data());
  print("stage depthwise", kernel, stride, channels, unpacked.data(), unpacked.size());
  print("stage pointwise", kernel, stride, channels, other.data(), other.size());
  std::vector<double> sum(out), product(out);
  vector_code().norms.add_gradient_sums(gradient.data(), out, raw.data(), out, pixels, out, 0.5f, norm.norm.mean.data(),
                                        norm.norm.inverse_deviation.data(), sum.data(), product.data());
  double factor = vector_code().norms.factor_gradient(sum.data(), product.data(), raw.data(), nullptr, out);
  std::printf("stage factor: %.8g\n", factor);
}

template <class Kernel>
void dense(const char* name, DenseShape shape) {
  Arena arena;
  typename Kernel::Weights forward{shape, {}, {}}, backward{shape, {}, {}};
  const int channels = shape.input_channels[0], out = shape.out_channels, taps = static_cast<int>(shape.taps.size());
  const AlignedFloats values = random(static_cast<size_t>(shape.depth()) * out);
  const std::vector<float> matrix(values.data(), values.data() + values.size());
  forward.set_matrix(matrix, Pass::kForward);
  backward.set_matrix(matrix, Pass::kBackward);
  const AlignedFloats image = random(shape.height * shape.width * channels), gradient = random(shape.pixels() * out);
  AlignedFloats raw(gradient.size()), by_input(image.size()), by_weights(shape.gradient_size());
  Kernel one(arena, forward, Pass::kForward), other(arena, backward, Pass::kBackward);
  const Seen norm = seen(out, shape.pixels(), [&](ImageSums& sums) { one.forward({image.data()}, raw.data(), &sums, {}); });
  other.backward({image.data()}, norm.gradient, 0.5f,
                 {gradient.data(), raw.data(), {by_input.data()}, {false}, by_weights.data()});
  print(name, taps, shape.stride, channels, raw.data(), raw.size());
  print(name, taps, shape.stride, channels, by_input.data(), by_input.size());
  for (int row = 0; row < shape.depth(); row += 5) print(name, row, out, channels, by_weights.data() + row * rounded_up(out), out);
}

void pool(bool maximum, int stride, int channels, int height, int width) {
  Arena arena;
  Pool pool(arena, maximum, stride, height, width, channels, true);
  const int pixels = ((height - 1) / stride + 1) * ((width - 1) / stride + 1), pitch = pool.pitch();
  const AlignedFloats image = random(height * width * channels), values = random(pixels * channels);
  AlignedFloats out(pixels * pitch), gradient(pixels * pitch), compact(pixels * channels), by_input(image.size());
  for (int i = 0; i < pixels * channels; ++i) gradient[i / channels * pitch + i % channels] = values[i];
  pool.forward(image.data(), out.data());
  pool.backward(image.data(), out.data(), gradient.data(), false, by_input.data());
  vector_code().pixels.store_pixels(out.data(), pitch, pixels, channels, false, compact.data());
  print("pool out", maximum, stride, channels, compact.data(), compact.size());
  print("pool input", maximum, stride, channels, by_input.data(), by_input.size());
}

}  // namespace

int main() {
  std::fprintf(stderr, "vector code %s\n", vector_code().name);
  for (const int channels : {1, 2, 5, 8, 16, 19, 36, 48}) {
    for (const int stride : {1, 2}) {
      for (const int kernel : {3, 5, 7}) {
        for (const int dilation : {1, 2}) stage(kernel, dilation, stride, channels, 9, 7);
      }
      for (const bool maximum : {true, false}) pool(maximum, stride, channels, 7, 10);
      DenseShape shape{{channels}, {}, stride, channels + 6, true, 6, 11, 5 / stride + 1, 10 / stride + 1, false};
      for (int y = -1; y <= 1; ++y) {
        for (int x = -1; x <= 1; ++x) shape.taps.push_back({y, x});
      }
      dense<Dense>("dense", shape);
      if (stride == 1) dense<Direct>("direct", shape);
      shape.taps = {{0, 0}};
      dense<Dense>("pointwise", shape);
    }
  }
  AlignedFloats parameter = random(1003), velocity = random(1003), gradient = random(1003);
  vector_code().arrays.sgd(parameter.data(), velocity.data(), gradient.data(), 1003, {0.5f, 3e-4f, 0.1f, 0.9f, true});
  vector_code().arrays.add(velocity.data(), gradient.data(), 1003);
  print("sgd", 0, 0, 0, parameter.data(), 1003);
  print("sgd", 1, 0, 0, velocity.data(), 1003);
  std::printf("squares: %.8g\n", vector_code().arrays.sum_of_squares(gradient.data(), 1003));
}
