// SGD over all parameters in two passes: the gradients' norm, then clipping, weight decay, momentum and update at once.
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "fused.h"
#include "profile.h"

namespace ista {
namespace fused {
namespace {

// Work is split at fixed places, so that the norm does not depend on the number of threads.
constexpr int64_t kPiece = 16384;

struct Piece {
  size_t tensor;
  int64_t begin, end;
};

std::vector<Piece> pieces_of(TensorList tensors) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < tensors.size(); ++i) {
    for (int64_t begin = 0; begin < tensors[i].numel(); begin += kPiece) {
      pieces.push_back({i, begin, std::min(tensors[i].numel(), begin + kPiece)});
    }
  }
  return pieces;
}

}  // namespace

double sgd_step(TensorList parameters, TensorList gradients, TensorList momenta, double learning_rate, double momentum,
                double weight_decay, double max_norm, bool nesterov) {
  at::NoGradGuard no_grad;
  std::vector<Tensor> dense_gradients;
  for (const Tensor& gradient : gradients) dense_gradients.push_back(gradient.contiguous());
  const std::vector<Piece> pieces = pieces_of(parameters);
  const ProfileScope profile("sgd step");
  std::vector<double> squares(pieces.size());
  for_ranges(pieces.size(), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const float* gradient = dense_gradients[pieces[i].tensor].data_ptr<float>();
      for (int64_t j = pieces[i].begin; j < pieces[i].end; ++j) {
        squares[i] += static_cast<double>(gradient[j]) * gradient[j];
      }
    }
  });
  double total = 0;
  for (const double square : squares) total += square;
  total = std::sqrt(total);
  if (!std::isfinite(total)) return total;  // nothing of a diverged step may reach the parameters
  // The small constant is the one of torch.nn.utils.clip_grad_norm_.
  const float clip = static_cast<float>(max_norm > 0 ? std::min(1.0, max_norm / (total + 1e-6)) : 1.0);
  const float decay = static_cast<float>(weight_decay), rate = static_cast<float>(learning_rate);
  const float keep = static_cast<float>(momentum);
  for_ranges(pieces.size(), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const float* gradient = dense_gradients[pieces[i].tensor].data_ptr<float>();
      float* parameter = parameters[pieces[i].tensor].data_ptr<float>();
      float* velocity = momenta[pieces[i].tensor].data_ptr<float>();
      for (int64_t j = pieces[i].begin; j < pieces[i].end; ++j) {
        const float slope = clip * gradient[j] + decay * parameter[j];
        velocity[j] = keep * velocity[j] + slope;
        parameter[j] -= rate * (nesterov ? slope + keep * velocity[j] : velocity[j]);
      }
    }
  });
  for (size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].unsafeGetTensorImpl()->bump_version();
    momenta[i].unsafeGetTensorImpl()->bump_version();
  }
  return total;
}

}  // namespace fused
}  // namespace ista
