// What the tutorial programs share: memory as an engine would own it, and random rows in place of
// a model's.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include <rota/rota.hpp>

namespace tutorial {

/// Aligned memory that frees itself.
class buffer {
 public:
  explicit buffer(std::size_t bytes) : bytes_(bytes) {
    const std::size_t rounded = (bytes + 63) / 64 * 64;
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(64, rounded ? rounded : 64)));
  }
  explicit buffer(rota::index_t bytes) : buffer(static_cast<std::size_t>(bytes)) {}

  std::byte* data() const { return data_.get(); }
  rota::index_t size() const { return static_cast<rota::index_t>(bytes_); }
  rota::workspace workspace() const { return {data(), bytes_}; }

 private:
  struct deleter {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, deleter> data_;
  std::size_t bytes_;
};

/// Rows [n, heads, d] of random numbers.
template <class E>
class rows {
 public:
  rows(rota::index_t n, rota::index_t heads, rota::index_t d, unsigned seed)
      : n_(n), heads_(heads), d_(d), data_(static_cast<std::size_t>(n * heads * d)) {
    std::mt19937 rng(seed);
    std::normal_distribution<float> normal;
    for (E& x : data_) x = E(normal(rng));
  }
  rota::view<const E, 3> view() const { return rota::view(data_.data(), n_, heads_, d_); }
  rota::view<E, 3> view() { return rota::view(data_.data(), n_, heads_, d_); }
  const std::vector<E>& data() const { return data_; }

 private:
  rota::index_t n_, heads_, d_;
  std::vector<E> data_;
};

/// Ends the program when a call that should work does not.
inline void require(const rota::status& s, const char* what) {
  if (s.ok()) return;
  std::fprintf(stderr, "%s: %s: %s\n", what, s.argument, s.what());
  std::exit(1);
}

/// Ends the program when something that the tutorial says is not so.
inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::exit(1);
}

}  // namespace tutorial
