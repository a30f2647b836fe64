#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include <rota/cpu/attend/requests.hpp>

// Values on the matrix unit for several sets of 16 query rows (of one see matrix_values.hpp). A
// product adds pairs of tokens and wants the columns of a pair side by side, so values are brought
// into that order, a piece that the nearest cache holds at a time, and multiplied with the weights
// of all sets there: no half of a product idles, and sums are columns as they lie.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// Floats that the weights of a set of 16 rows for a tile's tokens take as factors.
inline constexpr index_t weight_tile_floats = tile_capacity * 16;  // two terms of half the size

/// Whether sets of 16 rows take values so, where the unit is used: d_v suits it, and there are
/// several sets. One alone takes them as they lie: to pair them costs it more.
template <codec C>
bool takes_value_tiles(index_t rows, index_t d_v) {
  return suits_matrix_unit<16, value_type_of<C>> && sets_of_16(rows) > 1 && d_v % tile_depth == 0;
}

#if defined(ROTA_CPU_AMX)

/// The factors of one set's weights: [tokens / 32].
template <int Terms>
using weight_tiles = simd::uints<16> (*)[Terms][tile_rows];

/// Those of set number `set`, in the memory of the problem.
template <int Terms>
weight_tiles<Terms> weight_tiles_of(const row_problem& p, index_t set) {
  return reinterpret_cast<weight_tiles<Terms>>(p.weight_tiles + set * weight_tile_floats);
}

/// weights: [tokens][16]; zeros behind the last.
template <int Terms>
void stage_weight_tiles(const float* weights, index_t tokens, weight_tiles<Terms> to) {
  for (index_t j = 0; j < tokens; j += tile_depth, ++to) {
    const float* from = weights + j * 16;
    alignas(64) float part[tile_depth * 16];
    if (const index_t left = tokens - j; left < tile_depth) {
      std::fill(std::copy(from, from + left * 16, part), part + tile_depth * 16, 0.0f);
      from = part;
    }
    simd::stage_weight_pairs<Terms>(from, *to);
  }
}

/// The values of a tile's tokens, added to all sets of 16 rows. Values that are huge or not finite
/// are zero in the factors: zero, the weight of what a row does not see, times infinity is not a
/// number, and sums inside the unit must not overflow. They are added one by one to the rows that
/// see them.
template <int Terms, class Walk>
class value_pass {
 public:
  value_pass(const row_problem& p, const row_state& state, const Walk& tile)
      : p_(p), state_(state), tile_(tile), sets_(sets_of_16(p.rows)) {
    for (const auto& piece : tile) {
      if (piece.from.order != value_order::whole) continue;
      const bf16* row = piece.from.values + piece.first * piece.from.value_stride;
      for (index_t i = 0; i < piece.count; ++i, row += piece.from.value_stride)
        rows_[piece.at + i] = row;
    }
    if (const auto& first = *tile.begin(); first.from.order == value_order::whole)
      ahead_ = values_ahead(p, first, value_share_of_pass(first.from));
  }

  void run() {
    for (index_t c = 0; c < p_.d_v; c += most_columns) {
      const index_t columns = std::min(most_columns, p_.d_v - c);
      for (index_t j = 0; j < tile_.tokens(); j += most_tokens) {
        const token_range range{j, std::min(j + most_tokens, tile_.tokens())};
        const bool moderate = gather(range, c, columns);
        simd::before_tile_loads();
        for (index_t set = 0; set < sets_; ++set) add(set, range, c, columns / 16);
        if (!moderate) add_immoderate(range, c, columns);
      }
    }
  }

 private:
  static constexpr index_t most_columns = 4 * 16;  // a set has four sums
  static constexpr index_t most_tokens = 128;
  static constexpr index_t depth = tile_depth;

  float* sums_of(index_t row) const { return state_.out + row * padded(p_.d_v); }

  /// Where the pair that token i of the range begins has column c.
  bf16* at(index_t i, index_t c) {
    return values_[i / depth][c / 16] + i % depth * 16 + c % 16 * 2;
  }

  /// false where something is immoderate, and zero in the factors.
  bool gather(token_range range, index_t first_column, index_t columns) {
    const index_t n = range.end - range.begin;
    const bf16* const* const rows = rows_ + range.begin;
    simd::pair_columns pair;
    for (index_t i = 0; i < n; i += 2) {
      for (index_t c = 0; c < columns; c += depth)
        pair(rows[i], rows[i + 1], (first_column + c) * 2, at(i, c), at(i, c + 16));
      ahead_.template next<2>();
    }
    for (index_t i = align_up(n, 2); i < align_up(n, depth); i += 2)
      for (index_t c = 0; c < columns; c += 16) std::memset(static_cast<void*>(at(i, c)), 0, 64);
    if (pair.all_moderate()) return true;
    for (index_t i = 0; i < n; ++i)
      for (index_t c = 0; c < columns && rows[i] != nullptr; ++c)
        if (!is_moderate(rows[i][first_column + c])) at(i - i % 2, c)[i % 2] = bf16(0.0f);
    return false;
  }
  static bool is_moderate(bf16 v) { return (v.bits & 0x7fff) < simd::least_immoderate; }

  /// n times 16 columns of the set's rows, from c on.
  void add(index_t set, token_range range, index_t c, index_t n) const {
    float* const sums = sums_of(16 * set) + c;
    const index_t stride_bytes = padded(p_.d_v) * 4;
    auto weights = weight_tiles_of<Terms>(p_, set) + range.begin / depth;
    const auto each_tile = [&](auto f) __attribute__((always_inline)) {
      simd::each_constant<4>([&](auto k) __attribute__((always_inline)) {
        if (k < n) f(k);
      });
    };
    each_tile([&](auto k) __attribute__((always_inline)) {
      simd::load_sums<k>(sums + k * 16, stride_bytes);
    });
    for (index_t i = 0; i < range.end - range.begin; i += depth, ++weights) {
      simd::each_constant<Terms>([&](auto term) __attribute__((always_inline)) {
        simd::load_kept_tile<term>((*weights)[term]);
      });
      each_tile([&](auto k) __attribute__((always_inline)) {
        simd::load_tile(values_[i / depth][k], 64);
        simd::each_constant<Terms>([&](auto term) __attribute__((always_inline)) {
          simd::multiply_kept_by<k, term>();
        });
      });
    }
    each_tile([&](auto k) __attribute__((always_inline)) {
      simd::store_sums<k>(sums + k * 16, stride_bytes);
    });
  }

  void add_immoderate(token_range range, index_t first_column, index_t columns) const {
    for (const auto& piece : tile_)
      for (index_t r = 0; r < 16 * sets_; ++r) {
        token_range own{piece.first, piece.first + piece.count};
        if (p_.sights != nullptr) own = seen(piece.from, piece.first, piece.count, p_.sights[r]);
        const index_t shift = piece.at - piece.first;
        const index_t end = std::min(own.end + shift, range.end);
        for (index_t j = std::max(own.begin + shift, range.begin); j < end; ++j) {
          if (rows_[j] == nullptr) break;
          for (index_t c = first_column; c < first_column + columns; ++c)
            if (!is_moderate(rows_[j][c]))
              sums_of(r)[c] += weight(r, j) * static_cast<float>(rows_[j][c]);
        }
      }
  }

  float weight(index_t row, index_t token) const {
    float sum = 0;
    for (const auto& term : weight_tiles_of<Terms>(p_, row / 16)[token / depth]) {
      const auto* bytes = reinterpret_cast<const char*>(&term[row % 16]);
      bf16 part;
      std::memcpy(static_cast<void*>(&part), bytes + token % depth * 2, sizeof(bf16));
      sum += static_cast<float>(part);
    }
    return sum;
  }

  const row_problem& p_;
  const row_state& state_;
  const Walk& tile_;
  index_t sets_;
  row_prefetcher<bf16> ahead_;
  const bf16* rows_[tile_capacity + 1] = {};  ///< null: not a whole row, which is zeros
  alignas(64) bf16 values_[most_tokens / depth][most_columns / 16][depth * 16];
};

#endif

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail
