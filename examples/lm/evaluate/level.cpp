#include "evaluate/level.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <utility>

namespace rota_lm::eval {

float threshold_for(std::vector<float> ranked, double count) {
  if (count >= static_cast<double>(ranked.size())) return -std::numeric_limits<float>::infinity();
  if (count < 1) return std::numeric_limits<float>::infinity();
  const auto nth = ranked.begin() + static_cast<std::ptrdiff_t>(count) - 1;
  std::nth_element(ranked.begin(), nth, ranked.end(), std::greater<>());
  return *nth;
}

double token_level::all() const {
  double items = 0;
  for (const rota::select_problem& p : problems_) {
    items += static_cast<double>(p.kv_heads * p.tokens);
  }
  return items;
}

rota::index_t token_level::guarded() const {
  return problems_[0].protect.sinks + problems_[0].protect.window;
}

float token_level::threshold(double count) const {
  std::vector<float> ranked;
  double guarded = 0;
  for (std::size_t l = 0; l < problems_.size(); ++l) {
    const rota::select_problem& p = problems_[l];
    for (rota::index_t h = 0; h < p.kv_heads; ++h) {
      for (rota::index_t i = p.expired(); i < p.tokens; ++i) {
        if (p.protect.covers(i, p.tokens)) {
          ++guarded;
        } else {
          ranked.push_back(scores_[l].tokens(h, i));
        }
      }
    }
  }
  return threshold_for(std::move(ranked), count - guarded);
}

double group_level::all() const {
  double items = 0;
  for (std::size_t l = 0; l < problems_.size(); ++l) {
    for (rota::index_t h = 0; h < problems_[l].kv_heads; ++h) {
      items += survivors_[l].counts(h) * problems_[l].groups;
    }
  }
  return items;
}

rota::index_t group_level::guarded() const {
  const rota::protection& p = problems_[0].protect;
  return (p.sinks + p.window) * problems_[0].groups;
}

float group_level::threshold(double count) const {
  std::vector<float> ranked;
  double guarded = 0;
  for (std::size_t l = 0; l < problems_.size(); ++l) {
    const rota::select_problem& p = problems_[l];
    for (rota::index_t h = 0; h < p.kv_heads; ++h) {
      for (rota::index_t k = 0; k < survivors_[l].counts(h); ++k) {
        const rota::index_t i = survivors_[l].indices(h, k);
        if (p.protect.covers(i, p.tokens)) {
          guarded += p.groups;
          continue;
        }
        const float* row = scores_[l].groups.row(h, i);
        ranked.insert(ranked.end(), row, row + p.groups);
      }
    }
  }
  return threshold_for(std::move(ranked), count - guarded);
}

}  // namespace rota_lm::eval
