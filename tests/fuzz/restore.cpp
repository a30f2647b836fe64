// Bytes that claim to be a saved store, with the right checksum, since few others would be looked
// at: restore() refuses them, or makes a store that is sound and saves to the same form each time.
#include "fuzz/packed_image.hpp"

namespace {

using namespace rota_fuzz;

constexpr std::size_t most_memory = std::size_t{1} << 22;  // what an engine would give

template <class Store>
void restore_and_use(std::span<const std::byte> saved, index_t tail_capacity) {
  index_t needed = 0;
  rota::packed_shape shape;
  const bool has_shape = rota::saved_shape(saved, shape).ok();
  if (!rota::restored_bytes<Store>(saved, tail_capacity, needed)) return;
  require(has_shape, "what has a size has a shape");
  require(needed > 0, "a store has bytes");
  if (static_cast<std::size_t>(needed) > most_memory) return;
  const aligned_memory memory(static_cast<std::size_t>(needed));
  Store store{memory.data(), needed};
  if (!rota::restore(saved, {1, 2}, tail_capacity, store)) return;
  require(rota::verify(store).ok(), "a restored store is sound");
  require(store.bytes() == needed, "a store needs what was asked for");
  const aligned_memory once = saved_form(store);
  use(store);
  const aligned_memory twice = saved_form(store);
  require(once.size() == twice.size() && std::memcmp(once.data(), twice.data(), once.size()) == 0,
          "saving is canonical");
}

template <class Layout>
void one_saved_form(FuzzedDataProvider& bytes, index_t code_rank) {
  static const packed_image<Layout> plain, coded(3);
  static const aligned_memory saved_plain = saved_form(plain.store);
  static const aligned_memory saved_coded = saved_form(coded.store);
  const aligned_memory& good = code_rank > 0 ? saved_coded : saved_plain;
  const std::size_t cut = bytes.ConsumeBool() ? bytes.ConsumeIntegralInRange(0, 400) : 0;
  aligned_memory memory(good.size());
  std::memcpy(memory.data(), good.data(), memory.size());
  const index_t capacity = bytes.ConsumeBool() ? -1 : bytes.ConsumeIntegral<std::int32_t>() % 4000;
  constexpr std::size_t header_bytes = sizeof(rota::saved_header);
  auto parts = index_of(typename Layout::store_type{
      memory.data() + header_bytes, static_cast<index_t>(memory.size() - header_bytes)});
  parts.emplace_back(memory.data(), header_bytes);
  spoil(bytes, parts);
  if (cut > 0) {
    aligned_memory part(memory.size() - cut);
    std::memcpy(part.data(), memory.data(), part.size());
    memory = std::move(part);
  }
  const std::span<std::byte> saved(memory.data(), memory.size());
  if (saved.size() >= sizeof(rota::saved_header)) {
    auto* const header = reinterpret_cast<rota::saved_header*>(saved.data());
    header->checksum = rota::detail::checksum_of(saved);
  }
  restore_and_use<typename Layout::store_type>(saved, capacity);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider bytes(data, size);
  with_layout(bytes, [&]<class Layout>(index_t rank) { one_saved_form<Layout>(bytes, rank); });
  return 0;
}
