// Memory that claims to be a packed store: verify() refuses it, or every operator can use it.
#include <rota/store/verify.hpp>

#include "fuzz/packed_image.hpp"

namespace {

using namespace rota_fuzz;

template <class Layout>
void one_store(FuzzedDataProvider& bytes, index_t code_rank) {
  static const packed_image<Layout> plain, coded(3);
  const packed_image<Layout>& image = code_rank > 0 ? coded : plain;
  const std::size_t cut = bytes.ConsumeBool() ? bytes.ConsumeIntegralInRange(0, 300) : 0;
  aligned_memory memory(image.memory.size());
  std::memcpy(memory.data(), image.memory.data(), memory.size());
  typename Layout::store_type store{memory.data(), static_cast<index_t>(memory.size())};
  spoil(bytes, index_of(store));
  if (cut > 0) {  // less memory than the store says, and no more behind it
    aligned_memory part(memory.size() - cut);
    std::memcpy(part.data(), memory.data(), part.size());
    memory = std::move(part);
    store = {memory.data(), static_cast<index_t>(memory.size())};
  }
  if (!rota::verify(store)) return;
  use(store);
  require(rota::verify(store).ok(), "a sound store stays sound");
  saved_form(store);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider bytes(data, size);
  with_layout(bytes, [&]<class Layout>(index_t rank) { one_store<Layout>(bytes, rank); });
  return 0;
}
