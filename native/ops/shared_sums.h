// Sums over the processes that share a batch: what batch norms with the statistics of the whole batch need.
#pragma once

#include <cstddef>
#include <memory>

namespace ista {

class SharedSums {
 public:
  virtual ~SharedSums() = default;
  // Every value becomes its sum over all processes, the same bits on each. All must ask in the same order.
  virtual void add_up(double* values, size_t count) = 0;
};

// Of this thread; null where batches are a process's own, or have their own statistics.
std::shared_ptr<SharedSums>& shared_sums();

}  // namespace ista
