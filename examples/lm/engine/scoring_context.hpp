// What the scorers of Rota are told of a prefill.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <rota/policy/context.hpp>
#include <rota/score/query_statistics.hpp>

#include "engine/attention_seam.hpp"
#include "engine/cache_memory.hpp"
#include "engine/collectors.hpp"
#include "engine/config.hpp"
#include "engine/dense_cache.hpp"
#include "engine/model.hpp"

namespace rota_lm {

/// Gathers, while it observes a prefill, what the stock scorers need besides keys and values: the
/// moments of the queries (Expected Attention) and the last queries (attention mass).
class prefill_record final : public layer_observer {
 public:
  /// `window`: how many of the last queries to keep; `skip`: how many of the first to leave out of
  /// the moments; `moment_layers`: how many of the first layers to take moments of. They cost a
  /// few hundredths of a prefill.
  explicit prefill_record(const model& lm, std::size_t window = 16, std::size_t skip = 4,
                          std::size_t moment_layers = SIZE_MAX);

  void on_layer(const layer_trace& t) override;

  const model_config& config() const { return config_; }
  bool has_moments(std::size_t layer) const { return layer < statistics_.size(); }
  const rota::query_statistics& statistics(std::size_t layer) const {
    return statistics_.at(layer);
  }
  const query_window& window() const { return window_; }
  std::span<const float> frequencies() const { return frequencies_; }
  float rope_scale() const { return rope_scale_; }
  /// Tokens observed.
  std::size_t tokens() const { return tokens_; }

 private:
  model_config config_;
  std::vector<float> frequencies_;
  float rope_scale_;
  std::vector<cache_buffer> memory_;
  std::vector<rota::query_statistics> statistics_;
  query_window window_;
  std::size_t tokens_ = 0;
};

/// A layer's context for Rota's scorers, and the memory of the parts that the caches do not hold.
/// Refers to the cache and the record, which must outlive it. Compiled for float and bf16.
template <rota::element E>
class scoring_context {
 public:
  using context_type =
      rota::context<E, rota::window_queries, rota::query_moments, rota::rope_frequencies>;

  scoring_context(const dense_cache<E>& cache, const prefill_record& record, std::size_t layer);

  // Vectors keep their memory: the views stay valid.
  scoring_context(scoring_context&&) noexcept = default;
  scoring_context(const scoring_context&) = delete;

  const context_type& get() const { return context_; }

 private:
  void set_keys_and_values(const rota::dense_store<E>& store);
  void set_window(const prefill_record& record, std::size_t layer);
  void set_moments(const prefill_record& record, std::size_t layer);

  std::vector<float> covariance_;
  context_type context_;
};

extern template class scoring_context<float>;
extern template class scoring_context<rota::bf16>;

}  // namespace rota_lm
