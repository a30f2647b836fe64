#pragma once

#include <vector>

#include <rota/cuda/append.cuh>
#include <rota/cuda/pack.cuh>
#include <rota/cuda/store/host_form.cuh>

#include "cuda/gpu.hpp"
#include "support/memory.hpp"
#include "support/random_codec.hpp"
#include "support/random_layer.hpp"

namespace rota_test {

/// A random_layer's rows in device memory.
template <rota::element E>
struct device_layer {
  device_array<E> keys, values;
  device_array<rota::position_t> positions;
  rota::context<E> context;

  explicit device_layer(const random_layer<E>& host)
      : keys(host.keys), values(host.values), positions(host.positions), context(host.context) {
    context.keys.data = keys.data();
    context.values.data = values.data();
    if (context.positions.data != nullptr) context.positions.data = positions.data();
  }
};

/// The same with the codec of a low-rank fill.
template <rota::element E>
struct coded_device_layer {
  device_layer<E> rows;
  device_array<float> encode, decode;
  rota::context<E, rota::fill_codec> context;

  coded_device_layer(const random_layer<E>& host, const random_codec& codec)
      : rows(host), encode(codec.encode), decode(codec.decode) {
    context.keys = rows.context.keys;
    context.values = rows.context.values;
    context.positions = rows.context.positions;
    static_cast<rota::fill_codec&>(context) = codec.codec;
    context.encode.data = encode.data();
    context.decode.data = decode.data();
  }
};

/// A random_selection in device memory.
struct device_selection {
  device_array<std::int32_t> indices, counts;
  device_array<rota::group_mask> masks;
  rota::selection kept;

  explicit device_selection(const random_selection& host)
      : indices(host.indices), counts(host.counts), masks(host.masks), kept(host.kept) {
    kept.indices.data = indices.data();
    kept.masks.data = masks.data();
    kept.counts.data = counts.data();
  }
};

/// A packed store in device memory of just the size that the bound gives.
template <class Layout>
struct device_store {
  using element_type = typename Layout::element_type;
  using host_store = typename Layout::host_form::store_type;
  rota::packed_shape shape;
  device_array<std::byte> memory;
  typename Layout::store_type store;

  device_store(const rota::packed_shape& s, index_t most_tokens)
      : shape(s), memory(static_cast<std::size_t>(rota::packed_bytes_bound(s, most_tokens))) {
    store.data = memory.data();
    store.capacity_bytes = static_cast<index_t>(memory.size());
  }

  /// What the device holds, as the CPU reads it.
  struct copy {
    aligned_memory memory;
    host_store store;
  };
  copy to_host() const {
    const std::vector<std::byte> bytes = this->memory.download();
    copy c{aligned_memory(bytes.size()), {}};
    std::copy(bytes.begin(), bytes.end(), c.memory.data());
    c.store.data = c.memory.data();
    c.store.capacity_bytes = static_cast<index_t>(bytes.size());
    using swizzle = typename Layout::store_type::swizzle;
    REQUIRE(rota::cuda::to_host_form<swizzle>(c.store).ok());
    return c;
  }
};

/// Packs with a workspace of just the size that is asked for.
template <class Store, class Context>
rota::status run_pack(const rota::cuda::backend& b, const rota::packed_shape& shape,
                      const Context& ctx, const rota::selection& kept, Store& store) {
  const device_workspace ws(rota::cuda::pack_workspace_bytes(b, shape, ctx.tokens()));
  return rota::cuda::pack(b, shape, ctx, kept, store, ws.get());
}

}  // namespace rota_test
