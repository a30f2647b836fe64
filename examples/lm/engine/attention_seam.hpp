// What stands between the model and its key-value cache, and between the model and whoever
// watches it.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <vector>

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
/// calls attend() once a layer, in order, then advance() once.
class attention_cache {
 public:
  virtual ~attention_cache() = default;

  /// Appends the n tokens, then lets query i see all that is kept up to its own position, within
  /// the layer's sliding window.
  virtual void attend(const attention_call& call) = 0;
  /// Counts n tokens as seen: all layers have them.
  virtual void advance(std::size_t tokens) = 0;
  /// The position that the next token will have.
  virtual std::size_t next_position() const = 0;
  /// Forgets all tokens from position `length` on. Throws where the cache cannot.
  virtual void truncate(std::size_t length) = 0;

 protected:
  attention_cache() = default;
  attention_cache(const attention_cache&) = default;
  attention_cache(attention_cache&&) = default;
  attention_cache& operator=(const attention_cache&) = default;
  attention_cache& operator=(attention_cache&&) = default;
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

class layer_observer {
 public:
  virtual ~layer_observer() = default;
  virtual void on_layer(const layer_trace& trace) = 0;

 protected:
  layer_observer() = default;
  layer_observer(const layer_observer&) = default;
  layer_observer(layer_observer&&) = default;
  layer_observer& operator=(const layer_observer&) = default;
  layer_observer& operator=(layer_observer&&) = default;
};

/// Shows every trace to each of several observers, in order.
class observers final : public layer_observer {
 public:
  observers(std::initializer_list<layer_observer*> each) : each_(each) {}
  void on_layer(const layer_trace& trace) override {
    for (layer_observer* one : each_) one->on_layer(trace);
  }

 private:
  std::vector<layer_observer*> each_;
};

}  // namespace rota_lm
