#pragma once

#include <algorithm>
#include <span>

#include <rota/core/workspace.hpp>
#include <rota/cuda/normalize/lines.cuh>
#include <rota/cuda/normalize/ranks.cuh>
#include <rota/cuda/select/stage_layers.cuh>
#include <rota/cuda/sort.cuh>

namespace rota::cuda {

namespace detail {

/// Whether a level is written, and which.
struct written_levels {
  bool tokens = false, groups = false;

  explicit written_levels(const score_normalization& kinds)
      : tokens(kinds.tokens != layer_normalization::none),
        groups(kinds.groups != layer_normalization::none) {}

  layer_scores of(const layer_scores& all) const {
    layer_scores s;
    if (tokens) s.tokens = all.tokens;
    if (groups) s.groups = all.groups;
    return s;
  }
};

/// Places for the keys of a layer's level.
template <class Level>
index_t places_of(const select_problem& p) {
  return p.kv_heads * p.tokens * Level::width(p.groups);
}

/// Scratch memory of a normalization.
struct normalize_memory {
  select_table table;
  score_sums* chunks = nullptr;    ///< [chunks]
  score_sums* totals = nullptr;    ///< [layers]
  std::uint32_t* keys = nullptr;   ///< [places of the largest layer that is ranked]
  std::uint32_t* spare = nullptr;  ///< as many
  std::byte* sort = nullptr;
  std::size_t sort_bytes = 0;

  normalize_memory(carver& from, const backend& b, const score_normalization& kinds,
                   std::span<const select_problem> problems, index_t layers)
      : table(table_of(problems, layers)) {
    table.layers = from.take<select_entry>(layers);
    chunks = from.take<score_sums>(table.chunks);
    totals = from.take<score_sums>(layers);
    index_t most = 0;
    const auto ranks = [&](layer_normalization kind, index_t places) {
      if (kind != layer_normalization::rank) return;
      most = std::max(most, places);
      sort_bytes = std::max(sort_bytes, sort_keys_bytes(b, places));
    };
    for (index_t l = 0; l < layers; ++l) {
      ranks(kinds.tokens, places_of<token_level>(problem_of(problems, l)));
      ranks(kinds.groups, places_of<group_level>(problem_of(problems, l)));
    }
    keys = from.take<std::uint32_t>(most);
    spare = from.take<std::uint32_t>(most);
    sort = from.take<std::byte>(static_cast<index_t>(sort_bytes));
  }
};

/// What a normalization writes lies apart from all else that it is given.
inline status check_apart(std::span<const select_problem> problems,
                          std::span<const layer_scores> layers, const written_levels& levels,
                          std::size_t l, const workspace& ws) {
  const layer_scores own = levels.of(layers[l]);
  const byte_range tokens = range_of(own.tokens), groups = range_of(own.groups);
  const byte_range scratch(ws.data, ws.bytes);
  const auto available = [&](std::size_t o) {
    return range_of(problem_of(problems, static_cast<index_t>(o)).available);
  };
  if (overlaps(scratch, tokens) || overlaps(scratch, groups) || overlaps(scratch, available(l)))
    return {errc::overlapping_memory, "ws"};
  if (overlaps(tokens, groups)) return {errc::overlapping_memory, "scores"};
  for (std::size_t o = 0; o < layers.size(); ++o) {
    const layer_scores other = o == l ? layer_scores{} : levels.of(layers[o]);
    for (const byte_range& mine : {tokens, groups})
      if (overlaps(mine, available(o)) || overlaps(mine, range_of(other.tokens)) ||
          overlaps(mine, range_of(other.groups)))
        return {errc::overlapping_memory, "scores"};
  }
  return {};
}

inline status check_normalize(const backend& b, std::span<const select_problem> problems,
                              std::span<const layer_scores> layers, const written_levels& levels,
                              const workspace& ws) {
  if (status s = check_memory(b, ws.data, "ws"); !s) return s;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const select_problem& p = problem_of(problems, static_cast<index_t>(l));
    if (status s = check_layer_scores(b, p, levels.tokens, levels.groups, layers[l]); !s) return s;
    const layer_scores own = levels.of(layers[l]);
    if (status s = check_output(own.tokens, "scores.tokens"); !s) return s;
    if (status s = check_output(own.groups, "scores.groups"); !s) return s;
    for (const named_memory& use :
         {named_memory(p.available.data, "available"), {p.device_tokens, "device_tokens"}})
      if (status s = check_memory(b, use); !s) return s;
    if (status s = check_apart(problems, layers, levels, l, ws); !s) return s;
  }
  return {};
}

template <class Level>
status normalize_by_line(const backend& b, const normalize_memory& m, layer_normalization kind) {
  using sum = sum_scores_kernel<Level>;
  const auto add = [&](const score_sums* totals) {
    if (status s = launch<sum>(b, {m.table.chunks}, {m.table, totals, m.chunks, b.fault},
                               sum::shared_bytes);
        !s)
      return s;
    return launch<add_chunks_kernel>(b, {m.table.layer_count},
                                     {m.table, m.chunks, m.totals, totals == nullptr, b.fault},
                                     add_chunks_kernel::shared_bytes);
  };
  if (status s = add(nullptr); !s) return s;
  if (kind == layer_normalization::standardize)
    if (status s = add(m.totals); !s) return s;
  return launch<apply_line_kernel<Level>>(b, {m.table.chunks}, {m.table, kind, m.totals, b.fault});
}

/// Layer by layer: the keys of one need room enough.
template <class Level>
status normalize_by_rank(const backend& b, const normalize_memory& m,
                         std::span<const select_problem> problems) {
  index_t first_chunk = 0;
  for (index_t l = 0; l < m.table.layer_count; ++l) {
    const select_problem& p = problem_of(problems, l);
    const index_t chunks = p.kv_heads * blocks_of(p.tokens, select_chunk_tokens);
    const index_t places = places_of<Level>(p);
    if (chunks == 0) continue;
    if (status s =
            launch<item_keys_kernel<Level>>(b, {chunks}, {m.table, first_chunk, m.keys, b.fault});
        !s)
      return s;
    const std::uint32_t* sorted = nullptr;
    if (status s = sort_keys(b, m.keys, m.spare, places, m.sort, m.sort_bytes, sorted); !s)
      return s;
    if (status s = launch<rank_scores_kernel<Level>>(
            b, {chunks}, {m.table, first_chunk, sorted, places, b.fault});
        !s)
      return s;
    first_chunk += chunks;
  }
  return {};
}

template <class Level>
status normalize_level(const backend& b, const normalize_memory& m, layer_normalization kind,
                       std::span<const select_problem> problems) {
  if (kind == layer_normalization::none) return {};
  if (kind == layer_normalization::rank) return normalize_by_rank<Level>(b, m, problems);
  return normalize_by_line<Level>(b, m, kind);
}

}  // namespace detail

/// Bytes that normalize_scores() needs for that many layers: for `rank` eight for each score of the
/// largest layer, and a sort's scratch. 0 when the problems are not valid.
inline std::size_t normalize_scores_workspace_bytes(const backend& b,
                                                    const score_normalization& kinds,
                                                    std::span<const select_problem> problems,
                                                    index_t layers) {
  if (layers < 0 || !detail::check_problems(problems, static_cast<std::size_t>(layers))) return 0;
  carver count;
  detail::normalize_memory(count, b, kinds, problems, layers);
  return count.bytes();
}

/// Makes the scores of a span of layers comparable, in place: the step between scoring each layer
/// and selecting over all of them (see layer_normalization). `problems` as for select(); scores and
/// masks lie in device memory, and the lengths may.
///
/// Scores of protected tokens, of groups that do not exist and behind a length are neither read nor
/// changed; at the group level all other tokens count, since survivors are not known yet. NaN,
/// infinities, sums of 0 and lone items as on the CPU.
///
/// Sums are in double and in a fixed order: every run gives the same bits. Ranks are the CPU's bit
/// for bit. The other kinds may differ from it in the last place, since its sums are in another
/// order; a selection over the span may then differ among items that are so close.
///
/// On the device: bad_count ("length"); the scores are then untouched. From the host:
/// bad_parameter ("normalization"), the errors of the views, wrong_memory, overlapping_memory,
/// workspace_too_small.
inline status normalize_scores(const backend& b, const score_normalization& kinds,
                               std::span<const select_problem> problems,
                               std::span<const layer_scores> layers, workspace ws) {
  if (status s = check_backend(b); !s) return s;
  if (kinds.tokens > layer_normalization::rank || kinds.groups > layer_normalization::rank)
    return {errc::bad_parameter, "normalization"};
  if (status s = detail::check_problems(problems, layers.size()); !s) return s;
  const detail::written_levels levels(kinds);
  if (status s = detail::check_normalize(b, problems, layers, levels, ws); !s) return s;
  carver from(ws);
  const detail::normalize_memory m(from, b, kinds, problems, static_cast<index_t>(layers.size()));
  if (status s = from.check(); !s) return s;
  const auto entry = [&](index_t l) {
    const layer_scores own = levels.of(layers[static_cast<std::size_t>(l)]);
    return detail::entry_of(detail::problem_of(problems, l), own, {});
  };
  if (status s = detail::stage_layers(b, m.table, entry); !s) return s;
  if (status s = detail::normalize_level<token_level>(b, m, kinds.tokens, problems); !s) return s;
  return detail::normalize_level<group_level>(b, m, kinds.groups, problems);
}

}  // namespace rota::cuda
