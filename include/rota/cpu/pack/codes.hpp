#pragma once

#include <rota/cpu/pack/record_writer.hpp>
#include <rota/fill/low_rank.hpp>

// The codes and residuals of a low-rank fill (fill/low_rank.hpp), made while a record is written.

namespace rota::cpu::detail {

/// B of one kv head as the store keeps it: rounded to its element.
template <element E>
void write_decoder(const fill_codec& codec, index_t head, E* out) {
  const index_t d_v = codec.decode.extent[2];
  for (index_t r = 0; r < codec.decode.extent[1]; ++r)
    convert_row(codec.decode.row(head, r), out + r * d_v, d_v);
}

/// One kv head's rows as a record of a low-rank fill stores them: v - B a of a token that drops
/// anything, v of one that does not. The code must be the one that is stored.
template <class Rows, element E>
class residual_rows {
 public:
  residual_rows(const Rows& rows, const record_shape& shape, const fill_codec& codec, index_t head,
                const E* decoder)
      : rows_(rows), shape_(shape), codec_(codec), head_(head), decoder_(decoder) {}

  /// code [code_rank] = A (M v), rounded to the element; 0 where nothing is dropped.
  void encode(index_t token, group_mask mask, E* code) const {
    const auto* value = rows_.value(token);
    for (index_t r = 0; r < shape_.code_rank; ++r) {
      const float* a = codec_.encode.row(head_, r);
      float sum = 0;
      for (index_t c = 0; c < shape_.d_v && !whole(mask); ++c)
        if ((mask >> (c / shape_.width)) & 1) sum += a[c] * static_cast<float>(value[c]);
      code[r] = static_cast<E>(sum);
    }
  }

  /// Group `g` of the token, of whose code `code` is what was stored. out: [width].
  void residual(index_t token, index_t g, const E* code, float* out) const {
    const auto* value = rows_.value(token) + g * shape_.width;
    for (index_t c = 0; c < shape_.width; ++c) {
      float rebuilt = 0;
      for (index_t r = 0; r < shape_.code_rank; ++r)
        rebuilt += static_cast<float>(code[r]) *
                   static_cast<float>(decoder_[r * shape_.d_v + g * shape_.width + c]);
      out[c] = static_cast<float>(value[c]) - rebuilt;
    }
  }

 private:
  bool whole(group_mask mask) const { return mask == full_mask(static_cast<int>(shape_.groups())); }

  const Rows& rows_;
  record_shape shape_;
  const fill_codec& codec_;
  index_t head_;
  const E* decoder_;
};

/// Replaces what write_record() put into a record: codes where there are none yet, residuals where
/// values are. Whole records stay as they are.
template <codec C, int W, class Rows>
void write_codes(const packed_shape& shape, const residual_rows<Rows, code_type_of<C>>& rows,
                 const selection& sel, index_t h, index_t first, index_t last, std::byte* record) {
  const record_shape& s = shape.record;
  const index_t slices = count_slices(sel, h, first, last);
  const value_order order = record_order(shape, last - first, slices);
  if (order == value_order::whole) return;
  const record_layout at = layout_record(s, order, last - first, slices);
  auto* codes = reinterpret_cast<code_type_of<C>*>(record + at.codes);
  auto residuals = slice_writer<C, W, float>(at, record);
  float residual[W];
  const auto code_of = [&](index_t i) { return codes + (i - first) * s.code_rank; };
  for (index_t i = first; i < last; ++i)
    rows.encode(sel.indices(h, i), sel.masks(h, i), code_of(i));
  const auto put = [&](index_t i, index_t g) {
    if (((sel.masks(h, i) >> g) & 1) == 0) return;
    rows.residual(sel.indices(h, i), g, code_of(i), residual);
    residuals.put(residual);
    residuals.finish();
  };
  if (order == value_order::group_major) {
    for (index_t g = 0; g < s.groups(); ++g)
      for (index_t i = first; i < last; ++i) put(i, g);
  } else {
    for (index_t i = first; i < last; ++i)
      for (index_t g = 0; g < s.groups(); ++g) put(i, g);
  }
}

}  // namespace rota::cpu::detail
