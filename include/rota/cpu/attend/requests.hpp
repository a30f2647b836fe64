#pragma once

#include <rota/cpu/attend/matrix.hpp>
#include <rota/cpu/attend/row_state.hpp>

// What a set of query rows asks for while it reads a piece: what lies behind its keys and values.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// The part of the set of R rows that begins at row `first`. Of whole rows every set asks for a
/// share, which the first will find there when it comes to the next tile; a record's values follow
/// its keys at once, so the first asks for all of it.
template <codec E>
prefetch_share share_of(const row_problem& p, const block<E>& b, index_t first, int R) {
  if (b.order != value_order::whole || p.rows <= R) return prefetch_share::all_if(first == 0);
  return {first, std::min(first + R, p.rows), p.rows, b.count};
}

/// Lines that sets of `rows` rows ask for with a tile of keys, so that the share of theirs is asked
/// for evenly.
inline int lines_of_share(const row_problem& p, index_t rows) {
  return static_cast<int>((tile_rows * rows + p.rows - 1) / p.rows);
}

/// Of whole rows of values that are left to value_pass, it asks for the last 3 of 8 parts and the
/// sets for shares of the others, beside their weights: those behind the first piece of a tile. Of
/// smaller pieces that follow it nothing is asked for.
template <codec E>
prefetch_share value_share_of_set(const row_problem& p, const block<E>& b, index_t first) {
  const index_t set = first / 16, sets = sets_of_16(p.rows);
  return {5 * set, 5 * (set + 1), 8 * sets, b.count};
}
template <codec E>
prefetch_share value_share_of_pass(const block<E>& b) {
  return {5, 8, 8, b.count};
}
/// Lines that are asked for with a token's weights.
inline int lines_beside_weights(const row_problem& p) {
  const index_t lines = p.d_v * static_cast<index_t>(sizeof(bf16)) / 64;
  const index_t parts = 8 * sets_of_16(p.rows);
  return static_cast<int>((5 * lines + parts - 1) / parts);
}

/// Numbers at the start of a record's keys that are asked for beside the values of the record
/// before. The matrix unit takes keys as fast as they come, and slices of values keep the vectors
/// busy: memory would wait there.
template <codec E>
index_t lead_of(const row_problem& p, const block<E>& b) {
  return p.on_matrix_unit ? b.count * b.key_stride * 3 / 8 : 0;
}
/// Lines that are asked for with a tile of keys, when those of the lead are not.
inline constexpr int lines_beside_lead = tile_rows * 5 / 8;

/// What asks for the values of a piece: its rows, or all slices of its block in one and the lead of
/// the next.
template <codec E>
row_prefetcher<value_type_of<E>> values_ahead(const row_problem& p, const piece<E>& piece,
                                              const prefetch_share& share) {
  const block<E>& b = piece.from;
  if (b.order == value_order::whole)
    return {b.values + piece.first * b.value_stride, b.value_stride, piece.count, p.d_v, share};
  const index_t slices = b.starts[b.order == value_order::group_major ? p.d_v / p.width : b.count];
  constexpr auto key_bytes = static_cast<index_t>(sizeof(key_type_of<E>));
  constexpr auto value_bytes = static_cast<index_t>(sizeof(value_type_of<E>));
  const index_t n = slices * p.width + lead_of(p, b) * key_bytes / value_bytes;
  return {b.values, 0, 1, n, share};
}

/// What asks for the keys of a piece: its rows, or what lies behind the lead.
template <codec E>
row_prefetcher<key_type_of<E>> keys_ahead(const row_problem& p, const piece<E>& piece,
                                          const prefetch_share& share) {
  const block<E>& b = piece.from;
  if (b.order == value_order::whole)
    return {b.keys + piece.first * b.key_stride, b.key_stride, piece.count, p.d_k, share};
  const index_t lead = lead_of(p, b);
  return {b.keys + lead, 0, 1, b.count * b.key_stride - lead, share};
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail
