// Shapes and weight layouts of dense convolutions.
#include "dense_tensors.h"

#include <numeric>

namespace ista {
namespace fused {
namespace {

int64_t concatenated_channels(const char* name, TensorList inputs) {
  TORCH_CHECK(!inputs.empty(), name, ": at least one input");
  int64_t total = 0;
  for (const Tensor& input : inputs) {
    TORCH_CHECK(input.dim() == 4 && input.numel() > 0, name, ": inputs must be [N, C, H, W] and not empty, got ", input.sizes());
    TORCH_CHECK(input.size(0) == inputs[0].size(0) && input.size(2) == inputs[0].size(2) && input.size(3) == inputs[0].size(3),
                name, ": inputs must have the same N, H and W, got ", inputs[0].sizes(), " and ", input.sizes());
    total += input.size(1);
  }
  return total;
}

DenseShape shape_of_inputs(TensorList inputs) {
  DenseShape shape{};
  for (const Tensor& input : inputs) shape.input_channels.push_back(input.size(1));
  shape.height = inputs[0].size(2);
  shape.width = inputs[0].size(3);
  return shape;
}

// Visits every weight: body(tensor, index in the tensor, row and column of the matrix).
template <class Body>
void for_weights(const DenseShape& shape, TensorList weights, const Body& body) {
  const int channels = std::accumulate(shape.input_channels.begin(), shape.input_channels.end(), 0);
  const int taps = shape.taps.size();
  for (int tap = 0, first_column = 0; tap < taps; ++tap) {
    const int which = shape.tensor_per_tap ? tap : 0;
    const int taps_of_tensor = shape.tensor_per_tap ? 1 : taps, tap_of_tensor = shape.tensor_per_tap ? 0 : tap;
    const int outs = weights[which].size(0);
    for (int out = 0; out < outs; ++out) {
      for (int channel = 0; channel < channels; ++channel) {
        body(which, (static_cast<size_t>(out) * channels + channel) * taps_of_tensor + tap_of_tensor, tap * channels + channel,
             first_column + out);
      }
    }
    if (shape.tensor_per_tap) first_column += outs;
  }
}

}  // namespace

DenseShape kernel_shape(const char* name, TensorList inputs, const Tensor& weight, int64_t stride, int64_t padding, bool relu) {
  const int64_t channels = concatenated_channels(name, inputs);
  TORCH_CHECK(weight.dim() == 4 && weight.size(1) == channels, name, ": weight must be [out, ", channels, ", h, w], got ",
              weight.sizes());
  DenseShape shape = shape_of_inputs(inputs);
  const int kernel_height = weight.size(2), kernel_width = weight.size(3), offset = static_cast<int>(padding);
  constexpr int64_t largest = 65536;
  TORCH_CHECK(stride > 0 && stride <= largest && padding >= 0 && padding <= largest, name, ": stride must be 1 to ", largest,
              ", padding 0 to ", largest, ", got ", stride, " and ", padding);
  TORCH_CHECK(shape.height + 2 * offset >= kernel_height && shape.width + 2 * offset >= kernel_width,
              name, ": a kernel of ", kernel_height, " x ", kernel_width, " does not fit ", inputs[0].sizes(), " with padding ", padding);
  for (int y = 0; y < kernel_height; ++y) {
    for (int x = 0; x < kernel_width; ++x) shape.taps.push_back({y - offset, x - offset});
  }
  shape.stride = static_cast<int>(stride);
  shape.out_channels = weight.size(0);
  shape.relu = relu;
  shape.out_height = (shape.height + 2 * offset - kernel_height) / shape.stride + 1;
  shape.out_width = (shape.width + 2 * offset - kernel_width) / shape.stride + 1;
  return shape;
}

DenseShape reduction_shape(const char* name, TensorList inputs, const Tensor& first, const Tensor& second) {
  const int64_t channels = concatenated_channels(name, inputs);
  for (const Tensor& weight : {first, second}) {
    TORCH_CHECK(weight.dim() == 4 && weight.size(1) == channels && weight.size(2) == 1 && weight.size(3) == 1, name,
                ": weights must be [out, ", channels, ", 1, 1], got ", weight.sizes());
  }
  DenseShape shape = shape_of_inputs(inputs);
  shape.taps = {{0, 0}, {1, 1}};
  shape.stride = 2;
  shape.out_channels = first.size(0) + second.size(0);
  shape.relu = true;
  shape.out_height = (shape.height + 1) / 2;
  shape.out_width = (shape.width + 1) / 2;
  shape.tensor_per_tap = true;
  return shape;
}

std::vector<float> weight_matrix(const DenseShape& shape, TensorList weights) {
  std::vector<Tensor> contiguous;
  std::vector<const float*> values;
  for (const Tensor& weight : weights) {
    contiguous.push_back(weight.contiguous());
    values.push_back(contiguous.back().data_ptr<float>());
  }
  const int channels = std::accumulate(shape.input_channels.begin(), shape.input_channels.end(), 0);
  std::vector<float> matrix(static_cast<size_t>(channels) * shape.taps.size() * shape.out_channels);
  for_weights(shape, weights, [&](int tensor, size_t index, int row, int column) {
    matrix[static_cast<size_t>(row) * shape.out_channels + column] = values[tensor][index];
  });
  return matrix;
}

std::vector<Tensor> unpack(const DenseShape& shape, TensorList weights, const AlignedFloats& sums) {
  std::vector<Tensor> gradients;
  std::vector<float*> values;
  for (const Tensor& weight : weights) {
    gradients.push_back(at::empty(weight.sizes(), at::kFloat));
    values.push_back(gradients.back().data_ptr<float>());
  }
  const size_t pitch = rounded_up(shape.out_channels);
  for_weights(shape, weights, [&](int tensor, size_t index, int row, int column) {
    values[tensor][index] = sums[row * pitch + column];
  });
  return gradients;
}

}  // namespace fused
}  // namespace ista
