#pragma once

#include <bit>
#include <cmath>
#include <span>

#include <rota/cpu/select/check.hpp>
#include <rota/cpu/select/chunks.hpp>
#include <rota/cpu/select/rank_scores.hpp>
#include <rota/select/normalization.hpp>

namespace rota::cpu {

namespace detail {

/// The levels of scores.
enum class score_level { tokens, groups };

inline layer_normalization kind_of(const score_normalization& kinds, score_level level) {
  return level == score_level::tokens ? kinds.tokens : kinds.groups;
}

/// Sums over the finite scores of a chunk or a layer.
struct score_sums {
  index_t count = 0;
  double sum = 0;
  double magnitude = 0;
  double squares = 0;  ///< of the distances to the mean

  void add(const score_sums& other) {
    count += other.count;
    sum += other.sum;
    magnitude += other.magnitude;
    squares += other.squares;
  }
  double mean() const { return sum / static_cast<double>(count); }
};

/// Scratch memory of a normalization.
struct normalize_memory {
  select_map map;
  score_sums* chunks = nullptr;  ///< [chunks]
  score_sums* layers = nullptr;  ///< [layers]
  std::byte* ranks = nullptr;    ///< [threads, rank_bytes]
  std::size_t rank_bytes = 0;

  static normalize_memory carve(carver& from, const backend& b, const score_normalization& kinds,
                                std::span<const select_problem> problems, index_t layers) {
    normalize_memory m;
    m.map.layer_count = layers;
    m.map.layers = from.take<select_layer>(layers);
    index_t chunks = 0, longest = 0;
    for (index_t l = 0; l < layers; ++l) {
      const select_problem& p = problems[problems.size() == 1 ? 0 : static_cast<std::size_t>(l)];
      chunks += p.kv_heads * ((p.tokens + select_chunk_tokens - 1) / select_chunk_tokens);
      const index_t tokens = p.kv_heads * (p.last_ranked() - p.first_ranked());
      if (kinds.tokens == layer_normalization::rank) longest = std::max(longest, tokens);
      if (kinds.groups == layer_normalization::rank) longest = std::max(longest, tokens * p.groups);
    }
    m.chunks = from.take<score_sums>(chunks);
    m.layers = from.take<score_sums>(layers);
    if (longest > 0) {
      carver one;
      const rank_scratch counted(one, longest);
      m.rank_bytes = one.bytes();
    }
    m.ranks = from.take<std::byte>(b.exec.threads * static_cast<index_t>(m.rank_bytes));
    return m;
  }

  rank_scratch ranks_of(int worker, index_t items) const {
    carver own(workspace{ranks + static_cast<std::size_t>(worker) * rank_bytes, rank_bytes});
    return {own, items};
  }
};

/// Calls f(score) for each ranked item of a head's tokens first .. last - 1.
template <class F>
void for_scores(const select_layer& l, score_level level, index_t head, index_t first, index_t last,
                F&& f) {
  last = std::min(last, l.last_ranked());
  for (index_t j = std::max(first, l.first_ranked()); j < last; ++j) {
    if (level == score_level::tokens) {
      f(l.scores.tokens(head, j));
      continue;
    }
    float* const scores = l.scores.groups.row(head, j);
    for (unsigned left = l.available(head, j); left != 0; left &= left - 1)
      f(scores[std::countr_zero(left)]);
  }
}

/// Adds up `add(score, sums)` over the finite items of each layer, chunk by chunk in a fixed order.
template <class Add>
void sum_layers(const backend& b, const normalize_memory& m, score_level level, Add&& add) {
  parallel_for(b, m.map.chunks, [&](index_t i, int) {
    const select_chunk c = m.map.chunk(i);
    score_sums sums;
    for_scores(*c.layer, level, c.head, c.first, c.last, [&](const float& x) {
      if (std::isfinite(x)) add(x, c.layer->number, sums);
    });
    m.chunks[i] = sums;
  });
  for (index_t l = 0; l < m.map.layer_count; ++l) {
    const select_unit unit = m.map.unit(budget_scope::layer, l);
    for (index_t i = unit.first_chunk; i < unit.last_chunk; ++i) m.layers[l].add(m.chunks[i]);
  }
}

/// x becomes (x - shift) / divisor.
struct score_line {
  double shift = 0;
  double divisor = 1;
};

inline score_line line_of(layer_normalization kind, const score_sums& s) {
  score_line line;
  const auto count = static_cast<double>(s.count);
  if (kind == layer_normalization::layer_mean) line.divisor = s.magnitude / count;
  if (kind == layer_normalization::layer_sum) line.divisor = s.magnitude;
  if (kind == layer_normalization::standardize) line = {s.mean(), std::sqrt(s.squares / count)};
  // All 0, or none finite: nothing to divide by. All equal: what is left is 0.
  if (!(line.divisor > 0)) line.divisor = 1;
  return line;
}

inline void normalize_by_line(const backend& b, const normalize_memory& m, score_level level,
                              layer_normalization kind) {
  std::fill_n(m.layers, m.map.layer_count, score_sums{});
  sum_layers(b, m, level, [](float x, index_t, score_sums& s) {
    ++s.count;
    s.sum += x;
    s.magnitude += std::fabs(x);
  });
  if (kind == layer_normalization::standardize)
    sum_layers(b, m, level, [&](float x, index_t layer, score_sums& s) {
      const double distance = x - m.layers[layer].mean();
      s.squares += distance * distance;
    });
  parallel_for(b, m.map.chunks, [&](index_t i, int) {
    const select_chunk c = m.map.chunk(i);
    const score_line line = line_of(kind, m.layers[c.layer->number]);
    for_scores(*c.layer, level, c.head, c.first, c.last, [&](float& x) {
      if (std::isfinite(x)) x = static_cast<float>((x - line.shift) / line.divisor);
    });
  });
}

inline void normalize_by_rank(const backend& b, const normalize_memory& m, score_level level) {
  parallel_for(b, m.map.layer_count, [&](index_t number, int worker) {
    const select_layer& l = m.map.layers[number];
    const select_problem& p = l.problem;
    const index_t tokens = p.kv_heads * (l.last_ranked() - l.first_ranked());
    if (tokens == 0) return;
    const rank_scratch s =
        m.ranks_of(worker, level == score_level::tokens ? tokens : tokens * p.groups);
    rank_scores(s, [&](auto&& f) {
      for (index_t h = 0; h < p.kv_heads; ++h) for_scores(l, level, h, 0, p.tokens, f);
    });
  });
}

/// Checks the scores that a normalization writes and fills the map.
inline status prepare_normalize(const score_normalization& kinds,
                                std::span<const select_problem> problems,
                                std::span<const layer_scores> layers, const workspace& ws,
                                normalize_memory& m) {
  const auto written = [&](std::size_t l) {
    layer_scores s;
    if (kinds.tokens != layer_normalization::none) s.tokens = layers[l].tokens;
    if (kinds.groups != layer_normalization::none) s.groups = layers[l].groups;
    return s;
  };
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const select_problem& p = problems[problems.size() == 1 ? 0 : l];
    if (status s = check_scores(p, kinds.tokens != layer_normalization::none,
                                kinds.groups != layer_normalization::none, layers[l]);
        !s)
      return s;
    const layer_scores own = written(l);
    if (status s = check_output(own.tokens, "scores.tokens"); !s) return s;
    if (status s = check_output(own.groups, "scores.groups"); !s) return s;
    const byte_range tokens = range_of(own.tokens), groups = range_of(own.groups);
    const byte_range scratch(ws.data, ws.bytes);
    if (overlaps(scratch, tokens) || overlaps(scratch, groups) ||
        overlaps(scratch, range_of(p.available)))
      return {errc::overlapping_memory, "ws"};
    if (overlaps(tokens, groups)) return {errc::overlapping_memory, "scores"};
    for (std::size_t o = 0; o < layers.size(); ++o) {
      const byte_range exist = range_of(problems[problems.size() == 1 ? 0 : o].available);
      const layer_scores other = o == l ? layer_scores{} : written(o);
      for (const byte_range& mine : {tokens, groups})
        if (overlaps(mine, exist) || overlaps(mine, range_of(other.tokens)) ||
            overlaps(mine, range_of(other.groups)))
          return {errc::overlapping_memory, "scores"};
    }
  }
  for (std::size_t l = 0; l < layers.size(); ++l) {
    m.map.add(static_cast<index_t>(l), problems[problems.size() == 1 ? 0 : l]);
    m.map.layers[l].scores = written(l);
  }
  return {};
}

}  // namespace detail

/// Bytes that normalize_scores() needs for that many layers: for `rank` eight for each ranked item
/// of the largest layer, once a thread. 0 when the problems are not valid.
inline std::size_t normalize_scores_workspace_bytes(const backend& b,
                                                    const score_normalization& kinds,
                                                    std::span<const select_problem> problems,
                                                    index_t layers) {
  if (layers < 0 || !detail::check_problems(problems, static_cast<std::size_t>(layers))) return 0;
  carver count;
  detail::normalize_memory::carve(count, b, kinds, problems, layers);
  return count.bytes();
}

/// Makes the scores of a span of layers comparable, in place: the step between scoring each layer
/// and selecting over all of them (see layer_normalization). `problems` as for select().
///
/// Scores of protected tokens and of groups that do not exist are neither read nor changed; at the
/// group level all other tokens count, since survivors are not known yet. NaN stays NaN and takes
/// no part. Infinities stay and take no part in means, sums and deviations; `rank` ranks them.
/// Where a layer has no finite score, or its mean or sum of magnitudes is 0, nothing changes; where
/// the deviation is 0, finite scores become 0. Equal scores stay equal. A lone item has the rank
/// 0.5.
///
/// Sums are in double and in a fixed order: the same bits for any number of threads. Errors leave
/// the scores untouched: bad_parameter ("normalization"), bad_shape, null_view, bad_stride,
/// bad_count, overlapping_memory, workspace_too_small.
inline status normalize_scores(const backend& b, const score_normalization& kinds,
                               std::span<const select_problem> problems,
                               std::span<const layer_scores> layers, workspace ws) {
  if (status s = check_backend(b); !s) return s;
  if (kinds.tokens > layer_normalization::rank || kinds.groups > layer_normalization::rank)
    return {errc::bad_parameter, "normalization"};
  if (status s = detail::check_problems(problems, layers.size()); !s) return s;
  carver from(ws);
  detail::normalize_memory m = detail::normalize_memory::carve(from, b, kinds, problems,
                                                               static_cast<index_t>(layers.size()));
  if (status s = from.check(); !s) return s;
  if (status s = detail::prepare_normalize(kinds, problems, layers, ws, m); !s) return s;
  for (const auto level : {detail::score_level::tokens, detail::score_level::groups}) {
    const layer_normalization kind = detail::kind_of(kinds, level);
    if (kind == layer_normalization::rank)
      detail::normalize_by_rank(b, m, level);
    else if (kind != layer_normalization::none)
      detail::normalize_by_line(b, m, level, kind);
  }
  return {};
}

}  // namespace rota::cpu
