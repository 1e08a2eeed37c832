// A batch norm of a batch that several processes share, composed of ATen's operators: where no fused kernel takes the norm with it.
#include <torch/csrc/autograd/custom_function.h>

#include "operators.h"
#include "shared_sums.h"

namespace ista {
namespace composed {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/** Per channel, in double precision. */
Tensor channel_sums(const Tensor& values) { return values.sum(at::IntArrayRef({0, 2, 3}), false, at::kDouble); }

Tensor channels(const Tensor& per_channel, const Tensor& like) { return per_channel.to(like.scalar_type()).view({1, -1, 1, 1}); }

/** Of the images of all processes: two sums per channel, and how many values they are of. */
struct Totals {
  Tensor first, second;
  double count;
};

Totals totals_of(SharedSums& shared, const Tensor& first, const Tensor& second, double count) {
  const Tensor block = at::cat({first, second, at::full({1}, count, first.options())}).cpu().contiguous();
  shared.add_up(block.data_ptr<double>(), block.numel());
  const int64_t size = first.numel();
  return {block.narrow(0, 0, size).to(first.device()), block.narrow(0, size, size).to(first.device()),
          block.data_ptr<double>()[2 * size]};
}

// What a pass keeps of the group, which the backward pass needs and no tensor holds.
struct GroupHolder : torch::CustomClassHolder {
  explicit GroupHolder(std::shared_ptr<SharedSums> group) : group(std::move(group)) {}
  std::shared_ptr<SharedSums> group;
};

class SharedNorm : public torch::autograd::Function<SharedNorm> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& input, const Tensor& gamma, const Tensor& beta,
                        const Tensor& running_mean, const Tensor& running_var, double momentum, double epsilon) {
    const std::shared_ptr<SharedSums> group = shared_sums();
    const double own = static_cast<double>(input.numel()) / input.size(1);
    const Totals totals = totals_of(*group, channel_sums(input), channel_sums(input.to(at::kDouble).square()), own);
    const Tensor mean = totals.first / totals.count;
    const Tensor variance = (totals.second / totals.count - mean.square()).clamp_min(0);
    running_mean.mul_(1 - momentum).add_(mean.to(running_mean.scalar_type()), momentum);
    running_var.mul_(1 - momentum)
        .add_((variance * (totals.count / (totals.count - 1))).to(running_var.scalar_type()), momentum);
    const Tensor inverse_deviation = (variance + epsilon).rsqrt();
    const Tensor normalised = (input - channels(mean, input)) * channels(inverse_deviation, input);
    context->save_for_backward({normalised, gamma, inverse_deviation});
    group_of(context) = group;
    return gamma.defined() ? normalised * channels(gamma, input) + channels(beta, input) : normalised.clone();
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &gradient = gradients[0], &normalised = saved[0], &gamma = saved[1], &inverse_deviation = saved[2];
    // Those of this process's images, which are summed with the other gradients.
    const Tensor of_beta = channel_sums(gradient), of_gamma = channel_sums(gradient * normalised);
    const double own = static_cast<double>(gradient.numel()) / gradient.size(1);
    const Totals totals = totals_of(*group_of(context), of_beta, of_gamma, own);
    Tensor input = (gradient - channels(totals.first / totals.count, gradient) -
                    normalised * channels(totals.second / totals.count, gradient)) *
                   channels(inverse_deviation, gradient);
    if (gamma.defined()) input = input * channels(gamma, gradient);
    const auto parameter = [&](const Tensor& sum) { return gamma.defined() ? sum.to(gamma.scalar_type()) : Tensor(); };
    return {input, parameter(of_gamma), parameter(of_beta), Tensor(), Tensor(), Tensor(), Tensor()};
  }

 private:
  static std::shared_ptr<SharedSums>& group_of(AutogradContext* context) {
    auto& value = context->saved_data["group"];
    if (value.isNone()) value = c10::IValue::make_capsule(c10::make_intrusive<GroupHolder>(nullptr));
    return static_cast<GroupHolder*>(value.toCapsule().get())->group;
  }
};

}  // namespace

Tensor batch_norm(const Tensor& input, const Norm& norm, NormSettings settings, bool cudnn) {
  if (!settings.training || !shared_sums())
    return at::batch_norm(input, norm.gamma, norm.beta, norm.running_mean, norm.running_var, settings.training, settings.momentum,
                          settings.epsilon, cudnn);
  return SharedNorm::apply(input, norm.gamma, norm.beta, norm.running_mean, norm.running_var, settings.momentum, settings.epsilon);
}

}  // namespace composed
}  // namespace ista
