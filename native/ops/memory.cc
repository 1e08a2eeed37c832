// Blocks that are halved and joined again. The C library's heap, which cuts tensors of all sizes out of each other's places, grows for
// dozens of steps until every one fits somewhere: half as much memory again as is in use, page after page cleared by the system.
#include "memory.h"

#include <algorithm>
#include <cstdlib>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>

#ifdef __GLIBC__
#include <malloc.h>
#endif
#if defined(__linux__) || defined(__APPLE__)
#include <sys/mman.h>
#define ISTA_MAPS_MEMORY
#endif

namespace ista {
namespace {

constexpr size_t kLargePage = size_t(2) << 20, kPage = size_t(1) << 16, kRoot = size_t(32) << 20;

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

#ifdef ISTA_MAPS_MEMORY

// Fresh zeroed memory that starts at a large page, so that address translation needs few entries.
char* map_memory(size_t bytes) {
  void* mapped = mmap(nullptr, bytes + kLargePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  char* start = static_cast<char*>(mapped);
  const size_t skipped = rounded(reinterpret_cast<size_t>(start), kLargePage) - reinterpret_cast<size_t>(start);
  if (skipped > 0) munmap(start, skipped);
  munmap(start + skipped + bytes, kLargePage - skipped);
#ifdef MADV_HUGEPAGE
  (void)madvise(start + skipped, bytes, MADV_HUGEPAGE);  // a refusal changes nothing but speed
#endif
  return start + skipped;
}

// The tensors of a network halve from stage to stage (half the pixels in either direction, twice the channels), so blocks are halved for
// smaller ones and joined again (Knowlton 1965, buddies).
class Blocks {
 public:
  void* take(size_t bytes) {
    const size_t size = rounded(bytes, kPage);
    const std::lock_guard<std::mutex> lock(mutex_);
    most_used_ = std::max(most_used_, held_bytes_ - free_bytes_ + size);
    Block* block = find(size);
    if (block == nullptr) {
      // What lies unused may be of other work (another batch size, another network), or of this one, whose next step would only map it
      // again: some more is held than was ever in use at once, and beyond that as much is let go as is asked for.
      const size_t limit = most_used_ + most_used_ / 2;
      if (held_bytes_ + size > limit) release_unused(held_bytes_ + size - limit);
      block = map_block(size);
    }
    while (block->size / 2 >= size && block->size / 2 % kPage == 0) block = split(block);
    remove_free(block);
    used_[block->start] = block;
    return block->start;
  }

  void give_back(void* data) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto used = used_.find(static_cast<char*>(data));
    Block* block = used->second;
    used_.erase(used);
    add_free(block);
    while (block->parent != nullptr && block->parent->halves[0]->free && block->parent->halves[1]->free) {
      block = block->parent;
      for (auto& half : block->halves) {
        remove_free(half.get());
        half.reset();
      }
      add_free(block);
    }
  }

 private:
  struct Block {
    char* start;
    size_t size;
    Block* parent;
    std::unique_ptr<Block> halves[2];
    bool free = false;
    std::list<Block*>::iterator place;  // in the list of free blocks of the size
  };

  // The free block that comes closest to the size after some halvings, and is the smallest of those. Somewhat more than the size will do,
  // since the last batch of an epoch is smaller than the others, but only where nothing is closer: a large tensor whose block was cut up
  // for small ones would ask for new memory at every step.
  Block* find(size_t size) {
    Block* best = nullptr;
    size_t least = size + size / 2 + 1;
    for (auto list = free_.lower_bound(size); list != free_.end() && least > size; ++list) {
      size_t half = list->first;
      while (half / 2 >= size && half / 2 % kPage == 0) half /= 2;
      if (half < least && !list->second.empty()) {
        best = list->second.front();
        least = half;
      }
    }
    return best;
  }

  void add_free(Block* block) {
    std::list<Block*>& list = free_[block->size];
    list.push_front(block);
    block->place = list.begin();
    block->free = true;
    free_bytes_ += block->size;
  }

  void remove_free(Block* block) {
    free_[block->size].erase(block->place);
    block->free = false;
    free_bytes_ -= block->size;
  }

  Block* split(Block* block) {
    remove_free(block);
    const size_t half = block->size / 2;
    for (int i : {1, 0}) {
      block->halves[i].reset(new Block{block->start + i * half, half, block, {}});
      add_free(block->halves[i].get());
    }
    return block->halves[0].get();
  }

  Block* map_block(size_t size) {
    // Halves of one large block find together again; what is never touched of it takes no memory.
    while (size < kRoot) size *= 2;
    roots_.emplace_back(new Block{map_memory(size), size, nullptr, {}});
    held_bytes_ += size;
    add_free(roots_.back().get());
    return roots_.back().get();
  }

  // Unmaps unused roots, the oldest first, until `bytes` are given back.
  void release_unused(size_t bytes) {
    size_t released = 0;
    roots_.remove_if([&](const std::unique_ptr<Block>& root) {
      if (!root->free || released >= bytes) return false;
      remove_free(root.get());
      munmap(root->start, root->size);
      held_bytes_ -= root->size;
      released += root->size;
      return true;
    });
  }

  std::mutex mutex_;
  std::list<std::unique_ptr<Block>> roots_;
  std::map<size_t, std::list<Block*>> free_;  // by size, the last one given back first
  std::unordered_map<char*, Block*> used_;
  size_t held_bytes_ = 0, free_bytes_ = 0, most_used_ = 0;
};

// Never destroyed: tensors may outlive static objects.
Blocks& blocks() {
  static Blocks* const all = new Blocks;
  return *all;
}

#endif

}  // namespace

// By default every tensor of some hundred kilobytes that libtorch makes may be mapped and unmapped anew, so that each of its pages is
// zeroed and faulted in again; and the heap's end is given back in between.
void tune_allocator() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the largest that is allowed
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

#if defined(ISTA_MAPS_MEMORY) && !defined(__SANITIZE_ADDRESS__)
void* take_block(size_t bytes) { return blocks().take(bytes); }
void give_back_block(void* data) { blocks().give_back(data); }
#else
// The address sanitizer sees what lies beyond a tensor, and what is used after it was freed, only where each has memory of its own.
void* take_block(size_t bytes) {
  void* data = nullptr;
  if (posix_memalign(&data, 64, bytes) != 0) throw std::bad_alloc();
  return data;
}
void give_back_block(void* data) { std::free(data); }
#endif

}  // namespace ista
