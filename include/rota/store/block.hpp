#pragma once

#include <concepts>

#include <rota/core/types.hpp>

namespace rota {

/// How the values of a block lie in memory.
enum class value_order : std::uint8_t {
  whole = 0,        ///< every token has every group: plain rows
  token_major = 1,  ///< a token's kept groups together, then the next token's
  group_major = 2,  ///< per group, the slices of the tokens that have it
};

/// A run of tokens of one (sequence, kv head) as it lies in a store. This is all that attention,
/// unpacking and the reference read, so every store works with each of them.
/// C: the store's codec.
template <codec C>
struct block {
  using key_type = key_type_of<C>;
  using value_type = value_type_of<C>;

  index_t count = 0;
  const position_t* positions =
      nullptr;  ///< [count]; null: first_position, first_position + 1, ...
  position_t first_position = 0;
  const key_type* keys = nullptr;  ///< row j at keys + j * key_stride
  index_t key_stride = 0;
  value_order order = value_order::whole;
  const value_type* values = nullptr;
  index_t value_stride = 0;  ///< whole: row j at values + j * value_stride

  /// token_major: [count], the groups that token j has; null otherwise.
  const group_mask* masks = nullptr;
  /// token_major: [count + 1], token j's slices are numbers starts[j] .. starts[j + 1] - 1.
  /// group_major: [groups + 1], the same for group s.
  const std::uint16_t* starts = nullptr;
  /// group_major: [starts[groups]], the token (0 .. count - 1) that each slice belongs to,
  /// ascending inside a group.
  const std::uint8_t* members = nullptr;

  /// Not whole, and the fill is low-rank: [count, code_rank]. The slices are residuals then: token
  /// j's values are its code times the store's decoder, plus them where it has the group.
  const code_type_of<C>* codes = nullptr;

  /// [count], where keys are int8; null otherwise.
  const scale_type* key_scales = nullptr;
  /// Where values are int8: that of slice i at value_scales[i]; whole: that of group s of row j at
  /// value_scales[j * value_scale_stride + s]. Null otherwise.
  const scale_type* value_scales = nullptr;
  index_t value_scale_stride = 0;

  position_t position(index_t j) const {
    return positions ? positions[j] : static_cast<position_t>(first_position + j);
  }
};

/// Elements of a token's code in a store whose fill has codes; 0 elsewhere.
template <class Store>
index_t code_rank_of(const Store& store) {
  if constexpr (requires { store.code_rank(); })
    return store.code_rank();
  else
    return 0;
}

/// What attention needs of a store: one sequence, one layer. A store whose fill has codes has
/// code_rank() and decoder(h), [code_rank, d_v], beside these.
template <class S>
concept kv_store = codec<typename S::element_type> && requires(const S& s, index_t h, index_t i) {
  { s.kv_heads() } -> std::same_as<index_t>;
  { s.d_k() } -> std::same_as<index_t>;
  { s.d_v() } -> std::same_as<index_t>;
  { s.group_width() } -> std::same_as<index_t>;
  /// Position of the next token to be appended: the length of the sequence so far.
  { s.next_position() } -> std::same_as<position_t>;
  { s.block_count(h) } -> std::same_as<index_t>;
  { s.block_at(h, i) } -> std::same_as<block<typename S::element_type>>;
  /// [d_v] means that stand in for dropped groups of a head, or null.
  { s.means(h) } -> std::same_as<const float*>;
  /// All bytes that the store occupies, index and slack included.
  { s.bytes() } -> std::same_as<index_t>;
  { s.check() } -> std::same_as<status>;
};

}  // namespace rota
