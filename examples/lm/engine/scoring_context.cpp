#include "engine/scoring_context.hpp"

#include <algorithm>

#include "engine/error.hpp"
#include "engine/rota_call.hpp"

namespace rota_lm {

prefill_record::prefill_record(const model& lm, std::size_t window, std::size_t skip,
                               std::size_t moment_layers)
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

void prefill_record::on_layer(const layer_trace& t) {
  if (has_moments(t.layer)) {
    const rota::view<const float, 3> queries(
        t.q_pre_rope.data(), static_cast<rota::index_t>(t.tokens),
        static_cast<rota::index_t>(config_.q_heads), static_cast<rota::index_t>(config_.head_dim));
    require(statistics_[t.layer].update(queries), "query statistics");
  }
  window_.on_layer(t);
  tokens_ = t.first_position + t.tokens;
}

template <rota::element E>
scoring_context<E>::scoring_context(const dense_cache<E>& cache, const prefill_record& record,
                                    std::size_t layer) {
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

/// The store has heads first, a context tokens first: the same memory with other strides.
template <rota::element E>
void scoring_context<E>::set_keys_and_values(const rota::dense_store<E>& store) {
  const auto turned = [&](const rota::view<E, 3>& rows) {
    return rota::view<const E, 3>(rows.data, {store.length, rows.extent[0], rows.extent[2]},
                                  {rows.stride[1], rows.stride[0], rows.stride[2]});
  };
  context_.keys = turned(store.keys);
  context_.values = turned(store.values);
}

template <rota::element E>
void scoring_context<E>::set_window(const prefill_record& record, std::size_t layer) {
  const model_config& c = record.config();
  context_.queries = rota::view<const float, 3>(
      record.window().queries(layer).data(),
      static_cast<rota::index_t>(record.window().tokens(layer)),
      static_cast<rota::index_t>(c.q_heads), static_cast<rota::index_t>(c.head_dim));
}

template <rota::element E>
void scoring_context<E>::set_moments(const prefill_record& record, std::size_t layer) {
  const model_config& c = record.config();
  const auto heads = static_cast<rota::index_t>(c.q_heads);
  const auto d = static_cast<rota::index_t>(c.head_dim);
  covariance_.resize(c.q_heads * c.head_dim * c.head_dim);
  require(record.statistics(layer).finish(rota::view<float, 3>(covariance_.data(), heads, d, d),
                                          context_),
          "query statistics");
}

template class scoring_context<float>;
template class scoring_context<rota::bf16>;

}  // namespace rota_lm
