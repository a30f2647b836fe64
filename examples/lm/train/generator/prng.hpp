// A small generator of random numbers and the rule that splits training from evaluation.
// Nothing from <random> is used: its distributions differ between standard libraries, and a seed
// must give the same text everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace rota_lm::synth {

// splitmix64 (Steele, Lea, Flood 2014): one 64-bit word of state, any seed is good.
class prng {
 public:
  explicit prng(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    return mix(state_);
  }

  // Uniform in [0, n); the bias of the remainder is below 2^-50 for the sizes used here.
  std::size_t below(std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(next() % n); }

  std::size_t between(std::size_t low, std::size_t high) { return low + below(high - low + 1); }

  bool chance(unsigned percent) { return below(100) < percent; }

  template <class T>
  const T& pick(std::span<const T> items) {
    return items[below(items.size())];
  }

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  static std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

enum class split { train, eval };

// The held-out split is a property of *combinations of words*, not of a list of documents: a
// quarter of all (adjective, animal), (name, verb, value), (variable, value) ... combinations,
// chosen by their hash, occur in the eval split only, and the eval split states nothing else.
// So an eval answer can never have been seen in training, whatever the seeds.
bool held_out(std::initializer_list<std::string_view> parts);
bool belongs(split s, std::initializer_list<std::string_view> parts);

}  // namespace rota_lm::synth
