#pragma once

#include <rota/cpu/select/count_stage.hpp>

namespace rota::cpu::inline ROTA_CPU_ISA::select_detail {

using detail::row_items;
using detail::select_layer;

/// Sets the bits first .. last - 1 of a row of words.
inline void set_bits(std::uint64_t* words, index_t first, index_t last) {
  for (; first < last; first = first / 64 * 64 + 64)
    words[first / 64] |= simd::low_bits(last - first / 64 * 64) & ~simd::low_bits(first % 64);
}

/// Calls f(layer, words) for each row, whose survivors those words are.
template <class F>
void for_rows(const select_memory& m, F&& f) {
  for (index_t i = 0; i < m.map.layer_count; ++i) {
    const select_layer& l = m.map.layers[i];
    for (index_t h = 0; h < l.rows(); ++h)
      f(l, m.survivors + (l.first_chunk + h * l.chunks_per_head) * detail::words_per_chunk);
  }
}

/// Decides who survives: fills m.survivors. An error leaves the outputs alone.
inline status select_tokens(const backend& b, const select_memory& m, const budget_rule& rule) {
  if (!rule.selects()) {
    std::fill_n(m.survivors, m.map.chunks * detail::words_per_chunk, std::uint64_t{0});
    for_rows(m, [](const select_layer& l, std::uint64_t* words) {
      set_bits(words, l.expired(), l.problem.tokens);
    });
    return {};
  }
  const item_level level = item_level::of_tokens(m);
  if (rule.counts()) {
    const auto items_of = [&](index_t row) -> row_items {
      const select_layer& l = m.map.layer_of_row(row);
      return {l.problem.tokens, l.problem.tokens - l.expired(), l.protected_tokens()};
    };
    if (status s = solve_quotas(m, rule, "tokens", items_of); !s) return s;
    cut_by_quotas(b, level, rule, items_of);
  } else {
    cut_by_threshold(b, level, rule);
  }
  for_rows(m, [](const select_layer& l, std::uint64_t* words) {
    set_bits(words, l.expired(), l.first_ranked());
    set_bits(words, l.last_ranked(), l.problem.tokens);
  });
  return {};
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::select_detail
