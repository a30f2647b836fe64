// What the scorers of Rota are told of a prefill.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <rota/score/query_statistics.hpp>

#include "engine/attention_seam.hpp"
#include "engine/cache_memory.hpp"
#include "engine/collectors.hpp"
#include "engine/config.hpp"
#include "engine/dense_cache.hpp"
#include "engine/error.hpp"
#include "engine/model.hpp"
#include "engine/rota_call.hpp"

namespace rota_lm {

/// Gathers, while it observes a prefill, what the stock scorers need besides keys and values: the
/// moments of the queries (Expected Attention) and the last queries (attention mass).
class prefill_record {
 public:
  /// `window`: how many of the last queries to keep; `skip`: how many of the first to leave out of
  /// the moments; `moment_layers`: how many of the first layers to take moments of. They cost a
  /// few hundredths of a prefill.
  explicit prefill_record(const model& lm, std::size_t window = 16, std::size_t skip = 4,
                          std::size_t moment_layers = SIZE_MAX)
      : config_(lm.config()),
        frequencies_(lm.rotary().frequencies().begin(), lm.rotary().frequencies().end()),
        rope_scale_(lm.rotary().amplitude()),
        statistics_(std::min(config_.layers, moment_layers)),
        window_(config_, window) {
    const auto heads = static_cast<rota::index_t>(config_.q_heads);
    const auto d = static_cast<rota::index_t>(config_.head_dim);
    for (rota::query_statistics& s : statistics_) {
      memory_.emplace_back(rota::query_statistics::memory_bytes(heads, d));
      require(s.start(heads, d, {memory_.back().data(), memory_.back().size()},
                      static_cast<rota::index_t>(skip)),
              "query statistics");
    }
  }

  void on_layer(const layer_trace& t) {
    if (has_moments(t.layer)) {
      const rota::view<const float, 3> queries(t.q_pre_rope.data(),
                                               static_cast<rota::index_t>(t.tokens),
                                               static_cast<rota::index_t>(config_.q_heads),
                                               static_cast<rota::index_t>(config_.head_dim));
      require(statistics_[t.layer].update(queries), "query statistics");
    }
    window_.on_layer(t);
    tokens_ = t.first_position + t.tokens;
  }

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
/// Refers to the cache and the record, which must outlive it.
template <rota::element E>
class scoring_context {
 public:
  using context_type =
      rota::context<E, rota::window_queries, rota::query_moments, rota::rope_frequencies>;

  scoring_context(const dense_cache<E>& cache, const prefill_record& record, std::size_t layer) {
    if (record.tokens() != cache.next_position()) {
      fail("scoring", "the record and the cache are not of the same tokens");
    }
    set_keys_and_values(cache.store(layer));
    context_.sliding_window = static_cast<rota::index_t>(record.config().sliding_window[layer]);
    set_window(record, layer);
    if (record.has_moments(layer)) set_moments(record, layer);
    context_.inverse_frequencies = rota::view<const float, 1>(
        record.frequencies().data(), static_cast<rota::index_t>(record.frequencies().size()));
    context_.scale = record.rope_scale();
  }

  // Vectors keep their memory: the views stay valid.
  scoring_context(scoring_context&&) noexcept = default;
  scoring_context(const scoring_context&) = delete;

  const context_type& get() const { return context_; }

 private:
  /// The store has heads first, a context tokens first: the same memory with other strides.
  void set_keys_and_values(const rota::dense_store<E>& store) {
    const auto turned = [&](const rota::view<E, 3>& rows) {
      return rota::view<const E, 3>(rows.data, {store.length, rows.extent[0], rows.extent[2]},
                                    {rows.stride[1], rows.stride[0], rows.stride[2]});
    };
    context_.keys = turned(store.keys);
    context_.values = turned(store.values);
  }

  void set_window(const prefill_record& record, std::size_t layer) {
    const model_config& c = record.config();
    context_.queries = rota::view<const float, 3>(
        record.window().queries(layer).data(),
        static_cast<rota::index_t>(record.window().tokens(layer)),
        static_cast<rota::index_t>(c.q_heads), static_cast<rota::index_t>(c.head_dim));
  }

  void set_moments(const prefill_record& record, std::size_t layer) {
    const model_config& c = record.config();
    const auto heads = static_cast<rota::index_t>(c.q_heads);
    const auto d = static_cast<rota::index_t>(c.head_dim);
    covariance_.resize(c.q_heads * c.head_dim * c.head_dim);
    require(record.statistics(layer).finish(rota::view<float, 3>(covariance_.data(), heads, d, d),
                                            context_),
            "query statistics");
  }

  std::vector<float> covariance_;
  context_type context_;
};

}  // namespace rota_lm
