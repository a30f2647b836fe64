#pragma once

#include <doctest/doctest.h>

#include <rota/store/packed.hpp>

namespace rota_test {

/// Whether two stores hold the same sealed tokens, byte for byte, and go on at the same position.
/// Means may differ in the last place: those of `got` become those of `want`. Between tables and
/// records, and before the tail, there may be slack that nobody writes.
template <class Store>
bool holds_the_same(Store& got, const Store& want) {
  const rota::packed_header& h = want.header();
  if (got.bytes() != want.bytes()) return false;
  if (h.has_means)
    for (rota::index_t head = 0; head < want.kv_heads(); ++head)
      for (rota::index_t i = 0; i < want.d_v(); ++i) {
        CHECK(got.means(head)[i] == doctest::Approx(want.means(head)[i]));
        const_cast<float*>(got.means(head))[i] = want.means(head)[i];
      }
  std::size_t differ = 0;
  const auto compare = [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) differ += got.data[i] != want.data[i];
  };
  const auto element = static_cast<rota::index_t>(sizeof(typename Store::element_type));
  const rota::index_t fill = h.has_means ? want.d_v() * 4 : want.code_rank() * want.d_v() * element;
  compare(0, h.fill_at + static_cast<std::size_t>(want.kv_heads() * fill));
  compare(h.records_at, h.tail_keys_at);
  return differ == 0;
}

}  // namespace rota_test
