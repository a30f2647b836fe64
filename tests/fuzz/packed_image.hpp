// Packed stores to be spoilt, and what an engine does with a store that was found sound.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include <fuzzer/FuzzedDataProvider.h>

#include <rota/cpu/append.hpp>
#include <rota/cpu/attend.hpp>
#include <rota/cpu/pack.hpp>
#include <rota/cpu/unpack.hpp>
#include <rota/store/copy.hpp>
#include <rota/store/layouts.hpp>
#include <rota/store/save.hpp>

#include "fuzz/target.hpp"
#include "support/memory.hpp"
#include "support/random_codec.hpp"
#include "support/random_layer.hpp"

namespace rota_fuzz {

using rota::index_t;
using rota_test::aligned_memory;

/// A sound store of two kv heads with four value groups, three tokens of five in its tail.
template <class Layout>
struct packed_image {
  aligned_memory memory{0};
  typename Layout::store_type store;

  explicit packed_image(index_t code_rank = 0) {
    using plain = rota::plain_type_of<typename Layout::element_type>;
    constexpr index_t d_k = 16, d_v = 4 * Layout::width;
    const rota::cpu::backend one;
    rota_test::random_source rng(1);
    const rota::packed_shape shape =
        Layout::shape(2, d_k, d_v, {5}, code_rank > 0 ? 2 : 1, code_rank == 0, code_rank);
    const rota_test::random_layer<plain> layer(rng, 90, 2, d_k, d_v, true);
    const rota_test::random_selection chosen(rng, 90, 2, 4, 0.8, 0.5);
    memory = aligned_memory(static_cast<std::size_t>(rota::packed_bytes(shape, chosen.kept)));
    std::memset(memory.data(), 0, memory.size());
    store = {memory.data(), static_cast<index_t>(memory.size())};
    const aligned_memory ws(rota::cpu::pack_workspace_bytes(one, shape));
    const rota_test::random_codec fill(rng, 2, code_rank, d_v);
    rota::cpu::pack_options options;
    options.codec = fill.codec;
    require(rota::cpu::pack(one, shape, layer.context, chosen.kept, store, ws.workspace(), options)
                .ok(),
            "a sound store is packed");
    const rota_test::random_layer<plain> more(rng, 3, 2, d_k, d_v);
    require(rota::cpu::append(one, store, more.context.keys, more.context.values).ok(),
            "tokens are appended");
  }
};

/// Where a sound store's index lies: all before its records, and each record up to its keys.
template <class Store>
std::vector<std::span<std::byte>> index_of(const Store& store) {
  std::vector<std::span<std::byte>> parts{{store.data, store.header().records_at}};
  for (std::uint64_t i = 0; i < store.header().record_count; ++i) {
    std::byte* const at = store.data + store.record_offsets()[i];
    rota::record_header r;
    std::memcpy(&r, at, sizeof r);
    const rota::record_layout places = rota::layout_record(
        store.shape(), static_cast<rota::value_order>(r.order), r.tokens, r.slices);
    parts.emplace_back(at, static_cast<std::size_t>(places.keys));
  }
  return parts;
}

/// Overwrites one number of `part`, aligned to its size.
inline void spoil_number(FuzzedDataProvider& bytes, std::span<std::byte> part) {
  static constexpr std::array<std::uint64_t, 8> telling = {
      0, ~std::uint64_t{0}, INT32_MAX, 0x80000000u, INT64_MAX, std::uint64_t{1} << 63, 257, 64};
  const std::size_t width = std::size_t{1} << bytes.ConsumeIntegralInRange(0, 3);
  const std::size_t at =
      bytes.ConsumeIntegralInRange<std::size_t>(0, part.size() / width - 1) * width;
  std::uint64_t number = 0;
  std::memcpy(&number, part.data() + at, width);
  switch (bytes.ConsumeIntegralInRange(0, 2)) {
    case 0:
      number = bytes.PickValueInArray(telling);
      break;
    case 1:
      number += static_cast<std::uint64_t>(bytes.ConsumeIntegralInRange(-16, 16));
      break;
    default:
      number = bytes.ConsumeIntegral<std::uint64_t>();
  }
  std::memcpy(part.data() + at, &number, width);
}

/// Overwrites numbers of some of the parts: few, since the first wrong one ends the reading.
inline void spoil(FuzzedDataProvider& bytes, const std::vector<std::span<std::byte>>& parts) {
  for (int edits = bytes.ConsumeIntegralInRange(1, 4); edits > 0; --edits)
    spoil_number(bytes, parts[bytes.ConsumeIntegralInRange<std::size_t>(0, parts.size() - 1)]);
}

template <class Store>
void attend_over(const Store& store) {
  const index_t heads = store.kv_heads() * 2;
  const std::vector<float> q(static_cast<std::size_t>(heads * store.d_k()), 0.5f);
  std::vector<float> out(static_cast<std::size_t>(heads * store.d_v()));
  const rota::attend_item<Store> item{rota::view<const float, 3>(q.data(), 1, heads, store.d_k()),
                                      &store,
                                      rota::view<float, 3>(out.data(), 1, heads, store.d_v()),
                                      {}};
  const std::span<const rota::attend_item<Store>> batch(&item, 1);
  const rota::cpu::backend one;
  const aligned_memory ws(rota::cpu::attend_workspace_bytes(one, batch, {}));
  static_cast<void>(rota::cpu::attend(one, batch, {}, ws.workspace()));
}

template <class Store>
void unpack_all(const Store& store) {
  using plain = rota::plain_type_of<typename Store::element_type>;
  for (index_t h = 0; h < store.kv_heads(); ++h) {
    const auto n = static_cast<std::size_t>(rota::cpu::token_count(store, h));
    std::vector<plain> keys(n * static_cast<std::size_t>(store.d_k()));
    std::vector<plain> values(n * static_cast<std::size_t>(store.d_v()));
    std::vector<rota::position_t> positions(n);
    std::vector<rota::group_mask> available(n);
    rota::cpu::unpack_head<typename Store::element_type>(
        rota::cpu::backend{}, store, h,
        {keys.data(), values.data(), positions.data(), available.data()});
    require(std::is_sorted(positions.begin(), positions.end()), "positions ascend");
  }
}

/// Appends a token and takes it back.
template <class Store>
void decode_step(Store& store) {
  const rota::cpu::backend one;
  const std::vector<float> k(static_cast<std::size_t>(store.kv_heads() * store.d_k()), 0.25f);
  const std::vector<float> v(static_cast<std::size_t>(store.kv_heads() * store.d_v()), 0.75f);
  const index_t before = store.tail_count();
  const rota::status s = rota::cpu::append(
      one, store, rota::view<const float, 3>(k.data(), 1, store.kv_heads(), store.d_k()),
      rota::view<const float, 3>(v.data(), 1, store.kv_heads(), store.d_v()));
  if (s.ok()) {
    require(store.tail_count() == before + 1, "a token was appended");
    require(rota::cpu::roll_back(one, store, 1).ok(), "the token is taken back");
  }
  require(store.tail_count() == before, "the tail is as before");
}

template <class Store>
aligned_memory saved_form(const Store& store) {
  const index_t bytes = rota::saved_bytes(store);
  require(bytes > 0, "a sound store can be saved");
  aligned_memory memory(static_cast<std::size_t>(bytes));
  require(rota::save(store, {1, 2}, {memory.data(), memory.size()}).ok(), "a sound store is saved");
  return memory;
}

/// All that an engine does with a store, on memory of just its size. Sanitizers watch.
template <class Store>
void use(Store& store) {
  if (store.kv_heads() > 64 || store.d_k() > 4096 || store.d_v() > 4096) return;  // sound, but slow
  unpack_all(store);
  attend_over(store);
  decode_step(store);
  const aligned_memory other(static_cast<std::size_t>(store.bytes()));
  Store twin{other.data(), store.bytes()};
  require(rota::copy(store, twin).ok(), "a sound store is copied");
  require(rota::verify(twin).ok(), "a copy is sound");
}

/// Calls f.operator()<Layout>(code_rank) for the kind of store that the bytes name.
template <class F>
void with_layout(FuzzedDataProvider& bytes, F&& f) {
  using namespace rota;
  switch (bytes.ConsumeIntegralInRange(0, 3)) {
    case 0:
      return f.template operator()<packed<bf16, 8>>(index_t{0});
    case 1:
      return f.template operator()<packed<f32, 4, value_order::token_major, 32>>(index_t{0});
    case 2:
      return f.template operator()<packed<int8, 16>>(index_t{0});
    default:
      return f.template operator()<packed<bf16, 8>>(index_t{3});  // a low-rank fill
  }
}

}  // namespace rota_fuzz
