#pragma once

#include <rota/cpu/select/row_stage.hpp>
#include <rota/cpu/select/token_stage.hpp>

namespace rota::cpu::inline ROTA_CPU_ISA::select_detail {

/// The survivors of a word of groups, one bit a token.
inline std::uint64_t survivors_of(const select_memory& m, const item_block& b, index_t word) {
  return m.survivors_from(*b.chunk, b.token(word) - b.chunk->first, b.tokens(word));
}

/// Fills m.kept with the survivors of each chunk, m.items with the groups that they have and
/// m.guarded with those of protected tokens.
inline void count_groups(const backend& b, const select_memory& m) {
  for_chunks(b, m.map, 0, m.map.chunks, [&](const select_chunk& c, int) {
    const auto groups_of = [&](std::uint64_t tokens, index_t first) -> index_t {
      if (c.layer->problem.available.data == nullptr)
        return std::popcount(tokens) * c.layer->problem.groups;
      index_t sum = 0;
      for (; tokens != 0; tokens &= tokens - 1)
        sum += std::popcount(c.layer->available(c.head, first + std::countr_zero(tokens)));
      return sum;
    };
    index_t survivors = 0, items = 0, guarded = 0;
    for (index_t i = c.first; i < c.last; i += 64) {
      const index_t n = std::min<index_t>(64, c.last - i);
      const std::uint64_t tokens = m.survivors_from(c, i - c.first, n);
      const std::uint64_t kept_anyway = tokens & ~item_level::ranked_tokens(*c.layer, i, n);
      survivors += std::popcount(tokens);
      items += groups_of(tokens, i);
      guarded += groups_of(kept_anyway, i);
    }
    m.kept[c.number] = survivors;
    m.items[c.number] = items;
    m.guarded[c.number] = guarded;
  });
}

/// The groups of one row. A budget counts every group of every survivor, those dropped earlier
/// too: a ratio means the same however often a store is re-routed.
inline row_items groups_of_row(const select_memory& m, index_t row) {
  const select_unit unit = m.map.unit(budget_scope::head, row);
  row_items sum;
  for (index_t i = unit.first_chunk; i < unit.last_chunk; ++i) {
    sum.all += m.kept[i];
    sum.available += m.items[i];
    sum.guarded += m.guarded[i];
  }
  sum.all *= m.map.layer_of_row(row).problem.groups;
  return sum;
}

/// Decides the groups of each token alone.
inline void keep_by_rows(const backend& b, const item_level& level, const budget_rule& rule) {
  level.for_blocks(b, 0, level.memory.map.chunks, [&](const item_block& block, int) {
    const select_layer& l = *block.chunk->layer;
    for (index_t w = 0; w < block.words(); ++w) {
      std::uint64_t tokens = survivors_of(level.memory, block, w) &
                             item_level::ranked_tokens(l, block.token(w), block.tokens(w));
      std::uint64_t kept = 0;
      for (; tokens != 0; tokens &= tokens - 1) {
        const int i = std::countr_zero(tokens);
        const index_t token = block.token(w) + i;
        const group_mask mask = detail::select_row(rule, level.score_row(*block.chunk, token),
                                                   l.available(block.chunk->head, token), l.problem,
                                                   block.chunk->head, token);
        kept |= std::uint64_t{mask} << (i * l.problem.groups);
      }
      level.words_of(block)[w] = kept;
    }
  });
}

/// Decides what survivors keep that are not protected: fills m.kept_groups. An error leaves the
/// outputs alone.
inline status select_groups(const backend& b, const select_memory& m, const budget_rule& rule) {
  if (!rule.selects()) return {};
  const item_level level = item_level::of_groups(m);
  if (rule.by_row()) {
    if (rule.by_type())
      if (status s = check_types(m, rule); !s) return s;
    if (rule.counts())
      if (status s = check_row_counts(m, rule); !s) return s;
    keep_by_rows(b, level, rule);
    return {};
  }
  if (!rule.counts()) {
    cut_by_threshold(b, level, rule);
    return {};
  }
  const auto items_of = [&](index_t row) { return groups_of_row(m, row); };
  count_groups(b, m);
  if (status s = solve_quotas(m, rule, "groups", items_of); !s) return s;
  cut_by_quotas(b, level, rule, items_of);
  return {};
}

/// Calls f(token, mask) for each survivor of a chunk, ascending.
template <class F>
void for_masks(const select_memory& m, const budget_rule& rule, const select_chunk& c, F&& f) {
  const select_layer& l = *c.layer;
  if (!rule.selects()) return m.for_survivors(c, [&](index_t j) { f(j, l.available(c.head, j)); });
  const item_level level = item_level::of_groups(m);
  const group_mask full = full_mask(l.problem.groups);
  level.for_blocks(c, [&](const item_block& block) {
    for (index_t w = 0; w < block.words(); ++w) {
      const std::uint64_t kept = level.words_of(block)[w];
      const index_t first = block.token(w), n = block.tokens(w);
      const std::uint64_t ranked = item_level::ranked_tokens(l, first, n);
      const std::uint64_t survivors = survivors_of(m, block, w);
      const auto mask_of = [&](index_t i) {
        return static_cast<group_mask>(kept >> (i * l.problem.groups) & full);
      };
      if ((survivors & ranked) == simd::low_bits(n)) {
        for (index_t i = 0; i < n; ++i) f(first + i, mask_of(i));
        continue;
      }
      for (std::uint64_t left = survivors; left != 0; left &= left - 1) {
        const int i = std::countr_zero(left);
        const bool guarded = (ranked >> i & 1) == 0;
        f(first + i, guarded ? l.available(c.head, first + i) : mask_of(i));
      }
    }
  });
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::select_detail
