#pragma once

#include <algorithm>
#include <type_traits>

#include <rota/core/workspace.hpp>
#include <rota/cpu/backend.hpp>
#include <rota/cpu/simd/convert.hpp>
#include <rota/policy/context_memory.hpp>
#include <rota/policy/refs.hpp>

// What all scorers on the CPU share: fixed chunks of tokens, rows as floats, checks.

namespace rota::cpu::detail {

template <element E>
void to_float(const E* in, index_t n, float* out) {
  index_t i = 0;
  for (; i + simd::lanes <= n; i += simd::lanes)
    simd::store<simd::lanes>(out + i, simd::load<simd::lanes>(in + i));
  for (; i < n; ++i) out[i] = static_cast<float>(in[i]);
}

/// A row as floats: converted into `buffer`, or read in place when it is float already.
template <element E>
const float* float_row(const E* row, index_t n, float* buffer) {
  if constexpr (std::is_same_v<E, float>) {
    return row;
  } else {
    to_float(row, n, buffer);
    return buffer;
  }
}

/// Some tokens of one kv head, the unit of work. The cut depends on the problem only, never on
/// the number of threads: that is what makes partial sums the same everywhere.
struct token_chunk {
  index_t head = 0;
  index_t first = 0;
  index_t last = 0;
  index_t number = 0;  ///< inside its head
};

struct token_chunks {
  index_t tokens = 0;
  index_t heads = 0;
  index_t size = 256;

  index_t per_head() const { return (tokens + size - 1) / size; }
  index_t count() const { return heads * per_head(); }
  token_chunk at(index_t i) const {
    const index_t number = i % per_head();
    return {i / per_head(), number * size, std::min(tokens, (number + 1) * size), number};
  }
};

/// One converted key and value row for each worker. Nothing for float contexts.
struct row_buffers {
  float* memory = nullptr;
  index_t d_k = 0;
  index_t d_v = 0;

  template <element E, class... Parts>
  static row_buffers carve(carver& from, const backend& b, const context<E, Parts...>& c) {
    if constexpr (std::is_same_v<E, float>) return {};
    return {from.take<float>(b.exec.threads * (c.d_k() + c.d_v())), c.d_k(), c.d_v()};
  }
  float* key(int worker) const { return memory ? memory + worker * (d_k + d_v) : nullptr; }
  float* value(int worker) const { return memory ? key(worker) + d_k : nullptr; }
};

/// What a scorer may know of a head; the rows are still missing.
template <element E, class... Parts>
token_ref head_ref(const context<E, Parts...>& c, index_t head) {
  token_ref t;
  t.d_k = static_cast<int>(c.d_k());
  t.d_v = static_cast<int>(c.d_v());
  t.kv_head = static_cast<int>(head);
  t.kv_heads = static_cast<int>(c.kv_heads());
  t.tokens = c.tokens();
  return t;
}

/// Points `t` to token i of its head, with the rows that are asked for.
template <bool Keys, bool Values, element E, class... Parts>
void move_to(token_ref& t, const context<E, Parts...>& c, index_t i, const row_buffers& rows,
             int worker) {
  t.index = i;
  t.position = c.position(i);
  if constexpr (Keys) t.key = float_row(c.keys.row(i, t.kv_head), c.d_k(), rows.key(worker));
  if constexpr (Values)
    t.value = float_row(c.values.row(i, t.kv_head), c.d_v(), rows.value(worker));
}

template <element E, class... Parts, int Rank>
status check_score_output(const context<E, Parts...>& c, const view<float, Rank>& out,
                          const workspace& ws) {
  if (status s = check_output(out, "out"); !s) return s;
  const byte_range written = range_of(out), scratch(ws.data, ws.bytes);
  if (touches(c, written)) return {errc::overlapping_memory, "out"};
  if (touches(c, scratch) || overlaps(scratch, written)) return {errc::overlapping_memory, "ws"};
  return {};
}

template <element E, class... Parts>
status check_token_scores(const context<E, Parts...>& c, const view<float, 2>& out,
                          const workspace& ws) {
  if (status s = check_context(c); !s) return s;
  if (out.extent[0] != c.kv_heads() || out.extent[1] != c.tokens()) return {errc::bad_shape, "out"};
  return check_score_output(c, out, ws);
}

template <element E, class... Parts>
status check_group_scores(const context<E, Parts...>& c, int width, const view<float, 3>& out,
                          const workspace& ws) {
  if (status s = check_context(c); !s) return s;
  if (!legal_group_width(c.d_v(), width, static_cast<index_t>(sizeof(E))))
    return {errc::bad_group_width, "width"};
  if (out.extent[0] != c.kv_heads() || out.extent[1] != c.tokens() ||
      out.extent[2] != c.d_v() / width)
    return {errc::bad_shape, "out"};
  return check_score_output(c, out, ws);
}

}  // namespace rota::cpu::detail
