#pragma once

#include <cstring>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/append.hpp>
#include <rota/cpu/attend.hpp>
#include <rota/cpu/pack.hpp>
#include <rota/store/layouts.hpp>

#include "support/memory.hpp"
#include "support/random_codec.hpp"
#include "support/random_layer.hpp"

namespace rota_test {

struct sample_options {
  index_t tokens = 300;
  double keep_groups = 0.5;
  index_t appended = 5;
  index_t room = 9;  ///< the tail's capacity
  bool means = true;
  index_t rank = 0;  ///< of a low-rank fill, if there are no means
  int garbage = 0;   ///< what lies in memory that packing does not write
};

/// A random packed store in memory of just its size, two kv heads, d_k 16, four groups.
template <class Layout>
struct packed_sample {
  using element_type = rota::plain_type_of<typename Layout::element_type>;
  rota::packed_shape shape;
  aligned_memory memory{0};
  typename Layout::store_type store;

  explicit packed_sample(random_source& rng, const sample_options& o = {})
      : shape(Layout::shape(2, 16, 4 * Layout::width, {o.room},
                            o.means      ? 1
                            : o.rank > 0 ? 2
                                         : 0,
                            o.means, o.rank)) {
    const rota::cpu::backend one;
    const random_layer<element_type> layer(rng, o.tokens, 2, 16, 4 * Layout::width, true);
    const random_selection sel(rng, o.tokens, 2, 4, 0.8, o.keep_groups);
    memory = aligned_memory(static_cast<std::size_t>(rota::packed_bytes(shape, sel.kept)));
    std::memset(memory.data(), o.garbage, memory.size());
    store.data = memory.data();
    store.capacity_bytes = static_cast<index_t>(memory.size());
    const aligned_memory ws(rota::cpu::pack_workspace_bytes(one, shape));
    const random_codec fill(rng, 2, o.rank, 4 * Layout::width);
    rota::cpu::pack_options options;
    options.codec = fill.codec;
    REQUIRE(
        rota::cpu::pack(one, shape, layer.context, sel.kept, store, ws.workspace(), options).ok());
    const random_layer<element_type> more(rng, o.appended, 2, 16, 4 * Layout::width);
    REQUIRE(rota::cpu::append(one, store, more.context.keys, more.context.values).ok());
  }
  packed_sample(const packed_sample&) = delete;
  packed_sample& operator=(const packed_sample&) = delete;
};

/// One query with two heads a kv head, always the same.
template <class Store>
std::vector<float> attend_once(const Store& store) {
  const index_t heads = store.kv_heads() * 2;
  random_source rng(77);
  std::vector<float> q(static_cast<std::size_t>(heads * store.d_k()));
  std::vector<float> out(static_cast<std::size_t>(heads * store.d_v()));
  for (float& x : q) x = rng.normal();
  const rota::attend_item<Store> item{rota::view<const float, 3>(q.data(), 1, heads, store.d_k()),
                                      &store,
                                      rota::view<float, 3>(out.data(), 1, heads, store.d_v()),
                                      {}};
  const std::span<const rota::attend_item<Store>> batch(&item, 1);
  const rota::cpu::backend one;
  const aligned_memory ws(rota::cpu::attend_workspace_bytes(one, batch, {}));
  REQUIRE(rota::cpu::attend(one, batch, {}, ws.workspace()).ok());
  return out;
}

}  // namespace rota_test
