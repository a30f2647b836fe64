// What stands between the model and its key-value cache, and between the model and whoever
// watches it.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <tuple>

#include "engine/config.hpp"
#include "engine/matrix.hpp"

namespace rota_lm {

/// One layer's attention over n new tokens, as the model hands it to a cache. All arrays are
/// contiguous, row-major floats; q and k have been through RoPE at their positions.
struct attention_call {
  std::size_t layer;
  std::size_t first_position;  ///< position of the first of the n tokens
  std::size_t tokens;          ///< n, at least 1
  std::span<const float> q;    ///< [n, q_heads, head_dim]
  std::span<const float> k;    ///< [n, kv_heads, head_dim]
  std::span<const float> v;    ///< [n, kv_heads, head_dim]
  std::span<float> out;        ///< [n, q_heads, head_dim], to be written whole
};

/// Anything that keeps keys and values and attends over them. For each forward pass the model
/// calls attend() once a layer, in order, then advance() once. attend() appends the n tokens, then
/// lets query i see all that is kept up to its own position, within the layer's sliding window.
template <class Cache>
concept attention_cache = requires(Cache& cache, const Cache& view, const attention_call& call) {
  { view.next_position() } -> std::convertible_to<std::size_t>;
  cache.attend(call);
  cache.advance(std::size_t{});
};

/// What an observer is shown of one layer's forward pass, before its attention runs. The views
/// are valid during the call only.
struct layer_trace {
  std::size_t layer;
  std::size_t first_position;
  std::size_t tokens;
  const matrix& residual;         ///< [n, hidden]: what enters the layer
  const matrix& attention_input;  ///< [n, hidden]: after the layer's first norm
  const matrix& q_pre_rope;       ///< [n, q_heads * head_dim], with bias and q norm
  const matrix& k_pre_rope;       ///< [n, kv_heads * head_dim], with bias and k norm
  const matrix& q;                ///< [n, q_heads * head_dim], after RoPE
  const matrix& k;                ///< [n, kv_heads * head_dim], after RoPE
  const matrix& v;                ///< [n, kv_heads * head_dim]
};

template <class Observer>
concept layer_observer = requires(Observer& observer, const layer_trace& trace) {
  observer.on_layer(trace);
};

/// Watches nothing.
struct no_observer {
  void on_layer(const layer_trace&) const {}
};

/// Shows every trace to each of several observers, in order.
template <layer_observer... Observers>
class observers {
 public:
  explicit observers(Observers&... each) : each_(each...) {}
  void on_layer(const layer_trace& trace) {
    std::apply([&](Observers&... each) { (each.on_layer(trace), ...); }, each_);
  }

 private:
  std::tuple<Observers&...> each_;
};

}  // namespace rota_lm
