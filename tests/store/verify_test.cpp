#include <cstring>
#include <functional>

#include <doctest/doctest.h>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>
#include <rota/store/verify.hpp>

#include "support/packed_sample.hpp"

namespace {

using namespace rota;
using namespace rota_test;

const cpu::backend one;

/// Reads all that any operator reads.
template <class Store>
void read_everything(const Store& store) {
  const index_t heads = store.kv_heads() * 2;
  std::vector<float> q(static_cast<std::size_t>(heads * store.d_k()), 0.5f);
  std::vector<float> out(static_cast<std::size_t>(heads * store.d_v()));
  const attend_item<Store> item{view<const float, 3>(q.data(), 1, heads, store.d_k()),
                                &store,
                                view<float, 3>(out.data(), 1, heads, store.d_v()),
                                {}};
  attend_params p;
  p.sliding_window = 100;
  const std::span<const attend_item<Store>> batch(&item, 1);
  const aligned_memory ws(cpu::attend_workspace_bytes(one, batch, p));
  CHECK(cpu::attend(one, batch, p, ws.workspace()).ok());
  for (index_t h = 0; h < store.kv_heads(); ++h) {
    const auto n = static_cast<std::size_t>(cpu::token_count(store, h));
    using E = plain_type_of<typename Store::element_type>;
    std::vector<E> keys(n * static_cast<std::size_t>(store.d_k()));
    std::vector<E> values(n * static_cast<std::size_t>(store.d_v()));
    std::vector<position_t> positions(n);
    std::vector<group_mask> available(n);
    cpu::unpack_head(one, store, h,
                     {keys.data(), values.data(), positions.data(), available.data()});
  }
}

template <class Layout>
void survives_any_byte(std::uint64_t seed, int& refused, const sample_options& options = {}) {
  random_source rng(seed);
  packed_sample<Layout> sample(rng, options);
  REQUIRE(verify(sample.store).ok());
  const std::vector<std::byte> good(sample.memory.data(),
                                    sample.memory.data() + sample.memory.size());
  const auto tables = static_cast<index_t>(sample.store.header().fill_at);
  const auto first_record = static_cast<index_t>(sample.store.header().records_at);
  for (int round = 0; round < 3000; ++round) {
    // Mostly where the index is: the tables, and the start of records.
    index_t at = rng.between(0, tables - 1);
    if (rng.chance(0.5)) {
      const index_t records = static_cast<index_t>(sample.store.header().record_count);
      const auto start =
          static_cast<index_t>(sample.store.record_offsets()[rng.between(0, records - 1)]);
      at = start + rng.between(0, 1500);
    }
    if (at >= static_cast<index_t>(good.size())) at = first_record;
    const auto byte = static_cast<std::byte>(rng.bits());
    sample.memory.data()[at] = byte;
    if (verify(sample.store).ok())
      read_everything(sample.store);
    else
      ++refused;
    std::memcpy(sample.memory.data(), good.data(), good.size());
  }
}

}  // namespace

TEST_CASE("what was packed verifies") {
  random_source rng(1);
  for (const index_t n : {0, 1, 127, 128, 129, 500})
    for (const double keep : {0.0, 0.5, 1.0}) {
      CHECK(verify(packed_sample<packed<bf16, 16>>(rng, {.tokens = n, .keep_groups = keep}).store)
                .ok());
      CHECK(verify(packed_sample<packed<f32, 8, value_order::token_major, 64>>(
                       rng, {.tokens = n, .keep_groups = keep})
                       .store)
                .ok());
    }
}

TEST_CASE("a changed byte of the index is refused, or does no harm") {
  int refused = 0;
  survives_any_byte<packed<bf16, 16>>(2, refused);
  survives_any_byte<packed<f16, 8, value_order::token_major>>(3, refused);
  survives_any_byte<packed<f32, 4>>(4, refused);
  survives_any_byte<packed<int8, 16>>(6, refused);
  survives_any_byte<packed<bf16, 8>>(5, refused, {300, 0.5, 5, 9, false, 3, 0});
  CHECK(refused > 3000);
}

TEST_CASE("lies about sizes are refused") {
  random_source rng(5);
  using store_type = packed_store<bf16, 16>;
  struct lie {
    const char* name;
    std::function<void(store_type&)> tell;
  };
  const auto record = [](store_type& s) {
    return reinterpret_cast<record_header*>(s.data + s.record_offsets()[0]);
  };
  const lie lies[] = {
      {"capacity", [](store_type& s) { s.capacity_bytes = s.bytes() - 1; }},
      {"heads", [](store_type& s) { s.header().kv_heads = INT32_MAX; }},
      {"no heads", [](store_type& s) { s.header().kv_heads = 0; }},
      {"d_k", [](store_type& s) { s.header().d_k = INT32_MAX; }},
      {"d_v", [](store_type& s) { s.header().d_v += 16; }},
      {"tail", [](store_type& s) { s.header().tail_count = s.header().tail_capacity + 1; }},
      {"tail capacity", [](store_type& s) { s.header().tail_capacity = INT32_MAX; }},
      {"record tokens", [](store_type& s) { s.header().record_tokens = 257; }},
      {"records", [](store_type& s) { s.header().record_count = ~std::uint64_t{0}; }},
      {"records at", [](store_type& s) { s.header().records_at = ~std::uint64_t{63}; }},
      {"next position", [](store_type& s) { s.header().next_position = 3; }},
      {"tokens", [&](store_type& s) { record(s)->tokens = 0xffff; }},
      {"slices", [&](store_type& s) { ++record(s)->slices; }},
      {"record bytes", [&](store_type& s) { record(s)->bytes += 64; }},
      {"order", [&](store_type& s) { record(s)->order = 9; }},
      {"offset",
       [](store_type& s) {
         const_cast<std::uint64_t*>(s.record_offsets())[1] = s.header().tail_keys_at;
       }},
      {"first record",
       [](store_type& s) { const_cast<packed_head&>(s.head(1)).first_record = 1u << 30; }},
  };
  for (const lie& l : lies) {
    packed_sample<packed<bf16, 16>> sample(rng);
    l.tell(sample.store);
    CAPTURE(l.name);
    CHECK(verify(sample.store) == errc::bad_store);
  }
}
