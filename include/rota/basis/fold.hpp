#pragma once

#include <rota/core/view.hpp>

// A basis is, per kv head, an orthogonal R [kv_heads, d, d]: a change of coordinates of the values
// before they are cut into groups, so that what matters gathers in few groups. It is folded into
// the weights once and costs nothing afterwards:
//   W_V <- R W_V,  b_V <- R b_V,  and for the query heads of a kv head  W_O <- W_O R'.
// Adapters fold the same way: the B of V, and the A of O. With nothing dropped nothing changes.

namespace rota {

/// x <- R x for each kv head's part of each row: rows [n, heads * d], part h of a row belongs to kv
/// head h / (heads / kv_heads). b_V as one row; W_O, the A of O and B' of V as they are; W_V has
/// them as columns (fold_columns). `back`: x <- R' x. Errors: bad_shape and null_view of "basis"
/// and "rows".
template <class T>
status fold_rows(view<const float, 3> basis, view<T, 2> rows, bool back = false) {
  if (status s = check_view(basis, "basis"); !s) return s;
  if (status s = check_view(rows, "rows"); !s) return s;
  const index_t kv_heads = basis.extent[0], d = basis.extent[1];
  if (kv_heads < 1 || d < 1 || d > 1024 || basis.extent[2] != d) return {errc::bad_shape, "basis"};
  if (rows.extent[1] % (kv_heads * d) != 0) return {errc::bad_shape, "rows"};
  const index_t heads = rows.extent[1] / d, group = heads / kv_heads;
  double x[1024];
  for (index_t i = 0; i < rows.extent[0]; ++i)
    for (index_t h = 0; h < heads; ++h) {
      T* const part = rows.row(i) + h * d;
      for (index_t c = 0; c < d; ++c) x[c] = static_cast<double>(part[c]);
      for (index_t r = 0; r < d; ++r) {
        double sum = 0;
        for (index_t c = 0; c < d; ++c)
          sum += static_cast<double>(back ? basis(h / group, c, r) : basis(h / group, r, c)) * x[c];
        part[r] = static_cast<T>(sum);
      }
    }
  return {};
}

/// The same for columns: weight [heads * d, in], as W_V is stored.
template <class T>
status fold_columns(view<const float, 3> basis, view<T, 2> weight, bool back = false) {
  if (status s = check_view(basis, "basis"); !s) return s;
  if (status s = check_view(weight, "rows"); !s) return s;
  const index_t kv_heads = basis.extent[0], d = basis.extent[1];
  if (kv_heads < 1 || d < 1 || d > 1024 || basis.extent[2] != d) return {errc::bad_shape, "basis"};
  if (weight.extent[0] != kv_heads * d) return {errc::bad_shape, "rows"};
  T column[1024];
  for (index_t h = 0; h < kv_heads; ++h) {
    const view<const float, 3> one(&basis(h, 0, 0), {1, d, d}, basis.stride);
    for (index_t j = 0; j < weight.extent[1]; ++j) {
      for (index_t c = 0; c < d; ++c) column[c] = weight(h * d + c, j);
      if (status s = fold_rows(one, view<T, 2>(column, 1, d), back); !s) return s;
      for (index_t c = 0; c < d; ++c) weight(h * d + c, j) = column[c];
    }
  }
  return {};
}

}  // namespace rota
