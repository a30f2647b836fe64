#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "support/packed_sample.hpp"

namespace {

using namespace rota;
using namespace rota_test;

constexpr saved_identity who{0x1234, 0x5678};

template <class Store>
aligned_memory saved(const Store& store, const saved_identity& identity = who) {
  aligned_memory memory(static_cast<std::size_t>(saved_bytes(store)));
  std::memset(memory.data(), 0xaa, memory.size());
  const status s = save(store, identity, {memory.data(), memory.size()});
  REQUIRE_MESSAGE(s.ok(), s.what(), " ", s.argument);
  return memory;
}

std::span<const std::byte> bytes_of(const aligned_memory& memory) {
  return {memory.data(), memory.size()};
}

/// A store and the memory that it was restored into, of just its size.
template <class Store>
struct restored {
  aligned_memory memory{0};
  Store store;
  status result;

  explicit restored(std::span<const std::byte> from, index_t tail_capacity = -1,
                    const saved_identity& expected = who) {
    index_t bytes = 0;
    result = restored_bytes<Store>(from, tail_capacity, bytes);
    if (!result) return;
    if (bytes > (1 << 24)) {  // a lie about sizes: no engine has so much to give
      result = {errc::store_too_small, "to"};
      return;
    }
    memory = aligned_memory(static_cast<std::size_t>(bytes));
    store.data = memory.data();
    store.capacity_bytes = bytes;
    result = restore(from, expected, tail_capacity, store);
  }
};

template <class Layout>
void comes_back_the_same(std::uint64_t seed) {
  using store_type = typename Layout::store_type;
  random_source rng(seed);
  for (const index_t tokens : {0, 1, 255, 600})
    for (const double keep : {0.0, 0.4, 1.0})
      for (const index_t appended : {0, 9}) {
        const packed_sample<Layout> sample(
            rng, {.tokens = tokens, .keep_groups = keep, .appended = appended});
        const aligned_memory memory = saved(sample.store);
        const restored<store_type> same(bytes_of(memory));
        REQUIRE_MESSAGE(same.result.ok(), same.result.what());
        CHECK(verify(same.store).ok());
        CHECK(same.store.bytes() == sample.store.bytes());
        CHECK(same.store.next_position() == sample.store.next_position());
        CHECK(same.store.tail_count() == appended);
        CHECK(attend_once(same.store) == attend_once(sample.store));
        // Saved again, it is the same bytes.
        const aligned_memory again = saved(same.store);
        REQUIRE(again.size() == memory.size());
        CHECK(std::memcmp(again.data(), memory.data(), memory.size()) == 0);
      }
}

}  // namespace

TEST_CASE("a restored store is the one that was saved") {
  comes_back_the_same<packed<bf16, 16>>(1);
  comes_back_the_same<packed<f16, 8, value_order::token_major>>(2);
  comes_back_the_same<packed<f32, 4, value_order::group_major, 64>>(3);
  comes_back_the_same<packed<int8, 16>>(4);
  comes_back_the_same<packed<kv_codec<int8, bf16>, 8, value_order::token_major>>(5);
}

TEST_CASE("the saved form does not depend on padding or on the unused tail") {
  const auto save_with = [](int garbage) {
    random_source rng(4);
    const packed_sample<packed<f32, 4>> sample(rng, {.tokens = 259, .garbage = garbage});
    return saved(sample.store);
  };
  const aligned_memory a = save_with(0), b = save_with(0xff);
  REQUIRE(a.size() == b.size());
  CHECK(std::memcmp(a.data(), b.data(), a.size()) == 0);
  random_source rng(4);
  const packed_sample<packed<f32, 4>> roomy(rng, {.tokens = 259, .room = 500});
  CHECK(saved(roomy.store).size() == a.size());
}

TEST_CASE("the tail is given the room that is asked for") {
  random_source rng(5);
  const packed_sample<packed<bf16, 16>> sample(rng, {.appended = 5, .room = 9});
  const aligned_memory memory = saved(sample.store);
  restored<packed_store<bf16, 16>> wide(bytes_of(memory), 1000);
  REQUIRE(wide.result.ok());
  CHECK(wide.store.tail_capacity() == 1000);
  CHECK(attend_once(wide.store) == attend_once(sample.store));
  const random_layer<bf16> more(rng, 995, 2, 16, 64);
  CHECK(cpu::append(cpu::backend{}, wide.store, more.context.keys, more.context.values).ok());
  CHECK(restored<packed_store<bf16, 16>>(bytes_of(memory), 5).result.ok());
  CHECK(restored<packed_store<bf16, 16>>(bytes_of(memory), 4).result == errc::bad_count);
  CHECK(restored<packed_store<bf16, 16>>(bytes_of(memory), -2).result == errc::bad_count);
  CHECK(restored<packed_store<bf16, 16>>(bytes_of(memory), INT64_MAX).result == errc::bad_count);
  CHECK(restored<packed_store<bf16, 16>>(bytes_of(memory), INT32_MAX).result == errc::bad_position);
}

TEST_CASE("any altered byte and any truncation is refused, and nothing is written") {
  random_source rng(6);
  using store_type = packed_store<bf16, 16>;
  const packed_sample<packed<bf16, 16>> sample(rng, {.tokens = 40, .appended = 3});
  const aligned_memory good = saved(sample.store);
  const aligned_memory bad(good.size());
  const aligned_memory target(static_cast<std::size_t>(sample.store.bytes()));
  std::memset(target.data(), 0x5a, target.size());
  const std::vector<std::byte> untouched(target.data(), target.data() + target.size());
  const auto refused = [&](std::span<const std::byte> from) {
    index_t bytes = -1;
    if (restored_bytes<store_type>(from, -1, bytes)) CHECK(bytes > 0);
    store_type to{target.data(), static_cast<index_t>(target.size())};
    const bool no = !restore(from, who, -1, to).ok();
    return no && std::memcmp(target.data(), untouched.data(), target.size()) == 0;
  };
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::memcpy(bad.data(), good.data(), good.size());
    bad.data()[at] ^= static_cast<std::byte>(rng.between(1, 255));
    if (!refused(bytes_of(bad))) FAIL("altered byte ", at);
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    const aligned_memory part(size);  // of just that size: a sanitizer sees a read behind it
    std::memcpy(part.data(), good.data(), size);
    if (!refused(bytes_of(part))) FAIL("truncated to ", size);
  }
  const aligned_memory longer(good.size() + 64);
  std::memset(longer.data(), 0, longer.size());
  std::memcpy(longer.data(), good.data(), good.size());
  CHECK(refused(bytes_of(longer)));
}

TEST_CASE("lies under a right checksum are refused, or do no harm") {
  random_source rng(7);
  using store_type = packed_store<bf16, 16>;
  const packed_sample<packed<bf16, 16>> sample(rng, {.tokens = 40, .appended = 3});
  const aligned_memory good = saved(sample.store);
  const aligned_memory bad(good.size());
  int refused = 0;
  for (int round = 0; round < 4000; ++round) {
    std::memcpy(bad.data(), good.data(), good.size());
    bad.data()[rng.below(static_cast<index_t>(round % 2 == 0 ? 400 : good.size()))] =
        static_cast<std::byte>(rng.bits());
    auto* const header = reinterpret_cast<saved_header*>(bad.data());
    header->checksum = detail::checksum_of(bytes_of(bad));
    const restored<store_type> r(bytes_of(bad));
    if (r.result.ok())
      attend_once(r.store);
    else
      ++refused;
  }
  CHECK(refused > 500);
}

TEST_CASE("what was made by others is refused by name") {
  random_source rng(8);
  using store_type = packed_store<bf16, 16>;
  const packed_sample<packed<bf16, 16>> sample(rng);
  const aligned_memory memory = saved(sample.store);
  const auto from = bytes_of(memory);
  const auto check = [](const status& s, errc code, const char* argument) {
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
  };
  check(restored<store_type>(from, -1, {who.policies + 1, who.model}).result, errc::other_policies,
        "policies");
  check(restored<store_type>(from, -1, {who.policies, who.model + 1}).result, errc::other_model,
        "model");
  check(restored<packed_store<f16, 16>>(from).result, errc::bad_store, "saved");
  check(restored<packed_store<bf16, 8>>(from).result, errc::bad_store, "saved");

  const aligned_memory changed(memory.size());
  const auto with = [&](std::size_t at, std::uint32_t word) {
    std::memcpy(changed.data(), memory.data(), memory.size());
    std::memcpy(changed.data() + at, &word, 4);
    return restored<store_type>(bytes_of(changed)).result;
  };
  packed_shape shape;
  REQUIRE(saved_shape(from, shape).ok());
  CHECK(shape.kv_heads == 2);
  CHECK(shape.record.d_k == 16);
  CHECK(shape.record.width == 16);
  CHECK(shape.element_code == element_traits<bf16>::code);
  CHECK(shape.tail_capacity == 9);
  CHECK(saved_shape(from.first(64), shape) == errc::damaged);
  CHECK(saved_shape(from.subspan(64), shape) == errc::bad_store);
  check(with(8, 2), errc::other_version, "saved");
  check(with(12, 0x04030201), errc::other_version, "saved");
  check(with(0, 0), errc::bad_store, "saved");
}

TEST_CASE("memory that will not do is refused") {
  random_source rng(9);
  using store_type = packed_store<bf16, 16>;
  packed_sample<packed<bf16, 16>> sample(rng);
  store_type& store = sample.store;
  const auto check = [](const status& s, errc code, const char* argument) {
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
  };
  const auto size = static_cast<std::size_t>(saved_bytes(store));
  const aligned_memory memory(size + 64);
  check(save(store, who, {memory.data(), size - 1}), errc::store_too_small, "memory");
  check(save(store, who, {memory.data() + 8, size}), errc::bad_alignment, "memory");
  check(save(store, who, {static_cast<std::byte*>(nullptr), std::size_t{0}}), errc::null_view,
        "memory");
  check(save(store, who, {store.data, size}), errc::overlapping_memory, "memory");
  check(save(store_type{}, who, {memory.data(), size}), errc::null_view, "store");
  CHECK(saved_bytes(store_type{}) == 0);

  REQUIRE(save(store, who, {memory.data(), size + 64}).ok());
  const std::span<const std::byte> from(memory.data(), size);
  const auto bytes = static_cast<std::size_t>(store.bytes());
  const aligned_memory target(bytes);
  const auto into = [&](std::byte* data, std::size_t room) {
    store_type to{data, static_cast<index_t>(room)};
    return restore(from, who, -1, to);
  };
  check(into(nullptr, bytes), errc::null_view, "to");
  check(into(target.data() + 8, bytes), errc::bad_alignment, "to");
  check(into(target.data(), bytes - 1), errc::store_too_small, "to");
  check(into(memory.data(), bytes), errc::overlapping_memory, "to");
  CHECK(into(target.data(), bytes).ok());
  store_type to{target.data(), static_cast<index_t>(bytes)};
  check(restore({}, who, -1, to), errc::null_view, "saved");
  check(restore(from.subspan(8), who, -1, to), errc::bad_alignment, "saved");
}

TEST_CASE("a store of a type that is known at run time only") {
  random_source rng(10);
  using any = any_store<packed_store<f32, 8>, dense_store<bf16>, packed_store<bf16, 16>>;
  const packed_sample<packed<bf16, 16>> sample(rng);
  const any store(sample.store);
  const aligned_memory memory = saved(store);
  index_t bytes = 0;
  REQUIRE(restored_bytes<any>(bytes_of(memory), 20, bytes).ok());
  const aligned_memory target(static_cast<std::size_t>(bytes));
  any back;
  REQUIRE(restore(bytes_of(memory), who, 20, {target.data(), target.size()}, back).ok());
  REQUIRE(back.get_if<packed_store<bf16, 16>>() != nullptr);
  CHECK(attend_once(*back.get_if<packed_store<bf16, 16>>()) == attend_once(sample.store));

  using others = any_store<packed_store<f32, 8>, dense_store<bf16>>;
  others other;
  CHECK(restored_bytes<others>(bytes_of(memory), 20, bytes) == errc::bad_store);
  CHECK(restore(bytes_of(memory), who, 20, {target.data(), target.size()}, other) ==
        errc::bad_store);
  // What is damaged is not taken for another type.
  memory.data()[memory.size() - 1] ^= std::byte{1};
  CHECK(restore(bytes_of(memory), who, 20, {target.data(), target.size()}, back) == errc::damaged);
  CHECK(saved_bytes(any(dense_store<bf16>{})) == 0);
  CHECK(save(any(dense_store<bf16>{}), who, {target.data(), target.size()}) == errc::bad_store);
}

TEST_CASE("an operator saves under the fingerprint of its policies") {
  using op = attention<tokens<expected_attention, keep_ratio>, groups<value_norm, adaptive_span>,
                       packed<bf16, 16>, mean_fill>;
  op::params p;
  p.protect = {2, 4};
  const std::uint64_t own = op::fingerprint(p);
  const auto differs = [&](auto&& change) {
    op::params q = p;
    change(q);
    return op::fingerprint(q) != own;
  };
  CHECK(op::fingerprint(p) == own);
  CHECK_FALSE(differs([](op::params& q) { q.store.tail_capacity = 999; }));
  CHECK(differs([](op::params& q) { q.protect.sinks = 3; }));
  CHECK(differs([](op::params& q) { q.protect = {4, 2}; }));
  CHECK(differs([](op::params& q) { q.drop_empty = true; }));
  CHECK(differs([](op::params& q) { q.tokens.budget.ratio = 0.5; }));
  CHECK(differs([](op::params& q) { q.groups.budget.tau = 0.5f; }));
  CHECK(differs([](op::params& q) { q.tokens.scorer.sinks = 5; }));
  CHECK(differs([](op::params& q) { q.tokens.scorer.use_covariance = false; }));
  using by_key = tokens<key_norm, keep_ratio>;
  using by_age = tokens<window_sink, keep_ratio>;
  using a = attention<by_key, packed<bf16, 16>>;
  const std::uint64_t others[] = {
      attention<by_age, packed<bf16, 16>>::fingerprint({}),
      attention<by_key, packed<f16, 16>>::fingerprint({}),
      attention<by_key, packed<bf16, 8>>::fingerprint({}),
      attention<by_key, packed<bf16, 16, value_order::token_major>>::fingerprint({}),
      attention<by_key, packed<bf16, 16, value_order::group_major, 64>>::fingerprint({}),
      attention<by_key, packed<bf16, 16>, mean_fill>::fingerprint({}),
      attention<by_key, groups<value_norm, keep_ratio>, packed<bf16, 16>>::fingerprint({})};
  for (const std::uint64_t other : others) CHECK(other != a::fingerprint({}));

  random_source rng(11);
  const packed_sample<packed<bf16, 16>> sample(rng);
  const aligned_memory memory(static_cast<std::size_t>(saved_bytes(sample.store)));
  REQUIRE(op::save(sample.store, p, 7, {memory.data(), memory.size()}).ok());
  p.store.tail_capacity = 20;
  index_t bytes = 0;
  REQUIRE(restored_bytes<op::store_type>(bytes_of(memory), 20, bytes).ok());
  const aligned_memory target(static_cast<std::size_t>(bytes));
  op::store_type back{target.data(), bytes};
  REQUIRE(op::restore(bytes_of(memory), p, 7, back).ok());
  CHECK(back.tail_capacity() == 20);
  CHECK(attend_once(back) == attend_once(sample.store));
  CHECK(op::restore(bytes_of(memory), p, 8, back) == errc::other_model);
  p.protect.sinks = 3;
  CHECK(op::restore(bytes_of(memory), p, 7, back) == errc::other_policies);
}
