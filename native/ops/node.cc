// The fused node: its branches one after the other, then their weighted sum with the last batch norms applied on the way.
#include <ATen/core/List_inl.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include "branch.h"
#include "fused_node.h"
#include "profile.h"

namespace ista {
namespace fused {
namespace {

using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

// Where a branch's tensors stand in the lists of the operator.
struct Place {
  int64_t convolution, convolution_count, norm, norm_count;
};

class NodeBackward : public FusedNode {
 public:
  variable_list apply(variable_list&& gradients) override;
  void release_variables() override {
    FusedNode::release_variables();
    branches.clear();
    inputs.clear();
    convolutions.clear();
  }
  std::string name() const override { return "IstaNodeBackward"; }

  std::vector<Branch> branches;
  std::vector<Place> places;
  std::vector<float> factors;  // the architecture weights
  bool recompute = false;
  std::vector<SavedVariable> inputs, convolutions;
  // Of every norm: whether it has gamma and beta, and their values, which the gradient of the weights needs.
  std::vector<std::pair<Tensor, Tensor>> affine;

 private:
  // Edges in order: inputs, weights, convolutions, gamma and beta of every norm.
  size_t edge_of_weights() const { return inputs.size(); }
  size_t edge_of_convolution(size_t index) const { return inputs.size() + 1 + index; }
  size_t edge_of_norm(size_t index) const { return edge_of_convolution(convolutions.size()) + 2 * index; }
  bool wants_norm(size_t index) const {
    return affine[index].first.defined() &&
           (task_should_compute_output(edge_of_norm(index)) || task_should_compute_output(edge_of_norm(index) + 1));
  }
  std::vector<GradientSums> gradient_sums(const Tensor& gradient, const std::vector<Tensor>& sources,
                                          const std::vector<bool>& wanted) const;
  Tensor weights_gradient(std::vector<GradientSums>& sums, int channels) const;
};

// Of every wanted branch, the sums of its masked gradient and of that times its normalised (or plain) values.
std::vector<GradientSums> NodeBackward::gradient_sums(const Tensor& gradient, const std::vector<Tensor>& sources,
                                                      const std::vector<bool>& wanted) const {
  const int images = gradient.size(0), channels = gradient.size(1), pixels = gradient.size(2) * gradient.size(3);
  std::vector<GradientSums> sums(branches.size(), GradientSums(images, channels));
  if (std::find(wanted.begin(), wanted.end(), true) == wanted.end()) return sums;
  const VectorCode& code = vector_code();
  const ProfileScope profile("node backward sums", 4.0 * gradient.numel() * branches.size(),
                             4.0 * gradient.numel() * (1 + branches.size()));
  for_chunks(images, [&](int chunk, int first, int last, Arena& arena) {
    std::vector<RawReader> readers;
    for (size_t k = 0; k < branches.size(); ++k) readers.emplace_back(arena, branches[k], sources[k]);
    for (int i = first; i < last; ++i) {
      for (size_t k = 0; k < branches.size(); ++k) {
        if (!wanted[k]) continue;
        const NormState& norm = branches[k].norm;
        code.norms.add_gradient_sums(image(gradient, i), channels, readers[k].image(i), readers[k].pitch(), pixels, channels,
                                     branches[k].mask_of(i), norm.exists ? norm.mean.data() : nullptr,
                                     norm.exists ? norm.inverse_deviation.data() : nullptr, sums[k].sums(chunk),
                                     sums[k].products(chunk));
      }
    }
  });
  for (GradientSums& sum : sums) sum.finish();
  return sums;
}

Tensor NodeBackward::weights_gradient(std::vector<GradientSums>& sums, int channels) const {
  Tensor result = at::empty({static_cast<int64_t>(branches.size())}, at::kFloat);
  for (size_t k = 0; k < branches.size(); ++k) {
    const auto& [gamma, beta] = affine[places[k].norm + places[k].norm_count - 1];
    result.data_ptr<float>()[k] = static_cast<float>(vector_code().norms.factor_gradient(
        sums[k].sums(0), sums[k].products(0), data_or_null(gamma), data_or_null(beta), channels));
  }
  return result;
}

variable_list NodeBackward::apply(variable_list&& gradients) {
  TORCH_CHECK(!at::GradMode::is_enabled(), "ista::node: the fused node has no second derivative; use double precision for that");
  variable_list result(num_outputs());
  const Tensor gradient = take_gradient(gradients[0]);
  if (!gradient.defined()) return result;
  const int channels = gradient.size(1);
  const bool wants_weights = task_should_compute_output(edge_of_weights());
  std::vector<Tensor> sources, kernels;
  for (auto& input : inputs) sources.push_back(channels_last(input.unpack()));
  for (auto& convolution : convolutions) kernels.push_back(convolution.unpack());

  const auto kernels_of = [&](size_t k) {
    return TensorList(kernels).slice(places[k].convolution, places[k].convolution_count);
  };
  std::vector<BranchGradients> wanted(branches.size());
  std::vector<bool> wants_sums(branches.size()), wants_branch(branches.size());
  for (size_t k = 0; k < branches.size(); ++k) {
    const Place& place = places[k];
    wanted[k].wants_input = wants_branch[k] = task_should_compute_output(k);
    for (int64_t i = 0; i < place.convolution_count; ++i) {
      wanted[k].wants_convolution.push_back(task_should_compute_output(edge_of_convolution(place.convolution + i)));
      if (wanted[k].wants_convolution.back()) wants_branch[k] = true;
    }
    wanted[k].wants_middle_norm = place.norm_count == 2 && wants_norm(place.norm);
    if (wanted[k].wants_middle_norm) wants_branch[k] = true;
    wants_sums[k] = wants_weights || wants_norm(place.norm + place.norm_count - 1) ||
                    (branches[k].norm.exists && branches[k].norm.batch_statistics && wants_branch[k]);
    if (wants_sums[k] || wants_branch[k]) restore_raw(branches[k], sources[k], kernels_of(k));
  }
  std::vector<GradientSums> sums = gradient_sums(gradient, sources, wants_sums);
  if (wants_weights) result[edge_of_weights()] = weights_gradient(sums, channels);

  const double count = static_cast<double>(gradient.numel()) / channels;
  for (size_t k = 0; k < branches.size(); ++k) {
    const Place& place = places[k];
    const int64_t last_norm = place.norm + place.norm_count - 1;
    if (wants_norm(last_norm)) {
      result[edge_of_norm(last_norm)] = sums[k].gamma_gradient(factors[k]);
      result[edge_of_norm(last_norm) + 1] = sums[k].beta_gradient(factors[k]);
    }
    if (!wants_branch[k]) continue;
    // A tensor that several branches read gets one gradient, which they add to one after the other.
    size_t target = k;
    for (size_t other = 0; other < k; ++other) {
      if (sources[other].is_same(sources[k]) && wanted[other].wants_input) {
        target = other;
        break;
      }
    }
    if (wanted[k].wants_input) wanted[k].input = input_gradient(target, result);
    const RawGradient coefficients =
        raw_gradient(branches[k].norm, channels, factors[k], sums[k].sums(0), sums[k].products(0), count);
    backward(branches[k], sources[k], kernels_of(k), gradient, coefficients, wanted[k]);
    if (wanted[k].wants_input) set_input_gradient(target, wanted[k].input, result);
    for (int64_t i = 0; i < place.convolution_count; ++i) {
      if (wanted[k].wants_convolution[i]) result[edge_of_convolution(place.convolution + i)] = wanted[k].convolutions[i];
    }
    if (wanted[k].wants_middle_norm) {
      result[edge_of_norm(place.norm)] = wanted[k].middle_gamma;
      result[edge_of_norm(place.norm) + 1] = wanted[k].middle_beta;
    }
    if (recompute) drop_raw(branches[k]);
  }
  return result;
}

// sum over k of factors[k] * mask_k * norm_k(raw_k).
Tensor weighted_sum(const std::vector<Branch>& branches, const std::vector<Tensor>& sources, const std::vector<float>& factors) {
  const Branch& shape = branches[0];
  const int images = sources[0].size(0), channels = shape.out_channels, pixels = shape.out_height * shape.out_width;
  Tensor sum = empty_images(images, channels, shape.out_height, shape.out_width);
  const VectorCode& code = vector_code();
  const ProfileScope profile("node sum", 2.0 * sum.numel() * branches.size(), 4.0 * sum.numel() * (1 + branches.size()));
  for_chunks(images, [&](int, int first, int last, Arena& arena) {
    std::vector<RawReader> readers;
    for (size_t k = 0; k < branches.size(); ++k) readers.emplace_back(arena, branches[k], sources[k]);
    for (int i = first; i < last; ++i) {
      for (size_t k = 0; k < branches.size(); ++k) {
        code.pixels.add_normalised(readers[k].image(i), readers[k].pitch(), branches[k].norm.affine(),
                                   factors[k] * branches[k].mask_of(i), pixels, channels, k > 0, image_to_write(sum, i));
      }
    }
  });
  return sum;
}

}  // namespace

Tensor node(TensorList inputs, const Tensor& weights, const std::vector<Pattern>& patterns, TensorList convolutions,
            const OptionalTensors& norms, const OptionalTensors& masks, bool recompute, NormSettings settings) {
  std::vector<Branch> branches(inputs.size());
  std::vector<Place> places;
  std::vector<Tensor> sources;
  std::vector<float> factors(inputs.size(), 1.0f);
  Tensor sum;
  {
    at::NoGradGuard no_grad;
    if (weights.defined()) std::copy_n(weights.contiguous().data_ptr<float>(), factors.size(), factors.begin());
    int64_t convolution = 0, norm = 0;
    for (size_t k = 0; k < inputs.size(); ++k) {
      TORCH_CHECK(inputs[k].numel() > 0, "ista::node: input ", k, " is empty: ", inputs[k].sizes());
      Branch& branch = branches[k];
      branch.pattern = patterns[k];
      branch.name = patterns[k].name();
      const Place place{convolution, patterns[k].convolution_count(), norm, patterns[k].norm_count()};
      convolution += place.convolution_count;
      norm += place.norm_count;
      places.push_back(place);
      const Tensor mask = tensor_at(masks, k);
      if (mask.defined()) branch.mask = mask.contiguous();
      // One converted copy of an input that comes several times.
      Tensor source;
      for (size_t other = 0; other < k && !source.defined(); ++other) {
        if (inputs[other].is_same(inputs[k])) source = sources[other];
      }
      sources.push_back(source.defined() ? source : channels_last(inputs[k]));
      forward(branch, sources[k], convolutions.slice(place.convolution, place.convolution_count), norm_at(norms, 4 * place.norm),
              norm_at(norms, 4 * (place.norm + place.norm_count - 1)), settings);
      TORCH_CHECK(branch.out_channels == branches[0].out_channels && branch.out_height == branches[0].out_height &&
                      branch.out_width == branches[0].out_width && sources[k].size(0) == sources[0].size(0),
                  "ista::node: branch ", k, " (", branch.name, ") makes ", branch.out_channels, " x ", branch.out_height,
                  " x ", branch.out_width, ", the first one ", branches[0].out_channels, " x ", branches[0].out_height, " x ",
                  branches[0].out_width);
    }
    sum = weighted_sum(branches, sources, factors);
  }
  if (!at::GradMode::is_enabled()) return sum;

  auto backward = std::make_shared<NodeBackward>();
  variable_list edges(inputs.begin(), inputs.end());
  edges.push_back(weights);
  edges.insert(edges.end(), convolutions.begin(), convolutions.end());
  for (size_t i = 0; i < norms.size() / 4; ++i) {
    const Norm norm = norm_at(norms, 4 * i);
    backward->affine.emplace_back(norm.gamma, norm.beta);
    edges.push_back(norm.gamma);
    edges.push_back(norm.beta);
  }
  if (std::none_of(edges.begin(), edges.end(), [](const Tensor& tensor) { return tensor.defined() && tensor.requires_grad(); })) {
    return sum;
  }
  for (const Tensor& source : inputs) backward->inputs.emplace_back(source, false);
  for (const Tensor& convolution : convolutions) backward->convolutions.emplace_back(convolution, false);
  if (recompute) std::for_each(branches.begin(), branches.end(), drop_raw);
  backward->branches = std::move(branches);
  backward->places = std::move(places);
  backward->factors = std::move(factors);
  backward->recompute = recompute;
  backward->set_next_edges(torch::autograd::collect_next_edges(edges));
  torch::autograd::set_history(sum, backward);
  return sum;
}

}  // namespace fused
}  // namespace ista
