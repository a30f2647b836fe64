#include <cstring>
#include <string>

#include <doctest/doctest.h>

#include <rota/rota.hpp>

#include "support/packed_sample.hpp"

using namespace rota;
using namespace rota_test;

TEST_CASE("a copy is the same store and shares nothing") {
  random_source rng(1);
  packed_sample<packed<bf16, 16>> sample(rng, {.room = 100});
  const aligned_memory memory(static_cast<std::size_t>(sample.store.bytes()));
  packed_store<bf16, 16> fork{memory.data(), static_cast<index_t>(memory.size())};
  REQUIRE(copy(sample.store, fork).ok());
  CHECK(std::memcmp(fork.data, sample.store.data, memory.size()) == 0);
  CHECK(verify(fork).ok());
  const std::vector<float> before = attend_once(sample.store);
  CHECK(attend_once(fork) == before);

  // Either goes on alone.
  const random_layer<bf16> more(rng, 1, 2, 16, 64);
  REQUIRE(cpu::append(cpu::backend{}, fork, more.context.keys, more.context.values).ok());
  CHECK(fork.next_position() == sample.store.next_position() + 1);
  CHECK(attend_once(sample.store) == before);
  CHECK(attend_once(fork) != before);
}

TEST_CASE("a copy into memory that will not do is refused") {
  random_source rng(2);
  packed_sample<packed<bf16, 16>> sample(rng);
  const auto bytes = static_cast<std::size_t>(sample.store.bytes());
  const aligned_memory memory(bytes + 64);
  std::memset(memory.data(), 0x5a, bytes + 64);
  const auto refused = [&](const packed_store<bf16, 16>& from, std::byte* data, std::size_t room,
                           errc code, const char* argument) {
    packed_store<bf16, 16> to{data, static_cast<index_t>(room)};
    const status s = copy(from, to);
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    for (std::size_t i = 0; i < bytes + 64; ++i)
      if (memory.data()[i] != std::byte{0x5a}) FAIL("the memory was written");
  };
  refused(sample.store, nullptr, bytes, errc::null_view, "to");
  refused(sample.store, memory.data() + 8, bytes, errc::bad_alignment, "to");
  refused(sample.store, memory.data(), bytes - 1, errc::store_too_small, "to");
  refused(sample.store, sample.store.data, bytes, errc::overlapping_memory, "to");
  refused({}, memory.data(), bytes, errc::null_view, "store");
  packed_store<bf16, 16> cut = sample.store;
  cut.capacity_bytes = static_cast<index_t>(bytes) - 1;
  refused(cut, memory.data(), bytes, errc::bad_store, "store");
}
