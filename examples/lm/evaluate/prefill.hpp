// The one prefill of a sample, which all rows share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "engine/dense_cache.hpp"
#include "engine/model.hpp"
#include "engine/scoring_context.hpp"
#include "evaluate/compressor.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/options.hpp"
#include "evaluate/tasks.hpp"

namespace rota_lm::eval {

/// The group width that is used: half the default where heads are narrow, so that there is
/// something to choose from.
inline int group_width_of(const options& o, std::size_t head_dim) {
  if (o.group_width != 0) return o.group_width;
  return head_dim >= 64 ? 16 : 8;
}

/// A sample's dense cache, and the compressor that reads it. Neither copies nor moves.
class prefilled {
 public:
  prefilled(const model& lm, const prepared& sample, const options& o, counting_memory& memory,
            rota::cpu::backend backend = {})
      : dense_(lm.config(), sample.prefill.size() + sample.room(), backend, &memory.dense),
        window_(std::max(o.window, sample.question_prefilled)),
        record_(lm, window_, o.sinks) {
    lm.forward(sample.prefill, dense_, 0, record_);
    for (std::size_t i = 0; i < dense_.layers(); ++i) scoring_.emplace_back(dense_, record_, i);
    taken_back_ = sample.taken_back;
    dense_.truncate(sample.compressed());
  }
  prefilled(const prefilled&) = delete;
  prefilled& operator=(const prefilled&) = delete;

  /// The question's tokens are the window, whole and the judges of the rest, where they are there.
  /// A token that was taken back still judges by its query: queries move up by one against the
  /// tokens, so that each sees those before it but not itself.
  compressor make_compressor(const options& o) const {
    std::vector<layer_context> contexts;
    for (const auto& s : scoring_) {
      contexts.push_back(s.get());
      contexts.back().keys.extent[0] -= static_cast<rota::index_t>(taken_back_);
      contexts.back().values.extent[0] -= static_cast<rota::index_t>(taken_back_);
    }
    const int width = group_width_of(o, dense_.config().head_dim);
    return compressor(
        std::move(contexts),
        {static_cast<rota::index_t>(o.sinks), static_cast<rota::index_t>(window_ - taken_back_)},
        {width, o.stand_in}, dense_.backend());
  }

  dense_cache<element>& dense() { return dense_; }

 private:
  dense_cache<element> dense_;
  std::size_t window_;
  std::size_t taken_back_ = 0;
  prefill_record record_;
  std::vector<scoring_context<element>> scoring_;
};

/// Bytes of a row without its tail, as the allocator counted them.
inline std::size_t measured_bytes(const row_cache& cache) {
  std::size_t tails = 0;
  for (std::size_t i = 0; i < cache.layers(); ++i) {
    tails += static_cast<std::size_t>(
        cache.store(i).visit([](const auto& s) { return s.tail_bytes(); }));
  }
  return cache.allocated_bytes() - tails;
}

}  // namespace rota_lm::eval
