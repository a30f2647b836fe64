#pragma once

#include <algorithm>
#include <cmath>

#include <rota/cpu/attend/matrix_logits.hpp>
#include <rota/cpu/attend/matrix_values.hpp>
#include <rota/cpu/attend/requests.hpp>
#include <rota/cpu/attend/softmax.hpp>
#include <rota/cpu/attend/value_tiles.hpp>
#include <rota/cpu/attend/weigh.hpp>
#include <rota/cpu/attend/wide_logits.hpp>

// What a tile of tokens does to the state of a set of query rows of one kv head.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

inline void scale_row(float* row, index_t n, float factor) {
  const native f = simd::broadcast<lanes>(factor);
  for (index_t c = 0; c < n; c += lanes)
    simd::store<lanes>(row + c, f * simd::load<lanes>(row + c));
}

/// The block's codes as whole rows of values.
template <codec C>
block<code_type_of<C>> codes_of(const block<C>& b, index_t rank) {
  block<code_type_of<C>> out;
  out.count = b.count;
  out.values = b.codes;
  out.value_stride = rank;
  return out;
}

/// A set of R rows.
template <index_t FixedWidth, matrix_terms Terms, int R>
class row_set {
 public:
  row_set(const row_problem& p, const row_state& state, index_t first)
      : p_(p),
        q_(p.q + first * padded(p.d_k)),
        q_tiles_(p.q_tiles ? p.q_tiles + first * query_tile_floats(p.d_k) : nullptr),
        sights_(p.sights ? p.sights + first : nullptr),
        max_(state.max + first),
        sum_(state.sum + first),
        kept_(state.kept + first * p.groups),
        sums_{state.out + first * padded(p.d_v), padded(p.d_v)},
        codes_{state.codes + first * padded(p.code_rank), padded(p.code_rank)},
        first_(first) {}

  /// Forms the logits of a piece.
  template <codec E>
  void score(const piece<E>& piece) {
    const token_range range = seen_by_any(piece);
    float* at = weights_ + piece.at * R;
    float* const end = at + piece.count * R;
    if (range.empty()) {
      std::fill(at, end, minus_infinity);
      return;
    }
    float* const begin = at + (range.begin - piece.first) * R;
    std::fill(at, begin, minus_infinity);
    score_range(piece, range, begin);
    std::fill(at + (range.end - piece.first) * R, end, minus_infinity);
    if (see_alike()) return;
    for (int r = 0; r < R; ++r) hide_unseen(piece, range, r, at);
  }

  /// Whether two sets of 16 rows can be scored at once over such keys.
  template <codec E>
  static constexpr bool scores_two =
      R == 16 && Terms.query == 1 && suits_matrix_unit<R, key_type_of<E>>;

  /// As score() for this set and the next.
  template <codec E>
  void score_two(row_set& next, const piece<E>& piece) {
    const block<E>& b = piece.from;
    const token_range all{piece.first, piece.first + piece.count};
    if (!p_.on_matrix_unit || !sees(piece, all) || !next.sees(piece, all)) {
      score(piece);
      next.score(piece);
      return;
    }
    auto ahead = keys_ahead(p_, piece, attend_detail::share_of(p_, b, first_, 2 * R));
    const int lines = b.order == value_order::whole ? lines_of_share(p_, 2 * R) : key_lines;
    float* const to[] = {weights_ + piece.at * R, next.weights_ + piece.at * R};
    if (matrix_logits_of_two(b, all, {q_tiles_, next.q_tiles_}, p_.d_k, ahead, lines, to)) return;
    mend_logits(b, all, to[0]);
    next.mend_logits(b, all, to[1]);
  }

  /// Takes a tile whose pieces have been scored into the state.
  template <class Walk>
  void add_scored(const Walk& tile) {
    const index_t n = tile.tokens();
    const index_t whole_vectors = align_up(n * R, lanes) / R;
    auto ahead = values_ahead(p_, *tile.begin(), value_share_of(tile.begin()->from));
    std::fill(weights_ + n * R, weights_ + whole_vectors * R, minus_infinity);
    float correction[R];
    const bool leaves = may_leave_values<typename Walk::element_type> &&
                        p_.weight_tiles != nullptr && has_whole_rows(tile);
    update_weights(tile, whole_vectors, leaves, correction, ahead);
    for (int r = 0; r < R; ++r)
      if (correction[r] != 1.0f) scale(r, correction[r]);
    for (const auto& piece : tile) {
      if (&piece != tile.begin()) ahead = values_ahead(p_, piece, value_share_of(piece.from));
      weigh(piece, ahead);
    }
    if constexpr (may_leave_values<typename Walk::element_type>)
      if (leaves)
        stage_weight_tiles<Terms.weight>(weights_, n,
                                         weight_tiles_of<Terms.weight>(p_, first_ / 16));
  }

 private:
  /// Logits become weights; rounded where the matrix unit will take them. Memory is asked for
  /// meanwhile, lest it idle.
  template <class Walk>
  void update_weights(const Walk& tile, index_t n, bool leaves, float* correction,
                      row_prefetcher<value_type_of<typename Walk::element_type>>& ahead) {
    using E = typename Walk::element_type;
    const int lines = leaves ? lines_beside_weights(p_) : R > 4 ? 1 : 2;
    if constexpr (suits_matrix_unit<R, value_type_of<E>>)
      if (p_.on_matrix_unit && p_.d_v % tile_depth == 0 && has_whole_rows(tile))
        return update_softmax<R>(weights_, n, p_.scale, max_, sum_, correction, [&](native x) {
          ahead.next(lines);
          return matrix_weight<simd::weight_terms<R, Terms.weight>>(x);
        });
    update_softmax<R>(weights_, n, p_.scale, max_, sum_, correction, [&](native x) {
      ahead.next(lines);
      return simd::exp2<lanes>(x);
    });
  }

  /// 2^x as the matrix unit will take it.
  template <int Kept>
  static native matrix_weight(native x) {
    if constexpr (Kept == 1) return simd::kept_of_weights<lanes, 1>(simd::exp2_of_weight<lanes>(x));
    return simd::kept_of_weights<lanes, Kept>(simd::exp2<lanes>(x));
  }

  /// Whether the values of a block go through the matrix unit.
  template <codec E>
  bool has_matrix_values(const block<E>& b) const {
    return p_.on_matrix_unit && b.order == value_order::whole && p_.d_v % tile_depth == 0;
  }

  /// Whether such values are left to value_pass.
  template <codec E>
  static constexpr bool may_leave_values = R == 16 && suits_matrix_unit<R, value_type_of<E>>;
  template <codec E>
  bool leaves_values(const block<E>& b) const {
    return may_leave_values<E> && p_.weight_tiles != nullptr && has_matrix_values(b);
  }

  void scale(int r, float factor) {
    scale_row(sums_.data + r * sums_.stride, p_.d_v, factor);
    scale_row(codes_.data + r * codes_.stride, p_.code_rank, factor);
    for (index_t s = 0; s < p_.groups; ++s) kept_[s * R + r] *= factor;
  }

  /// Whether it finds the tile in memory and not in a cache.
  bool prefetches() const { return first_ == 0; }

  template <codec E>
  prefetch_share share_of(const block<E>& b) const {
    return attend_detail::share_of(p_, b, first_, R);
  }
  template <codec E>
  prefetch_share value_share_of(const block<E>& b) const {
    return leaves_values(b) ? value_share_of_set(p_, b, first_) : share_of(b);
  }
  static constexpr int key_lines = FixedWidth > 0 ? lines_beside_lead : tile_rows;

  template <codec E>
  token_range seen_by_any(const piece<E>& piece) const {
    if (sights_ == nullptr) return {piece.first, piece.first + piece.count};
    return seen(piece.from, piece.first, piece.count, {sights_[0].low, sights_[R - 1].high});
  }
  bool see_alike() const {
    return sights_ == nullptr ||
           (sights_[0].low == sights_[R - 1].low && sights_[0].high == sights_[R - 1].high);
  }

  template <codec E>
  void score_range(const piece<E>& piece, token_range range, float* to) {
    const block<E>& b = piece.from;
    if constexpr (suits_matrix_unit<R, key_type_of<E>>)
      if (p_.on_matrix_unit) {
        auto ahead = keys_ahead(p_, piece, share_of(b));
        const auto form = [&]<int Lines>(std::integral_constant<int, Lines>) {
          return matrix_logits<R, Terms.query, Lines>(b, range, q_tiles_, p_.d_k, ahead, to);
        };
        if (!form_paced(b, form)) mend_logits(b, range, to);
        return;
      }
    vector_logits(b, range, to, prefetches());
  }

  /// form() with the lines that the set asks for with a tile of keys. Only 16 rows are one of many
  /// sets, whose shares are small.
  template <codec E, class Form>
  bool form_paced(const block<E>& b, Form form) const {
    if constexpr (R == 16)
      if (b.order == value_order::whole) {
        const int lines = lines_of_share(p_, R);
        if (lines <= 4) return form(std::integral_constant<int, 4>{});
        if (lines <= 8) return form(std::integral_constant<int, 8>{});
      }
    return form(std::integral_constant<int, key_lines>{});
  }

  /// Replaces the logits that are not finite.
  template <codec E>
  void mend_logits(const block<E>& b, token_range range, float* to) {
    float exact[(matrix_tokens + simd::accumulators) * R];
    for (index_t j = range.begin; j < range.end; j += matrix_tokens) {
      const token_range part{j, std::min(j + matrix_tokens, range.end)};
      vector_logits(b, part, exact, false);
      for (index_t i = 0; i < (part.end - j) * R; ++i, ++to)
        if (!std::isfinite(*to)) *to = exact[i];
    }
  }

  template <codec E>
  void vector_logits(const block<E>& b, token_range range, float* to, bool prefetch) {
    if constexpr (is_wide(R))
      wide_logits(b, range, q_, p_.d_k, prefetch, to);
    else
      logits<R>(b, range, q_, padded(p_.d_k), p_.d_k, prefetch, to);
  }

  template <codec E>
  void hide_unseen(const piece<E>& piece, token_range range, int r, float* at) {
    const token_range own = seen(piece.from, piece.first, piece.count, sights_[r]);
    const auto hide = [&](index_t begin, index_t end) {
      for (index_t j = begin; j < end; ++j) at[(j - piece.first) * R + r] = minus_infinity;
    };
    hide(range.begin, std::min(own.begin, range.end));
    hide(std::max(own.end, range.begin), range.end);
  }

  template <codec E>
  void weigh(const piece<E>& piece, row_prefetcher<value_type_of<E>>& ahead) {
    const token_range range = seen_by_any(piece);
    if (range.empty()) return;
    const float* p = weights_ + piece.at * R;
    if (p_.groups > 0)
      add_kept<R>(piece.from, range, weights_view<R>{p, piece.first}, p_.groups, kept_);
    const token_range common = see_alike() ? range : seen_by_all(piece, range);
    add_range<R>(piece, common, {p, piece.first}, 0, ahead);
    if (common.begin == range.begin && common.end == range.end) return;
    // Row by row: what a row may not see must not reach it, not even as 0 * NaN.
    row_prefetcher<value_type_of<E>> none;
    for (int r = 0; r < R; ++r) {
      const token_range own = seen(piece.from, piece.first, piece.count, sights_[r]);
      const weights_view<1> weights{p + r, piece.first, R};
      add_range<1>(piece, {own.begin, std::min(own.end, common.begin)}, weights, r, none);
      add_range<1>(piece, {std::max(own.begin, common.end), own.end}, weights, r, none);
    }
  }

  /// Adds the values of the tokens in the range to Rows rows from `row` on.
  template <int Rows, codec E>
  void add_range(const piece<E>& piece, token_range range, weights_view<Rows> weights, int row,
                 row_prefetcher<value_type_of<E>>& ahead) {
    if (range.empty()) return;
    if (p_.code_rank > 0 && piece.from.codes != nullptr)
      add_codes(codes_of(piece.from, p_.code_rank), range, weights, row);
    if (leaves_values(piece.from)) return;
    if constexpr (suits_matrix_unit<Rows, value_type_of<E>>)
      if (has_matrix_values(piece.from))
        return add_whole_matrix<Rows, Terms.weight>(piece.from, range, weights, p_.d_v, ahead,
                                                    sums_);
    add_values<FixedWidth, Rows>(piece.from, range, weights, p_.d_v, p_.width, ahead,
                                 {sums_.data + row * sums_.stride, sums_.stride});
  }

  template <int Rows, codec E>
  void add_codes(const block<E>& b, token_range range, weights_view<Rows> weights, int row) {
    const index_t rank = p_.code_rank;
    row_prefetcher<value_type_of<E>> ahead(b.values + range.begin * rank, rank,
                                           range.end - range.begin, rank,
                                           prefetch_share::all_if(Rows == R && prefetches()));
    add_whole<Rows>(b, range, weights, rank, rank, ahead,
                    {codes_.data + row * codes_.stride, codes_.stride});
  }

  /// Whether all rows see the tokens of a piece.
  template <codec E>
  bool sees(const piece<E>& piece, token_range range) const {
    if (sights_ == nullptr) return true;
    const token_range all = seen_by_all(piece, range);
    return all.begin == range.begin && all.end == range.end;
  }

  /// The part of the range, of what any row sees, that all rows see; empty at its start if none.
  template <codec E>
  token_range seen_by_all(const piece<E>& piece, token_range range) const {
    const token_range last = seen(piece.from, piece.first, piece.count, sights_[R - 1]);
    const token_range first = seen(piece.from, piece.first, piece.count, sights_[0]);
    if (last.begin >= first.end) return {range.begin, range.begin};
    return {last.begin, first.end};
  }

  const row_problem& p_;
  const float* q_;
  const float* q_tiles_;
  const sight* sights_;
  float* max_;
  float* sum_;
  float* kept_;
  sums_view sums_, codes_;
  index_t first_;
  alignas(64) float weights_[(tile_capacity + simd::accumulators) * R];
};

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail
