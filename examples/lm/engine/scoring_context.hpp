// What the scorers of Rota are told of a prefill.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/attention_seam.hpp"
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
  /// the moments.
  explicit prefill_record(const model& lm, std::size_t window = 16, std::size_t skip = 4)
      : config_(lm.config()),
        frequencies_(lm.rotary().frequencies().begin(), lm.rotary().frequencies().end()),
        rope_scale_(lm.rotary().amplitude()),
        statistics_(lm.config(), skip),
        window_(lm.config(), window) {}

  void on_layer(const layer_trace& trace) {
    statistics_.on_layer(trace);
    window_.on_layer(trace);
    tokens_ = trace.first_position + trace.tokens;
  }

  const model_config& config() const { return config_; }
  const query_statistics& statistics() const { return statistics_; }
  const query_window& window() const { return window_; }
  std::span<const float> frequencies() const { return frequencies_; }
  float rope_scale() const { return rope_scale_; }
  /// Tokens observed.
  std::size_t tokens() const { return tokens_; }

 private:
  model_config config_;
  std::vector<float> frequencies_;
  float rope_scale_;
  query_statistics statistics_;
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
    set_window(record, layer);
    set_moments(record, layer);
    context_.inverse_frequencies = rota::view<const float, 1>(
        record.frequencies().data(), static_cast<rota::index_t>(record.frequencies().size()));
    context_.scale = record.rope_scale();
  }

  scoring_context(scoring_context&&) = default;  // vectors keep their memory: the views stay valid
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
    for (std::size_t head = 0; head < c.q_heads; ++head) {
      const query_statistics::vector mean = record.statistics().mean(layer, head);
      const query_statistics::square covariance = record.statistics().covariance(layer, head);
      mean_.insert(mean_.end(), mean.data(), mean.data() + mean.size());
      covariance_.insert(covariance_.end(), covariance.data(),
                         covariance.data() + covariance.size());
    }
    context_.mean = rota::view<const float, 2>(mean_.data(), heads, d);
    context_.covariance = rota::view<const float, 3>(covariance_.data(), heads, d, d);
  }

  std::vector<float> mean_;
  std::vector<float> covariance_;
  context_type context_;
};

}  // namespace rota_lm
